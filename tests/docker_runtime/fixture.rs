//! An installation of its own for each test, removed at its end however it ends.

use std::collections::HashMap;
use std::io::Write;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveContainerOptionsBuilder};
use futures::StreamExt;
use futures::stream::BoxStream;
use poolkeeper::api::dispatch::Target;
use poolkeeper::api::names;
use poolkeeper::clock::Ids;
use poolkeeper::runtime::docker::{DockerExecutor, DockerOptions, DockerRuntime, OwnerProcess};
use poolkeeper::runtime::exec::{ExecError, Executor, Output, Task, TaskEnd};
use poolkeeper::runtime::{
    Exit, Instance, InstanceKey, InstanceSpec, InstanceState, LOCAL_HOST, Observation, Runtime, RuntimeError,
};
use tokio::sync::OnceCell;

pub const IMAGE: &str = "poolkeeper-test:1";
/// No shell, no /tmp: /sleep, /cat and /tee.
pub const BARE: &str = "poolkeeper-bare:1";
/// A condition that is not met by then will not be.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Fixture {
    pub runtime: DockerRuntime,
    pub executor: DockerExecutor,
    pub installation: String,
    pub docker: Docker,
    ids: Ids,
}

/// Written past the test harness, which keeps the output of tests that pass to itself.
pub fn skip(why: &str) {
    let thread = std::thread::current();
    // Past the test harness, which keeps the output of tests that pass to itself.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "SKIPPED: {}: {why}", thread.name().unwrap_or("?")).unwrap();
}

/// A client of the test's own, to look behind the runtime's back.
pub async fn client() -> Docker {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let docker = match host.as_str() {
        "" => Docker::connect_with_unix_defaults(),
        host => Docker::connect_with_host(host),
    };
    docker.unwrap().negotiate_version().await.unwrap()
}

impl Fixture {
    /// None: there is no engine, and the test is skipped.
    pub async fn new() -> Option<Self> {
        static ENGINE: OnceCell<Result<String, RuntimeError>> = OnceCell::const_new();
        let ids = Ids::random();
        let installation = ids.uid();
        let options = |installation: &str| DockerOptions {
            hosts: vec![],
            installation: installation.to_owned(),
            owner_process: OwnerProcess::current(),
        };
        let engine = ENGINE.get_or_init(async || DockerRuntime::new(options("none")).unwrap().probe(LOCAL_HOST).await);
        if let Err(why) = engine.await {
            assert!(std::env::var_os("POOLKEEPER_REQUIRE_DOCKER").is_none(), "POOLKEEPER_REQUIRE_DOCKER is set: {why}");
            skip(&why.to_string());
            return None;
        }
        let runtime = DockerRuntime::new(options(&installation)).unwrap();
        Some(Self { executor: runtime.executor(), runtime, installation, docker: client().await, ids })
    }

    /// A worker that sleeps.
    pub fn spec(&self) -> InstanceSpec {
        let key = InstanceKey { namespace: "default".into(), worker: "run-0".into(), uid: self.ids.uid() };
        InstanceSpec {
            key,
            pool: "run".into(),
            host: LOCAL_HOST.into(),
            image: Some(IMAGE.into()),
            command: vec![],
            args: vec![],
            env: vec![],
            working_dir: None,
            resources: None,
            mounts: vec![],
            credential: None,
            grace: None,
            protected_for: None,
            pool_uid: "p-1".to_owned(),
            pod_template: None,
        }
    }

    /// One that runs `script`.
    pub fn script(&self, script: &str) -> InstanceSpec {
        InstanceSpec { command: words(&["sh", "-c", script]), ..self.spec() }
    }

    pub async fn start(&self, spec: &InstanceSpec) -> Instance {
        self.runtime.start(spec).await.unwrap()
    }

    /// A running worker, ready for tasks.
    pub async fn worker(&self) -> (Instance, Target) {
        let instance = self.start(&self.spec()).await;
        let target = self.runtime.target(&instance);
        (instance, target)
    }

    #[allow(clippy::unused_async, reason = "as the others")]
    pub async fn observe(&self) -> Observed {
        Observed(self.runtime.observe(LOCAL_HOST))
    }

    /// How many containers the installation has, by the engine's own word.
    pub async fn count(&self) -> usize {
        containers(&self.docker, &self.installation).await.len()
    }

    pub async fn inspect(&self, instance: &Instance) -> ContainerInspectResponse {
        self.docker.inspect_container(&instance.handle.id, None).await.unwrap()
    }

    /// Runs a task to its end.
    pub async fn exec(&self, target: &Target, task: Task) -> Result<Done, ExecError> {
        let mut running = self.executor.exec(target, task).await?;
        let mut done = Done { stdout: vec![], stderr: vec![], end: TaskEnd::Lost("not yet".into()) };
        while let Some(output) = within(running.output.next()).await {
            match output {
                Output::Stdout(piece) => done.stdout.extend_from_slice(&piece),
                Output::Stderr(piece) => done.stderr.extend_from_slice(&piece),
            }
        }
        done.end = within(running.end).await;
        Ok(done)
    }

    pub async fn sh(&self, target: &Target, script: &str) -> Done {
        self.exec(target, Task { argv: words(&["sh", "-c", script]), ..Task::default() }).await.unwrap()
    }
}

/// A task that has ended.
#[derive(Debug)]
pub struct Done {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub end: TaskEnd,
}

impl Done {
    /// Standard output of a task that succeeded.
    pub fn text(self) -> String {
        assert_eq!(self.end, TaskEnd::Exited(0), "{}", String::from_utf8_lossy(&self.stderr));
        String::from_utf8(self.stdout).unwrap()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let installation = self.installation.clone();
        let clean = async move {
            let docker = client().await;
            for id in containers(&docker, &installation).await {
                let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
                let _ = docker.remove_container(&id, Some(options)).await;
            }
        };
        let run = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(clean);
        std::thread::scope(|scope| drop(scope.spawn(run).join()));
    }
}

async fn containers(docker: &Docker, installation: &str) -> Vec<String> {
    let filters = HashMap::from([("label", vec![format!("{}={installation}", names::INSTALLATION)])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    docker.list_containers(Some(options)).await.unwrap().into_iter().filter_map(|c| c.id).collect()
}

/// What the runtime reports, waited for.
pub struct Observed(pub BoxStream<'static, Observation>);

impl Observed {
    pub async fn next(&mut self) -> Observation {
        self.until(Some).await
    }

    /// The first that fits; what comes before it is passed over.
    pub async fn until<T>(&mut self, fits: impl Fn(Observation) -> Option<T>) -> T {
        let found = async {
            while let Some(seen) = self.0.next().await {
                if let Some(found) = fits(seen) {
                    return found;
                }
            }
            panic!("observing ended");
        };
        within(found).await
    }

    pub async fn listed(&mut self) -> Vec<Instance> {
        self.until(|seen| if let Observation::Listed(list) = seen { Some(list) } else { None }).await
    }

    pub async fn unreachable(&mut self) -> String {
        self.until(|seen| if let Observation::Unreachable(why) = seen { Some(why) } else { None }).await
    }

    /// Waits for the change of an instance to `Exited`.
    pub async fn exited(&mut self, key: &InstanceKey) -> Exit {
        self.until(|seen| match seen {
            Observation::Changed(Instance { key: seen, state: InstanceState::Exited(exit), .. }) if seen == *key => {
                Some(exit)
            }
            _ => None,
        })
        .await
    }

    pub async fn gone(&mut self, key: &InstanceKey) {
        self.until(|seen| (seen == Observation::Gone(key.clone())).then_some(())).await;
    }
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("nothing came within a minute")
}
