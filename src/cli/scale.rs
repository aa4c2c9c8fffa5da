//! `poolkeeper scale`: how many workers a pool has at least.

use std::str::FromStr;

use clap::Args;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use super::change;
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::output::say;
use super::server::{Server, ServerArgs};
use crate::api::vocabulary::{PoolProgressing, PoolReady};
use crate::api::{Condition, ContainerPool, Period, Worker};

/// How long the controller may take to look at the change, before it is said that it does not.
const LOOKED: Period = Period::seconds(5);

/// Set how many workers a pool has at least (spec.min)
///
/// +N and -N count from the workers that are there, or from spec.min if that is more. Idle workers above spec.min are removed after
/// spec.idleTimeout, or at once with `poolkeeper cleanup`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  poolkeeper scale agents +1\n  poolkeeper scale agents 12 --max 12")]
pub struct ScaleArgs {
    /// The pool
    #[arg(value_name = "POOL")]
    pool: String,
    /// The new number, or how many more or fewer
    #[arg(value_name = "N|+N|-N", allow_hyphen_values = true)]
    size: Size,
    /// Set the maximum too (spec.max)
    #[arg(long, value_name = "N")]
    max: Option<i32>,
    #[command(flatten)]
    server: ServerArgs,
}

/// A number of workers, as people ask for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    To(i32),
    More(i32),
    Fewer(i32),
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| {
            let number = Some(digits).filter(|d| d.bytes().all(|c| c.is_ascii_digit())).and_then(|d| d.parse().ok());
            number
                .filter(|n| *n <= 100_000)
                .ok_or_else(|| "write a number such as 3, +1 or -1, up to 100000".to_owned())
        };
        match text.as_bytes().first() {
            Some(b'+') => number(&text[1..]).map(Self::More),
            Some(b'-') => number(&text[1..]).map(Self::Fewer),
            _ => number(text).map(Self::To),
        }
    }
}

impl Size {
    /// The `min` that is asked for. `there`: workers that are not being deleted. Asking for fewer never raises `min`: a pool that
    /// may shrink on its own goes on doing so.
    fn min(self, min: i32, there: i32) -> i32 {
        let now = min.max(there);
        match self {
            Self::To(n) => n,
            Self::More(n) => now.saturating_add(n),
            Self::Fewer(n) => min.min(now.saturating_sub(n).max(0)),
        }
    }
}

impl Run for ScaleArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let server = self.server.connect().await?;
        server.say_which();
        let there = workers_there(&server, &self.pool).await?;
        let mut before = None;
        let pool = change::patch::<ContainerPool>(&server, &self.pool, |pool| {
            let spec = &pool.spec;
            let (min, max) = (self.size.min(spec.min, there), self.max.unwrap_or(spec.max));
            if min > max {
                return Err(Failure::usage(format!(
                    "spec.min of pool {} would be {min}, and spec.max is {max}: add --max {min} to raise it",
                    self.pool
                )));
            }
            before = Some(spec.min);
            Ok((min != spec.min || max != spec.max).then(|| json!({"spec": {"min": min, "max": max}})))
        })
        .await?;
        tell(&server, &pool, before.unwrap_or(pool.spec.min), there).await?;
        Ok(Exit::Success)
    }
}

/// How many workers of a pool are there and not on their way out.
async fn workers_there(server: &Server, pool: &str) -> Result<i32, Failure> {
    let workers = workers_of(server, pool).await?;
    let staying = workers.iter().filter(|w| w.metadata.deletion_timestamp.is_none()).count();
    Ok(i32::try_from(staying).unwrap_or(i32::MAX))
}

/// The workers of a pool.
pub(super) async fn workers_of(server: &Server, pool: &str) -> Result<Vec<Worker>, Failure> {
    change::check_name(pool)?;
    let of_pool = ListParams::default().fields(&format!("spec.pool={pool}"));
    let list = server.api::<Worker>().list(&of_pool).await.map_err(|e| server.failed(&e))?;
    Ok(list.items)
}

/// Says what `min` became, and what comes of it.
async fn tell(server: &Server, pool: &ContainerPool, before: i32, there: i32) -> Result<(), Failure> {
    let (name, min) = (pool.name_any(), pool.spec.min);
    say(&if min == before {
        format!("spec.min of pool {name} stays {min}")
    } else {
        format!("spec.min of pool {name} is {min} now; it was {before}")
    });
    if there > min {
        let s = if there == 1 { "worker is" } else { "workers are" };
        say(&format!(
            "{there} {s} there: idle ones above spec.min are removed after {} (spec.idleTimeout), or now with `poolkeeper cleanup {name}`",
            pool.spec.idle_timeout
        ));
    }
    if there < min
        && let Some(why) = why_nothing_starts(server, &name).await?
    {
        say(&format!("nothing starts: {why}"));
    }
    Ok(())
}

/// Why a pool has fewer workers than its `min` and starts none, once the controller has looked at it.
async fn why_nothing_starts(server: &Server, name: &str) -> Result<Option<String>, Failure> {
    let looked = change::until(LOOKED, async || {
        let pool = change::read::<ContainerPool>(server, name).await?;
        let seen = pool.status.as_ref().and_then(|s| s.observed_generation);
        Ok((seen >= pool.metadata.generation).then_some(pool))
    })
    .await?;
    let Some(pool) = looked else {
        return Ok(Some("no controller has looked at the pool yet. Does one run?".to_owned()));
    };
    let status = pool.status.unwrap_or_default();
    let ready = Condition::find::<PoolReady>(&status.conditions).filter(|c| !c.is_true());
    let starting = Condition::find::<PoolProgressing>(&status.conditions).is_some_and(Condition::is_true);
    let why = ready.filter(|_| !starting || status.start_backoff.is_some()).map(|c| c.message.clone());
    Ok(if pool.spec.paused { Some(format!("the pool is paused; `poolkeeper resume {name}` ends that")) } else { why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_typed() {
        for (text, size) in [("3", Size::To(3)), ("+1", Size::More(1)), ("-2", Size::Fewer(2)), ("0", Size::To(0))] {
            assert_eq!(text.parse(), Ok(size));
        }
        for bad in ["", "+", "-", "x", "+-1", "1.5", "--1", "100001", "+99999999999"] {
            assert!(bad.parse::<Size>().unwrap_err().contains("such as 3, +1 or -1"), "{bad}");
        }
    }

    #[test]
    fn more_and_fewer_count_from_what_is_there() {
        for (size, min, there, wanted) in [
            (Size::To(3), 0, 8, 3),
            (Size::More(1), 0, 3, 4),
            (Size::More(1), 4, 1, 5),
            (Size::Fewer(1), 3, 3, 2),
            (Size::Fewer(1), 3, 0, 2),
            (Size::Fewer(1), 0, 3, 0),
            (Size::Fewer(1), 2, 5, 2),
            (Size::Fewer(9), 2, 2, 0),
        ] {
            assert_eq!(size.min(min, there), wanted, "{size:?} of min {min} with {there} there");
        }
    }
}
