//! Whether the server answers, and what time it is there.
//!
//! A watch of a server that hangs, or of a machine that slept, may be silent for minutes. And countdowns are by the clock of the
//! server, which is another machine's.

use std::sync::Arc;
use std::time::Duration;

use http::Request;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::client::Body;
use tokio::sync::{mpsc, watch};

use crate::causes::with_causes;
use crate::clock::Clock;
use crate::dashboard::live::{Change, Loss, Watched};

/// The pause between two looks at a server that answers.
const LOOK: Duration = Duration::from_secs(10);
/// The pause between two looks at one that does not.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The server is lost if it does not answer within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// `Date` has whole seconds: a difference of less is none.
const EXACT: SignedDuration = SignedDuration::from_millis(1500);

/// See the module's page.
pub(super) struct Pulse {
    client: Client,
    clock: Arc<dyn Clock>,
    changes: mpsc::Sender<Change>,
    /// How often the server was lost.
    losses: watch::Sender<u64>,
}

impl Pulse {
    pub fn new(client: Client, clock: Arc<dyn Clock>, changes: mpsc::Sender<Change>) -> Self {
        Self { client, clock, changes, losses: watch::Sender::new(0) }
    }

    /// How often the server was lost: a watch that was begun before a loss may never show anything again.
    pub fn losses(&self) -> watch::Receiver<u64> {
        self.losses.subscribe()
    }

    pub async fn run(self) {
        let mut lost = false;
        loop {
            let change = match tokio::time::timeout(PATIENCE, clock_ahead(&self.client, &*self.clock)).await {
                Ok(Ok(ahead)) => {
                    lost = false;
                    Change::Answers(ahead)
                }
                answer => {
                    let why = match answer {
                        Ok(Err(error)) => error,
                        _ => format!("no answer within {} s", PATIENCE.as_secs()),
                    };
                    if !lost {
                        self.losses.send_modify(|n| *n += 1);
                    }
                    lost = true;
                    Change::Lost(Watched::Server, self.clock.now(), Loss::away(why))
                }
            };
            if self.changes.send(change).await.is_err() {
                return;
            }
            tokio::time::sleep(if lost { LOOK_AGAIN } else { LOOK }).await;
        }
    }
}

/// How far the clock of a server is ahead of this machine's.
///
/// # Errors
/// The server does not answer. Why, in words.
pub(in crate::cli) async fn clock_ahead(client: &Client, clock: &dyn Clock) -> Result<SignedDuration, String> {
    let request = Request::get("/version").body(Body::empty()).map_err(|e| with_causes(&e))?;
    let before = clock.now();
    let answer = client.send(request).await.map_err(|e| with_causes(&e))?;
    let after = clock.now();
    let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|date| date.timestamp());
    Ok(date.map_or(SignedDuration::ZERO, |date| ahead(date, before, after)))
}

/// How far a clock is ahead that showed `date`, in whole seconds, at some time between two times of this one.
fn ahead(date: Timestamp, before: Timestamp, after: Timestamp) -> SignedDuration {
    let middle = before.saturating_add(before.duration_until(after) / 2).unwrap_or(before);
    // On average half of a second is cut off.
    let ahead = middle.duration_until(date).saturating_add(SignedDuration::from_millis(500));
    if ahead.abs() < EXACT { SignedDuration::ZERO } else { ahead }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_differs_by_less_than_its_header_shows_is_right() {
        let t = |text: &str| text.parse::<Timestamp>().unwrap();
        let (before, after) = (t("2026-11-30T12:00:00.2Z"), t("2026-11-30T12:00:01.2Z"));
        assert_eq!(ahead(t("2026-11-30T12:00:00Z"), before, after), SignedDuration::ZERO);
        assert_eq!(ahead(t("2026-11-30T12:00:01Z"), before, after), SignedDuration::ZERO);
        assert_eq!(ahead(t("2026-11-30T12:05:00Z"), before, after), SignedDuration::from_millis(299_800));
        assert_eq!(ahead(t("2026-11-30T11:00:00Z"), before, after), SignedDuration::from_millis(-3_600_200));
    }
}
