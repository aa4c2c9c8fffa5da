//! `poolkeeper completion`: scripts that let a shell complete commands, flags and the names of objects.
//!
//! The scripts only ask this program, by the hidden command `__complete`. So they fit every version of it.
//!
//! - `words`: which candidates there are for the words on a command line. `names`: names of objects, from the server.

mod names;
mod words;

use clap::{Args, ValueEnum};

use self::words::Wanted;
use super::context::{Context, Run};
use super::exit::{Exit, Failure};
use super::print;

/// Print a script with which a shell completes commands, flags and names of objects
///
/// Names come from the server that the command would talk to. If it does not answer within a second, there are none.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  source <(poolkeeper completion bash)\n  poolkeeper completion fish > ~/.config/fish/completions/poolkeeper.fish\n  poolkeeper completion zsh > ~/.zfunc/_poolkeeper"
)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
enum Shell {
    /// Bash 4 and later
    Bash,
    /// Z shell
    Zsh,
    /// Fish 3.4 and later
    Fish,
}

impl Run for CompletionArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        print::data(match self.shell {
            Shell::Bash => include_str!("poolkeeper.bash"),
            Shell::Zsh => include_str!("poolkeeper.zsh"),
            Shell::Fish => include_str!("poolkeeper.fish"),
        })?;
        Ok(Exit::Success)
    }
}

/// Print what the last of these words can become, one candidate a line. For the scripts of `completion`
#[derive(Args, Debug)]
pub struct CompleteArgs {
    /// The words after the program's name, up to the cursor
    #[arg(last = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl CompleteArgs {
    /// With the commands of the program.
    pub(super) fn on(self, mut commands: clap::Command) -> impl Run {
        // Now the commands have their global flags.
        commands.build();
        Complete { wanted: words::wanted(&commands, &self.words) }
    }
}

struct Complete {
    wanted: Wanted,
}

impl Run for Complete {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let mut all = self.wanted.candidates.clone();
        all.extend(names::of(&self.wanted).await);
        all.retain(|candidate| candidate.starts_with(&self.wanted.begins));
        print::data(&all.iter().map(|candidate| format!("{candidate}\n")).collect::<String>())?;
        Ok(Exit::Success)
    }
}
