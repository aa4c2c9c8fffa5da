//! The columns in which a kind's objects are printed, and where their cells come from.
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition;
use serde_json::{Value, json};

use crate::local::store::object::to_json;

/// A column.
pub(crate) struct Column {
    name: String,
    value_type: String,
    format: String,
    description: String,
    priority: i32,
    path: Vec<Step>,
    /// The cell is the number of fields of the object at the path.
    counts: bool,
    /// The cell is made by this instead.
    made: Option<fn(&Value, Timestamp) -> Value>,
}

/// One step of a path from an object to a value.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// `.name`.
    Field(String),
    /// `[?(@.type=="Ready")]`: the first item of a list in which a field has a value.
    First { field: String, value: String },
}

impl Column {
    /// The column of a CRD.
    ///
    /// # Errors
    /// A path with something other than fields and one comparison of a field.
    pub fn new(definition: &CustomResourceColumnDefinition) -> Result<Self, String> {
        let path = steps(&definition.json_path).ok_or_else(|| {
            format!("column {:?}: the path {} is not supported", definition.name, definition.json_path)
        })?;
        Ok(Self {
            name: definition.name.clone(),
            value_type: definition.type_.clone(),
            format: definition.format.clone().unwrap_or_default(),
            description: definition.description.clone().unwrap_or_default(),
            priority: definition.priority.unwrap_or_default(),
            path,
            counts: false,
            made: None,
        })
    }

    /// A column of text of a built-in kind. The path is one of plain fields.
    pub fn text(name: &str, path: &str, description: &str) -> Self {
        Self {
            name: name.into(),
            value_type: "string".into(),
            description: description.into(),
            path: steps(path).unwrap_or_default(),
            ..Self::age()
        }
    }

    /// A column with the number of fields of the object at a path.
    pub fn count(name: &str, path: &str, description: &str) -> Self {
        Self { value_type: "integer".into(), counts: true, ..Self::text(name, path, description) }
    }

    /// A column with cells that no path leads to.
    pub fn made(
        name: &str,
        value_type: &str,
        priority: i32,
        description: &str,
        cell: fn(&Value, Timestamp) -> Value,
    ) -> Self {
        Self { value_type: value_type.into(), priority, made: Some(cell), ..Self::text(name, "", description) }
    }

    /// Whether it is that of the name, which otherwise comes first by itself.
    pub fn is_name(&self) -> bool {
        self.name == "Name"
    }

    /// The column of a CRD that declares none.
    pub fn age() -> Self {
        Self {
            name: "Age".into(),
            value_type: "date".into(),
            format: String::new(),
            description: "Time since the object was created".into(),
            priority: 0,
            path: steps(".metadata.creationTimestamp").unwrap_or_default(),
            counts: false,
            made: None,
        }
    }

    /// Its definition, for clients.
    pub fn definition(&self) -> Value {
        json!({
            "name": self.name, "type": self.value_type, "format": self.format,
            "description": self.description, "priority": self.priority,
        })
    }

    /// Its cell for an object. Null if the object has no value there, or one of another type.
    pub fn cell(&self, object: &Value, now: Timestamp) -> Value {
        if let Some(made) = self.made {
            return made(object, now);
        }
        let found = self.path.iter().try_fold(object, |value, step| match step {
            Step::Field(name) => value.get(name),
            Step::First { field, value: wanted } => {
                value.as_array()?.iter().find(|item| item[field].as_str() == Some(wanted))
            }
        });
        if self.counts {
            return found.and_then(Value::as_object).map_or(0, serde_json::Map::len).into();
        }
        let Some(found) = found.filter(|value| !value.is_null()) else { return Value::Null };
        match self.value_type.as_str() {
            "integer" => found.as_i64().or_else(|| found.as_f64().map(|n| n as i64)).into(),
            "number" if found.is_number() => found.clone(),
            "boolean" if found.is_boolean() => found.clone(),
            "string" => match found {
                Value::String(text) => text.clone().into(),
                other => String::from_utf8_lossy(&to_json(other)).into(),
            },
            "date" => match found.as_str().map(str::parse::<Timestamp>) {
                Some(Ok(time)) => age(time, now).into(),
                Some(Err(_)) => "<invalid>".into(),
                None => Value::Null,
            },
            _ => Value::Null,
        }
    }
}

/// Reads a path. None: it has something that is not supported.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path.trim();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("[?(@.") {
            let (condition, after) = after.split_once(")]")?;
            let (field, value) = condition.split_once("==")?;
            let value = value.trim();
            let quoted = |quote: char| value.strip_prefix(quote).and_then(|v| v.strip_suffix(quote));
            let value = quoted('"').or_else(|| quoted('\''))?;
            steps.push(Step::First { field: field.trim().into(), value: value.into() });
            rest = after;
        } else {
            let name = rest.strip_prefix('.')?;
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_/".contains(c);
            if end == 0 || !name[..end].chars().all(is_plain) {
                return None;
            }
            steps.push(Step::Field(name[..end].into()));
            rest = &name[end..];
        }
    }
    Some(steps)
}

/// The time since a moment, as kubectl prints ages: the greatest units only.
pub(super) fn age(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(time).as_secs();
    let two = |great: i64, unit: &str, small: i64, small_unit: &str| match small {
        0 => format!("{great}{unit}"),
        _ => format!("{great}{unit}{small}{small_unit}"),
    };
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let days = hours / 24;
    match seconds {
        ..-1 => "<invalid>".into(),
        -1 => "0s".into(),
        0..120 => format!("{seconds}s"),
        _ if minutes < 10 => two(minutes, "m", seconds % 60, "s"),
        _ if minutes < 180 => format!("{minutes}m"),
        _ if hours < 8 => two(hours, "h", minutes % 60, "m"),
        _ if hours < 48 => format!("{hours}h"),
        _ if hours < 192 => two(days, "d", hours % 24, "h"),
        _ if days < 730 => format!("{days}d"),
        _ if days < 8 * 365 => two(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_those_of_kubectl() {
        let at = |seconds: i64| {
            age(
                Timestamp::from_second(1_000_000_000 - seconds).unwrap(),
                Timestamp::from_second(1_000_000_000).unwrap(),
            )
        };
        let (minute, hour, day) = (60, 3600, 86_400);
        for (age, text) in [
            (-5, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (10 * minute, "10m"),
            (179 * minute, "179m"),
            (3 * hour, "3h"),
            (3 * hour + 60, "3h1m"),
            (8 * hour + 60, "8h"),
            (47 * hour, "47h"),
            (2 * day, "2d"),
            (2 * day + hour, "2d1h"),
            (8 * day + hour, "8d"),
            (729 * day, "729d"),
            (730 * day, "2y"),
            (731 * day, "2y1d"),
            (8 * 365 * day, "8y"),
            (9 * 365 * day + day, "9y"),
        ] {
            assert_eq!(at(age), text, "{age}");
        }
    }

    #[test]
    fn paths_are_fields_and_one_comparison() {
        let field = |name: &str| Step::Field(name.into());
        let first = Step::First { field: "type".into(), value: "Ready".into() };
        let path = r#".status.conditions[?(@.type=="Ready")].reason"#;
        assert_eq!(steps(path), Some(vec![field("status"), field("conditions"), first, field("reason")]));
        for other in ["status", "..a", ".a[0]", ".a[*]", ".a[?(@.b>1)]", ".a[?(@.b==1)]", "{.a}"] {
            assert_eq!(steps(other), None, "{other}");
        }
    }

    #[test]
    fn a_cell_has_the_type_of_its_column() {
        let object = json!({"spec": {"n": 3, "f": 2.5, "b": true, "s": "x", "l": ["a"], "z": null}});
        let cell = |path: &str, value_type: &str| {
            let column = Column { value_type: value_type.into(), path: steps(path).unwrap(), ..Column::age() };
            column.cell(&object, Timestamp::UNIX_EPOCH)
        };
        assert_eq!(cell(".spec.n", "integer"), 3);
        assert_eq!(cell(".spec.n", "string"), "3");
        assert_eq!(cell(".spec.l", "string"), "[\"a\"]");
        assert_eq!(cell(".spec.f", "number"), 2.5);
        assert_eq!(cell(".spec.b", "boolean"), true);
        assert_eq!(cell(".spec.s", "date"), "<invalid>");
        for (path, value_type) in
            [(".spec.s", "integer"), (".spec.z", "string"), (".spec.none.x", "string"), (".spec.n", "date")]
        {
            assert_eq!(cell(path, value_type), Value::Null, "{path}");
        }
    }
}
