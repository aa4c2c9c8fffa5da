//! The four tables: their columns, and what stands in them.

use std::borrow::Cow;

use jiff::Timestamp;

use super::theme::Tone;
use super::words::{ago, left};
use crate::api::dispatch::DispatchPhase;
use crate::api::vocabulary::{PoolReady, Reason as _};
use crate::dashboard::live::model::{Credential, Dispatch, Model, Pool, Rest, Standing, Worker};

/// One of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Pools,
    Workers,
    Dispatches,
    Credentials,
}

impl Table {
    pub const ALL: [Self; 4] = [Self::Pools, Self::Workers, Self::Dispatches, Self::Credentials];

    pub const fn title(self) -> &'static str {
        match self {
            Self::Pools => "Pools",
            Self::Workers => "Workers",
            Self::Dispatches => "Dispatches",
            Self::Credentials => "Credentials",
        }
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub name: &'static str,
    /// Columns with a higher number are left out first.
    pub rank: u8,
    /// True if the numbers in it stand at the right.
    pub right: bool,
}

const fn column(name: &'static str, rank: u8) -> Column {
    Column { name, rank, right: false }
}

const fn number(name: &'static str, rank: u8) -> Column {
    Column { name, rank, right: true }
}

/// What stands in one place of a table. It is not escaped yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell<'a> {
    pub text: Cow<'a, str>,
    pub tone: Tone,
}

fn cell<'a>(text: impl Into<Cow<'a, str>>, tone: Tone) -> Cell<'a> {
    Cell { text: text.into(), tone }
}

fn plain<'a>(text: impl Into<Cow<'a, str>>) -> Cell<'a> {
    cell(text, Tone::Plain)
}

fn count<'a>(n: usize, tone: Tone) -> Cell<'a> {
    cell(n.to_string(), if n == 0 { Tone::Faint } else { tone })
}

/// By what a column is sorted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SortKey {
    Number(i64),
    Text(String),
}

/// A line of a table.
pub(super) trait Row {
    /// Namespace and name.
    fn id(&self) -> (&str, &str);
    /// True if it belongs to a pool.
    fn is_of(&self, pool: &str) -> bool;
    /// What a filter looks at.
    fn texts(&self) -> Vec<&str>;
    /// What stands in a column.
    fn cell(&self, column: usize, now: Timestamp) -> Cell<'_>;
    /// By what a column is sorted.
    fn key(&self, column: usize, now: Timestamp) -> SortKey;
}

/// Times as keys: what has none comes last.
fn time(at: Option<Timestamp>) -> SortKey {
    SortKey::Number(at.map_or(i64::MAX, Timestamp::as_second))
}

fn of_cell(row: &dyn Row, column: usize, now: Timestamp) -> SortKey {
    let text = row.cell(column, now).text;
    text.parse().map_or_else(|_| SortKey::Text(text.to_lowercase()), SortKey::Number)
}

/// `4m03s`, `refused`, `refused, probed in 4m03s`.
pub(super) fn rest(rest: Option<&Rest>, now: Timestamp) -> String {
    match rest {
        None => String::new(),
        Some(Rest { parked: true, until: Some(t), .. }) => format!("refused, probed in {}", left(*t, now)),
        Some(Rest { parked: true, .. }) => "refused".to_owned(),
        Some(Rest { until: Some(t), .. }) => left(*t, now),
        Some(_) => "rests".to_owned(),
    }
}

const POOLS: &[Column] = &[
    column("NAMESPACE", 9),
    column("NAME", 0),
    column("STATE", 0),
    number("READY", 1),
    number("BUSY", 0),
    number("REST", 2),
    number("START", 6),
    number("DOWN", 6),
    number("QUEUE", 0),
    number("DELAY", 7),
    number("MIN", 5),
    number("MAX", 4),
    number("DONE", 8),
    number("FAILED", 8),
    column("WAITS FOR", 3),
];

impl Row for Pool {
    fn id(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }

    fn is_of(&self, pool: &str) -> bool {
        *self.name == *pool
    }

    fn texts(&self) -> Vec<&str> {
        vec![&self.namespace, &self.name, &self.wait.reason, &self.wait.words]
    }

    fn cell(&self, column: usize, _: Timestamp) -> Cell<'_> {
        let counts = &self.counts;
        match column {
            0 => plain(&*self.namespace),
            1 => plain(&*self.name),
            2 => {
                let works = [PoolReady::Available, PoolReady::Busy, PoolReady::Starting, PoolReady::Probing];
                let works = works.iter().any(|reason| reason.as_str() == &*self.wait.reason);
                let rests = *self.wait.reason == *PoolReady::Resting.as_str() || self.paused;
                let tone = if works {
                    Tone::Good
                } else if rests {
                    Tone::Waits
                } else {
                    Tone::Bad
                };
                cell(&*self.wait.reason, tone)
            }
            3 => count(counts.ready, Tone::Plain),
            4 => count(counts.busy, Tone::Good),
            5 => count(counts.resting, Tone::Waits),
            6 => count(counts.starting, Tone::Plain),
            7 => count(counts.unavailable, Tone::Bad),
            8 => count(counts.queued, Tone::Waits),
            9 => count(counts.delayed, Tone::Waits),
            10 => plain(self.min.to_string()),
            11 => plain(self.max.to_string()),
            12 => count(counts.succeeded, Tone::Plain),
            13 => count(counts.failed, Tone::Bad),
            _ if counts.queued > 0 || *self.wait.reason != *PoolReady::Available.as_str() => plain(&*self.wait.words),
            _ => cell("nothing waits", Tone::Faint),
        }
    }

    fn key(&self, column: usize, now: Timestamp) -> SortKey {
        of_cell(self, column, now)
    }
}

/// The word for a standing.
pub(super) const fn standing(standing: Standing) -> (&'static str, Tone) {
    match standing {
        Standing::Busy => ("Busy", Tone::Good),
        Standing::Ready => ("Ready", Tone::Plain),
        Standing::Resting => ("Resting", Tone::Waits),
        Standing::Starting => ("Starting", Tone::Plain),
        Standing::Draining => ("Draining", Tone::Waits),
        Standing::Unavailable => ("Unavailable", Tone::Bad),
        Standing::Failed => ("Failed", Tone::Bad),
    }
}

const WORKERS: &[Column] = &[
    column("NAMESPACE", 9),
    column("NAME", 0),
    column("PHASE", 0),
    number("FOR", 1),
    column("TASK", 0),
    number("RESTS", 2),
    column("CREDENTIAL", 3),
    column("HOST", 5),
    number("DONE", 6),
    column("MESSAGE", 4),
];

impl Row for Worker {
    fn id(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }

    fn is_of(&self, pool: &str) -> bool {
        self.pool == pool
    }

    fn texts(&self) -> Vec<&str> {
        let optional = [&self.dispatch, &self.credential, &self.host, &self.message];
        let fixed = [&*self.namespace, &*self.name, &*self.pool, standing(self.standing).0];
        fixed.into_iter().chain(optional.into_iter().flatten().map(|text| &**text)).collect()
    }

    fn cell(&self, column: usize, now: Timestamp) -> Cell<'_> {
        let optional = |text: &'_ Option<String>| plain(text.clone().unwrap_or_default());
        match column {
            0 => plain(&*self.namespace),
            1 => plain(&*self.name),
            2 => {
                let (word, tone) = standing(self.standing);
                cell(word, tone)
            }
            3 => plain(ago(self.since, now)),
            4 => match (&self.dispatch, self.attempt) {
                (Some(name), 0 | 1) => plain(&**name),
                (Some(name), attempt) => plain(format!("{name} #{attempt}")),
                (None, _) => plain(""),
            },
            5 => cell(rest(self.rest.as_ref(), now), Tone::Waits),
            6 => optional(&self.credential),
            7 => optional(&self.host),
            8 => plain(self.dispatches.to_string()),
            _ => {
                let reason = || self.rest.as_ref().and_then(|rest| rest.reason.as_deref()).unwrap_or_default();
                plain(self.message.as_deref().unwrap_or_else(reason))
            }
        }
    }

    fn key(&self, column: usize, now: Timestamp) -> SortKey {
        match column {
            3 => time(self.since),
            5 => self.rest.as_ref().map_or(SortKey::Number(i64::MAX), |rest| time(rest.until)),
            _ => of_cell(self, column, now),
        }
    }
}

/// The word for the phase of a dispatch.
pub(super) fn phase(dispatch: &Dispatch) -> (&'static str, Tone) {
    match dispatch.phase {
        DispatchPhase::Assigned => ("Running", Tone::Good),
        DispatchPhase::Pending if dispatch.place.is_some() => ("Queued", Tone::Waits),
        DispatchPhase::Pending => ("Delayed", Tone::Waits),
        DispatchPhase::Succeeded => ("Succeeded", Tone::Faint),
        DispatchPhase::Failed => ("Failed", Tone::Bad),
        DispatchPhase::Expired => ("Expired", Tone::Bad),
        DispatchPhase::Cancelled => ("Cancelled", Tone::Faint),
    }
}

const DISPATCHES: &[Column] = &[
    column("NAMESPACE", 9),
    column("NAME", 0),
    column("POOL", 3),
    column("PHASE", 0),
    number("FOR", 1),
    number("TRY", 4),
    number("PLACE", 6),
    column("WORKER", 2),
    number("NOT BEFORE", 7),
    column("WHY", 2),
];

impl Row for Dispatch {
    fn id(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }

    fn is_of(&self, pool: &str) -> bool {
        self.pool == pool
    }

    fn texts(&self) -> Vec<&str> {
        let mut all = vec![&*self.namespace, &*self.name, &*self.pool, phase(self).0];
        all.extend(self.worker.as_deref());
        all.extend(self.message.as_deref());
        all.extend(self.wait.iter().flat_map(|wait| [&*wait.reason, &*wait.words]));
        all
    }

    fn cell(&self, column: usize, now: Timestamp) -> Cell<'_> {
        match column {
            0 => plain(&*self.namespace),
            1 => plain(&*self.name),
            2 => plain(&*self.pool),
            3 => {
                let (word, tone) = phase(self);
                cell(word, tone)
            }
            4 => plain(ago(self.since, now)),
            5 => plain(self.attempt.to_string()),
            6 => plain(self.place.map(|n| n.to_string()).unwrap_or_default()),
            7 => plain(self.worker.as_deref().unwrap_or_default()),
            8 => plain(self.not_before.filter(|t| *t > now).map(|t| left(t, now)).unwrap_or_default()),
            _ => match (&self.wait, &self.message) {
                (Some(wait), _) => plain(&*wait.words),
                (None, Some(message)) if self.phase.is_final() => plain(&**message),
                _ => plain(""),
            },
        }
    }

    fn key(&self, column: usize, now: Timestamp) -> SortKey {
        match column {
            4 => time(self.since),
            6 => SortKey::Number(self.place.map_or(i64::MAX, |n| i64::try_from(n).unwrap_or(i64::MAX))),
            8 => time(self.not_before),
            _ => of_cell(self, column, now),
        }
    }
}

const CREDENTIALS: &[Column] = &[
    column("NAMESPACE", 9),
    column("NAME", 0),
    column("STATE", 0),
    number("LEFT", 0),
    number("STRIKES", 5),
    number("BUSY", 2),
    number("WORKERS", 3),
    column("POOLS", 1),
    column("KEY", 7),
    column("REASON", 4),
];

impl Row for Credential {
    fn id(&self) -> (&str, &str) {
        (&self.namespace, &self.key)
    }

    fn is_of(&self, pool: &str) -> bool {
        self.pools.iter().any(|of| **of == *pool)
    }

    fn texts(&self) -> Vec<&str> {
        let mut all = vec![&*self.namespace, &*self.name, &*self.key];
        all.extend(self.pools.iter().map(|pool| &**pool));
        all.extend(self.rest.iter().filter_map(|rest| rest.reason.as_deref()));
        all
    }

    fn cell(&self, column: usize, now: Timestamp) -> Cell<'_> {
        let rest = self.rest.as_ref();
        match column {
            0 => plain(&*self.namespace),
            1 => plain(&*self.name),
            2 => match rest {
                None => cell("Usable", Tone::Good),
                Some(rest) if rest.parked => cell("Refused", Tone::Bad),
                Some(_) => cell("Resting", Tone::Waits),
            },
            3 => cell(rest.and_then(|rest| rest.until).map(|t| left(t, now)).unwrap_or_default(), Tone::Waits),
            4 => plain(rest.map(|rest| rest.strikes.to_string()).unwrap_or_default()),
            5 => match self.max_concurrent {
                Some(max) => plain(format!("{}/{max}", self.busy)),
                None => plain(self.busy.to_string()),
            },
            6 => plain(self.workers.to_string()),
            7 => plain(self.pools.iter().map(|pool| &**pool).collect::<Vec<_>>().join(",")),
            8 => plain(&*self.key),
            _ => plain(rest.and_then(|rest| rest.reason.as_deref()).unwrap_or_default()),
        }
    }

    fn key(&self, column: usize, now: Timestamp) -> SortKey {
        match column {
            3 => self.rest.as_ref().map_or(SortKey::Number(i64::MAX), |rest| time(rest.until)),
            5 => SortKey::Number(i64::try_from(self.busy).unwrap_or(i64::MAX)),
            _ => of_cell(self, column, now),
        }
    }
}

/// The columns of a table.
pub(super) const fn columns(table: Table) -> &'static [Column] {
    match table {
        Table::Pools => POOLS,
        Table::Workers => WORKERS,
        Table::Dispatches => DISPATCHES,
        Table::Credentials => CREDENTIALS,
    }
}

/// How many lines a table has.
pub(super) fn len(model: &Model, table: Table) -> usize {
    match table {
        Table::Pools => model.pools.len(),
        Table::Workers => model.workers.len(),
        Table::Dispatches => model.dispatches.len(),
        Table::Credentials => model.credentials.len(),
    }
}

/// A line of a table.
pub(super) fn row(model: &Model, table: Table, index: usize) -> Option<&dyn Row> {
    match table {
        Table::Pools => model.pools.get(index).map(|row| row as &dyn Row),
        Table::Workers => model.workers.get(index).map(|row| row as &dyn Row),
        Table::Dispatches => model.dispatches.get(index).map(|row| row as &dyn Row),
        Table::Credentials => model.credentials.get(index).map(|row| row as &dyn Row),
    }
}
