//! `docs/cli.md` and `docs/exit-codes.md`, made from the commands; and their examples, which can all be typed.

use std::fmt::Write as _;
use std::path::Path;

use clap::{Command, CommandFactory as _};

use super::Cli;
use super::exit::Exit;

/// The program and all commands that are shown, each with its path.
fn all() -> Vec<(String, Command)> {
    fn walk(path: &str, command: &Command, found: &mut Vec<(String, Command)>) {
        found.push((path.to_owned(), command.clone()));
        for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
            walk(&format!("{path} {}", sub.get_name()), sub, found);
        }
    }
    let mut program = Cli::command().term_width(120);
    program.build();
    let mut found = Vec::new();
    walk("poolkeeper", &program, &mut found);
    found
}

fn page() -> String {
    let mut page = String::from(
        "<!-- Generated: POOLKEEPER_GENERATE=1 cargo test --lib the_page_of. Do not edit. -->\n# Commands\n\n\
         Every command with its flags, as `--help` prints them. Standard output is for data, and standard error for messages.\n\n\
         ## Which server a command talks to\n\n\
         The first of these:\n\n\
         1. `--kubeconfig FILE` or `--context NAME`, then `$POOLKEEPER_CONTEXT`. The context `poolkeeper-local` is the local server.\n\
         2. `$KUBECONFIG`, if it names a file that exists.\n\
         3. The [local server](local.md) of this user, if there is one, running or not. If it does not answer within 5 s the command \
         ends with 6: a script for this machine cannot reach another cluster.\n\
         4. `~/.kube/config`.\n\
         5. The service account, in a Pod.\n\n\
         A command that changes something says which server it used, unless a flag or a variable named it. `run --local` needs no \
         server. As a plugin of kubectl (`kubectl poolkeeper`, by a symlink named `kubectl-poolkeeper` on the PATH) the commands leave \
         out step 3.\n\n\
         How commands end: [exit codes](exit-codes.md).\n",
    );
    for (path, mut command) in all() {
        let heading = if path.contains(' ') { &path } else { "poolkeeper" };
        let help = command.render_long_help().to_string();
        let help: String = help.lines().map(|line| format!("{}\n", line.trim_end())).collect();
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {heading}\n\n```text\n{}\n```\n", help.trim_end());
    }
    page
}

/// The codes of `Exit`, and where the pages of single commands say more.
fn page_of_exit_codes() -> String {
    let mut page = String::from(
        "<!-- Generated: POOLKEEPER_GENERATE=1 cargo test --lib the_page_of. Do not edit. -->\n# Exit codes\n\n\
         Every [command](cli.md) ends with one of these.\n\n| code | meaning |\n|---|---|\n",
    );
    for (exit, meaning) in Exit::MEANINGS {
        let _ = writeln!(page, "| {} | {meaning} |", exit.code());
    }
    page.push_str(
        "\n`run` and `exec` pass on the exit code of the command that they run. [What `run` ends with](run.md#exit-codes), alone and with a \
         file of tasks, and [what the commands of a supervisor end with](supervisors.md#exit-codes), is described with these commands.\n",
    );
    page
}

/// With POOLKEEPER_GENERATE=1 the file is written.
#[track_caller]
fn is_up_to_date(file: &str, page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("POOLKEEPER_GENERATE").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == page, "{file} is stale: just generate");
}

#[test]
fn the_page_of_commands_is_up_to_date() {
    is_up_to_date("docs/cli.md", &page());
}

#[test]
fn the_page_of_exit_codes_is_up_to_date() {
    is_up_to_date("docs/exit-codes.md", &page_of_exit_codes());
}

/// Command lines of this program in the examples of a help text, as words. Other programs on the line are left out.
fn examples(help: &str) -> Vec<Vec<String>> {
    let Some(start) = help.find("Example") else { return Vec::new() };
    let text = help[start..].replace("\\\n", " ");
    let mut found = Vec::new();
    for line in text.lines().skip(1).filter(|line| line.starts_with("  ")) {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None::<char>);
        let mut end = |words: &mut Vec<String>| {
            let command = std::mem::take(words);
            let before =
                |word: &&String| matches!(word.as_str(), "!" | "if" | "then" | "do" | "exec") || word.contains('=');
            let command: Vec<String> = command.iter().skip_while(before).cloned().collect();
            found.extend(Some(command).filter(|words| words.first().is_some_and(|word| word == "poolkeeper")));
        };
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            match (quote, letter) {
                (Some(open), close) if open == close => quote = None,
                (None, '\'' | '"') => {
                    quote = Some(letter);
                    word.get_or_insert_default();
                }
                // A command inside of words is one of its own.
                (None | Some('"'), '$') if letters.peek() == Some(&'(') => {
                    letters.next();
                    let inner: String = letters.by_ref().take_while(|c| *c != ')').collect();
                    end(&mut inner.split_whitespace().map(str::to_owned).collect());
                    word.get_or_insert_default().push('x');
                }
                (None, '<') if letters.peek() == Some(&'(') => {
                    letters.next();
                    let inner: String = letters.by_ref().take_while(|c| *c != ')').collect();
                    end(&mut inner.split_whitespace().map(str::to_owned).collect());
                }
                (None, '#') if word.is_none() => break,
                (None, '|' | '&' | ';' | '>' | '<') => {
                    words.extend(word.take());
                    end(&mut words);
                }
                (None, ' ') => words.extend(word.take()),
                _ => word.get_or_insert_default().push(letter),
            }
        }
        words.extend(word.take());
        end(&mut words);
    }
    found
}

#[test]
fn every_command_has_an_example_that_can_be_typed() {
    let mut wrong = Vec::new();
    for (path, command) in all() {
        let is_group = command.has_subcommands();
        // Not as it is printed: a long line is wrapped there.
        let help = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
        let help = help.unwrap_or_default();
        let own: Vec<Vec<String>> = examples(&help);
        if !is_group && !own.iter().any(|words| words.join(" ").starts_with(&path)) {
            wrong.push(format!("{path}: its help has no example of it"));
        }
        for words in own {
            let words = words.iter().map(|word| word.replace("$?", "0"));
            let words: Vec<String> = words.collect();
            if let Err(error) = Cli::command().try_get_matches_from(&words) {
                wrong.push(format!("{path}: {words:?}: {error}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn examples_are_found_as_a_shell_reads_them() {
    let help = "x\n\nExamples:\n  eval \"$(poolkeeper local env)\"\n  poolkeeper run \\\n    -- 'a b' | jq .\n  source <(poolkeeper completion bash)\n  echo $? && poolkeeper get 'x|y' # why\n";
    let expected: [&[&str]; 4] = [
        &["poolkeeper", "local", "env"],
        &["poolkeeper", "run", "--", "a b"],
        &["poolkeeper", "completion", "bash"],
        &["poolkeeper", "get", "x|y"],
    ];
    assert_eq!(examples(help), expected);
}
