//! Answers one request: reads it, calls the verb, writes the response.
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use tower::BoxError;

use crate::local::discovery;
use crate::local::objects::api::Api;
use crate::local::objects::scale::{scale, scaled};
use crate::local::objects::verbs::{Deleted, Written};
use crate::local::objects::watch::watch;
use crate::local::request::body::{Body, delete_options, read_object};
use crate::local::request::negotiate::negotiate;
use crate::local::request::options::{Form, Part, Source};
use crate::local::request::patch::Patch;
use crate::local::request::query::Query;
use crate::local::request::routes::{Target, target};
use crate::local::response::http::{ResponseBody, json_response, plain};
use crate::local::response::json;
use crate::local::response::json::to_json;
use crate::local::response::status::ApiError;
use crate::local::response::table;
use crate::local::schema::kind::{Kind, ScalePaths};
use crate::local::schema::meta;

/// Answers one request.
pub(crate) async fn handle<B>(api: Arc<Api>, request: Request<B>) -> Result<Response<ResponseBody>, BoxError>
where
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    let (parts, body) = request.into_parts();
    let body = Body::read(body).await?;
    Ok(answer(&api, &parts, &body).await.unwrap_or_else(|e| {
        if e.reason.is_empty() && e.code == 404 {
            plain(StatusCode::NOT_FOUND, e.message)
        } else {
            json_response(StatusCode::from_u16(e.code).unwrap_or_default(), to_json(&e.to_json()), &[])
        }
    }))
}

async fn answer(api: &Arc<Api>, parts: &http::request::Parts, body: &Body) -> Result<Response<ResponseBody>, ApiError> {
    if ["/healthz", "/livez", "/readyz"].contains(&parts.uri.path()) {
        return Ok(plain(StatusCode::OK, "ok".into()));
    }
    if let Some(found) = discovery::answer(&api.kinds, parts.uri.path()) {
        if parts.method != Method::GET {
            return Err(ApiError::only_get());
        }
        return Ok(json_response(StatusCode::OK, to_json(&found), &[]));
    }
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if parts.method == Method::POST {
        let asked = || read_object(content_type, body.bytes()?);
        if let Some(review) = discovery::reviews::answer(parts.uri.path(), asked) {
            return Ok(json_response(StatusCode::CREATED, to_json(&review?), &[]));
        }
    }
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let target = target(&api.kinds, parts.uri.path())?;
    let accept = parts.headers.get(header::ACCEPT).and_then(|v| v.to_str().ok());
    let kind = &target.kind;
    let tables = parts.method == Method::GET && !kind.columns.is_empty();
    let form = negotiate(accept, tables, &query)?;
    let namespace = target.namespace.as_deref();
    let one = namespace.unwrap_or_default();
    let Some(name) = target.name.as_deref() else {
        return match parts.method {
            Method::GET if query.flag("watch") => watch_response(api, &target, &query, form),
            Method::GET => {
                let namespace = namespace.filter(|_| kind.namespaced);
                Ok(json_response(StatusCode::OK, api.list(kind, namespace, &query.list(kind)?, form)?, &[]))
            }
            Method::POST if namespace.is_some() => {
                let object = read_object(content_type, body.bytes()?)?;
                let written = api.create(kind, one, object, query.write("CreateOptions")?).await?;
                Ok(written_response(kind, &written))
            }
            Method::DELETE if namespace.is_some() && !kind.is_namespace() => {
                let options = delete_options(&query, content_type, body.bytes()?)?;
                Ok(json_response(
                    StatusCode::OK,
                    api.delete_collection(kind, namespace, &query.selector(kind)?, &options).await?,
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
        Some("scale") if kind.scale.is_some() => Part::Main,
        Some("status" | "scale") if kind.traits.typed => return Err(ApiError::no_route()),
        Some("status" | "scale") => return Err(ApiError::not_found(kind, name)),
        Some(other) => return Err(ApiError::not_implemented(&format!("the subresource {other:?}"))),
    };
    if let Some(paths) = kind.scale.as_ref().filter(|_| target.subresource.as_deref() == Some("scale")) {
        return scale_response(api, (kind, paths), (one, name), parts, body).await;
    }
    match parts.method {
        Method::GET => {
            if let Some(asked) = query.resource_version_of_get()? {
                let current = api.lock().revision();
                if asked > current {
                    return Err(ApiError::future_version(asked, current));
                }
            }
            let stored = api.get(kind, one, name)?;
            let body = match form {
                Form::Json => json::object(kind, &stored),
                Form::Table(include) => table::one(kind, &stored, true, include, api.clock.now()),
            };
            Ok(json_response(StatusCode::OK, body, &[]))
        }
        Method::PUT => {
            let object = read_object(content_type, body.bytes()?)?;
            let written = api
                .update(kind, one, name, (part, Source::Body), query.write("UpdateOptions")?, |_| Ok(object))
                .await?;
            Ok(written_response(kind, &written))
        }
        Method::PATCH => {
            let change = Patch::parse(kind, content_type, body.bytes()?)?;
            let options = query.write("PatchOptions")?;
            let written = api.update(kind, one, name, (part, Source::Patch), options, |old| change.apply(old)).await?;
            Ok(written_response(kind, &written))
        }
        Method::DELETE if part == Part::Main => {
            let options = delete_options(&query, content_type, body.bytes()?)?;
            Ok(json_response(
                StatusCode::OK,
                match api.delete(kind, one, name, &options).await? {
                    Deleted::Pending(stored) => json::object(kind, &stored),
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

/// Answers a request for the subresource `scale`.
async fn scale_response(
    api: &Arc<Api>,
    (kind, paths): (&Kind, &ScalePaths),
    (namespace, name): (&str, &str),
    parts: &http::request::Parts,
    body: &Body,
) -> Result<Response<ResponseBody>, ApiError> {
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let content_type = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let object = match parts.method {
        Method::GET => Arc::clone(&api.get(kind, namespace, name)?.object),
        Method::PUT => {
            let wanted = read_object(content_type, body.bytes()?)?;
            let change = |old: &Value| scaled(paths, old, &wanted);
            let (place, options) = ((Part::Main, Source::Patch), query.write("UpdateOptions")?);
            Arc::clone(&api.update(kind, namespace, name, place, options, change).await?.stored.object)
        }
        Method::PATCH => {
            let patch = Patch::parse(kind, content_type, body.bytes()?)?;
            let change = |old: &Value| scaled(paths, old, &patch.apply(&scale(kind, paths, old)?)?);
            let (place, options) = ((Part::Main, Source::Patch), query.write("PatchOptions")?);
            Arc::clone(&api.update(kind, namespace, name, place, options, change).await?.stored.object)
        }
        _ => return Err(ApiError::method_not_allowed(kind, &parts.method)),
    };
    Ok(json_response(StatusCode::OK, to_json(&scale(kind, paths, &object)?), &[]))
}

fn watch_response(
    api: &Arc<Api>,
    target: &Target,
    query: &Query,
    form: Form,
) -> Result<Response<ResponseBody>, ApiError> {
    let kind = &target.kind;
    let options = query.watch(kind)?;
    let namespace = target.namespace.clone().filter(|_| kind.namespaced);
    let lines = watch(Arc::clone(api), Arc::clone(kind), namespace, options, form);
    let frames = futures::StreamExt::map(lines, |line| line.map(http_body::Frame::data));
    let body = StreamBody::new(frames).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    Ok(response)
}

fn written_response(kind: &Kind, written: &Written) -> Response<ResponseBody> {
    let status = if written.created { StatusCode::CREATED } else { StatusCode::OK };
    json_response(status, json::object(kind, &written.stored), &written.warnings)
}
