//! Field errors: an invalid field of an object, with the words of `k8s.io/apimachinery`.
use std::fmt;

use serde_json::Value;

/// The kind of a mistake. It decides the first words of the message and the reason in `details.causes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldErrorKind {
    Required,
    Duplicate,
    Invalid,
    NotSupported,
    Forbidden,
    TooLong,
    TooMany,
    TypeInvalid,
}

impl FieldErrorKind {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
        }
    }
}

/// One mistake in one field.
#[derive(Debug, Clone)]
pub(crate) struct FieldError {
    pub kind: FieldErrorKind,
    /// The path; `<nil>` is the object itself, as Go prints it.
    pub field: String,
    /// The invalid value as a string.
    value: Option<String>,
    detail: String,
}

impl FieldError {
    fn new(kind: FieldErrorKind, field: &str, value: Option<String>, detail: impl Into<String>) -> Self {
        let field = if field.is_empty() { "<nil>" } else { field };
        Self { kind, field: field.into(), value, detail: detail.into() }
    }

    pub fn required(field: &str, detail: &str) -> Self {
        Self::new(FieldErrorKind::Required, field, None, detail)
    }

    pub fn forbidden(field: &str, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Forbidden, field, None, detail)
    }

    pub fn invalid(field: &str, value: &Value, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Invalid, field, Some(go_value(value)), detail)
    }

    /// Like [`Self::invalid`], with the value as a string.
    pub fn invalid_raw(field: &str, value: &str, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::Invalid, field, Some(value.into()), detail)
    }

    /// `shown` is the type's name, or the value if its format is wrong.
    pub fn type_invalid(field: &str, shown: &str, detail: impl Into<String>) -> Self {
        Self::new(FieldErrorKind::TypeInvalid, field, Some(format!("{shown:?}")), detail)
    }

    pub fn duplicate(field: &str, value: &Value) -> Self {
        Self::new(FieldErrorKind::Duplicate, field, Some(go_value(value)), "")
    }

    pub fn not_supported(field: &str, value: &Value, allowed: &[Value]) -> Self {
        Self { value: Some(go_value(value)), ..Self::not_supported_list(field, &[], allowed) }
    }

    /// Like [`Self::not_supported`], for a list of strings.
    pub fn not_supported_list(field: &str, values: &[&str], allowed: &[Value]) -> Self {
        let shown: Vec<String> = values.iter().map(|v| format!("{v:?}")).collect();
        let shown = format!("[]string{{{}}}", shown.join(", "));
        let allowed: Vec<String> = allowed
            .iter()
            .map(|v| v.as_str().map_or_else(|| format!("{:?}", v.to_string()), |s| format!("{s:?}")))
            .collect();
        let detail = format!("supported values: {}", allowed.join(", "));
        Self::new(FieldErrorKind::NotSupported, field, Some(shown), detail)
    }

    pub fn too_long(field: &str, max: u64) -> Self {
        Self::new(FieldErrorKind::TooLong, field, None, format!("may not be more than {max} bytes"))
    }

    pub fn too_many(field: &str, actual: usize, max: u64) -> Self {
        let detail = format!("must have at most {max} items");
        Self::new(FieldErrorKind::TooMany, field, Some(actual.to_string()), detail)
    }

    /// The message without the field.
    pub fn body(&self) -> String {
        let mut text = self.kind.words().to_owned();
        for part in self.value.iter().chain((!self.detail.is_empty()).then_some(&self.detail)) {
            text.push_str(": ");
            text.push_str(part);
        }
        text
    }

    /// Whether this mistake makes the server skip validation rules (CEL).
    pub fn blocks_rules(&self) -> bool {
        use FieldErrorKind::{NotSupported, Required, TooLong, TooMany, TypeInvalid};
        matches!(self.kind, NotSupported | Required | TooLong | TooMany | TypeInvalid)
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// Prints a JSON value as Go prints the same value in an error (`%v` of scalars, `%q` of strings, else `%#v`).
fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "\"null\"".into(),
        Value::String(s) => format!("{s:?}"),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) | Value::Object(_) => go_syntax(value),
    }
}

fn go_syntax(value: &Value) -> String {
    match value {
        Value::Null => "interface {}(nil)".into(),
        Value::String(s) => format!("{s:?}"),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => {
            format!("[]interface {{}}{{{}}}", items.iter().map(go_syntax).collect::<Vec<_>>().join(", "))
        }
        Value::Object(map) => {
            let parts: Vec<String> = map.iter().map(|(k, v)| format!("{k:?}:{}", go_syntax(v))).collect();
            format!("map[string]interface {{}}{{{}}}", parts.join(", "))
        }
    }
}
