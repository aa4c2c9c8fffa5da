//! The kinds that a server serves.
use std::borrow::Cow;
use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, CustomResourceDefinitionVersion,
};
use serde_json::Value;

use crate::local::options::LocalError;
use crate::local::record::Resource;
use crate::local::schema::column::Column;
use crate::local::schema::compile::Schema;
use crate::local::schema::field_error::FieldError;

/// One kind in one version: its names, its schema, and how its objects are stored.
pub(crate) struct Kind {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub list_kind: String,
    pub plural: String,
    pub singular: String,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    pub schema: Schema,
    /// The schema as it was declared, for clients.
    pub declared: Value,
    /// Whether `/status` is served. If so, writes to the object itself do not change the status.
    pub status: bool,
    /// Where the numbers of `/scale` are, if it is served.
    pub scale: Option<ScalePaths>,
    /// The paths of fields that a field selector may name, by label, besides those of the metadata.
    pub selectable: Vec<(String, Vec<String>)>,
    /// The columns of its Tables besides the name. Empty: it has no Tables.
    pub columns: Vec<Column>,
    pub traits: Traits,
    /// The number of the store of its objects. Two kinds with the same number are two views of the same objects.
    pub store: u16,
}

/// Where the numbers of the subresource `scale` are in an object.
pub(crate) struct ScalePaths {
    pub spec: Vec<String>,
    pub status: Vec<String>,
    pub selector: Option<Vec<String>>,
}

/// What is special about the content of one built-in kind.
#[derive(Clone, Copy)]
pub(crate) struct Content {
    /// Its objects are never shown in errors.
    pub hidden: bool,
    /// Brings an object that was read into the form in which it is stored. The error says what cannot be read.
    pub settle: fn(&mut Value) -> Result<(), String>,
    /// Checks a new object, or one that replaces an old one.
    pub validate: fn(&Value, Option<&Value>) -> Vec<FieldError>,
    /// The value of `type` that is not supported, if the object has one.
    pub unsupported: fn(&Value) -> Option<&str>,
}

/// The differences between built-in kinds and custom resources.
#[derive(Clone, Copy)]
pub(crate) struct Traits {
    /// Objects have a `metadata.generation`.
    pub generation: bool,
    /// PUT of an object that does not exist creates it.
    pub create_on_update: bool,
    /// PUT without a resourceVersion overwrites the object.
    pub unconditional_update: bool,
    /// A strategic merge patch does the same as a merge patch, because the kind has no lists.
    pub strategic: bool,
    /// The name is one DNS label.
    pub short_name: bool,
    /// The body may leave out `kind` and `apiVersion`.
    pub typed: bool,
    /// What is special about its content.
    pub content: Option<Content>,
    /// (name here, name in the stored form) of each field at the root that is stored under another name.
    pub renamed: &'static [(&'static str, &'static str)],
    /// Fields at the root that an answer has even if they are not set, and what it says of them: Go prints those without
    /// `omitempty`. `kubectl get --sort-by` prints no row if no object has the field.
    pub printed: &'static [(&'static str, Unset)],
}

/// What Go prints of a field that is not set.
#[derive(Clone, Copy)]
pub(crate) enum Unset {
    Null,
    EmptyText,
    EmptyObject,
}

impl Unset {
    fn value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::EmptyText => "".into(),
            Self::EmptyObject => Value::Object(serde_json::Map::new()),
        }
    }
}

const CUSTOM: Traits = Traits {
    generation: true,
    create_on_update: false,
    unconditional_update: false,
    strategic: false,
    short_name: false,
    typed: false,
    content: None,
    renamed: &[],
    printed: &[],
};

pub(crate) const BUILT_IN: Traits = Traits { generation: false, strategic: true, typed: true, ..CUSTOM };

/// The kinds that a server serves.
pub(crate) struct Kinds(pub Vec<Arc<Kind>>);

impl Kinds {
    /// How many stores they have.
    pub fn stores(&self) -> usize {
        self.0.iter().map(|k| usize::from(k.store) + 1).max().unwrap_or_default()
    }

    /// The kind that a path names.
    pub fn of_path(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Kind>> {
        self.0.iter().find(|k| k.group == group && k.version == version && k.plural == plural).cloned()
    }

    /// The kind that a reference names.
    pub fn of_reference(&self, group: &str, kind: &str) -> Option<&Kind> {
        self.0.iter().find(|k| k.group == group && k.kind == kind).map(|k| &**k)
    }

    /// The kind whose form the stored objects of a store have.
    pub fn stored(&self, store: u16) -> &Kind {
        // The other kinds with that number are views of this one. Every number comes from a kind.
        let kind = self.0.iter().find(|k| k.store == store && k.traits.renamed.is_empty());
        kind.unwrap_or(&self.0[0])
    }

    /// The number of the store of objects of a kind, by its group and plural name. None: it is not served.
    pub fn store_of(&self, resource: &Resource) -> Option<u16> {
        let kind = self.0.iter().find(|k| k.group == resource.group && k.plural == resource.plural);
        kind.map(|kind| kind.store)
    }

    /// An object of a kind in the form in which it is stored.
    pub fn to_stored(&self, kind: &Kind, mut object: Value) -> Value {
        if !kind.traits.renamed.is_empty() {
            rename(&mut object, kind.traits.renamed.iter().copied(), &self.stored(kind.store).api_version());
        }
        object
    }
}

impl Kind {
    /// `plural.group`.
    pub fn group_resource(&self) -> String {
        qualified(&self.plural, &self.group)
    }

    /// `group/version`, or `version` in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    pub fn is_namespace(&self) -> bool {
        self.group.is_empty() && self.plural == "namespaces"
    }

    pub fn resource(&self) -> Resource {
        Resource { group: self.group.clone(), plural: self.plural.clone() }
    }

    /// A stored object in the form of this kind.
    pub fn view<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        if self.traits.renamed.is_empty() {
            return Cow::Borrowed(object);
        }
        let mut object = object.clone();
        rename(&mut object, self.traits.renamed.iter().map(|(here, stored)| (*stored, *here)), &self.api_version());
        Cow::Owned(object)
    }

    /// Whether an answer prints a stored object as it is.
    pub fn is_printed_as_stored(&self) -> bool {
        self.traits.renamed.is_empty() && self.traits.printed.is_empty()
    }

    /// A stored object as an answer prints it.
    pub fn print<'a>(&self, object: &'a Value) -> Cow<'a, Value> {
        let mut object = self.view(object);
        for (field, unset) in self.traits.printed {
            if object.get(field).is_none() {
                object.to_mut()[*field] = unset.value();
            }
        }
        object
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
        let declared = schema;
        let schema = Schema::compile(&declared, "openAPIV3Schema").map_err(error)?;
        let columns = match version.additional_printer_columns.as_deref().unwrap_or_default() {
            [] => vec![Column::age()],
            declared => declared.iter().map(Column::new).collect::<Result<_, _>>().map_err(error)?,
        };
        let subresources = version.subresources.as_ref();
        let scale = subresources.and_then(|s| s.scale.as_ref()).map(|scale| ScalePaths {
            spec: keys(&scale.spec_replicas_path),
            status: keys(&scale.status_replicas_path),
            selector: scale.label_selector_path.as_deref().map(keys),
        });
        let selectable = version.selectable_fields.iter().flatten();
        Ok(Self {
            group: spec.group.clone(),
            version: version.name.clone(),
            kind: spec.names.kind.clone(),
            list_kind: spec.names.list_kind.clone().unwrap_or_else(|| format!("{}List", spec.names.kind)),
            plural: spec.names.plural.clone(),
            singular: spec.names.singular.clone().unwrap_or_else(|| spec.names.kind.to_lowercase()),
            short_names: spec.names.short_names.clone().unwrap_or_default(),
            categories: spec.names.categories.clone().unwrap_or_default(),
            namespaced: spec.scope == "Namespaced",
            schema,
            declared,
            status: subresources.is_some_and(|s| s.status.is_some()),
            scale,
            selectable: selectable
                .map(|f| (f.json_path.trim_start_matches('.').to_owned(), keys(&f.json_path)))
                .collect(),
            columns,
            traits: CUSTOM,
            store,
        })
    }

    /// A built-in kind, in version v1 of its group.
    ///
    /// # Errors
    /// A schema that does not compile.
    pub fn built_in(group: &str, kind: &str, plural: &str, schema: &Value, store: u16) -> Result<Self, LocalError> {
        let declared = schema.clone();
        let schema = Schema::compile(schema, "schema")
            .map_err(|message| LocalError::Crd { name: qualified(plural, group), message })?;
        Ok(Self {
            group: group.into(),
            version: "v1".into(),
            kind: kind.into(),
            list_kind: format!("{kind}List"),
            plural: plural.into(),
            singular: kind.to_lowercase(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: true,
            schema,
            declared,
            status: false,
            scale: None,
            selectable: Vec::new(),
            columns: Vec::new(),
            traits: BUILT_IN,
            store,
        })
    }
}

/// Renames fields at the root of an object, and changes its `apiVersion`.
fn rename<'n>(object: &mut Value, names: impl Iterator<Item = (&'n str, &'n str)>, api_version: &str) {
    let Some(map) = object.as_object_mut() else { return };
    for (from, to) in names {
        if let Some(value) = map.remove(from) {
            map.insert(to.into(), value);
        }
    }
    map.insert("apiVersion".into(), api_version.into());
}

/// The keys of a JSON path of plain fields, such as `.spec.replicas`.
pub(crate) fn keys(path: &str) -> Vec<String> {
    path.trim_start_matches('.').split('.').map(str::to_owned).collect()
}

/// `name.group`, or `name` in the core group.
pub(crate) fn qualified(name: &str, group: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}
