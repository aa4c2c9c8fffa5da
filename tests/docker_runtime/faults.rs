//! Answers that are lost on the way.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::StreamExt;
use poolkeeper::runtime::docker::{DockerOptions, DockerRuntime, Endpoint, HostOptions};
use poolkeeper::runtime::exec::{Executor, Output, Task, TaskEnd};
use poolkeeper::runtime::{InstanceState, LOCAL_HOST, Runtime, StartError};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{UnixListener, UnixStream};

use crate::fixture::{Fixture, Observed, within, words};

/// Instead of losing an answer: cuts the output of tasks.
const CUT: &str = "cut";

/// Passes everything between its socket and the engine's, but, once, not the answer to a request whose first line
/// contains `lose`: the engine does what was requested, and the client gets no answer.
struct Proxy {
    socket: PathBuf,
    lost: Arc<AtomicBool>,
}

impl Proxy {
    fn new(dir: &Path, engine: PathBuf, lose: &'static str) -> Self {
        let socket = dir.join("proxy.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let lost = Arc::new(AtomicBool::new(false));
        let flag = lost.clone();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (engine, flag) = (engine.clone(), flag.clone());
                tokio::spawn(async move {
                    let mut engine = UnixStream::connect(engine).await.unwrap();
                    let mut first = vec![0; 4096];
                    let n = client.read(&mut first).await.unwrap();
                    engine.write_all(&first[..n]).await.unwrap();
                    let line = String::from_utf8_lossy(&first[..n]).lines().next().unwrap_or_default().to_owned();
                    if line.contains("/exec/") && line.contains("/start ") && lose == CUT {
                        // The answer and the first of the output, and then an end as if there were no more.
                        let (mut from_client, mut to_client) = client.split();
                        let (from_engine, mut to_engine) = engine.split();
                        let mut answer = from_engine.take(1024);
                        let input = async {
                            let _ = tokio::io::copy(&mut from_client, &mut to_engine).await;
                            let _ = to_engine.shutdown().await;
                            std::future::pending::<()>().await;
                        };
                        tokio::select! {
                            biased;
                            _ = tokio::io::copy(&mut answer, &mut to_client) => {}
                            () = input => {}
                        }
                        return;
                    }
                    if line.contains(lose) && !flag.swap(true, Ordering::SeqCst) {
                        // The rest of the request, and the start of the answer, which is not passed on.
                        let (mut from_client, _) = client.split();
                        let (mut from_engine, mut to_engine) = engine.split();
                        tokio::select! {
                            biased;
                            _ = from_engine.read_u8() => {}
                            _ = tokio::io::copy(&mut from_client, &mut to_engine) => {}
                        }
                        return;
                    }
                    let _ = copy_bidirectional(&mut client, &mut engine).await;
                });
            }
        });
        Self { socket, lost }
    }
}

/// A runtime of the fixture's installation that reaches its engine through a proxy. None: it cannot be proxied.
fn through_proxy(fx: &Fixture, dir: &Path, lose: &'static str) -> Option<(DockerRuntime, Proxy)> {
    let Ok(Endpoint::Unix(engine)) = Endpoint::find(|name| std::env::var(name).ok()) else {
        crate::fixture::skip("the engine is not on a Unix socket");
        return None;
    };
    let proxy = Proxy::new(dir, engine, lose);
    let endpoint = Some(Endpoint::Unix(proxy.socket.clone()));
    let options = DockerOptions {
        hosts: vec![HostOptions { name: LOCAL_HOST.into(), endpoint }],
        installation: fx.installation.clone(),
        owner_process: None,
    };
    Some((DockerRuntime::new(options).unwrap(), proxy))
}

/// The stream ends without an error. Once the engine notices it gives the exec the code 126, however it ended.
#[tokio::test]
async fn a_task_whose_output_is_cut_off_on_the_way_is_lost() {
    let Some(fx) = Fixture::new().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some((runtime, _proxy)) = through_proxy(&fx, dir.path(), CUT) else { return };
    let (_, target) = fx.worker().await;
    let cut = async |script: &str, stdin: &'static str| {
        let task = Task { argv: words(&["sh", "-c", script]), stdin: stdin.into(), ..Task::default() };
        let mut running = runtime.executor().exec(&target, task).await.unwrap();
        while within(running.output.next()).await.is_some() {}
        within(running.end).await
    };
    let end = cut("while :; do echo line; sleep 0.01; done", "").await;
    assert!(matches!(end, TaskEnd::Lost(_)), "{end:?}");
    let end = cut("read x; i=0; while [ $i -lt 300 ]; do echo line $i; sleep 0.01; i=$((i+1)); done", "x\n").await;
    assert_ne!(end, TaskEnd::Exited(126));
}

/// Another engine may have been asked, or none. The stream of the output is still there.
#[tokio::test]
async fn a_task_whose_start_cannot_be_looked_at_is_followed_by_its_output() {
    let Some(fx) = Fixture::new().await else { return };
    let dir = tempfile::tempdir().unwrap();
    // The first look at the exec.
    let Some((runtime, proxy)) = through_proxy(&fx, dir.path(), "/json ") else { return };
    let (_, target) = fx.worker().await;
    let task = Task { argv: words(&["sh", "-c", "echo begins; exit 4"]), ..Task::default() };
    let mut running = runtime.executor().exec(&target, task).await.unwrap();
    assert!(proxy.lost.load(Ordering::SeqCst));
    assert_eq!(within(running.output.next()).await, Some(Output::Stdout("begins\n".into())));
    assert_eq!(within(running.output.next()).await, None);
    assert_eq!(within(running.end).await, TaskEnd::Exited(4));
}

async fn lose(answer_to: &'static str, state: InstanceState) {
    let Some(fx) = Fixture::new().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some((runtime, proxy)) = through_proxy(&fx, dir.path(), answer_to) else { return };
    let spec = fx.spec();
    let answer = within(runtime.start(&spec)).await;
    assert!(matches!(&answer, Err(StartError::Unknown(why)) if why.contains("proxy.sock")), "{answer:?}");
    assert!(proxy.lost.load(Ordering::SeqCst));
    // The next listing tells, and the next start makes no second one.
    let listed = Observed(runtime.observe(LOCAL_HOST)).listed().await;
    assert_eq!(listed.iter().map(|i| (&i.key, &i.state)).collect::<Vec<_>>(), [(&spec.key, &state)]);
    let instance = runtime.start(&spec).await.unwrap();
    assert_eq!((&instance.state, &instance.handle.id), (&InstanceState::Running, &listed[0].handle.id));
    assert_eq!(fx.count().await, 1);
    let argv = runtime.target(&instance).argv;
    assert_eq!(argv[..3], ["docker".to_owned(), "-H".to_owned(), format!("unix://{}", proxy.socket.display())]);
}

#[tokio::test]
async fn an_answer_to_create_that_is_lost() {
    lose("/containers/create", InstanceState::Starting).await;
}

#[tokio::test]
async fn an_answer_to_start_that_is_lost() {
    lose("/start ", InstanceState::Running).await;
}
