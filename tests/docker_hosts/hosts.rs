//! The three engines, and a local server that knows them.
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use poolkeeper_testkit::local_server::{Rig, Said, until};
use serde_json::{Value, json};

use crate::PROGRAM;

pub const IMAGE: &str = "poolkeeper-test:1";
/// The hosts that pools name; the directories of the engines have other names.
pub const NAMES: [&str; 3] = ["local", "tls", "far"];

pub struct Hosts {
    pub dir: PathBuf,
    /// Address of the engine with TLS.
    pub address: String,
    pub rig: Rig,
}

impl Hosts {
    /// None: there are no such engines here, and the test is skipped.
    pub fn find() -> Option<Self> {
        let (Some(dir), Ok(address)) =
            (std::env::var_os("POOLKEEPER_HOSTS_DIR"), std::env::var("POOLKEEPER_HOSTS_ADDRESS"))
        else {
            let why = "POOLKEEPER_HOSTS_DIR is not set: run eval \"$(scripts/docker-hosts-up.sh DIR)\"";
            assert!(std::env::var_os("POOLKEEPER_REQUIRE_DOCKER").is_none(), "{why}");
            // Past the test harness, which keeps the output of tests that pass to itself.
            let mut stderr = std::io::stderr();
            writeln!(stderr, "SKIPPED: {}: {why}", std::thread::current().name().unwrap_or("?")).unwrap();
            return None;
        };
        Some(Self { dir: dir.into(), address, rig: Rig::with_docker(PROGRAM) })
    }

    /// Puts the hosts into the file of the user.
    pub fn with_file(self) -> Self {
        let text = std::fs::read_to_string(self.dir.join("hosts.yaml")).unwrap();
        let text = text.replace("pki/", &format!("{}/pki/", self.dir.display()));
        std::fs::create_dir_all(self.rig.home()).unwrap();
        std::fs::set_permissions(self.rig.home(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        std::fs::write(self.rig.home().join("hosts.yaml"), text).unwrap();
        self
    }

    /// In an environment whose ssh and default engine are those of the tests.
    pub fn around(&self, command: &mut Command) {
        let bin = Path::new(PROGRAM).parent().unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{}:{path}", self.dir.join("bin").display(), bin.display()));
        command.env("DOCKER_HOST", self.socket("local"));
    }

    pub fn poolkeeper(&self, args: &[&str]) -> Said {
        let mut command = self.rig.poolkeeper(args);
        self.around(&mut command);
        Said::of(command.output().unwrap())
    }

    /// The object or list that a command prints as JSON.
    pub fn json(&self, args: &[&str]) -> Value {
        let said = self.poolkeeper(args).exits(0);
        serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {}", said.stdout))
    }

    /// The engine of a host, as this machine's root reaches it.
    pub fn socket(&self, host: &str) -> String {
        format!("unix://{}/{}/docker.sock", self.dir.display(), engine(host))
    }

    /// Runs `docker …` on the engine of a host.
    pub fn docker(&self, host: &str, args: &[&str]) -> String {
        let Output { status, stdout, stderr } =
            Command::new("docker").args(args).env("DOCKER_HOST", self.socket(host)).output().unwrap();
        assert!(status.success(), "docker {args:?} on {host}: {}", String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap().trim().to_owned()
    }

    /// The ids of the containers of workers on a host.
    pub fn containers(&self, host: &str) -> Vec<String> {
        let found = self.docker(host, &["ps", "-aq", "--no-trunc", "--filter", "label=poolkeeper.dev/pool"]);
        let mut found: Vec<String> = found.lines().map(str::to_owned).collect();
        found.sort();
        found
    }

    /// Runs a script of the repository on the engine of a host.
    pub fn script(&self, name: &str, host: &str) {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name));
        command.arg(self.dir.join(engine(host))).env_remove("DOCKER_HOST");
        let done = command.output().unwrap();
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    }

    /// Makes a pool of these hosts.
    pub fn pool(&self, name: &str, hosts: &[&str], more: Value) {
        let hosts: Vec<Value> = hosts.iter().map(|host| json!({"name": host})).collect();
        let mut pool = json!({
            "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": name},
            "spec": {"image": IMAGE, "hosts": hosts, "health": {"interval": "1s"}},
        });
        pool["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let file = self.rig.file(&format!("{name}.json"));
        std::fs::write(&file, pool.to_string()).unwrap();
        self.poolkeeper(&["create", "pool", name, "--file", file.to_str().unwrap()]).exits(0);
    }

    pub fn status(&self, pool: &str) -> Value {
        self.json(&["status", pool, "-o", "json"])
    }

    /// Why a host of a pool cannot be reached, as the pool's status says it; empty if it can.
    pub fn unreachable(&self, pool: &str, host: &str) -> String {
        let status = self.status(pool);
        let hosts = status["hosts"].as_array().cloned().unwrap_or_default();
        let found = hosts.into_iter().find(|h| h["name"] == host);
        found.and_then(|h| h["unreachable"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// Makes a pool of so many workers, once all its hosts have answered: only such hosts get workers.
    pub fn filled(&self, name: &str, hosts: &[&str], count: i64, more: Value) {
        let mut spec = json!({"min": 0, "max": count});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.pool(name, hosts, spec);
        for host in hosts {
            let answers = || {
                let status = self.status(name);
                let listed = status["hosts"].as_array().cloned().unwrap_or_default();
                listed.iter().any(|h| h["name"] == *host && h["unreachable"].is_null())
            };
            until(&format!("host {host} answers"), answers);
        }
        self.poolkeeper(&["scale", name, &count.to_string()]).exits(0);
        self.ready(name, count);
    }

    /// Waits until so many workers of a pool are ready.
    pub fn ready(&self, pool: &str, count: i64) {
        until(&format!("{count} workers of {pool} are ready"), || self.status(pool)["counts"]["ready"] == count);
    }

    /// Ends the server, and looks that nothing is left on any host.
    pub fn end(self) {
        self.poolkeeper(&["local", "down", "--force"]).exits(0);
        for host in NAMES {
            assert_eq!(self.containers(host), Vec::<String>::new(), "{host}");
        }
    }
}

fn engine(host: &str) -> &str {
    if host == "local" { "one" } else { host }
}
