//! Every rule of the three kinds: the table of `crates/testkit/src/rules/` with both ways to write, and a value that breaks
//! it for each constraint of the schemas, found by walking them. A new rule has no recorded answer, and fails.
use std::sync::LazyLock;

use poolkeeper_testkit::rules as table;
use regex::Regex;
use serde_json::{Map, Value, json};

use crate::exchange::{JSON, MERGE, compare};
use crate::subject::*;

on_both! { the_table, pools, dispatches, workers }

const KINDS: [(&str, &str); 3] =
    [("ContainerPool", "containerpools"), ("Worker", "workers"), ("Dispatch", "dispatches")];

fn collection(kind: &str) -> String {
    let (_, plural) = KINDS.iter().find(|(k, _)| *k == kind).unwrap();
    format!("/apis/poolkeeper.dev/v1alpha1/namespaces/NS/{plural}")
}

/// Code and message, without the name of the object.
fn told(code: u16, answer: &Value) -> String {
    if code < 300 {
        return code.to_string();
    }
    let message = answer["message"].as_str().unwrap_or_default();
    let message = message.split_once(" is invalid: ").map_or(message, |(_, errors)| errors);
    // A kind with /scale is looked at once more through its paths; the embedded server has no /scale.
    static SCALE: LazyLock<Regex> = LazyLock::new(|| {
        let why = r"(\.[a-z.]+ accessor error: [^,]*, expected [a-z0-9{}\[\]]+|should be a non-negative integer)";
        Regex::new(&format!(", \\.(spec\\.min|status\\.workers|status\\.selector): Invalid value: [^ ]+ {why}"))
            .unwrap()
    });
    let plain = SCALE.replace_all(message, "");
    let alone = plain != message && !plain.contains(", <nil>");
    let message = if alone { plain.trim_matches(['[', ']']) } else { &plain };
    format!("{code} {}: {message}", answer["reason"].as_str().unwrap_or_default())
}

/// Tells each case twice: with replacements, and with merge patches. Both must end alike, as the table says.
async fn the_table(subject: Subject) {
    let mut all = Vec::new();
    for (i, case) in table::cases().enumerate() {
        let mut ends = Vec::new();
        for patched in [false, true] {
            // Each case in a name of its own, except those that are about names.
            let clean =
                format!("{}/{}", collection(case.kind), case.objects()[0]["metadata"]["name"].as_str().unwrap());
            let end = story(&subject, case, patched).await;
            subject.raw("DELETE", &clean, "", Value::Null).await;
            match case.refused {
                None => assert!(end.starts_with('2'), "{} {:?}: {end}", case.kind, case.name),
                Some(text) => assert!(end.contains(text), "{} {:?}: {end}", case.kind, case.name),
            }
            ends.push(end);
        }
        let [put, patch] = ends.try_into().unwrap();
        let same = put == patch || (put.starts_with('2') && patch.starts_with('2'));
        let patch = if same { String::new() } else { format!("\npatch: {patch}") };
        all.push(format!("{i} {} {}\n{put}{patch}\n", case.kind, case.name));
    }
    compare(&subject, "rules-table", &all);
}

/// Writes the steps of a case; returns how the last write ended.
async fn story(subject: &Subject, case: &table::Case, patched: bool) -> String {
    let all = format!("{}?fieldValidation=Strict", collection(case.kind));
    let objects = case.objects();
    let mut seen = Value::Null;
    let mut end = String::new();
    for (i, mut object) in objects.iter().cloned().enumerate() {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        let status = object.as_object_mut().unwrap().remove("status");
        let one = format!("{}/{name}", collection(case.kind));
        let (code, answer) = if i == 0 {
            subject.raw("POST", &all, JSON, object).await
        } else if patched {
            let patch = json!({"spec": table::difference(&seen["spec"], &object["spec"])});
            subject.raw("PATCH", &format!("{one}?fieldValidation=Strict"), MERGE, patch).await
        } else {
            object["metadata"] = json!({"name": name, "resourceVersion": seen["metadata"]["resourceVersion"]});
            subject.raw("PUT", &format!("{one}?fieldValidation=Strict"), JSON, object).await
        };
        end = told(code, &answer);
        if code < 300 {
            seen = answer;
        }
        if let Some(status) = status.filter(|_| code < 300) {
            let path = format!("{one}/status?fieldValidation=Strict");
            let (code, answer) = if patched {
                let patch = json!({"status": table::difference(&seen["status"], &status)});
                subject.raw("PATCH", &path, MERGE, patch).await
            } else {
                let mut whole = seen.clone();
                whole["status"] = status;
                subject.raw("PUT", &path, JSON, whole).await
            };
            end = told(code, &answer);
            if code < 300 {
                seen = answer;
            }
        }
        assert!(i + 1 == objects.len() || end.starts_with('2'), "{} {:?}: step {i}: {end}", case.kind, case.name);
    }
    end
}

/// A value that breaks one constraint of a schema.
struct Breach {
    /// Keys of objects, and 0 for the first item of a list.
    path: Vec<String>,
    constraint: &'static str,
    /// `None` takes the field away.
    value: Option<Value>,
}

/// All breaches of the constraints at and below a schema.
fn breaches(schema: &Value, path: &[String], all: &mut Vec<Breach>) {
    let mut add = |constraint: &'static str, value: Value| {
        all.push(Breach { path: path.to_vec(), constraint, value: Some(value) });
    };
    let number = |key: &str| schema[key].as_f64().map(|n| n as i64);
    let length = |key: &str| schema[key].as_u64().map(|n| n as usize);
    if let Some(expected) = schema["type"].as_str() {
        add("type", if expected == "string" { json!(7) } else { json!("text") });
    }
    if schema["x-kubernetes-int-or-string"] == true {
        add("type", json!(true));
    }
    if let Some(least) = number("minimum") {
        add("minimum", json!(least - 1));
    }
    if let Some(most) = number("maximum") {
        add("maximum", json!(most + 1));
    }
    if let Some(longest) = length("maxLength") {
        add("maxLength", json!("a".repeat(longest + 1)));
    }
    if let Some(shortest) = length("minLength") {
        add("minLength", json!("a".repeat(shortest - 1)));
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        let pattern = Regex::new(pattern).unwrap();
        let bad = ["", "a b", "!", "/"].into_iter().find(|text| !pattern.is_match(text)).unwrap();
        add("pattern", json!(bad));
    }
    if schema["enum"].is_array() {
        add("enum", json!("Odd"));
    }
    if schema["format"] == "date-time" {
        add("format", json!("noon"));
    }
    if let Some(least) = length("minItems") {
        add("minItems", json!(vec![item(&schema["items"], 0); least - 1]));
    }
    if let Some(most) = length("maxItems") {
        add("maxItems", (0..=most).map(|i| item(&schema["items"], i)).collect());
    }
    if let Some(most) = length("maxProperties") {
        let value = item(&schema["additionalProperties"], 1);
        add("maxProperties", (0..=most).map(|i| (format!("k{i}"), value.clone())).collect::<Map<_, _>>().into());
    }
    if ["map", "set"].iter().any(|t| schema["x-kubernetes-list-type"] == *t) {
        add("x-kubernetes-list-type", json!([item(&schema["items"], 1), item(&schema["items"], 1)]));
    }
    for key in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let path = path.iter().cloned().chain([key.to_owned()]).collect();
        all.push(Breach { path, constraint: "required", value: None });
    }
    let below = |key: &str| path.iter().cloned().chain([key.to_owned()]).collect::<Vec<_>>();
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        breaches(property, &below(key), all);
    }
    if schema["items"].is_object() {
        breaches(&schema["items"], &below("0"), all);
    }
    if schema["additionalProperties"].is_object() {
        breaches(&schema["additionalProperties"], &below("key"), all);
    }
}

/// A valid value of a schema, the `i`th of several.
fn item(schema: &Value, i: usize) -> Value {
    if let Some(value) = schema["enum"].get(0) {
        return value.clone();
    }
    if schema["x-kubernetes-int-or-string"] == true {
        return json!(1);
    }
    match schema["type"].as_str() {
        Some("integer" | "number") => json!(i as u64 + schema["minimum"].as_f64().map_or(0, |n| n.max(0.0) as u64)),
        Some("boolean") => json!(false),
        Some("array") => json!([item(&schema["items"], i)]),
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            required.map(|k| (k.to_owned(), item(&schema["properties"][k], i))).collect::<Map<_, _>>().into()
        }
        _ if schema["format"] == "date-time" => json!("2026-01-02T03:04:05Z"),
        _ => {
            let fits =
                |text: &&String| schema["pattern"].as_str().is_none_or(|p| Regex::new(p).unwrap().is_match(text));
            let candidates = [format!("a{i}"), format!("{}s", i + 1), format!("/a{i}")];
            json!(candidates.iter().find(fits).unwrap())
        }
    }
}

/// Puts a value, or nothing, at a path; what is missing on the way is made as the schema wants it.
fn put(object: &mut Value, schema: &Value, path: &[String], value: Option<&Value>) {
    let [key, rest @ ..] = path else {
        *object = value.cloned().unwrap_or_default();
        return;
    };
    let below = if schema["items"].is_object() {
        &schema["items"]
    } else if schema["additionalProperties"].is_object() {
        &schema["additionalProperties"]
    } else {
        &schema["properties"][key]
    };
    if schema["items"].is_object() {
        if object[0].is_null() {
            *object = json!([item(below, 1)]);
        }
        return put(&mut object[0], below, rest, value);
    }
    let map = object.as_object_mut().unwrap();
    if rest.is_empty() && value.is_none() {
        map.remove(key);
        return;
    }
    let next = map.entry(key).or_insert_with(|| item(below, 1));
    put(next, below, rest, value);
}

async fn pools(subject: Subject) {
    every_constraint(&subject, "ContainerPool", json!({"image": "a"})).await;
}

async fn dispatches(subject: Subject) {
    every_constraint(&subject, "Dispatch", json!({"pool": "agents"})).await;
}

async fn workers(subject: Subject) {
    let spec = json!({"pool": "agents", "poolGeneration": 1, "runtime": "Docker", "templateHash": "a"});
    every_constraint(&subject, "Worker", spec).await;
}

/// Breaks every constraint of a kind's schema once, by a create and by a patch (of the status through its subresource).
async fn every_constraint(subject: &Subject, kind: &str, spec: Value) {
    let crd = crds().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let schema = value(crd.spec.versions[0].schema.as_ref().unwrap().open_api_v3_schema.as_ref().unwrap());
    let good =
        json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": kind, "metadata": {"name": "agents"}, "spec": spec});
    let (all, one) = (collection(kind), format!("{}/agents", collection(kind)));
    let (code, made) = subject.raw("POST", &all, JSON, good.clone()).await;
    assert_eq!(code, 201, "{made}");
    let mut found = Vec::new();
    for key in ["spec", "status"] {
        breaches(&schema["properties"][key], &[key.to_owned()], &mut found);
    }
    let mut lines = Vec::new();
    for breach in found {
        let mut bad = good.clone();
        put(&mut bad, &schema, &breach.path, breach.value.as_ref());
        let of_status = breach.path[0] == "status";
        let mut patch = json!({(breach.path[0].clone()): bad[&breach.path[0]]});
        // A merge patch takes away only what it names.
        if breach.value.is_none() && !breach.path.iter().any(|k| k == "0") {
            put(&mut patch, &json!({"properties": schema["properties"]}), &breach.path, Some(&Value::Null));
        }
        let created =
            if of_status { None } else { Some(subject.raw("POST", &format!("{all}?dryRun=All"), JSON, bad).await) };
        let path = if of_status { format!("{one}/status?dryRun=All") } else { format!("{one}?dryRun=All") };
        let (code, answer) = subject.raw("PATCH", &path, MERGE, patch).await;
        assert_eq!(code, 422, "{kind} {} {} is taken: {answer}", breach.path.join("."), breach.constraint);
        let patched = told(code, &answer);
        let created = created.map_or_else(|| patched.clone(), |(code, answer)| told(code, &answer));
        let other = if patched == created { String::new() } else { format!("\npatch: {patched}") };
        lines.push(format!("{} {}\n{created}{other}\n", breach.path.join("."), breach.constraint));
    }
    compare(subject, &format!("rules-{kind}"), &lines);
}
