//! `poolkeeper man`: a manual page for each command, as files.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use super::context::{Context, Run};
use super::exit::{Exit, Failure};

/// Write a manual page for each command
///
/// Packages have these pages already. After `cargo install`, `man poolkeeper-run` works once they are in a directory where
/// `man` looks.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  poolkeeper man --dir ~/.local/share/man/man1")]
pub struct ManArgs {
    /// The directory, created where it is missing
    #[arg(long)]
    dir: PathBuf,
}

impl ManArgs {
    /// With the commands of the program.
    pub(super) fn on(self, commands: clap::Command) -> impl Run {
        Pages { dir: self.dir, commands }
    }
}

struct Pages {
    dir: PathBuf,
    commands: clap::Command,
}

impl Run for Pages {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let mut commands = self.commands.disable_help_subcommand(true);
        commands.build();
        std::fs::create_dir_all(&self.dir)
            .with_context(|| format!("cannot make the directory {}", self.dir.display()))
            .and_then(|()| write(&commands, None, &self.dir))
            .map_err(|error| Failure::new(Exit::Failed, format!("{error:#}")))?;
        Ok(Exit::Success)
    }
}

/// The page of a command and, below it, those of its commands.
fn write(command: &clap::Command, parent: Option<&str>, dir: &Path) -> Result<()> {
    let man = Man::new(command.clone()).source(concat!("Poolkeeper ", env!("CARGO_PKG_VERSION"))).manual("Poolkeeper");
    let path = dir.join(man.get_filename());
    let text = page(&man, command, parent).with_context(|| format!("cannot write {}", path.display()))?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    command.get_subcommands().filter(|sub| !sub.is_hide_set()).try_for_each(|sub| write(sub, Some(name), dir))
}

/// The library's sections, and some of our own: it fills the lines of examples, as if they were prose.
fn page(man: &Man, command: &clap::Command, parent: Option<&str>) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let mut own = Roff::new();
    if let Some(help) = command.get_after_long_help().or(command.get_after_help()) {
        verbatim(&mut own, &help.to_string());
    }
    match parent {
        None => {
            own.control("SH", ["EXIT STATUS"]);
            for (exit, meaning) in Exit::MEANINGS {
                own.control("TP", []).text([bold(exit.code().to_string())]).text([roman(meaning)]);
            }
        }
        Some(parent) => {
            own.control("SH", ["SEE ALSO"]).control("BR", [parent, "(1)"]);
        }
    }
    own.to_writer(&mut text)?;
    Ok(text)
}

/// The text after a command's options. A line that ends with a colon and begins at the margin is the heading of a section, and
/// all other lines stay as they are.
fn verbatim(page: &mut Roff, help: &str) {
    let mut open = false;
    for line in help.lines() {
        match line.strip_suffix(':').filter(|heading| !heading.starts_with(' ')) {
            Some(heading) => {
                if open {
                    page.control("fi", []);
                }
                page.control("SH", [heading.to_uppercase().as_str()]).control("nf", []);
                open = true;
            }
            None if !open => {
                page.control("SH", ["NOTES"]).control("nf", []).text([roman(line)]);
                open = true;
            }
            None => {
                page.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
            }
        }
    }
    if open {
        page.control("fi", []);
    }
}
