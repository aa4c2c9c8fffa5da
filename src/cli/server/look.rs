//! What this machine shows of servers.

use std::env;
use std::path::{Path, PathBuf};

use super::choice::Facts;
use crate::cli::local;

/// Where a Pod finds its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Looks at the environment and at the files that it names. The two arguments are flags.
pub(super) fn facts(kubeconfig: Option<PathBuf>, context: Option<String>) -> Facts {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let files = |list: &std::ffi::OsStr| {
        let named = env::split_paths(list).filter(|path| !path.as_os_str().is_empty());
        named.filter(|path| path.exists()).collect()
    };
    Facts {
        kubeconfig,
        context,
        context_variable: variable("POOLKEEPER_CONTEXT").map(|name| name.to_string_lossy().into_owned()),
        kubeconfig_variable: variable("KUBECONFIG").map(|list| files(&list)).unwrap_or_default(),
        local: local::server::home().is_ok_and(|home| home.kubeconfig().exists()),
        default_file: variable("HOME")
            .map(|home| PathBuf::from(home).join(".kube/config"))
            .filter(|file| file.exists()),
        pod: variable("KUBERNETES_SERVICE_HOST").is_some() && Path::new(SERVICE_ACCOUNT).exists(),
        plugin: is_plugin(),
    }
}

/// True if kubectl started this program: it runs `kubectl-poolkeeper`, which is this binary by another name.
pub fn is_plugin() -> bool {
    let name = env::args_os().next().map(PathBuf::from);
    name.as_deref().and_then(Path::file_name).is_some_and(|name| name == "kubectl-poolkeeper")
}

/// What people type to start this program.
pub fn program() -> &'static str {
    if is_plugin() { "kubectl poolkeeper" } else { "poolkeeper" }
}
