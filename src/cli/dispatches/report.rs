//! `poolkeeper report`: says how an attempt ended.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use kube::Api;

use super::identity::{Attempt, AttemptArgs, Named};
use super::patience;
use crate::api::dispatch::{DispatchResult, MAX_TEXT, ReportedOutcome};
use crate::api::{ContainerPool, Dispatch, Period, RuntimeKind};
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::cli::pool_flags::preset;
use crate::cli::preset::read_output;
use crate::cli::server::{Server, ServerArgs, is_not_found};
use crate::clock::Clock;
use crate::supervisor::outcome::judge::Ended;
use crate::supervisor::outcome::recogniser::Moment;
use crate::supervisor::outcome::{self, Judge, Seen, Stream};
use crate::supervisor::report::{Reported, report};

/// Report how an attempt ended, which frees its worker
///
/// Which attempt it is comes from --uid and --attempt, or from what `acquire -o env` exported. Without both, the report is
/// taken only while the task has had one attempt. The same report may be repeated. If the attempt was ended by something
/// else before, the report is refused with exit code 4.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  poolkeeper report --exit-code $?\n  \
                  poolkeeper report --exit-code $? --output agent.log --preset claude-code\n  poolkeeper report Succeeded\n  \
                  poolkeeper report job-1 RateLimited --retry-after 15m --uid UID --attempt 1\n\n\
                  Outcomes: Succeeded, Failed, RateLimited, Unauthorized, Overloaded; Lost: you do not know whether the task still runs.\n\
                  With --exit-code: 0 is Succeeded, the pool's spec.rateLimit.exitCodes are RateLimited, 125 is Lost, and all\n\
                  others are Failed. What is recognised in --output goes before the exit code.")]
pub struct ReportArgs {
    /// Name of the task [default: $POOLKEEPER_TASK_ID], and the outcome
    #[arg(value_name = "[TASK] OUTCOME", num_args = 0..=2)]
    words: Vec<String>,
    /// Derive the outcome from the exit code of the command, as `poolkeeper exec` passes it on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..=255))]
    exit_code: Option<i32>,
    /// With RateLimited, Overloaded or Succeeded: how long the service wants to be left alone, as 90s, 15m, or a moment
    #[arg(long, value_name = "TIME")]
    retry_after: Option<String>,
    /// Message for people
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// With --exit-code: what the command printed. Limits are recognised in the last lines; may be given for each stream
    #[arg(long, value_name = "FILE", requires = "exit_code")]
    output: Vec<PathBuf>,
    /// Recognise the limits of these programs, besides the pool's spec.rateLimit.patterns; see `preset list`
    #[arg(long, value_name = "NAME[,NAME]", value_delimiter = ',', value_parser = preset, requires = "output")]
    preset: Vec<String>,
    #[command(flatten)]
    attempt: AttemptArgs,
    /// How long to repeat the report while the server is away
    #[arg(long, value_name = "TIME", default_value = "5m")]
    patience: Period,
    #[command(flatten)]
    server: ServerArgs,
}

/// The exit code with which `exec` says that it does not know how the command ended.
const LOST: i32 = 125;

/// How the attempt ended, as far as the arguments say it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    Outcome(ReportedOutcome),
    ExitCode(i32),
}

impl Run for ReportArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let (task, end) = self.words()?;
        let named = self.attempt.named(task)?;
        let retry_after = self.retry_after.as_deref().map(|text| retry_after(text, &*cx.clock)).transpose()?;
        if let Some(message) = self.message.as_ref().filter(|message| message.chars().count() > MAX_TEXT) {
            let length = message.chars().count();
            return Err(Failure::usage(format!("--message has {length} characters; at most {MAX_TEXT} are allowed")));
        }
        if retry_after.is_some() && !matches!(end, End::Outcome(outcome) if outcome.names_a_time()) {
            return Err(Failure::usage(
                "--retry-after goes with the outcomes RateLimited, Overloaded and Succeeded only",
            ));
        }
        let seen = self.read_output()?;
        self.server.check()?;
        let output = PrintedOutput { seen, now: cx.clock.now(), zone: cx.clock.zone() };
        let server = patience::repeat(&*cx.clock, self.patience.get(), async || {
            let server = self.server.connect().await?;
            self.report(&server, &named, &end, retry_after, &output).await?;
            Ok(server)
        });
        server.await?.say_which();
        Ok(Exit::Success)
    }
}

impl ReportArgs {
    /// The task, if it is named, and the outcome.
    fn words(&self) -> Result<(Option<&str>, End), Failure> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        match (self.exit_code, &*words) {
            (Some(code), [task]) => Ok((Some(task), End::ExitCode(code))),
            (Some(code), []) => Ok((None, End::ExitCode(code))),
            (None, [outcome]) => Ok((None, End::Outcome(parsed(outcome)?))),
            (None, [task, outcome]) => Ok((Some(task), End::Outcome(parsed(outcome)?))),
            (Some(_), _) => Err(Failure::usage("an outcome and --exit-code cannot be used together")),
            (None, _) => Err(Failure::usage(format!("say how the attempt ended: {OUTCOMES}, or --exit-code N"))),
        }
    }

    async fn report(
        &self,
        server: &Server,
        named: &Named,
        end: &End,
        retry_after: Option<Period>,
        output: &PrintedOutput,
    ) -> Result<(), Failure> {
        let dispatches: Api<Dispatch> = server.api();
        // A second look is for a report whose answer was lost, and for an attempt that ended at the same moment.
        let mut refused = false;
        loop {
            let now = dispatches.get(&named.name).await.map_err(|error| {
                if is_not_found(&error) {
                    return Failure::new(
                        Exit::NotFound,
                        format!("there is no task {:?} on {}", named.name, server.title),
                    );
                }
                patience::failed(server, &error)
            })?;
            let (outcome, retry_after, message) = match *end {
                End::Outcome(outcome) => (outcome, retry_after, self.message.clone()),
                End::ExitCode(code) => self.of_exit_code(server, &now, code, output).await?,
            };
            let result = |number| DispatchResult { attempt: number, outcome, retry_after, message: message.clone() };
            if is_reported(&now, named, result, !self.output.is_empty()) {
                return Ok(());
            }
            let Attempt { uid, number } = named.newest(&now)?;
            let status = now.status.as_ref();
            if refused || !status.is_some_and(crate::api::DispatchStatus::is_open) {
                let last =
                    status.and_then(|s| s.last_result.as_ref()).map(|r| format!("{:?}", r.outcome)).unwrap_or_default();
                let message = format!(
                    "attempt {number} of task {} has ended before, as {last}: {outcome:?} is not reported",
                    named.name
                );
                return Err(Failure::new(Exit::Conflict, message));
            }
            match report(&dispatches, &named.name, &uid, &result(number)).await {
                Ok(Reported::Accepted) => return Ok(()),
                Ok(Reported::Stale) => refused = true,
                Err(error) => return Err(patience::failed(server, &error)),
            }
        }
    }

    fn read_output(&self) -> Result<Seen, Failure> {
        let mut seen = Seen::default();
        // Files are streams of their own: the last one counts as standard error, where programs print their errors.
        for (at, path) in self.output.iter().enumerate() {
            let last = at > 0 && at + 1 == self.output.len();
            read_output(Some(path), if last { Stream::Stderr } else { Stream::Stdout }, &mut seen)?;
        }
        Ok(seen)
    }

    /// The outcome of a command with this exit code, by the rule of `run`.
    async fn of_exit_code(
        &self,
        server: &Server,
        dispatch: &Dispatch,
        code: i32,
        output: &PrintedOutput,
    ) -> Result<(ReportedOutcome, Option<Period>, Option<String>), Failure> {
        if code == LOST {
            let message = "exit code 125: it is not known how the command ended".to_owned();
            return Ok((ReportedOutcome::Lost, None, self.message.clone().or(Some(message))));
        }
        let pools: Api<ContainerPool> = server.api();
        let pool = pools.get_opt(&dispatch.spec.pool).await.map_err(|e| patience::failed(server, &e))?;
        let mut spec = pool.map(|pool| pool.spec).unwrap_or_default();
        let target = dispatch.status.as_ref().and_then(|status| status.target.as_ref());
        let runtime = target.map_or(RuntimeKind::Process, |target| target.runtime);
        let patterns = &mut spec.rate_limit.patterns;
        if self.output.is_empty() {
            patterns.clear();
        }
        patterns.extend(self.preset.iter().cloned());
        let judge = Judge::of_pool(&spec, runtime)
            .map_err(|bad| Failure::usage(format!("spec.rateLimit.patterns of pool {}: {bad}", dispatch.spec.pool)))?;
        if !self.output.is_empty() && judge.recogniser.is_empty() {
            let pool = &dispatch.spec.pool;
            return Err(Failure::usage(format!(
                "--output: nothing says what to look for: add --preset NAME, or spec.rateLimit.patterns to pool {pool}"
            )));
        }
        let zone = judge.zone.clone().unwrap_or_else(|| output.zone.clone());
        let at = Moment { now: output.now, zone };
        let ended = Ended { exit_code: code, file: Ok(None), seen: &output.seen, asleep: None, silent: None };
        let verdict = judge.decide(ended, &at);
        let message = verdict.message.map(|message| message.chars().take(MAX_TEXT).collect());
        Ok((verdict.outcome, verdict.retry_after, self.message.clone().or(message)))
    }
}

/// What the command printed, and when that is read. A report that is repeated reads the same.
struct PrintedOutput {
    seen: Seen,
    now: Timestamp,
    zone: TimeZone,
}

/// True if exactly this was reported before, on the attempt that the caller means. `read`: the rest was read from output, where
/// a clock time is another length of time when it is read again.
fn is_reported(now: &Dispatch, named: &Named, result: impl Fn(i32) -> DispatchResult, read: bool) -> bool {
    let Some(there) = &now.spec.result else { return false };
    let is_meant = match &named.attempt {
        Some(attempt) => now.metadata.uid.as_ref() == Some(&attempt.uid) && attempt.number == there.attempt,
        None => there.attempt == 1 && named.newest(now).is_ok(),
    };
    let mut result = result(there.attempt);
    if read {
        result.retry_after = there.retry_after;
    }
    is_meant && *there == result
}

const OUTCOMES: &str = "Succeeded, Failed, RateLimited, Unauthorized, Overloaded or Lost";

fn parsed(word: &str) -> Result<ReportedOutcome, Failure> {
    let read = serde_json::from_value(serde_json::Value::from(word));
    read.map_err(|_| Failure::usage(format!("{word:?} is no outcome: expected {OUTCOMES}")))
}

fn retry_after(text: &str, clock: &dyn Clock) -> Result<Period, Failure> {
    let wait = outcome::time::wait(text, clock.now(), &clock.zone());
    wait.map_err(|error| Failure::usage(format!("--retry-after: {error}")))
}
