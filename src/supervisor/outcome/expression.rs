//! Regular expressions over lines of output. They take time that grows with the length of the line only, however they are written.

use std::sync::{LazyLock, OnceLock};

use regex::{Captures, Regex, RegexBuilder};

/// The most memory that an expression may take once it is compiled.
const MAX_COMPILED: usize = 1 << 20;
/// Groups that are read in expressions of users.
const OWN: &[&str] = &[RETRY_AFTER, RESET_AT];
/// Groups that are read in expressions of presets.
const OF_PRESETS: &[&str] = &[RETRY_AFTER, RESET_AT, COST];
/// Name of the group that holds a length of time.
pub const RETRY_AFTER: &str = "retryAfter";
/// Name of the group that holds a moment.
pub const RESET_AT: &str = "resetAt";
/// Name of the group that holds a number of US dollars. Presets only.
pub const COST: &str = "cost";

/// `1.898s`, `8h44m7s`, `15 hours 23 minutes`, `~2 days`.
const LENGTH: &str = r"~?\d+(?:\.\d+)?[ -]?(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d)(?:,? ?(?:and )?\d+(?:\.\d+)? ?(?:milliseconds?|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h))*\b";

/// Every form of a moment that programs print. The long ones go first.
static MOMENT: LazyLock<String> = LazyLock::new(|| {
    let day = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? \d{1,2}(?:st|nd|rd|th)?(?:, \d{4}|\b)";
    let week = r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*";
    let clock = r"\d{1,2}(?::\d{2}){0,2} ?[ap]m\b|\d{1,2}:\d{2}(?::\d{2})?\b";
    let zone = r"(?: \([A-Za-z0-9_+\-/]+\)| UTC\b| GMT\b)?";
    [
        r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)".to_owned(),
        format!(r"{week}, \d{{1,2}} [a-z]{{3}} \d{{4}} \d\d:\d\d:\d\d GMT"),
        format!(r"(?:(?:{week}|{day}|\d{{4}}-\d\d-\d\d|\d{{1,2}}/\d{{1,2}}/\d{{4}})(?:,| at)? )?(?:{clock}){zone}"),
        format!(r"(?:{day}|\d{{4}}-\d\d-\d\d|\d{{1,2}}/\d{{1,2}}/\d{{4}}){zone}"),
        r"\d{13}\b".to_owned(),
        r"\d{10}\b".to_owned(),
    ]
    .join("|")
});

/// A pattern that cannot be used.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
pub enum BadPattern {
    /// A word that is no preset.
    #[error(
        "there is no preset {name:?}: `poolkeeper preset list` shows them; write (?:{name}) for a regular expression that is one word"
    )]
    NoPreset {
        /// The word.
        name: String,
    },
    /// Not a regular expression.
    #[error("{pattern:?} is not a regular expression: {problem}")]
    Syntax {
        /// The pattern.
        pattern: String,
        /// What is wrong.
        problem: String,
    },
    /// A group with a name that nothing reads.
    #[error("{pattern:?} has a group named {group}: only retryAfter and resetAt are read")]
    Group {
        /// The pattern.
        pattern: String,
        /// The name.
        group: String,
    },
    /// It matches every line.
    #[error("{pattern:?} matches an empty line, so it would match every output: write the words of the limit")]
    Empty {
        /// The pattern.
        pattern: String,
    },
}

/// An expression of the user, as it is written.
///
/// # Errors
/// It is not a regular expression that can be used.
pub fn own(pattern: &str) -> Result<Regex, BadPattern> {
    let compiled = compile(pattern, false, OWN)?;
    if compiled.is_match("") {
        return Err(BadPattern::Empty { pattern: pattern.to_owned() });
    }
    Ok(compiled)
}

/// An expression of a preset: for the beginning of a line, in either case, with the placeholders of times. It is compiled when a
/// line is first compared with it: to compile all of a preset takes longer than a short batch should.
#[derive(Debug)]
pub struct OfPreset {
    pattern: String,
    compiled: OnceLock<Option<Regex>>,
}

impl OfPreset {
    /// `prefix`: what may stand before it on the line.
    pub fn new(prefix: &str, text: &str) -> Self {
        let text = text.replace("{retryAfter}", &format!("(?<{RETRY_AFTER}>{LENGTH})"));
        let text = text.replace("{resetAt}", &format!("(?<{RESET_AT}>{})", *MOMENT));
        Self { pattern: format!("^(?:{prefix})(?:{text})"), compiled: OnceLock::new() }
    }

    /// Its expression. That all expressions of presets are valid is tested.
    fn get(&self) -> Option<&Regex> {
        self.compiled.get_or_init(|| self.compile().ok()).as_ref()
    }

    /// # Errors
    /// It is not a regular expression.
    pub fn compile(&self) -> Result<Regex, BadPattern> {
        compile(&self.pattern, true, OF_PRESETS)
    }

    /// True if the line begins with it.
    pub fn is_match(&self, line: &str) -> bool {
        self.get().is_some_and(|expression| expression.is_match(line))
    }

    /// What it finds at the begin of the line.
    pub fn captures<'a>(&self, line: &'a str) -> Option<Captures<'a>> {
        self.get()?.captures(line)
    }
}

fn compile(pattern: &str, any_case: bool, groups: &[&str]) -> Result<Regex, BadPattern> {
    let compiled = RegexBuilder::new(pattern).case_insensitive(any_case).size_limit(MAX_COMPILED).build();
    let compiled = compiled.map_err(|error| {
        // The last line says it; those before show the place.
        let problem = error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        BadPattern::Syntax { pattern: pattern.to_owned(), problem }
    })?;
    match compiled.capture_names().flatten().find(|name| !groups.contains(name)) {
        Some(group) => Err(BadPattern::Group { pattern: pattern.to_owned(), group: group.to_owned() }),
        None => Ok(compiled),
    }
}

/// The text of a group, if it took part in the match.
pub fn group<'a>(captures: &Captures<'a>, name: &str) -> Option<&'a str> {
    captures.name(name).map(|found| found.as_str().trim()).filter(|text| !text.is_empty())
}

/// A line with one form of apostrophe, bullet and space: programs change them from version to version.
pub fn normal(line: &str) -> String {
    let one = |c| match c {
        '\u{2019}' | '\u{2018}' => '\'',
        '\u{2219}' | '\u{2022}' => '\u{b7}',
        '\u{a0}' | '\u{202f}' | '\t' => ' ',
        other => other,
    };
    line.chars().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_placeholder_of_a_moment_takes_the_whole_of_it_and_no_more() {
        let moment = OfPreset::new("", "x {resetAt}");
        for text in [
            "3pm",
            "3:45pm",
            "3:51 PM",
            "17:00",
            "3pm (America/Bogota)",
            "3pm (Etc/GMT+5)",
            "4:30am (Asia/Calcutta)",
            "Mon 12:00am",
            "Oct 24",
            "Oct 31, 9am",
            "Jul 27 at 4:30am (Asia/Calcutta)",
            "Dec 2, 7pm (Europe/Moscow)",
            "Oct 9th, 2025 8:05 PM",
            "11/17/2025",
            "2026-04-01 at 00:00 UTC",
            "2026-11-29T16:01:00Z",
            "Wed, 21 Oct 2026 07:28:00 GMT",
            "1762952400",
            "1762952400000",
        ] {
            for end in ["", ".", " and more", " · raise it"] {
                let line = format!("x {text}{end}");
                let found = moment.captures(&line).and_then(|c| c.name(RESET_AT).map(|m| m.as_str().to_owned()));
                assert_eq!(found.as_deref(), Some(text), "{line}");
            }
        }
    }

    #[test]
    fn the_placeholder_of_a_length_takes_the_whole_of_it_and_no_more() {
        let length = OfPreset::new("", "x {retryAfter}");
        for text in [
            "2s",
            "1.898s",
            "174ms",
            "34.074824224s",
            "6m0s",
            "8h44m7s",
            "2h5m",
            "~2 days",
            "15 hours 23 minutes",
            "4 days 20 hours 9 minutes",
            "2d 3h",
            "60 seconds",
        ] {
            for end in ["", ".", " attempt #4]", ", request id: 7"] {
                let line = format!("x {text}{end}");
                let found = length.captures(&line).and_then(|c| c.name(RETRY_AFTER).map(|m| m.as_str().to_owned()));
                assert_eq!(found.as_deref(), Some(text), "{line}");
            }
        }
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_refused_and_the_message_says_why() {
        for (pattern, word) in [
            ("limit (", "unclosed group"),
            ("(?<until>.+)", "a group named until"),
            ("(limit)?", "matches an empty line"),
            ("x(?=y)", "look-around"),
            (r"(?:\w{1000}){1000}", "size limit"),
        ] {
            let error = own(pattern).unwrap_err().to_string();
            assert!(error.contains(word), "{pattern}: {error}");
        }
        assert!(own("(?<retryAfter>\\d+s)|(?<resetAt>\\d+)").is_ok());
    }
}
