//! Tasks in containers.

use bytes::Bytes;
use futures::StreamExt;
use poolkeeper::api::dispatch::Target;
use poolkeeper::runtime::exec::{ExecError, Executor, Output, Task, TaskEnd};
use poolkeeper::runtime::{InstanceSpec, LOCAL_HOST, Runtime};

use crate::fixture::{BARE, Fixture, within, words};

fn task(argv: &[&str]) -> Task {
    Task { argv: words(argv), ..Task::default() }
}

#[tokio::test]
async fn a_task_has_its_arguments_environment_directory_streams_and_code() {
    let Some(fx) = Fixture::new().await else { return };
    let (_, target) = fx.worker().await;
    let script = r#"printf '%s|%s|%s' "$1" "$TASK" "$PWD"; echo oops >&2; exit 7"#;
    let task = Task {
        env: vec![("TASK".into(), "a $HOME\n\"b\" = c".into())],
        working_dir: Some("/tmp".into()),
        ..task(&["sh", "-c", script, "sh", "one  two"])
    };
    let done = fx.exec(&target, task).await.unwrap();
    assert_eq!(String::from_utf8(done.stdout).unwrap(), "one  two|a $HOME\n\"b\" = c|/tmp");
    assert_eq!((done.stderr, done.end), (b"oops\n".to_vec(), TaskEnd::Exited(7)));
}

#[tokio::test]
async fn the_task_sees_all_of_its_input_and_its_end() {
    let Some(fx) = Fixture::new().await else { return };
    let (_, target) = fx.worker().await;
    let pattern: Bytes = (0..5_000_000_u32).map(|i| (i % 251) as u8).collect();
    for size in [0, 1, 2, 3, 4096, 65_536, 70_000, 5_000_000] {
        let stdin = pattern.slice(..size);
        let done = fx.exec(&target, Task { stdin: stdin.clone(), ..task(&["cat"]) }).await.unwrap();
        assert_eq!(done.end, TaskEnd::Exited(0), "{size}");
        assert!(done.stdout == stdin, "{size}: {} bytes came back", done.stdout.len());
    }
    // One that does not want its input is not held up by it.
    let done = fx.exec(&target, Task { stdin: pattern, ..task(&["true"]) }).await.unwrap();
    assert_eq!(done.end, TaskEnd::Exited(0));
}

#[tokio::test]
async fn large_output_arrives_whole_and_a_slow_reader_holds_the_task_back() {
    let Some(fx) = Fixture::new().await else { return };
    let (_, target) = fx.worker().await;
    let done = fx.exec(&target, task(&["seq", "1500000"])).await.unwrap();
    let expected: String = (1..=1_500_000).map(|i| format!("{i}\n")).collect();
    assert!(expected.len() > 10_000_000 && done.text() == expected);

    let script = "dd if=/dev/zero bs=1M count=64 2>/dev/null; touch /tmp/done";
    let mut running = fx.executor.exec(&target, task(&["sh", "-c", script])).await.unwrap();
    let mut bytes = 0;
    let mut take = |output: Option<Output>| match output {
        Some(Output::Stdout(piece)) => bytes += piece.len(),
        other => panic!("{other:?}"),
    };
    take(within(running.output.next()).await);
    // Time enough for 64 MiB, if they were read.
    for _ in 0..10 {
        assert_eq!(fx.sh(&target, "test -e /tmp/done").await.end, TaskEnd::Exited(1));
    }
    while let Some(output) = within(running.output.next()).await {
        take(Some(output));
    }
    assert_eq!((bytes, within(running.end).await), (64 << 20, TaskEnd::Exited(0)));
    assert_eq!(fx.sh(&target, "test -e /tmp/done").await.end, TaskEnd::Exited(0));
}

#[tokio::test]
async fn a_command_that_cannot_run_is_told_from_one_that_failed() {
    let Some(fx) = Fixture::new().await else { return };
    let (_, target) = fx.worker().await;
    let refused = async |task| match fx.exec(&target, task).await {
        Err(ExecError::Command { message, code }) => (code, message),
        other => panic!("{other:?}"),
    };
    let (code, message) = refused(task(&["no-such-program"])).await;
    assert!(code == 127 && message.contains("no-such-program"), "{code} {message}");
    let (code, message) = refused(task(&["/etc/passwd"])).await;
    assert!(code == 126 && message.contains("/etc/passwd"), "{code} {message}");
    let (code, message) = refused(Task { working_dir: Some("/no/such".into()), ..task(&["true"]) }).await;
    assert!(code == 126 && message.contains("/no/such"), "{code} {message}");
    assert_eq!(refused(task(&[])).await.0, 127);
    for code in [0, 1, 126, 127, 255] {
        assert_eq!(fx.sh(&target, &format!("exit {code}")).await.end, TaskEnd::Exited(code));
    }
    assert_eq!(fx.sh(&target, "kill -TERM $$").await.end, TaskEnd::Exited(143));
    // Killed, and the worker lives.
    assert_eq!(fx.sh(&target, "kill -KILL $$").await.end, TaskEnd::Exited(137));
    // One that closes its output and goes on is waited for.
    let done = fx.sh(&target, "exec >&- 2>&-; sleep 1; touch /tmp/late; exit 4").await;
    assert_eq!(done.end, TaskEnd::Exited(4));
    assert_eq!(fx.sh(&target, "test -e /tmp/late").await.end, TaskEnd::Exited(0));
}

#[tokio::test]
async fn a_task_whose_worker_dies_is_lost_and_a_dead_worker_takes_none() {
    let Some(fx) = Fixture::new().await else { return };
    for round in 0..4 {
        let (instance, target) = fx.worker().await;
        let script = "echo running; exec sleep infinity";
        let mut running = fx.executor.exec(&target, task(&["sh", "-c", script])).await.unwrap();
        assert_eq!(within(running.output.next()).await, Some(Output::Stdout("running\n".into())));
        if round % 2 == 0 {
            fx.docker.kill_container(&instance.handle.id, None).await.unwrap();
        } else {
            fx.runtime.stop(LOCAL_HOST, &instance.key).await.unwrap();
        }
        assert_eq!(within(running.output.next()).await, None);
        let end = within(running.end).await;
        assert!(matches!(end, TaskEnd::Lost(_)), "{round}: {end:?}");
        let dead = fx.exec(&target, task(&["true"])).await;
        assert!(matches!(dead, Err(ExecError::Worker(_))), "{round}: {dead:?}");
    }
}

#[tokio::test]
async fn a_task_whose_output_is_not_read_is_lost() {
    let Some(fx) = Fixture::new().await else { return };
    let (_, target) = fx.worker().await;
    let running = fx.executor.exec(&target, task(&["true"])).await.unwrap();
    drop(running.output);
    assert!(matches!(within(running.end).await, TaskEnd::Lost(_)));
}

async fn result_file(fx: &Fixture, target: &Target, parent: &str) -> String {
    let path = fx.executor.result_path(target, "task-42", 1).await.unwrap();
    assert!(path.starts_with(&format!("{parent}.poolkeeper-results/")), "{path}");
    assert_eq!(fx.executor.take_result(target, &path).await, Ok(None));
    let other = fx.executor.result_path(target, "task-42", 2).await.unwrap();
    assert_ne!(path, other);
    path
}

#[tokio::test]
async fn a_result_file_comes_back() {
    let Some(fx) = Fixture::new().await else { return };
    let (instance, target) = fx.worker().await;
    let path = result_file(&fx, &target, "/tmp/").await;
    assert_eq!(fx.sh(&target, "stat -c %a /tmp/.poolkeeper-results").await.text(), "777\n");
    fx.sh(&target, &format!("echo '{{}}' > {path}.new && mv {path}.new {path}")).await.text();
    assert_eq!(fx.executor.take_result(&target, &path).await, Ok(Some(b"{}\n".to_vec())));
    assert_eq!(fx.executor.take_result(&target, &path).await, Ok(None), "taken twice");
    let path = fx.executor.result_path(&target, "task-42", 3).await.unwrap();
    fx.sh(&target, &format!("ln -s /etc/passwd {path}")).await.text();
    assert_eq!(fx.executor.take_result(&target, &path).await, Ok(None));
    fx.runtime.stop(LOCAL_HOST, &instance.key).await.unwrap();
    assert!(matches!(fx.executor.take_result(&target, &path).await, Err(ExecError::Worker(_))));
    assert!(matches!(fx.executor.result_path(&target, "t", 1).await, Err(ExecError::Worker(_))));
}

#[tokio::test]
async fn a_result_file_needs_no_shell_and_no_tmp() {
    let Some(fx) = Fixture::new().await else { return };
    let instance = fx.start(&InstanceSpec { image: Some(BARE.into()), ..fx.spec() }).await;
    let target = fx.runtime.target(&instance);
    let path = result_file(&fx, &target, "/").await;
    let write = Task { stdin: "{\"outcome\":\"Failed\"}".into(), ..task(&["/tee", &path]) };
    assert_eq!(fx.exec(&target, write).await.unwrap().end, TaskEnd::Exited(0));
    let result = fx.executor.take_result(&target, &path).await.unwrap().unwrap();
    assert_eq!(result, b"{\"outcome\":\"Failed\"}");
}

#[tokio::test]
async fn the_target_can_be_used_by_hand() {
    let Some(fx) = Fixture::new().await else { return };
    let (instance, target) = fx.worker().await;
    assert_eq!(target.argv, ["docker", "exec", "-i", &instance.handle.id]);
    let by_hand = tokio::process::Command::new(&target.argv[0]).args(&target.argv[1..]).args(["echo", "hi"]).output();
    assert_eq!(by_hand.await.unwrap().stdout, b"hi\n");
}
