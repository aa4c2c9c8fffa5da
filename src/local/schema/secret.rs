//! Secrets: what is special about their content. No error here carries a value.
use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use crate::local::schema::field_error::FieldError;

/// The size of all values together, in bytes, as in kube-apiserver.
const LIMIT: usize = 1024 * 1024;
const MAX_KEY: usize = 253;
const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const IMMUTABLE: &str = "field is immutable when `immutable` is set";

/// As lax as Go about the last bits.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&ALPHABET, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// Brings a Secret that was read into the form in which it is stored: `stringData` goes into `data`.
///
/// # Errors
/// A value in `data` is not base64.
pub(crate) fn settle(object: &mut Value) -> Result<(), String> {
    let Some(secret) = object.as_object_mut() else { return Ok(()) };
    if secret.get("type").is_some_and(|kind| kind.as_str() == Some("")) {
        secret.remove("type");
    }
    for value in secret.get_mut("data").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut) {
        if let Some(text) = value.as_str() {
            *value = BASE64.encode(decode(text)?).into();
        }
    }
    // Values that are not strings stay where they are: the schema refuses them.
    let plain = secret.get("stringData").and_then(Value::as_object);
    if let Some(plain) = plain.filter(|plain| plain.values().all(Value::is_string)) {
        let encode = |(key, value): (&String, &Value)| {
            (key.clone(), Value::from(BASE64.encode(value.as_str().unwrap_or_default())))
        };
        let more: Vec<(String, Value)> = plain.iter().map(encode).collect();
        secret.remove("stringData");
        if let Some(data) = secret.entry("data").or_insert_with(|| Map::new().into()).as_object_mut() {
            data.extend(more);
        }
    }
    if secret.get("data").is_some_and(|data| data.as_object().is_some_and(Map::is_empty)) {
        secret.remove("data");
    }
    Ok(())
}

/// The bytes of a value. The error is Go's.
fn decode(text: &str) -> Result<Vec<u8>, String> {
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let error = |at: usize| format!("illegal base64 data at input byte {at}");
    BASE64.decode(&text).map_err(|why| match why {
        base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol { offset: at, .. } => {
            error(at)
        }
        _ if text.ends_with('=') => error(text.len()),
        // Go names the place where the last group begins.
        _ => error(text.len() / 4 * 4),
    })
}

/// The checks of a Secret. `old` is the one that it replaces.
pub(crate) fn validate(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if let Some(old) = old {
        if new["type"] != old["type"] {
            errors.push(FieldError::invalid("type", &new["type"], "field is immutable"));
        }
        if old["immutable"] == Value::Bool(true) {
            if new["immutable"] != Value::Bool(true) {
                errors.push(FieldError::forbidden("immutable", IMMUTABLE));
            }
            if new["data"] != old["data"] {
                errors.push(FieldError::forbidden("data", IMMUTABLE));
            }
        }
    }
    let data = new["data"].as_object();
    let mut size = 0;
    for (key, value) in data.into_iter().flatten() {
        check_key(key, &mut errors);
        size += value.as_str().and_then(|text| BASE64.decode(text).ok()).map_or(0, |bytes| bytes.len());
    }
    if size > LIMIT {
        errors.push(FieldError::too_long("data", LIMIT as u64));
    }
    let value = |key: &str| data.and_then(|data| data.get(key)).and_then(Value::as_str);
    let mut require = |key: &str| errors.push(FieldError::required(&format!("data[{key}]"), ""));
    match new["type"].as_str().unwrap_or_default() {
        "kubernetes.io/basic-auth" if value("username").is_none() && value("password").is_none() => {
            require("username");
            require("password");
        }
        "kubernetes.io/ssh-auth" if value("ssh-privatekey").is_none_or(str::is_empty) => require("ssh-privatekey"),
        "kubernetes.io/tls" => {
            let missing = ["tls.crt", "tls.key"].into_iter().filter(|key| value(key).is_none());
            missing.for_each(require);
        }
        _ => {}
    }
    errors
}

fn check_key(key: &str, errors: &mut Vec<FieldError>) {
    let mut wrong = |why: &str| errors.push(FieldError::invalid(&format!("data[{key}]"), &key.into(), why));
    if key.len() > MAX_KEY {
        wrong("must be no more than 253 characters");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if key.is_empty() || !key.chars().all(allowed) {
        wrong(KEY);
    }
    match key {
        "." => wrong("must not be '.'"),
        ".." => wrong("must not be '..'"),
        _ if key.starts_with("..") => wrong("must not start with '..'"),
        _ => {}
    }
}

/// The kinds of Secrets that are refused, because kube-apiserver checks their content and this server does not.
pub(crate) fn unsupported(object: &Value) -> Option<&str> {
    const TYPES: [&str; 3] =
        ["kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson", "kubernetes.io/service-account-token"];
    object["type"].as_str().filter(|kind| TYPES.contains(kind))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_goes_over_what_is_there() {
        let mut secret = json!({"data": {"a": "QQ==", "b": "Qg=="}, "stringData": {"b": "new", "c": ""}, "type": ""});
        settle(&mut secret).unwrap();
        assert_eq!(secret, json!({"data": {"a": "QQ==", "b": "bmV3", "c": ""}}));
        let mut empty = json!({"data": {}, "stringData": {}});
        settle(&mut empty).unwrap();
        assert_eq!(empty, json!({}));
    }

    #[test]
    fn what_is_no_base64_is_refused_without_the_value() {
        for (text, at) in [("sesame!!", 6), ("abc", 0), ("c2VzYW1l*", 8), ("Zm9vYg=", 7)] {
            let mut secret = json!({"data": {"a": text}});
            assert_eq!(settle(&mut secret), Err(format!("illegal base64 data at input byte {at}")), "{text}");
        }
        let mut wrapped = json!({"data": {"a": "c2Vz\nYW1l\n"}});
        settle(&mut wrapped).unwrap();
        assert_eq!(wrapped["data"]["a"], "c2VzYW1l");
    }

    #[test]
    fn an_immutable_secret_stays_as_it_is() {
        let old = json!({"type": "Opaque", "immutable": true, "data": {"a": "QQ=="}});
        let texts = |new: &Value| validate(new, Some(&old)).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&old), [""; 0]);
        let mut new = old.clone();
        new["data"]["a"] = "Qg==".into();
        assert_eq!(texts(&new), ["data: Forbidden: field is immutable when `immutable` is set"]);
        new = json!({"type": "x", "data": {"a": "QQ=="}});
        let expected = [
            "type: Invalid value: \"x\": field is immutable",
            "immutable: Forbidden: field is immutable when `immutable` is set",
        ];
        assert_eq!(texts(&new), expected);
    }
}
