//! Transcripts: commands, and what they print, without what differs from run to run.
use std::fmt::Write;
use std::process::Output;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::server::Place;

/// A command, and what it prints: standard output, lines of standard error after `! `, and the exit code if it is not 0.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// Lines before it that begin with `#`.
    pub remark: String,
    /// The line that is typed.
    pub line: String,
    /// What is printed.
    pub prints: String,
}

/// Reads a transcript.
pub fn read(text: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut remark = String::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            calls.push(Call { remark: std::mem::take(&mut remark), line: command.to_owned(), prints: String::new() });
        } else if line.starts_with("# ") {
            writeln!(remark, "{line}").unwrap();
        } else if let Some(call) = calls.last_mut() {
            writeln!(call.prints, "{}", line.strip_prefix("  ").unwrap_or(line)).unwrap();
        }
    }
    for call in &mut calls {
        call.prints.truncate(call.prints.trim_end().len());
    }
    calls
}

/// Writes a transcript.
pub fn write(calls: &[Call]) -> String {
    let mut text = String::new();
    for Call { remark, line, prints } in calls {
        writeln!(text, "{remark}$ {line}").unwrap();
        for line in prints.lines() {
            writeln!(text, "{}", format!("  {line}").trim_end()).unwrap();
        }
        text.push('\n');
    }
    text
}

/// What a command printed, without what differs from run to run.
pub fn printed(place: &Place, output: &Output) -> String {
    let mut text = masked(place, &String::from_utf8_lossy(&output.stdout));
    for line in masked(place, &String::from_utf8_lossy(&output.stderr)).lines() {
        writeln!(text, "! {line}").unwrap();
    }
    if !output.status.success() {
        writeln!(text, "[{}]", output.status.code().unwrap_or(-1)).unwrap();
    }
    text.truncate(text.trim_end().len());
    text
}

fn masked(place: &Place, text: &str) -> String {
    static MASKS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        [
            (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UID"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)", "TIME"),
            (r"(?m)(Timestamp|Time):( +)\w{3}, \d\d \w{3} \d{4} .*$", "$1:$2 TIME"),
            (r#"(resourceVersion"?: ?|Resource Version: +)"?\d+"?"#, "${1}VERSION"),
            // In an object that a message quotes.
            (r#"(\\"resourceVersion\\":\\")\d+"#, "${1}VERSION"),
            // Their order depends on whether two requests fall into one second.
            (r#"(\\"managedFields\\":)\[.*\](,\\"name\\")"#, "${1}FIELDS${2}"),
            (r"X509SHA256=[0-9a-f]+", "X509SHA256=HASH"),
            (r"(LIVE|MERGED|kubectl-edit)-\d+", "$1"),
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ \+0000", "TIME"),
            (r"https://127\.0\.0\.1:\d+", "SERVER"),
        ]
        .map(|(mask, with)| (Regex::new(mask).unwrap(), with))
        .into()
    });
    static SPACES: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(\S)   *").unwrap());
    // What kubectl logs of a watch that ends with it depends on the moment.
    static LOG: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?m)^[EWI]\d{4} [\d:.]+ +\d+ \S+\] .*reflector=.*\n").unwrap());
    let text = text.replace(&place.namespace, "NS").replace(place.dir(), "DIR");
    let text = SPACES.replace_all(&text, |c: &Captures<'_>| format!("{}  ", &c[1]));
    let text = LOG.replace_all(&text, "");
    let text = MASKS.iter().fold(text.into_owned(), |text, (mask, with)| mask.replace_all(&text, *with).into_owned());
    let mut text = without_ages(&text).lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// Writes AGE where a cell of a table is an age. Some objects have fixed dates, and the suite may run in any year.
fn without_ages(text: &str) -> String {
    static CELL: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?m)(^|  )(\d+[smhdy]){1,2}( ago)?(  | \(x|$)").unwrap());
    static COUNT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\(x(\d+) over (\d+[smhdy]){1,2}\)").unwrap());
    let text = CELL.replace_all(text, "${1}AGE${4}");
    COUNT.replace_all(&text, "(x${1} over AGE)").into_owned()
}

#[test]
fn an_age_of_any_length_is_masked() {
    for age in ["0s", "5m30s", "26h", "333d", "2y35d", "8y"] {
        let table = format!("NAME  AGE  COUNT\na  {age}  3\nb  {age} (x3 over {age})  Normal\nc  {age} ago\nd  {age}");
        let expected = "NAME  AGE  COUNT\na  AGE  3\nb  AGE (x3 over AGE)  Normal\nc  AGE\nd  AGE";
        assert_eq!(without_ages(&table), expected);
    }
}
