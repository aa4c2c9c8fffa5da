//! Structural schemas: compiled once from a CRD, then used to prune objects, fill in defaults, validate and run rules.
use std::collections::BTreeMap;
use std::fmt::Write;

use regex::Regex;
use serde_json::{Map, Value};

use crate::local::schema::format::Format;
use crate::local::schema::rule::Rule;

/// One node of a structural schema.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    /// The names of the allowed types; empty: any type. An int-or-string has two.
    pub types: Vec<String>,
    pub nullable: bool,
    pub preserve_unknown: bool,
    pub embedded: bool,
    pub properties: BTreeMap<String, Schema>,
    pub additional: Additional,
    pub items: Option<Box<Schema>>,
    pub required: Vec<String>,
    pub default: Option<Value>,
    pub values: Values,
    pub list: ListType,
    pub all_of: Vec<Schema>,
    pub any_of: Vec<Schema>,
    pub one_of: Vec<Schema>,
    pub not: Option<Box<Schema>>,
    pub rules: Vec<Rule>,
    /// Whether this node or one below it has rules.
    pub ruled: bool,
    /// Whether this node or one below it has rules on `oldSelf`.
    pub ruled_by_transition: bool,
    /// Whether this node or one below it is a set or a map in a list.
    pub keyed_lists: bool,
}

/// Restrictions on a value that do not depend on its structure.
#[derive(Debug, Default)]
pub(crate) struct Values {
    pub allowed: Vec<Value>,
    pub minimum: Option<f64>,
    pub exclusive_minimum: bool,
    /// Whether Go code of a built-in kind checks the bounds. Its messages differ.
    pub go: bool,
    pub maximum: Option<f64>,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub pattern: Option<Regex>,
    pub format: Option<Format>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub min_properties: Option<u64>,
    pub max_properties: Option<u64>,
}

/// The fields that an object may have besides its properties.
#[derive(Debug, Default)]
pub(crate) enum Additional {
    #[default]
    None,
    /// `additionalProperties: true`: scalars stay, and the fields of objects are pruned.
    Any,
    Of(Box<Schema>),
}

/// `x-kubernetes-list-type`.
#[derive(Debug, Default)]
pub(crate) enum ListType {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Formats of strings that the real server checks and this one does not know.
const UNKNOWN_FORMATS: &str = "bsonobjectid uri email hostname ipv4 ipv6 cidr mac uuid uuid3 uuid4 uuid5 isbn isbn10 isbn13 creditcard ssn hexcolor rgbcolor";

impl Schema {
    /// Compiles the JSON form of an `openAPIV3Schema`. `path` is for the error's text.
    ///
    /// # Errors
    /// A pattern or rule that does not compile, an unsupported format or keyword. The message has the path.
    pub fn compile(json: &Value, path: &str) -> Result<Self, String> {
        let sub = |v: &Value, name: &str| Self::compile(v, &format!("{path}.{name}"));
        let flag = |key: &str| json[key] == Value::Bool(true);
        // The real server runs rules in branches too, but no known CRD has rules there.
        let branch = |v: &Value, key: &str| match sub(v, key)? {
            s if s.ruled => Err(format!("{path}.{key}: x-kubernetes-validations are not supported here")),
            s => Ok(s),
        };
        let list = |key: &str| -> Result<Vec<Self>, String> {
            json[key].as_array().into_iter().flatten().map(|v| branch(v, key)).collect()
        };
        for keyword in ["$ref", "patternProperties", "dependencies", "definitions", "additionalItems", "uniqueItems"] {
            if json.get(keyword).is_some() {
                return Err(format!("{path}: {keyword} is not supported in a structural schema"));
            }
        }
        let types = if flag("x-kubernetes-int-or-string") {
            vec!["integer".into(), "string".into()]
        } else {
            json["type"].as_str().map(str::to_owned).into_iter().collect()
        };
        let mut schema = Self {
            types,
            nullable: flag("nullable"),
            preserve_unknown: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            additional: match &json["additionalProperties"] {
                Value::Bool(true) => Additional::Any,
                v @ Value::Object(_) => Additional::Of(Box::new(sub(v, "*")?)),
                _ => Additional::None,
            },
            items: json.get("items").map(|v| sub(v, "[]")).transpose()?.map(Box::new),
            required: strings(&json["required"]),
            default: json.get("default").cloned(),
            values: Values::compile(json, path)?,
            list: match json["x-kubernetes-list-type"].as_str() {
                Some("set") => ListType::Set,
                Some("map") => ListType::Map(strings(&json["x-kubernetes-list-map-keys"])),
                _ => ListType::Atomic,
            },
            all_of: list("allOf")?,
            any_of: list("anyOf")?,
            one_of: list("oneOf")?,
            not: json.get("not").map(|v| branch(v, "not")).transpose()?.map(Box::new),
            rules: Rule::compile_all(json).map_err(|e| format!("{path}: {e}"))?,
            ..Self::default()
        };
        for (name, property) in json["properties"].as_object().into_iter().flatten() {
            schema.properties.insert(name.clone(), sub(property, name)?);
        }
        schema.ruled = !schema.rules.is_empty() || schema.children().any(|c| c.ruled);
        schema.ruled_by_transition =
            schema.rules.iter().any(Rule::is_transition) || schema.children().any(|c| c.ruled_by_transition);
        schema.keyed_lists = !matches!(schema.list, ListType::Atomic) || schema.children().any(|c| c.keyed_lists);
        Ok(schema)
    }

    fn children(&self) -> impl Iterator<Item = &Self> {
        let additional = if let Additional::Of(s) = &self.additional { Some(&**s) } else { None };
        self.properties.values().chain(additional).chain(self.items.as_deref())
    }

    /// The schema of a field of an object.
    pub fn field(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(if let Additional::Of(s) = &self.additional { Some(s) } else { None })
    }

    /// The item of the old list that an item of the new list replaces. Only lists of type map say which.
    pub fn correlated<'o>(&self, item: &Value, old: Option<&'o Value>) -> Option<&'o Value> {
        let ListType::Map(keys) = &self.list else { return None };
        let key = key_of(keys, item);
        old?.as_array()?.iter().find(|o| key_of(keys, o) == key)
    }

    /// Whether it is a map: its keys are data, not names of fields.
    pub fn is_map(&self) -> bool {
        !matches!(self.additional, Additional::None)
    }

    /// Removes unknown fields from a whole object, except `apiVersion`, `kind` and `metadata`. Returns their paths, sorted.
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        let mut unknown = Vec::new();
        prune(Some(self), object, true, &mut String::new(), &mut unknown);
        unknown.sort();
        unknown
    }

    /// Removes a null from each field that may not be null and has no default.
    pub fn prune_nulls(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                map.retain(|k, v| !(v.is_null() && self.field(k).is_some_and(|s| !s.nullable && s.default.is_none())));
                for (k, v) in map {
                    if let Some(s) = self.field(k) {
                        s.prune_nulls(v);
                    }
                }
            }
            Value::Array(items) => {
                if let Some(s) = &self.items {
                    for v in items {
                        s.prune_nulls(v);
                    }
                }
            }
            _ => {}
        }
    }

    /// Fills in defaults for missing fields, and for nulls in fields that may not be null. Says whether it changed anything.
    pub fn apply_defaults(&self, value: &mut Value) -> bool {
        let mut changed = false;
        match value {
            Value::Object(map) => {
                for (name, s) in &self.properties {
                    if let Some(default) = s.default.as_ref().filter(|_| !map.contains_key(name)) {
                        map.insert(name.clone(), default.clone());
                        changed = true;
                    }
                }
                for (name, v) in map {
                    if let Some(s) = self.field(name) {
                        changed |= s.replace_null(v) | s.apply_defaults(v);
                    }
                }
            }
            Value::Array(items) => {
                for (v, s) in items.iter_mut().filter_map(|v| Some((v, self.items.as_deref()?))) {
                    changed |= s.replace_null(v) | s.apply_defaults(v);
                }
            }
            _ => {}
        }
        changed
    }

    fn replace_null(&self, value: &mut Value) -> bool {
        let default = self.default.as_ref().filter(|_| value.is_null() && !self.nullable);
        if let Some(default) = default {
            *value = default.clone();
        }
        default.is_some()
    }
}

impl Values {
    fn compile(json: &Value, path: &str) -> Result<Self, String> {
        let whole = |key: &str| json[key].as_u64();
        let pattern = match json["pattern"].as_str() {
            Some(p) => Some(Regex::new(p).map_err(|e| format!("{path}: pattern {p:?}: {e}"))?),
            None => None,
        };
        let format = match json["format"].as_str().map(|f| f.replace('-', "")).as_deref() {
            Some("datetime") => Some(Format::DateTime),
            Some("date") => Some(Format::Date),
            Some("duration") => Some(Format::Duration),
            Some("byte") => Some(Format::Byte),
            Some(other) if UNKNOWN_FORMATS.split(' ').any(|f| f == other) => {
                return Err(format!("{path}: format {other:?} is not supported"));
            }
            _ => None,
        };
        Ok(Self {
            allowed: json["enum"].as_array().cloned().unwrap_or_default(),
            minimum: json["minimum"].as_f64(),
            exclusive_minimum: json["exclusiveMinimum"] == Value::Bool(true),
            go: json["x-go"] == Value::Bool(true),
            maximum: json["maximum"].as_f64(),
            exclusive_maximum: json["exclusiveMaximum"] == Value::Bool(true),
            multiple_of: json["multipleOf"].as_f64(),
            min_length: whole("minLength"),
            max_length: whole("maxLength"),
            pattern,
            format,
            min_items: whole("minItems"),
            max_items: whole("maxItems"),
            min_properties: whole("minProperties"),
            max_properties: whole("maxProperties"),
        })
    }
}

/// The keys that identify an item in a list of type map.
pub(crate) fn key_of(keys: &[String], item: &Value) -> Value {
    keys.iter().filter_map(|k| item.get(k).map(|v| (k.clone(), v.clone()))).collect::<serde_json::Map<_, _>>().into()
}

fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn prune(schema: Option<&Schema>, value: &mut Value, root: bool, path: &mut String, unknown: &mut Vec<String>) {
    let length = path.len();
    match value {
        Value::Object(map) => prune_object(schema, map, root, path, unknown),
        Value::Array(items) => {
            let preserve = schema.is_some_and(|s| s.preserve_unknown);
            let schema = schema.and_then(|s| s.items.as_deref());
            if preserve && schema.is_none() {
                return;
            }
            for (i, item) in items.iter_mut().enumerate() {
                _ = write!(path, "[{i}]");
                prune(schema, item, false, path, unknown);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

fn prune_object(
    schema: Option<&Schema>,
    map: &mut Map<String, Value>,
    root: bool,
    path: &mut String,
    unknown: &mut Vec<String>,
) {
    let length = path.len();
    let join = |path: &mut String, key: &str| {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    };
    map.retain(|key, value| {
        let keeps_meta = root || schema.is_some_and(|s| s.embedded);
        if keeps_meta && META.contains(&key.as_str()) {
            return true;
        }
        let known = match schema {
            None => None,
            Some(s) => match (s.properties.get(key), &s.additional) {
                (Some(property), _) => Some(Some(property)),
                (None, Additional::Of(s)) => Some(Some(&**s)),
                (None, Additional::Any) => Some(None),
                (None, Additional::None) => None,
            },
        };
        join(path, key);
        let keep = match known {
            Some(sub) => {
                prune(sub, value, false, path, unknown);
                true
            }
            None if schema.is_some_and(|s| s.preserve_unknown) => true,
            None => {
                unknown.push(path.clone());
                false
            }
        };
        path.truncate(length);
        keep
    });
}
