//! `DIR/report.html`: what a run did over time, as one page for a browser.
//!
//! The steps of the run are in its directory, so the page is there after a run that was interrupted or failed, and covers the
//! runs that a resumed one goes on with. Nothing here lets a run fail.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use clap::ValueEnum;

use crate::api::pool::Credential;
use crate::dashboard::step::Step;
use crate::dashboard::timeline::Timeline;
use crate::dashboard::view::{Output, Tail};
use crate::dashboard::{page, redact};
use crate::runtime::credentials::{self, Ending, Redactor, Secret};
use crate::supervisor::batch::outdir::{self, RunDir};

/// How much of the end of a stream is shown, in bytes.
const TAIL: usize = 4096;
/// How much is read: a secret that begins before what is shown is recognised.
const READ: u64 = 4 * 4096;
/// How much of all outputs together is shown, in bytes. Of the attempts that succeeded the oldest go without.
const ALL_TAILS: usize = 8 * 1024 * 1024;

/// What the page of a run holds.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReportKind {
    /// All attempts, and the ends of their outputs.
    #[default]
    Full,
    /// All attempts, and nothing that they printed.
    NoOutput,
    /// No page is written.
    None,
}

/// The page that a run will leave.
pub(super) struct Report {
    dir: Arc<RunDir>,
    kind: ReportKind,
    /// Those whose values this process can read.
    credentials: Vec<Credential>,
}

impl Report {
    /// Of a run with this directory. None: it leaves no page.
    pub fn of(dir: &Arc<RunDir>, kind: ReportKind, credentials: &[Credential]) -> Option<Self> {
        let wanted = dir.is_persistent() && kind != ReportKind::None;
        // A command is not run again for this: it would make a new value.
        let readable = credentials.iter().filter(|credential| credential.from_command.is_empty());
        wanted.then(|| Self { dir: dir.clone(), kind, credentials: readable.cloned().collect() })
    }

    /// Writes it: whole or not at all. Answers where it is.
    ///
    /// # Errors
    /// The steps cannot be read, or the page cannot be written.
    pub async fn write(&self) -> io::Result<PathBuf> {
        let mut secrets = Vec::new();
        for credential in &self.credentials {
            // The run said it, if it could not read one.
            secrets.extend(credentials::resolve(credential).await.ok());
        }
        let (dir, kind) = (self.dir.clone(), self.kind);
        let written = tokio::task::spawn_blocking(move || write(dir.path(), kind, &secrets)).await;
        written.map_err(io::Error::other)?
    }
}

/// Writes the page of the run in a directory: whole or not at all. Answers where it is.
///
/// # Errors
/// No run recorded its steps there, or the page cannot be written.
pub fn write(dir: &Path, kind: ReportKind, secrets: &[Secret]) -> io::Result<PathBuf> {
    let mut timeline = Timeline::default();
    for line in BufReader::new(File::open(outdir::steps(dir))?).split(b'\n') {
        // A run that was killed may have left half a line.
        if let Some(step) = Step::read(&String::from_utf8_lossy(&line?)) {
            timeline.add(&step);
        }
    }
    let with_outputs = kind == ReportKind::Full;
    let tails = if with_outputs { tails(dir, &timeline, secrets) } else { Vec::new() };
    let mut view = timeline.view(tails);
    if !with_outputs {
        view.no_outputs = Some("This page was written without outputs.".to_owned());
    }
    for attempt in &mut view.attempts {
        attempt.message = attempt.message.take().map(|message| shown(message.into_bytes(), secrets));
    }
    for (_, note) in &mut view.notes {
        *note = shown(std::mem::take(note).into_bytes(), secrets);
    }
    let page = page::of(&view)?;
    let path = outdir::report(dir);
    // In the same file system. Two that write at a time do not mix.
    let mut new =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o644)).tempfile_in(dir.join(outdir::OWN))?;
    new.write_all(page.as_bytes())?;
    new.persist(&path)?;
    Ok(path)
}

/// The ends of outputs, as many as there is room for.
fn tails(dir: &Path, timeline: &Timeline, secrets: &[Secret]) -> Vec<Output> {
    let mut room = ALL_TAILS;
    let mut tails = Vec::new();
    for printed in timeline.printed() {
        let Some(files) = below(dir, printed.files) else { continue };
        let of = |name| tail(&files.join(name), secrets).unwrap_or_default();
        let (stdout, stderr) = (of("stdout"), of("stderr"));
        let Some(left) = room.checked_sub(stdout.text.len() + stderr.text.len()) else { break };
        room = left;
        tails.push(Output { attempt: printed.attempt, stdout, stderr });
    }
    tails
}

/// A path in the directory, and nothing outside of it.
fn below(dir: &Path, path: &str) -> Option<PathBuf> {
    let path = Path::new(path);
    path.components().all(|part| matches!(part, Component::Normal(_))).then(|| dir.join(path))
}

fn tail(path: &Path, secrets: &[Secret]) -> io::Result<Tail> {
    // A task may have put a pipe there, and opening that would wait for a writer.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let mut file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    file.seek(SeekFrom::Start(metadata.len().saturating_sub(READ)))?;
    let mut read = Vec::new();
    file.take(READ).read_to_end(&mut read)?;
    let text = shown(read, secrets);
    let mut from = text.len().saturating_sub(TAIL);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    Ok(Tail { text: text.get(from..).unwrap_or_default().to_owned(), bytes: metadata.len() })
}

/// Text of a task without secrets and control characters.
fn shown(mut bytes: Vec<u8>, secrets: &[Secret]) -> String {
    for secret in secrets {
        let (mut ending, mut stream) = (Ending::new(usize::MAX), Redactor::after_a_cut(Some(secret)));
        ending.push(&mut stream, &bytes);
        ending.close(&mut stream);
        bytes = ending.text().into_bytes();
    }
    redact::plain(&redact::redact(&String::from_utf8_lossy(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_into_the_directory_only() {
        let dir = Path::new("/out");
        assert_eq!(below(dir, "line-1/attempt-2"), Some(PathBuf::from("/out/line-1/attempt-2")));
        for path in ["../x", "/etc", "a/../../b", "./a"] {
            assert_eq!(below(dir, path), None, "{path}");
        }
    }

    #[test]
    fn the_end_of_a_file_without_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stdout");
        let secret = Secret::new("sesame-open");
        std::fs::write(&path, format!("{}sesame-open ghp_0123456789abcdefghijABCD\x1b[2J", "x".repeat(9000))).unwrap();
        let tail = tail(&path, &[secret]).unwrap();
        assert_eq!((tail.text.len(), tail.bytes), (TAIL, 9000 + 11 + 1 + 28 + 4));
        assert!(tail.text.ends_with("xxx*** ***\\x1b[2J"), "{}", tail.text);
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        assert!(tail(dir.path(), &[]).is_err());
        let pipe = dir.path().join("stdout");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(tail(&pipe, &[]).is_err());
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("link")).unwrap();
        assert!(tail(&dir.path().join("link"), &[]).is_err());
    }
}
