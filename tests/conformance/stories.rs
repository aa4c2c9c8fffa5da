//! Scenarios of requests whose whole answers are compared with those of a real server.
use serde_json::Value;

use crate::subject::*;

mod changes;
mod life;
mod reads;
mod requests;
mod typed;

/// A gadget, changed by a merge patch.
fn gadget_with(name: &str, spec: Value, patch: Value) -> Value {
    let mut object = value(gadget(name, spec));
    json_patch::merge(&mut object, &patch);
    object
}
