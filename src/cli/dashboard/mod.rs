//! `poolkeeper dashboard`: the timeline of a server, live in a browser.
//!
//! - `state`: what is known. `history`: takes what the server says into it. `events`: what the server recorded about an attempt.
//! - `keys`: which pages may look. `site`: the HTTP side. `browser`: opens it.

mod browser;
mod events;
mod history;
mod keys;
mod site;
mod state;

use std::io;
use std::sync::Arc;

use clap::Args;
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::signal::unix::SignalKind;

use self::events::Events;
use self::keys::{CODE_LASTS, Keys};
use self::site::Site;
use self::state::State;
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::feed::{self, Feed};
use super::server::{Server, ServerArgs};
use super::{output, print, signals};
use crate::https;

/// Show the timeline of a server live in a browser
///
/// Serves a page on 127.0.0.1 that shows workers, attempts, rests and waiting dispatches as they change, and opens it. It reads pools,
/// workers, dispatches and Events of one namespace with your rights, and changes nothing. Only the browser that was opened can read the
/// page: its address serves once, within 60 s. Press Enter for another one, and Ctrl-C to end.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  poolkeeper dashboard\n  poolkeeper dashboard --no-browser --port 8090   # for `ssh -L 8090:127.0.0.1:8090`"
)]
pub struct DashboardArgs {
    /// Port of 127.0.0.1 to listen on; 0 takes any that is free
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// Print the address instead of opening a browser
    #[arg(long)]
    no_browser: bool,
    #[command(flatten)]
    server: ServerArgs,
}

impl Run for DashboardArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let stop = signals::listen(&[SignalKind::interrupt(), SignalKind::terminate()], None);
        let stop = stop.map_err(|error| Failure::poolkeeper("listening for signals", error))?;
        let Some(started) = signals::unless(&stop, self.start(cx)).await else { return Ok(Exit::Interrupted) };
        let (server, site, serving) = started?;
        let shown = Shown { site: &site, no_browser: self.no_browser, title: &server.title };
        let work = Box::pin(async {
            tokio::select! {
                biased;
                () = serving => Ok(()),
                ended = shown.on_enter() => ended,
            }
        });
        match stop.run_until_cancelled(work).await {
            Some(Err(failure)) => Err(failure),
            _ => Ok(Exit::Interrupted),
        }
    }
}

impl DashboardArgs {
    /// Looks at the server and listens. The future that it answers does the work, without end.
    async fn start(&self, cx: &Context) -> Result<(Server, Arc<Site>, impl Future<Output = ()> + use<>), Failure> {
        let server = self.server.connect().await?;
        feed::may_look(&server, false).await?;
        // It has just answered. If it says no time, its clock is taken to be right.
        let ahead = feed::clock_ahead(&server.client, &*cx.clock).await.unwrap_or_default();
        let listener = https::listen(self.port).await.map_err(|error| self.taken(&error))?;
        let address = listener.local_addr().map_err(|error| Failure::poolkeeper("listening", error))?;
        let state = Arc::new(State::new(cx.clock.clone(), ahead, server.title.clone(), server.namespace.clone()));
        let (client, namespace) = (server.client.clone(), server.namespace.clone());
        let events = Events { client, namespace, flags: self.server.typed() };
        let keys = Keys::new(cx.ids.clone());
        let site = Arc::new(Site::new(address.to_string(), keys, state.clone(), events, cx.clock.clone()));
        let pages = site.clone();
        let changes = Feed::start(&server, false, cx.clock.clone());
        let serving = async move {
            tokio::join!(history::follow(changes, state), site::serve(listener, pages));
        };
        Ok((server, site, serving))
    }

    fn taken(&self, error: &io::Error) -> Failure {
        let exit = match error.kind() {
            io::ErrorKind::AddrInUse => Exit::Conflict,
            io::ErrorKind::PermissionDenied => Exit::Forbidden,
            _ => Exit::Poolkeeper,
        };
        Failure::new(exit, format!("--port {}: {error}; choose another one, or leave it out", self.port))
    }
}

/// How the page comes to the user.
struct Shown<'a> {
    site: &'a Site,
    no_browser: bool,
    title: &'a str,
}

impl Shown<'_> {
    /// Shows the page, and again for each line of standard input. Without end.
    async fn on_enter(&self) -> Result<(), Failure> {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let mut reads = may_read();
        loop {
            let file = self.show().await?;
            let voided = async {
                tokio::time::sleep(CODE_LASTS).await;
                drop(file);
                std::future::pending().await
            };
            tokio::pin!(voided);
            tokio::select! {
                biased;
                line = lines.next_line(), if reads => reads = matches!(line, Ok(Some(_))),
                never = &mut voided => return never,
            }
            if !reads {
                return voided.await;
            }
        }
    }

    /// Opens the page, or prints its address. Answers the file that leads the browser to it.
    async fn show(&self) -> Result<Option<NamedTempFile>, Failure> {
        let address = self.site.address();
        if self.no_browser {
            print::data(&format!("{address}\n"))?;
            let words = "open this address within 60 s; Enter prints another one, Ctrl-C ends";
            output::say(&format!("{}: {words}", self.title));
            return Ok(None);
        }
        let file = browser::redirect(&address);
        let file = file.map_err(|error| Failure::poolkeeper("writing a file for the browser", error))?;
        match browser::open(file.path()).await {
            Ok(()) => output::say(&format!(
                "the dashboard of {} is in your browser; Enter opens it again, Ctrl-C ends",
                self.title
            )),
            Err(error) => output::say(&format!(
                "no browser can be opened ({error}): run `poolkeeper dashboard --no-browser`, and open the address that it prints"
            )),
        }
        Ok(Some(file))
    }
}

/// False for a job in the background of a terminal: the system stops it when it reads.
fn may_read() -> bool {
    match rustix::termios::tcgetpgrp(std::io::stdin()) {
        Ok(group) => group == rustix::process::getpgrp(),
        // No terminal.
        Err(_) => true,
    }
}
