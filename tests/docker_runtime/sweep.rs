//! What dead runs leave is removed; what living ones have is not.

use std::process::Stdio;

use poolkeeper::runtime::docker::{DockerOptions, DockerRuntime, OwnerProcess};
use poolkeeper::runtime::{InstanceKey, InstanceSpec, LOCAL_HOST, Runtime};
use tokio::process::Command;

use crate::fixture::{Fixture, within};

/// Starts a worker as if the process named by `owner` had.
async fn owned(fx: &Fixture, owner: Option<OwnerProcess>) -> InstanceKey {
    let options = DockerOptions { hosts: vec![], installation: fx.installation.clone(), owner_process: owner };
    let spec: InstanceSpec = fx.spec();
    DockerRuntime::new(options).unwrap().start(&spec).await.unwrap().key
}

/// Boot id, pid, start time and pid namespace of a process.
fn parts(process: &OwnerProcess) -> Vec<String> {
    process.to_string().split('/').map(str::to_owned).collect()
}

#[tokio::test]
async fn only_what_dead_runs_left_is_removed() {
    let Some(fx) = Fixture::new().await else { return };
    let me = OwnerProcess::current().unwrap();
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut parts = parts(&me);
        change(&mut parts);
        Some(parts.join("/").parse::<OwnerProcess>().unwrap())
    };
    // A process that lived, and then died.
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let pid = child.id().unwrap().to_string();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().to_owned();
    let of_child = with(&|parts| (parts[1], parts[2]) = (pid.clone(), start.clone()));

    let living = owned(&fx, Some(me.clone())).await;
    let nobodys = owned(&fx, None).await;
    let childs = owned(&fx, of_child).await;
    let reused = owned(&fx, with(&|parts| parts[2] = "1".into())).await;
    let rebooted = owned(&fx, with(&|parts| parts[0] = "11111111-2222-3333-4444-555555555555".into())).await;
    let elsewhere = owned(&fx, with(&|parts| (parts[1], parts[3]) = ("1".into(), "7".into()))).await;

    let sweep = async || {
        let mut gone = within(fx.runtime.sweep_leftovers(LOCAL_HOST, Some(&fx.installation))).await.unwrap();
        gone.sort();
        gone
    };
    // An engine that is reached over a network may be another machine's, whose boot id is not ours.
    let remote = std::env::var("DOCKER_HOST").is_ok_and(|host| host.starts_with("tcp:"));
    let mut expected = if remote { vec![reused] } else { vec![reused, rebooted] };
    expected.sort();
    assert_eq!(sweep().await, expected);
    child.kill().await.unwrap();
    assert_eq!(sweep().await, [childs]);
    assert_eq!(sweep().await, []);
    assert_eq!(fx.count().await, 3 + usize::from(remote));
    for key in [living, nobodys, elsewhere] {
        assert!(fx.runtime.check(LOCAL_HOST, &key).await.unwrap().is_some());
    }
}
