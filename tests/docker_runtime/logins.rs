//! Directories with a login: one container at a time, of a user who can use it.
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use poolkeeper::api::names;
use poolkeeper::api::pool::{Credential, LoginDirectory, RunAs};
use poolkeeper::runtime::{InstanceSpec, LOCAL_HOST, Runtime, StartError};

use crate::fixture::Fixture;

fn login(fx: &Fixture, path: &Path, change: impl FnOnce(&mut Credential, &mut LoginDirectory)) -> InstanceSpec {
    let mut directory = LoginDirectory {
        host_path: path.to_str().unwrap().to_owned(),
        mount_path: Some("/login".to_owned()),
        ..LoginDirectory::default()
    };
    let mut credential = Credential { name: "a".into(), env: "CLAUDE_CONFIG_DIR".into(), ..Credential::default() };
    change(&mut credential, &mut directory);
    credential.directory = Some(directory);
    InstanceSpec { credential: Some(credential), ..fx.spec() }
}

#[tokio::test]
async fn a_login_is_mounted_writable_and_the_variable_names_it() {
    let Some(fx) = Fixture::new().await else { return };
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(".credentials.json"), "old").unwrap();
    let instance = fx.start(&login(&fx, dir.path(), |_, _| ())).await;
    let target = fx.runtime.target(&instance);
    let said =
        fx.sh(&target, "cat $CLAUDE_CONFIG_DIR/.credentials.json; echo new >/login/.credentials.json").await.text();
    assert_eq!(said, "old");
    assert_eq!(std::fs::read_to_string(dir.path().join(".credentials.json")).unwrap(), "new\n");
    let labels = fx.inspect(&instance).await.config.unwrap().labels.unwrap();
    assert!(!labels[names::DIRECTORY].contains('/'), "{labels:?}");
}

/// Of one installation or of two, by links, and inside each other.
#[tokio::test]
async fn no_two_containers_have_one_directory() {
    let Some(fx) = Fixture::new().await else { return };
    let Some(other) = Fixture::new().await else { return };
    let dir = tempfile::tempdir().unwrap();
    let (a, link) = (dir.path().join("a"), dir.path().join("link"));
    std::fs::create_dir_all(a.join("inside")).unwrap();
    std::fs::create_dir(dir.path().join("b")).unwrap();
    symlink(&a, &link).unwrap();
    let first = login(&fx, &a, |_, _| ());
    let instance = fx.start(&first).await;
    assert_eq!(fx.runtime.start(&first).await, Ok(instance.clone()), "itself is not in its way");
    for (path, of) in [(&a, &fx), (&a, &other), (&link, &other), (&a.join("inside"), &other)] {
        let refused = of.runtime.start(&login(of, path, |_, _| ())).await;
        let name = instance.key.instance_name();
        assert!(matches!(&refused, Err(StartError::NotNow(why)) if why.contains(&name)), "{path:?}: {refused:?}");
    }
    assert_eq!((fx.count().await, other.count().await), (1, 0));
    other.start(&login(&other, &dir.path().join("b"), |_, _| ())).await;
    other.start(&login(&other, &a, |credential, _| credential.max_concurrent = Some(2))).await;
    fx.runtime.stop(LOCAL_HOST, &instance.key).await.unwrap();
    let next = fx.runtime.start(&login(&fx, &a, |_, _| ())).await;
    assert!(matches!(next, Err(StartError::NotNow(_))), "the second one is still there: {next:?}");
}

/// However many begin at the same moment, no two of them run.
#[tokio::test]
async fn of_starts_at_once_at_most_one_succeeds() {
    let Some(fx) = Fixture::new().await else { return };
    let dir = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let specs: Vec<_> = (0..4).map(|_| login(&fx, dir.path(), |_, _| ())).collect();
        let started = futures::future::join_all(specs.iter().map(|spec| fx.runtime.start(spec))).await;
        let (up, not): (Vec<_>, Vec<_>) = started.into_iter().partition(Result::is_ok);
        assert!(up.len() <= 1 && not.iter().all(|no| matches!(no, Err(StartError::NotNow(_)))), "{up:?} {not:?}");
        assert_eq!(fx.count().await, up.len(), "what did not start is gone");
        for spec in &specs {
            fx.runtime.stop(LOCAL_HOST, &spec.key).await.unwrap();
        }
    }
}

#[tokio::test]
async fn whose_files_the_owner_could_not_use_is_refused() {
    let Some(fx) = Fixture::new().await else { return };
    if !rustix::process::geteuid().is_root() {
        return crate::fixture::skip("only root can give a directory to another user");
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(dir.path(), Some(1000), Some(1000)).unwrap();
    // The image runs as root.
    let refused = fx.runtime.start(&login(&fx, dir.path(), |_, _| ())).await;
    assert!(matches!(&refused, Err(StartError::Refused(why)) if why.contains("set runAs: host")), "{refused:?}");
    assert_eq!(fx.count().await, 0);
    let instance = fx.start(&login(&fx, dir.path(), |_, directory| directory.run_as = RunAs::Host)).await;
    let target = fx.runtime.target(&instance);
    assert_eq!(fx.sh(&target, "id -u; id -g; touch /login/auth.json").await.text(), "1000\n1000\n");
    fx.runtime.stop(LOCAL_HOST, &instance.key).await.unwrap();
    fx.start(&login(&fx, dir.path(), |_, directory| {
        directory.run_as = RunAs::Host;
        directory.relabel = true;
    }))
    .await;
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_refused_and_not_made() {
    let Some(fx) = Fixture::new().await else { return };
    for relabel in [true, false] {
        let spec = login(&fx, Path::new("/no/such/login"), |_, directory| directory.relabel = relabel);
        let refused = fx.runtime.start(&spec).await;
        assert!(matches!(&refused, Err(StartError::Refused(why)) if why.contains("/no/such/login")), "{refused:?}");
    }
    assert!(!Path::new("/no/such").exists());
}
