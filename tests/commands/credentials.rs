//! Credentials on a local server of processes: as files, as directories, and with a new value.
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use poolkeeper_testkit::local_server::{Rig, until};
use serde_json::json;

use crate::PROGRAM;
use crate::changing::{hold, object, until_ready};
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

/// Reports that the service refused the credential of a task, which is not retried, and waits until the pool says so.
fn refused(rig: &Rig, task: &str, pool: &str) {
    rig.run(&["report", task, "Unauthorized"]).exits(0);
    until("the credential is parked", || {
        let resting = object(rig, &format!("pool/{pool}"))["status"]["restingCredentials"].clone();
        resting[0]["parked"] == true
    });
    // It is stored before the worker is free.
    until("the worker is idle", || object(rig, &format!("worker/{pool}-0"))["status"]["dispatch"].is_null());
}

#[tokio::test]
async fn a_refused_credential_comes_back_when_its_value_changes() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let file = |name: &str| {
        std::fs::write(rig.file(name), "old\n").unwrap();
        rig.file(name)
    };
    let command = format!("cat {}", file("command").display());
    for (pool, source) in [
        ("file", json!({"fromFile": file("file")})),
        ("secret", json!({"secretKeyRef": {"name": "tokens", "key": "a"}})),
        ("command", json!({"fromCommand": ["sh", "-c", command]})),
    ] {
        let mut credential = json!({"name": "a", "env": "TOKEN"});
        credential.as_object_mut().unwrap().extend(source.as_object().unwrap().clone());
        create_pool(&rig, pool, json!({"max": 1, "rateLimit": {"scope": "Credential"}, "credentials": [credential]}))
            .await;
    }
    std::fs::write(rig.file("old"), "old").unwrap();
    std::fs::write(rig.file("new"), "new").unwrap();
    let set = |value: &str| {
        let path = rig.file(value);
        rig.run(&["credential", "set", "secret/a", "--from-file", path.to_str().unwrap()]).exits(0);
    };
    set("old");
    for pool in ["file", "secret", "command"] {
        let first = format!("{pool}-1");
        hold(&rig, pool, &first).await;
        assert_eq!(says(&rig, &first, "printf %s $TOKEN"), "old");
        if pool == "command" {
            // It runs at once when it is refused, and then once a minute.
            std::fs::write(rig.file("command"), "new\n").unwrap();
            rig.run(&["report", &first, "Unauthorized"]).exits(0);
        } else {
            refused(&rig, &first, pool);
        }
        match pool {
            "file" => std::fs::write(rig.file("file"), "new\n").unwrap(),
            "secret" => set("new"),
            _ => {}
        }
        let second = format!("{pool}-2");
        hold(&rig, pool, &second).await;
        assert_eq!(says(&rig, &second, "printf %s $TOKEN"), "new", "{pool}");
    }
}

#[tokio::test]
async fn a_new_value_replaces_the_workers_that_have_the_old_one() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let token = rig.file("token");
    std::fs::write(&token, "old").unwrap();
    let credential = json!({"name": "a", "env": "TOKEN", "fromFile": token});
    create_pool(&rig, "agents", json!({"min": 2, "max": 2, "credentials": [credential]})).await;
    until_ready(&rig, 2);
    let busy = hold(&rig, "agents", "job").await;
    std::fs::write(&token, "new").unwrap();
    let idle = if busy == "agents-0" { "agents-1" } else { "agents-0" };
    let uid = |worker: &str| object(&rig, &format!("worker/{worker}"))["metadata"]["uid"].clone();
    let (busy_uid, idle_uid) = (uid(&busy), uid(idle));
    until("the idle worker is another one", || ![json!(null), idle_uid.clone()].contains(&uid(idle)));
    assert_eq!(
        (uid(&busy), says(&rig, "job", "printf %s $TOKEN").as_str()),
        (busy_uid.clone(), "old"),
        "a busy one goes on"
    );
    free(&rig, "job");
    until("the other one too", || ![json!(null), busy_uid.clone()].contains(&uid(&busy)));
    hold(&rig, "agents", "next").await;
    assert_eq!(says(&rig, "next", "printf %s $TOKEN"), "new");
}

/// What its own worker writes does not count. What its owner writes does, while the worker is idle.
#[tokio::test]
async fn a_refused_login_comes_back_when_its_owner_logs_in_again() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let account = rig.file("account");
    std::fs::create_dir(&account).unwrap();
    std::fs::write(account.join("auth.json"), "first").unwrap();
    let flag = format!("a=dir:{}", account.display());
    rig.run(&["create", "pool", "agents", "--max", "1", "--scope", "Credential", "--credential", &flag]).exits(0);
    hold(&rig, "agents", "job").await;
    says(&rig, "job", "echo logged out >$CODEX_HOME/auth.json");
    refused(&rig, "job", "agents");
    let looked = || std::fs::read_to_string(rig.home().join("server.log")).unwrap().matches("another value").count();
    std::fs::write(account.join("history.jsonl"), "something").unwrap();
    assert_eq!(looked(), 0, "what the worker wrote brought it back");
    let mut logins = 0;
    until("the account is back", || {
        logins += 1;
        std::fs::write(account.join("auth.json"), format!("login {logins}")).unwrap();
        looked() > 0
    });
    hold(&rig, "agents", "next").await;
}
