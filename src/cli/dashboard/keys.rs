//! Which pages may look: codes for one use, the tokens they are exchanged for, and what every request must show.
//!
//! A code travels in an address, which browsers and other programs of the machine may keep. So it serves once, and for a minute.
//! A token is given to the page that brought the code, which holds it in memory. There are no cookies: every port of
//! 127.0.0.1 would get them.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::clock::Ids;

/// How long a code can be used.
pub(super) const CODE_LASTS: Duration = Duration::from_secs(60);
/// Most pages that may ask at a time. One more ends the oldest one.
const PAGES: usize = 16;

/// Why a request is refused, in words for people.
pub(super) type Refusal = (StatusCode, &'static str);

/// The codes and tokens of this process.
pub(super) struct Keys {
    ids: Ids,
    code: Option<(SecretString, Duration)>,
    tokens: Vec<SecretString>,
}

impl Keys {
    /// No page may look yet.
    pub(super) const fn new(ids: Ids) -> Self {
        Self { ids, code: None, tokens: Vec::new() }
    }

    /// A new code. The one before it is void. `now`: monotonic time.
    pub(super) fn code(&mut self, now: Duration) -> String {
        let code = self.secret();
        self.code = Some((code.clone().into(), now + CODE_LASTS));
        code
    }

    /// A token for the code, which is void afterwards.
    pub(super) fn exchange(&mut self, given: &[u8], now: Duration) -> Option<String> {
        let (code, until) = self.code.take()?;
        if !is_same(given, &code) {
            // A guess does not void the code. There are 2^244.
            self.code = Some((code, until));
            return None;
        }
        if now >= until {
            return None;
        }
        let token = self.secret();
        self.tokens.push(token.clone().into());
        if self.tokens.len() > PAGES {
            self.tokens.remove(0);
        }
        Some(token)
    }

    /// 244 bits of chance.
    fn secret(&self) -> String {
        format!("{}{}", self.ids.uid(), self.ids.uid()).replace('-', "")
    }

    /// Whether the headers have a token.
    pub(super) fn knows(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let token = given.next().and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        let Some(token) = token.filter(|_| given.next().is_none()) else { return false };
        // All are compared: the time says nothing.
        self.tokens.iter().filter(|known| is_same(token, known)).count() > 0
    }
}

/// What every request must show: that it is meant for this address, and that it comes from no other page. `name`: the
/// address, as `127.0.0.1:PORT`.
pub(super) fn check(headers: &HeaderMap, name: &str) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    if hosts.next().is_none_or(|host| host != name) || hosts.next().is_some() {
        return Err((
            StatusCode::FORBIDDEN,
            "this server has another name: use the address that `poolkeeper dashboard` printed",
        ));
    }
    let own = |origin: &http::HeaderValue| origin.as_bytes().strip_prefix(b"http://") == Some(name.as_bytes());
    if !headers.get_all(header::ORIGIN).iter().all(own) {
        return Err((StatusCode::FORBIDDEN, "only the page of this dashboard may ask"));
    }
    Ok(())
}

fn is_same(given: &[u8], known: &SecretString) -> bool {
    given.ct_eq(known.expose_secret().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in list {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_code_serves_once_within_a_minute() {
        let mut keys = Keys::new(Ids::seeded(1));
        let code = keys.code(at(5));
        assert_eq!(code.len(), 64);
        assert_eq!(keys.exchange(b"", at(6)), None);
        let token = keys.exchange(code.as_bytes(), at(64)).unwrap();
        assert_ne!(token, code);
        assert_eq!(keys.exchange(code.as_bytes(), at(64)), None);
        let late = keys.code(at(70));
        assert_eq!(keys.exchange(late.as_bytes(), at(130)), None);
        let (first, second) = (keys.code(at(200)), keys.code(at(201)));
        assert_eq!(keys.exchange(first.as_bytes(), at(202)), None);
        assert!(keys.exchange(second.as_bytes(), at(202)).is_some());
    }

    #[test]
    fn only_a_token_that_was_given_is_known() {
        let mut keys = Keys::new(Ids::seeded(1));
        assert!(!keys.knows(&headers(&[("authorization", "Bearer ")])));
        let code = keys.code(at(0));
        let token = keys.exchange(code.as_bytes(), at(1)).unwrap();
        let bearer = format!("Bearer {token}");
        assert!(keys.knows(&headers(&[("authorization", &bearer)])));
        for wrong in
            ["", "Bearer ", &token, &format!("Basic {token}"), &format!("Bearer {code}"), &format!("{bearer}x")]
        {
            assert!(!keys.knows(&headers(&[("authorization", wrong)])), "{wrong}");
        }
        assert!(!keys.knows(&headers(&[])));
        assert!(!keys.knows(&headers(&[("authorization", &bearer), ("authorization", &bearer)])));
        for _ in 0..PAGES {
            let code = keys.code(at(2));
            keys.exchange(code.as_bytes(), at(2)).unwrap();
        }
        assert!(!keys.knows(&headers(&[("authorization", &bearer)])), "the oldest page still asks");
    }

    #[test]
    fn requests_are_for_this_address_and_from_no_other_page() {
        let code = |list: &[(&'static str, &str)]| {
            check(&headers(list), "127.0.0.1:4711").err().map(|(code, _)| code.as_u16())
        };
        let host = ("host", "127.0.0.1:4711");
        assert_eq!(code(&[host]), None);
        assert_eq!(code(&[host, ("origin", "http://127.0.0.1:4711")]), None);
        for other in
            ["localhost:4711", "127.0.0.1", "127.0.0.1:80", "evil.example:4711", "[::1]:4711", "127.0.0.1:4711.", ""]
        {
            assert_eq!(code(&[("host", other)]), Some(403), "{other}");
        }
        assert_eq!(code(&[]), Some(403));
        assert_eq!(code(&[host, ("host", "evil.example")]), Some(403));
        for other in
            ["null", "http://127.0.0.1:80", "https://127.0.0.1:4711", "http://evil.example", "http://127.0.0.1:4711/"]
        {
            assert_eq!(code(&[host, ("origin", other)]), Some(403), "{other}");
        }
    }
}
