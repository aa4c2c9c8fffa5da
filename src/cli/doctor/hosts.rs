//! Docker hosts by name: whether each can be used, and what pools of the local server expect on it.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use super::check::Check;
use crate::api::{ContainerPool, RuntimeKind};
use crate::cli::local::server::home;
use crate::cli::server::Server;
use crate::runtime::docker::{DockerOptions, DockerRuntime, Endpoint, HostEntry, hosts_file};
use crate::runtime::{LOCAL_HOST, RuntimeError};
use crate::standalone::resident::hosts;

const WHAT: &str = "docker host";
/// How long a look may take: a little longer than the runtime gives an engine to say which one it is.
const PATIENCE: Duration = Duration::from_secs(30);

/// The hosts that this user knows, with those of flags. `Err`: why they cannot be known.
pub(super) fn known(flags: &[HostEntry]) -> Result<Vec<HostEntry>, Check> {
    let known = hosts::known(home().ok().as_ref());
    let known =
        known.map_err(|error| Check::fail(WHAT, error.to_string(), "correct it: no host with a name can be used"))?;
    Ok(hosts_file::merged(known.into_iter().chain(flags.iter().cloned())))
}

/// Whether each host besides `local` can be used.
pub(super) async fn reached(known: &[HostEntry]) -> Vec<Check> {
    join_all(known.iter().filter(|host| host.name != LOCAL_HOST).map(reach)).await
}

async fn reach(host: &HostEntry) -> Check {
    let name = &host.name;
    let options = match host.resolve() {
        Ok(options) => options,
        Err(error) => return Check::fail(WHAT, format!("{name}: {error}"), "correct its endpoint in hosts.yaml"),
    };
    let remedy = options.endpoint.as_ref().map(remedy).unwrap_or_default();
    let is_open = matches!(options.endpoint, Some(Endpoint::Tcp(_)));
    let options = DockerOptions { hosts: vec![options], installation: String::new(), owner_process: None };
    let docker = match DockerRuntime::new(options) {
        Ok(docker) => docker,
        Err(error) => return Check::fail(WHAT, format!("{name}: {error}"), remedy),
    };
    match tokio::time::timeout(PATIENCE, docker.probe(name)).await {
        Ok(Ok(version)) if is_open => {
            let remedy = "use TLS or ssh: any program that reaches this port is root on that machine";
            Check::warn(WHAT, format!("{name}: {version}, without TLS"), remedy)
        }
        Ok(Ok(version)) => Check::ok(WHAT, format!("{name}: {version}")),
        Ok(Err(RuntimeError::Unreachable(why) | RuntimeError::Refused(why))) => {
            Check::fail(WHAT, format!("{name}: {why}"), remedy)
        }
        Err(_) => Check::fail(WHAT, format!("{name}: no answer within {} s", PATIENCE.as_secs()), remedy),
    }
}

/// What must work by hand.
fn remedy(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Unix(_) => "start the engine there, or correct the path".to_owned(),
        Endpoint::Tcp(_) => "look at the address, and whether the port is open to this machine".to_owned(),
        Endpoint::Tls(..) => format!("`docker {} version` must work", endpoint.docker_options().join(" ")),
        Endpoint::Ssh(ssh) => format!("`{} docker version` must work without a question", ssh.login()),
    }
}

/// What the pools of the local server expect on their hosts and is not there, as far as this machine can see.
pub(super) async fn expected(server: &Server, known: &[HostEntry]) -> Vec<Check> {
    let Ok(pools) = Api::<ContainerPool>::all(server.client.clone()).list(&ListParams::default()).await else {
        return Vec::new(); // the other checks say why
    };
    let elsewhere: BTreeMap<&str, bool> = known
        .iter()
        .filter_map(|host| Some((&*host.name, !matches!(host.resolve().ok()?.endpoint?, Endpoint::Unix(_)))))
        .collect();
    pools.items.iter().flat_map(|pool| of_pool(pool, &elsewhere)).collect()
}

/// `elsewhere`: whether a host is reached by a network.
fn of_pool(pool: &ContainerPool, elsewhere: &BTreeMap<&str, bool>) -> Vec<Check> {
    const PATHS: &str = "paths";
    if pool.spec.runtime.is_some_and(|runtime| runtime != RuntimeKind::Docker) {
        return Vec::new();
    }
    let name = pool.name_any();
    let names: Vec<&str> = pool.spec.hosts.iter().map(|host| &*host.name).collect();
    let names = if names.is_empty() { vec![LOCAL_HOST] } else { names };
    let mut checks = Vec::new();
    for host in names {
        let is_elsewhere = elsewhere.get(host).copied().unwrap_or(false);
        let directories = pool.spec.credentials.iter().filter_map(|c| Some((c, c.directory.as_ref()?)));
        for (credential, directory) in directories {
            let path = &directory.host_path;
            let what = format!("pool {name}: the directory {path} of credential {}", credential.name);
            if is_elsewhere {
                let words = format!("{what} is of this machine, and host {host} is on another one");
                checks.push(Check::fail(PATHS, words, "leave that host out of spec.hosts, or use secretKeyRef"));
            } else if !Path::new(path).is_dir() {
                checks.push(Check::fail(PATHS, format!("{what} is not there"), "log in there, or correct hostPath"));
            } else if has_selinux() && !directory.relabel {
                let remedy = "set relabel: true, if containers may have its SELinux label changed";
                checks.push(Check::warn(PATHS, format!("{what}: SELinux may keep containers from it"), remedy));
            }
        }
        for mount in &pool.spec.mounts {
            let path = &mount.host_path;
            if is_elsewhere {
                let words = format!("pool {name} mounts {path} of host {host}, where this program cannot look");
                checks.push(Check::ok(PATHS, words));
            } else if !Path::new(path).exists() {
                let words = format!("pool {name} mounts {path}, which is not on host {host}");
                checks.push(Check::fail(PATHS, words, "make it, or correct spec.mounts"));
            }
        }
    }
    checks
}

/// True if SELinux is enforced on this machine.
fn has_selinux() -> bool {
    std::fs::read_to_string("/sys/fs/selinux/enforce").is_ok_and(|text| text.trim() == "1")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::doctor::check::Level;

    #[test]
    fn paths_are_looked_for_where_they_must_be() {
        let pool = json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "agents"},
            "spec": {"image": "a", "hosts": [{"name": "local"}, {"name": "far"}],
                "mounts": [{"hostPath": "/no/such", "mountPath": "/a"}, {"hostPath": "/tmp", "mountPath": "/b"}],
                "credentials": [{"name": "a", "env": "HOME", "directory": {"hostPath": "/no/login"}}]}});
        let pool: ContainerPool = serde_json::from_value(pool).unwrap();
        let checks = of_pool(&pool, &BTreeMap::from([("local", false), ("far", true)]));
        let lines: Vec<(Level, &str)> = checks.iter().map(|check| (check.level, &*check.words)).collect();
        assert_eq!(
            lines,
            [
                (Level::Fail, "pool agents: the directory /no/login of credential a is not there"),
                (Level::Fail, "pool agents mounts /no/such, which is not on host local"),
                (
                    Level::Fail,
                    "pool agents: the directory /no/login of credential a is of this machine, and host far is on another one"
                ),
                (Level::Ok, "pool agents mounts /no/such of host far, where this program cannot look"),
                (Level::Ok, "pool agents mounts /tmp of host far, where this program cannot look"),
            ]
        );
    }
}
