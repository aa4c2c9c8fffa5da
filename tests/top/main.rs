//! `poolkeeper top` on a terminal (tmux), against a local server with workers that are processes.
//!
//! Without tmux the tests are skipped, and say so; with POOLKEEPER_REQUIRE_TMUX they fail.
#![allow(clippy::unwrap_used)]

mod terminal;

use poolkeeper_testkit::local_server::{Rig, until};

use crate::terminal::Terminal;

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_poolkeeper");

/// Two pools: in one both workers are busy and a dispatch waits; the other is paused. One credential rests.
fn rig() -> Rig {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let script = "set -e
        export TOKEN=x
        poolkeeper create pool agents --runtime Process --min 2 --max 2 --credential a=env:TOKEN
        poolkeeper create pool spare --runtime Process --scope Credential --credential b=env:TOKEN
        poolkeeper pause spare
        poolkeeper acquire agents --task first --wait 1m -o json
        poolkeeper acquire agents --task second --wait 1m -o json
        poolkeeper cooldown b --for 3h --pool spare
        poolkeeper acquire agents --task third --wait 50m -o json >/dev/null 2>&1 &
        until poolkeeper get dispatch third; do sleep 0.05; done
        kill -9 $!";
    let output = rig.shell("bash", script).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    rig
}

#[test]
fn the_tables_at_80_by_24_and_all_at_once_at_200_by_50() {
    let Some(terminal) = Terminal::open() else { return };
    let rig = rig();
    terminal.run(&rig, 80, 24, "poolkeeper top");
    terminal.shows(&[
        ">1 Pools 2 2 Workers 2 3 Dispatches 3 4 Credentials 2",
        "agents Busy 0 2 0 0 0 1 2 2 all workers",
        "Tab next table / filter s sort Enter details ? help q quit",
    ]);
    terminal.keys(&["Tab"]);
    terminal.shows(&["NAME PHASE FOR TASK RESTS CREDENTIAL HOST DONE"]);
    terminal.shows_in_any_order(&["agents-0 Busy T", "agents-1 Busy T", " first a local 1", " second a local 1"]);
    terminal.keys(&["Tab"]);
    terminal.shows(&["third agents Queued T 0 1 all workers are busy: 2"]);
    terminal.keys(&["G", "Enter"]);
    terminal.shows(&[
        "Dispatch default/third",
        "Waits for all workers are busy: 2 busy of max 2 (raise spec.max for more)",
        "Reason Busy",
    ]);
    // A key that follows Escape at once would be another one with Alt.
    terminal.keys(&["Escape"]);
    terminal.shows(&[">3 Dispatches 3"]);
    terminal.keys(&["4"]);
    terminal.shows(&["b Resting T 0 0 0 spare set by hand"]);
    terminal.keys(&["?"]);
    terminal.shows(&["Keys", "q, Ctrl-C the end"]);
    terminal.keys(&["q"]);

    terminal.resize(200, 50);
    terminal.shows(&[
        "Pools 2",
        "Workers 2",
        "Dispatches 3",
        "third agents Queued T 0 1 all workers are busy: 2 busy of max 2 (raise spec.max for more)",
        ">Credentials 2",
    ]);
    // What happens is seen.
    rig.run(&["cancel", "third"]).exits(0);
    terminal.shows(&["third agents Cancelled T 0"]);
    terminal.keys(&["/", "f", "i", "r", "s", "t", "Enter"]);
    terminal.shows(&["Workers 1", "Dispatches 1"]);
    terminal.resize(40, 10);
    terminal.shows(&["4/4 Credentials 0 /first", "Tab / s Enter ? help q quit"]);
    terminal.keys(&["Escape"]);
    terminal.shows(&["4/4 Credentials 2"]);
    terminal.keys(&["1"]);
    terminal.shows(&["1/4 Pools 2"]);
    terminal.keys(&["q"]);
    terminal.shows(&["ended with 0"]);
}

#[test]
fn details_have_the_events_of_the_object() {
    let Some(terminal) = Terminal::open() else { return };
    let rig = rig();
    rig.run(&["report", "first", "RateLimited", "--retry-after", "10m", "--message", "429: too many requests"])
        .exits(0);
    terminal.run(&rig, 80, 24, "poolkeeper top");
    terminal.shows(&[">1 Pools 2"]);
    // The dispatches are read after the pools, and Enter opens nothing in an empty table.
    terminal.keys(&["3"]);
    terminal.shows(&[">3 Dispatches 3"]);
    terminal.keys(&["/", "f", "i", "r", "s", "t", "Enter"]);
    terminal.shows(&["4 Credentials 0 /first", "first agents Failed"]);
    terminal.keys(&["Enter"]);
    terminal.shows(&[
        "Dispatch default/first",
        "Output its supervisor has it",
        "Event T ago, Warning AttemptLimited: attempt 1",
    ]);
    terminal.keys(&["Escape"]);
    terminal.shows(&["4 Credentials 0 /first"]);
    terminal.keys(&["Escape"]);
    terminal.shows(&[">3 Dispatches 3"]);
    terminal.keys(&["2", "G", "Enter"]);
    terminal.shows(&["Worker default/agents-1", "Events none"]);
    terminal.keys(&["q", "q"]);
    terminal.shows(&["ended with 0"]);
}

#[test]
fn a_lost_server_is_named_and_comes_back() {
    let Some(terminal) = Terminal::open() else { return };
    let rig = rig();
    terminal.run(&rig, 80, 24, "poolkeeper top agents");
    terminal.shows(&[">2 Workers 2"]);
    rig.kill();
    terminal.shows(&["server lost since CLOCK (T):"]);
    terminal.shows(&[">2 Workers 2"]);
    rig.up();
    until("the server is back", || !terminal.screen().contains("server lost"));
    rig.run(&["cancel", "third"]).exits(0);
    terminal.keys(&["3"]);
    terminal.shows(&["third agents Cancelled T 0"]);
    // A signal gives the terminal back, as Ctrl-C does.
    terminal.signal(&rig);
    terminal.shows(&["ended with 130"]);
    terminal.run(&rig, 80, 24, "poolkeeper top");
    terminal.shows(&["Pools 2"]);
    terminal.keys(&["C-c"]);
    terminal.shows(&["ended with 0"]);
}

#[test]
fn colours_are_left_out_if_that_is_asked_for() {
    let Some(terminal) = Terminal::open() else { return };
    let rig = rig();
    terminal.run(&rig, 80, 24, "poolkeeper top");
    terminal.shows(&["agents Busy"]);
    until("there are colours", || terminal.has_colours());
    terminal.keys(&["q"]);
    terminal.shows(&["ended with 0"]);
    terminal.run(&rig, 80, 24, "NO_COLOR=1 poolkeeper top");
    terminal.shows(&["agents Busy"]);
    assert!(!terminal.has_colours());
}

#[test]
fn what_cannot_be_shown_is_refused_before_the_screen_is_taken() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let said = rig.run(&["top"]).exits(2);
    assert!(said.stderr.contains("use `poolkeeper status`"), "{}", said.stderr);
    rig.run(&["top", "agents", "-A"]).exits(2);
    let Some(terminal) = Terminal::open() else { return };
    terminal.run(&rig, 80, 24, "poolkeeper top nope");
    terminal.shows(&["not found", "ended with 3"]);
    terminal.run(&rig, 80, 24, "poolkeeper local down && poolkeeper top");
    terminal.shows(&["ended with 6"]);
}
