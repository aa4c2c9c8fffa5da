//! Everything a user may get wrong: what, where, and what would be right; and nothing is started.
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;

use crate::support::{BINARY, Place, Ran};

#[test]
fn without_local_it_says_what_is_missing() {
    let place = Place::new();
    let ran = Ran::from(place.command(&["run", "--", "true"]).output().unwrap());
    ran.exits(2).says(&["--local"]);
}

#[test]
fn bad_arguments_are_named() {
    let place = Place::new();
    place.write("one.txt", "one\n");
    for (args, words) in [
        (&["--min", "5", "--workers", "2"][..], &["min must be <= max"][..]),
        (&["--workers", "0"], &["spec.max", "0", "greater than or equal to 1", "--workers"]),
        (&["--workers", "-3"], &["spec.max", "-3", "--workers"]),
        (&["--min", "-1"], &["spec.min", "-1", "--min"]),
        (&["--workers", "many"], &["many", "--workers"]),
        (&["--cooldown", "5 parsecs"], &["spec.cooldown", "5 parsecs", "such as 90s", "--cooldown"]),
        (&["--cooldown", "-5s"], &["spec.cooldown", "-5s", "--cooldown"]),
        (&["--timeout", "5 parsecs"], &["--timeout", "5 parsecs", "such as 90s"]),
        (&["--timeout", "0s"], &["--timeout", "above 0s"]),
        (&["--retry-failed", "-1", "--tasks", "one.txt"], &["--retry-failed", "-1"]),
        (&["--image", ""], &["spec.image", "such as ghcr.io", "--image"]),
        (&["--image", "a", "--runtime", "Process"], &["runtime Process has no image"]),
        (&["--runtime", "Pod"], &["--runtime", "cluster"]),
        (&["--runtime", "vm"], &["--runtime", "Process or Docker"]),
        (&["--mount", "nowhere:/x"], &["--mount nowhere:/x", "does not exist"]),
        (&["--mount", ".:/x"], &["runtime Process has no mounts"]),
        (&["--env", "1A=x"], &["spec.env", "1A", "such as API_TOKEN"]),
        (&["--credential", "a=env:NOT_SET_ANYWHERE"], &["--credential a", "NOT_SET_ANYWHERE is not set"]),
        (&["--credential", "a=file:x"], &["--credential a", "NAME=VAR:file:PATH"]),
        (&["--resume"], &["--out", "--tasks"]),
        (&["--jsonl"], &["--tasks"]),
        (&["Not_A_Name"], &["the name of a pool must"]),
    ] {
        place.run(&[args, &["--", "true"]].concat()).exits(2).says(words);
    }
    place.run(&["--tasks", "one.txt"]).exits(2).says(&["CMD"]);
}

#[test]
fn bad_task_files_are_named_with_their_lines() {
    let place = Place::new();
    place.write("empty.txt", " \n\n");
    place.write("bad.jsonl", "{\"id\":\"a\"}\n{\"id\": \"b\",}\n");
    place.write("twice.jsonl", "{\"id\":\"a\"}\n{}\n{\"id\":\"a\"}\n");
    place.write("nul.txt", "fine\nn\0t fine\n");
    for (file, code, words) in [
        ("none.txt", 3, &["--tasks none.txt", "No such file"][..]),
        (".", 2, &["--tasks .", "is a directory"]),
        ("empty.txt", 2, &["--tasks empty.txt", "no task"]),
        ("bad.jsonl", 2, &["bad.jsonl:2:12", "each line must be a JSON object"]),
        ("twice.jsonl", 2, &["twice.jsonl", "lines 1 and 3", "\"a\""]),
        ("nul.txt", 2, &["nul.txt:2: byte 2 is NUL"]),
    ] {
        let ran = place.run(&["--tasks", file, "--", "sh", "-c", "echo ran >> ran.txt"]).exits(code).says(words);
        assert!(!place.path("ran.txt").exists(), "{}", ran.stderr);
    }
    // Nothing was begun, so the directory can still be used.
    place.run(&["--tasks", "empty.txt", "--out", "out", "--", "true"]).exits(2);
    place.run_with(&["--tasks", "-", "--", "true"], b"\n", |_| ()).exits(2).says(&["standard input", "no task"]);
}

#[test]
fn bad_pool_files_are_named() {
    let place = Place::new();
    let pool = |spec: &str| {
        format!("apiVersion: poolkeeper.dev/v1alpha1\nkind: ContainerPool\nmetadata: {{name: p}}\nspec: {spec}\n")
    };
    place.write("unknown.yaml", &pool("{colour: red}"));
    place.write("deep.yaml", &pool("{rateLimit: {cooldown: 5m}}"));
    place.write("paused.yaml", &pool("{paused: true}"));
    place.write("type.yaml", &pool("{max: lots}"));
    place.write("broken.yaml", "spec: [\n");
    place.write("pod.yaml", "apiVersion: v1\nkind: Pod\n");
    for (file, code, words) in [
        ("unknown.yaml", 2, &["unknown field \"spec.colour\"", "unknown.yaml"][..]),
        ("deep.yaml", 2, &["unknown field \"spec.rateLimit.cooldown\""]),
        ("paused.yaml", 2, &["spec.paused"]),
        ("type.yaml", 2, &["spec.max", "integer", "type.yaml"]),
        ("broken.yaml", 2, &["--file broken.yaml"]),
        ("pod.yaml", 2, &["kind is \"Pod\"", "ContainerPool"]),
        ("none.yaml", 3, &["--file none.yaml", "No such file"]),
    ] {
        place.run(&["-f", file, "--", "true"]).exits(code).says(words);
    }
}

#[test]
fn an_image_without_a_daemon_names_the_way_out() {
    let place = Place::new();
    let socket = format!("unix://{}", place.path("no.sock").display());
    let ran = place.run_with(&["--image", "agent:1", "--", "true"], b"", |c| {
        c.env("DOCKER_HOST", &socket);
    });
    ran.exits(6).says(&["no.sock", "--runtime Process"]);
}

#[test]
fn a_socket_without_permission_names_the_way_out() {
    let place = Place::new();
    // Readable for another user: it runs as one if this is root, which may do everything.
    let root = place.path("");
    let binary = place.path("poolkeeper");
    std::fs::copy(BINARY, &binary).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(place.path("docker.sock")).unwrap();
    std::fs::set_permissions(place.path("docker.sock"), PermissionsExt::from_mode(0o000)).unwrap();
    for dir in [root.parent().unwrap(), &root] {
        std::fs::set_permissions(dir, PermissionsExt::from_mode(0o755)).unwrap();
    }
    std::fs::set_permissions(place.tmp(), PermissionsExt::from_mode(0o1777)).unwrap();
    let mut command = std::process::Command::new(&binary);
    command.args(["run", "--local", "--image", "agent:1", "--", "true"]).current_dir(&root).env("TMPDIR", place.tmp());
    command
        .env("DOCKER_HOST", format!("unix://{}", place.path("docker.sock").display()))
        .stdin(std::process::Stdio::null());
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let ran = Ran::from(command.output().unwrap());
    ran.exits(7).says(&["no permission", "docker.sock", "--runtime Process"]);
    place.is_clean();
}

#[test]
fn a_variable_that_is_not_text_is_called_so() {
    use std::os::unix::ffi::OsStringExt;
    let place = Place::new();
    for (args, words) in [
        (["--env", "ODD"], ["--env ODD", "not UTF-8"]),
        (["--credential", "a=env:ODD"], ["--credential a", "ODD is set, but not UTF-8"]),
        (["--credential", "a=KEY:env:ODD"], ["--credential a", "ODD is set, but not UTF-8"]),
    ] {
        let ran = place.run_with(&[&args[..], &["--", "true"]].concat(), b"", |c| {
            c.env("ODD", std::ffi::OsString::from_vec(b"caf\xe9".to_vec()));
        });
        let ran = ran.exits(2).says(&words);
        assert!(!ran.stderr.contains("caf") && !ran.stderr.contains("not set"), "{}", ran.stderr);
    }
}

/// A variable that was set from a file may end in its newline.
#[test]
fn newlines_at_the_end_of_a_variable_are_no_part_of_a_credential() {
    let place = Place::new();
    let args = ["--credential", "a=KEY:env:TOKEN", "--", "sh", "-c", "printf '[%s]' \"$KEY\" | tr a-z A-Z"];
    for token in ["sesame-open", "sesame-open\n", "sesame-open\n\n", "sesame-open\r\n"] {
        let ran = place
            .run_with(&args, b"", |c| {
                c.env("TOKEN", token);
            })
            .exits(0);
        assert_eq!(ran.stdout, "[SESAME-OPEN]", "{token:?}");
    }
}

#[test]
fn names_of_json_lines_are_known() {
    let place = Place::new();
    for name in ["t.jsonl", "t.ndjson", "t.JSONL", "t.jsonlines"] {
        place.write(name, "{\"id\":\"a\"}\n");
        let ran = place.run(&["--tasks", name, "--", "sh", "-c", "echo $POOLKEEPER_TASK_ID"]).exits(0);
        assert_eq!(ran.stdout, "a\n", "{name}");
    }
}

#[test]
fn the_help_says_what_becomes_of_standard_input() {
    let place = Place::new();
    let help = Ran::from(place.command(&["run", "--help"]).output().unwrap()).exits(0);
    let words = help.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("all of standard input"), "{}", help.stdout);
}
