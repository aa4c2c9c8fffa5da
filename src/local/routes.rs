//! From an HTTP request to what it asks for, and back.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::{Value, json};
use tower::BoxError;

use super::ResponseBody;
use super::fields::FieldError;
use super::kinds::Kind;
use super::list::ListOptions;
use super::meta;
use super::objects::{Api, DeleteOptions, Deleted, Part, Source, UnknownFields, WriteOptions, Written};
use super::patch;
use super::render::negotiate;
use super::select::Selector;
use super::status::ApiError;
use super::store::to_json;
use super::watch::{WatchOptions, watch};

/// What a path names.
struct Target {
    kind: Arc<Kind>,
    /// `None`: all of them, in a list. Empty for kinds without namespaces.
    namespace: Option<String>,
    name: Option<String>,
    subresource: Option<String>,
}

/// The query's parameters.
struct Query(BTreeMap<String, String>);

impl Query {
    fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// Anything but `false` and `0` is true, nothing at all too.
    fn flag(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|v| !v.eq_ignore_ascii_case("false") && v != "0")
    }

    fn number(&self, key: &str) -> Result<Option<u64>, ApiError> {
        self.text(key)
            .map(|v| {
                v.parse().map_err(|_| {
                    let why = format!("strconv.ParseUint: parsing {v:?}: invalid syntax");
                    ApiError::bad_request(format!("invalid resource version: {key}: Invalid value: {v:?}: {why}"))
                })
            })
            .transpose()
    }

    /// A number of things; below 0 is none.
    fn count(&self, key: &str) -> Result<Option<u64>, ApiError> {
        let bad = |v: &str| ApiError::bad_request(format!("strconv.ParseInt: parsing {v:?}: invalid syntax"));
        let number = self.text(key).map(|v| v.parse::<i64>().map_err(|_| bad(v))).transpose()?;
        Ok(number.and_then(|n| u64::try_from(n).ok()))
    }

    /// `options` is the type of the verb's options.
    fn dry_run(&self, options: &str) -> Result<bool, ApiError> {
        match self.0.get("dryRun").map(String::as_str) {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(bad_dry_run(options, &[other])),
        }
    }

    fn write(&self, options: &str) -> Result<WriteOptions, ApiError> {
        let unknown_fields = match self.text("fieldValidation") {
            Some("Strict") => UnknownFields::Refuse,
            Some("Warn") | None => UnknownFields::Warn,
            Some("Ignore") => UnknownFields::Ignore,
            Some(other) => {
                return Err(bad_option(options, "fieldValidation", other, &["", "Ignore", "Strict", "Warn"]));
            }
        };
        Ok(WriteOptions { dry_run: self.dry_run(options)?, unknown_fields })
    }

    fn selector(&self, kind: &Kind) -> Result<Selector, ApiError> {
        Selector::parse(kind, self.text("labelSelector"), self.text("fieldSelector"))
    }
}

fn bad_option(options: &str, key: &str, value: &str, allowed: &[&str]) -> ApiError {
    let allowed: Vec<Value> = allowed.iter().map(|v| (*v).into()).collect();
    let error = FieldError::not_supported(key, &value.into(), &allowed);
    ApiError::invalid_as(options, "meta.k8s.io", "", &[error])
}

fn bad_dry_run(options: &str, values: &[&str]) -> ApiError {
    let error = FieldError::not_supported_list("dryRun", values, &["All".into()]);
    ApiError::invalid_as(options, "meta.k8s.io", "", &[error])
}

/// A combination of options of a list or watch that is none.
fn bad_list(key: &str, detail: &str) -> ApiError {
    ApiError::invalid_as("ListOptions", "meta.k8s.io", "", &[FieldError::forbidden(key, detail)])
}

/// Answers one request.
pub(super) async fn handle(
    api: Arc<Api>,
    request: Request<kube::client::Body>,
) -> Result<Response<ResponseBody>, BoxError> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(answer(&api, &parts, &body).unwrap_or_else(|e| {
        if e.reason.is_empty() && e.code == 404 {
            plain(StatusCode::NOT_FOUND, e.message)
        } else {
            json_response(StatusCode::from_u16(e.code).unwrap_or_default(), to_json(&e.to_json()), &[])
        }
    }))
}

fn answer(api: &Arc<Api>, parts: &http::request::Parts, body: &[u8]) -> Result<Response<ResponseBody>, ApiError> {
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let target = target(api, parts.uri.path())?;
    let accept = parts.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    negotiate(accept)?;
    let kind = &target.kind;
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let namespace = target.namespace.as_deref();
    let one = namespace.unwrap_or_default();
    let Some(name) = target.name.as_deref() else {
        return match parts.method {
            Method::GET if query.flag("watch") => watch_response(api, &target, &query),
            Method::GET => list(api, kind, namespace, &query),
            Method::POST if namespace.is_some() => {
                let object = read_json(content_type, body)?;
                let written = api.create(kind, one, object, query.write("CreateOptions")?)?;
                Ok(written_response(api, kind, &written))
            }
            Method::DELETE if namespace.is_some() => {
                let options = delete_options(&query, content_type, body)?;
                Ok(json_response(
                    StatusCode::OK,
                    api.delete_collection(kind, namespace, &query.selector(kind)?, &options)?,
                    &[],
                ))
            }
            Method::PUT | Method::PATCH => Err(ApiError::bad_request("name must be provided")),
            _ => Err(ApiError::method_not_allowed(kind, &parts.method)),
        };
    };
    let part = match target.subresource.as_deref() {
        None => Part::Main,
        Some("status") if kind.status => Part::Status,
        Some("status") => return Err(ApiError::no_route()),
        Some(other) => return Err(ApiError::not_implemented(&format!("the subresource {other:?}"))),
    };
    match parts.method {
        Method::GET => {
            if let Some(asked) = query.number("resourceVersion").map_err(ApiError::of_get)? {
                let current = api.lock().revision();
                if asked > current {
                    return Err(ApiError::future_version(asked, current));
                }
            }
            let stored = api.get(kind, one, name)?;
            Ok(json_response(StatusCode::OK, api.render(kind, &stored), &[]))
        }
        Method::PUT => {
            let object = read_json(content_type, body)?;
            let written =
                api.update(kind, one, name, (part, Source::Body), query.write("UpdateOptions")?, |_| Ok(object))?;
            Ok(written_response(api, kind, &written))
        }
        Method::PATCH => {
            let change = patch::Change::parse(kind, content_type, body)?;
            let options = query.write("PatchOptions")?;
            let written = api.update(kind, one, name, (part, Source::Patch), options, |old| change.apply(old))?;
            Ok(written_response(api, kind, &written))
        }
        Method::DELETE if part == Part::Main => {
            if kind.plural == "namespaces" && kind.group.is_empty() {
                return Err(ApiError::not_implemented("deletion of namespaces"));
            }
            let options = delete_options(&query, content_type, body)?;
            Ok(json_response(
                StatusCode::OK,
                match api.delete(kind, one, name, &options)? {
                    Deleted::Pending(stored) => api.render(kind, &stored),
                    Deleted::Gone(stored) => to_json(&json!({
                        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
                        "details": {
                            "name": name, "group": kind.group, "kind": kind.plural, "uid": meta::text(&stored.object, "uid"),
                        },
                    })),
                },
                &[],
            ))
        }
        _ => Err(ApiError::method_not_allowed(kind, &parts.method)),
    }
}

/// Finds the kind and the names in a path such as `/apis/GROUP/VERSION/namespaces/NS/PLURAL/NAME/SUBRESOURCE`.
fn target(api: &Api, path: &str) -> Result<Target, ApiError> {
    // Valid names need no percent encoding.
    let parts: Vec<&str> = path.split('/').filter(|s| !s.is_empty()).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return Err(ApiError::no_route()),
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() && rest[0] != "status" => (Some(*namespace), rest),
        _ => (None, rest),
    };
    let [plural, rest @ ..] = rest else { return Err(ApiError::no_route()) };
    let kind = api.kinds.iter().find(|k| k.group == group && k.version == version && k.plural == *plural);
    let kind = Arc::clone(kind.ok_or_else(ApiError::no_route)?);
    if kind.namespaced != namespace.is_some() && !(kind.namespaced && rest.is_empty()) {
        return Err(ApiError::no_route());
    }
    let namespace = if kind.namespaced { namespace } else { Some("") };
    let text = |s: &&str| (*s).to_owned();
    match rest {
        [] => Ok(Target { kind, namespace: namespace.map(str::to_owned), name: None, subresource: None }),
        [name] | [name, _] => Ok(Target {
            kind,
            namespace: namespace.map(str::to_owned),
            name: Some(text(name)),
            subresource: rest.get(1).map(text),
        }),
        _ => Err(ApiError::no_route()),
    }
}

fn list(api: &Api, kind: &Kind, namespace: Option<&str>, query: &Query) -> Result<Response<ResponseBody>, ApiError> {
    if query.0.contains_key("sendInitialEvents") {
        return Err(bad_list("sendInitialEvents", "sendInitialEvents is forbidden for list"));
    }
    query.count("timeoutSeconds")?;
    match (query.text("resourceVersionMatch"), query.text("resourceVersion")) {
        (Some("Exact"), Some("0")) => {
            let detail = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
            return Err(bad_list("resourceVersionMatch", detail));
        }
        (None, _) | (Some("NotOlderThan" | "Exact"), Some(_)) => {}
        (Some(_), None) => {
            let detail = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            return Err(bad_list("resourceVersionMatch", detail));
        }
        (Some(other), Some(_)) => {
            let allowed = ["Exact", "NotOlderThan", ""];
            return Err(bad_option("ListOptions", "resourceVersionMatch", other, &allowed));
        }
    }
    let options = ListOptions {
        selector: query.selector(kind)?,
        limit: query.count("limit")?.map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX)),
        token: query.text("continue").map(str::to_owned),
        resource_version: query.number("resourceVersion")?,
        exact: query.text("resourceVersionMatch") == Some("Exact"),
    };
    let namespace = namespace.filter(|_| kind.namespaced);
    Ok(json_response(StatusCode::OK, api.list(kind, namespace, &options)?, &[]))
}

fn watch_response(api: &Arc<Api>, target: &Target, query: &Query) -> Result<Response<ResponseBody>, ApiError> {
    let kind = &target.kind;
    if query.text("sendInitialEvents").is_some() {
        // The words of 1.33, where this is off by default.
        let detail = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
        return Err(bad_list("sendInitialEvents", detail));
    }
    if query.text("resourceVersionMatch").is_some() {
        let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        return Err(bad_list("resourceVersionMatch", detail));
    }
    let options = WatchOptions {
        selector: query.selector(kind)?,
        resource_version: query.number("resourceVersion").map_err(ApiError::of_get)?,
        bookmarks: query.flag("allowWatchBookmarks"),
        timeout: query.count("timeoutSeconds")?.map(Duration::from_secs),
    };
    let namespace = target.namespace.clone().filter(|_| kind.namespaced);
    let lines = watch(Arc::clone(api), Arc::clone(kind), namespace, options);
    let frames = futures::StreamExt::map(lines, |line| line.map(http_body::Frame::data));
    let body = StreamBody::new(frames).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Ok(response)
}

fn read_json(content_type: &str, body: &[u8]) -> Result<Value, ApiError> {
    let media = content_type.split(';').next().unwrap_or_default().trim();
    if !["", "application/json"].contains(&media) {
        return Err(ApiError::unsupported_media_type(&["application/json"]));
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|e| ApiError::bad_request(format!("couldn't get version/kind; json parse error: {e}")))?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(ApiError::bad_request("couldn't get version/kind; json parse error: not a JSON object"))
    }
}

fn delete_options(query: &Query, content_type: &str, body: &[u8]) -> Result<DeleteOptions, ApiError> {
    let body = if body.is_empty() { json!({}) } else { read_json(content_type, body)? };
    let policy = body["propagationPolicy"].as_str().or(query.text("propagationPolicy"));
    match policy {
        None | Some("Background") => {}
        Some(policy @ ("Foreground" | "Orphan")) => {
            return Err(ApiError::not_implemented(&format!("propagationPolicy {policy}")));
        }
        Some(other) => {
            return Err(bad_option(
                "DeleteOptions",
                "propagationPolicy",
                other,
                &["Foreground", "Background", "Orphan", "nil"],
            ));
        }
    }
    if body["orphanDependents"] == Value::Bool(true) || query.flag("orphanDependents") {
        return Err(ApiError::not_implemented("orphanDependents"));
    }
    let text = |key: &str| body["preconditions"][key].as_str().map(str::to_owned);
    let in_body: Vec<&str> = body["dryRun"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if in_body.iter().any(|v| *v != "All") {
        return Err(bad_dry_run("DeleteOptions", &in_body));
    }
    Ok(DeleteOptions {
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        dry_run: !in_body.is_empty() || query.dry_run("DeleteOptions")?,
    })
}

fn written_response(api: &Api, kind: &Kind, written: &Written) -> Response<ResponseBody> {
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    json_response(status, api.render(kind, &written.stored), &written.warnings)
}

fn json_response(status: StatusCode, body: Bytes, warnings: &[String]) -> Response<ResponseBody> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    for warning in warnings {
        if let Ok(value) = header::HeaderValue::from_str(&format!("299 - {warning:?}")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
}

fn plain(status: StatusCode, text: String) -> Response<ResponseBody> {
    let mut response = Response::new(full(text.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn full(body: Bytes) -> ResponseBody {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}
