//! A runtime under test, and what the contract must know of it.

use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use poolkeeper::api::pool::EnvVar;
use poolkeeper::clock::{Ids, SystemClock};
use poolkeeper::runtime::docker::{DockerOptions, DockerRuntime, OwnerProcess};
use poolkeeper::runtime::exec::Executor;
use poolkeeper::runtime::pod::PodRuntime;
use poolkeeper::runtime::process::{ProcessExecutor, ProcessOptions, ProcessRuntime};
use poolkeeper::runtime::{Instance, InstanceKey, InstanceSpec, InstanceState, LOCAL_HOST, Observation, Runtime};

use super::fake::FakeRuntime;
use super::program;

/// Longest wait for anything. A condition that takes so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A runtime under test.
pub struct Subject {
    pub name: &'static str,
    pub runtime: Arc<dyn Runtime>,
    pub host: String,
    /// Source of uids.
    pub ids: Ids,
    /// Runs tasks, where the runtime has real ones.
    pub executor: Option<Arc<dyn Executor>>,
    /// True if a task ends when its client hangs up.
    pub hangup_ends_task: bool,
    /// Image of all workers.
    pub image: Option<String>,
    /// The command of a worker that says TEXT and then ends with CODE.
    pub ending: fn(code: i32, text: &str) -> Vec<String>,
    /// Makes a spec one that the runtime refuses.
    pub refuse: fn(&mut InstanceSpec),
    /// Kills an instance behind the runtime's back.
    pub kill: Box<dyn Fn(Instance) -> BoxFuture<'static, ()> + Send + Sync>,
    /// Run directory of Process.
    pub run_dir: Option<tempfile::TempDir>,
    /// Namespace of Pod.
    pub namespace: Option<super::cluster::Namespace>,
}

impl Subject {
    /// The fake.
    pub fn fake() -> Self {
        let fake = FakeRuntime::new(&[LOCAL_HOST], Arc::new(SystemClock::new()), Ids::seeded(7));
        let killer = fake.clone();
        Self {
            name: "fake",
            runtime: Arc::new(fake),
            host: LOCAL_HOST.to_owned(),
            ids: Ids::seeded(8),
            executor: None,
            hangup_ends_task: false,
            image: None,
            ending: |code, text| vec!["exit".to_owned(), code.to_string(), text.to_owned()],
            refuse: |spec| spec.image = Some("no-such-image".to_owned()),
            kill: Box::new(move |instance| {
                killer.kill(&instance.key);
                Box::pin(async {})
            }),
            run_dir: None,
            namespace: None,
        }
    }

    /// Processes on this machine.
    pub async fn process() -> Self {
        let run_dir = tempfile::tempdir().unwrap();
        let runtime = ProcessRuntime::new(process_options(run_dir.path())).await.unwrap();
        Self {
            name: "Process",
            runtime: Arc::new(runtime),
            host: LOCAL_HOST.to_owned(),
            ids: Ids::random(),
            executor: Some(Arc::new(ProcessExecutor)),
            hangup_ends_task: true,
            image: None,
            ending: |code, text| {
                ["sh", "-c", "echo \"$0\"; exit $1", text, &code.to_string()].map(str::to_owned).to_vec()
            },
            refuse: |spec| spec.image = Some("alpine".to_owned()),
            kill: Box::new(|instance| {
                let pid: i32 = instance.handle.id.parse().unwrap();
                rustix::process::kill_process(
                    rustix::process::Pid::from_raw(pid).unwrap(),
                    rustix::process::Signal::KILL,
                )
                .unwrap();
                Box::pin(async {})
            }),
            run_dir: Some(run_dir),
            namespace: None,
        }
    }

    /// Containers of the engine that `docker` would use. None, with a loud line on stderr, if none answers.
    pub async fn docker() -> Option<Self> {
        let ids = Ids::random();
        let options = DockerOptions {
            hosts: Vec::new(),
            installation: ids.uid(),
            // What a test that failed leaves is a leftover to be swept like any other.
            owner_process: OwnerProcess::current(),
        };
        let runtime = DockerRuntime::new(options).unwrap();
        if let Err(why) = runtime.probe(LOCAL_HOST).await {
            assert!(std::env::var_os("POOLKEEPER_REQUIRE_DOCKER").is_none(), "POOLKEEPER_REQUIRE_DOCKER is set: {why}");
            // Past the test harness, which keeps the output of tests that pass to itself.
            let thread = std::thread::current();
            // Past the test harness, which keeps the output of tests that pass to itself.
            let mut stderr = std::io::stderr();
            writeln!(stderr, "SKIPPED: {}: {why}", thread.name().unwrap_or("?")).unwrap();
            return None;
        }
        Some(Self {
            name: "Docker",
            executor: Some(Arc::new(runtime.executor())),
            runtime: Arc::new(runtime),
            host: LOCAL_HOST.to_owned(),
            ids,
            hangup_ends_task: false,
            image: Some("poolkeeper-test:1".to_owned()),
            ending: |code, text| {
                ["sh", "-c", "echo \"$0\"; exit $1", text, &code.to_string()].map(str::to_owned).to_vec()
            },
            refuse: |spec| spec.pod_template = Some(serde_json::Map::new()),
            kill: Box::new(|instance| {
                Box::pin(async move {
                    let kill = tokio::process::Command::new("docker").args(["kill", &instance.handle.id]).output();
                    assert!(kill.await.unwrap().status.success());
                })
            }),
            run_dir: None,
            namespace: None,
        })
    }

    /// Pods of the cluster under test. None, with a loud line on stderr, without one that has nodes.
    pub async fn pod() -> Option<Self> {
        let namespace = super::cluster::Namespace::with_node().await?;
        let (client, ids) = (namespace.client.clone(), Ids::random());
        let runtime = PodRuntime::new(client, ids.uid(), Some(namespace.name.clone()));
        Some(Self {
            name: "Pod",
            runtime: Arc::new(runtime),
            host: LOCAL_HOST.to_owned(),
            ids,
            executor: None,
            hangup_ends_task: false,
            image: Some(super::cluster::IMAGE.to_owned()),
            ending: |code, text| {
                ["sh", "-c", "echo \"$0\"; exit $1", text, &code.to_string()].map(str::to_owned).to_vec()
            },
            refuse: |spec| {
                spec.pod_template = serde_json::json!({"spec": {"restartPolicy": "Always"}}).as_object().cloned();
            },
            kill: Box::new(|instance| {
                Box::pin(async move {
                    let pod = instance.key.instance_name();
                    let kill = ["exec", "-n", &instance.key.namespace, &pod, "--", "kill", "-TERM", "1"];
                    let kill = tokio::process::Command::new("kubectl").args(kill).output().await.unwrap();
                    assert!(kill.status.success(), "{}", String::from_utf8_lossy(&kill.stderr));
                })
            }),
            run_dir: None,
            namespace: Some(namespace),
        })
    }

    /// A key of its own.
    pub fn key(&self) -> InstanceKey {
        let uid = self.ids.uid();
        let namespace = self.namespace.as_ref().map_or("default", |n| &n.name);
        InstanceKey { namespace: namespace.to_owned(), worker: "pool-0".to_owned(), uid }
    }

    /// A worker that waits for tasks.
    pub fn idle(&self) -> InstanceSpec {
        if self.namespace.is_some() {
            // The first process of a Pod can be killed from inside only by a signal that it handles.
            let script = "trap 'exit 143' TERM; while :; do sleep 0.2; done";
            return self.spec(["sh", "-c", script].map(str::to_owned).to_vec());
        }
        self.spec(if self.image.is_some() { vec!["sleep".to_owned(), "infinity".to_owned()] } else { Vec::new() })
    }

    /// A worker with this command.
    pub fn spec(&self, command: Vec<String>) -> InstanceSpec {
        InstanceSpec {
            key: self.key(),
            pool: "pool".to_owned(),
            host: self.host.clone(),
            image: self.image.clone(),
            command,
            args: Vec::new(),
            env: vec![EnvVar { name: "FROM_SPEC".to_owned(), value: "spec value".to_owned() }],
            working_dir: None,
            resources: None,
            mounts: Vec::new(),
            credential: None,
            grace: None,
            protected_for: None,
            pool_uid: "p-1".to_owned(),
            pod_template: None,
        }
    }

    /// Starts a worker that waits for tasks.
    pub async fn started(&self) -> Instance {
        self.brought_up(&self.idle()).await
    }

    /// Starts a worker and waits until it runs or has ended, which a start need not wait for.
    pub async fn brought_up(&self, spec: &InstanceSpec) -> Instance {
        let mut instance = self.runtime.start(spec).await.unwrap();
        let up = async {
            while matches!(instance.state, InstanceState::Starting | InstanceState::NotReady { .. }) {
                tokio::time::sleep(Duration::from_millis(20)).await;
                instance = self.runtime.check(&self.host, &spec.key).await.unwrap().expect("it was started");
            }
            instance
        };
        soon("the start of the worker", up).await
    }

    /// Stops everything and looks that nothing is left.
    pub async fn finish(self) {
        let Observation::Listed(instances) = next(&mut self.runtime.observe(&self.host)).await else {
            panic!("the first observation is no listing");
        };
        for instance in instances {
            self.runtime.stop(&instance.host, &instance.key).await.unwrap();
        }
        if let Some(run_dir) = &self.run_dir {
            let left: Vec<_> = std::fs::read_dir(run_dir.path().join("workers")).unwrap().collect();
            assert!(left.is_empty(), "left behind: {left:?}");
        }
        if let Some(namespace) = self.namespace {
            namespace.delete().await;
        }
    }
}

/// The binary under test as shim, in this run directory.
pub fn process_options(run_dir: &std::path::Path) -> ProcessOptions {
    let mut options = ProcessOptions::new(run_dir, "test-installation");
    options.binary = Some(program::binary());
    options.kill_grace = Duration::from_millis(500);
    options
}

/// What happens within the time that anything may take.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// The next observation.
pub async fn next(observations: &mut BoxStream<'static, Observation>) -> Observation {
    soon("an observation", observations.next()).await.expect("observing never ends")
}

/// Waits until an observer sees an instance in a state that is wanted. A listing counts as well as a change.
pub async fn state_of(
    observations: &mut BoxStream<'static, Observation>,
    key: &InstanceKey,
    wanted: impl Fn(&InstanceState) -> bool,
) -> InstanceState {
    let wait = async {
        loop {
            let instances = match next(observations).await {
                Observation::Listed(instances) => instances,
                Observation::Changed(instance) => vec![instance],
                _ => Vec::new(),
            };
            if let Some(found) = instances.into_iter().find(|i| i.key == *key && wanted(&i.state)) {
                return found.state;
            }
        }
    };
    soon("the wanted state of an instance", wait).await
}

/// Waits until a condition holds that is not announced.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(what, wait).await;
}

/// True while this process of the machine runs; a zombie does not.
pub fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next()).is_some_and(|state| state != "Z")
}
