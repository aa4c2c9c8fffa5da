//! The flags that describe a pool, shared by every command that makes one.
//!
//! - `flags`: the values of flags that have a grammar of their own. `spec`: flags and a file become a ContainerPool.
//! - `refusal`: what the API says about that pool, in the words of the flags.

pub mod flags;
mod refusal;
pub mod spec;

use std::path::PathBuf;

use clap::Args;

use crate::api::RuntimeKind;
use crate::supervisor::outcome::presets;

/// The flags that describe a pool.
#[derive(Args, Debug, Clone, Default)]
pub struct PoolFlags {
    /// Read the pool from a YAML or JSON file; the flags below override it
    #[arg(short, long, value_name = "FILE", help_heading = "Pool")]
    pub file: Option<PathBuf>,
    /// Most workers (spec.max) [default: 8; of a run without --tasks 1, or one for each credential]
    #[arg(short, long, visible_alias = "max", value_name = "N", allow_negative_numbers = true, help_heading = "Pool")]
    pub workers: Option<i64>,
    /// Fewest workers (spec.min) [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true, help_heading = "Pool")]
    pub min: Option<i64>,
    /// Rest after a rate limit that named no time; doubles with each in a row (spec.cooldown) [default: 5m]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, help_heading = "Pool")]
    pub cooldown: Option<String>,
    /// Image of the workers (spec.image); they run in Docker then
    #[arg(long, value_name = "IMAGE", help_heading = "Pool")]
    pub image: Option<String>,
    /// What workers are [default: Docker with an image, else Process]
    #[arg(long, value_name = "Process|Docker|Pod", value_parser = runtime, help_heading = "Pool")]
    pub runtime: Option<RuntimeKind>,
    /// A directory of this machine in the workers, read-only unless :rw is added (spec.mounts)
    #[arg(long, value_name = "SRC:DST[:rw]", help_heading = "Pool")]
    pub mount: Vec<String>,
    /// Set an environment variable in the workers; without =VALUE, copy it from this shell (spec.env)
    #[arg(short, long, value_name = "NAME[=VALUE]", help_heading = "Pool")]
    pub env: Vec<String>,
    /// Docker host of the workers; they are spread over all that are given (spec.hosts). With run --local also NAME=ENDPOINT
    #[arg(long, value_name = "NAME[=ENDPOINT]", help_heading = "Pool")]
    pub host: Vec<String>,
    /// Credential that workers use at the rate-limited service; workers are spread evenly over all (spec.credentials)
    #[arg(long, value_name = "NAME=[VAR:]env:SOURCE", help_heading = "Pool", long_help = CREDENTIAL)]
    pub credential: Vec<String>,
    /// Recognise the limits of these programs in the output of tasks (spec.rateLimit.patterns); see `preset list`
    #[arg(long, value_name = "NAME[,NAME]", value_delimiter = ',', value_parser = preset, help_heading = "Pool")]
    pub preset: Vec<String>,
}

/// The name of a preset.
///
/// # Errors
/// There is none of that name.
pub fn preset(name: &str) -> Result<String, String> {
    match presets::source(name) {
        Some(_) => Ok(name.to_owned()),
        None => Err(format!("expected one of {}", presets::names().collect::<Vec<_>>().join(", "))),
    }
}

impl PoolFlags {
    /// The first of these flags that was given.
    pub fn first_given(&self) -> Option<&'static str> {
        let given = [
            (self.file.is_some(), "--file"),
            (self.workers.is_some(), "--workers"),
            (self.min.is_some(), "--min"),
            (self.cooldown.is_some(), "--cooldown"),
            (self.image.is_some(), "--image"),
            (self.runtime.is_some(), "--runtime"),
            (!self.mount.is_empty(), "--mount"),
            (!self.env.is_empty(), "--env"),
            (!self.host.is_empty(), "--host"),
            (!self.credential.is_empty(), "--credential"),
        ];
        given.into_iter().find_map(|(is_given, flag)| is_given.then_some(flag))
    }
}

const CREDENTIAL: &str = "\
Credential that workers use at the rate-limited service. Workers are spread evenly over all that are given (spec.credentials).
  NAME=env:VAR            $VAR of this environment, as $VAR in the worker
  NAME=VAR:env:SOURCE     $SOURCE of this environment, as $VAR in the worker
  NAME=VAR:file:PATH      the content of a file
  NAME=VAR:secret:S/KEY   a key of the Secret S; not with --local
  NAME=VAR:command:CMD    what `sh -c CMD` prints here
  NAME=dir:PATH           a directory with the login of an agent, one worker at a time; $VAR (NAME=VAR:dir:PATH) names it";

fn runtime(text: &str) -> Result<RuntimeKind, String> {
    match text.to_ascii_lowercase().as_str() {
        "process" => Ok(RuntimeKind::Process),
        "docker" => Ok(RuntimeKind::Docker),
        "pod" => Ok(RuntimeKind::Pod),
        _ => Err("use Process or Docker, or Pod on a cluster".to_owned()),
    }
}
