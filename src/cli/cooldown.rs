//! `poolkeeper cooldown`: the rest of a worker or a credential, set and ended by hand.

use clap::Args;
use jiff::Timestamp;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use super::change;
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::output::say;
use super::server::{Server, ServerArgs};
use crate::api::requests::{self, CooldownChange, CooldownRequest, Request};
use crate::api::vocabulary::PoolRequestsAccepted;
use crate::api::{Condition, ContainerPool, Period, Worker, seconds};

/// Let a worker or a credential rest, or end its rest
///
/// A rest that lasts longer already stays as it is. A credential rests in every pool of the namespace that has it.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  poolkeeper cooldown agents-0 --for 5m\n  poolkeeper cooldown team-a --clear --pool agents"
)]
pub struct CooldownArgs {
    /// A worker, or the name of a credential in its pool
    #[arg(value_name = "WORKER|CREDENTIAL")]
    target: String,
    /// Rest this long from now
    #[arg(long = "for", value_name = "TIME", required_unless_present = "clear", conflicts_with = "clear")]
    time: Option<Period>,
    /// End the rest
    #[arg(long)]
    clear: bool,
    /// The pool, if several have a credential of this name
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// How long to wait for the controller
    #[arg(long, value_name = "TIME", default_value = "10s")]
    timeout: Period,
    #[command(flatten)]
    server: ServerArgs,
}

impl Run for CooldownArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let change = self.time.map_or(CooldownChange::Clear, CooldownChange::Rest);
        let request = Request::Cooldown(CooldownRequest { target: self.target.clone(), change });
        let (key, value) = (request.key(), request.value());
        // The server's reader of annotations is asked first: it refuses with the same words.
        if let Some(Err(error)) = requests::parse("", &key, &value) {
            return Err(Failure::usage(format!("{:?}: {}", self.target, error.problem)));
        }
        let server = self.server.connect().await?;
        server.say_which();
        let target = Target::find(&server, &self.target, self.pool.as_deref()).await?;
        let before = target.rest(&server).await?;
        let pool = change::patch::<ContainerPool>(&server, &target.pool, |_| {
            Ok(Some(json!({"metadata": {"annotations": {key.clone(): value}}})))
        })
        .await?;
        self.taken(&server, &pool, &key, &value).await?;
        let after = target.rest(&server).await?;
        say(&target.result(&before, &after, cx.clock.now()));
        Ok(Exit::Success)
    }
}

impl CooldownArgs {
    /// Waits until the controller has removed the annotation: what it asks for is stored then.
    async fn taken(&self, server: &Server, pool: &ContainerPool, key: &str, value: &str) -> Result<(), Failure> {
        let name = pool.name_any();
        let mut last = None;
        let gone = change::until(self.timeout, async || {
            let now = change::read::<ContainerPool>(server, &name).await?;
            let stays = now.annotations().get(key).is_some_and(|there| there == value);
            last = now.status;
            Ok((!stays).then_some(()))
        })
        .await?;
        if gone.is_some() {
            return Ok(());
        }
        let conditions = last.unwrap_or_default().conditions;
        let refused = Condition::find::<PoolRequestsAccepted>(&conditions).filter(|c| c.message.contains(key));
        Err(match refused {
            Some(refused) => Failure::new(Exit::Conflict, format!("pool {name}: {}", refused.message)),
            None => Failure::new(
                Exit::WaitedTooLong,
                format!(
                    "no controller took the annotation {key} of pool {name} within {} (--timeout): it stays there. Does a controller run?",
                    self.timeout
                ),
            ),
        })
    }
}

/// What rests.
struct Target {
    pool: String,
    name: String,
    /// The identity of a credential. None: it is a worker.
    credential: Option<String>,
}

/// A rest as it is stored.
#[derive(Default, PartialEq)]
struct Rest {
    until: Option<Timestamp>,
    parked: bool,
    /// Of a worker: its credential, and until when it rests.
    by_credential: Option<(String, Timestamp)>,
}

impl Target {
    /// Finds a worker, else a credential of that name: of `pool`, or of the only pool that has one.
    async fn find(server: &Server, name: &str, pool: Option<&str>) -> Result<Self, Failure> {
        if change::check_name(name).is_ok()
            && let Some(worker) = change::find::<Worker>(server, name).await?
            && pool.is_none_or(|pool| pool == worker.spec.pool)
        {
            return Ok(Self { pool: worker.spec.pool, name: name.to_owned(), credential: None });
        }
        let pools = match pool {
            Some(pool) => vec![change::read::<ContainerPool>(server, pool).await?],
            None => server.api().list(&ListParams::default()).await.map_err(|e| server.failed(&e))?.items,
        };
        let mut found: Vec<Self> = Vec::new();
        for pool in &pools {
            let entry = pool.spec.credentials.iter().find(|credential| credential.name == name);
            found.extend(entry.map(|entry| Self {
                pool: pool.name_any(),
                name: name.to_owned(),
                credential: Some(entry.identity()),
            }));
        }
        // Pools that share a credential share its rest: any of them will do.
        found.sort_by(|a, b| a.credential.cmp(&b.credential));
        found.dedup_by(|a, b| a.credential == b.credential);
        let place = pool.map_or_else(|| format!("in namespace {}", server.namespace), |pool| format!("in pool {pool}"));
        if found.len() > 1 {
            let names: Vec<&str> = found.iter().map(|target| &*target.pool).collect();
            let message =
                format!("several credentials are called {name:?}: say which with --pool {}", names.join(" or --pool "));
            return Err(Failure::usage(message));
        }
        found.pop().ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("there is no worker and no credential {name:?} {place}"))
        })
    }

    async fn rest(&self, server: &Server) -> Result<Rest, Failure> {
        if let Some(key) = &self.credential {
            let pool = change::read::<ContainerPool>(server, &self.pool).await?;
            let rests = pool.status.unwrap_or_default().rate_limits;
            let rest = rests.into_iter().find(|rest| rest.key == *key).unwrap_or_default();
            return Ok(Rest { until: rest.until.map(|t| t.0), parked: rest.parked, by_credential: None });
        }
        let worker = change::read::<Worker>(server, &self.name).await?;
        let status = worker.status.unwrap_or_default();
        let by_credential = worker.spec.credential.zip(status.rests_until.map(|t| t.0));
        Ok(Rest { until: status.cooldown.and_then(|c| c.until).map(|t| t.0), parked: false, by_credential })
    }

    /// What came of it.
    fn result(&self, before: &Rest, after: &Rest, now: Timestamp) -> String {
        let kind = if self.credential.is_some() { "credential" } else { "worker" };
        let what = format!("{kind} {} of pool {}", self.name, self.pool);
        let shown = |until: Timestamp| seconds(until).0;
        match after.until.filter(|until| *until > now) {
            Some(until) if after.parked => format!(
                "{what} was refused by its service, and rests until it is cleared or changed; it is probed next at {}",
                shown(until)
            ),
            Some(until) if before.until == Some(until) => {
                format!("{what} rests until {} already; --clear ends that", shown(until))
            }
            Some(until) => format!("{what} rests until {}", shown(until)),
            None if after.parked => {
                format!("{what} was refused by its service, and rests until it is cleared or changed")
            }
            None => match after.by_credential.as_ref().filter(|(_, until)| *until > now) {
                Some((name, until)) => {
                    format!("{what} has no rest of its own; its credential {name} rests until {}", shown(*until))
                }
                None => format!("{what} does not rest"),
            },
        }
    }
}
