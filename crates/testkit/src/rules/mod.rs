//! What the API server must take and what it must refuse, rule by rule: one table for every API server.
//!
//! A case is a sequence of writes of one object. Each step is written like this: the object is created, or replaced with PUT;
//! then, if the step has a `status`, that is PUT to /status. Every write must be accepted except those of the last step: they
//! are accepted, or one is refused in an error that contains the case's message. Messages are those of CEL rules, or paths of
//! fields where each server words a violation of the schema in its own way.

mod dispatches;
mod pools;
mod workers;

use serde_json::{Value, json};

use self::dispatches::DISPATCHES;
use self::pools::POOLS;
use self::workers::WORKERS;

/// The writes of one object.
pub struct Case {
    /// Its name, to find it.
    pub name: &'static str,
    /// `ContainerPool`, `Worker` or `Dispatch`.
    pub kind: &'static str,
    /// Each is a YAML object of `spec`, and maybe `status` and `metadata.name`.
    pub steps: &'static [&'static str],
    /// Text in the error that refuses the last step. None: it is taken.
    pub refused: Option<&'static str>,
}

impl Case {
    /// The steps as whole objects, with or without a status.
    pub fn objects(&self) -> Vec<Value> {
        let whole = |yaml: &&str| {
            let mut object: Value = serde_saphyr::from_str(yaml).unwrap_or_else(|e| panic!("{}: {e}", self.name));
            object["apiVersion"] = json!("poolkeeper.dev/v1alpha1");
            object["kind"] = json!(self.kind);
            if object["metadata"]["name"].is_null() {
                object["metadata"] = json!({"name": "agents"});
            }
            object
        };
        self.steps.iter().map(whole).collect()
    }
}

const fn ok(name: &'static str, kind: &'static str, steps: &'static [&'static str]) -> Case {
    Case { name, kind, steps, refused: None }
}

const fn no(name: &'static str, kind: &'static str, steps: &'static [&'static str], text: &'static str) -> Case {
    Case { name, kind, steps, refused: Some(text) }
}

/// Every case of every kind.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    POOLS.iter().chain(DISPATCHES).chain(WORKERS)
}

const PERIOD: &str = "must be a length of time in ms, s, m and h, such as 90s";
const LABEL: &str = "must be lower case letters, digits and hyphens, such as team-a";
const ABSOLUTE: &str = "must be an absolute path, such as";

/// The merge patch that makes one object of another.
pub fn difference(old: &Value, new: &Value) -> Value {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let gone = old.keys().filter(|k| !new.contains_key(*k)).map(|k| (k.clone(), Value::Null));
            let changed = new.iter().filter(|(k, v)| old.get(*k) != Some(v));
            let changed = changed.map(|(k, v)| (k.clone(), difference(old.get(k).unwrap_or(&Value::Null), v)));
            Value::Object(gone.chain(changed).collect())
        }
        _ => new.clone(),
    }
}
