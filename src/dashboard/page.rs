//! The page: one HTML file with its style, its program and its data, which loads nothing else.
//!
//! Tasks write what it shows, so it is built as if they wanted to run something in it: its policy lets nothing run but the
//! program that was compiled in, the data are JSON that contains no character of HTML, and the program writes text only.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::view::View;

const FRAME: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
/// Its parts share one scope, in this order.
const PROGRAM: &str = concat!(
    "\"use strict\";\n(() => {\n",
    include_str!("page/text.js"),
    include_str!("page/data.js"),
    include_str!("page/draw.js"),
    include_str!("page/canvas.js"),
    include_str!("page/details.js"),
    include_str!("page/table.js"),
    include_str!("page/main.js"),
    "})();\n"
);

/// What the page may do: run its own program, use its own style, show images that are in it.
pub fn policy() -> String {
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'",
        hash(PROGRAM),
        hash(STYLE)
    )
}

/// The page for a view.
///
/// # Errors
/// The view cannot be written as JSON: never, as its keys are text and its numbers finite.
pub fn of(view: &View) -> Result<String, serde_json::Error> {
    let data = data(view)?;
    let policy = policy();
    // In the order of the page. What was filled in is not looked at again, so nothing in it is taken for a place to fill.
    let parts = [("{{policy}}", policy.as_str()), ("{{style}}", STYLE), ("{{data}}", &data), ("{{program}}", PROGRAM)];
    let mut page = String::with_capacity(FRAME.len() + STYLE.len() + PROGRAM.len() + data.len());
    let mut rest = FRAME;
    for (place, text) in parts {
        if let Some((before, after)) = rest.split_once(place) {
            page.push_str(before);
            page.push_str(text);
            rest = after;
        }
    }
    page.push_str(rest);
    Ok(page)
}

/// JSON that means nothing in HTML and is one line of a program.
fn data<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(value)?;
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => safe.push_str("\\u003c"),
            '>' => safe.push_str("\\u003e"),
            '&' => safe.push_str("\\u0026"),
            '\u{2028}' => safe.push_str("\\u2028"),
            '\u{2029}' => safe.push_str("\\u2029"),
            c => safe.push(c),
        }
    }
    Ok(safe)
}

fn hash(text: &str) -> String {
    STANDARD.encode(Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::timeline::Timeline;

    fn page() -> String {
        let mut view = Timeline::default().view(Vec::new());
        view.ids.push("</script><script>alert(1)</script><!-- {{policy}} & \u{2028}\u{2029}".to_owned());
        of(&view).unwrap()
    }

    fn between<'a>(text: &'a str, from: &str, to: &str) -> &'a str {
        text.split_once(from).unwrap().1.split_once(to).unwrap().0
    }

    #[test]
    fn the_policy_is_that_of_what_is_in_the_page() {
        let page = page();
        let policy = between(&page, "Content-Security-Policy\" content=\"", "\"");
        let script = hash(between(&page, "<script>", "</script>"));
        let style = hash(between(&page, "<style>", "</style>"));
        assert_eq!(
            policy,
            format!(
                "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src data:; \
                 base-uri 'none'; form-action 'none'"
            )
        );
    }

    #[test]
    fn the_policy_comes_before_what_it_forbids() {
        let page = page();
        let at = |text: &str| page.find(text).unwrap();
        assert!(at("Content-Security-Policy") < at("<style>") && at("Content-Security-Policy") < at("<script"));
        for element in ["<link", "<iframe", "<object", "<base", "<form", "style=\"", "onclick", "http://", "https://"] {
            assert!(!page.contains(element), "{element}");
        }
    }

    #[test]
    fn what_tasks_write_is_no_html() {
        let page = page();
        let data = between(&page, "<script id=\"data\" type=\"application/json\">", "</script>");
        assert!(!data.contains(['<', '>', '&', '\u{2028}', '\u{2029}']), "{data}");
        let read: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(read["ids"][0], "</script><script>alert(1)</script><!-- {{policy}} & \u{2028}\u{2029}");
        assert_eq!(page.matches("</script>").count(), 2);
    }

    #[test]
    fn the_program_writes_text_only() {
        for word in
            ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function(", "fetch(", "DOMParser"]
        {
            assert!(!PROGRAM.contains(word), "{word}");
        }
    }
}
