//! The CRDs: the files are up to date, and every rule takes what is right and refuses what is wrong.

use std::collections::BTreeSet;
use std::path::Path;

use jsonschema::error::ValidationErrorKind;
use kube_cel::{CompiledSchema, ErrorKind, Validator, apply_defaults, compile_schema};
use poolkeeper::{api, cli};
use poolkeeper_testkit::rules;
use serde_json::{Map, Value, json};

const KINDS: [&str; 3] = ["ContainerPool", "Dispatch", "Worker"];

#[test]
fn files_are_up_to_date() {
    let made = cli::crd::files().unwrap();
    let names: BTreeSet<_> = made.iter().map(|(name, _)| name.clone()).collect();
    for dir in ["crds", "charts/poolkeeper/files/crds"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(dir);
        for (name, text) in &made {
            let found = std::fs::read_to_string(path.join(name)).unwrap_or_default();
            assert!(found == *text, "{dir}/{name} is stale; run: just generate");
        }
        let found: BTreeSet<_> =
            std::fs::read_dir(path).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(found, names, "{dir}/ holds generated files only");
    }
}

#[test]
fn yaml_says_the_same_as_the_types() {
    for ((_, text), crd) in cli::crd::files().unwrap().iter().zip(api::crd::all()) {
        let read: Value = serde_saphyr::from_str(text).unwrap();
        assert_eq!(read, serde_json::to_value(crd).unwrap());
    }
}

#[test]
fn cases_are_taken_or_refused_as_the_table_says() {
    let servers = KINDS.map(Server::of);
    for case in rules::cases() {
        let server = servers.iter().find(|server| server.kind == case.kind).unwrap();
        let said = server.tell(case, &mut |_| {});
        match (case.refused, said) {
            (None, Ok(())) => {}
            (None, Err(errors)) => panic!("{} {:?} was refused: {errors:#?}", case.kind, case.name),
            (Some(text), Ok(())) => panic!("{} {:?} was taken, not refused: {text}", case.kind, case.name),
            (Some(text), Err(errors)) => {
                assert!(
                    errors.iter().any(|e| e.contains(text)),
                    "{} {:?}\nnot: {text}\nbut: {errors:#?}",
                    case.kind,
                    case.name
                );
            }
        }
    }
}

/// Each rule broken by one case that is refused, and held, with something to look at, in one that is taken.
#[test]
fn every_rule_is_broken_once_and_held_once() {
    for kind in KINDS {
        let server = Server::of(kind);
        let mut all = BTreeSet::new();
        server.rules(&server.schema, String::new(), &mut all);
        let (mut broken, mut held) = (BTreeSet::new(), BTreeSet::new());
        for case in rules::cases().filter(|case| case.kind == kind) {
            let taken = case.refused.is_none();
            let _ = server.tell(case, &mut |seen| match seen {
                Seen::Broken(path, rule) => drop(broken.insert((path, rule))),
                Seen::Looked(object) if taken => looked_at(&all, object, &mut held),
                Seen::Looked(_) => {}
            });
        }
        assert_eq!(
            all.difference(&broken).collect::<Vec<_>>(),
            Vec::<&(String, String)>::new(),
            "never broken in {kind}"
        );
        assert_eq!(all.difference(&held).collect::<Vec<_>>(), Vec::<&(String, String)>::new(), "never held in {kind}");
    }
}

fn looked_at(all: &BTreeSet<(String, String)>, object: &Value, held: &mut BTreeSet<(String, String)>) {
    fn reaches(value: &Value, path: &str) -> bool {
        let Some((step, rest)) = path.split_once('.').or_else(|| (!path.is_empty()).then_some((path, ""))) else {
            return true;
        };
        match step.strip_suffix("[]") {
            None => value.get(step).is_some_and(|v| reaches(v, rest)),
            Some(list) => value.get(list).and_then(Value::as_array).is_some_and(|l| l.iter().any(|v| reaches(v, rest))),
        }
    }
    held.extend(all.iter().filter(|(path, _)| reaches(object, path)).cloned());
}

/// What of an API server the rules need: defaults, schema, unknown fields, keys of lists, CEL.
struct Server {
    kind: &'static str,
    schema: Value,
    strict: jsonschema::Validator,
    cel: CompiledSchema,
}

enum Seen<'a> {
    /// The path of a rule, with `[]` for items, and the rule.
    Broken(String, String),
    /// An object that was validated.
    Looked(&'a Value),
}

impl Server {
    fn of(kind: &'static str) -> Self {
        let crd = api::crd::all().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
        let schema = crd.spec.versions[0].schema.clone().unwrap().open_api_v3_schema.unwrap();
        let schema = serde_json::to_value(schema).unwrap();
        let mut strict = schema.clone();
        for known in ["apiVersion", "kind", "metadata"] {
            strict["properties"][known] = json!({});
        }
        refuse_unknown(&mut strict);
        Self { kind, strict: jsonschema::validator_for(&strict).unwrap(), cel: compile_schema(&schema), schema }
    }

    /// Plays the case; an error before the last step is a mistake in the table.
    fn tell(&self, case: &rules::Case, see: &mut dyn FnMut(Seen<'_>)) -> Result<(), Vec<String>> {
        let objects = case.objects();
        let mut stored: Option<Value> = None;
        for (i, mut object) in objects.iter().cloned().enumerate() {
            let status = object.as_object_mut().and_then(|o| o.remove("status"));
            let mut written =
                self.write(object, stored.as_ref(), |new, old| new["status"] = old["status"].clone(), see);
            if let (Ok(before), Some(status)) = (&written, status) {
                let mut object = before.clone();
                object["status"] = status;
                written = self.write(object, Some(before), |_, _| {}, see);
            }
            match written {
                Ok(object) => stored = Some(object),
                Err(errors) if i + 1 == objects.len() => return Err(errors),
                Err(errors) => panic!("{} {:?}: step {i} was refused: {errors:#?}", case.kind, case.name),
            }
        }
        Ok(())
    }

    fn write(
        &self,
        mut object: Value,
        old: Option<&Value>,
        keep: fn(&mut Value, &Value),
        see: &mut dyn FnMut(Seen<'_>),
    ) -> Result<Value, Vec<String>> {
        if let Some(old) = old.filter(|old| !old["status"].is_null()) {
            keep(&mut object, old);
        }
        let object = apply_defaults(&self.schema, &object);
        let wrong: Vec<_> = self.strict.iter_errors(&object).collect();
        let mut errors: Vec<String> = wrong.iter().map(spell).collect();
        duplicates(&self.schema, &object, "", &mut errors);
        // After one of these the API server runs no rules.
        let blind = |kind: &ValidationErrorKind| {
            use ValidationErrorKind::{Enum, MaxItems, MaxLength, MaxProperties, Required, Type};
            matches!(
                kind,
                Type { .. } | Required { .. } | Enum { .. } | MaxLength { .. } | MaxItems { .. } | MaxProperties { .. }
            )
        };
        if !wrong.iter().any(|e| blind(e.kind()))
            && let Err(broken) = Validator::new().validate_compiled(&self.cel, &object, old)
        {
            for e in broken {
                // A duration that is none: other rules say so.
                let known = e.kind == ErrorKind::ValidationFailure || e.message.contains("duration");
                assert!(known, "{e:?}");
                see(Seen::Broken(without_indices(&e.field_path), e.rule.clone()));
                errors.push(e.to_string());
            }
        }
        see(Seen::Looked(&object));
        if errors.is_empty() { Ok(object) } else { Err(errors) }
    }

    /// Every CEL rule with its path.
    fn rules(&self, schema: &Value, path: String, all: &mut BTreeSet<(String, String)>) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            all.insert((path.clone(), rule["rule"].as_str().unwrap().to_owned()));
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let dot = if path.is_empty() { "" } else { "." };
            self.rules(property, format!("{path}{dot}{name}"), all);
        }
        if schema["items"].is_object() {
            self.rules(&schema["items"], format!("{path}[]"), all);
        }
    }
}

/// As `spec.env[0].name: what is wrong`; unknown fields are named in full.
fn spell(error: &jsonschema::ValidationError<'_>) -> String {
    let path: String = error.instance_path().as_str().split('/').skip(1).fold(String::new(), |path, step| {
        match (step.parse::<usize>(), path.is_empty()) {
            (Ok(index), _) => format!("{path}[{index}]"),
            (_, true) => step.to_owned(),
            (_, false) => format!("{path}.{step}"),
        }
    });
    let unknown = error.to_string().split('\'').nth(1).map(|field| format!("{path}.{field}")).unwrap_or_default();
    format!("{path}: {error} ({unknown})")
}

fn without_indices(path: &str) -> String {
    path.split('[').map(|part| part.split_once(']').map_or(part.to_owned(), |(_, rest)| format!("[]{rest}"))).collect()
}

fn refuse_unknown(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else { return };
    let open = object.contains_key("x-kubernetes-preserve-unknown-fields");
    if object.contains_key("properties") && !open {
        object.insert("additionalProperties".to_owned(), json!(false));
    }
    for property in object.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        refuse_unknown(property);
    }
    if let Some(items) = object.get_mut("items") {
        refuse_unknown(items);
    }
}

/// What `x-kubernetes-list-type` `map` and `set` refuse.
fn duplicates(schema: &Value, value: &Value, path: &str, errors: &mut Vec<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let dot = if path.is_empty() { "" } else { "." };
        duplicates(property, &value[name], &format!("{path}{dot}{name}"), errors);
    }
    let mut seen = BTreeSet::new();
    for (i, item) in value.as_array().into_iter().flatten().enumerate() {
        duplicates(&schema["items"], item, &format!("{path}[{i}]"), errors);
        let key = match schema["x-kubernetes-list-type"].as_str() {
            Some("map") => item[schema["x-kubernetes-list-map-keys"][0].as_str().unwrap()].to_string(),
            Some("set") => item.to_string(),
            _ => continue,
        };
        if !seen.insert(key) {
            errors.push(format!("{path}[{i}]: duplicate"));
        }
    }
}
