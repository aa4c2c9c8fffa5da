//! The flags of `poolkeeper controller`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, Args};

use crate::api::{Period, RuntimeKind};
use crate::cli::LogFormat;
use crate::cli::cluster::ClusterArgs;
use crate::cli::exit::Failure;
use crate::core::election::Timing;
use crate::runtime::docker::{HostEntry, HostOptions, HostsError, hosts_file};

/// Keep the pools of a cluster
///
/// Runs until SIGTERM. It waits for what is not there yet, the API server or the CustomResourceDefinitions, and says in
/// /readyz what that is.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  poolkeeper controller --context prod --lease-namespace poolkeeper")]
pub struct ControllerArgs {
    /// Runtimes that pools may name; the first is that of pools that name none
    #[arg(long, value_name = "Pod,Docker,Process", value_delimiter = ',', default_value = "Pod",
          value_parser = PossibleValuesParser::new(["Pod", "Docker", "Process"]))]
    runtimes: Vec<String>,
    /// Keep the pools of this namespace only
    #[arg(long, short, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Follow which nodes are cordoned, and protect busy workers from eviction: see `spec.drainTimeout` [default: true, but
    /// false with --namespace]
    #[arg(long, value_name = "true|false", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    drain_protection: Option<bool>,
    /// Image of Poolkeeper from which Pods get the helper that runs tasks for `poolkeeper run` and `exec` [default: no helper]
    #[arg(long, value_name = "IMAGE")]
    pub helper_image: Option<String>,
    /// Directory for what runtime Process keeps
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// File with the Docker hosts, as hosts.yaml of a person has them
    #[arg(long, value_name = "FILE")]
    hosts: Option<PathBuf>,
    /// Another Docker host: unix, tcp, ssh or a context of docker. Pools name it in `spec.hosts`
    #[arg(long, value_name = "NAME=ENDPOINT")]
    host: Vec<HostEntry>,

    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,

    /// Run the controller only while it holds the Lease
    #[arg(long, value_name = "true|false", default_value_t = false, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", action = ArgAction::Set, help_heading = "Election")]
    pub leader_elect: bool,
    /// Name of the Lease. It holds the installation's id too, so it is there without an election as well
    #[arg(long, value_name = "NAME", default_value = "poolkeeper", help_heading = "Election")]
    pub lease_name: String,
    /// Namespace of the Lease [default: that of the service account or of the context]
    #[arg(long, value_name = "NAMESPACE", help_heading = "Election")]
    pub lease_namespace: Option<String>,
    /// How long others wait for a leader that is silent
    #[arg(long, value_name = "TIME", default_value = "15s", help_heading = "Election")]
    lease_duration: Period,
    /// How long a leader goes on without a renewal
    #[arg(long, value_name = "TIME", default_value = "10s", help_heading = "Election")]
    renew_deadline: Period,
    /// Time between two tries to renew or to acquire
    #[arg(long, value_name = "TIME", default_value = "2s", help_heading = "Election")]
    retry_period: Period,

    /// Where /livez, /readyz and /metrics are served
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080", help_heading = "Monitoring")]
    pub http_bind: SocketAddr,
    /// Format of the log on stderr; POOLKEEPER_LOG says what is logged
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, help_heading = "Monitoring")]
    pub log_format: LogFormat,
}

impl ControllerArgs {
    /// The runtimes, each once.
    ///
    /// # Errors
    /// One is named twice, or Process has no directory.
    pub fn runtimes(&self) -> Result<Vec<RuntimeKind>, Failure> {
        let mut kinds = Vec::new();
        for name in &self.runtimes {
            let kind = match name.as_str() {
                "Docker" => RuntimeKind::Docker,
                "Process" => RuntimeKind::Process,
                _ => RuntimeKind::Pod,
            };
            if kinds.contains(&kind) {
                return Err(Failure::usage(format!("--runtimes names {name} twice")));
            }
            kinds.push(kind);
        }
        if kinds.contains(&RuntimeKind::Process) && self.run_dir.is_none() {
            return Err(Failure::usage("runtime Process needs --run-dir, a directory that outlives this process"));
        }
        Ok(kinds)
    }

    /// Whether workers are protected from eviction. Nodes belong to no namespace, so a controller of one namespace has no
    /// right to them by default.
    pub fn drain_protection(&self) -> bool {
        self.drain_protection.unwrap_or(self.namespace.is_none())
    }

    /// The Docker hosts, with the addresses that they have now. Those of a person are not used.
    ///
    /// # Errors
    /// The file cannot be read, or an address cannot be used.
    pub fn docker_hosts(&self) -> Result<Vec<HostOptions>, Failure> {
        let wrong = |error: HostsError| Failure::usage(error.to_string());
        let file = self.hosts.as_deref().map(hosts_file::read).transpose().map_err(wrong)?.unwrap_or_default();
        let hosts = hosts_file::merged(file.into_iter().chain(self.host.iter().cloned()));
        hosts.iter().map(|host| host.resolve().map_err(|e| wrong(e.into()))).collect()
    }

    /// The times of the election.
    ///
    /// # Errors
    /// They do not fit each other.
    pub fn timing(&self) -> Result<Timing, Failure> {
        let timing = Timing {
            lease: self.lease_duration.get(),
            renew_deadline: self.renew_deadline.get(),
            retry: self.retry_period.get(),
        };
        timing.check().map_err(Failure::usage)?;
        Ok(timing)
    }
}
