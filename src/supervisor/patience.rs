//! A server that is away: what is safe to repeat is repeated until it answers, or until patience is over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::Error;
use super::tracker::Tracker;
use crate::api::Period;
use crate::clock::Clock;

/// The pause between two attempts to reach the server.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a server that was away may refuse what it allowed before.
const STARTING: Duration = Duration::from_secs(30);
/// How long one request may take. A server that was stopped accepts connections and never answers.
const REQUEST: Duration = Duration::from_secs(30);

/// How long a server may be away. All parts of a run share one, because they have the same server.
pub struct Patience {
    limit: Duration,
    clock: Arc<dyn Clock>,
    tracker: Arc<Tracker>,
    away: Mutex<Away>,
}

/// When the server was away.
#[derive(Default)]
struct Away {
    /// Since when each request has failed.
    since: Option<Duration>,
    /// When the last one failed.
    last: Option<Duration>,
}

impl Patience {
    /// For a server that may be away for as long as `limit`. Zero: the first failure counts, as in one process.
    pub fn new(limit: Duration, clock: Arc<dyn Clock>, tracker: Arc<Tracker>) -> Self {
        Self { limit, clock, tracker, away: Mutex::default() }
    }

    /// True if the server is in this process, and cannot be away.
    pub const fn is_none(&self) -> bool {
        self.limit.is_zero()
    }

    /// Sends a request until the server answers it.
    ///
    /// # Errors
    /// The server refuses, or was away for too long.
    pub async fn repeat<T, F>(&self, what: &str, mut request: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = kube::Result<T>>,
    {
        loop {
            let answer = if self.is_none() {
                request().await
            } else {
                let answer = tokio::time::timeout(REQUEST, request()).await;
                answer.unwrap_or_else(|_| Err(kube::Error::Service("it did not answer for 30 s".into())))
            };
            match answer {
                Ok(answer) => {
                    self.is_back();
                    return Ok(answer);
                }
                Err(error) if self.is_none() || !self.may_pass(&error) => return Err(Error::api(what)(error)),
                Err(error) => self.wait(what, &error.to_string()).await?,
            }
        }
    }

    /// True if a request that failed so may succeed another time. A server that has just started may not have read the
    /// roles yet.
    pub fn may_pass(&self, error: &kube::Error) -> bool {
        let refused = matches!(error, kube::Error::Api(status) if matches!(status.code, 401 | 403));
        let now = self.clock.mono();
        is_away(error) || (refused && self.away().last.is_some_and(|last| now.saturating_sub(last) < STARTING))
    }

    /// Waits a moment for a server that failed so. It says once that it waits.
    ///
    /// # Errors
    /// It was away for too long.
    pub async fn wait(&self, what: &str, why: &str) -> Result<(), Error> {
        let now = self.clock.mono();
        let (is_new, since) = {
            let mut away = self.away();
            away.last = Some(now);
            (away.since.is_none(), *away.since.get_or_insert(now))
        };
        let limit = Period::from(self.limit);
        if now.saturating_sub(since) >= self.limit {
            return Err(Error::Away { what: what.to_owned(), limit, why: why.to_owned() });
        }
        if is_new {
            self.tracker.note(format!("the server is away ({why}); waiting for it for {limit} (--patience)"));
        }
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }

    /// The server has answered.
    pub fn is_back(&self) {
        let was_away = self.away().since.take().is_some();
        if was_away {
            self.tracker.note("the server is back");
        }
    }

    fn away(&self) -> MutexGuard<'_, Away> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True if the server may answer another time: it was not reached, is overloaded, or is starting or stopping.
pub fn is_away(error: &kube::Error) -> bool {
    use kube::Error as E;
    match error {
        E::Api(status) => status.code == 429 || status.code >= 500,
        E::BuildRequest(_) | E::SerdeError(_) | E::FromUtf8(_) | E::HttpError(_) => false,
        _ => true,
    }
}
