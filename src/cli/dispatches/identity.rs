//! Which attempt a command is about. A name alone is not enough: an attempt that is lost is followed by another one, of the
//! same name, in another worker.

use std::env;

use clap::Args;

use super::variables;
use crate::api::Dispatch;
use crate::api::dispatch::DispatchPhase;
use crate::cli::change::check_name;
use crate::cli::exit::{Exit, Failure};

/// Flags that say which attempt it is.
#[derive(Args, Clone, Debug, Default)]
pub struct AttemptArgs {
    /// Uid of the Dispatch [default: $POOLKEEPER_TASK_UID, if the task is $POOLKEEPER_TASK_ID]
    #[arg(long, value_name = "UID", requires = "attempt", value_parser = word)]
    uid: Option<String>,
    /// Number of the attempt [default: $POOLKEEPER_ATTEMPT, if the task is $POOLKEEPER_TASK_ID]
    #[arg(long, value_name = "N", requires = "uid", value_parser = clap::value_parser!(i32).range(1..))]
    attempt: Option<i32>,
}

/// A task, and its attempt if the caller knows which one it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Name of the Dispatch.
    pub name: String,
    /// The attempt that the caller holds.
    pub attempt: Option<Attempt>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Uid of the Dispatch.
    pub uid: String,
    /// From 1.
    pub number: i32,
}

impl AttemptArgs {
    /// The task with this name, else that of the environment.
    ///
    /// # Errors
    /// There is no name, or the environment has half of what `acquire` exports.
    pub fn named(&self, task: Option<&str>) -> Result<Named, Failure> {
        self.named_in(task, |name| env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn named_in(&self, task: Option<&str>, variable: impl Fn(&str) -> Option<String>) -> Result<Named, Failure> {
        let exported = variable(variables::ID);
        let name = match task.map(|task| task.strip_prefix("task/").unwrap_or(task)) {
            Some("") => return Err(Failure::usage("the name of the task is empty: is a variable not set?")),
            Some(name) => name.to_owned(),
            None => exported.clone().ok_or_else(|| {
                let message =
                    format!("name the task, or set ${}, as `eval \"$(poolkeeper acquire …)\"` does", variables::ID);
                Failure::usage(message)
            })?,
        };
        check_name(&name)?;
        if let (Some(uid), Some(number)) = (&self.uid, self.attempt) {
            return Ok(Named { name, attempt: Some(Attempt { uid: uid.clone(), number }) });
        }
        // The variables are about one task. Those of a task that `run` started have no uid.
        let uid = variable(variables::UID).filter(|_| exported.as_ref() == Some(&name));
        let Some(uid) = uid else { return Ok(Named { name, attempt: None }) };
        let number = variable(variables::ATTEMPT).and_then(|number| number.parse().ok()).filter(|number| *number > 0);
        let wrong =
            || Failure::usage(format!("${} is set, but ${} is no number from 1", variables::UID, variables::ATTEMPT));
        Ok(Named { name, attempt: Some(Attempt { uid, number: number.ok_or_else(wrong)? }) })
    }
}

impl Named {
    /// The attempt, in what the server has now. It is the newest one, open or closed.
    ///
    /// # Errors
    /// It is not the newest one any more, or has not begun ([`Exit::Conflict`]). The caller did not say which one it is, and
    /// there was more than one, or another one follows ([`Exit::Usage`]).
    pub fn newest(&self, now: &Dispatch) -> Result<Attempt, Failure> {
        let status = now.status.clone().unwrap_or_default();
        let uid = now.metadata.uid.clone().unwrap_or_default();
        let stale = |message: String| Err(Failure::new(Exit::Conflict, message));
        let name = &self.name;
        match &self.attempt {
            Some(attempt) if attempt.uid != uid => {
                stale(format!("task {name} is another Dispatch by now: its uid is {uid}, and not {}", attempt.uid))
            }
            Some(attempt) if attempt.number != status.attempt => {
                let (number, newest) = (attempt.number, status.attempt);
                stale(format!("attempt {number} of task {name} is not the newest one: that is {newest}"))
            }
            Some(attempt) => Ok(attempt.clone()),
            None if status.attempt == 0 => stale(format!("task {name} has no attempt yet: it has no worker")),
            None if status.attempt > 1 || (!status.is_open() && status.phase == DispatchPhase::Pending) => {
                let flags = format!("--uid {uid} --attempt N, or set what `acquire` exports");
                Err(Failure::usage(format!("task {name} has more than one attempt: say which one is meant by {flags}")))
            }
            None => Ok(Attempt { uid, number: status.attempt }),
        }
    }
}

/// True while a task may run in the newest attempt: it has a worker, and no end of it is reported or asked for.
pub fn can_run(dispatch: &Dispatch) -> bool {
    let Some(status) = &dispatch.status else { return false };
    let reported = dispatch.spec.result.as_ref().is_some_and(|result| result.attempt == status.attempt);
    let assigned = status.phase == DispatchPhase::Assigned && status.is_open() && status.target.is_some();
    assigned && !reported && !dispatch.spec.cancel
}

fn word(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(text.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::dispatch::{DispatchSpec, DispatchStatus, LastResult, Outcome};

    fn named(task: Option<&str>, variables: &[(&str, &str)]) -> Result<Named, Failure> {
        let look = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned());
        AttemptArgs::default().named_in(task, look)
    }

    #[test]
    fn the_variables_are_about_one_task_alone() {
        let all = [(variables::ID, "a"), (variables::UID, "u"), (variables::ATTEMPT, "2")];
        let attempt = Some(Attempt { uid: "u".into(), number: 2 });
        assert_eq!(named(None, &all).unwrap(), Named { name: "a".into(), attempt: attempt.clone() });
        assert_eq!(named(Some("task/a"), &all).unwrap().attempt, attempt);
        assert_eq!(named(Some("b"), &all).unwrap(), Named { name: "b".into(), attempt: None });
        assert_eq!(named(Some("a"), &all[..1]).unwrap().attempt, None, "as in a task of `run`");
        for (task, variables) in [(Some(""), &all[..]), (Some("task/"), &all), (None, &[]), (Some("a"), &all[..2])] {
            assert_eq!(named(task, variables).unwrap_err().exit, Exit::Usage, "{task:?}");
        }
    }

    #[test]
    fn an_attempt_is_only_guessed_while_there_was_one() {
        let dispatch = |attempt, closed: Option<i32>, phase| {
            let mut d = Dispatch::new("a", DispatchSpec::default());
            d.metadata.uid = Some("u".into());
            let closed_at = "2026-11-29T16:00:00Z".parse::<jiff::Timestamp>().unwrap().into();
            let last_result = closed.map(|attempt| LastResult {
                attempt,
                outcome: Outcome::RateLimited,
                closed_at,
                until: None,
                message: None,
            });
            d.status = Some(DispatchStatus { phase, attempt, last_result, ..DispatchStatus::default() });
            d
        };
        use DispatchPhase::{Assigned, Failed, Pending};
        let (open, second) = (dispatch(1, None, Assigned), dispatch(2, Some(1), Assigned));
        let named = |uid: &str, number| Named { name: "a".into(), attempt: Some(Attempt { uid: uid.into(), number }) };
        let unnamed = Named { name: "a".into(), attempt: None };
        let exit = |named: &Named, d: &Dispatch| named.newest(d).map_or_else(|f| Err(f.exit), |a| Ok(a.number));
        assert_eq!(exit(&unnamed, &open), Ok(1));
        assert_eq!(exit(&unnamed, &dispatch(1, Some(1), Failed)), Ok(1));
        assert_eq!(exit(&unnamed, &dispatch(0, None, Pending)), Err(Exit::Conflict));
        assert_eq!(exit(&unnamed, &dispatch(1, Some(1), Pending)), Err(Exit::Usage), "another attempt follows");
        assert_eq!(exit(&unnamed, &second), Err(Exit::Usage));
        assert_eq!(exit(&named("u", 2), &second), Ok(2));
        assert_eq!(exit(&named("u", 1), &second), Err(Exit::Conflict));
        assert_eq!(exit(&named("other", 2), &second), Err(Exit::Conflict));
    }
}
