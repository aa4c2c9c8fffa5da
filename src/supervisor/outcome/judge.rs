//! The verdict on an attempt: the result file, what was recognised in the output, the exit code, in this order.

use jiff::tz::TimeZone;

use super::expression::BadPattern;
use super::recogniser::{Moment, Recognised, Recogniser, Seen};
use super::verdict::{Verdict, verdict};
use crate::api::dispatch::ReportedOutcome;
use crate::api::pool::ContainerPoolSpec;
use crate::api::{Period, RuntimeKind};
use crate::clock::Clock;

/// How attempts of a pool are judged.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    /// Exit codes that mean RateLimited.
    pub exit_codes: Vec<i32>,
    /// Presets and patterns.
    pub recogniser: Recogniser,
    /// The zone of the workers. None: the one of this machine.
    pub zone: Option<TimeZone>,
}

/// The end of a command, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Its exit code.
    pub exit_code: i32,
    /// The content of its result file, or why the file cannot be read.
    pub file: Result<Option<&'a [u8]>, &'a str>,
    /// The end of its output.
    pub seen: &'a Seen,
    /// What was recognised while it ran, if it was ended for that.
    pub asleep: Option<&'a Recognised>,
    /// It was ended because it printed nothing for so long.
    pub silent: Option<Period>,
}

impl Judge {
    /// For attempts in workers of `pool` that run as `runtime`.
    ///
    /// # Errors
    /// `spec.rateLimit.patterns` names a preset that does not exist, or an expression cannot be used.
    pub fn of_pool(pool: &ContainerPoolSpec, runtime: RuntimeKind) -> Result<Self, BadPattern> {
        let patterns = pool.rate_limit.patterns.iter().map(String::as_str);
        Ok(Self {
            exit_codes: pool.rate_limit.exit_codes.clone(),
            recogniser: Recogniser::of(patterns)?,
            zone: zone_of_workers(pool, runtime),
        })
    }

    /// Now, in the zone of the workers.
    pub fn moment(&self, clock: &dyn Clock) -> Moment {
        Moment { now: clock.now(), zone: self.zone.clone().unwrap_or_else(|| clock.zone()) }
    }

    /// Decides what to report of a command that ended.
    ///
    /// A result file that cannot be read, or that is not valid, makes the attempt Failed: a command that meant to report is
    /// judged neither by its output nor by its exit code.
    pub fn decide(&self, ended: Ended<'_>, at: &Moment) -> Verdict {
        let Ended { exit_code, file, seen, asleep, silent } = ended;
        let file = match file {
            Ok(file) => file,
            Err(why) => return Verdict::failed(format!("the result file cannot be read: {why}")),
        };
        match verdict(exit_code, file, &self.exit_codes, at.now, &at.zone) {
            Err(bad) => Verdict::failed(bad.to_string()),
            Ok(verdict) if verdict.is_from_file => verdict,
            Ok(by_code) => match asleep.cloned().or_else(|| self.recogniser.ended(seen, exit_code, at)) {
                Some(found) => Verdict::recognised(&found),
                // The code is that of a command that was ended, and says nothing.
                None if let Some(silence) = silent => Verdict::failed(format!("silent for {silence}")),
                None => self.with_last_words(by_code, seen),
            },
        }
    }

    /// An unknown failure shows its last line or event, from which a person can write the missing pattern. Without presets and
    /// patterns no part of the output goes into an object.
    fn with_last_words(&self, mut verdict: Verdict, seen: &Seen) -> Verdict {
        if verdict.outcome == ReportedOutcome::Failed
            && !self.recogniser.is_empty()
            && let Some(last) = self.recogniser.last_words(seen)
        {
            let code = verdict.message.unwrap_or_default();
            verdict.message = Some(format!("{code}; no preset or pattern knows its {}: {}", last.what, last.text));
        }
        verdict
    }
}

/// A program prints the clock of its worker. A container has its own: the one that TZ names, else UTC.
fn zone_of_workers(pool: &ContainerPoolSpec, runtime: RuntimeKind) -> Option<TimeZone> {
    let named = pool.env.iter().find(|var| var.name == "TZ").and_then(|var| TimeZone::get(&var.value).ok());
    named.or_else(|| (runtime != RuntimeKind::Process).then_some(TimeZone::UTC))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::recogniser::Stream;
    use super::*;
    use ReportedOutcome::{Failed, Overloaded, RateLimited, Succeeded, Unauthorized};

    fn judged(patterns: &[&str], exit_code: i32, file: Result<Option<&[u8]>, &str>, output: &str) -> Verdict {
        let recogniser = Recogniser::of(patterns.iter().copied()).unwrap();
        let judge = Judge { exit_codes: vec![75], recogniser, zone: None };
        let mut seen = Seen::default();
        seen.feed(Stream::Stderr, output.as_bytes());
        let at = Moment { now: Timestamp::UNIX_EPOCH, zone: TimeZone::UTC };
        judge.decide(Ended { exit_code, file, seen: &seen, asleep: None, silent: None }, &at)
    }

    #[test]
    fn a_file_that_says_nothing_usable_makes_the_attempt_failed() {
        let limit = "curl: (22) The requested URL returned error: 429";
        for (file, word) in [(Ok(Some(&b"{"[..])), "not valid"), (Err("it is a directory"), "cannot be read: it is a")]
        {
            let verdict = judged(&["curl"], 22, file, limit);
            assert_eq!(verdict.outcome, Failed);
            assert!(verdict.message.is_some_and(|m| m.contains(word)), "{word}");
        }
        assert_eq!(judged(&[], 0, Ok(None), "").outcome, Succeeded);
    }

    #[test]
    fn the_file_goes_before_the_output_and_the_output_before_the_exit_code() {
        let limit = "gh: You have exceeded a secondary rate limit.";
        let file = br#"{"outcome":"Succeeded"}"#;
        assert_eq!(judged(&["gh"], 1, Ok(Some(file)), limit).outcome, Succeeded);
        let found = judged(&["gh"], 1, Ok(Some(b"\n")), limit);
        assert_eq!((found.outcome, found.retry_after), (RateLimited, Some(Period::minutes(1))));
        assert_eq!(found.message.as_deref(), Some(format!("rate limit (gh/secondary): {limit}").as_str()));
        let overloaded = judged(&["curl"], 75, Ok(None), "curl: (22) The requested URL returned error: 503");
        assert_eq!(overloaded.outcome, Overloaded);
        assert!(overloaded.message.unwrap().starts_with("service overloaded (curl/"));
        assert_eq!(judged(&["curl"], 75, Ok(None), "nothing").outcome, RateLimited);
    }

    #[test]
    fn of_a_command_that_was_silent_too_long_the_file_and_the_last_words_count_before_the_silence() {
        let judge = Judge { exit_codes: vec![75, 137], recogniser: Recogniser::of(["gh"]).unwrap(), zone: None };
        let judged = |file: Option<&[u8]>, output: &str| {
            let mut seen = Seen::default();
            seen.feed(Stream::Stderr, output.as_bytes());
            let at = Moment { now: Timestamp::UNIX_EPOCH, zone: TimeZone::UTC };
            let silent = Some(Period::minutes(10));
            judge.decide(Ended { exit_code: 137, file: Ok(file), seen: &seen, asleep: None, silent }, &at)
        };
        let limit = "gh: You have exceeded a secondary rate limit.";
        assert_eq!(judged(Some(br#"{"outcome":"Succeeded"}"#), limit).outcome, Succeeded);
        assert_eq!(judged(None, limit).outcome, RateLimited);
        let silent = judged(None, "working");
        assert_eq!((silent.outcome, silent.message.as_deref()), (Failed, Some("silent for 10m")));
    }

    #[test]
    fn a_quota_without_a_time_parks_the_credential_and_one_with_a_time_rests() {
        let text = "anthropic.BadRequestError: You have reached your specified API usage limits.";
        assert_eq!(judged(&["anthropic-sdk"], 1, Ok(None), text).outcome, Unauthorized);
        let timed = format!("{text} You will regain access on 1970-01-02 at 00:00 UTC.");
        let timed = judged(&["anthropic-sdk"], 1, Ok(None), &timed);
        assert_eq!((timed.outcome, timed.retry_after), (RateLimited, Some(Period::hours(24))));
    }

    #[test]
    fn clock_times_are_those_of_the_worker() {
        let zone = |tz: Option<&str>, runtime| {
            let env = tz.map(|value| crate::api::pool::EnvVar { name: "TZ".into(), value: value.into() });
            let spec = ContainerPoolSpec { env: env.into_iter().collect(), ..Default::default() };
            Judge::of_pool(&spec, runtime).unwrap().zone.and_then(|zone| zone.iana_name().map(str::to_owned))
        };
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(zone(None, RuntimeKind::Process), None);
        assert_eq!(zone(None, RuntimeKind::Docker), named("UTC"));
        assert_eq!(zone(Some("Asia/Tokyo"), RuntimeKind::Process), named("Asia/Tokyo"));
        assert_eq!(zone(Some("no zone"), RuntimeKind::Pod), named("UTC"));
    }

    #[test]
    fn an_unknown_failure_shows_its_last_line_if_a_user_asked_to_look() {
        let message =
            |patterns: &[&str]| judged(patterns, 3, Ok(None), "secret\n\u{1b}[1mlast\u{1b}[0m\n").message.unwrap();
        assert_eq!(message(&[]), "exit code 3");
        assert_eq!(message(&["gh"]), "exit code 3; no preset or pattern knows its last line: last");
    }

    #[test]
    fn an_unknown_failure_shows_the_event_that_says_why_and_not_a_warning_after_it() {
        let events = "{\"type\":\"error\",\"message\":\"Reconnecting... 1/1\"}\n\
                      {\"type\":\"turn.failed\",\"error\":{\"message\":\"stream disconnected\"}}\n";
        let message = |preset: &str, stdout: &str| {
            let judge = Judge { recogniser: Recogniser::of([preset]).unwrap(), ..Judge::default() };
            let mut seen = Seen::default();
            seen.feed(Stream::Stdout, stdout.as_bytes());
            seen.feed(Stream::Stderr, b"warning: no color\n");
            let at = Moment { now: Timestamp::UNIX_EPOCH, zone: TimeZone::UTC };
            let ended = Ended { exit_code: 1, file: Ok(None), seen: &seen, asleep: None, silent: None };
            judge.decide(ended, &at).message.unwrap()
        };
        assert!(message("codex", events).ends_with("knows its last event: stream disconnected"));
        // Empty events do not count.
        let empty = "{\"type\":\"turn.failed\",\"error\":{\"message\":\" \"}}\n";
        assert!(message("codex", empty).ends_with("knows its last line: warning: no color"));
        assert!(message("gh", events).ends_with("knows its last line: warning: no color"));
        // What the real program says of a model that does not exist.
        let model = "{\"type\":\"result\",\"is_error\":true,\"api_error_status\":404,\"result\":\"There's an issue with the model\"}";
        assert!(message("claude-code", model).ends_with("knows its last event: There's an issue with the model"));
    }
}
