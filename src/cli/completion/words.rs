//! Which candidates there are for the words on a command line: a walk through the commands as clap knows them.

use clap::{Arg, Command};

use crate::cli::print::kinds::Kind;
use crate::cli::server::ServerArgs;

/// What can follow.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// The word so far.
    pub begins: String,
    /// Commands, flags and values.
    pub candidates: Vec<String>,
    /// Kinds whose names are candidates too.
    pub kinds: Vec<Kind>,
    /// What stands before such a name: `worker/` of `worker/agents-0`.
    pub prefix: String,
    /// The server that has them.
    pub server: ServerArgs,
}

/// For the words after the program's name. The last one is completed; it may be empty.
pub(super) fn wanted(program: &Command, words: &[String]) -> Wanted {
    // Bash makes three words of `--pool=agents`.
    let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| *word != "=").collect();
    let (last, before) = words.split_last().map_or(("", &[][..]), |(last, before)| (*last, before));
    let mut line = Line { command: program, positionals: Vec::new(), flag: None, named: [None, None, None] };
    for word in before {
        if *word == "--" && line.flag.is_none() {
            // The command of another program follows.
            return Wanted { begins: last.to_owned(), ..Wanted::default() };
        }
        line.read(word);
    }
    line.wanted(last)
}

/// What the words before the last one say.
struct Line<'a> {
    command: &'a Command,
    positionals: Vec<String>,
    /// The flag whose value comes next.
    flag: Option<&'a Arg>,
    /// `--kubeconfig`, `--context`, `--namespace`.
    named: [Option<String>; 3],
}

const SERVER_FLAGS: [&str; 3] = ["kubeconfig", "context", "namespace"];

impl Line<'_> {
    fn read(&mut self, word: &str) {
        if let Some(flag) = self.flag.take() {
            self.value(flag, word);
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
            let found = self.command.get_arguments().find(|arg| arg.get_long() == Some(name));
            match (found.filter(|arg| takes_value(arg)), value) {
                (Some(arg), Some(value)) => self.value(arg, value),
                (Some(arg), None) => self.flag = Some(arg),
                (None, _) => {}
            }
        } else if let Some(short) = word.strip_prefix('-').filter(|short| !short.is_empty()) {
            for (at, letter) in short.char_indices() {
                let found = self.command.get_arguments().find(|arg| arg.get_short() == Some(letter));
                let Some(arg) = found.filter(|arg| takes_value(arg)) else { continue };
                let value = &short[at + letter.len_utf8()..];
                if value.is_empty() {
                    self.flag = Some(arg);
                } else {
                    self.value(arg, value);
                }
                break;
            }
        } else if let Some(sub) = self.command.find_subcommand(word).filter(|_| self.positionals.is_empty()) {
            self.command = sub;
        } else {
            self.positionals.push(word.to_owned());
        }
    }

    fn value(&mut self, flag: &Arg, value: &str) {
        let found = SERVER_FLAGS.iter().position(|name| flag.get_long() == Some(name));
        if let Some(at) = found {
            self.named[at] = Some(value.to_owned());
        }
    }

    fn wanted(self, last: &str) -> Wanted {
        let [kubeconfig, context, namespace] = self.named.clone();
        let mut wanted = Wanted {
            begins: last.to_owned(),
            server: ServerArgs::naming(kubeconfig, context, namespace),
            ..Wanted::default()
        };
        if let Some(flag) = self.flag {
            self.values(flag, &mut wanted);
        } else if last.starts_with('-') {
            let shown = self.command.get_arguments().filter(|arg| !arg.is_hide_set());
            wanted.candidates.extend(shown.filter_map(|arg| Some(format!("--{}", arg.get_long()?))));
        } else {
            if self.positionals.is_empty() {
                let shown = self.command.get_subcommands().filter(|sub| !sub.is_hide_set());
                wanted.candidates.extend(shown.map(|sub| sub.get_name().to_owned()));
            }
            let all: Vec<&Arg> = self.command.get_positionals().collect();
            let many = |arg: &&&Arg| arg.get_num_args().is_some_and(|n| n.max_values() > 1);
            let next = all.get(self.positionals.len()).or_else(|| all.last().filter(many));
            if let Some(arg) = next {
                self.values(arg, &mut wanted);
            }
        }
        wanted
    }

    /// The values that an argument can have.
    fn values(&self, arg: &Arg, wanted: &mut Wanted) {
        let possible = arg.get_possible_values();
        wanted.candidates.extend(possible.iter().filter(|v| !v.is_hide_set()).map(|v| v.get_name().to_owned()));
        let name = arg.get_value_names().and_then(<[_]>::first).map(ToString::to_string).unwrap_or_default();
        let (prefix, kind) = match wanted.begins.split_once('/') {
            Some((kind, _)) => (format!("{kind}/"), kind.parse::<Kind>().ok()),
            None => (String::new(), None),
        };
        for word in name.split('|') {
            let kinds: &[Kind] = match word.split('/').next().unwrap_or(word) {
                "POOL" => &[Kind::Pool],
                "WORKER" | "worker" => &[Kind::Worker],
                "TASK" | "DISPATCH" | "task" => &[Kind::Dispatch],
                "KIND" => {
                    wanted.candidates.extend(Kind::ALL.map(|kind| kind.word().to_owned()));
                    &[]
                }
                "NAME" => {
                    let named: Option<Kind> = self.positionals.first().and_then(|word| word.parse().ok());
                    wanted.kinds.extend(named);
                    &[]
                }
                _ => &[],
            };
            wanted.kinds.extend(kinds);
        }
        if let Some(kind) = kind {
            (wanted.kinds, wanted.prefix) = (vec![kind], prefix);
        }
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_num_args().is_some_and(|n| n.takes_values() && n.min_values() > 0)
}

#[cfg(test)]
mod tests {
    use clap::{Args, Parser, Subcommand};

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(subcommand)]
        _command: Commands,
    }

    #[derive(Subcommand)]
    enum Commands {
        /// Shows.
        Get(Get),
        #[command(hide = true)]
        Secret,
    }

    #[derive(Args)]
    struct Get {
        #[arg(value_name = "KIND")]
        _kind: String,
        #[arg(value_name = "NAME")]
        _names: Vec<String>,
        #[arg(long, short, value_parser = ["json", "name"])]
        _output: Option<String>,
        #[arg(long, value_name = "POOL")]
        pool: Option<String>,
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        _server: ServerArgs,
    }

    fn after(line: &str) -> Wanted {
        let mut program = <Program as clap::CommandFactory>::command();
        program.build();
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        wanted(&program, &words)
    }

    #[test]
    fn commands_flags_and_values() {
        let commands = after("").candidates;
        assert!(commands.contains(&"get".to_owned()) && !commands.contains(&"secret".to_owned()), "{commands:?}");
        let flags = after("get --").candidates;
        assert!(["--pool", "--all", "--context"].iter().all(|flag| flags.contains(&(*flag).to_owned())), "{flags:?}");
        assert_eq!(after("get -").begins, "-");
        assert_eq!(after("get ").candidates, ["pool", "worker", "dispatch"]);
        assert!(after("get pods -- ").candidates.is_empty());
    }

    #[test]
    fn names_are_those_of_the_kind_that_is_meant() {
        for (line, kinds) in [
            ("get workers ", &[Kind::Worker][..]),
            ("get workers a b", &[Kind::Worker]),
            ("get --pool ", &[Kind::Pool]),
            ("get --pool = a", &[Kind::Pool]),
            ("get --all workers ", &[Kind::Worker]),
            ("get -n x workers ", &[Kind::Worker]),
            ("get worker/a", &[Kind::Worker]),
            ("get pods ", &[]),
        ] {
            assert_eq!(after(line).kinds, kinds, "{line:?}");
        }
        assert_eq!(after("get worker/a").prefix, "worker/");
        assert_eq!(after("get --context prod -na workers ").server.typed(), " --context prod -n a");
    }
}
