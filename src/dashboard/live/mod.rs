//! What the pools of a server do now, as a view that follows from its objects.
//!
//! - `store`: the objects, as watches show them. `model`: the schema of the view. `view`: the view that follows from the objects
//!   and a time, with `workers`, `dispatches` and `credentials` for its parts. `text`: shared text. `events`: those of one object.
//!
//! Text in the view is as it came from outside, and must be escaped where it is shown.

mod credentials;
mod dispatches;
pub mod events;
pub mod model;
mod store;
mod text;
mod view;
mod workers;

pub use store::{Change, Loss, Lost, Store, Watched};
pub use text::Text;
pub use view::view;

#[cfg(test)]
pub(crate) mod testkit;
#[cfg(test)]
mod tests;
