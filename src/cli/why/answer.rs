//! What `why` answers about one object, for people and for programs.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use crate::api::{Period, seconds};
use crate::cli::output::escape;

/// How it is with the object.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits, or dispatches wait in it.
    Waiting,
    /// An attempt runs.
    Assigned,
    /// It is final.
    Finished,
    /// A pool in which no dispatch waits.
    Idle,
}

/// Something that would shorten a wait.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// In words.
    pub what: String,
    /// The command that does it, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// The answer.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    /// KIND/NAME.
    pub object: String,
    /// How it is.
    pub state: State,
    /// Why, in one word.
    pub reason: String,
    /// Why, in words.
    pub message: String,
    /// When it may change, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What else is worth knowing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// What would make it sooner.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sooner: Vec<Step>,
}

impl Answer {
    /// The answer as lines of text.
    pub fn text(&self, now: Timestamp) -> String {
        let mut text = format!("{}: {}\n", escape(&self.object), escape(&self.message));
        let mut line = |what: &str, words: &str| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "  {what:<8}{}", escape(words));
        };
        if let Some(until) = self.until {
            line("until", &moment(until, now));
        }
        self.details.iter().for_each(|detail| line("also", detail));
        for step in &self.sooner {
            let command = step.command.as_ref().map(|command| format!(": {command}")).unwrap_or_default();
            line("sooner", &format!("{}{command}", step.what));
        }
        text
    }
}

/// A time, and how far away it is.
pub(super) fn moment(at: Timestamp, now: Timestamp) -> String {
    let left = at.as_second() - now.as_second();
    let period = Period::seconds(left.unsigned_abs());
    let away = if at > now { format!("in {period}") } else { format!("{period} ago") };
    format!("{} ({away})", seconds(at).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_a_line_for_each_fact() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let answer = Answer {
            object: "dispatch/a".into(),
            state: State::Waiting,
            reason: "Resting".into(),
            message: "all workers rest\u{1b}[2J".into(),
            until: Some(Timestamp::from_second(1_800_000_243).unwrap()),
            details: vec!["it is the next one".into()],
            sooner: vec![Step { what: "end the rest".into(), command: Some("poolkeeper cooldown a --clear".into()) }],
        };
        let expected = "dispatch/a: all workers rest\\u{1b}[2J\n  until   2027-01-15T08:04:03Z (in 4m3s)\n  also    it is the next one\n  sooner  end the rest: poolkeeper cooldown a --clear\n";
        assert_eq!(answer.text(now), expected);
        assert_eq!(moment(now, Timestamp::from_second(1_800_000_002).unwrap()), "2027-01-15T08:00:00Z (2s ago)");
        assert_eq!(moment(now, now), "2027-01-15T08:00:00Z (0s ago)");
    }
}
