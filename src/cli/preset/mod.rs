//! `poolkeeper preset`: what limits of programs look like, and what a recorded output gives.

mod test;

pub use test::read as read_output;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::print::{self, table::align};
use crate::supervisor::outcome::preset::Preset;
use crate::supervisor::outcome::presets;

/// Show the presets that recognise rate limits, and test one on a recorded output
///
/// A preset knows what one program prints when it meets a limit: `run --preset NAME`, or its name in spec.rateLimit.patterns
/// of a pool.
#[derive(Args, Debug)]
pub struct PresetArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    List(ListArgs),
    Show(ShowArgs),
    Test(test::TestArgs),
}

/// List the presets
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  poolkeeper preset list")]
struct ListArgs {
    /// How to print it
    #[arg(long, short, value_enum, default_value_t, value_name = "FORMAT")]
    output: ListFormat,
}

#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ListFormat {
    /// For people
    #[default]
    Table,
    /// One JSON array
    Json,
    /// Names, one a line
    Name,
}

/// Show a preset: its advice, its rules, and the samples that test it
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  poolkeeper preset show claude-code")]
struct ShowArgs {
    /// The preset
    #[arg(value_name = "NAME")]
    name: String,
}

impl Run for PresetArgs {
    async fn run(self, cx: &Context) -> Result<Exit, Failure> {
        match self.command {
            Command::List(args) => args.run(cx).await,
            Command::Show(args) => args.run(cx).await,
            Command::Test(args) => args.run(cx).await,
        }
    }
}

impl Run for ListArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let presets: Vec<Preset> = presets::names().filter_map(presets::find).collect();
        let text = match self.output {
            ListFormat::Name => presets.iter().map(|preset| format!("{}\n", preset.name)).collect(),
            ListFormat::Json => print::json(&presets.iter().map(summary).collect()),
            ListFormat::Table => {
                let heading = ["NAME", "LAST SEEN", "PROGRAM"].map(str::to_owned).to_vec();
                let rows = presets.into_iter().map(|preset| vec![preset.name, preset.seen, preset.program]);
                align(&std::iter::once(heading).chain(rows).collect::<Vec<_>>(), &mut Vec::new())
            }
        };
        print::data(&text)?;
        Ok(Exit::Success)
    }
}

fn summary(preset: &Preset) -> Value {
    json!({"name": preset.name, "program": preset.program, "seen": preset.seen, "advice": preset.advice.trim_end()})
}

impl Run for ShowArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let Some(text) = presets::source(&self.name) else {
            return Err(Failure::new(
                Exit::NotFound,
                format!("there is no preset {:?}; `poolkeeper preset list` shows them", self.name),
            ));
        };
        print::data(text)?;
        Ok(Exit::Success)
    }
}
