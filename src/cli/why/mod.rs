//! `poolkeeper why`: what something waits for, until when, and what would make it sooner.
//!
//! - `lists`: what is read. `judge`: the answers, from it and from a core that knows it. `sooner`: what would shorten a
//!   wait. `answer`: how an answer is printed.

mod answer;
mod judge;
mod lists;
mod sooner;

use clap::Args;

use self::answer::Answer;
use self::judge::Judge;
use self::lists::Lists;
use self::sooner::Commands;
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::output;
use super::print::kinds::Kind;
use super::print::{self, Summary};
use super::server::{self, Server, ServerArgs};
use crate::api::RuntimeKind;
use crate::core::{Now, Object};

/// Show what a dispatch or a pool waits for, until when, and what would make it sooner
///
/// It is computed here from pools, workers and dispatches, by the rules of the controller. Without a name: everything that
/// waits. Exits with 3 if there is no such dispatch or pool.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  poolkeeper why\n  poolkeeper why task-17\n  poolkeeper why pool/agents -o json")]
pub struct WhyArgs {
    /// Name of a dispatch or of a pool, or pool/NAME, dispatch/NAME
    #[arg(value_name = "TASK|POOL")]
    name: Option<String>,
    /// How to print it; json: an array with an object for each answer
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: Summary,
    #[command(flatten)]
    server: ServerArgs,
}

impl Run for WhyArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        let wanted = self.name.as_deref().map(wanted).transpose()?;
        let server = self.server.connect().await?;
        let lists = Lists::read(&server).await?;
        let now = Now::new(cx.clock.now(), cx.clock.mono());
        let default_runtime = if server.is_local { RuntimeKind::Docker } else { RuntimeKind::Pod };
        let mut judge = Judge {
            lists: &lists,
            snapshot: lists.snapshot(default_runtime, now),
            commands: Commands { program: server::program().to_owned(), flags: self.server.typed() },
            now: now.wall,
        };
        let answers = match wanted {
            None => judge.all(),
            Some((kind, name)) => named(&mut judge, kind, name, &server)?,
        };
        if self.output == Summary::Json {
            let json = serde_json::to_string_pretty(&answers).map_err(|e| Failure::poolkeeper("JSON", e))?;
            let lines = json.lines().map(|line| format!("{}\n", output::escape_json(line)));
            print::data(&lines.collect::<String>())?;
        } else if answers.is_empty() {
            output::say(&format!("nothing waits in namespace {} of {}", server.namespace, server.title));
        } else {
            print::data(&answers.iter().map(|answer| answer.text(now.wall)).collect::<String>())?;
        }
        Ok(Exit::Success)
    }
}

/// What a name on the command line stands for.
fn wanted(name: &str) -> Result<(Option<Kind>, &str), Failure> {
    let Some((kind, name)) = name.split_once('/') else { return Ok((None, name)) };
    match kind.parse() {
        Ok(kind @ (Kind::Pool | Kind::Dispatch)) => Ok((Some(kind), name)),
        _ => Err(Failure::usage(format!("{kind}/{name}: expected dispatch/NAME or pool/NAME"))),
    }
}

/// The answers about a name: a dispatch and a pool can have the same one.
fn named(judge: &mut Judge<'_>, kind: Option<Kind>, name: &str, server: &Server) -> Result<Vec<Answer>, Failure> {
    let lists = judge.lists;
    let mut answers = Vec::new();
    if kind != Some(Kind::Pool) {
        let found = lists.dispatches.iter().find(|d| d.object_meta().name.as_deref() == Some(name));
        answers.extend(found.map(|dispatch| judge.dispatch(dispatch)));
    }
    if kind != Some(Kind::Dispatch) {
        let found = lists.pools.iter().find(|p| p.object_meta().name.as_deref() == Some(name));
        answers.extend(found.map(|pool| judge.pool(pool)));
    }
    if answers.is_empty() {
        let what = kind.map_or("dispatch or pool".to_owned(), |kind| kind.to_string());
        let message = format!("there is no {what} {name:?} in namespace {} of {}", server.namespace, server.title);
        return Err(Failure::new(Exit::NotFound, message));
    }
    Ok(answers)
}
