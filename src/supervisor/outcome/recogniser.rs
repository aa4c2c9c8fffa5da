//! Recognises the end of a program by what it printed last.
//!
//! Only the end counts: a program that works on the code of rate limits prints all the words of one. So sentences are looked
//! for at the beginning of the last lines, in JSON lines that end a run, and not at all where the program says that it
//! succeeded. All of it is pure: the output, the time and the zone are arguments.

use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use regex::{Captures, Regex};
use serde_json::Value;

use super::class::Class;
use super::expression::{self, BadPattern, OfPreset, RESET_AT, RETRY_AFTER, normal};
use super::fields::{at_path, has};
use super::preset::{ExitZero, Preset, Rule};
use super::presets;
use super::tail::{Line, Lines, Tail};
use super::time;
use super::usage::Meter;
use crate::api::Period;
use crate::supervisor::spent::Spent;

/// Lines at the end of each stream in which own patterns are looked for.
const OWN_WITHIN: usize = 20;
/// Lines that a sentence may be wrapped over.
const WRAPPED: usize = 3;
/// The most characters of a line in a message.
const SHOWN: usize = 300;

/// A stream of output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The end of the output of one attempt. Its memory is bounded.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    stdout: Tail,
    stderr: Tail,
    /// The stream that printed last is standard error.
    last_is_stderr: bool,
}

impl Seen {
    /// Takes the next piece of the output.
    pub fn feed(&mut self, stream: Stream, data: &[u8]) {
        self.last_is_stderr = stream == Stream::Stderr;
        match stream {
            Stream::Stdout => self.stdout.feed(data),
            Stream::Stderr => self.stderr.feed(data),
        }
    }

    /// The last line: of standard error, if there is any.
    pub fn last_line(&self) -> Option<String> {
        let last = |tail: &Tail| tail.lines().lines.into_iter().rev().find(|line| !line.text.is_empty());
        last(&self.stderr).or_else(|| last(&self.stdout)).map(|line| shown(&line.text))
    }
}

/// What was recognised.
#[derive(Clone, Debug, PartialEq)]
pub struct Recognised {
    /// What it is.
    pub class: Class,
    /// `PRESET/RULE`, or `pattern N` for an own one, from 1.
    pub rule: String,
    /// The line that was recognised. Empty: an exit code or an event alone was.
    pub line: String,
    /// How long to wait from now on, with the margin of the preset.
    pub wait: Option<Period>,
    /// A time in the line that cannot be read, and why.
    pub problem: Option<String>,
}

/// How an output ended that says nothing to presets and patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWords {
    /// `last line` or `last event`.
    pub what: &'static str,
    /// Its text, not whole if it is long.
    pub text: String,
}

/// Presets and patterns, ready for use.
#[derive(Clone, Debug, Default)]
pub struct Recogniser {
    /// Own expressions with their number.
    own: Vec<(usize, Regex)>,
    /// All copies share what is compiled.
    presets: Vec<Arc<Known>>,
}

/// A preset with its expressions.
#[derive(Debug)]
struct Known {
    preset: Preset,
    recovered: Option<OfPreset>,
    meters: Vec<Meter>,
    /// For each rule: its expression for lines, and that for the strings of events.
    rules: Vec<Option<(OfPreset, OfPreset)>>,
}

/// When, and in which zone, output is read.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Now.
    pub now: Timestamp,
    /// The zone of the worker, for clock times that name none.
    pub zone: TimeZone,
}

/// Whether an entry of `spec.rateLimit.patterns` can be used.
///
/// # Errors
/// What is wrong with it, for people.
pub fn check_pattern(entry: &str) -> Result<(), String> {
    Recogniser::of([entry]).map(|_| ()).map_err(|bad| bad.to_string())
}

impl Recogniser {
    /// From the entries of `spec.rateLimit.patterns`: a word of lower-case letters, digits and hyphens names a preset; all
    /// others are regular expressions.
    ///
    /// # Errors
    /// There is no such preset, or an expression cannot be used.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a str>) -> Result<Self, BadPattern> {
        let mut recogniser = Self::default();
        for (number, entry) in (1..).zip(entries) {
            if !presets::is_name(entry) {
                recogniser.own.push((number, expression::own(entry)?));
            } else if !recogniser.presets.iter().any(|known| known.preset.name == entry) {
                let preset = presets::find(entry).ok_or_else(|| BadPattern::NoPreset { name: entry.to_owned() })?;
                recogniser.presets.push(Arc::new(Known::of(preset)));
            }
        }
        Ok(recogniser)
    }

    /// All expressions of its presets.
    #[cfg(test)]
    pub(super) fn expressions(&self) -> impl Iterator<Item = &OfPreset> {
        self.presets.iter().flat_map(|known| {
            let pairs = known.rules.iter().flatten().flat_map(|(of_line, of_event)| [of_line, of_event]);
            pairs.chain(&known.recovered).chain(known.meters.iter().filter_map(Meter::expression))
        })
    }

    /// True if it recognises nothing.
    pub fn is_empty(&self) -> bool {
        self.own.is_empty() && self.presets.is_empty()
    }

    /// True if it can recognise a program that does not end by itself.
    pub fn is_live(&self) -> bool {
        self.presets.iter().any(|known| known.preset.rules.iter().any(|rule| rule.live.is_some()))
    }

    /// What the output of a command says that exited with `exit_code`.
    pub fn ended(&self, seen: &Seen, exit_code: i32, at: &Moment) -> Option<Recognised> {
        if self.is_empty() {
            return None;
        }
        let streams = [seen.stderr.lines(), seen.stdout.lines()];
        let own = self.own_pattern(&streams, exit_code, at);
        own.or_else(|| self.presets.iter().find_map(|known| known.ended(&streams, exit_code, at))).or_else(|| {
            // Ended by `timeout` or by a signal, and not by itself: it may have been asleep.
            let mut last = streams.iter().filter_map(|stream| stream.lines.last());
            (exit_code == 124 || exit_code > 128).then(|| last.find_map(|line| self.asleep_at(line, at)))?
        })
    }

    /// True if it reads what a program costs.
    pub fn reads_cost(&self) -> bool {
        self.presets.iter().flat_map(|known| &known.meters).any(Meter::reads_cost)
    }

    /// What the output of a command says that it cost, if a preset knows.
    pub fn spent(&self, seen: &Seen) -> Option<Spent> {
        let mut meters = self.presets.iter().flat_map(|known| &known.meters).peekable();
        meters.peek()?;
        let streams = [seen.stdout.lines(), seen.stderr.lines()];
        meters.find_map(|meter| streams.iter().find_map(|stream| meter.read(&stream.lines)))
    }

    /// The end of an output in which nothing was recognised: the text of the last event that a preset knows as the end of a failed
    /// run, or the last line. Warnings may follow on standard error what an event says.
    pub fn last_words(&self, seen: &Seen) -> Option<LastWords> {
        let event = self.presets.iter().find_map(|known| {
            let streams = [seen.stdout.lines(), seen.stderr.lines()];
            streams.iter().find_map(|stream| known.last_failure(stream))
        });
        let event = event.map(|text| LastWords { what: "last event", text: shown(&text) });
        event.or_else(|| Some(LastWords { what: "last line", text: seen.last_line()? }))
    }

    /// What the output of a command says that is silent, but has not ended: that it waits by itself for long.
    pub fn asleep(&self, seen: &Seen, at: &Moment) -> Option<Recognised> {
        let lines = if seen.last_is_stderr { &seen.stderr } else { &seen.stdout }.lines();
        self.asleep_at(lines.lines.last()?, at)
    }

    fn asleep_at(&self, last: &Line, at: &Moment) -> Option<Recognised> {
        self.presets.iter().find_map(|known| known.asleep(last, at))
    }

    /// After exit code 0 only the last line counts: what a program goes on after is no end.
    fn own_pattern(&self, streams: &[Lines], exit_code: i32, at: &Moment) -> Option<Recognised> {
        let within = if exit_code == 0 { 1 } else { OWN_WITHIN };
        if self.presets.iter().any(|known| known.succeeded(streams)) {
            return None;
        }
        self.own.iter().find_map(|(number, pattern)| {
            let lines = streams.iter().flat_map(|stream| stream.lines.iter().rev().take(within));
            lines.filter(|line| !line.text.is_empty()).find_map(|line| {
                let captures = pattern.captures(&line.text)?;
                let mut found = Recognised::new(Class::RateLimited, format!("pattern {number}"), &line.text);
                found.read_time(&captures, Period::ZERO, at);
                Some(found)
            })
        })
    }
}

impl Recognised {
    fn new(class: Class, rule: String, line: &str) -> Self {
        Self { class, rule, line: shown(line), wait: None, problem: None }
    }

    fn read_time(&mut self, captures: &Captures<'_>, margin: Period, at: &Moment) {
        let texts = [(RETRY_AFTER, Period::ZERO), (RESET_AT, margin)];
        for (group, margin) in texts {
            if let Some(text) = expression::group(captures, group) {
                self.set_time(text, margin, at);
            }
        }
    }

    fn set_time(&mut self, text: &str, margin: Period, at: &Moment) {
        match time::wait(text, at.now, &at.zone) {
            Ok(wait) => self.wait = Some(plus(wait, margin)),
            Err(error) => self.problem = Some(error.to_string()),
        }
    }

    /// For people: what it is, by which rule, and the line.
    pub fn message(&self) -> String {
        let line = if self.line.is_empty() { String::new() } else { format!(": {}", self.line) };
        let problem = self.problem.as_ref().map(|problem| format!(" ({problem})")).unwrap_or_default();
        format!("{} ({}){line}{problem}", self.class, self.rule)
    }
}

impl Known {
    fn of(preset: Preset) -> Self {
        // Some programs put what stands before a sentence on a line into their events too, others leave it out there.
        let in_event = format!("(?:{})?", preset.prefix);
        let pair = |text: &String| (OfPreset::new(&preset.prefix, text), OfPreset::new(&in_event, text));
        let rules = preset.rules.iter().map(|rule| rule.text.as_ref().map(pair)).collect();
        let recovered = preset.recovered.as_deref().map(|text| OfPreset::new("", text));
        let meters = preset.usage.iter().cloned().map(Meter::of).collect();
        Self { preset, recovered, meters, rules }
    }

    /// True if the last event of a stream that ends a run says that it succeeded.
    fn succeeded(&self, streams: &[Lines]) -> bool {
        streams.iter().any(|stream| {
            let last = stream.lines.iter().rev().filter_map(|line| line.event.as_ref()).find_map(|event| {
                let success = self.preset.success.iter().any(|fields| has(event, fields));
                let failure = self.preset.events.iter().any(|known| has(event, &known.fields));
                (success || failure).then_some(success)
            });
            last == Some(true)
        })
    }

    /// The text of the last event that ends a failed run.
    fn last_failure(&self, stream: &Lines) -> Option<String> {
        stream.lines.iter().rev().filter_map(|line| line.event.as_ref()).find_map(|event| {
            let known = self.preset.events.iter().filter(|known| has(event, &known.fields));
            let mut texts = known.filter_map(|known| at_path(event, known.text.as_deref()?)?.as_str());
            texts.find(|text| !text.trim().is_empty()).map(str::to_owned)
        })
    }

    fn ended(&self, streams: &[Lines], exit_code: i32, at: &Moment) -> Option<Recognised> {
        if self.succeeded(streams) || exit_code == 0 && self.preset.exit_zero == ExitZero::Success {
            return None;
        }
        let places: Vec<Place> = streams.iter().flat_map(|stream| self.places(stream, exit_code)).collect();
        let rules = self.preset.rules.iter().zip(&self.rules).filter(|(rule, _)| rule.live.is_none());
        rules
            .filter(|(rule, _)| rule.exit_codes.is_empty() || rule.exit_codes.contains(&exit_code))
            .find_map(|(rule, texts)| self.holds(rule, texts.as_ref(), &places, at))
            .map(|found| self.with_event_time(found, streams, at))
    }

    /// The places of a stream in which a rule may hold: the last lines, and events that end a failed run.
    fn places<'a>(&self, stream: &'a Lines, exit_code: i32) -> Vec<Place<'a>> {
        let events = stream.lines.iter().filter_map(|line| line.event.as_ref());
        let ends = events.flat_map(|event| {
            let known = self.preset.events.iter().filter(|known| has(event, &known.fields));
            known.map(|known| {
                let text = known.text.as_deref().and_then(|path| at_path(event, path)).and_then(Value::as_str);
                Place::Event(event, text.map(normal))
            })
        });
        let mut places: Vec<Place> = ends.collect();
        let texts: Vec<&str> =
            stream.lines.iter().filter(|line| line.event.is_none()).map(|line| &*line.text).collect();
        let alone = !stream.cut && texts.len() <= self.preset.within;
        if exit_code == 0 && self.preset.exit_zero == ExitZero::Alone && !alone {
            return places;
        }
        let mut last = &texts[texts.len().saturating_sub(self.preset.within)..];
        if let Some(at) = self.recovered.as_ref().and_then(|r| last.iter().rposition(|text| r.is_match(&normal(text))))
        {
            last = &last[at + 1..];
        }
        places.extend((0..last.len()).map(|at| {
            let wrapped = last[at..].iter().take(WRAPPED).copied().collect::<Vec<_>>().join(" ");
            Place::Text { line: normal(last[at]), wrapped: normal(&wrapped) }
        }));
        places
    }

    fn holds(
        &self,
        rule: &Rule,
        texts: Option<&(OfPreset, OfPreset)>,
        places: &[Place<'_>],
        at: &Moment,
    ) -> Option<Recognised> {
        let found = |line: &str| Recognised::new(rule.class, format!("{}/{}", self.preset.name, rule.name), line);
        let mut found = match (texts, &rule.event) {
            (None, None) => found(""),
            (None, Some(fields)) => {
                let held = places.iter().find_map(|place| match place {
                    Place::Event(event, text) if has(event, fields) => Some(text.clone()),
                    _ => None,
                });
                found(&held?.unwrap_or_default())
            }
            (Some((of_line, of_event)), fields) => places.iter().find_map(|place| {
                let (expression, line, more) = match place {
                    Place::Event(event, Some(text)) if fields.as_ref().is_none_or(|f| has(event, f)) => {
                        (of_event, text, None)
                    }
                    Place::Text { line, wrapped } if fields.is_none() => (of_line, line, Some(wrapped)),
                    _ => return None,
                };
                // A wrapped sentence may have its time on the next line.
                let captures = more.and_then(|more| expression.captures(more)).or_else(|| expression.captures(line))?;
                let mut found =
                    found(if captures.get_match().len() > line.len() { more.unwrap_or(line) } else { line });
                found.read_time(&captures, self.preset.margin, at);
                Some(found)
            })?,
        };
        if let (None, Some(resets)) = (&found.wait, &rule.resets) {
            found.set_time(resets, self.preset.margin, at);
        }
        Some(found)
    }

    /// The latest time that an event names goes before that of a sentence. It is exact to the second, so it needs no margin.
    fn with_event_time(&self, mut found: Recognised, streams: &[Lines], at: &Moment) -> Recognised {
        let events = || streams.iter().flat_map(|stream| &stream.lines).filter_map(|line| line.event.as_ref());
        let times = self.preset.times.iter().flat_map(|known| {
            events().filter(|event| has(event, &known.fields)).filter_map(|event| at_path(event, &known.reset_at))
        });
        let waits = times.filter_map(|value| match value {
            Value::Number(number) => time::wait_of_number(number.as_f64()?, at.now).ok(),
            Value::String(text) => time::wait(text, at.now, &at.zone).ok(),
            _ => None,
        });
        if let Some(latest) = waits.max().filter(|wait| !wait.is_zero() && found.class.rests()) {
            found.wait = Some(latest);
        }
        found
    }

    fn asleep(&self, last: &Line, at: &Moment) -> Option<Recognised> {
        let place = [Place::Text { line: normal(&last.text), wrapped: String::new() }];
        self.preset.rules.iter().zip(&self.rules).find_map(|(rule, texts)| {
            let least = rule.live?;
            let found = self.holds(rule, texts.as_ref(), &place, at)?;
            found.wait.is_some_and(|wait| wait >= least).then_some(found)
        })
    }
}

/// Where a rule may hold.
enum Place<'a> {
    /// An event that ends a failed run, and its text.
    Event(&'a Value, Option<String>),
    /// A line, and it together with the next ones.
    Text { line: String, wrapped: String },
}

fn plus(wait: Period, margin: Period) -> Period {
    Period::from(wait.get().saturating_add(margin.get()))
}

/// The moment after a wait.
pub fn after(now: Timestamp, wait: Period) -> Option<Timestamp> {
    SignedDuration::try_from(wait.get()).ok().and_then(|wait| now.checked_add(wait).ok())
}

fn shown(line: &str) -> String {
    let mut shown: String = line.chars().take(SHOWN).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
