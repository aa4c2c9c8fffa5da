//! Label and field selectors of list, watch and deletecollection.
use serde_json::Value;

use crate::local::response::status::ApiError;
use crate::local::schema::kind::Kind;
use crate::local::schema::meta;
use crate::local::store::object::to_json;

/// The objects that a request is about. The default selects all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selector {
    labels: Vec<LabelTerm>,
    fields: Vec<FieldTerm>,
}

#[derive(Debug, Clone)]
struct LabelTerm {
    key: String,
    test: LabelTest,
}

#[derive(Debug, Clone)]
enum LabelTest {
    In(Vec<String>),
    /// Also selects objects that lack the key.
    NotIn(Vec<String>),
    Exists,
    Absent,
}

#[derive(Debug, Clone)]
struct FieldTerm {
    path: Vec<String>,
    value: String,
    equal: bool,
}

impl Selector {
    /// Reads the two query parameters.
    ///
    /// # Errors
    /// 400 for a selector that cannot be read, or a field that the kind does not offer for selection.
    pub fn parse(kind: &Kind, labels: Option<&str>, fields: Option<&str>) -> Result<Self, ApiError> {
        let labels = labels.unwrap_or_default();
        if labels.trim_end().ends_with(',') {
            return Err(ApiError::bad_request("found '', expected: identifier after ','"));
        }
        let labels = split(labels).map(label_term).collect::<Result<_, _>>()?;
        let fields = split(fields.unwrap_or_default()).map(|t| field_term(kind, t)).collect::<Result<_, _>>()?;
        Ok(Self { labels, fields })
    }

    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    pub fn matches(&self, object: &Value) -> bool {
        self.fields.iter().all(|term| term.matches(object)) && self.labels.iter().all(|term| term.matches(object))
    }
}

impl LabelTerm {
    fn matches(&self, object: &Value) -> bool {
        let value = object["metadata"]["labels"][self.key.as_str()].as_str();
        match &self.test {
            LabelTest::In(values) => value.is_some_and(|v| values.iter().any(|x| x == v)),
            LabelTest::NotIn(values) => value.is_none_or(|v| values.iter().all(|x| x != v)),
            LabelTest::Exists => value.is_some(),
            LabelTest::Absent => value.is_none(),
        }
    }
}

impl FieldTerm {
    fn matches(&self, object: &Value) -> bool {
        let found = self.path.iter().try_fold(object, |v, key| v.get(key));
        let equal = match found {
            Some(Value::String(s)) => *s == self.value,
            None | Some(Value::Null) => self.value.is_empty(),
            Some(other) => to_json(other) == self.value.as_bytes(),
        };
        equal == self.equal
    }
}

/// Splits at commas outside parentheses.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_i32;
    text.split(move |c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|t| !t.is_empty())
}

fn label_term(term: &str) -> Result<LabelTerm, ApiError> {
    let bad = || ApiError::bad_request(format!("unable to parse requirement: found {term:?}, expected: a selector"));
    let set = |key: &str, values: &str| -> Result<(String, Vec<String>), ApiError> {
        let values = values.trim().strip_prefix('(').and_then(|v| v.strip_suffix(')')).ok_or_else(bad)?;
        Ok((key.trim().into(), values.split(',').map(|v| v.trim().to_owned()).collect()))
    };
    let (key, test) = if let Some((key, values)) = term.split_once(" notin ") {
        let (key, values) = set(key, values)?;
        (key, LabelTest::NotIn(values))
    } else if let Some((key, values)) = term.split_once(" in ") {
        let (key, values) = set(key, values)?;
        (key, LabelTest::In(values))
    } else if let Some((key, value)) = term.split_once("!=") {
        (key.trim().into(), LabelTest::NotIn(vec![value.trim().into()]))
    } else if let Some((key, value)) = term.split_once('=') {
        (key.trim().into(), LabelTest::In(vec![value.trim_start_matches('=').trim().into()]))
    } else if let Some(key) = term.strip_prefix('!') {
        (key.trim().into(), LabelTest::Absent)
    } else {
        (term.to_owned(), LabelTest::Exists)
    };
    let mut errors = Vec::new();
    meta::qualified_name("", &key, &key, &mut errors);
    let values = if let LabelTest::In(values) | LabelTest::NotIn(values) = &test { values.as_slice() } else { &[] };
    for (i, value) in values.iter().enumerate() {
        meta::label_value(&format!("values[{i}][{key}]"), value, &mut errors);
    }
    match errors.first() {
        Some(e) => Err(ApiError::bad_request(format!("unable to parse requirement: {e}"))),
        None => Ok(LabelTerm { key, test }),
    }
}

fn field_term(kind: &Kind, term: &str) -> Result<FieldTerm, ApiError> {
    let (label, value, equal) = if let Some((label, value)) = term.split_once("!=") {
        (label, value, false)
    } else if let Some((label, value)) = term.split_once('=') {
        (label, value.strip_prefix('=').unwrap_or(value), true)
    } else {
        return Err(ApiError::bad_request(format!("invalid selector: '{term}'; can't understand '{term}'")));
    };
    if value.contains('=') {
        return Err(ApiError::bad_request("invalid field selector: unescaped character in value: 61"));
    }
    let path =
        kind.field_path(label).ok_or_else(|| ApiError::bad_request(format!("field label not supported: {label}")))?;
    Ok(FieldTerm { path, value: value.into(), equal })
}
