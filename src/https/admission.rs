//! Which requests may pass: those with the token, for a name of this machine. A refusal has the form of the Kubernetes API.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use subtle::ConstantTimeEq;

use super::ResponseBody;

/// The names by which clients may call the server.
const NAMES: [&str; 2] = ["127.0.0.1", "localhost"];

/// What a request needs.
pub struct Admission {
    token: SecretString,
    port: u16,
}

/// Why a request may not pass.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    code: StatusCode,
    reason: &'static str,
    message: String,
}

impl Admission {
    /// Requests need this bearer token, and come to this port.
    #[must_use]
    pub const fn new(token: SecretString, port: u16) -> Self {
        Self { token, port }
    }

    /// Whether a request with these headers may pass. The time that it takes says nothing about the token.
    ///
    /// # Errors
    /// 401 without the token, 403 for another name: a web page may have a name that leads here.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let token = given.next().and_then(bearer).filter(|_| given.next().is_none()).unwrap_or_default();
        if !bool::from(token.ct_eq(self.token.expose_secret().as_bytes())) {
            return Err(Refusal::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"));
        }
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
        if !NAMES.contains(&name) || port.parse() != Ok(self.port) {
            let message = format!("forbidden: this server is not called {host:?}");
            return Err(Refusal::new(StatusCode::FORBIDDEN, "Forbidden", message));
        }
        Ok(())
    }
}

/// The token in the value of a header.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

impl Refusal {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into() }
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let message = format!("Request entity too large: limit is {limit}");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    pub(super) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "Timeout", "the body of the request did not arrive in time")
    }

    /// The response. It closes the connection: what is left of the request is not read.
    pub(super) fn response(self) -> Response<ResponseBody> {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
            "reason": self.reason, "code": self.code.as_u16(),
        });
        let body = Full::new(Bytes::from(status.to_string())).map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = self.code;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(headers: &[(&'static str, &str)]) -> u16 {
        let admission = Admission::new("secret".into(), 4711);
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        admission.check(&map).map_or_else(|refusal| refusal.code.as_u16(), |()| 200)
    }

    #[test]
    fn only_the_token_passes() {
        let host = ("host", "127.0.0.1:4711");
        assert_eq!(check(&[host, ("authorization", "Bearer secret")]), 200);
        assert_eq!(check(&[host, ("authorization", "bearer secret")]), 200);
        let wrong =
            ["", "Bearer", "Bearer ", "Bearer secre", "Bearer secrets", "Bearer SECRET", "Basic secret", "secret"];
        for authorization in wrong {
            assert_eq!(check(&[host, ("authorization", authorization)]), 401, "{authorization}");
        }
        assert_eq!(check(&[host]), 401);
        let twice = ("authorization", "Bearer secret");
        assert_eq!(check(&[host, twice, twice]), 401);
    }

    #[test]
    fn only_names_of_this_machine_pass() {
        let host = |name| check(&[("host", name), ("authorization", "Bearer secret")]);
        assert_eq!([host("127.0.0.1:4711"), host("localhost:4711")], [200, 200]);
        for other in [
            "evil.example:4711",
            "127.0.0.1",
            "localhost:80",
            "127.0.0.1:4711:4711",
            "",
            ":4711",
            "127.0.0.1.evil:4711",
        ] {
            assert_eq!(host(other), 403, "{other}");
        }
        // Without the token the name says nothing.
        assert_eq!(check(&[("host", "evil.example:4711")]), 401);
    }
}
