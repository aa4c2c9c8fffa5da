//! What a run did, as a view over time, and the page that shows it. Nothing here reads a file, a clock or a server.
//!
//! - `step`: what a run records. `timeline`: the view that follows from it. `view`: the schema of the view, which is what the
//!   page reads. `redact`: text from tasks without secrets and control characters. `page`: the view as one HTML file.
//! - `live`: what the pools of a server do now, as a view.

pub mod live;
pub mod page;
pub mod redact;
pub mod step;
pub mod timeline;
pub mod view;
