//! `docs/api.md`: every field of the three kinds, made from their schemas.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::crd;

const HEAD: &str = "<!-- Generated: POOLKEEPER_GENERATE=1 cargo test --lib the_page_of. Do not edit. -->\n# Fields of the API\n\n\
    Every field of `poolkeeper.dev/v1alpha1`, as `kubectl explain` prints it. The server fills in the defaults. A value that breaks \
    a rule is refused with the message that stands here. [Upgrades](upgrades.md#the-api) says what stays the same in later versions.\n";

/// The page: a section for each kind, and in it one for each object of its fields.
fn page() -> String {
    let mut page = HEAD.to_owned();
    for crd in crd::all() {
        let crd = serde_json::to_value(crd).unwrap();
        let names = &crd["spec"]["names"];
        let kind = names["kind"].as_str().unwrap();
        let short: Vec<_> = list(&names["shortNames"]).map(|name| format!("`{name}`")).collect();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        // Writing to a String cannot fail.
        let _ = writeln!(page, "\n## {kind}\n\n{}", cell(&schema["description"]));
        let _ = writeln!(page, "\nFor kubectl: `{}`, {}.", names["plural"].as_str().unwrap(), short.join(", "));
        rules(&mut page, schema);
        for part in ["spec", "status"] {
            object(&mut page, &format!("{kind}.{part}"), &schema["properties"][part]);
        }
    }
    page
}

/// A section for the object at `path`, then one for each object in it.
fn object(page: &mut String, path: &str, schema: &Value) {
    let _ = writeln!(page, "\n### {path}\n\n{}", cell(&schema["description"]));
    rules(page, schema);
    page.push_str("\n| field | type | description |\n|---|---|---|\n");
    let (mut inner, required) = (Vec::new(), &schema["required"]);
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let (kind, items) = kind(field);
        let below = format!("{path}.{name}");
        let kind = match items["properties"].as_object() {
            Some(_) => format!("[{kind}](#{})", below.replace('.', "").to_lowercase()),
            None => kind,
        };
        let needed = if list(required).any(|r| r == name) { ", required" } else { "" };
        let _ = writeln!(page, "| `{name}` | {kind}{needed} | {} |", description(field, items));
        if items["properties"].is_object() {
            inner.push((below, items));
        }
    }
    for (below, items) in inner {
        object(page, &below, items);
    }
}

/// The type of a field in words, and the schema of its items, or its own.
fn kind(field: &Value) -> (String, &Value) {
    let any = |schema: &Value| {
        let int_or_string = schema["x-kubernetes-int-or-string"] == true;
        if int_or_string { "integer or string".to_owned() } else { schema["type"].as_str().unwrap_or("any").to_owned() }
    };
    match (&field["items"], &field["additionalProperties"]) {
        (items @ Value::Object(_), _) => (format!("list of {}", any(items)), items),
        (_, values @ Value::Object(_)) => (format!("map to {}", any(values)), values),
        _ => (any(field), field),
    }
}

/// The description of a field, then what its schema says besides: values, default, range, rules.
fn description(field: &Value, items: &Value) -> String {
    let mut text = cell(&field["description"]);
    let mut say = |words: String| {
        let _ = write!(text, " {words}");
    };
    let values: Vec<_> = list(&items["enum"]).map(|value| format!("`{value}`")).collect();
    if !values.is_empty() {
        say(format!("Values: {}.", values.join(", ")));
    }
    // An object's default repeats those of its fields.
    if !field["default"].is_null()
        && !field["default"].is_object()
        && !field["description"].to_string().contains("efault")
    {
        say(format!("Default `{}`.", field["default"]));
    }
    match (field["minimum"].as_f64(), field["maximum"].as_f64()) {
        (Some(from), Some(to)) => say(format!("From {from} to {to}.")),
        (Some(from), None) => say(format!("At least {from}.")),
        (None, Some(to)) => say(format!("At most {to}.")),
        (None, None) => {}
    }
    if let Some(most) = field["maxItems"].as_u64().or_else(|| field["maxProperties"].as_u64()) {
        say(format!("At most {most} entries."));
    }
    let shown = if items["properties"].is_object() { &Value::Null } else { &items["x-kubernetes-validations"] };
    for rule in list_of(shown) {
        say(format!("Rule: {}.", cell(&rule["message"]).trim_end_matches('.')));
    }
    text.trim().to_owned()
}

/// The messages of the rules over several fields of an object.
fn rules(page: &mut String, schema: &Value) {
    for (n, rule) in list_of(&schema["x-kubernetes-validations"]).enumerate() {
        let _ = writeln!(page, "{}- Rule: {}", if n == 0 { "\n" } else { "" }, cell(&rule["message"]));
    }
}

fn list_of(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn list(value: &Value) -> impl Iterator<Item = &str> {
    list_of(value).filter_map(Value::as_str)
}

/// Words as a cell of a table: one line, in which nothing but code in backticks has a meaning.
fn cell(text: &Value) -> String {
    let mut code = false;
    let text = text.as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let escape = |c: char| match c {
        '`' => {
            code = !code;
            "`".to_owned()
        }
        '|' => r"\|".to_owned(),
        '<' if !code => "&lt;".to_owned(),
        '*' | '_' | '[' if !code => format!(r"\{c}"),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// With POOLKEEPER_GENERATE=1 the test writes the page.
#[test]
fn the_page_of_the_fields_is_up_to_date() {
    let (page, file) = (page(), Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md"));
    if std::env::var_os("POOLKEEPER_GENERATE").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(there == page, "docs/api.md is stale: just generate");
}

#[test]
fn a_cell_is_one_line_without_markup() {
    let text = Value::from("One `a|<b>` of\n  <NAME> *and* [more]");
    assert_eq!(cell(&text), r"One `a\|<b>` of &lt;NAME> \*and\* \[more]");
}
