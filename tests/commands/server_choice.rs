//! Which server a command talks to, for every combination of what a machine can have.
//!
//! Two servers answer. One is the local server of the user. The other one stands for clusters: each kubeconfig leads to a
//! namespace of its own there, whose only pool has the kubeconfig's name.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kube::api::PostParams;
use kube::{Api, Client};
use poolkeeper::api::ContainerPool;
use poolkeeper_testkit::local_server::{Rig, Said};
use serde_json::{Value, json};

use crate::PROGRAM;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Local {
    Never,
    Up,
    Down,
    Hung,
}

/// `$KUBECONFIG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Unset,
    Empty,
    Missing,
    OneMissing,
    Good,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    local: Local,
    variable: Variable,
    /// `~/.kube/config` exists.
    default: bool,
    /// `$POOLKEEPER_CONTEXT`.
    context_variable: Option<&'static str>,
    /// `--kubeconfig`.
    file_flag: bool,
    /// `--context`.
    context_flag: Option<&'static str>,
    plugin: bool,
}

const NO_SERVER: &str = "6: there is no server to talk to";
const NO_FILE: &str = "6: there is no kubeconfig in which --context could be looked up";

/// What the documentation promises: the pool that is seen, or the exit code and the message.
fn expected(row: Row) -> String {
    let local = || match row.local {
        Local::Never => "6: there is no local server in".to_owned(),
        Local::Up => "local".to_owned(),
        Local::Down => "6: it does not run; start it with `poolkeeper local up`".to_owned(),
        Local::Hung => "6: runs but does not answer".to_owned(),
    };
    let context = row.context_flag.or(row.context_variable);
    let of = |file: &str| match context {
        Some(context) => format!("{file}-{context}"),
        None => file.to_owned(),
    };
    if row.file_flag {
        // It is not the local server: a file was named.
        return if context == Some("poolkeeper-local") { "2: poolkeeper-local".to_owned() } else { of("flag") };
    }
    if context == Some("poolkeeper-local") {
        return local();
    }
    if matches!(row.variable, Variable::Good | Variable::OneMissing) {
        return of("variable");
    }
    match (context, row.default) {
        (Some(_), true) => return of("default"),
        (Some(_), false) => return NO_FILE.to_owned(),
        (None, _) => {}
    }
    if row.local != Local::Never && !row.plugin {
        return local();
    }
    if row.default { of("default") } else { NO_SERVER.to_owned() }
}

/// A machine with everything, of which each row sees a part.
struct Machine {
    cluster: Rig,
    up: Rig,
    down: Rig,
    hung: Rig,
}

impl Machine {
    async fn new() -> Self {
        let rigs = [Rig::new(PROGRAM), Rig::new(PROGRAM), Rig::new(PROGRAM), Rig::new(PROGRAM)];
        for rig in &rigs {
            rig.up();
        }
        let [cluster, up, down, hung] = rigs;
        down.kill();
        signal(&hung, rustix::process::Signal::STOP);
        pool(up.client().await, "default", "local").await;
        let kubeconfig: Value = serde_json::from_slice(&std::fs::read(cluster.kubeconfig()).unwrap()).unwrap();
        for file in ["flag", "variable", "default"] {
            let context = |name: &str, namespace: &str| {
                let mut context = kubeconfig["contexts"][0].clone();
                (context["name"], context["context"]["namespace"]) = (name.into(), namespace.into());
                context
            };
            let mut named = kubeconfig.clone();
            let other = format!("{file}-other");
            named["contexts"] = json!([context("main", file), context("other", &other)]);
            named["current-context"] = "main".into();
            std::fs::write(cluster.file(file), named.to_string()).unwrap();
            for namespace in [file, &*other] {
                pool(cluster.client().await, namespace, namespace).await;
            }
        }
        for home in ["without", "with/.kube"] {
            std::fs::create_dir_all(cluster.file(home)).unwrap();
        }
        std::fs::copy(cluster.file("default"), cluster.file("with/.kube/config")).unwrap();
        std::os::unix::fs::symlink(PROGRAM, cluster.file("kubectl-poolkeeper")).unwrap();
        Self { cluster, up, down, hung }
    }

    fn command(&self, row: Row, args: &[&str]) -> Command {
        let file = |name: &str| self.cluster.file(name);
        let program = if row.plugin { file("kubectl-poolkeeper") } else { PathBuf::from(PROGRAM) };
        let home = match row.local {
            Local::Never => file("never"),
            Local::Up => self.up.home(),
            Local::Down => self.down.home(),
            Local::Hung => self.hung.home(),
        };
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null());
        command.env("POOLKEEPER_HOME", home).env("HOME", file(if row.default { "with" } else { "without" }));
        // A variable that Pods have does not make this one.
        command.env("KUBERNETES_SERVICE_HOST", "203.0.113.1").env_remove("KUBECONFIG").env_remove("POOLKEEPER_CONTEXT");
        let paths = |all: &[&Path]| std::env::join_paths(all).unwrap();
        let (missing, good) = (Path::new("/nonexistent/config"), file("variable"));
        match row.variable {
            Variable::Unset => {}
            Variable::Empty => drop(command.env("KUBECONFIG", "")),
            Variable::Missing => drop(command.env("KUBECONFIG", missing)),
            Variable::OneMissing => drop(command.env("KUBECONFIG", paths(&[missing, &good]))),
            Variable::Good => drop(command.env("KUBECONFIG", &good)),
        }
        command.envs(row.context_variable.map(|name| ("POOLKEEPER_CONTEXT", name)));
        if row.file_flag {
            command.arg("--kubeconfig").arg(file("flag"));
        }
        command.args(row.context_flag.into_iter().flat_map(|name| ["--context", name]));
        command
    }

    /// What is wrong with a row.
    fn wrong(&self, row: Row) -> Option<String> {
        let said = Said::of(self.command(row, &["get", "pools", "-o", "name"]).output().unwrap());
        let expected = expected(row);
        let right = match expected.split_once(": ") {
            Some((code, message)) => {
                said.code.to_string() == code && said.stderr.contains(message) && said.stdout.is_empty()
            }
            None => said.code == 0 && said.stdout == format!("containerpool.poolkeeper.dev/{expected}\n"),
        };
        (!right).then(|| format!("{row:?}\n  {expected}\n  {} {}{}", said.code, said.stdout, said.stderr))
    }

    fn check(&self, rows: &[Row]) {
        let next = std::sync::atomic::AtomicUsize::new(0);
        let work = || {
            let take = || rows.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)).copied();
            std::iter::from_fn(take).filter_map(|row| self.wrong(row)).collect::<Vec<_>>()
        };
        let wrong: Vec<String> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        signal(&self.hung, rustix::process::Signal::CONT);
    }
}

fn signal(rig: &Rig, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_raw(rig.pid()).unwrap(), signal).unwrap();
}

async fn pool(client: Client, namespace: &str, name: &str) {
    let pool = json!({
        "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": name},
        "spec": {"runtime": "Process", "max": 1},
    });
    let pools: Api<ContainerPool> = Api::namespaced(client, namespace);
    pools.create(&PostParams::default(), &serde_json::from_value(pool).unwrap()).await.unwrap();
}

const PLAIN: Row = Row {
    local: Local::Never,
    variable: Variable::Unset,
    default: false,
    context_variable: None,
    file_flag: false,
    context_flag: None,
    plugin: false,
};

/// Every combination, without a server that hangs: each of those takes 5 s.
fn table() -> Vec<Row> {
    let mut rows = vec![PLAIN];
    let mut each = |change: &dyn Fn(Row, usize) -> Row, count: usize| {
        rows = rows.iter().flat_map(|row| (0..count).map(|i| change(*row, i))).collect();
    };
    each(&|row, i| Row { local: [Local::Never, Local::Up, Local::Down][i], ..row }, 3);
    let variables = [Variable::Unset, Variable::Empty, Variable::Missing, Variable::OneMissing, Variable::Good];
    each(&|row, i| Row { variable: variables[i], ..row }, 5);
    each(&|row, i| Row { default: i == 1, ..row }, 2);
    each(&|row, i| Row { context_variable: [None, Some("other")][i], ..row }, 2);
    each(&|row, i| Row { file_flag: i == 1, ..row }, 2);
    each(&|row, i| Row { context_flag: [None, Some("other"), Some("poolkeeper-local")][i], ..row }, 3);
    each(&|row, i| Row { plugin: i == 1, ..row }, 2);
    rows
}

#[tokio::test]
async fn the_whole_table() {
    let machine = Machine::new().await;
    let rows = table();
    assert_eq!(rows.len(), 720);
    // Every day a seventh, in which each state of one thing meets each of another; all of them in CI.
    let step = if std::env::var_os("POOLKEEPER_WHOLE_TABLE").is_some() { 1 } else { 7 };
    machine.check(&rows.into_iter().step_by(step).collect::<Vec<_>>());
    let by_variable = Row { context_variable: Some("poolkeeper-local"), variable: Variable::Good, ..PLAIN };
    let hung = Row { local: Local::Hung, ..PLAIN };
    machine.check(&[
        Row { local: Local::Up, ..by_variable },
        Row { local: Local::Down, ..by_variable },
        Row { local: Local::Up, context_flag: Some("other"), ..by_variable },
        hung,
        Row { default: true, ..hung },
        Row { context_flag: Some("poolkeeper-local"), variable: Variable::Good, ..hung },
        // These do not ask the one that hangs.
        Row { variable: Variable::Good, ..hung },
        Row { plugin: true, default: true, ..hung },
        Row { file_flag: true, ..hung },
    ]);

    // A command that changes something says where, unless a flag or a variable names the server.
    let says =
        |row: Row, pool: &str| Said::of(machine.command(row, &["pause", pool]).output().unwrap()).exits(0).stderr;
    let up = Row { local: Local::Up, ..PLAIN };
    assert!(says(up, "local").starts_with("poolkeeper: using the local server\n"));
    let text = says(Row { default: true, ..PLAIN }, "default");
    assert!(text.starts_with("poolkeeper: using context main of ") && text.contains("with/.kube/config"), "{text}");
    let named = [
        (Row { context_flag: Some("poolkeeper-local"), ..up }, "local"),
        (Row { context_variable: Some("poolkeeper-local"), ..up }, "local"),
        (Row { variable: Variable::Good, ..up }, "variable"),
        (Row { file_flag: true, ..up }, "flag"),
    ];
    for (row, pool) in named {
        assert!(!says(row, pool).contains("using "), "{row:?}");
    }
}

#[test]
fn uninstall_never_takes_the_local_server() {
    let rig = Rig::new(PROGRAM);
    rig.up();
    let kubeconfig = rig.kubeconfig();
    for args in [&[][..], &["--context", "poolkeeper-local"], &["--kubeconfig", kubeconfig.to_str().unwrap()]] {
        let said = rig.run(&[&["uninstall"], args].concat()).exits(2);
        assert!(said.stderr.contains("`poolkeeper local down --purge` removes it"), "{args:?}: {}", said.stderr);
    }
    rig.run(&["get", "pools"]).exits(0);
}
