//! The metadata of objects: how it is read from a body, and the checks that all kinds have in common.
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::local::schema::field_error::FieldError;
use crate::local::schema::kind::Kind;

const STRINGS: [&str; 7] =
    ["name", "generateName", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"];
const NUMBERS: [&str; 2] = ["generation", "deletionGracePeriodSeconds"];
const MAPS: [&str; 2] = ["labels", "annotations"];
/// The fields of an owner reference.
const OWNER: [&str; 6] = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"];
/// The finalizers that need no domain.
pub(crate) const STANDARD_FINALIZERS: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];
/// Fields that are accepted and not stored.
const IGNORED: [&str; 2] = ["managedFields", "selfLink"];

/// A string in the metadata; empty if missing.
pub(crate) fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object["metadata"][key].as_str().unwrap_or_default()
}

/// The metadata as a map. Creates it if it is missing.
pub(crate) fn of(object: &mut Value) -> &mut Map<String, Value> {
    let metadata = &mut object["metadata"];
    if !metadata.is_object() {
        *metadata = json!({});
    }
    match metadata {
        Value::Object(map) => map,
        _ => unreachable!("made an object above"),
    }
}

/// The strings of a list in the metadata, such as `finalizers`.
pub(crate) fn list<'a>(object: &'a Value, key: &str) -> Vec<&'a str> {
    object["metadata"][key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

pub(crate) fn owners(object: &Value) -> &[Value] {
    object["metadata"]["ownerReferences"].as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn is_deleting(object: &Value) -> bool {
    !text(object, "deletionTimestamp").is_empty()
}

/// A time in the format of metadata, in whole seconds.
pub(crate) fn time(t: Timestamp) -> String {
    t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Gives the metadata of a decoded body the form that Go's types give it: empty values and unknown fields are removed.
/// Returns the paths of the unknown fields.
///
/// # Errors
/// A field with the wrong type.
pub(crate) fn normalize(object: &mut Value) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    let mut wrong = None;
    of(object).retain(|key, value| {
        let key = key.as_str();
        let fits = if STRINGS.contains(&key) {
            value.is_string()
        } else if NUMBERS.contains(&key) {
            value.is_i64() || value.is_u64()
        } else if MAPS.contains(&key) {
            value.as_object().is_some_and(|m| m.values().all(Value::is_string))
        } else if key == "finalizers" {
            value.as_array().is_some_and(|l| l.iter().all(Value::is_string))
        } else if key == "ownerReferences" {
            value.as_array().is_some_and(|l| l.iter().all(Value::is_object))
        } else {
            if !IGNORED.contains(&key) {
                unknown.push(format!("metadata.{key}"));
            }
            return false;
        };
        for owner in value.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            owner.retain(|field, v| OWNER.contains(&field.as_str()) && !v.is_null());
        }
        let empty = match value {
            Value::Null => true,
            Value::String(s) => s.is_empty(),
            Value::Array(l) => l.is_empty(),
            Value::Object(m) => m.is_empty(),
            _ => false,
        };
        if !fits && !value.is_null() {
            wrong = Some(format!("json: cannot unmarshal into Go struct field ObjectMeta.{key}"));
        }
        !empty
    });
    wrong.map_or(Ok(unknown), Err)
}

/// The checks of a new object's metadata.
pub(crate) fn validate_new(object: &Value, kind: &Kind) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let generate = text(object, "generateName");
    if !generate.is_empty() {
        // The generated part follows a hyphen at the end.
        let prefix = match generate.strip_suffix('-') {
            Some(rest) if !rest.is_empty() => format!("{}a", &rest[..rest.floor_char_boundary(rest.len() - 1)]),
            _ => generate.to_owned(),
        };
        subdomain("metadata.generateName", generate, &prefix, &mut errors);
    }
    match text(object, "name") {
        "" => errors.push(FieldError::required("metadata.name", "name or generateName is required")),
        name if kind.traits.short_name => label("metadata.name", name, &mut errors),
        name => subdomain("metadata.name", name, name, &mut errors),
    }
    match (kind.namespaced, text(object, "namespace")) {
        (true, "") => errors.push(FieldError::required("metadata.namespace", "")),
        (false, "") | (true, _) => {}
        (false, _) => errors.push(FieldError::forbidden("metadata.namespace", "not allowed on this type")),
    }
    common(object, &mut errors);
    errors
}

/// The checks of changed metadata.
pub(crate) fn validate_change(object: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if is_deleting(old) {
        let before = list(old, "finalizers");
        let mut new: Vec<&str> = list(object, "finalizers").into_iter().filter(|f| !before.contains(f)).collect();
        new.sort_unstable();
        if !new.is_empty() {
            let shown: Vec<String> = new.iter().map(|f| format!("{f:?}")).collect();
            errors.push(FieldError::forbidden(
                "metadata.finalizers",
                format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    shown.join(", ")
                ),
            ));
        }
    }
    for key in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (new, old) = (&object["metadata"][key], &old["metadata"][key]);
        if new != old {
            let path = format!("metadata.{key}");
            let shown = if new.is_null() { &Value::String(String::new()) } else { new };
            errors.push(match shown.as_str().filter(|_| key == "deletionTimestamp") {
                Some(time) => FieldError::invalid_raw(&path, time, "field is immutable"),
                None => FieldError::invalid(&path, shown, "field is immutable"),
            });
        }
    }
    common(object, &mut errors);
    errors
}

fn common(object: &Value, errors: &mut Vec<FieldError>) {
    let map = |key: &str| object["metadata"][key].as_object().into_iter().flatten();
    for (key, value) in map("labels") {
        qualified_name("metadata.labels", key, key, errors);
        label_value("metadata.labels", value.as_str().unwrap_or_default(), errors);
    }
    let mut size = 0;
    for (key, value) in map("annotations") {
        qualified_name("metadata.annotations", key, &key.to_lowercase(), errors);
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_LIMIT {
        errors.push(FieldError::too_long("metadata.annotations", ANNOTATIONS_LIMIT as u64));
    }
    let finalizers = list(object, "finalizers");
    for finalizer in &finalizers {
        qualified_name("metadata.finalizers", finalizer, finalizer, errors);
    }
    if STANDARD_FINALIZERS[..2].iter().all(|f| finalizers.contains(f)) {
        let shown: Vec<String> = finalizers.iter().map(|f| format!("{f:?}")).collect();
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        let shown = format!("[]string{{{}}}", shown.join(", "));
        errors.push(FieldError::invalid_raw("metadata.finalizers", &shown, detail));
    }
    let mut controller: Option<String> = None;
    for owner in owners(object) {
        for (key, field, what) in [
            ("apiVersion", "apiVersion", "version"),
            ("kind", "kind", "kind"),
            ("name", "name", "name"),
            ("uid", "uid", "uid"),
        ] {
            if owner[key].as_str().unwrap_or_default().is_empty() {
                let path = format!("metadata.ownerReferences.{field}");
                errors.push(FieldError::invalid(&path, &"".into(), format!("{what} must not be empty")));
            }
        }
        if owner["controller"] == Value::Bool(true) {
            let this = format!(
                "{}/{}",
                owner["kind"].as_str().unwrap_or_default(),
                owner["name"].as_str().unwrap_or_default()
            );
            match &controller {
                Some(first) => errors.push(FieldError::invalid(
                    "metadata.ownerReferences",
                    &object["metadata"]["ownerReferences"],
                    format!(
                        "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                    ),
                )),
                None => controller = Some(this),
            }
        }
    }
}

const ANNOTATIONS_LIMIT: usize = 256 * 1024;

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const NAME_PART: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

fn is_subdomain(s: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    s.split('.').all(|p| !p.is_empty() && p.chars().all(inner) && !p.starts_with('-') && !p.ends_with('-'))
}

fn subdomain(field: &str, shown: &str, name: &str, errors: &mut Vec<FieldError>) {
    if name.len() > 253 {
        errors.push(FieldError::invalid(field, &shown.into(), "must be no more than 253 characters"));
    }
    if !is_subdomain(name) {
        errors.push(FieldError::invalid(field, &shown.into(), SUBDOMAIN));
    }
}

fn label(field: &str, name: &str, errors: &mut Vec<FieldError>) {
    if name.len() > 63 {
        errors.push(FieldError::invalid(field, &name.into(), "must be no more than 63 characters"));
    }
    if !is_subdomain(name) || name.contains('.') {
        errors.push(FieldError::invalid(field, &name.into(), LABEL));
    }
}

fn is_word(s: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    s.chars().all(inner) && end(s.chars().next()) && end(s.chars().next_back())
}

/// An optional DNS prefix, a slash and a name: keys of labels and annotations, names of finalizers.
pub(crate) fn qualified_name(field: &str, shown: &str, name: &str, errors: &mut Vec<FieldError>) {
    let mut bad = |detail: String| errors.push(FieldError::invalid(field, &shown.into(), detail));
    let name = match name.split_once('/') {
        Some((_, rest)) if rest.contains('/') => {
            return bad(format!(
                "a qualified name {} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
                NAME_PART.trim_start_matches("name part ")
            ));
        }
        Some(("", name)) => {
            bad("prefix part must be non-empty".into());
            name
        }
        Some((prefix, name)) => {
            if prefix.len() > 253 {
                bad("prefix part must be no more than 253 characters".into());
            }
            if !is_subdomain(prefix) {
                bad(format!("prefix part {SUBDOMAIN}"));
            }
            name
        }
        None => name,
    };
    if name.is_empty() {
        bad("name part must be non-empty".into());
    } else if name.len() > 63 {
        bad("name part must be no more than 63 characters".into());
    }
    if !is_word(name) {
        bad(NAME_PART.into());
    }
}

/// The value of a label.
pub(crate) fn label_value(field: &str, value: &str, errors: &mut Vec<FieldError>) {
    if value.len() > 63 {
        errors.push(FieldError::invalid(field, &value.into(), "must be no more than 63 characters"));
    }
    if !value.is_empty() && !is_word(value) {
        errors.push(FieldError::invalid(field, &value.into(), LABEL_VALUE));
    }
}
