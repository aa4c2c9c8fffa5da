//! Credentials on a local server of processes: as files, as directories, and with a new value.
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use poolkeeper_testkit::local_server::{Rig, until};
use serde_json::json;

use crate::PROGRAM;
use crate::changing::{hold, object};
use crate::get::create_pool;

/// A directory in memory, as a login session has one.
pub fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

/// Starts the server with a directory in memory.
pub fn up_with(rig: &Rig, runtime_dir: &tempfile::TempDir) {
    let mut up = rig.command(&["up"]);
    assert!(up.env("XDG_RUNTIME_DIR", runtime_dir.path()).status().unwrap().success());
}

/// What a script prints in the worker of a task that is held.
pub fn says(rig: &Rig, task: &str, script: &str) -> String {
    rig.run(&["exec", &format!("task/{task}"), "--", "sh", "-c", script]).exits(0).stdout
}

fn free(rig: &Rig, task: &str) {
    rig.run(&["report", task, "Succeeded"]).exits(0);
}

#[tokio::test]
async fn a_process_reads_its_value_from_a_file_in_memory() {
    let (rig, memory) = (Rig::new(PROGRAM), in_memory());
    up_with(&rig, &memory);
    let token = rig.file("token");
    std::fs::write(&token, "sesame\nopen\n").unwrap();
    let credential = json!({"name": "a", "env": "TOKEN_FILE", "file": "/run/token", "fromFile": token});
    create_pool(&rig, "agents", json!({"max": 1, "credentials": [credential]})).await;
    hold(&rig, "agents", "job").await;
    assert_eq!(says(&rig, "job", "cat $TOKEN_FILE"), "sesame\nopen");
    let path = PathBuf::from(says(&rig, "job", "printf %s $TOKEN_FILE"));
    assert!(path.starts_with(memory.path()), "{path:?}");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o400);
    assert!(!says(&rig, "job", "env").contains("sesame"));
    free(&rig, "job");
    rig.local(&["down", "--force"]).exits(0);
    assert!(!path.exists(), "it goes with the worker");
}

#[tokio::test]
async fn where_there_is_no_memory_for_files_it_is_said_by_name() {
    let rig = Rig::new(PROGRAM);
    let mut up = rig.command(&["up"]);
    assert!(up.env("XDG_RUNTIME_DIR", rig.home().parent().unwrap()).status().unwrap().success());
    let token = rig.file("token");
    std::fs::write(&token, "sesame").unwrap();
    let credential = json!({"name": "a", "env": "TOKEN_FILE", "file": "/run/token", "fromFile": token});
    create_pool(&rig, "agents", json!({"min": 1, "max": 1, "credentials": [credential]})).await;
    until("the pool says why", || {
        let pool = object(&rig, "pool/agents").to_string();
        pool.contains("credential a: ") && pool.contains("is on a disk: file needs a directory in memory")
    });
}

#[tokio::test]
async fn a_process_has_a_login_directory_to_itself() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let login = rig.file("account");
    std::fs::create_dir(&login).unwrap();
    std::fs::write(login.join("auth.json"), "{}").unwrap();
    let flag = format!("a=dir:{}", login.display());
    rig.run(&["create", "pool", "agents", "--max", "3", "--min", "2", "--credential", &flag]).exits(0);
    let pool = object(&rig, "pool/agents");
    assert_eq!(pool["spec"]["credentials"][0]["env"], "CODEX_HOME");
    hold(&rig, "agents", "job").await;
    assert_eq!(says(&rig, "job", "printf %s $CODEX_HOME"), login.canonicalize().unwrap().to_str().unwrap());
    until("the pool says that it has no other directory", || {
        let status = rig.run(&["status", "agents"]).exits(0).stdout;
        status.contains("DirectoryInUse") && status.contains("default/agents-0 has the directory")
    });
    // Another installation does not get it either.
    let other = Rig::new(PROGRAM);
    other.up();
    other.run(&["create", "pool", "agents", "--min", "1", "--credential", &flag]).exits(0);
    until("the pool of the other server says why", || {
        object(&other, "pool/agents").to_string().contains("another worker uses the directory")
    });
    // The directories of the user's own agents are refused, by any way to them.
    let own = rig.file(".claude");
    std::fs::create_dir(&own).unwrap();
    let flag = format!("a=CLAUDE_CONFIG_DIR:dir:{}", own.display());
    let said = rig.run(&["create", "pool", "mine", "--credential", &flag]).exits(2).stderr;
    assert!(said.contains("your own agent uses this directory"), "{said}");
    std::os::unix::fs::symlink(&own, rig.file("link")).unwrap();
    let flag = format!("a=CLAUDE_CONFIG_DIR:dir:{}", rig.file("link").display());
    rig.run(&["create", "pool", "mine", "--min", "1", "--credential", &flag]).exits(0);
    until("the pool says why", || object(&rig, "pool/mine").to_string().contains("set shared: true"));
}

#[tokio::test]
async fn set_gives_a_credential_of_a_secret_another_value() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let flags = ["create", "pool", "agents", "--max", "1", "--credential", "a=TOKEN:env:A_TOKEN_OF_THE_SHELL"];
    rig.run(&flags).exits(0);
    let token = rig.file("token");
    std::fs::write(&token, "sesame open\n\n").unwrap();
    let path = token.to_str().unwrap();
    let said = rig.run(&["credential", "set", "agents/a", "--from-file", path]).exits(0).stderr;
    assert!(said.contains("the value of credential a is stored in key a of Secret agents-credentials\n"), "{said}");
    assert!(!said.contains("sesame"), "{said}");
    hold(&rig, "agents", "job").await;
    assert_eq!(says(&rig, "job", "printf %s \"$TOKEN\""), "sesame open");
    let mut set = rig.poolkeeper(&["credential", "set", "agents/a"]);
    assert!(set.stdin(std::fs::File::open(&token).unwrap()).status().unwrap().success());

    std::fs::write(&token, "sesame\nopen").unwrap();
    for (args, code, words) in [
        (&["agents/a", "--from-file", path][..], 2, "credential a: the value from file"),
        (&["agents/a", "--from-file", "/no/such"], 2, "/no/such: No such file"),
        (&["agents/a", "--from-env", "NO_SUCH_VARIABLE"], 2, "NO_SUCH_VARIABLE is not set"),
        (&["agents/b", "--from-file", path], 3, "pool agents has no credential b; it has a"),
        (&["others/a", "--from-file", path], 3, "others"),
        (&["agents", "--from-file", path], 2, "write POOL/NAME, such as agents/a"),
    ] {
        let said = rig.run(&[&["credential", "set"], args].concat()).exits(code).stderr;
        assert!(said.contains(words) && !said.contains("sesame"), "{args:?}: {said}");
    }
    let elsewhere = json!([
        {"name": "file", "env": "TOKEN", "fromFile": "/srv/token"}, {"name": "env", "env": "TOKEN", "fromEnv": "X"},
        {"name": "command", "env": "TOKEN", "fromCommand": ["true"]}, {"name": "dir", "env": "TOKEN", "directory": {"hostPath": "/srv/a"}},
    ]);
    create_pool(&rig, "others", json!({"max": 1, "credentials": elsewhere})).await;
    for (name, words) in [
        ("file", "write the new one there"),
        ("env", "`poolkeeper local up --env X`"),
        ("command", "the command runs once a minute"),
        ("dir", "log in there again"),
    ] {
        let said = rig.run(&["credential", "set", &format!("others/{name}"), "--from-file", path]).exits(2).stderr;
        assert!(said.contains(words), "{said}");
    }
}
