//! The local server: all of Poolkeeper in one process that stays, for one user of one machine. Its objects outlive it.
//!
//! - [`home`]: the directory that it keeps everything in. [`environment`]: variables that a person gave it. `access`: how clients
//!   reach it; `current_access`: how they get in now.
//! - `owner`: whose the workers are. `engine`: the Docker Engines that have some; [`hosts`]: where they are. `binaries`: the program that they are made of. [`targets`]: how a command on this machine
//!   reaches a worker.
//! - `parts`: what it is made of. `restored`: what a copy of a store is, and begins with. `secrets`: where values of credentials
//!   are; `seen_values`: which ones were seen. `standing_down`: how its workers are stopped.
//! - `requests`: what it can be asked besides the API; `kubectl`: what kubectl asks besides.
//! - `error`: why it cannot start, or ended. `refusal`: why it does not go down.
//! - Here: one life of it.
//!
//! A signal, a crash and the end of its disk all mean the same: the server goes, and its workers and their tasks stay for the
//! next one. Only `down` stops workers.

mod access;
mod binaries;
mod current_access;
mod engine;
pub mod environment;
mod error;
pub mod home;
pub mod hosts;
mod kubectl;
mod owner;
mod parts;
mod refusal;
pub mod requests;
mod restored;
mod secrets;
mod seen_values;
mod standing_down;
pub mod targets;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::access::Access;
pub use self::access::CONTEXT;
use self::current_access::CurrentAccess;
pub use self::engine::DockerHost;
pub use self::error::Error;
use self::home::{Home, Lock};
use self::parts::Parts;
pub use self::refusal::Refusal;
use self::requests::{Down, Front, Order};
use crate::clock::{Clock, Ids};
use crate::controller::{self, Options};
use crate::https;
use crate::supervisor::outcome;

/// The least time between two roll-ups of a pool's status. It is short because a person waits for what the status says.
const ROLLUP: Duration = Duration::from_millis(200);

/// The time between two looks whether attempts are open, while a client waits for their end.
const OPEN: Duration = Duration::from_millis(100);

/// The time between two looks whether the directory is there.
const REMOVED: Duration = Duration::from_secs(2);

/// What a server is started with.
pub struct Start {
    /// Its directory.
    pub home: Home,
    /// Another port than the one that was chosen at the first start.
    pub port: Option<u16>,
    /// Another Docker Engine than the one that was used last.
    pub docker_host: Option<DockerHost>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Random ids.
    pub ids: Ids,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was asked to leave. Its workers stay for the next one.
    Left,
    /// It stopped all its workers.
    Down,
}

/// Takes a directory for this process.
///
/// # Errors
/// Another process has it, or it cannot be used.
pub fn take(home: &Home) -> Result<Lock, Error> {
    let failed = |source| Error::Home { home: home.path().to_owned(), source };
    home.make().map_err(failed)?;
    let lock = home.lock().map_err(failed)?;
    lock.map_err(|pid| Error::InUse { home: home.path().to_owned(), pid })
}

/// Runs a server until `leave` or a client ends it.
///
/// # Errors
/// It cannot start, or its store fails.
pub async fn serve(start: Start, leave: CancellationToken) -> Result<Ended, Error> {
    let Start { home, port, docker_host, clock, ids } = start;
    // Until this process ends, because tasks may hold the store until then.
    let lock: &'static Lock = Box::leak(Box::new(take(&home)?));
    let file = |path: PathBuf| move |source| Error::File { path, source };
    let access = Access::of(&home, &clock, &ids).map_err(file(home.access()))?;
    let wanted = port.or(access.port).unwrap_or_default();
    let listener = https::listen(wanted).await.map_err(|source| Error::Port { port: wanted, source })?;
    let port = listener.local_addr().map_err(|source| Error::Port { port: wanted, source })?.port();
    // Relative paths of pools begin here.
    std::env::set_current_dir(home.path()).map_err(file(home.path().to_owned()))?;
    if let Some(host) = docker_host {
        engine::choose(&home, &host)?;
    }
    let parts = Parts::open(&home, clock.clone(), ids.clone()).await?;
    parts.ensure_namespace().await;
    let restored = if restored::is_copy(&home, &parts.epoch)? {
        // If this fails the life does not begin, so the next start sees the copy again.
        restored::pause(&parts.client).await.map_err(Error::Pause)?
    } else {
        None
    };
    restored::begin(&home, &parts.epoch, parts.api.revision())?;
    let access = Arc::new(CurrentAccess::open(access, &home, port, clock.clone(), ids)?);
    let (orders, mut asked) = mpsc::channel(1);
    let front = Front::new(&parts, access.clone(), orders, clock.now(), restored.clone());
    let closing = CancellationToken::new();
    let served = tokio::spawn(https::serve(listener, access.tls(), access.admission(), front, closing.clone()));
    let renewal = tokio::spawn(async move { access.keep_certificate().await });
    tracing::info!(port, home = %home.path().display(), version = env!("CARGO_PKG_VERSION"), "poolkeeper local server");
    if let Some(text) = restored {
        tracing::warn!("{text}");
    }
    let ended = live(&parts, lock, &leave, &mut asked).await;
    renewal.abort();
    closing.cancel();
    let _ = served.await;
    ended
}

/// What the controller is stopped for.
enum Next {
    /// The server goes, and its workers stay.
    Leave,
    /// The workers are to be stopped.
    StandDown(Down),
    /// Clients wait until no attempt is open, or none does any more: the controller begins anew, and assigns nothing, or does.
    Anew,
}

/// Waits until the directory is gone.
async fn removed(lock: &Lock, home: &Home) {
    while lock.is_there(home) {
        tokio::time::sleep(REMOVED).await;
    }
}

/// Runs the controller, until the server has to go.
async fn live(
    parts: &Parts,
    lock: &Lock,
    leave: &CancellationToken,
    asked: &mut mpsc::Receiver<Order>,
) -> Result<Ended, Error> {
    // Clients that wait until no attempt is open. A client that is gone does not wait.
    let mut waiting: Vec<Down> = Vec::new();
    loop {
        let stop = CancellationToken::new();
        let mut options = Options::new(parts.runtimes.clone(), parts.clock.clone(), parts.ids.clone());
        options.rollup_interval = ROLLUP;
        options.local_credentials = true;
        options.changed_credentials = Some(parts.watch.changed());
        options.check_pattern = outcome::check_pattern;
        options.standing_down = !waiting.is_empty();
        let mut controller = tokio::spawn(controller::run(parts.client.clone(), options, stop.clone()));
        // Until something ends the server, or until `down` has to stop the controller for a look.
        let next = loop {
            tokio::select! {
                biased;
                () = parts.failure.cancelled() => {
                    return Err(Error::StoreFailed { store: parts.home.store() });
                }
                ended = &mut controller => {
                    let why = ended.err().map_or_else(|| "without a reason".to_owned(), |e| e.to_string());
                    return Err(Error::Controller(why));
                }
                () = leave.cancelled() => break Next::Leave,
                () = removed(lock, &parts.home) => return Err(Error::Removed { home: parts.home.path().to_owned() }),
                order = asked.recv() => match order {
                    None | Some(Order::Leave) => break Next::Leave,
                    Some(Order::Down(order)) => match parts.refusal(order.force).await {
                        None => break Next::StandDown(order),
                        Some(refusal) if !(order.wait && refusal.is_busy()) => order.refuse(refusal),
                        Some(_) => {
                            waiting.push(order);
                            if waiting.len() == 1 {
                                tracing::info!("standing down: nothing is assigned until the open attempts have ended");
                                break Next::Anew;
                            }
                        }
                    },
                },
                () = tokio::time::sleep(OPEN), if !waiting.is_empty() => {
                    waiting.retain(|order| !order.is_abandoned());
                    let Some(order) = waiting.pop() else {
                        tracing::info!("no longer standing down: the client that waited is gone");
                        break Next::Anew;
                    };
                    if parts.refusal(false).await.is_none() {
                        break Next::StandDown(order);
                    }
                    waiting.push(order);
                }
            }
        };
        // From here on nothing is assigned any more.
        stop.cancel();
        let _ = controller.await;
        let order = match next {
            Next::Leave => return Ok(Ended::Left),
            Next::Anew => continue,
            Next::StandDown(order) => order,
        };
        // An attempt may have begun before the controller had stopped. Then it goes on.
        match parts.refusal(order.force).await {
            Some(refusal) if order.wait && refusal.is_busy() => {
                waiting.push(order);
                continue;
            }
            Some(refusal) => {
                order.refuse(refusal);
                continue;
            }
            None => waiting.push(order),
        }
        let stood_down = parts.stand_down().await;
        let answer = stood_down.clone().map_err(Refusal::failed);
        for order in waiting {
            // A client that is gone needs no answer.
            let _ = order.answer.send(answer.clone());
        }
        stood_down.map_err(Error::StandingDown)?;
        engine::forget_engine(&parts.home);
        return Ok(Ended::Down);
    }
}

/// Stops all workers of a directory whose server does not run. `force`: also if attempts are open.
///
/// # Errors
/// As [`serve`]; or attempts are open, or workers cannot be stopped.
pub async fn stop_workers(start: Start, force: bool) -> Result<Result<(), Refusal>, Error> {
    let Start { home, clock, ids, .. } = start;
    let _lock = take(&home)?;
    let parts = Parts::open(&home, clock, ids).await?;
    if let Some(refusal) = parts.refusal(force).await {
        return Ok(Err(refusal));
    }
    parts.stand_down().await.map_err(Error::StandingDown)?;
    engine::forget_engine(&home);
    Ok(Ok(()))
}

/// Makes another token and another authority for a server that does not run.
///
/// # Errors
/// The directory is in use, or a file cannot be written.
pub fn rotate(home: &Home, clock: &Arc<dyn Clock>, ids: &Ids) -> Result<(), Error> {
    let _lock = take(home)?;
    current_access::rotate(home, clock, ids)
}
