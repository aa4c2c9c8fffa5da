//! Validation of values against a schema, with the messages of `kube-openapi`.
use serde_json::Value;

use crate::local::schema::compile::{ListType, Schema, key_of};
use crate::local::schema::field_error::FieldError;
use crate::local::schema::format::has_format;

/// Checks a value. `old` is the value that it replaces: unchanged parts are not checked again (ratcheting, on by default
/// since Kubernetes 1.30).
///
/// `root` is the path of the value in its object; it is empty for the whole object. The real server checks a status apart
/// from its object, and so the field of an error is `status.x` where the message says `x`.
pub(crate) fn validate(schema: &Schema, value: &Value, old: Option<&Value>, root: &str) -> Vec<FieldError> {
    let mut walk = Walk { root, errors: Vec::new() };
    walk.value(schema, value, old, "");
    if schema.keyed_lists {
        walk.keyed_lists(schema, value, old, "");
    }
    walk.errors
}

struct Walk<'a> {
    /// The path of the checked value in the object.
    root: &'a str,
    errors: Vec<FieldError>,
}

impl Walk<'_> {
    /// The path of the field in the object.
    fn field(&self, path: &str) -> String {
        match (self.root.is_empty(), path.is_empty()) {
            (true, _) => path.into(),
            (false, true) => self.root.into(),
            (false, false) => format!("{}.{}", self.root, path.trim_start_matches('.')),
        }
    }

    fn value(&mut self, schema: &Schema, value: &Value, old: Option<&Value>, path: &str) {
        if old == Some(value) {
            return;
        }
        self.type_of(schema, value, path);
        if !value.is_null() {
            self.branches(schema, value, path);
        }
        match value {
            Value::String(s) => self.string(schema, s, path),
            Value::Number(n) => self.number(schema, n, path),
            Value::Array(items) => self.array(schema, items, old, path),
            _ => {}
        }
        let allowed = &schema.values.allowed;
        let null = value.is_null() && schema.nullable;
        if !(null || allowed.is_empty() || allowed.contains(value)) {
            self.errors.push(FieldError::not_supported(&self.field(path), value, allowed));
        }
        if let Value::Object(map) = value {
            self.object(schema, map, old, path);
        }
    }

    fn type_of(&mut self, schema: &Schema, value: &Value, path: &str) {
        let found = type_name(value);
        let fits = schema.types.is_empty()
            || (value.is_null() && schema.nullable)
            || schema.types.iter().any(|t| {
                t == found
                    || (t == "number" && found == "integer")
                    || (t == "integer" && value.as_f64().is_some_and(|f| f.fract() == 0.0))
            });
        if !fits {
            // For a value with a format, the real server names the types of Go.
            let (found, expected) = match (schema.values.format, value) {
                (Some(format), Value::Number(n)) => {
                    (if n.is_f64() { "float64" } else { "int64" }, format.name().into())
                }
                (Some(format), Value::Bool(_)) => ("bool", format.name().into()),
                _ => (found, schema.types.join(",")),
            };
            let detail = format!("{path} in body must be of type {expected}: {found:?}");
            self.errors.push(FieldError::type_invalid(&self.field(path), found, detail));
        }
    }

    fn branches(&mut self, schema: &Schema, value: &Value, path: &str) {
        let check = |s: &Schema, root: &str| {
            let mut walk = Walk { root, errors: Vec::new() };
            walk.value(s, value, None, path);
            walk.errors
        };
        let composite = |text: String| FieldError::invalid(self.root, &"".into(), text);
        let mut errors = Vec::new();
        if !schema.any_of.is_empty() {
            let results: Vec<_> = schema.any_of.iter().map(|s| check(s, self.root)).collect();
            if results.iter().all(|r| !r.is_empty()) {
                errors.push(composite(format!("{path:?} must validate at least one schema (anyOf)")));
                errors.extend(results.into_iter().min_by_key(Vec::len).unwrap_or_default());
            }
        }
        if !schema.one_of.is_empty() {
            let results: Vec<_> = schema.one_of.iter().map(|s| check(s, self.root)).collect();
            let valid = results.iter().filter(|r| r.is_empty()).count();
            if valid != 1 {
                let found =
                    if valid == 0 { "Found none valid".into() } else { format!("Found {valid} valid alternatives") };
                errors.push(composite(format!("{path:?} must validate one and only one schema (oneOf). {found}")));
                if valid == 0 {
                    errors.extend(results.into_iter().min_by_key(Vec::len).unwrap_or_default());
                }
            }
        }
        let failed: Vec<_> = schema.all_of.iter().map(|s| check(s, self.root)).filter(|r| !r.is_empty()).collect();
        if !failed.is_empty() {
            let none = if failed.len() == schema.all_of.len() { ". None validated" } else { "" };
            errors.extend(failed.into_iter().flatten());
            errors.push(composite(format!("{path:?} must validate all the schemas (allOf){none}")));
        }
        if schema.not.as_ref().is_some_and(|s| check(s, self.root).is_empty()) {
            errors.push(composite(format!("{path:?} must not validate the schema (not)")));
        }
        self.errors.append(&mut errors);
    }

    /// Reports the first mistake only, and a wrong format.
    fn string(&mut self, schema: &Schema, s: &str, path: &str) {
        let v = &schema.values;
        let field = self.field(path);
        let length = s.chars().count() as u64;
        if let Some(max) = v.max_length.filter(|max| length > *max) {
            self.errors.push(FieldError::too_long(&field, max));
        } else if let Some(min) = v.min_length.filter(|min| length < *min) {
            let detail = format!("{path} in body should be at least {min} chars long");
            self.errors.push(FieldError::invalid(&field, &s.into(), detail));
        } else if let Some(pattern) = v.pattern.as_ref().filter(|p| !p.is_match(s)) {
            let detail = format!("{path} in body should match '{}'", pattern.as_str());
            self.errors.push(FieldError::invalid(&field, &s.into(), detail));
        }
        if let Some(format) = v.format.filter(|f| !has_format(*f, s)) {
            let detail = format!("{path} in body must be of type {}: {s:?}", format.name());
            self.errors.push(FieldError::type_invalid(&field, s, detail));
        }
    }

    /// Reports the first mistake only.
    fn number(&mut self, schema: &Schema, n: &serde_json::Number, path: &str) {
        let v = &schema.values;
        let Some(x) = n.as_f64() else { return };
        let why = if let Some(step) = v.multiple_of.filter(|step| (x / step).fract() != 0.0) {
            format!("a multiple of {step}")
        } else if let Some(max) = v.maximum.filter(|max| x > *max || (v.exclusive_maximum && x >= *max)) {
            format!("less than {}{max}", if v.exclusive_maximum { "" } else { "or equal to " })
        } else if let Some(min) = v.minimum.filter(|min| x < *min || (v.exclusive_minimum && x <= *min)) {
            format!("greater than {}{min}", if v.exclusive_minimum { "" } else { "or equal to " })
        } else {
            return;
        };
        let detail = if v.go { format!("must be {why}") } else { format!("{path} in body should be {why}") };
        self.errors.push(FieldError::invalid(&self.field(path), &Value::Number(n.clone()), detail));
    }

    fn array(&mut self, schema: &Schema, items: &[Value], old: Option<&Value>, path: &str) {
        if let Some(s) = &schema.items {
            for (i, item) in items.iter().enumerate() {
                self.value(s, item, schema.correlated(item, old), &format!("{path}[{i}]"));
            }
        }
        if let Some(min) = schema.values.min_items.filter(|min| (items.len() as u64) < *min) {
            let detail = format!("{path} in body should have at least {min} items");
            self.errors.push(FieldError::invalid(&self.field(path), &items.len().into(), detail));
        }
        if let Some(max) = schema.values.max_items.filter(|max| items.len() as u64 > *max) {
            self.errors.push(FieldError::too_many(&self.field(path), items.len(), max));
        }
    }

    fn object(&mut self, schema: &Schema, map: &serde_json::Map<String, Value>, old: Option<&Value>, path: &str) {
        let v = &schema.values;
        if let Some(min) = v.min_properties.filter(|min| (map.len() as u64) < *min) {
            let detail = format!("{path} in body should have at least {min} properties");
            self.errors.push(FieldError::invalid(&self.field(path), &map.len().into(), detail));
        }
        if let Some(max) = v.max_properties.filter(|max| map.len() as u64 > *max) {
            self.errors.push(FieldError::too_many(&self.field(path), map.len(), max));
        }
        let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        for (key, value) in map {
            let at_root = path.is_empty() && self.root.is_empty();
            if at_root && key == "metadata" {
                continue;
            }
            if let Some(s) = schema.field(key) {
                self.value(s, value, old.and_then(|o| o.get(key)), &join(key));
            }
        }
        for key in schema.required.iter().filter(|k| !map.contains_key(*k)) {
            self.errors.push(FieldError::required(&self.field(&join(key)), ""));
        }
    }

    /// A set may not have two equal items, a map no two items with equal keys.
    fn keyed_lists(&mut self, schema: &Schema, value: &Value, old: Option<&Value>, path: &str) {
        if old == Some(value) || !schema.keyed_lists {
            return;
        }
        match value {
            Value::Array(items) => {
                let keys: Vec<Value> = match &schema.list {
                    ListType::Atomic => Vec::new(),
                    ListType::Set => items.clone(),
                    ListType::Map(keys) => items.iter().map(|i| key_of(keys, i)).collect(),
                };
                if matches!(schema.list, ListType::Map(_)) {
                    for (i, item) in items.iter().enumerate().filter(|(_, i)| !i.is_object() && !i.is_null()) {
                        let field = self.field(&format!("{path}[{i}]"));
                        let detail = "must be an object for an array of list-type map";
                        self.errors.push(FieldError::invalid(&field, item, detail));
                    }
                }
                for (i, key) in keys.iter().enumerate() {
                    if keys[..i].iter().filter(|k| *k == key).count() == 1 {
                        self.errors.push(FieldError::duplicate(&self.field(&format!("{path}[{i}]")), key));
                    }
                }
                for (i, item) in items.iter().enumerate() {
                    if let Some(s) = &schema.items {
                        self.keyed_lists(s, item, None, &format!("{path}[{i}]"));
                    }
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    if let Some(s) = schema.field(key) {
                        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                        self.keyed_lists(s, value, old.and_then(|o| o.get(key)), &path);
                    }
                }
            }
            _ => {}
        }
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
