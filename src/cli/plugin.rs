//! The commands as a plugin of kubectl: `kubectl poolkeeper …` runs this binary by the name `kubectl-poolkeeper`.

use clap::Command;

/// The name that examples have.
const PROGRAM: &str = "poolkeeper";

/// The same commands, whose usage and examples begin with `program`.
pub(super) fn renamed(commands: Command, program: &str) -> Command {
    examples(commands.bin_name(program.to_owned()), program)
}

fn examples(command: Command, program: &str) -> Command {
    let help = command.get_after_help().map(ToString::to_string);
    let command = match help {
        Some(help) => command.after_help(begins_with(&help, program)),
        None => command,
    };
    command.mut_subcommands(|sub| examples(sub, program))
}

/// Examples, whose lines begin with another program.
fn begins_with(help: &str, program: &str) -> String {
    let mut text = String::with_capacity(help.len());
    for line in help.split_inclusive('\n') {
        let content = line.trim_start();
        let (indent, rest) = line.split_at(line.len() - content.len());
        match rest.strip_prefix(PROGRAM).filter(|rest| rest.starts_with(' ')) {
            Some(rest) => text.extend([indent, program, rest]),
            None => text.push_str(line),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_begin_with_what_people_type() {
        let help = "Examples:\n  poolkeeper get pools\n  echo poolkeeper\npoolkeeper.service";
        let expected = "Examples:\n  kubectl poolkeeper get pools\n  echo poolkeeper\npoolkeeper.service";
        assert_eq!(begins_with(help, "kubectl poolkeeper"), expected);
    }
}
