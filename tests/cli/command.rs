//! A single command: as if it had been run right here.
use crate::support::Place;

fn sh(script: &str) -> [&str; 4] {
    ["--", "sh", "-c", script]
}

#[test]
fn it_ends_as_its_command_does() {
    let place = Place::new();
    let ran = place.run(&sh("echo out; echo err >&2")).exits(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("out\n", "err\n"), "nothing is added");
    place.run(&sh("exit 3")).exits(3);
    place.run(&sh("kill -9 $$")).exits(137);
    place.run(&["--timeout", "300ms", "--", "sleep", "100"]).exits(124).says(&["timed out"]);
}

#[test]
fn it_reads_what_is_piped_in_and_knows_where_it_is() {
    let place = Place::new();
    let script = "cat; echo $POOLKEEPER_TASK_ID $POOLKEEPER_ATTEMPT $POOLKEEPER_WORKER ${TASK-unset} $A; pwd";
    let args = [&["mine", "--env", "A=b"][..], &sh(script)].concat();
    let ran = place.run_with(&args, b"from stdin\n", |_| ()).exits(0);
    let work = place.path("").canonicalize().unwrap();
    assert_eq!(ran.lines(), ["from stdin", "command 1 mine-0 unset b", work.to_str().unwrap()]);
}

#[test]
fn a_command_that_cannot_be_run_is_named() {
    let place = Place::new();
    place.write("text", "not a program");
    place.run(&["--", "no-such-command"]).exits(127).says(&["no-such-command", "not found"]);
    place.run(&["--", "./text"]).exits(126).says(&["./text"]);
}

#[test]
fn a_rate_limit_is_waited_for() {
    let place = Place::new();
    let script = "[ $POOLKEEPER_ATTEMPT = 3 ] || exit 75; echo done";
    let ran = place.run(&[&["--cooldown", "50ms"][..], &sh(script)].concat()).exits(0);
    assert_eq!(ran.stdout, "done\n");
    ran.says(&["attempt 1 rate limited", "attempt 2 rate limited", "pool-0 rests", "3 attempts, 2 rate limits met"]);
    let ran = place.run(&[&["--cooldown", "50ms", "--timeout", "1s"][..], &sh("exit 75")].concat());
    ran.exits(124).says(&["rate limited"]);
}

#[test]
fn a_result_file_goes_before_the_exit_code() {
    let place = Place::new();
    let write = |json: &str, code: i32| format!("printf '%s' '{json}' > \"$POOLKEEPER_RESULT\"; exit {code}");
    place.run(&sh(&write(r#"{"outcome":"Failed","message":"no"}"#, 0))).exits(1);
    place.run(&sh(&write(r#"{"outcome":"Succeeded"}"#, 9))).exits(0);
    let limited = format!(
        "[ $POOLKEEPER_ATTEMPT = 2 ] && exit 0; {}",
        write(r#"{"outcome":"RateLimited","retryAfter":"100ms"}"#, 0)
    );
    // Without the file's word it would rest for an hour.
    place
        .run(&[&["--cooldown", "1h"][..], &sh(&limited)].concat())
        .exits(0)
        .says(&["attempt 1 rate limited; pool-0 rests"]);
    let ran = place.run(&[&["--progress", "lines"][..], &sh(&write(r#"{"outcome":"Fine"}"#, 0))].concat()).exits(1);
    ran.says(&["result file is not valid", "retryAfter"]);
}

#[test]
fn credentials_reach_the_worker_and_nothing_else() {
    let place = Place::new();
    place.write("token", "s3cr3t-from-file\n");
    let script = "echo $TOKEN_A $TOKEN_B $TOKEN_C | tr a-z A-Z";
    let from = |credential: &str| {
        let args = [&["--credential", credential, "--progress", "json", "--out", "out"][..], &sh(script)].concat();
        let ran = place
            .run_with(&args, b"", |c| {
                c.env("TOKEN_A", "s3cr3t-from-env");
            })
            .exits(0);
        let files = std::process::Command::new("grep")
            .args(["-r", "s3cr3t", "out"])
            .current_dir(place.path(""))
            .output()
            .unwrap();
        assert!(!ran.stderr.contains("s3cr3t") && files.stdout.is_empty(), "{}", ran.stderr);
        std::fs::remove_dir_all(place.path("out")).unwrap();
        ran.stdout
    };
    assert_eq!(from("a=env:TOKEN_A"), "S3CR3T-FROM-ENV\n");
    assert_eq!(from("a=TOKEN_B:file:token"), "S3CR3T-FROM-ENV S3CR3T-FROM-FILE\n");
    assert_eq!(from("a=TOKEN_C:command:echo s3cr3t-from-command"), "S3CR3T-FROM-ENV S3CR3T-FROM-COMMAND\n");
}

/// The variable that a value comes from would give every worker every account.
#[test]
fn a_worker_sees_no_variable_of_another_credential() {
    let place = Place::new();
    let script = "echo ${KEY:+key} ${TOKEN_A:+a} ${TOKEN_B:+b} ${OTHER:+other} ${PATH:+path}";
    let credentials = ["--credential", "a=KEY:env:TOKEN_A", "--credential", "b=TOKEN_B:env:TOKEN_B", "--workers", "1"];
    let args = [&credentials[..], &sh(script)].concat();
    let ran = place.run_with(&args, b"", |c| {
        c.env("TOKEN_A", "1").env("TOKEN_B", "2").env("OTHER", "3");
    });
    let seen = ran.exits(0).stdout;
    assert!(["key other path\n", "b other path\n"].contains(&&*seen), "{seen}");
}

#[test]
fn a_credential_that_is_refused_ends_the_run() {
    let place = Place::new();
    place.write("tasks.txt", "1\n2\n3\n");
    let script = r#"echo '{"outcome":"Unauthorized","message":"token expired"}' > "$POOLKEEPER_RESULT""#;
    let args = ["--credential", "a=env:PATH", "--workers", "1", "--tasks", "tasks.txt"];
    place.run(&[&args[..], &sh(script)].concat()).exits(1).says(&["unauthorized", "(a)", "token expired"]);
}

/// A login that worked and then expired is renewed while the run waits for the pool's probe.
#[test]
fn a_credential_that_worked_and_is_refused_is_probed() {
    let place = Place::new();
    let pool = "apiVersion: poolkeeper.dev/v1alpha1\nkind: ContainerPool\nmetadata: {name: p}\n\
         spec: {rateLimit: {parkProbe: PERIOD}}\n";
    place.write("pool.yaml", &pool.replace("PERIOD", "1s"));
    place.write("never.yaml", &pool.replace("PERIOD", "0s"));
    place.write("tasks.txt", "works\nexpired\nrenewed\n");
    let script = r#"test "$TASK" != expired || echo '{"outcome":"Unauthorized"}' > "$POOLKEEPER_RESULT""#;
    let run = |pool: &str| {
        let args = ["-f", pool, "--credential", "a=env:PATH", "--workers", "1", "--tasks", "tasks.txt"];
        place.run(&[&args[..], &sh(script)].concat()).exits(1).stderr
    };
    let said = run("pool.yaml");
    assert!(said.contains("line-3 attempt 1 succeeded"), "{said}");
    let said = run("never.yaml");
    assert!(said.contains("every credential was refused as unauthorized (a)"), "{said}");
}

#[test]
fn the_definitions_are_printed() {
    let place = Place::new();
    let printed = place.command(&["crd"]).output().unwrap();
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(
        printed.status.success()
            && text.contains("containerpools.poolkeeper.dev")
            && text.contains("dispatches.poolkeeper.dev")
    );
}
