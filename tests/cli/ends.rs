//! Unwanted ends: Ctrl-C, dead workers, workers that never come.
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{BINARY, Place, Ran, eventually};

#[test]
fn ctrl_c_stops_what_was_started() {
    let place = Place::new();
    place.write("tasks.txt", "1\n2\n3\n4\n5\n6\n");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let args = [
            "--workers",
            "2",
            "--tasks",
            "tasks.txt",
            "--",
            "sh",
            "-c",
            "trap '' INT TERM HUP; echo up >&2; sleep 100",
        ];
        let run = place.start_until(&args, "line-2 attempt 1 →");
        run.signal(signal);
        run.end().exits(130).says(&["interrupted", "tasks: 0 succeeded, 6 not run"]);
        place.is_clean();
    }
}

/// The tests may themselves be started by `nohup`, or in the background of a script: what they start would ignore Ctrl-C too.
#[test]
fn what_tests_start_ignores_no_signal() {
    const INNER: &str = "POOLKEEPER_TEST_IGNORES_SIGNALS";
    let ignored = |status: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim().to_owned();
        u64::from_str_radix(&mask, 16).unwrap() & (1 << (Signal::INT.as_raw() - 1) | 1 << (Signal::HUP.as_raw() - 1))
    };
    if std::env::var_os(INNER).is_some() {
        assert_ne!(ignored(&std::fs::read_to_string("/proc/self/status").unwrap()), 0, "the test is of no use");
        let child = poolkeeper_testkit::program::command("cat").arg("/proc/self/status").output().unwrap();
        assert_eq!(ignored(&String::from_utf8(child.stdout).unwrap()), 0);
        return;
    }
    let again = "trap '' INT HUP; exec \"$0\" --exact ends::what_tests_start_ignores_no_signal";
    let mut command = std::process::Command::new("sh");
    let output = command.args(["-c", again]).arg(std::env::current_exe().unwrap()).env(INNER, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn what_is_ignored_stays_ignored() {
    let place = Place::new();
    // As under nohup: the hangup means nothing, the later one ends it.
    let script =
        "trap '' HUP; \"$0\" run --local --progress lines -- sh -c 'kill -HUP $(cat pid); sleep 0.3; echo alive' &
        echo $! > pid; wait $!";
    let mut command = std::process::Command::new("sh");
    place.furnish(&mut command).args(["-c", script, BINARY]);
    let ran = Ran::from(command.stdin(std::process::Stdio::null()).output().unwrap()).exits(0);
    assert_eq!(ran.stdout, "alive\n");
    place.is_clean();
}

#[test]
fn a_second_ctrl_c_does_not_wait() {
    let place = Place::new();
    // Workers that take their time to end: 2 s between SIGTERM and SIGKILL.
    let run =
        place.start_until(&["--progress", "lines", "--", "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"], "→");
    run.signal(Signal::INT);
    // Signals of one kind that come at the same time are one.
    eventually("the first is seen", || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", run.child.id())).unwrap_or_default();
        status.lines().any(|l| l.starts_with("ShdPnd:") && l.ends_with("0000000000000000"))
    });
    run.signal(Signal::TERM);
    run.end().exits(130);
    eventually("its workers end by themselves", || place.processes().is_empty());
}

#[test]
fn a_lost_worker_is_replaced_and_its_task_tried_again() {
    let place = Place::new();
    place.write("tasks.txt", "1\n");
    // The parent of a task is its worker.
    let script = "[ $POOLKEEPER_ATTEMPT = 2 ] || { kill -9 $PPID; sleep 100; }; echo $POOLKEEPER_ATTEMPT";
    let ran = place.run(&["--tasks", "tasks.txt", "--", "sh", "-c", script]).exits(0);
    assert_eq!(ran.stdout, "2\n");
    ran.says(&["line-1 attempt 1 lost with pool-0", "line-1 attempt 2 succeeded"]);
    place.write("tasks.txt", "1\n2\n");
    let script = "[ $TASK = 1 ] || { kill -9 $PPID; sleep 100; }";
    let ran = place.run(&["--workers", "1", "--tasks", "tasks.txt", "--", "sh", "-c", script]).exits(1);
    assert_eq!(ran.stderr.matches("lost with").count(), 4, "three retries, not more: {}", ran.stderr);
}

/// As under `docker exec`: the leader of the session has no number here, and nothing collects orphans.
#[test]
fn a_lost_worker_is_replaced_in_a_pid_namespace_too() {
    const NAMESPACE: [&str; 7] = ["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc", "sh"];
    let there = std::process::Command::new("unshare").args(NAMESPACE).args(["-c", "true"]).output();
    if !there.is_ok_and(|o| o.status.success()) {
        let mut stderr = std::io::stderr();
        writeln!(stderr, "SKIPPED: cli::ends: unshare of util-linux cannot make a PID namespace here").unwrap();
        return;
    }
    let place = Place::new();
    place.write("tasks.txt", "1\n");
    let task = "[ $POOLKEEPER_ATTEMPT = 2 ] || { kill -9 $PPID; sleep 100; }; echo $POOLKEEPER_ATTEMPT";
    let mut command = std::process::Command::new("unshare");
    place.furnish(&mut command).args(NAMESPACE);
    command.args(["-c", "\"$0\" run --local --backoff 0s --tasks tasks.txt -- sh -c \"$1\"; exit $?", BINARY, task]);
    let ran = Ran::from(command.stdin(std::process::Stdio::null()).output().unwrap()).exits(0);
    assert_eq!(ran.stdout, "2\n");
    place.is_clean();
}

#[test]
fn workers_that_do_not_start_end_the_run_with_the_reason() {
    let place = Place::new();
    let pool =
        "apiVersion: poolkeeper.dev/v1alpha1\nkind: ContainerPool\nmetadata: {name: p}\nspec: {command: [CMD]}\n";
    for (command, words) in [
        ("no-such-worker", &["no worker can be started", "no-such-worker", "not found", "worker start 1 failed"][..]),
        ("sh, -c, echo out of luck; exit 9", &["no worker can be started", "exited with code 9", "out of luck"]),
    ] {
        place.write("pool.yaml", &pool.replace("CMD", command));
        // A short task may be done before its worker's end is seen.
        place.run(&["-f", "pool.yaml", "--", "sleep", "600"]).exits(125).says(words);
    }
    place.write("token", "");
    let ran = place.run(&["--credential", "a=TOKEN:file:token", "--", "true"]).exits(125);
    ran.says(&["no worker can be started", "credential a"]);
}

/// A file that is open for writing cannot be executed, for now: no fault of the command's.
#[test]
fn a_shortage_that_passes_does_not_end_the_batch() {
    let place = Place::new();
    place.write("tasks.txt", "1\n2\n");
    std::fs::copy("/bin/true", place.path("prog")).unwrap();
    let busy = std::fs::File::options().append(true).open(place.path("prog")).unwrap();
    let started = place.start_until(&["--tasks", "tasks.txt", "--", "./prog"], "line-1 attempt 1 →");
    drop(busy);
    started.end().exits(0).says(&["tasks: 2 succeeded"]);
    place.is_clean();
}

#[test]
fn what_a_killed_run_left_of_its_own_goes_with_the_next() {
    let place = Place::new();
    place.write("tasks.txt", "1\n");
    let mut first = place.start_until(&["--tasks", "tasks.txt", "--", "sleep", "100"], "→");
    let living = place.start_until(&["--tasks", "tasks.txt", "--", "sleep", "100"], "→");
    first.child.kill().unwrap();
    first.end();
    let left = || std::fs::read_dir(place.runs()).unwrap().count();
    assert_eq!(left(), 2, "the test is of no use if it left nothing");
    Ran::from(place.command(&["run", "--local", "--", "true"]).output().unwrap()).exits(0);
    let left = left();
    living.signal(Signal::TERM);
    living.end().exits(130);
    assert_eq!(left, 1, "that of the living one stays");
    place.is_clean();
}

/// As a container leaves it that a task ran with `-v $TMPDIR:/out`.
#[test]
fn what_a_task_left_of_another_user_is_named_and_ends_nothing() {
    if !rustix::process::geteuid().is_root() {
        writeln!(std::io::stderr(), "SKIPPED: cli::ends: only root can make a file of another user").unwrap();
        return;
    }
    let place = Place::new();
    place.open_to_all();
    place.write("tasks.txt", "1\n");
    let script = "echo $TMPDIR > there; until [ -e go ]; do :; done";
    let args = ["run", "--local", "--tasks", "tasks.txt", "--out", "out", "--", "sh", "-c", script];
    // Wherever the binary is, that user need not get there.
    let binary = place.path("poolkeeper");
    std::fs::copy(BINARY, &binary).unwrap();
    let nobody = |args: &[&str]| {
        let mut command = std::process::Command::new(&binary);
        command.args(args).current_dir(place.path("")).env("TMPDIR", place.tmp()).stdin(std::process::Stdio::null());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).uid(65534).gid(65534);
        command
    };
    let run = nobody(&args).spawn().unwrap();
    eventually("the task runs", || place.path("there").exists() && place.read("there").ends_with('\n'));
    let theirs = std::path::PathBuf::from(place.read("there").trim_end()).join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    std::fs::write(theirs.join("file"), "").unwrap();
    place.write("go", "");
    let gone = format!("{}/.gone.", place.path("out/.poolkeeper/workers").display());
    Ran::from(run.wait_with_output().unwrap()).exits(0).says(&["tasks: 1 succeeded", "remove it by hand", &gone]);
    // Nor does it keep the next one from running.
    let args = [&args[..2], &["--resume"], &args[2..]].concat();
    Ran::from(nobody(&args).output().unwrap()).exits(0).says(&["1 done before", &gone]);
    place.is_clean();
}

#[test]
fn a_low_limit_of_open_files_is_raised_for_the_run_alone() {
    let place = Place::new();
    place.write("tasks.txt", &"x\n".repeat(12));
    // All of them run at once.
    let task = "ulimit -Sn; echo >> started; until [ $(wc -l < started) -ge 12 ]; do sleep 0.1; done";
    let mut command = std::process::Command::new("sh");
    place.furnish(&mut command).stdin(std::process::Stdio::null());
    let run = "ulimit -Sn 48; exec \"$0\" run --local --workers 12 --tasks tasks.txt -- sh -c \"$1\"";
    let ran = Ran::from(command.args(["-c", run, BINARY, task]).output().unwrap()).exits(0);
    assert_eq!(ran.lines(), ["48"; 12]);
    place.is_clean();
}

/// As while it is being rebuilt: that fails the tasks that start meanwhile, and nothing else.
#[test]
fn a_command_that_is_gone_for_a_while_fails_its_tasks_alone() {
    let place = Place::new();
    place.write("tasks.txt", "slow\nquick\nmissing\nlast\n");
    place.write(
        "prog.new",
        "#!/bin/sh\n[ $TASK != slow ] || { : > up; until [ -e go ]; do sleep 0.05; done; echo slow done; }\n\
        [ $TASK != quick ] || { until [ -e up ]; do sleep 0.05; done; mv prog prog.new; }\n",
    );
    std::fs::set_permissions(place.path("prog.new"), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::rename(place.path("prog.new"), place.path("prog")).unwrap();
    let args = ["--workers", "2", "--tasks", "tasks.txt", "--out", "out", "--", "./prog"];
    let started = place.start_until(&args, "line-3 attempt 1 failed");
    std::fs::rename(place.path("prog.new"), place.path("prog")).unwrap();
    place.write("go", "");
    let ran =
        started.end().exits(1).says(&["line-3 attempt 1 failed", "./prog", "not found", "line-1 attempt 1 succeeded"]);
    assert_eq!(ran.stdout, "slow done\n");
    let result = place.json("out/line-3/result.json");
    assert_eq!((&result["outcome"], &result["exitCode"]), (&"Failed".into(), &127.into()));
    place.is_clean();
    // With retries it may be there again.
    let script = "[ $POOLKEEPER_ATTEMPT = 2 ]";
    place.write("once", "#!/bin/sh\n[ -e again ] || { : > again; rm once; exit 1; }\n");
    std::fs::set_permissions(place.path("once"), PermissionsExt::from_mode(0o755)).unwrap();
    let args = ["--progress", "lines", "--retry-failed", "3", "--tasks", "tasks.txt", "--workers", "1", "--", "./once"];
    let ran = place.run(&args).exits(1);
    assert!(ran.stderr.contains("tasks: 0 succeeded, 4 failed"), "{script}: {}", ran.stderr);
}

/// A time that is over for longer than this tells the engine that it was stopped.
const LATE: Duration = Duration::from_millis(300);

/// Ctrl-Z for longer than `--timeout`, then `fg`: only this process is stopped, its tasks are not.
#[test]
fn a_task_that_ended_in_time_has_ended_in_time() {
    let place = Place::new();
    place.write("tasks.txt", "1\n2\n3\n4\n5\n6\n");
    let script = "echo $TASK >> up; until [ -e go ]; do sleep 0.01; done; echo $TASK; echo $TASK >> ended";
    let args = ["--workers", "6", "--timeout", "3s", "--tasks", "tasks.txt", "--out", "out", "--", "sh", "-c", script];
    let started = place.start_until(&args, "line-6 attempt 1 →");
    let lines = |name: &str| std::fs::read_to_string(place.path(name)).map_or(0, |text| text.lines().count());
    eventually("all run", || lines("up") == 6);
    let begun = Instant::now();
    started.signal(Signal::STOP);
    place.write("go", "");
    eventually("all ended", || lines("ended") == 6);
    // Every task began before. A stopped process shows nothing else to wait for.
    eventually("their time is over", || begun.elapsed() > Duration::from_secs(3) + LATE);
    started.signal(Signal::CONT);
    started.end().exits(0).says(&["tasks: 6 succeeded"]);
    place.is_clean();
}

/// The same while nothing runs: the rest was over before the time was.
#[test]
fn a_rest_that_ended_in_time_is_no_reason_to_give_up() {
    let place = Place::new();
    place.write("tasks.txt", "1\n2\n");
    let script = "[ $TASK = 2 ] || [ $POOLKEEPER_ATTEMPT = 2 ] || exit 75";
    let args = ["--workers", "1", "--cooldown", "1500ms", "--timeout", "2s", "--tasks", "tasks.txt", "--", "sh", "-c"];
    let started = place.start_until(&[&args[..], &[script]].concat(), "rests");
    let begun = Instant::now();
    started.signal(Signal::STOP);
    eventually("the time is over", || begun.elapsed() > Duration::from_secs(2) + LATE);
    started.signal(Signal::CONT);
    started.end().exits(0).says(&["tasks: 2 succeeded"]);
    place.is_clean();
}

#[test]
fn with_few_open_files_fewer_workers_run() {
    let place = Place::new();
    place.write("tasks.txt", &"x\n".repeat(40));
    let mut command = std::process::Command::new("sh");
    command.current_dir(place.path("")).env("TMPDIR", place.tmp()).stdin(std::process::Stdio::null());
    let run = "ulimit -n 128; exec \"$0\" run --local --workers 30 --tasks tasks.txt -- sh -c 'sleep 0.3; echo done'";
    let ran = Ran::from(command.args(["-c", run, BINARY]).output().unwrap()).exits(0);
    assert_eq!(ran.lines().len(), 40);
    ran.says(&["128 open files", "ulimit -n", "tasks: 40 succeeded"]);
    place.is_clean();
    let run = "ulimit -n 32; exec \"$0\" run --local --workers 30 --tasks tasks.txt -- true";
    let mut command = std::process::Command::new("sh");
    command.current_dir(place.path("")).env("TMPDIR", place.tmp()).stdin(std::process::Stdio::null());
    let ran = Ran::from(command.args(["-c", run, BINARY]).output().unwrap());
    ran.exits(2).says(&["32 open files", "ulimit -n"]);
    place.is_clean();
}
