//! `poolkeeper preset test`: the verdict on a recorded output, and why.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::api::dispatch::ReportedOutcome;
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::escape;
use crate::cli::print;
use crate::supervisor::outcome::judge::Ended;
use crate::supervisor::outcome::recogniser::{LastWords, Moment, Recognised, after};
use crate::supervisor::outcome::{Judge, Recogniser, Seen, Stream, Verdict};
use crate::supervisor::spent::Spent;

/// Bytes that are read at a time. However long the file is, only its end stays in memory.
const CHUNK: usize = 64 * 1024;

/// Test a preset or a pattern on a recorded output
///
/// Prints what an attempt with this output would be reported as, until when its worker would rest, which rule says so, and
/// the line that it was recognised by. An output that says what it cost shows that too. Without --exit-code the program is taken to have failed with 1, or to wait by itself.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  poolkeeper preset test claude-code out.txt\n  \
                        agent 2>&1 | poolkeeper preset test 'quota is gone, wait (?<retryAfter>\\S+)'\n  \
                        poolkeeper preset test gh stderr.txt --exit-code 1 -o json | jq -r .until")]
pub struct TestArgs {
    /// Names of presets, with commas between them, or a regular expression
    #[arg(value_name = "NAME|PATTERN")]
    pattern: String,
    /// The output; `-` or nothing is standard input
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Exit code of the program
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..=255))]
    exit_code: Option<i32>,
    /// When it was printed, such as 2026-11-30T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    now: Option<Timestamp>,
    /// Zone of the worker, such as Europe/Berlin, for clock times that name none [default: the one of this machine]
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    zone: Option<TimeZone>,
    /// How to print it
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    /// For people
    #[default]
    Table,
    /// One JSON object
    Json,
}

fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| "write a name such as Europe/Berlin, or UTC".to_owned())
}

impl Run for TestArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let is_list = self.pattern.split(',').all(crate::supervisor::outcome::presets::is_name);
        let entries: Vec<&str> = if is_list { self.pattern.split(',').collect() } else { vec![&self.pattern] };
        let recogniser = Recogniser::of(entries).map_err(|bad| Failure::usage(bad.to_string()))?;
        let mut seen = Seen::default();
        read(self.file.as_deref(), Stream::Stdout, &mut seen)?;
        let at = Moment {
            now: self.now.unwrap_or_else(|| cx.clock.now()),
            zone: self.zone.clone().unwrap_or_else(|| cx.clock.zone()),
        };
        let asleep = if self.exit_code.is_none() { recogniser.asleep(&seen, &at) } else { None };
        let exit_code = self.exit_code.unwrap_or(1);
        let found = asleep.clone().or_else(|| recogniser.ended(&seen, exit_code, &at));
        let (spent, last_words) =
            (recogniser.spent(&seen).filter(|spent| !spent.is_nothing()), recogniser.last_words(&seen));
        let judge = Judge { recogniser, ..Judge::default() };
        let verdict =
            judge.decide(Ended { exit_code, file: Ok(None), seen: &seen, asleep: asleep.as_ref(), silent: None }, &at);
        let answer = Answer { verdict, found, asleep: asleep.is_some(), exit_code, last_words, spent, at };
        print::data(&match self.output {
            Format::Json => print::json(&answer.json()),
            Format::Table => answer.table(),
        })?;
        Ok(Exit::Success)
    }
}

/// Reads a file, or standard input, to its end.
///
/// # Errors
/// It is not there, or cannot be read.
pub fn read(path: Option<&Path>, stream: Stream, seen: &mut Seen) -> Result<(), Failure> {
    let path = path.filter(|path| *path != Path::new("-"));
    let name = path.map_or("standard input".to_owned(), |path| path.display().to_string());
    let wrong = |error: io::Error| {
        let exit = if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Usage };
        Failure::new(exit, format!("{name}: {error}"))
    };
    let mut from: Box<dyn Read> = match path {
        Some(path) => Box::new(File::open(path).map_err(wrong)?),
        None => Box::new(io::stdin().lock()),
    };
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(length) => seen.feed(stream, &chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(wrong(error)),
        }
    }
}

/// What came out.
struct Answer {
    verdict: Verdict,
    found: Option<Recognised>,
    /// It has not ended: it waits by itself.
    asleep: bool,
    exit_code: i32,
    last_words: Option<LastWords>,
    /// What the program said that it cost.
    spent: Option<Spent>,
    at: Moment,
}

impl Answer {
    fn until(&self) -> Option<Timestamp> {
        let rests = self.verdict.outcome == ReportedOutcome::RateLimited;
        self.found.as_ref().filter(|_| rests)?.wait.and_then(|wait| after(self.at.now, wait))
    }

    fn line(&self) -> Option<&str> {
        match &self.found {
            Some(found) => Some(&*found.line).filter(|line| !line.is_empty()),
            None => self.last_words.as_ref().map(|last| &*last.text),
        }
    }

    fn json(&self) -> Value {
        json!({
            "outcome": self.verdict.outcome,
            "class": self.found.as_ref().map(|found| found.class),
            "until": self.until(),
            "rule": self.found.as_ref().map(|found| &found.rule),
            "line": self.line(),
            "exitCode": if self.asleep { None } else { Some(self.exit_code) },
            "message": self.verdict.message,
            "spent": self.spent,
        })
    }

    fn table(&self) -> String {
        let rule = match &self.found {
            Some(found) if self.asleep => format!("{}: the program waits by itself, so it would be ended", found.rule),
            Some(found) => found.rule.clone(),
            None => format!("none: exit code {} decides", self.exit_code),
        };
        let mut rows = vec![("outcome", format!("{:?}", self.verdict.outcome))];
        if let Some(found) = &self.found {
            rows.push(("because", found.class.to_string()));
            let until = match (self.until(), found.wait) {
                (Some(until), Some(wait)) => format!("{until} (in {wait})"),
                _ if self.verdict.outcome == ReportedOutcome::RateLimited => {
                    "no time is named: the pool's cooldown".to_owned()
                }
                _ => "no rest".to_owned(),
            };
            rows.push(("until", until));
        }
        rows.push(("rule", rule));
        if let Some(line) = self.line() {
            let last = self.last_words.as_ref().map_or("last line", |last| last.what);
            rows.push((if self.found.is_some() { "line" } else { last }, line.to_owned()));
        }
        if let Some(spent) = &self.spent {
            let cost = if spent.cost_usd.is_zero() { String::new() } else { format!("{}, ", spent.cost_usd) };
            let Spent { input_tokens, cached_input_tokens, output_tokens, .. } = spent;
            let tokens = format!("{input_tokens} tokens read ({cached_input_tokens} cached), {output_tokens} written");
            rows.push(("spent", cost + &tokens));
        }
        if let Some(problem) = self.found.as_ref().and_then(|found| found.problem.as_ref()) {
            rows.push(("problem", problem.clone()));
        }
        rows.iter().map(|(name, value)| format!("{name:<11}{}\n", escape(value))).collect()
    }
}
