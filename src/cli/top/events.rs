//! The Events of the object whose details are shown. They are asked for while these are open.

use std::time::Duration;

use kube::Client;
use tokio::task::JoinSet;

use crate::cli::feed::events::{self, Subject};
use crate::dashboard::live::events::ShownEvent;

/// So often they are asked for again.
const AGAIN: Duration = Duration::from_secs(5);

/// What is known of the Events of an object.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    /// Whose they are.
    pub of: Subject,
    /// The newest ones, or why they are not known.
    pub events: Result<Vec<ShownEvent>, String>,
}

/// Asks for Events.
pub(super) struct Events {
    client: Client,
    /// The question that is open. A newer one ends it.
    asking: JoinSet<Heard>,
    /// Whose were asked for last, and when by the monotonic clock.
    asked: Option<(Subject, Duration)>,
}

impl Events {
    pub fn new(client: Client) -> Self {
        Self { client, asking: JoinSet::new(), asked: None }
    }

    /// Asks, if the details of an object are open and what is known of its Events is old.
    pub fn ask(&mut self, of: Option<Subject>, now: Duration) {
        let Some(of) = of else {
            self.asked = None;
            return;
        };
        if self.asked.as_ref().is_some_and(|(asked, at)| *asked == of && now < *at + AGAIN) {
            return;
        }
        self.asked = Some((of.clone(), now));
        self.asking.abort_all();
        let client = self.client.clone();
        self.asking.spawn(async move {
            let events = events::of(client, &of).await;
            Heard { of, events }
        });
    }

    /// The next answer. It may be dropped and asked again.
    pub async fn next(&mut self) -> Heard {
        loop {
            match self.asking.join_next().await {
                Some(Ok(heard)) => return heard,
                // It was ended.
                Some(Err(_)) => {}
                None => std::future::pending::<()>().await,
            }
        }
    }
}
