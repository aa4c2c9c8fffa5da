//! Values in an event, by their paths.

use serde_json::Value;

use super::preset::Fields;

/// True if an event has all of these fields.
pub(super) fn has(event: &Value, fields: &Fields) -> bool {
    fields.iter().all(|(path, wanted)| {
        let Some(value) = at_path(event, path) else { return false };
        match wanted {
            Value::String(any) if any == "*" => !value.is_null(),
            Value::Array(some) => some.contains(value),
            one => one == value,
        }
    })
}

/// The numbers at a path, in which `*` stands for every name.
pub(super) fn numbers_at(event: &Value, path: &str) -> Vec<u64> {
    match path.split_once(".*.") {
        None => at_path(event, path).and_then(Value::as_u64).into_iter().collect(),
        Some((before, after)) => {
            let named = at_path(event, before).and_then(Value::as_object);
            named.into_iter().flat_map(|map| map.values()).flat_map(|value| numbers_at(value, after)).collect()
        }
    }
}

/// The value at a path such as `message.content.0.text`.
pub(super) fn at_path<'a>(event: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(event, |value, name| match value {
        Value::Array(list) => list.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    })
}
