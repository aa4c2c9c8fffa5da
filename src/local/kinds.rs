//! The kinds served: those of the given CRDs, and a few built in.
use std::borrow::Cow;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use serde_json::{Value, json};

use super::schema::Schema;
use super::status::qualified;
use super::{LocalError, Resource};

/// One kind in one version, with all that its requests need to know.
pub(super) struct Kind {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub list_kind: String,
    pub plural: String,
    pub namespaced: bool,
    pub schema: Schema,
    /// Whether `/status` is served (and the status then left alone by writes to the object itself).
    pub status: bool,
    /// Fields that a field selector may name, beside those of the metadata.
    selectable: Vec<(String, Vec<String>)>,
    pub traits: Traits,
    /// Where its objects are: two kinds with the same number are two views of the same objects.
    pub store: u16,
}

/// In what built-in kinds differ from custom resources.
#[derive(Clone, Copy)]
pub(super) struct Traits {
    /// Keeps a `metadata.generation`.
    pub generation: bool,
    /// PUT of an object that is not there creates it.
    pub create_on_update: bool,
    /// PUT without a resourceVersion overwrites.
    pub unconditional_update: bool,
    /// Strategic merge patch means the same as merge patch (there are no lists in it).
    pub strategic: bool,
    /// The body may leave out `kind` and `apiVersion`.
    pub typed: bool,
    /// Stored in another form: (name here, name in the stored form) of the fields at the root.
    pub renamed: &'static [(&'static str, &'static str)],
}

const CUSTOM: Traits = Traits {
    generation: true,
    create_on_update: false,
    unconditional_update: false,
    strategic: false,
    typed: false,
    renamed: &[],
};

const BUILT_IN: Traits = Traits { generation: false, strategic: true, typed: true, ..CUSTOM };

/// core/v1 and events.k8s.io/v1 name the fields of the same Event differently.
const CORE_EVENT: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("count", "deprecatedCount"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("source", "deprecatedSource"),
];

impl Kind {
    /// `plural.group`.
    pub fn group_resource(&self) -> String {
        qualified(&self.plural, &self.group)
    }

    /// `group/version`, or `version` in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    pub fn resource(&self) -> Resource {
        Resource { group: self.group.clone(), plural: self.plural.clone() }
    }

    /// A stored object as this kind shows it.
    pub fn view<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        if self.traits.renamed.is_empty() {
            return Cow::Borrowed(object);
        }
        let mut object = object.clone();
        rename(&mut object, self.traits.renamed.iter().map(|(here, stored)| (*stored, *here)), &self.api_version());
        Cow::Owned(object)
    }

    /// The path of a field that a selector may name.
    pub fn field_path(&self, label: &str) -> Option<Vec<String>> {
        match label {
            "metadata.name" => Some(keys(".metadata.name")),
            "metadata.namespace" if self.namespaced => Some(keys(".metadata.namespace")),
            _ => self.selectable.iter().find(|(l, _)| l == label).map(|(_, path)| path.clone()),
        }
    }

    /// The kind that a CRD declares.
    ///
    /// # Errors
    /// A CRD with several served versions (there is no conversion), without a schema, or with one that does not
    /// compile.
    pub fn custom(crd: &CustomResourceDefinition, store: u16) -> Result<Self, LocalError> {
        let spec = &crd.spec;
        let name = format!("{}.{}", spec.names.plural, spec.group);
        let error = |message: String| LocalError::Crd { name: name.clone(), message };
        let served: Vec<&CustomResourceDefinitionVersion> = spec.versions.iter().filter(|v| v.served).collect();
        let [version] = served.as_slice() else {
            return Err(error(format!("{} versions are served; only one is supported", served.len())));
        };
        let schema = version.schema.as_ref().and_then(|s| s.open_api_v3_schema.as_ref());
        let schema = schema.ok_or_else(|| error("the version has no schema".into()))?;
        let schema = serde_json::to_value(schema).map_err(|e| error(e.to_string()))?;
        let schema = Schema::compile(&schema, "openAPIV3Schema").map_err(error)?;
        let subresources = version.subresources.as_ref();
        let selectable = version.selectable_fields.iter().flatten();
        Ok(Self {
            group: spec.group.clone(),
            version: version.name.clone(),
            kind: spec.names.kind.clone(),
            list_kind: spec.names.list_kind.clone().unwrap_or_else(|| format!("{}List", spec.names.kind)),
            plural: spec.names.plural.clone(),
            namespaced: spec.scope == "Namespaced",
            schema,
            status: subresources.is_some_and(|s| s.status.is_some()),
            selectable: selectable
                .map(|f| (f.json_path.trim_start_matches('.').to_owned(), keys(&f.json_path)))
                .collect(),
            traits: CUSTOM,
            store,
        })
    }

    fn built_in(group: &str, kind: &str, plural: &str, schema: &Value, store: u16) -> Result<Self, LocalError> {
        let schema = Schema::compile(schema, "schema")
            .map_err(|message| LocalError::Crd { name: qualified(plural, group), message })?;
        Ok(Self {
            group: group.into(),
            version: "v1".into(),
            kind: kind.into(),
            list_kind: format!("{kind}List"),
            plural: plural.into(),
            namespaced: true,
            schema,
            status: false,
            selectable: Vec::new(),
            traits: BUILT_IN,
            store,
        })
    }
}

/// Gives fields at the root of an object other names, and the object another version.
pub(super) fn rename<'n>(object: &mut Value, names: impl Iterator<Item = (&'n str, &'n str)>, api_version: &str) {
    let Some(map) = object.as_object_mut() else { return };
    for (from, to) in names {
        if let Some(value) = map.remove(from) {
            map.insert(to.into(), value);
        }
    }
    map.insert("apiVersion".into(), api_version.into());
}

/// The kinds built in: Leases, Events (one kind seen through two groups) and Namespaces. `store` numbers from there.
pub(super) fn built_in(store: u16) -> Result<Vec<Kind>, LocalError> {
    let mut lease = Kind::built_in("coordination.k8s.io", "Lease", "leases", &lease_schema(), store)?;
    lease.traits.create_on_update = true;
    let mut event = Kind::built_in("events.k8s.io", "Event", "events", &event_schema(false), store + 1)?;
    event.traits = Traits { create_on_update: true, unconditional_update: true, ..BUILT_IN };
    event.selectable = event_fields("regarding", "reportingController");
    let mut core_event = Kind::built_in("", "Event", "events", &event_schema(true), store + 1)?;
    core_event.traits = Traits { renamed: CORE_EVENT, ..event.traits };
    core_event.selectable = event_fields("involvedObject", "reportingComponent");
    let any = json!({"type": "object", "properties": {
        "spec": {"type": "object", "properties": {"finalizers": {"type": "array", "items": {"type": "string"}}}},
        "status": {"type": "object", "default": {"phase": "Active"}, "properties": {"phase": {"type": "string"}}},
    }});
    let mut namespace = Kind::built_in("", "Namespace", "namespaces", &any, store + 2)?;
    namespace.namespaced = false;
    namespace.status = true;
    namespace.traits.unconditional_update = true;
    Ok(vec![lease, event, core_event, namespace])
}

fn event_fields(regarding: &str, controller: &str) -> Vec<(String, Vec<String>)> {
    let parts = ["kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"];
    let of = |part| format!("{regarding}.{part}");
    let labels = parts.into_iter().map(of).chain(["reason".into(), "type".into(), controller.to_owned()]);
    labels.map(|l| (l.clone(), keys(&l))).collect()
}

/// The keys of a JSON path of plain fields, such as `.spec.replicas`.
fn keys(path: &str) -> Vec<String> {
    path.trim_start_matches('.').split('.').map(str::to_owned).collect()
}

fn lease_schema() -> Value {
    let text = json!({"type": "string"});
    let time = json!({"type": "string", "format": "date-time"});
    json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "holderIdentity": text, "leaseDurationSeconds": {"type": "integer", "minimum": 0, "exclusiveMinimum": true, "x-go": true},
        "acquireTime": time, "renewTime": time, "leaseTransitions": {"type": "integer", "minimum": 0, "x-go": true},
        "strategy": text, "preferredHolder": text,
    }}}})
}

fn event_schema(core: bool) -> Value {
    let text = json!({"type": "string"});
    let whole = json!({"type": "integer"});
    let time = json!({"type": "string", "format": "date-time"});
    let reference = json!({"type": "object", "properties": {
        "kind": text, "namespace": text, "name": text, "uid": text, "apiVersion": text, "resourceVersion": text,
        "fieldPath": text,
    }});
    let mut properties = json!({
        "eventTime": time, "action": text, "reason": text, "type": text, "reportingInstance": text,
        "regarding": reference, "related": reference, "note": text, "reportingController": text,
        "series": {"type": "object", "properties": {"count": whole, "lastObservedTime": time}},
        "deprecatedCount": whole, "deprecatedFirstTimestamp": time, "deprecatedLastTimestamp": time,
        "deprecatedSource": {"type": "object", "properties": {"component": text, "host": text}},
    });
    if core {
        for (here, stored) in CORE_EVENT {
            properties[*here] = properties[*stored].take();
            if let Some(map) = properties.as_object_mut() {
                map.remove(*stored);
            }
        }
    }
    json!({"type": "object", "properties": properties})
}
