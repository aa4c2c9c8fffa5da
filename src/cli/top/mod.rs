//! `poolkeeper top`: what pools, workers, dispatches and credentials do, on one screen, as it changes.
//!
//! - `app`: what is on the screen, and what keys do to it. `rows`: the columns of the tables. `table`, `draw`, `details`, `help`:
//!   how it is drawn. `theme`, `words`: its looks.
//! - `screen`: the terminal, and its return. `events`: those of the object whose details are shown. Here: the loop.

mod app;
mod details;
mod draw;
mod events;
mod help;
mod rows;
mod screen;
mod table;
#[cfg(test)]
mod tests;
mod theme;
mod words;

use std::time::Duration;

use clap::Args;
use crossterm::event::{Event, EventStream};
use futures::StreamExt;
use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

use self::app::{App, Effect};
use self::events::Events;
use self::screen::Screen;
use super::change::check_name;
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::feed::{self, Feed, Reach};
use super::server::{Server, ServerArgs};
use super::{output, signals};
use crate::api::ContainerPool;
use crate::dashboard::live::{Store, view};

/// Countdowns change that often.
const TICK: Duration = Duration::from_secs(1);
/// The shortest pause between two views of what changed.
const PAUSE: Duration = Duration::from_millis(200);
/// The pause is also so many times as long as it takes to make a view: at most a twentieth of a core is used.
const SHARE: u32 = 20;

/// Show live what pools, workers, dispatches and credentials do
///
/// Pools with their queues, workers with their tasks and rests, dispatches with what they wait for, and credentials with the pools
/// that share them. ? shows the keys. Nothing is changed. NO_COLOR=1 leaves out the colours.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  poolkeeper top\n  poolkeeper top agents\n  poolkeeper top -A --context prod")]
pub struct TopArgs {
    /// Only this pool, and what belongs to it
    #[arg(value_name = "POOL")]
    pool: Option<String>,
    /// Show all namespaces; without the right to list them, that of the context
    #[arg(long, short = 'A', conflicts_with_all = ["pool", "namespace"])]
    all_namespaces: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Run for TopArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        if !output::is_stdout_a_terminal() {
            let message =
                "top needs a terminal, and standard output is none: use `poolkeeper status`, with -o json for programs";
            return Err(Failure::usage(message));
        }
        let server = self.server.connect().await?;
        let reach = self.check(&server).await?;
        let stop = signals::listen(&[SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()], None)
            .map_err(|e| Failure::poolkeeper("signals", e))?;
        let place = if reach.all_namespaces { "all namespaces" } else { &*server.namespace };
        let title = format!("{place} of {}", server.title);
        let store = feed::store(&server);
        let feed = Feed::start(&server, reach.all_namespaces, cx.clock.clone());
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let model = view(&store, cx.clock.now());
        let mut app = App::new(model, title, self.pool, reach.all_namespaces, colour);
        app.less = reach.less;
        app.flags = self.server.typed();
        let events = Events::new(server.client.clone());
        let mut screen = Screen::new().map_err(|e| Failure::poolkeeper("the terminal", e))?;
        let ended = watch(&mut screen, &mut app, &mut Sources { store, feed, events }, cx, &stop).await;
        drop(screen);
        ended.map_err(|e| Failure::poolkeeper("the terminal", e))
    }
}

impl TopArgs {
    /// That the server shows these objects to this user, and that the pool is there: said before the screen is taken.
    async fn check(&self, server: &Server) -> Result<Reach, Failure> {
        if let Some(pool) = &self.pool {
            check_name(pool)?;
            server.api::<ContainerPool>().get(pool).await.map_err(|e| server.failed(&e))?;
        }
        feed::reach(server, self.all_namespaces).await
    }
}

/// Where what is shown comes from.
struct Sources {
    store: Store,
    feed: Feed,
    events: Events,
}

/// Draws after each change, each key and each second, until the user or a signal ends it.
async fn watch(
    screen: &mut Screen,
    app: &mut App,
    sources: &mut Sources,
    cx: &Context,
    stop: &CancellationToken,
) -> std::io::Result<Exit> {
    let Sources { store, feed, events } = sources;
    let mut keys = EventStream::new();
    let mut changed = true;
    let (mut next_tick, mut not_before) = (cx.clock.mono(), cx.clock.mono());
    loop {
        while let Some(change) = feed.ready() {
            store.apply(change);
            changed = true;
        }
        let began = cx.clock.mono();
        if began >= next_tick || (changed && began >= not_before) {
            app.show(view(store, store.server_time(cx.clock.now())));
            screen.terminal.draw(|frame| draw::draw(frame, app))?;
            changed = false;
            let ended = cx.clock.mono();
            not_before = ended + PAUSE.max(ended.saturating_sub(began) * SHARE);
            next_tick = (ended + TICK).max(not_before);
        }
        events.ask(app.subject(), cx.clock.mono());
        let due = if changed { not_before.min(next_tick) } else { next_tick };
        let sleep = due.saturating_sub(cx.clock.mono());
        tokio::select! {
            () = stop.cancelled() => return Ok(Exit::Interrupted),
            change = feed.next() => {
                store.apply(change);
                changed = true;
            }
            heard = events.next() => {
                app.heard = Some(heard);
                screen.terminal.draw(|frame| draw::draw(frame, app))?;
            }
            key = keys.next() => {
                match key {
                    Some(Ok(Event::Key(key))) => {
                        if app.key(key) == Effect::Quit {
                            return Ok(Exit::Success);
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return Err(error),
                    // The terminal is gone.
                    None => return Ok(Exit::Interrupted),
                }
                screen.terminal.draw(|frame| draw::draw(frame, app))?;
            }
            () = tokio::time::sleep(sleep) => {}
        }
    }
}
