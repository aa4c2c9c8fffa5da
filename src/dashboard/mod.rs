//! What a run did, or what a server does, as a view over time, and the page that shows it. Nothing here reads a file, a clock
//! or a server.
//!
//! - `step`: what a run records. `timeline`: the view that follows from it. `history`: the views that follow from the objects of
//!   a server, as a watch shows them. `view`: the schema of a view, which is what the page reads. `redact`: text from tasks
//!   without secrets and control characters. `page`: the page, with a view in it or without.
//! - `live`: what the pools of a server do now, as a view.

pub mod history;
pub mod live;
pub mod page;
pub mod redact;
pub mod step;
pub mod timeline;
pub mod view;
