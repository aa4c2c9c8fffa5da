//! `kill -9` of poolkeeper in the midst of batches, each followed by the same command with `--resume`.
//!
//! Watches from outside: marks that the tasks leave, result files, and what runs on the machine. `POOLKEEPER_KILLS` sets
//! how often (default 4), `POOLKEEPER_CRASH_SEED` repeats one choice of moments, `POOLKEEPER_CRASH_IMAGE` runs the
//! batches in Docker workers of that image (which needs a shell).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use poolkeeper_testkit::program;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Longest wait for anything. What takes so long has failed.
const PATIENCE: Duration = Duration::from_secs(120);
const TASKS: usize = 40;

/// A task says when it starts and when it ends, and its own name. Every fifth meets a rate limit once in a worker.
const SCRIPT: &str = r#"
me=$POOLKEEPER_TASK_ID.$POOLKEEPER_ATTEMPT.$POOLKEEPER_WORKER.$$
echo "start $POOLKEEPER_TASK_ID $me" >> "$MARKS/log"
sleep 0.2
echo "end $POOLKEEPER_TASK_ID $me" >> "$MARKS/log"
case $POOLKEEPER_TASK_ID in *5) [ -e "$MARKS/$POOLKEEPER_TASK_ID.limited" ] || { : > "$MARKS/$POOLKEEPER_TASK_ID.limited"; exit 75; };; esac
"#;

struct Batch {
    dir: tempfile::TempDir,
    image: Option<String>,
    /// Tasks that had a result when poolkeeper was killed, and how long the log was then.
    done: BTreeMap<String, usize>,
}

impl Batch {
    fn new(image: Option<String>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lines: String = (1..=TASKS).map(|n| format!("task {n}\n")).collect();
        fs::write(dir.path().join("tasks.txt"), lines).unwrap();
        fs::create_dir(dir.path().join("marks")).unwrap();
        fs::write(dir.path().join("marks/log"), "").unwrap();
        Self { dir, image, done: BTreeMap::new() }
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn marks(&self) -> Vec<String> {
        let text = fs::read_to_string(self.dir.path().join("marks/log")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn start(&self) -> Child {
        let marks = self.dir.path().join("marks");
        let mut c = program::command(env!("CARGO_BIN_EXE_poolkeeper"));
        c.args([
            "run",
            "--local",
            "--backoff",
            "0s",
            "--workers",
            "4",
            "--cooldown",
            "1s",
            "--progress",
            "none",
            "--tasks",
        ]);
        c.arg(self.dir.path().join("tasks.txt")).arg("--out").arg(self.out());
        if self.out().exists() {
            c.arg("--resume");
        }
        if let Some(image) = &self.image {
            c.args(["--image", image, "--mount"])
                .arg(format!("{}:/marks:rw", marks.display()))
                .args(["--env", "MARKS=/marks"]);
        } else {
            c.arg("--env").arg(format!("MARKS={}", marks.display()));
        }
        c.args(["--", "sh", "-c", SCRIPT]);
        let err = fs::OpenOptions::new().create(true).append(true).open(self.dir.path().join("stderr")).unwrap();
        c.stdin(Stdio::null()).stdout(Stdio::null()).stderr(err).spawn().unwrap()
    }

    /// Task ids with a result file.
    fn results(&self) -> BTreeSet<String> {
        let Ok(entries) = fs::read_dir(self.out()) else { return BTreeSet::new() };
        let dirs = entries.filter_map(Result::ok).filter(|e| e.path().join("result.json").exists());
        dirs.map(|e| e.file_name().into_string().unwrap()).collect()
    }

    /// Kills poolkeeper when so many more marks were left. False: it ended before.
    fn kill_after(&mut self, child: &mut Child, more: usize) -> bool {
        let before = self.marks().len();
        let deadline = Instant::now() + PATIENCE;
        while self.marks().len() < before + more {
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{status}: {}", self.said());
                return false;
            }
            assert!(Instant::now() < deadline, "no progress: {}", self.said());
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let len = self.marks().len();
        for id in self.results() {
            self.done.entry(id).or_insert(len);
        }
        true
    }

    fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default()
    }

    /// What must hold of the marks.
    fn check(&self) {
        let mut last: BTreeMap<&str, &str> = BTreeMap::new();
        let marks = self.marks();
        for (n, mark) in marks.iter().enumerate() {
            let words: Vec<&str> = mark.split(' ').collect();
            let [kind, task, me] = words[..] else { panic!("a torn mark: {mark:?}") };
            if kind == "start" {
                last.insert(task, me);
                // A task that had its result when poolkeeper was killed may still have been marking its end, no more.
                assert!(self.done.get(task).is_none_or(|len| n < *len), "{task} ran again after its result: {mark}");
            } else {
                assert_eq!(last.get(task), Some(&me), "{task} ended after it was started anew: {mark}");
            }
        }
    }
}

/// Command lines of all processes that mention a path.
fn processes(path: &Path) -> Vec<String> {
    let path = path.display().to_string();
    let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = all.filter_map(|e| {
        let state = fs::read_to_string(e.path().join("stat")).ok()?;
        let zombie = state.rsplit(')').next()?.trim_start().starts_with('Z');
        let environ = fs::read(e.path().join("environ")).ok()?;
        let line = [fs::read(e.path().join("cmdline")).ok()?, environ].concat();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        (!zombie && line.contains(&path)).then_some(line)
    });
    lines.collect()
}

fn crash(image: Option<String>) {
    let number = |name: &str| std::env::var(name).ok().and_then(|v| v.parse::<u64>().ok());
    let kills = number("POOLKEEPER_KILLS").unwrap_or(4);
    let seed = number("POOLKEEPER_CRASH_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("{kills} kills, POOLKEEPER_CRASH_SEED={seed}, image {image:?}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (mut killed, mut batches) = (0, 0);
    while killed < kills {
        let mut batch = Batch::new(image.clone());
        batches += 1;
        // Each batch is finished in the end, and each gets at most six kills, so both halves of it are hit.
        for _ in 0..6.min(kills - killed) {
            let mut child = batch.start();
            if batch.kill_after(&mut child, rng.random_range(0..16)) {
                killed += 1;
            }
            batch.check();
        }
        let status = batch.start().wait().unwrap();
        assert!(status.success(), "{status}: {}", batch.said());
        batch.check();
        let want: BTreeSet<String> = (1..=TASKS).map(|n| format!("line-{n}")).collect();
        let got: BTreeSet<String> = batch.results().into_iter().collect();
        assert_eq!(got, want, "none is lost");
        for id in &got {
            let text = fs::read_to_string(batch.out().join(id).join("result.json")).unwrap();
            let result: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(result["outcome"], "Succeeded", "{id}: {text}");
        }
        let left = processes(batch.dir.path());
        assert!(left.is_empty(), "left over: {left:#?}");
    }
    println!("{killed} kills in {batches} batches of {TASKS} tasks");
}

#[test]
fn no_task_is_lost_or_run_twice_on_processes() {
    crash(None);
}

#[test]
fn no_task_is_lost_or_run_twice_in_docker() {
    match std::env::var("POOLKEEPER_CRASH_IMAGE") {
        Ok(image) => crash(Some(image)),
        Err(_) => {
            // Past the test harness, which keeps the output of tests that pass to itself.
            let mut stderr = std::io::stderr();
            writeln!(stderr, "SKIPPED: POOLKEEPER_CRASH_IMAGE names no image to run in (see .ci/run docker)").unwrap();
        }
    }
}
