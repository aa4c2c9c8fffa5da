//! Errors in the words of the API server: a `Status` object with code, reason, message and details.
use serde_json::{Map, Value, json};

use crate::local::schema::field_error::FieldError;
use crate::local::schema::kind::{Kind, qualified};

/// A failed request. Becomes the `Status` body of the response, or the object of an ERROR watch event.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub code: u16,
    /// Empty where the real server gives none.
    pub reason: &'static str,
    pub message: String,
    details: Map<String, Value>,
}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: Map::new() }
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        if value.as_str() != Some("") {
            self.details.insert(key.into(), value);
        }
        self
    }

    fn of(self, kind: &Kind, name: &str) -> Self {
        self.with("name", name).with("group", kind.group.as_str()).with("kind", kind.plural.as_str())
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub fn not_found(kind: &Kind, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{} {name:?} not found", kind.group_resource())).of(kind, name)
    }

    /// An unknown path. The real server answers in plain text, not with a Status.
    pub fn no_route() -> Self {
        Self::new(404, "", "404 page not found\n")
    }

    pub fn method_not_allowed(kind: &Kind, method: &http::Method) -> Self {
        let verb = match *method {
            http::Method::POST => "create".to_owned(),
            http::Method::OPTIONS => String::new(),
            _ => method.as_str().to_lowercase(),
        };
        let resource = kind.group_resource();
        Self::new(405, "MethodNotAllowed", format!("{verb} is not supported on resources of kind {resource:?}"))
            .with("group", kind.group.as_str())
            .with("kind", kind.plural.as_str())
    }

    /// Discovery can only be read.
    pub fn only_get() -> Self {
        Self::new(405, "MethodNotAllowed", "only GET is supported on this path")
    }

    pub fn not_acceptable() -> Self {
        Self::new(406, "NotAcceptable", "only the following media types are accepted: application/json")
    }

    pub fn already_exists(kind: &Kind, name: &str, deleting: bool) -> Self {
        let why = if deleting { "object is being deleted: " } else { "" };
        let message = format!("{why}{} {name:?} already exists", kind.group_resource());
        Self::new(409, "AlreadyExists", message).of(kind, name)
    }

    pub fn forbidden(kind: &Kind, name: &str, why: &str) -> Self {
        Self::new(403, "Forbidden", format!("{} {name:?} is forbidden: {why}", kind.group_resource())).of(kind, name)
    }

    /// An object in a namespace that is being deleted.
    pub fn terminating(kind: &Kind, name: &str, namespace: &str) -> Self {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        Self::forbidden(kind, name, &why).with(
            "causes",
            vec![json!({
                "reason": "NamespaceTerminating", "message": format!("namespace {namespace} is being terminated"),
                "field": "metadata.namespace",
            })],
        )
    }

    pub fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", kind.group_resource());
        Self::new(409, "Conflict", message).of(kind, name)
    }

    /// The object changed since the resourceVersion that the client had.
    pub fn modified(kind: &Kind, name: &str) -> Self {
        Self::conflict(
            kind,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// A failed precondition of a delete. Like the real server, it names the kind, not the resource.
    pub fn precondition(kind: &Kind, name: &str, why: &str) -> Self {
        let resource = qualified(&kind.kind, &kind.group);
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {resource} {name:?}: {why}"))
            .with("name", name)
            .with("group", kind.group.as_str())
            .with("kind", kind.kind.as_str())
    }

    /// A watch or list from a resourceVersion whose events are no longer in the log.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, "RequestEntityTooLarge", message)
    }

    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        let accepted = accepted.join(", ");
        Self::new(
            415,
            "UnsupportedMediaType",
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}"),
        )
    }

    /// An apply patch.
    pub fn no_apply() -> Self {
        let message = "this server does not support server-side apply: use `kubectl apply` without --server-side, or a merge patch";
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// A body in protobuf of a kind that is not read from it.
    pub fn no_protobuf() -> Self {
        let message = "this server reads this kind from application/json only, or the body is not of that kind: set the content \
                       type of the client to application/json";
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// One or more fields are wrong.
    pub fn invalid(kind: &Kind, name: &str, errors: &[FieldError]) -> Self {
        Self::invalid_as(&kind.kind, &kind.group, name, errors)
    }

    /// Like [`Self::invalid`], with another type name. Some checks of the real server name the resource, or nothing.
    pub fn invalid_as(kind: &str, group: &str, name: &str, errors: &[FieldError]) -> Self {
        let causes: Vec<Value> =
            errors.iter().map(|e| json!({"reason": e.kind.reason(), "message": e.body(), "field": e.field})).collect();
        let mut texts: Vec<String> = Vec::new();
        for text in errors.iter().map(ToString::to_string) {
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let all = if let [one] = texts.as_slice() { one.clone() } else { format!("[{}]", texts.join(", ")) };
        Self::new(422, "Invalid", format!("{} {name:?} is invalid: {all}", qualified(kind, group)))
            .with("name", name)
            .with("group", group)
            .with("kind", kind)
            .with("causes", causes)
    }

    /// A JSON patch that does not apply. The real server does not say why.
    pub fn patch_rejected() -> Self {
        Self::new(422, "Invalid", "the server rejected our request due to an error in our request")
    }

    /// A failure of the server itself.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        Self::new(500, "InternalError", format!("Internal error occurred: {error}"))
            .with("causes", vec![json!({"message": error.to_string()})])
    }

    pub fn unset_on_create() -> Self {
        Self::new(500, "", "resourceVersion should not be set on objects to be created")
    }

    /// A feature of Kubernetes that this server lacks.
    pub fn not_implemented(feature: &str) -> Self {
        Self::new(501, "NotImplemented", format!("the embedded API server does not support {feature}"))
    }

    /// The client asks for a resourceVersion that does not exist yet.
    pub fn future_version(asked: u64, current: u64) -> Self {
        Self::new(504, "Timeout", format!("Timeout: Too large resource version: {asked}, current: {current}"))
            .with("causes", vec![json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"})])
            .with("retryAfterSeconds", 1)
    }

    /// Whether the Status has details. Those of a rejected patch are empty.
    fn has_details(&self) -> bool {
        !self.details.is_empty() || self.code == 422
    }

    /// A resourceVersion in a body that is not a number. The real server reports it as an error of its own.
    pub fn no_version(text: &str) -> Self {
        Self::new(500, "", format!("strconv.ParseUint: parsing {text:?}: invalid syntax"))
    }

    /// An invalid resourceVersion of a watch, or of a GET of one object. The real server reports it as an error of its own.
    pub fn of_get(self) -> Self {
        Self::new(500, "", self.message.trim_start_matches("invalid resource version: "))
    }

    /// The `Status` object.
    pub fn to_json(&self) -> Value {
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if !self.reason.is_empty() {
            status["reason"] = self.reason.into();
        }
        if self.has_details() {
            status["details"] = Value::Object(self.details.clone());
        }
        status
    }
}
