//! All that is known of one object.

use jiff::Timestamp;
use ratatui::text::{Line, Span};

use super::app::App;
use super::rows::{Table, phase, rest, standing};
use super::theme::Tone;
use super::words::{ago, left};
use crate::api::{RuntimeKind, seconds};
use crate::cli::output::escape;
use crate::cli::server::program;
use crate::dashboard::live::events::ShownEvent;
use crate::dashboard::live::model::{Credential, Dispatch, Pool, Rest, Wait, Worker};

/// Where the output of attempts is: the server has none of it.
const OUTPUT: &str = "its supervisor has it; `run` writes it to the directory of --out";

/// A name and what stands for it.
type Fact = (&'static str, String);

/// The lines about the selected object.
pub(super) fn lines(app: &App) -> Vec<Line<'static>> {
    let Some(selected) = app.selected() else { return vec![Line::from("it is gone")] };
    let (model, now) = (&app.model, app.model.now);
    let facts = match app.focus {
        Table::Pools => model.pools.get(selected).map(|pool| of_pool(pool, now)),
        Table::Workers => model.workers.get(selected).map(|worker| {
            let mut facts = of_worker(worker, now);
            facts.push(("Printed", printed(worker, app)));
            facts
        }),
        Table::Dispatches => model.dispatches.get(selected).map(|dispatch| of_dispatch(dispatch, now)),
        Table::Credentials => model.credentials.get(selected).map(|credential| of_credential(credential, now)),
    };
    let mut facts = facts.unwrap_or_default();
    facts.extend(events(app));
    let line = |(name, value): Fact| {
        let name = Span::styled(format!("{name:<14}"), app.theme.of(Tone::Heading, false));
        Line::from(vec![name, Span::raw(escape(&value).into_owned())])
    };
    facts.into_iter().filter(|(_, value)| !value.is_empty()).map(line).collect()
}

/// `2026-11-30T12:00:00Z, 5m00s ago`, or `, in 5m00s`.
fn moment(at: Option<Timestamp>, now: Timestamp) -> String {
    let Some(at) = at else { return String::new() };
    let away = if at > now { format!("in {}", left(at, now)) } else { format!("{} ago", ago(Some(at), now)) };
    format!("{}, {away}", seconds(at).0)
}

fn text(value: Option<&String>) -> String {
    value.cloned().unwrap_or_default()
}

fn wait(wait: Option<&Wait>, now: Timestamp) -> [Fact; 3] {
    [
        ("Waits for", wait.map(|wait| wait.words.to_string()).unwrap_or_default()),
        ("Reason", wait.map(|wait| wait.reason.to_string()).unwrap_or_default()),
        ("Until", moment(wait.and_then(|wait| wait.until), now)),
    ]
}

fn of_rest(found: Option<&Rest>, now: Timestamp) -> [Fact; 4] {
    let strikes = found.map(|rest| rest.strikes).filter(|n| *n > 0);
    [
        ("Rests", rest(found, now)),
        ("Rests until", moment(found.and_then(|rest| rest.until), now)),
        ("Strikes", strikes.map(|n| n.to_string()).unwrap_or_default()),
        ("Rests because", text(found.and_then(|rest| rest.reason.as_ref()))),
    ]
}

/// The command that shows what the command of a worker printed.
fn printed(worker: &Worker, app: &App) -> String {
    if worker.runtime == RuntimeKind::Process {
        return String::new();
    }
    let namespace = if app.all_namespaces { format!(" -n {}", worker.namespace) } else { String::new() };
    format!("{} logs {}{}{namespace}", program(), worker.name, app.flags)
}

/// The newest Events of the object, or why they are not shown.
fn events(app: &App) -> Vec<Fact> {
    let Some(heard) = app.heard.as_ref().filter(|heard| app.subject().as_ref() == Some(&heard.of)) else {
        return Vec::new();
    };
    let now = app.model.now;
    let one = |event: &ShownEvent| {
        let kind = if event.warning { "Warning " } else { "" };
        let count = if event.count > 1 { format!(" x{}", event.count) } else { String::new() };
        let since = event.at.map(|at| format!("{} ago, ", ago(Some(at), now))).unwrap_or_default();
        ("Event", format!("{since}{kind}{}{count}: {}", event.reason, event.message))
    };
    match &heard.events {
        Ok(events) if events.is_empty() => vec![("Events", "none".to_owned())],
        Ok(events) => events.iter().map(one).collect(),
        Err(why) => vec![("Events", format!("not shown: {why}"))],
    }
}

fn of_pool(pool: &Pool, now: Timestamp) -> Vec<Fact> {
    let c = &pool.counts;
    let mut facts = vec![
        ("Pool", format!("{}/{}", pool.namespace, pool.name)),
        ("Created", moment(pool.created, now)),
        ("Image", text(pool.image.as_ref())),
        ("Runtime", pool.runtime.map(|runtime| format!("{runtime:?}")).unwrap_or_default()),
        ("Size", format!("{} workers, min {}, max {}", c.workers, pool.min, pool.max)),
        (
            "Workers",
            format!(
                "{} ready, {} busy, {} resting, {} starting, {} down",
                c.ready, c.busy, c.resting, c.starting, c.unavailable
            ),
        ),
        (
            "Dispatches",
            format!("{} queued, {} delayed, {} succeeded, {} failed", c.queued, c.delayed, c.succeeded, c.failed),
        ),
        ("Is paused", if pool.paused { "yes: spec.paused".to_owned() } else { String::new() }),
        ("Deleted", if pool.deleting { "its deletion was requested".to_owned() } else { String::new() }),
    ];
    facts.extend(wait(Some(&pool.wait), now));
    facts.push(("Waits since", moment(pool.waits_since, now)));
    facts.extend(pool.hosts.iter().map(|host| {
        let reached = host.unreachable.as_ref().map(|why| format!(", unreachable: {why}")).unwrap_or_default();
        ("Host", format!("{}, {} workers{reached}", host.name, host.workers))
    }));
    facts.extend(pool.conditions.iter().map(|condition| {
        let message = if condition.message.is_empty() { String::new() } else { format!(": {}", condition.message) };
        ("Condition", format!("{} {} {}{message}", condition.type_, condition.status, condition.reason))
    }));
    facts
}

fn of_worker(worker: &Worker, now: Timestamp) -> Vec<Fact> {
    let mut facts = vec![
        ("Worker", format!("{}/{}", worker.namespace, worker.name)),
        ("Pool", worker.pool.clone()),
        ("Phase", standing(worker.standing).0.to_owned()),
        ("Since", moment(worker.since, now)),
        ("Dispatch", text(worker.dispatch.as_ref())),
        ("Attempt", if worker.attempt > 0 { worker.attempt.to_string() } else { String::new() }),
        ("Dispatches", format!("{} so far", worker.dispatches)),
        ("Created", moment(worker.created, now)),
        ("Runtime", format!("{:?}", worker.runtime)),
        ("Host", text(worker.host.as_ref())),
        ("Credential", text(worker.credential.as_ref())),
    ];
    facts.extend(of_rest(worker.rest.as_ref(), now));
    facts.push(("Message", text(worker.message.as_ref())));
    facts
}

fn of_dispatch(dispatch: &Dispatch, now: Timestamp) -> Vec<Fact> {
    let mut facts = vec![
        ("Dispatch", format!("{}/{}", dispatch.namespace, dispatch.name)),
        ("Pool", dispatch.pool.clone()),
        ("Phase", phase(dispatch).0.to_owned()),
        ("Since", moment(dispatch.since, now)),
        ("Attempt", if dispatch.attempt > 0 { dispatch.attempt.to_string() } else { "none yet".to_owned() }),
        ("Worker", text(dispatch.worker.as_ref())),
        ("Priority", dispatch.priority.to_string()),
        ("Place", dispatch.place.map(|n| format!("{n} in the queue of its pool")).unwrap_or_default()),
    ];
    facts.extend(wait(dispatch.wait.as_ref(), now));
    facts.extend([
        ("Not before", moment(dispatch.not_before, now)),
        (if dispatch.wait.is_some() { "Expires" } else { "Times out" }, moment(dispatch.deadline, now)),
        ("Last outcome", dispatch.outcome.map(|outcome| outcome.to_string()).unwrap_or_default()),
        ("Message", text(dispatch.message.as_ref())),
        ("Output", if dispatch.attempt > 0 { OUTPUT.to_owned() } else { String::new() }),
    ]);
    facts
}

fn of_credential(credential: &Credential, now: Timestamp) -> Vec<Fact> {
    let mut facts = vec![
        ("Credential", format!("{}/{}", credential.namespace, credential.name)),
        ("Key", credential.key.clone()),
        ("Pools", credential.pools.iter().map(|pool| &**pool).collect::<Vec<_>>().join(", ")),
        ("Workers", format!("{}, {} busy", credential.workers, credential.busy)),
        ("maxConcurrent", credential.max_concurrent.map(|n| n.to_string()).unwrap_or_default()),
    ];
    facts.extend(of_rest(credential.rest.as_ref(), now));
    facts.push(("Limit met by", credential.met_by.clone().map(|pool| format!("pool {pool}")).unwrap_or_default()));
    facts
}
