//! A place to run the binary in, and what must hold after each run.
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use super::program;

/// A scratch directory. The binary runs in `work`, `tmp` is its TMPDIR, and `state` its XDG_STATE_HOME.
pub struct Place {
    dir: tempfile::TempDir,
}

/// What came of a run.
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

#[expect(clippy::return_self_not_must_use, reason = "a chain of checks may end with each")]
impl Ran {
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.status.code(), Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is missing in:\n{}", self.stderr);
        }
        self
    }

    pub fn lines(&self) -> Vec<&str> {
        self.stdout.lines().collect()
    }
}

impl From<Output> for Ran {
    fn from(o: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { status: o.status, stdout: text(o.stdout), stderr: text(o.stderr) }
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("work")).unwrap();
        std::fs::create_dir(dir.path().join("tmp")).unwrap();
        std::fs::create_dir(dir.path().join("state")).unwrap();
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("work").join(name)
    }

    pub fn tmp(&self) -> PathBuf {
        self.dir.path().join("tmp")
    }

    /// Where runs without `--out` have their files.
    pub fn runs(&self) -> PathBuf {
        self.dir.path().join("state/poolkeeper/runs")
    }

    /// Makes a command run in this place, and leave its files there.
    pub fn furnish<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .current_dir(self.path(""))
            .env("TMPDIR", self.tmp())
            .env("XDG_STATE_HOME", self.dir.path().join("state"))
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    /// Makes it a place for other users too.
    pub fn open_to_all(&self) {
        use std::os::unix::fs::PermissionsExt;
        for (path, mode) in [(self.dir.path().to_owned(), 0o755), (self.path(""), 0o777), (self.tmp(), 0o1777)] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        }
    }

    /// `poolkeeper ARGS`, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = program::command(program::binary());
        self.furnish(&mut command).args(args).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// `poolkeeper run --local ARGS`. Afterwards nothing may be left of it. Retries do not wait, unless ARGS say so.
    #[track_caller]
    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"", |_| ())
    }

    #[track_caller]
    pub fn run_with(&self, args: &[&str], stdin: &[u8], change: impl FnOnce(&mut Command)) -> Ran {
        let mut command = self.command(&run_at_once(args));
        if !stdin.is_empty() {
            command.stdin(Stdio::piped());
        }
        change(&mut command);
        let mut child = command.spawn().unwrap();
        if let Some(mut input) = child.stdin.take() {
            input.write_all(stdin).unwrap();
        }
        let ran = Ran::from(child.wait_with_output().unwrap());
        self.is_clean();
        ran
    }

    /// Nothing is left in the temporary directory and the state directory, and no process that knows of this place runs.
    #[track_caller]
    pub fn is_clean(&self) {
        let dirs = [self.tmp(), self.dir.path().join("state")];
        let left: Vec<_> =
            dirs.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap()).map(|e| e.unwrap().path()).collect();
        assert!(left.is_empty(), "left behind: {left:?}");
        assert_eq!(self.processes(), Vec::<String>::new(), "processes are left");
    }

    /// Command lines of the processes whose environment names this place.
    pub fn processes(&self) -> Vec<String> {
        let mark = self.dir.path().to_str().unwrap().as_bytes().to_vec();
        let own = std::process::id().to_string();
        let names = |path: PathBuf| std::fs::read(path).is_ok_and(|text| text.windows(mark.len()).any(|w| w == mark));
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            if pid != own && pid.bytes().all(|b| b.is_ascii_digit()) && names(entry.path().join("environ")) {
                let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                found.push(String::from_utf8_lossy(&line).replace('\0', " "));
            }
        }
        // A process that is just ending has neither.
        found.retain(|line| !line.is_empty());
        found
    }

    /// Starts `poolkeeper run --local ARGS` and reads its standard error up to a line with `word`. Retries do not wait.
    pub fn start_until(&self, args: &[&str], word: &str) -> Started {
        let mut child = self.command(&run_at_once(args)).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        while !seen.contains(word) {
            assert!(stderr.read_line(&mut seen).unwrap() > 0, "{word:?} never came:\n{seen}");
        }
        Started { child, stderr, seen }
    }
}

/// `run --local ARGS`, without a wait before retries unless ARGS say so.
fn run_at_once<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let at_once: &[&str] = if args.contains(&"--backoff") { &[] } else { &["--backoff", "0s"] };
    [&["run", "--local"], at_once, args].concat()
}

/// A run that is under way.
pub struct Started {
    pub child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    seen: String,
}

impl Started {
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub fn end(mut self) -> Ran {
        std::io::Read::read_to_string(&mut self.stderr, &mut self.seen).unwrap();
        let mut ran = Ran::from(self.child.wait_with_output().unwrap());
        ran.stderr = self.seen;
        ran
    }
}

pub fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Polls for what no event tells of. The time is only a bound for what is broken.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..3000 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("not within 30 s: {what}");
}
