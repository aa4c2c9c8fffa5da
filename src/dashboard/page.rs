//! The page: one HTML file with its style, its program and its data, which loads nothing else. With a view in it, it is the report of
//! a run. Without one, it asks the server that it comes from for views.
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
/// The program. Its parts share one scope, in this order; the last one says where the data come from.
macro_rules! program {
    ($source:literal) => {
        concat!(
            "\"use strict\";\n(() => {\n",
            include_str!("page/text.js"),
            include_str!("page/data.js"),
            include_str!("page/draw.js"),
            include_str!("page/canvas.js"),
            include_str!("page/details.js"),
            include_str!("page/table.js"),
            include_str!("page/main.js"),
            include_str!($source),
            "})();\n"
        )
    };
}
const REPORT: &str = program!("page/report.js");
const LIVE: &str = program!("page/live.js");

/// What the page of a run may do: run its own program, use its own style, show images that are in it.
pub fn policy() -> String {
    policy_of(REPORT, "")
}

/// What the live page may do: the same, and ask where it comes from. It is to be sent as a header too.
pub fn live_policy() -> String {
    policy_of(LIVE, "connect-src 'self'; ")
}

fn policy_of(program: &str, more: &str) -> String {
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; {more}img-src data:; base-uri 'none'; form-action 'none'",
        hash(program),
        hash(STYLE)
    )
}

/// The page of a run, for its view.
///
/// # Errors
/// The view cannot be written as JSON: never, as its keys are text and its numbers finite.
pub fn of(view: &View) -> Result<String, serde_json::Error> {
    Ok(filled(&policy(), &data(view)?, REPORT))
}

/// The page that asks for views. It holds nothing that is not in this program.
pub fn live() -> String {
    filled(&live_policy(), "null", LIVE)
}

fn filled(policy: &str, data: &str, program: &str) -> String {
    // In the order of the page. What was filled in is not looked at again, so nothing in it is taken for a place to fill.
    let parts = [("{{policy}}", policy), ("{{style}}", STYLE), ("{{data}}", data), ("{{program}}", program)];
    let mut page = String::with_capacity(FRAME.len() + STYLE.len() + program.len() + data.len());
    let mut rest = FRAME;
    for (place, text) in parts {
        if let Some((before, after)) = rest.split_once(place) {
            page.push_str(before);
            page.push_str(text);
            rest = after;
        }
    }
    page.push_str(rest);
    page
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
    use std::collections::BTreeSet;

    use super::*;
    use crate::api::dispatch::Outcome;
    use crate::dashboard::timeline::Timeline;

    fn page() -> String {
        let mut view = Timeline::default().view(Vec::new());
        view.ids.push("</script><script>alert(1)</script><!-- {{policy}} & \u{2028}\u{2029}".to_owned());
        of(&view).unwrap()
    }

    /// It has words and a sign for each, and for what is no outcome: an attempt without an end, and one that runs.
    #[test]
    fn the_page_knows_every_outcome() {
        let table = between(include_str!("page/data.js"), "const OUTCOMES = {", "};");
        let known: Vec<&str> = table.lines().filter_map(|line| Some(line.trim().split_once(':')?.0)).collect();
        let outcomes = Outcome::ALL.iter().map(|outcome| outcome.as_str());
        let (known, wanted): (BTreeSet<_>, BTreeSet<_>) =
            (known.into_iter().collect(), outcomes.chain(["Open", "Running"]).collect());
        assert_eq!(known, wanted);
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
    fn the_live_page_may_ask_where_it_comes_from_and_do_nothing_else() {
        let page = live();
        let policy = between(&page, "Content-Security-Policy\" content=\"", "\"");
        assert_eq!(policy, live_policy());
        let script = hash(between(&page, "<script>", "</script>"));
        assert!(
            policy.contains(&format!("script-src 'sha256-{script}'; ")) && policy.contains(" connect-src 'self'; ")
        );
        assert_eq!(policy.replace("connect-src 'self'; ", "").matches("-src").count(), 4);
        assert!(page.contains("type=\"application/json\">null</script>"));
        for word in
            ["http://", "https://", "localStorage", "sessionStorage", "document.cookie", "EventSource", "WebSocket"]
        {
            assert!(!page.contains(word), "{word}");
        }
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
        for word in ["innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function(", "DOMParser"] {
            assert!(!REPORT.contains(word) && !LIVE.contains(word), "{word}");
        }
        // A report asks for nothing.
        assert!(!REPORT.contains("fetch(") && LIVE.contains("fetch("));
    }
}
