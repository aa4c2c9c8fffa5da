//! The server that a command talks to: the local one, or a cluster.
//!
//! - `choice`: which one it is. `failure`: what its refusals mean for a command.
//! - Here: the flags, and the connection.

mod choice;
mod failure;
mod look;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource};

use self::choice::{Choice, Place, choose};
pub use self::failure::{is_conflict, is_not_found};
pub use self::look::{is_plugin, program};
use super::exit::{Exit, Failure};
use super::{local, output};

/// How long a command waits for a server to accept its connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Flags that say which server, and which namespace of it.
#[derive(Args, Clone, Debug, Default)]
pub struct ServerArgs {
    /// Kubeconfig to use, instead of $KUBECONFIG, the local server or ~/.kube/config
    #[arg(long, value_name = "FILE", global = true, help_heading = "Server")]
    kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; `poolkeeper-local` is the local server
    ///
    /// $POOLKEEPER_CONTEXT has the same meaning.
    #[arg(long, value_name = "NAME", global = true, help_heading = "Server")]
    context: Option<String>,
    /// Namespace, instead of that of the context
    #[arg(long, short, value_name = "NAMESPACE", global = true, help_heading = "Server")]
    namespace: Option<String>,
}

/// A connection to a server.
pub struct Server {
    /// Sends requests.
    pub client: Client,
    /// The namespace that the command is about.
    pub namespace: String,
    /// What people call the server: `the local server`, or its address and context.
    pub title: String,
    /// True if it is a local server: this user's, or one whose kubeconfig was named.
    pub is_local: bool,
    named: bool,
}

impl ServerArgs {
    /// As if these had been typed.
    pub fn naming(kubeconfig: Option<String>, context: Option<String>, namespace: Option<String>) -> Self {
        Self { kubeconfig: kubeconfig.map(PathBuf::from), context, namespace }
    }

    /// The flags as they were typed, each after a space: a command that is proposed needs the same ones.
    pub fn typed(&self) -> String {
        let file = self.kubeconfig.as_ref().map(|file| file.display().to_string());
        let flags = [("--kubeconfig", file), ("--context", self.context.clone()), ("-n", self.namespace.clone())];
        flags.into_iter().filter_map(|(flag, value)| Some(format!(" {flag} {}", value?))).collect()
    }

    /// The namespace that was typed.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// That there is a server to talk to, whether it answers or not.
    ///
    /// # Errors
    /// There is none ([`Exit::Unreachable`]).
    pub fn check(&self) -> Result<(), Failure> {
        self.choice().map(drop)
    }

    /// The flags with which kubectl talks to the same cluster.
    pub fn of_kubectl(&self) -> Vec<String> {
        let facts = look::facts(self.kubeconfig.clone(), self.context.clone());
        let context = facts.context.or(facts.context_variable).map(|name| format!("--context={name}"));
        let file = facts.kubeconfig.map(|file| format!("--kubeconfig={}", file.display()));
        file.into_iter().chain(context).collect()
    }

    fn choice(&self) -> Result<Choice, Failure> {
        choose(&look::facts(self.kubeconfig.clone(), self.context.clone())).ok_or_else(|| {
            let message = "there is no server to talk to: start one with `poolkeeper local up`, or name a cluster with --context or --kubeconfig";
            Failure::new(Exit::Unreachable, message)
        })
    }

    /// Connects to the server that the flags, the environment and this machine name.
    ///
    /// # Errors
    /// There is none, or the local one does not answer ([`Exit::Unreachable`]); a kubeconfig cannot be used ([`Exit::Usage`]).
    pub async fn connect(&self) -> Result<Server, Failure> {
        let Choice { place, named } = self.choice()?;
        let (config, title, is_local) = match place {
            Place::Local => {
                let home = local::server::home_that_is()
                    .map_err(|failure| Failure::new(Exit::Unreachable, failure.message))?;
                // A server that hangs is named within seconds, before anything is sent to it.
                local::server::status(&home).await?;
                (local::server::config(&home).await?, "the local server".to_owned(), true)
            }
            Place::Files { files, context } => of_files(&files, context).await?,
            Place::Pod => {
                let config = Config::incluster().map_err(|e| Failure::new(Exit::Unreachable, e.to_string()))?;
                let title = format!("the cluster of this Pod ({})", config.cluster_url);
                (config, title, false)
            }
        };
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|e| Failure::usage(format!("{title}: {e}")))?;
        Ok(Server { client, namespace, title, is_local, named })
    }
}

/// Reads the kubeconfigs; the first one that names a value counts.
async fn of_files(files: &[PathBuf], context: Option<String>) -> Result<(Config, String, bool), Failure> {
    let shown = files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
    let wrong = |e: &dyn std::fmt::Display| Failure::usage(format!("kubeconfig {shown}: {e}"));
    let missing = || {
        Failure::new(
            Exit::Unreachable,
            "there is no kubeconfig in which --context could be looked up: name one with --kubeconfig",
        )
    };
    let read = |file: &PathBuf| Kubeconfig::read_from(Path::new(file)).map_err(|e| wrong(&e));
    let (first, others) = files.split_first().ok_or_else(missing)?;
    let mut merged = read(first)?;
    for file in others {
        merged = merged.merge(read(file)?).map_err(|e| wrong(&e))?;
    }
    let name = context.clone().or_else(|| merged.current_context.clone()).unwrap_or_default();
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(merged, &options).await.map_err(|e| wrong(&e))?;
    config.connect_timeout = Some(PATIENCE);
    let title = format!("context {name} of {shown} ({})", config.cluster_url);
    Ok((config, title, name == choice::LOCAL_CONTEXT))
}

impl Server {
    /// Says which server is about to be changed, unless a flag or a variable named it.
    pub fn say_which(&self) {
        if !self.named {
            output::say(&format!("using {}", self.title));
        }
    }

    /// The failure of a request. A server that was not reached is named.
    pub fn failed(&self, error: &kube::Error) -> Failure {
        failure::of(&self.title, error)
    }

    /// The objects of a kind in the command's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}
