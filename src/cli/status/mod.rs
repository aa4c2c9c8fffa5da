//! `poolkeeper status`: how the pools are.
//!
//! - `view`: what is read and shown. `problems`: what a pool has to say.

mod problems;
mod view;

use std::time::Duration;

use clap::Args;

use self::view::View;
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::output::{self, say};
use super::print::{self, Summary};
use super::server::{Server, ServerArgs};

/// The pause between two looks with `-w`.
const LOOK: Duration = Duration::from_secs(1);
/// Moves the cursor of a terminal home and clears the screen.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Show how the pools are, and what is wrong with them
///
/// Below the table stand the conditions that are not fine, and the credentials that rest. With a POOL: its workers, the first
/// dispatches that wait, and those that finished last.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  poolkeeper status\n  poolkeeper status agents -w\n  poolkeeper status agents -o json"
)]
pub struct StatusArgs {
    /// The pool. Without one: all pools of the namespace
    #[arg(value_name = "POOL")]
    pool: Option<String>,
    /// Show it again after each change, until Ctrl-C
    #[arg(long, short)]
    watch: bool,
    /// How to print it; json: one object, with -w one a line
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Summary,
    #[command(flatten)]
    server: ServerArgs,
}

impl Run for StatusArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let server = self.server.connect().await?;
        let mut view = View::read(&server, self.pool.as_deref()).await?;
        self.show(&view, &server)?;
        if !self.watch {
            return Ok(Exit::Success);
        }
        loop {
            tokio::time::sleep(LOOK).await;
            let now = View::read(&server, self.pool.as_deref()).await?;
            // Ages change on a terminal. In a file only a change of the objects is worth a copy.
            if output::is_stdout_a_terminal() || now.version() != view.version() {
                self.show(&now, &server)?;
            }
            view = now;
        }
    }
}

impl StatusArgs {
    fn show(&self, view: &View, server: &Server) -> Result<(), Failure> {
        if self.output == Summary::Json {
            let value = view.json()?;
            let text = if self.watch { value.to_string() } else { format!("{value:#}") };
            return print::data(
                &text.lines().map(|line| format!("{}\n", output::escape_json(line))).collect::<String>(),
            );
        }
        let text = view.text()?;
        if text.is_empty() {
            say(&format!("there are no pools in namespace {} of {}", server.namespace, server.title));
        }
        let (before, after) = match (self.watch, output::is_stdout_a_terminal()) {
            (true, true) => (CLEAR, ""),
            (true, false) => ("", "\n"),
            _ => ("", ""),
        };
        print::data(&format!("{before}{text}{after}"))
    }
}
