//! What makes workers real for `poolkeeper controller`.

use std::sync::Arc;

use kube::Client;

use super::args::ControllerArgs;
use crate::api::RuntimeKind;
use crate::cli::exit::{Exit, Failure};
use crate::runtime::Runtime;
use crate::runtime::docker::{DockerOptions, DockerRuntime};
use crate::runtime::pod::PodRuntime;
use crate::runtime::process::{ProcessOptions, ProcessRuntime};

/// Makes the runtimes, in this order.
///
/// # Errors
/// One cannot be had.
pub async fn make(
    kinds: &[RuntimeKind],
    args: &ControllerArgs,
    client: &Client,
    installation: &str,
) -> Result<Vec<Arc<dyn Runtime>>, Failure> {
    let mut runtimes: Vec<Arc<dyn Runtime>> = Vec::new();
    for kind in kinds {
        let failed = |e: &dyn std::fmt::Display| Failure::new(Exit::Unreachable, format!("runtime {kind}: {e}"));
        let installation = installation.to_owned();
        runtimes.push(match kind {
            RuntimeKind::Docker => {
                let options = DockerOptions { hosts: Vec::new(), installation, owner_process: None };
                Arc::new(DockerRuntime::new(options).map_err(|e| failed(&e))?)
            }
            RuntimeKind::Process => {
                let options = ProcessOptions::new(args.run_dir.clone().unwrap_or_default(), installation);
                Arc::new(ProcessRuntime::new(options).await.map_err(|e| failed(&e))?)
            }
            RuntimeKind::Pod => Arc::new(PodRuntime::new(client.clone(), installation, args.namespace.clone())),
        });
    }
    Ok(runtimes)
}
