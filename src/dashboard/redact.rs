//! Text from tasks for a file that people send around: without secrets as far as they can be recognised, and without characters
//! that act on what shows them.

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

/// What stands for a secret.
pub const MASK: &str = "***";

/// What looks like a secret. The group `keep`, if there is one, stays.
static SHAPES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let shapes = [
        // Keys, and the rest of one whose begin was cut off.
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?",
        r"[A-Za-z0-9+/=\s]{16,}-----END [A-Z ]*PRIVATE KEY-----",
        // Tokens by their prefix.
        r"\b(?:sk|pk|rk)[-_](?:[A-Za-z]+[-_])*[A-Za-z0-9_-]{16,}",
        r"\bgh[pousr]_[A-Za-z0-9]{20,}",
        r"\bgithub_pat_[A-Za-z0-9_]{20,}",
        r"\bglpat-[A-Za-z0-9_-]{16,}",
        r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}",
        r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        r"\bAIza[A-Za-z0-9_-]{30,}",
        r"\bhf_[A-Za-z0-9]{20,}",
        r"\bnpm_[A-Za-z0-9]{30,}",
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?",
        // Headers, addresses and settings by their name.
        r"(?i)(?P<keep>\b(?:bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}",
        r"(?P<keep>\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?P<after>@)",
        r#"(?i)(?P<keep>[A-Za-z0-9_-]*(?:token|secret|passwd|password|passphrase|api[_-]?key|access[_-]?key|private[_-]?key)["']?\s*[:=]\s*["']?)[^\s"',;&]{4,}"#,
    ];
    // Each is tested below.
    shapes.iter().filter_map(|shape| Regex::new(shape).ok()).collect()
});

/// The text without what looks like a secret.
pub fn redact(text: &str) -> String {
    SHAPES.iter().fold(text.to_owned(), |text, shape| {
        let masked = shape.replace_all(&text, |found: &regex::Captures<'_>| {
            let group = |name| found.name(name).map_or("", |part| part.as_str());
            format!("{}{MASK}{}", group("keep"), group("after"))
        });
        masked.into_owned()
    })
}

/// The text with characters that only act shown as `\x1b` and the like. Colours are left out. Ends of lines and tabs stay.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let text = text.replace("\r\n", "\n");
    let mut rest = text.as_str();
    while let Some((before, tail)) = rest.find(acts).map(|at| rest.split_at(at)) {
        plain.push_str(before);
        let mut skipped = colour(tail);
        if let Some(c) = tail.chars().next().filter(|_| skipped == 0) {
            let code = u32::from(c);
            // Writing to a String cannot fail.
            let _ = if code < 0x100 { write!(plain, "\\x{code:02x}") } else { write!(plain, "\\u{{{code:x}}}") };
            skipped = c.len_utf8();
        }
        rest = tail.get(skipped..).unwrap_or_default();
    }
    plain + rest
}

/// How many bytes of the text set a colour, at its begin.
fn colour(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\x1b[") else { return 0 };
    let codes = rest.bytes().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b';' | b':')).count();
    if rest.as_bytes().get(codes) == Some(&b'm') { "\x1b[".len() + codes + 1 } else { 0 }
}

/// Control characters, and what changes the direction of text.
fn acts(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\t'))
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_by_their_shape() {
        assert_eq!(SHAPES.len(), 15);
        for (text, shown) in [
            ("key sk-ant-api03-abcdefghijklmnop1234 end", "key *** end"),
            ("sk_live_0123456789abcdef0", "***"),
            ("ghp_0123456789abcdefghijABCDEFGHIJ", "***"),
            ("github_pat_0123456789abcdefghijABCD_x", "***"),
            ("glpat-0123456789abcdef", "***"),
            ("xoxb-0123456789-abc", "***"),
            ("AKIA0123456789ABCDEF", "***"),
            ("AIzaSyA0123456789abcdefghijABCDEFGHIJ", "***"),
            ("hf_0123456789abcdefghij", "***"),
            ("npm_0123456789abcdefghijABCDEFGHIJ", "***"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "***"),
            ("Authorization: Bearer abc.def-123", "Authorization: Bearer ***"),
            ("https://user:hunter2@example.org/x", "https://user:***@example.org/x"),
            ("API_TOKEN=abcd1234 next", "API_TOKEN=*** next"),
            ("{\"client_secret\": \"abcd\", \"id\": 1}", "{\"client_secret\": \"***\", \"id\": 1}"),
            ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nafter", "***\nafter"),
            ("MIIEvQIBADANBgkqhkiG\nabc\n-----END RSA PRIVATE KEY-----", "***"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "tokens in: 1200, out: 30",
            "https://example.org:8080/a@b",
            "the basics of a secret",
            "task-7 succeeded in 3s",
            "-----BEGIN CERTIFICATE-----",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn what_acts_is_shown() {
        assert_eq!(plain("a\x1b[1;31mred\x1b[0m\r\nb\tc"), "ared\nb\tc");
        assert_eq!(plain("\x1b]52;c;eA==\x07\x1b[2J\0"), "\\x1b]52;c;eA==\\x07\\x1b[2J\\x00");
        assert_eq!(plain("a\u{202e}b\u{feff}"), "a\\u{202e}b\\u{feff}");
        assert_eq!(plain("\x1b"), "\\x1b");
        assert_eq!(plain("ä\n"), "ä\n");
    }
}
