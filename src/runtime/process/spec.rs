//! From an instance's specification to the setup of its shim. What a process cannot honour is refused by name.

use std::path::Path;

use super::limits;
use super::options::ProcessOptions;
use super::shim::{HeldLogin, SecretVariable, Setup};
use crate::runtime::given::Given;
use crate::runtime::{InstanceSpec, LOCAL_HOST, StartError};

/// Mode of a file with a value: workers are processes of this user.
const PRIVATE: u32 = 0o400;

/// The setup of this instance's shim. Fetches the credential.
pub async fn setup(spec: &InstanceSpec, options: &ProcessOptions, current_dir: &Path) -> Result<Setup, StartError> {
    check(spec).map_err(StartError::Refused)?;
    let working_dir = spec.working_dir.as_ref().map_or_else(|| current_dir.to_owned(), |dir| current_dir.join(dir));
    if !working_dir.is_dir() {
        let message =
            format!("workingDir {} does not exist on this machine: make it, or name another", working_dir.display());
        return Err(StartError::Refused(message));
    }
    let mut env: Vec<(String, String)> = spec.env.iter().map(|var| (var.name.clone(), var.value.clone())).collect();
    let given = Given::to(spec, &options.installation, &options.credentials, PRIVATE).await;
    let given = given.map_err(|error| StartError::Refused(error.to_string()))?;
    let name = spec.credential.as_ref().map(|credential| credential.env.clone()).unwrap_or_default();
    let mut login = None;
    let credential = match given {
        None => None,
        Some(Given::Variable(value)) => Some(SecretVariable { name, value, file: None }),
        Some(Given::File { path, value }) => {
            Some(SecretVariable { name, value, file: Some(path.to_string_lossy().into_owned()) })
        }
        Some(Given::Directory(found)) => {
            let alone = spec.credential.as_ref().and_then(|c| c.max_concurrent).unwrap_or(1) == 1;
            login = Some(HeldLogin { path: found.path().to_owned(), alone });
            env.push((name, found.path().to_string_lossy().into_owned()));
            None
        }
    };
    Ok(Setup {
        argv: spec.command.iter().chain(&spec.args).cloned().collect(),
        env,
        credential,
        login,
        working_dir,
        owner_grace_ms: options.owner_grace.as_millis().try_into().unwrap_or(u64::MAX),
        kill_grace_ms: spec.grace.unwrap_or(options.kill_grace).as_millis().try_into().unwrap_or(u64::MAX),
        open_files: limits::open_files_before(),
    })
}

fn check(spec: &InstanceSpec) -> Result<(), String> {
    let docker = "use --runtime Docker, or leave it out";
    if spec.host != LOCAL_HOST {
        return Err(format!("runtime Process has no host {}: it runs on this machine, named {LOCAL_HOST}", spec.host));
    }
    if spec.image.is_some() {
        return Err(format!(
            "runtime Process cannot honour image: its workers are processes of this machine; {docker}"
        ));
    }
    if !spec.mounts.is_empty() {
        return Err(format!("runtime Process cannot honour mounts: its workers see this machine's files; {docker}"));
    }
    if spec.resources.is_some() {
        return Err(format!("runtime Process cannot honour resources: nothing limits its workers; {docker}"));
    }
    if spec.pod_template.is_some() {
        return Err("podTemplate is for runtime Pod alone: leave it out".to_owned());
    }
    if spec.command.is_empty() && !spec.args.is_empty() {
        return Err("runtime Process has no image whose command args could follow: set command too".to_owned());
    }
    let names = spec.env.iter().map(|var| var.name.as_str()).chain(spec.credential.iter().map(|c| c.env.as_str()));
    for name in names {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!("{name:?} cannot be the name of an environment variable"));
        }
    }
    if let Some(var) = spec.env.iter().find(|var| var.value.contains('\0')) {
        return Err(format!("the value of {} contains a NUL byte", var.name));
    }
    Ok(())
}
