//! Which cluster a command speaks to.

use std::path::PathBuf;

use clap::Args;
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::exit::{Exit, Failure};

/// The flags that name a cluster.
#[derive(Args, Clone, Debug, Default)]
pub struct ClusterArgs {
    /// Kubeconfig to use, instead of $KUBECONFIG, ~/.kube/config or the Pod's service account
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    context: Option<String>,
}

impl ClusterArgs {
    /// How to reach the API server: by a kubeconfig that is named, else by any there is, else as a Pod.
    ///
    /// # Errors
    /// The kubeconfig cannot be used, or there is none and this is no Pod.
    pub async fn config(&self) -> Result<Config, Failure> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let wrong = |e: &dyn std::fmt::Display| Failure::usage(format!("the kubeconfig: {e}"));
        if let Some(path) = &self.kubeconfig {
            let file = Kubeconfig::read_from(path).map_err(|e| wrong(&e))?;
            return Config::from_custom_kubeconfig(file, &options).await.map_err(|e| wrong(&e));
        }
        if self.context.is_some() || std::env::var_os("KUBECONFIG").is_some() {
            return Config::from_kubeconfig(&options).await.map_err(|e| wrong(&e));
        }
        Config::infer().await.map_err(|e| {
            let right = "name a kubeconfig with --kubeconfig";
            Failure::new(Exit::Unreachable, format!("no cluster is configured: {e}; {right}"))
        })
    }
}
