//! `poolkeeper local logs`: what the server said in the background.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::SignalKind;

use super::server;
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::cli::{print, signals};

/// The pause between two looks for more.
const PAUSE: Duration = Duration::from_millis(250);

/// Print the log of the server
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  poolkeeper local logs --tail 20 --follow")]
pub struct LogsArgs {
    /// Print only the last lines
    #[arg(long, value_name = "LINES")]
    tail: Option<usize>,
    /// Go on with what is logged from now on, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
}

impl Run for LogsArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let home = server::home_that_is()?;
        let failed = |e: io::Error| Failure::new(Exit::Failed, format!("{}: {e}", home.log().display()));
        let old = from(&home.old_log(), 0).map_err(failed)?;
        let new = from(&home.log(), 0).map_err(failed)?;
        let mut at = new.len() as u64;
        let mut text = old;
        text.extend(new);
        print::data(last_lines(&text, self.tail))?;
        if !self.follow {
            return Ok(Exit::Success);
        }
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        let stop = signals::listen(&kinds, None).map_err(|e| Failure::poolkeeper("listening for signals", e))?;
        while stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_some() {
            // A log that became shorter was put aside.
            if fs::metadata(home.log()).is_ok_and(|log| log.len() < at) {
                at = 0;
            }
            let more = from(&home.log(), at).map_err(failed)?;
            at += more.len() as u64;
            print::data(&more)?;
        }
        Ok(Exit::Interrupted)
    }
}

/// What a file holds from a place on. A file that is not there is empty.
fn from(path: &Path, at: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(content),
        file => {
            let mut file = file?;
            file.seek(SeekFrom::Start(at))?;
            file.read_to_end(&mut content)?;
        }
    }
    Ok(content)
}

/// The last lines of a log, or all of it.
fn last_lines(text: &[u8], count: Option<usize>) -> &[u8] {
    let Some(count) = count else { return text };
    let ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let ends: Vec<usize> = ends.filter(|at| *at < text.len()).collect();
    match (count, ends.len().checked_sub(count)) {
        (0, _) => &[],
        (_, Some(first)) => &text[ends[first]..],
        (_, None) => text,
    }
}

#[cfg(test)]
mod tests {
    use super::last_lines;

    #[test]
    fn the_last_lines_are_whole() {
        let of = |count| String::from_utf8(last_lines(b"a\nb\nc\n", count).to_vec()).unwrap();
        assert_eq!([of(Some(0)), of(Some(1)), of(Some(2))], ["", "c\n", "b\nc\n"]);
        assert_eq!([of(Some(3)), of(Some(9)), of(None)], ["a\nb\nc\n", "a\nb\nc\n", "a\nb\nc\n"]);
    }
}
