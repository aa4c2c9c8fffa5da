//! A terminal in tmux, with its server apart from any other.

use std::cell::Cell;
use std::process::{Command, Output};

use poolkeeper_testkit::local_server::{Rig, until};
use regex::Regex;
use tempfile::TempDir;

/// See the module's page.
pub struct Terminal {
    dir: TempDir,
    /// How many tmux servers there were. Each has a socket of its own: the end of one takes a moment.
    servers: Cell<u32>,
}

impl Terminal {
    /// None, loudly, if there is no tmux.
    pub fn open() -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success()) {
            return Some(Self { dir: tempfile::tempdir().unwrap(), servers: Cell::new(0) });
        }
        assert!(std::env::var_os("POOLKEEPER_REQUIRE_TMUX").is_none(), "there is no tmux");
        eprintln!("SKIPPED: there is no tmux");
        None
    }

    fn socket(&self) -> String {
        self.dir.path().join(format!("tmux-{}", self.servers.get())).display().to_string()
    }

    fn tmux(&self, args: &[&str]) -> Output {
        Command::new("tmux").args(["-S", &self.socket()]).args(args).output().unwrap()
    }

    /// Runs a line of bash on a terminal of its own, and shows its exit code.
    pub fn run(&self, rig: &Rig, width: u16, height: u16, line: &str) {
        self.tmux(&["kill-server"]);
        self.servers.set(self.servers.get() + 1);
        let script = "unset NO_COLOR; exec tmux -S \"$SOCKET\" -f /dev/null new-session -d -s t -x \"$WIDTH\" -y \"$HEIGHT\" \
            \"bash -c '$LINE; echo ended with \\$?; exec sleep 1000'\"";
        let mut shell = rig.shell("bash", script);
        shell.env("SOCKET", self.socket()).env("LINE", line);
        shell.env("WIDTH", width.to_string()).env("HEIGHT", height.to_string());
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        String::from_utf8(self.tmux(&["capture-pane", "-p", "-t", "t"]).stdout).unwrap()
    }

    /// True if anything on the screen has a colour.
    pub fn has_colours(&self) -> bool {
        let screen = String::from_utf8(self.tmux(&["capture-pane", "-e", "-p", "-t", "t"]).stdout).unwrap();
        Regex::new("\u{1b}\\[([0-9;]*;)?(3[0-7]|4[0-7]|9[0-7]|10[0-7]|38;|48;)").unwrap().is_match(&screen)
    }

    /// The screen with single spaces, and without what is another one at each run: times, and lengths of time.
    fn plain(&self) -> String {
        let clock = Regex::new(r"\d\d:\d\d:\d\d").unwrap();
        let length = Regex::new(r"\b(\d+s|\d+m\d\ds|\d+h\d\dm)\b").unwrap();
        let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let screen = self.screen().lines().map(line).collect::<Vec<_>>().join("\n");
        length.replace_all(&clock.replace_all(&screen, "CLOCK"), "T").into_owned()
    }

    /// Waits until the screen has lines that contain these words, in this order.
    #[track_caller]
    pub fn shows(&self, texts: &[&str]) {
        self.waits_for(texts, |screen| {
            let mut lines = screen.lines();
            texts.iter().all(|text| lines.any(|line| line.contains(text)))
        });
    }

    /// Waits until the screen contains these words.
    #[track_caller]
    pub fn shows_in_any_order(&self, texts: &[&str]) {
        self.waits_for(texts, |screen| texts.iter().all(|text| screen.contains(text)));
    }

    #[track_caller]
    fn waits_for(&self, texts: &[&str], holds: impl Fn(&str) -> bool) {
        let mut last = String::new();
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            until("the screen", || {
                last = self.plain();
                holds(&last)
            });
        }));
        assert!(seen.is_ok(), "expected {texts:#?} on the screen:\n{}", self.plain());
    }

    pub fn keys(&self, keys: &[&str]) {
        for key in keys {
            assert!(self.tmux(&["send-keys", "-t", "t", key]).status.success());
        }
    }

    pub fn resize(&self, width: u16, height: u16) {
        let (width, height) = (width.to_string(), height.to_string());
        assert!(self.tmux(&["resize-window", "-t", "t", "-x", &width, "-y", &height]).status.success());
    }

    /// Ends `top` by SIGTERM.
    pub fn signal(&self, rig: &Rig) {
        let pid = String::from_utf8(self.tmux(&["display-message", "-p", "-t", "t", "#{pane_pid}"]).stdout).unwrap();
        let mut shell =
            rig.shell("bash", "for child in $(cat /proc/$PANE/task/*/children); do kill -TERM $child; done");
        let output = shell.env("PANE", pid.trim()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
