//! A namespace with pools, a supervisor and a recorder; and the verdict on what happened there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt};
use poolkeeper::api::worker::{Handle, WorkerPhase};
use poolkeeper::api::{ContainerPool, Dispatch, Worker, crd, names};
use poolkeeper::local::{Change, Record};
use poolkeeper::runtime::{Instance, InstanceKey, InstanceState, LOCAL_HOST};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::load::{Demand, Load, after};
use crate::recorder::{KINDS, Recorder, Seen};
use poolkeeper_testkit::audit;
use poolkeeper_testkit::audit::evidence::{Evidence, Mark, SECRET};
use poolkeeper_testkit::cluster::Namespace;
use poolkeeper_testkit::fake::{Cause, FakeEvent, What};

/// How often the test looks whether all is done. The waits below are counted in looks and not by a clock: a pause of the
/// whole machine pauses the controllers too, and they have work to do when it continues.
const LOOK: Duration = Duration::from_millis(500);
/// Nothing but Leases is written for so many looks, 7 s: all is quiet. Longer than any wait of these pools.
const QUIET: u32 = 14;
/// Then nothing may be written for so many, 3 s.
const IDLE: u32 = 6;
/// So long the recorder may lag behind the server.
const CATCH_UP: Duration = Duration::from_secs(60);

pub struct Stage {
    pub namespace: Namespace,
    pub recorder: Recorder,
    pub load: Load,
    /// Uids of Pods that were not removed by a controller.
    pub killed: Mutex<BTreeSet<String>>,
    /// Times at which conclusions about choices are not sound.
    pub troubled: Mutex<Vec<(Duration, Duration)>>,
}

/// Installs the kinds.
pub async fn install(client: &Client) {
    static ONCE: OnceLock<tokio::sync::Mutex<bool>> = OnceLock::new();
    let mut done = ONCE.get_or_init(|| tokio::sync::Mutex::new(false)).lock().await;
    if *done {
        return;
    }
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crd::all() {
        let name = crd.metadata.name.clone().unwrap();
        match api.create(&PostParams::default(), &crd).await {
            Ok(_) => {}
            Err(kube::Error::Api(s)) if s.is_already_exists() => {
                let change = json!({"spec": {"versions": serde_json::to_value(&crd.spec.versions).unwrap()}});
                api.patch(&name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
            }
            Err(e) => panic!("{e}"),
        }
        await_condition(api.clone(), &name, conditions::is_crd_established()).await.unwrap();
    }
    // Established is not yet served.
    while Api::<ContainerPool>::all(client.clone()).list(&ListParams::default()).await.is_err()
        || Api::<Worker>::all(client.clone()).list(&ListParams::default()).await.is_err()
        || Api::<Dispatch>::all(client.clone()).list(&ListParams::default()).await.is_err()
    {
        sleep(Duration::from_millis(50)).await;
    }
    *done = true;
}

/// Four pools that differ; `size` is about how many workers each has.
fn pools(size: i32) -> Vec<(&'static str, Value, u32)> {
    let base = json!({
        "image": "registry.test/worker:1", "runtime": "Pod", "cooldown": "1s", "idleTimeout": "4s",
        "rateLimit": {"maxCooldown": "3s", "probeAfter": "500ms"},
        "health": {"interval": "10s", "timeout": "2s", "startTimeout": "30s"},
        "dispatch": {"timeout": "4s"},
        "podTemplate": {"spec": {"nodeSelector": {"type": "kwok"}}},
    });
    let with = |more: Value| {
        let mut spec = base.clone();
        json_patch::merge(&mut spec, &more);
        spec
    };
    let credential =
        |name: &str| json!({"name": name, "env": "TOKEN", "secretKeyRef": {"name": "tokens", "key": name}});
    vec![
        ("elastic", with(json!({"min": 1, "max": size, "warm": 2})), 3),
        ("steady", with(json!({"min": size, "max": size})), 3),
        ("recycling", with(json!({"min": 2, "max": size, "warm": 1, "recycle": {"afterDispatches": 20}})), 2),
        (
            "shared",
            with(json!({
                "min": 2, "max": size, "credentials": [credential("a"), credential("b")],
                "rateLimit": {"scope": "Credential"},
            })),
            1,
        ),
    ]
}

impl Stage {
    /// Pools of about `size` workers each, and a supervisor; `demand` names no pools. None: no cluster.
    pub async fn set(size: i32, demand: Demand) -> Option<Self> {
        let namespace = Namespace::with_kwok().await?;
        let client = &namespace.client;
        install(client).await;
        let recorder = Recorder::start(client, &namespace.name).await;
        let secret = json!({"metadata": {"name": "tokens"}, "stringData": {"a": SECRET, "b": SECRET}});
        Api::namespaced(client.clone(), &namespace.name)
            .create(
                &PostParams::default(),
                &serde_json::from_value::<k8s_openapi::api::core::v1::Secret>(secret).unwrap(),
            )
            .await
            .unwrap();
        let api: Api<ContainerPool> = Api::namespaced(client.clone(), &namespace.name);
        let pools = pools(size);
        for (name, spec, _) in &pools {
            let pool = ContainerPool::new(name, serde_json::from_value(spec.clone()).unwrap());
            api.create(&PostParams::default(), &pool).await.unwrap();
        }
        let pools = pools.iter().map(|(name, _, share)| ((*name).to_owned(), *share)).collect();
        let demand = Demand { pools, ..demand };
        let load = Load::start(demand, &recorder);
        Some(Self { namespace, recorder, load, killed: Mutex::default(), troubled: Mutex::default() })
    }

    /// Removes the Pods, for which a cluster has few places. The namespace cannot be removed without a controller that
    /// removes its Workers' finalizers, and endless attempts would slow down the tests that follow; a test cluster is removed as a whole.
    pub async fn clear(&self) {
        let api: Api<Pod> = Api::namespaced(self.namespace.client.clone(), &self.namespace.name);
        let _ = api.delete_collection(&DeleteParams::default().grace_period(0), &ListParams::default()).await;
    }

    pub fn now(&self) -> Duration {
        self.recorder.start.elapsed()
    }

    /// The current holder of the Lease.
    pub async fn holder(&self) -> Option<String> {
        let api: Api<Lease> = Api::namespaced(self.namespace.client.clone(), &self.namespace.name);
        let lease = api.get_opt("poolkeeper").await.ok()??;
        lease.spec?.holder_identity.filter(|h| !h.is_empty())
    }

    /// Waits until a dispatch that is asked for after a moment is Assigned; gives when it was.
    pub async fn works_since(&self, moment: Duration, limit: Duration) -> Option<Duration> {
        self.recorder.until(limit, |_| self.load.first_assigned_since(moment).is_some()).await;
        self.load.first_assigned_since(moment)
    }

    /// What there is of each kind and phase: as the API server lists it, and as the recorder has seen it.
    pub async fn census(&self) -> String {
        let mut text = String::new();
        for kind in KINDS {
            let phase = |o: &Value| o["status"]["phase"].as_str().unwrap_or_default().to_owned();
            let count = |all: Vec<Value>| {
                let mut phases: BTreeMap<String, usize> = BTreeMap::new();
                for o in all {
                    *phases.entry(phase(&o)).or_default() += 1;
                }
                phases
            };
            let seen = count(self.recorder.all(kind.3));
            let there = match self.recorder.api(kind).list(&ListParams::default()).await {
                Ok(list) => count(list.items.iter().map(|o| serde_json::to_value(o).unwrap()).collect()),
                Err(e) => BTreeMap::from([(e.to_string(), 0)]),
            };
            let _ = writeln!(text, "{}: there {there:?}, seen {seen:?}", kind.3);
        }
        let _ = writeln!(text, "watches begun anew: {:?}", self.recorder.relists());
        text
    }

    /// How long it takes to list all that a controller lists.
    pub async fn listing(&self) -> Duration {
        let (client, ns, all) = (&self.namespace.client, &self.namespace.name, ListParams::default());
        let began = Instant::now();
        Api::<ContainerPool>::namespaced(client.clone(), ns).list(&all).await.unwrap();
        Api::<Worker>::namespaced(client.clone(), ns).list(&all).await.unwrap();
        Api::<Dispatch>::namespaced(client.clone(), ns).list(&all).await.unwrap();
        Api::<Pod>::namespaced(client.clone(), ns).list(&all).await.unwrap();
        began.elapsed()
    }

    /// No more work comes; waits until all is done and quiet, and looks then whether it stays so. Gives when it was quiet.
    async fn wind_down(&self, limit: Duration) -> Option<Duration> {
        self.load.stop();
        let enough = u32::try_from(limit.as_millis() / LOOK.as_millis()).unwrap();
        let (mut last, mut still) = (self.last_write(), 0);
        for look in 0..enough + QUIET {
            sleep(LOOK).await;
            let write = self.last_write();
            still = if write == last { still + 1 } else { 0 };
            last = write;
            if still >= QUIET && (look >= enough || self.is_done()) {
                // What a watch shows late was not written late, be it an Event.
                self.recorder.catch_up(CATCH_UP).await;
                if self.last_write() != write {
                    continue;
                }
                let now = self.now();
                for _ in 0..IDLE {
                    sleep(LOOK).await;
                }
                return Some(now);
            }
        }
        None
    }

    /// Every dispatch is final, every worker is free and up, what goes is gone, and every pool has its size and says so. How
    /// long that takes is also up to kwok.
    fn is_done(&self) -> bool {
        let dispatches: Vec<Dispatch> = self.recorder.all("dispatches");
        let workers: Vec<Worker> = self.recorder.all("workers");
        let pods: Vec<Pod> = self.recorder.all("pods");
        let pools: Vec<ContainerPool> = self.recorder.all("containerpools");
        let is_settled = |p: &ContainerPool| {
            let count = workers.iter().filter(|w| w.spec.pool == p.name_any()).count();
            let want = audit::end::size_at_rest(&p.spec);
            p.status.as_ref().is_some_and(|s| {
                // A start that followed a failed one may have to be waited for.
                s.ready == s.workers && s.queued == 0 && s.start_backoff.is_none() && s.workers == want
            }) && i32::try_from(count) == Ok(want)
        };
        let is_free = |w: &Worker| {
            let up = w.status.as_ref().is_some_and(|s| s.dispatch.is_none() && s.phase == WorkerPhase::Ready);
            up && w.metadata.deletion_timestamp.is_none()
        };
        let is_up = |p: &Pod| p.metadata.deletion_timestamp.is_none() && instance(p).state == InstanceState::Running;
        dispatches.iter().all(|d| d.status.as_ref().is_some_and(|s| s.phase.is_final()))
            && workers.iter().all(is_free)
            && pods.iter().all(is_up)
            && pools.iter().all(is_settled)
    }

    /// The version of what was written last that counts.
    fn last_write(&self) -> Option<u64> {
        self.recorder.last(is_counted)
    }

    /// Ends the work, and judges all that was.
    pub async fn judge(&self, limit: Duration) -> Verdict {
        let asked = self.now();
        let quiet_at = self.wind_down(limit).await;
        let behind = self.recorder.catch_up(CATCH_UP).await;
        let seen: Vec<Seen> = self.recorder.records();
        let pods = self.recorder.all::<Pod>("pods");
        let instances = pods.iter().filter(|p| label(p, names::WORKER_UID).is_some()).map(instance).collect();
        let mut accidents: Vec<String> =
            self.recorder.holes().iter().map(|h| format!("the history has a hole: {h}")).collect();
        let watches = self.recorder.watches();
        accidents.extend(behind.into_iter().map(|what| format!("never recorded: {what}; watches: {watches}")));
        // What was accepted is there, or was removed by its history's limit.
        let known: BTreeSet<&str> =
            seen.iter().filter(|(r, _)| r.resource.plural == "dispatches").map(|(r, _)| r.name.as_str()).collect();
        for name in self.load.accepted().iter().filter(|n| !known.contains(n.as_str())) {
            accidents.push(format!("{name} was accepted and never seen"));
        }
        accidents.extend(workers_before_pods(&seen));
        // The simulated kubelet has not done its part, and a Worker rightly waits for it.
        let terminating = pods.iter().filter(|p| p.metadata.deletion_timestamp.is_some());
        accidents.extend(terminating.map(|p| format!("Pod {} is Terminating: its node leaves it there", p.name_any())));
        let evidence = Evidence {
            marks: marks(&seen),
            events: bodies(&seen, &self.load.events(), &self.killed.lock().unwrap()),
            calm: calm(&self.troubled.lock().unwrap(), quiet_at.unwrap_or_default()),
            calm_but_for_hosts: Vec::new(),
            unreachable: Vec::new(),
            records: seen.into_iter().map(|(record, _)| record).filter(is_judged).collect(),
            instances,
            quiet_at,
            tally: self.load.tally(),
            accidents,
            new_values: Vec::new(),
            clocks_agree: false,
        };
        let (violations, tally) = audit::audit(&evidence);
        if let Some(dir) = std::env::var_os("POOLKEEPER_HISTORY") {
            let path = std::path::Path::new(&dir).join(format!("{}.txt", self.namespace.name));
            std::fs::write(path, history(&evidence, usize::MAX)).unwrap();
        }
        let (dispatches, workers) =
            (self.recorder.all::<Dispatch>("dispatches").len(), self.recorder.all::<Worker>("workers").len());
        let summary = format!(
            "{} writes, {} dispatches accepted ({dispatches} still there), {workers} workers and {} Pods at the end, \
             {} watches begun anew{}; {} s of work, quiet {} s later",
            evidence.records.len(),
            self.load.accepted().len(),
            pods.len(),
            self.recorder.relists().len(),
            if self.recorder.holes().is_empty() { "" } else { " WITH HOLES" },
            asked.as_secs(),
            quiet_at.unwrap_or_default().saturating_sub(asked).as_secs(),
        );
        Verdict { violations, tally, summary, evidence }
    }
}

pub struct Verdict {
    pub violations: Vec<audit::Violation>,
    pub tally: BTreeMap<String, u64>,
    pub summary: String,
    pub evidence: Evidence,
}

impl Verdict {
    /// The violations, one of each rule.
    pub fn text(&self) -> String {
        let (mut text, mut told) = (String::new(), BTreeSet::new());
        for v in self.violations.iter().filter(|v| told.insert(v.rule)) {
            let _ = writeln!(text, "  VIOLATION [{}] after write {}: {}", v.rule, v.at, v.text);
        }
        text
    }

    /// The violations' rules, and the beginning of the first one's text.
    pub fn brief(&self) -> String {
        let rules: BTreeSet<&str> = self.violations.iter().map(|v| v.rule).collect();
        let first: String = self.violations.iter().take(1).flat_map(|v| v.text.chars().take(300)).collect();
        format!("{rules:?}: {first}")
    }

    /// The last writes.
    pub fn tail(&self, count: usize) -> String {
        history(&self.evidence, count)
    }
}

/// The last writes, a line each.
fn history(evidence: &Evidence, count: usize) -> String {
    let mut text = String::new();
    let records = evidence.records.iter().filter(|r| is_counted(r)).collect::<Vec<_>>();
    for r in &records[records.len().saturating_sub(count)..] {
        let at = evidence.marks.get(&r.resource_version).map_or(0.0, |m| m.mono.as_secs_f64());
        let (made, deleting) = (&r.object["metadata"]["creationTimestamp"], &r.object["metadata"]["deletionTimestamp"]);
        let (version, change, kind, status) = (r.resource_version, r.change, &r.resource.plural, &r.object["status"]);
        let _ = writeln!(text, "{at:8.3} {version} {change:?} {kind} {} {made} {deleting} {status}", r.name);
    }
    text
}

fn label<'a>(pod: &'a Pod, key: &str) -> Option<&'a String> {
    pod.metadata.labels.as_ref()?.get(key)
}

fn instance(pod: &Pod) -> Instance {
    let key = InstanceKey {
        namespace: pod.metadata.namespace.clone().unwrap(),
        worker: label(pod, names::WORKER).cloned().unwrap_or_default(),
        uid: label(pod, names::WORKER_UID).cloned().unwrap_or_default(),
    };
    let runs = pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running");
    let state = if runs { InstanceState::Running } else { InstanceState::Starting };
    Instance { key, host: LOCAL_HOST.to_owned(), own: true, handle: Handle::default(), state }
}

/// Events of the scheduler and of kwok are theirs.
fn is_counted(record: &Record) -> bool {
    !matches!(record.resource.plural.as_str(), "leases" | "events" | "pods")
}

fn is_judged(record: &Record) -> bool {
    record.resource.plural != "pods"
        && (record.resource.plural != "events" || record.object["regarding"]["kind"] != "Pod")
}

/// When each write was seen, and the holder of the Lease at that time.
fn marks(seen: &[Seen]) -> BTreeMap<u64, Mark> {
    let mut holder = String::new();
    let mut marks = BTreeMap::new();
    for (record, mono) in seen {
        if record.resource.plural == "leases" {
            record.object["spec"]["holderIdentity"].as_str().unwrap_or_default().clone_into(&mut holder);
        }
        marks.insert(record.resource_version, Mark { mono: *mono, writer: holder.clone() });
    }
    marks
}

/// What Pods tell, among what the supervisor tells.
fn bodies(seen: &[Seen], tasks: &[FakeEvent], killed: &BTreeSet<String>) -> Vec<FakeEvent> {
    let mut made: BTreeMap<String, u32> = BTreeMap::new();
    let mut ordered: BTreeSet<String> = BTreeSet::new();
    let mut events = Vec::new();
    for (record, mono) in seen.iter().filter(|(r, _)| r.resource.plural == "pods") {
        let pod: Pod = serde_json::from_value((*record.object).clone()).unwrap();
        if label(&pod, names::WORKER_UID).is_none() {
            continue;
        }
        let (key, by) = (instance(&pod).key, String::new());
        let mut tell = |what| events.push(after(record.resource_version, what, *mono));
        if record.change == Change::Added {
            let nth = made.entry(key.uid.clone()).or_default();
            *nth += 1;
            let host = LOCAL_HOST.to_owned();
            tell(What::Started { key: key.clone(), host, id: record.name.clone(), nth: *nth, by: by.clone() });
        }
        let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
        if killed.contains(&record.uid) {
            if record.change == Change::Deleted {
                tell(What::Ended { key, cause: Cause::Vanished, lost: Vec::new() });
            }
            continue;
        }
        let stops = pod.metadata.deletion_timestamp.is_some() && record.change != Change::Deleted;
        if stops && ordered.insert(record.uid.clone()) {
            tell(What::Stopped { key: key.clone(), by, ran: true, lost: Vec::new() });
        } else if !ordered.contains(&record.uid) && matches!(phase, Some("Failed" | "Succeeded")) {
            tell(What::Ended { key: key.clone(), cause: Cause::Exited, lost: Vec::new() });
        }
        if record.change == Change::Deleted && ordered.insert(record.uid.clone()) {
            // Without grace: the order and the end are one write.
            tell(What::Stopped { key, by: String::new(), ran: true, lost: Vec::new() });
        }
    }
    events.extend(tasks.iter().cloned());
    events.sort_by_key(|e| e.at);
    // Which tasks an end took with it.
    let mut running: BTreeMap<String, BTreeSet<(String, i32)>> = BTreeMap::new();
    for event in &mut events {
        match &mut event.what {
            What::TaskStarted { key, dispatch, attempt, .. } => {
                running.entry(key.uid.clone()).or_default().insert((dispatch.clone(), *attempt));
            }
            What::TaskEnded { key, dispatch, attempt } => {
                running.entry(key.uid.clone()).or_default().remove(&(dispatch.clone(), *attempt));
            }
            What::Stopped { key, lost, .. } | What::Ended { key, lost, .. } => {
                *lost = running.remove(&key.uid).into_iter().flatten().collect();
            }
            What::Started { .. } | What::PauseSet { .. } => {}
        }
    }
    events
}

/// Workers that were removed although their Pod still existed: the auditor counts a Pod as gone once its deletion was requested.
fn workers_before_pods(seen: &[Seen]) -> Vec<String> {
    let mut there: BTreeSet<String> = BTreeSet::new();
    let mut wrong = Vec::new();
    for (record, _) in seen {
        match record.resource.plural.as_str() {
            "pods" => {
                let uid =
                    record.object["metadata"]["labels"][names::WORKER_UID].as_str().unwrap_or_default().to_owned();
                if record.change == Change::Deleted {
                    there.remove(&uid);
                } else {
                    there.insert(uid);
                }
            }
            "workers" if record.change == Change::Deleted && there.contains(&record.uid) => {
                wrong.push(format!("{} was removed before its Pod", record.name));
            }
            _ => {}
        }
    }
    wrong
}

/// What is left between faults.
fn calm(troubled: &[(Duration, Duration)], end: Duration) -> Vec<(Duration, Duration)> {
    let mut troubled = troubled.to_vec();
    troubled.push((Duration::ZERO, Duration::from_secs(15)));
    troubled.sort();
    let (mut calm, mut free) = (Vec::new(), Duration::ZERO);
    for (from, to) in troubled {
        if from > free {
            calm.push((free, from));
        }
        free = free.max(to);
    }
    if free < end {
        calm.push((free, end));
    }
    calm
}
