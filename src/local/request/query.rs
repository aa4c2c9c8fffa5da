//! From a query string to the options of a verb.
use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use crate::local::request::options::{Include, ListOptions, UnknownFields, WatchOptions, WriteOptions};
use crate::local::request::select::Selector;
use crate::local::response::status::ApiError;
use crate::local::schema::field_error::FieldError;
use crate::local::schema::kind::Kind;

/// The parameters of a query.
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    pub fn parse(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|v| !v.is_empty())
    }

    /// Every value except `false` and `0` is true, and so is a parameter without a value.
    pub fn flag(&self, key: &str) -> bool {
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

    /// A number of things. A negative number is no number.
    fn count(&self, key: &str) -> Result<Option<u64>, ApiError> {
        let bad = |v: &str| ApiError::bad_request(format!("strconv.ParseInt: parsing {v:?}: invalid syntax"));
        let number = self.text(key).map(|v| v.parse::<i64>().map_err(|_| bad(v))).transpose()?;
        Ok(number.and_then(|n| u64::try_from(n).ok()))
    }

    /// Whether nothing may be written. `options` is the type of the verb's options, for the error.
    pub fn dry_run(&self, options: &str) -> Result<bool, ApiError> {
        match self.0.get("dryRun").map(String::as_str) {
            None => Ok(false),
            Some("All") => Ok(true),
            Some(other) => Err(bad_dry_run(options, &[other])),
        }
    }

    pub fn write(&self, options: &str) -> Result<WriteOptions, ApiError> {
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

    pub fn selector(&self, kind: &Kind) -> Result<Selector, ApiError> {
        Selector::parse(kind, self.text("labelSelector"), self.text("fieldSelector"))
    }

    pub fn list(&self, kind: &Kind) -> Result<ListOptions, ApiError> {
        if self.0.contains_key("sendInitialEvents") {
            return Err(bad_list("sendInitialEvents", "sendInitialEvents is forbidden for list"));
        }
        self.count("timeoutSeconds")?;
        match (self.text("resourceVersionMatch"), self.text("resourceVersion")) {
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
        Ok(ListOptions {
            selector: self.selector(kind)?,
            limit: self.count("limit")?.map_or(0, |n| usize::try_from(n).unwrap_or(usize::MAX)),
            token: self.text("continue").map(str::to_owned),
            resource_version: self.number("resourceVersion")?,
            exact: self.text("resourceVersionMatch") == Some("Exact"),
        })
    }

    pub fn watch(&self, kind: &Kind) -> Result<WatchOptions, ApiError> {
        if self.text("sendInitialEvents").is_some() {
            // The message of 1.33, where the feature is off by default.
            let detail = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
            return Err(bad_list("sendInitialEvents", detail));
        }
        if self.text("resourceVersionMatch").is_some() {
            let detail = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
            return Err(bad_list("resourceVersionMatch", detail));
        }
        Ok(WatchOptions {
            selector: self.selector(kind)?,
            resource_version: self.resource_version_of_get()?,
            bookmarks: self.flag("allowWatchBookmarks"),
            timeout: self.count("timeoutSeconds")?.map(Duration::from_secs),
        })
    }

    /// What a row of a Table has of its object.
    pub fn include(&self) -> Result<Include, ApiError> {
        match self.text("includeObject") {
            None | Some("Metadata") => Ok(Include::Metadata),
            Some("None") => Ok(Include::None),
            Some("Object") => Ok(Include::Object),
            Some(other) => Err(bad_option("TableOptions", "includeObject", other, &["Metadata", "None", "Object"])),
        }
    }

    /// The resourceVersion of a GET of one object, or of a watch.
    pub fn resource_version_of_get(&self) -> Result<Option<u64>, ApiError> {
        self.number("resourceVersion").map_err(ApiError::of_get)
    }
}

pub(crate) fn bad_option(options: &str, key: &str, value: &str, allowed: &[&str]) -> ApiError {
    let allowed: Vec<Value> = allowed.iter().map(|v| (*v).into()).collect();
    let error = FieldError::not_supported(key, &value.into(), &allowed);
    ApiError::invalid_as(options, "meta.k8s.io", "", &[error])
}

pub(crate) fn bad_dry_run(options: &str, values: &[&str]) -> ApiError {
    let error = FieldError::not_supported_list("dryRun", values, &["All".into()]);
    ApiError::invalid_as(options, "meta.k8s.io", "", &[error])
}

/// An invalid combination of options of a list or watch.
fn bad_list(key: &str, detail: &str) -> ApiError {
    ApiError::invalid_as("ListOptions", "meta.k8s.io", "", &[FieldError::forbidden(key, detail)])
}
