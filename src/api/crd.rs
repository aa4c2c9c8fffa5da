//! The three CustomResourceDefinitions: the schemas of the derives, completed.
//!
//! This file adds the rules over several fields, and the defaults of a Dispatch's and a Worker's status: a waiting Dispatch
//! costs no write, and a new Worker has a phase at once. It removes `nullable`: the API server then drops a null and fills in the default.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool, ValidationRule,
};
use kube::CustomResourceExt;
use serde_json::json;

use super::rules::{self, Rule};
use super::worker::WorkerPhase;
use super::{ContainerPool, Dispatch, Worker};

/// The definitions of `ContainerPool`, `Worker` and `Dispatch`, in this order. The same on every call.
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut dispatch = complete(Dispatch::crd(), rules::DISPATCH);
    for_schema(&mut dispatch, |schema| {
        if let Some(status) = at(schema, "status") {
            // Every field that has a default: not every server fills in what the default of an object leaves out.
            status.default = Some(JSON(json!({"attempt": 0, "phase": "Pending"})));
        }
    });
    let mut worker = complete(Worker::crd(), rules::WORKER);
    for_schema(&mut worker, |schema| {
        if let Some(status) = at(schema, "status") {
            status.default = Some(JSON(json!({"dispatches": 0, "phase": WorkerPhase::Starting})));
        }
    });
    vec![complete(ContainerPool::crd(), rules::POOL), worker, dispatch]
}

fn complete(mut crd: CustomResourceDefinition, rules: &[Rule]) -> CustomResourceDefinition {
    for_schema(&mut crd, |schema| {
        tidy(schema);
        for rule in rules {
            // A wrong path would lose its rule. A test looks for each rule.
            if let Some(target) = at(schema, rule.at) {
                target.x_kubernetes_validations.get_or_insert_default().push(ValidationRule {
                    rule: rule.cel.to_owned(),
                    message: Some(rule.message.to_owned()),
                    ..ValidationRule::default()
                });
            }
        }
    });
    crd
}

fn for_schema(crd: &mut CustomResourceDefinition, mut change: impl FnMut(&mut JSONSchemaProps)) {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
            change(schema);
        }
    }
}

/// The schema at the path of a rule: names of properties between dots, `[]` for the items of a list.
fn at<'a>(schema: &'a mut JSONSchemaProps, path: &str) -> Option<&'a mut JSONSchemaProps> {
    path.split('.').filter(|step| !step.is_empty()).try_fold(schema, |schema, step| {
        let name = step.trim_end_matches("[]");
        let property = schema.properties.as_mut()?.get_mut(name)?;
        match (step.ends_with("[]"), property) {
            (false, property) => Some(property),
            (true, property) => match property.items.as_mut()? {
                JSONSchemaPropsOrArray::Schema(items) => Some(&mut **items),
                JSONSchemaPropsOrArray::Schemas(_) => None,
            },
        }
    })
}

fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.title = None;
    for property in schema.properties.iter_mut().flat_map(|p| p.values_mut()) {
        tidy(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ContainerPoolSpec, DispatchStatus, WorkerStatus};
    use serde_json::Value;

    fn schemas() -> Vec<JSONSchemaProps> {
        let schema = |crd: CustomResourceDefinition| crd.spec.versions[0].schema.clone()?.open_api_v3_schema;
        all().into_iter().filter_map(schema).collect()
    }

    #[test]
    fn every_rule_reached_its_place() {
        for (mut schema, rules) in schemas().into_iter().zip([rules::POOL, rules::WORKER, rules::DISPATCH]) {
            for rule in rules {
                let place = at(&mut schema, rule.at).unwrap_or_else(|| panic!("no {}", rule.at));
                assert!(place.x_kubernetes_validations.iter().flatten().any(|v| v.rule == rule.cel), "{}", rule.cel);
            }
        }
    }

    #[test]
    fn schema_defaults_are_the_types_defaults() {
        let [pool, worker, dispatch]: [JSONSchemaProps; 3] = schemas().try_into().unwrap();
        let pool = serde_json::to_value(pool).unwrap();
        let spec = kube_cel::apply_defaults(&pool["properties"]["spec"], &json!({}));
        assert_eq!(spec, serde_json::to_value(ContainerPoolSpec::default()).unwrap());
        let filled =
            kube_cel::apply_defaults(&serde_json::to_value(dispatch).unwrap(), &json!({"spec": {"pool": "a"}}));
        assert_eq!(filled["status"], serde_json::to_value(DispatchStatus::default()).unwrap());
        let filled = kube_cel::apply_defaults(&serde_json::to_value(worker).unwrap(), &json!({"spec": {"pool": "a"}}));
        assert_eq!(filled["status"], serde_json::to_value(WorkerStatus::default()).unwrap());
    }

    #[test]
    fn schemas_say_nothing_that_the_api_server_refuses_or_ignores() {
        fn walk(path: &str, node: &Value) {
            match node {
                Value::Object(map) => {
                    assert!(!map.contains_key("$ref") && !map.contains_key("oneOf"), "{path} is not structural");
                    assert!(map.get("nullable").is_none_or(|n| !n.is_boolean()), "{path} is nullable");
                    let format = map.get("format").and_then(Value::as_str).unwrap_or_default();
                    assert!(["", "int32", "int64", "date-time"].contains(&format), "{path} has format {format}");
                    map.iter().for_each(|(k, v)| walk(&format!("{path}.{k}"), v));
                }
                Value::Array(items) => items.iter().for_each(|v| walk(path, v)),
                _ => {}
            }
        }
        for schema in schemas() {
            walk("", &serde_json::to_value(schema).unwrap());
        }
    }

    #[test]
    fn generation_is_deterministic() {
        assert_eq!(serde_json::to_string(&all()).unwrap(), serde_json::to_string(&all()).unwrap());
    }
}
