//! How a task reaches a container whose host is known by its name.

use crate::api::RuntimeKind;
use crate::api::dispatch::Target;

/// The target of a container on a host, which is looked up by its name where the target is used.
pub fn named(host: &str, container: &str) -> Target {
    Target {
        runtime: RuntimeKind::Docker,
        host: Some(host.to_owned()),
        id: container.to_owned(),
        argv: by_name(host, container),
        endpoint: None,
    }
}

/// The command that runs a task in a container of a host whose address each reader knows by itself.
pub(super) fn by_name(host: &str, container: &str) -> Vec<String> {
    ["poolkeeper", "exec", "--host", host, "--container", container, "--"].map(str::to_owned).to_vec()
}
