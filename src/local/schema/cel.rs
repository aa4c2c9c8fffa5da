//! Runs validation rules (`x-kubernetes-validations`) on objects. Each value is converted for kube-cel at most once.
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use kube_cel::KubeCelExt;
use kube_cel::cel::objects::{Key, Map};
use kube_cel::cel::{Context, ExecutionError, Value as Cel};
use serde_json::Value;

use crate::local::schema::compile::Schema;
use crate::local::schema::field_error::FieldError;
use crate::local::schema::format::{Format, go_duration};
use crate::local::schema::rule::Rule;

/// The functions that rules may call. Built once.
pub(crate) struct Rules(Context<'static>);

impl Rules {
    pub fn new() -> Self {
        let mut context = Context::default().with_all();
        // The library's own function accepts durations that do not fit Go's type.
        context.add_function("duration", |text: Arc<String>| {
            let nanos = go_duration(&text).ok_or_else(|| ExecutionError::function_error("duration", &text));
            nanos.map(|n| Cel::Duration(chrono::Duration::nanoseconds(n)))
        });
        Self(context)
    }

    /// Runs all rules of a schema on an object. Rules on `oldSelf` run only if there is an old object.
    pub fn check(&self, schema: &Schema, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let mut run = Run { functions: &self.0, errors: Vec::new() };
        if schema.ruled {
            run.node(schema, Node { json: object, cel: None }, old.map(|o| Node { json: o, cel: None }), "");
        }
        run.errors
    }
}

/// A value in both forms. The first rule that needs the second form makes it, and children share it.
#[derive(Clone)]
struct Node<'a> {
    json: &'a Value,
    cel: Option<Cel>,
}

impl Node<'_> {
    fn convert(&mut self, schema: &Schema, root: bool) {
        if self.cel.is_none() {
            self.cel = Some(if root { root_to_cel(schema, self.json) } else { to_cel(schema, self.json) });
        }
    }
}

impl<'a> Node<'a> {
    fn key(&self, schema: &Schema, key: &str) -> Option<Node<'a>> {
        let json = self.json.get(key)?;
        let cel = match &self.cel {
            Some(Cel::Map(map)) => map.map.get(&cel_key(schema, key)).cloned(),
            _ => None,
        };
        Some(Node { json, cel })
    }
}

struct Run<'c> {
    functions: &'c Context<'static>,
    errors: Vec<FieldError>,
}

impl Run<'_> {
    fn node(&mut self, schema: &Schema, mut new: Node<'_>, mut old: Option<Node<'_>>, path: &str) {
        let unchanged = old.as_ref().is_some_and(|o| o.json == new.json);
        if !schema.ruled || new.json.is_null() || (unchanged && !schema.ruled_by_transition) {
            return;
        }
        if !schema.rules.is_empty() {
            new.convert(schema, path.is_empty());
            if let Some(o) = old.as_mut().filter(|_| schema.ruled_by_transition) {
                o.convert(schema, path.is_empty());
            }
            self.rules(schema, &new, old.as_ref(), unchanged, path);
        }
        match new.json {
            Value::Object(map) => {
                for key in map.keys() {
                    let Some(s) = schema.field(key).filter(|s| s.ruled) else { continue };
                    let Some(value) = new.key(schema, key) else { continue };
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    self.node(s, value, old.as_ref().and_then(|o| o.key(schema, key)), &path);
                }
            }
            Value::Array(items) => {
                let Some(s) = schema.items.as_deref().filter(|s| s.ruled) else { return };
                for (i, item) in items.iter().enumerate() {
                    let old = schema.correlated(item, old.as_ref().map(|o| o.json));
                    let old = old.map(|json| Node { json, cel: None });
                    self.node(s, Node { json: item, cel: None }, old, &format!("{path}[{i}]"));
                }
            }
            _ => {}
        }
    }

    fn rules(&mut self, schema: &Schema, new: &Node<'_>, old: Option<&Node<'_>>, unchanged: bool, path: &str) {
        let mut scope = self.functions.new_inner_scope();
        if let Some(value) = &new.cel {
            scope.add_variable_from_value("self", value.clone());
        }
        let old_value = old.and_then(|o| o.cel.clone());
        if let Some(value) = &old_value {
            scope.add_variable_from_value("oldSelf", value.clone());
        }
        let shown = schema.types.first().map_or("", String::as_str);
        for Rule(compiled) in &schema.rules {
            let transition = compiled.is_transition_rule;
            if (transition && old_value.is_none()) || (!transition && unchanged) {
                continue;
            }
            let message = compiled.rule.message.as_deref().unwrap_or_default().trim();
            let text = if message.is_empty() { compiled.rule.rule.trim() } else { message };
            let error = match compiled.program.execute(&scope) {
                Ok(Cel::Bool(true)) => continue,
                Ok(_) => {
                    let dynamic = compiled.message_program.as_ref().and_then(|p| p.execute(&scope).ok());
                    let detail = match dynamic {
                        Some(Cel::String(s)) if !s.trim().is_empty() => s.trim().to_owned(),
                        _ if !message.is_empty() => message.to_owned(),
                        _ => format!("failed rule: {text}"),
                    };
                    let sub = compiled.rule.field_path.as_deref().unwrap_or_default();
                    let field = format!("{path}{sub}");
                    let field = field.trim_start_matches('.');
                    match compiled.rule.reason.as_deref() {
                        Some("FieldValueForbidden") => FieldError::forbidden(field, detail),
                        Some("FieldValueRequired") => FieldError::required(field, &detail),
                        Some("FieldValueDuplicate") => FieldError::duplicate(field, &shown.into()),
                        _ => FieldError::invalid(field, &shown.into(), detail),
                    }
                }
                Err(e) => FieldError::invalid(path, &shown.into(), format!("{} evaluating rule: {text}", cel_go(&e))),
            };
            self.errors.push(error);
        }
    }
}

/// The message of a runtime error. The most common ones have the words of cel-go.
fn cel_go(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("no such key: {key}"),
        ExecutionError::NoSuchOverload => "no such overload".into(),
        ExecutionError::DivisionByZero(_) => "division by zero".into(),
        ExecutionError::IndexOutOfBounds(i) => format!("index out of bounds: {i:?}"),
        ExecutionError::FunctionError { function, .. } if function == "duration" => {
            "type conversion error from 'string' to 'google.protobuf.Duration'".into()
        }
        other => other.to_string(),
    }
}

/// The schema of a value without a schema.
static ANY: LazyLock<Schema> = LazyLock::new(Schema::default);

/// Converts a whole object. Of its metadata, rules see only `name` and `generateName`.
fn root_to_cel(schema: &Schema, object: &Value) -> Cel {
    let mut map = HashMap::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        let value = if key == "metadata" {
            let names = ["name", "generateName"].into_iter().filter_map(|k| Some((k, value.get(k)?.as_str()?)));
            cel_map(names.map(|(k, v)| (string_key(k), cel_string(v))).collect())
        } else if let Some(s) = schema.properties.get(key) {
            to_cel(s, value)
        } else {
            to_cel(&ANY, value)
        };
        map.insert(cel_key(schema, key), value);
    }
    cel_map(map)
}

fn to_cel(schema: &Schema, value: &Value) -> Cel {
    match value {
        Value::Null => Cel::Null,
        Value::Bool(b) => Cel::Bool(*b),
        Value::Number(n) => match n.as_i64() {
            Some(i) if schema.types.first().is_none_or(|t| t != "number") => Cel::Int(i),
            _ => Cel::Float(n.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(s) => formatted(schema, s).unwrap_or_else(|| cel_string(s)),
        Value::Array(items) => {
            let schema = schema.items.as_deref().unwrap_or(&ANY);
            Cel::List(Arc::new(items.iter().map(|v| to_cel(schema, v)).collect()))
        }
        Value::Object(map) => {
            cel_map(map.iter().map(|(k, v)| (cel_key(schema, k), to_cel(schema.field(k).unwrap_or(&ANY), v))).collect())
        }
    }
}

/// A string of a format that has its own type in rules.
fn formatted(schema: &Schema, s: &str) -> Option<Cel> {
    match schema.values.format? {
        Format::DateTime => chrono::DateTime::parse_from_rfc3339(s).ok().map(Cel::Timestamp),
        Format::Byte => {
            use base64::Engine;
            base64::engine::general_purpose::STANDARD.decode(s).ok().map(|b| Cel::Bytes(Arc::new(b)))
        }
        Format::Date => Some(Cel::Timestamp(
            s.parse::<chrono::NaiveDate>().ok()?.and_time(chrono::NaiveTime::default()).and_utc().into(),
        )),
        Format::Duration => Some(Cel::Duration(chrono::Duration::nanoseconds(go_duration(s)?))),
    }
}

fn cel_map(map: HashMap<Key, Cel>) -> Cel {
    Cel::Map(Map { map: Arc::new(map) })
}

fn cel_string(s: &str) -> Cel {
    Cel::String(Arc::new(s.to_owned()))
}

fn string_key(s: &str) -> Key {
    Key::String(Arc::new(s.to_owned()))
}

const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// The name of a property in rules. Keys of maps are data, so they do not change.
fn cel_key(schema: &Schema, name: &str) -> Key {
    if schema.is_map() {
        return string_key(name);
    }
    if RESERVED.contains(&name) {
        return string_key(&format!("__{name}__"));
    }
    if !name.contains(['_', '.', '-', '/']) {
        return string_key(name);
    }
    let escaped = name.replace("__", "__underscores__").replace('.', "__dot__").replace('-', "__dash__");
    string_key(&escaped.replace('/', "__slash__"))
}
