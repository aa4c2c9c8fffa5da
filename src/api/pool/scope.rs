//! What a rate limit holds for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What rests after a rate limit.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The worker that met the limit.
    Worker,
    /// Every worker with the same credential.
    Credential,
}
