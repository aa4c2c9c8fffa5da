//! `poolkeeper create pool`.

use clap::Args;
use http::Request;
use serde_json::{Value, json};

use super::secret;
use crate::api::vocabulary::PoolRuntimeAllowed;
use crate::api::{Condition, ContainerPool, Period};
use crate::cli::change;
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::say;
use crate::cli::pool_flags::flags::Surroundings;
use crate::cli::pool_flags::{PoolFlags, spec};
use crate::cli::print::kinds::Kind;
use crate::cli::print::{self, Format};
use crate::cli::server::{Server, ServerArgs};
use crate::standalone;

/// How long the controller may take to look at a new pool, before that is said.
const LOOKED: Period = Period::seconds(5);

/// Create a pool
///
/// Variables and files that --credential names are read here, and stored in a Secret that the pool refers to. Relative paths
/// start in this directory. With --image and without --file the workers run `sleep infinity`, since tasks are started next to it.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  poolkeeper create pool agents --image alpine --max 4 --credential a=env:TOKEN_A --credential b=env:TOKEN_B\n  poolkeeper create pool tools --runtime Process --min 1 --dry-run"
)]
pub struct PoolArgs {
    /// Its name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    flags: PoolFlags,
    /// Idle workers to keep ready besides the busy ones (spec.warm) [default: 0]
    #[arg(long, value_name = "N", help_heading = "Pool")]
    warm: Option<i64>,
    /// Time after which an idle worker above --min leaves (spec.idleTimeout) [default: 30m]
    #[arg(long, value_name = "TIME", help_heading = "Pool")]
    idle_timeout: Option<String>,
    /// What rests after a rate limit (spec.rateLimit.scope) [default: Worker]
    #[arg(long, value_name = "Worker|Credential", value_parser = scope, help_heading = "Pool")]
    scope: Option<&'static str>,
    /// Pause the containers of workers that rest (spec.rateLimit.pause)
    #[arg(long, help_heading = "Pool")]
    pause: bool,
    /// Check the pool and print it, without creating anything
    #[arg(long)]
    dry_run: bool,
    /// Print the pool: name, json or yaml
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
    #[command(flatten)]
    server: ServerArgs,
}

fn scope(text: &str) -> Result<&'static str, String> {
    let known = ["Worker", "Credential"].into_iter().find(|known| known.eq_ignore_ascii_case(text));
    known.ok_or_else(|| "use Worker or Credential".to_owned())
}

impl Run for PoolArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        change::check_name(&self.name)?;
        if self.output.is_some_and(Format::is_table) {
            return Err(Failure::usage("-o of create is name, json or yaml"));
        }
        if let Some(host) = self.flags.host.iter().find(|host| host.contains('=')) {
            let message = format!(
                "--host {host}: name the host alone; `poolkeeper local up --host {host}` makes it known to the local server"
            );
            return Err(Failure::usage(message));
        }
        let current_dir = std::env::current_dir().map_err(|e| Failure::usage(format!("the current directory: {e}")))?;
        let file = self.flags.file.as_deref().map(spec::read_file).transpose()?;
        let server = self.server.connect().await?;
        server.say_which();
        let var = |name: &str| std::env::var(name);
        let around = Surroundings { var: &var, current_dir: &current_dir, are_here: server.is_local };
        let laid = spec::lay(&self.flags, Some(&self.name), &server.namespace, file, &around)?;
        let mut pool = laid.pool;
        let (entries, values) = secret::read(&self.name, &self.flags.credential, &current_dir).await?;
        let spec = spec::section(&mut pool, "spec")?;
        spec::extend(spec, "credentials", "name", entries)?;
        self.more(spec, &server)?;

        // A mistake is found before anything is stored.
        let checked = self.create(&server, &pool, true).await?;
        if self.dry_run {
            self.print(&checked, Some(Format::Yaml))?;
            return Ok(Exit::Success);
        }
        let stored = match values {
            Some(values) => Some(secret::store(&server, &self.name, values).await?),
            None => None,
        };
        let created = match (self.create(&server, &pool, false).await, &stored) {
            (Err(failure), Some(stored)) => {
                secret::remove(&server, stored).await;
                return Err(failure);
            }
            (created, _) => created?,
        };
        if let Some(stored) = &stored {
            let owner = serde_json::from_value(created.clone()).map_err(|e| Failure::poolkeeper("the new pool", e))?;
            secret::belongs_to(&server, stored, &owner).await?;
        }
        self.print(&created, None)?;
        say(&format!("pool {} is created; `poolkeeper status {0}` shows how it is", self.name));
        accepted(&server, &self.name).await
    }
}

impl PoolArgs {
    /// The fields that only this command has flags for, and the runtime.
    fn more(&self, spec: &mut serde_json::Map<String, Value>, server: &Server) -> Result<(), Failure> {
        let is_set = |field: &str, spec: &serde_json::Map<String, Value>| spec.get(field).is_some_and(|v| !v.is_null());
        if server.is_local && !is_set("runtime", spec) && !is_set("image", spec) {
            // As `run --local` does. On a cluster an image is needed, and the controller says so.
            spec.insert("runtime".to_owned(), json!("Process"));
        }
        if let Some(warm) = self.warm {
            spec.insert("warm".to_owned(), json!(warm));
        }
        if let Some(time) = &self.idle_timeout {
            spec.insert("idleTimeout".to_owned(), json!(time));
        }
        let scope = self.scope.map(|scope| ("scope", json!(scope)));
        for (field, value) in scope.into_iter().chain(self.pause.then_some(("pause", json!(true)))) {
            let limit = spec.entry("rateLimit").or_insert_with(|| json!({}));
            let wrong = || Failure::usage("--file: spec.rateLimit must be an object");
            limit.as_object_mut().ok_or_else(wrong)?.insert(field.to_owned(), value);
        }
        Ok(())
    }

    /// Creates the pool, or has the server check it as if.
    async fn create(&self, server: &Server, pool: &Value, dry_run: bool) -> Result<Value, Failure> {
        let path = Kind::Pool.path(Some(&server.namespace));
        let dry_run = if dry_run { "&dryRun=All" } else { "" };
        let request = Request::post(format!("{path}?fieldValidation=Strict{dry_run}"));
        let request =
            request.header(http::header::CONTENT_TYPE, "application/json").body(pool.to_string().into_bytes());
        let request = request.map_err(|e| Failure::usage(format!("{path}: {e}")))?;
        server.client.request(request).await.map_err(|error| match error {
            kube::Error::Api(status) if matches!(status.code, 400 | 422) => {
                let file = self.flags.file.as_ref().map(|file| file.display().to_string());
                Failure::of_pool(standalone::Error::InvalidPool(status), pool, file.as_deref())
            }
            error => server.failed(&error),
        })
    }

    fn print(&self, pool: &Value, default: Option<Format>) -> Result<(), Failure> {
        let Some(format) = self.output.or(default) else { return Ok(()) };
        print::data(&print::objects(Kind::Pool, std::slice::from_ref(pool), true, format)?)
    }
}

/// Says if the controller does not accept the pool.
async fn accepted(server: &Server, name: &str) -> Result<Exit, Failure> {
    let looked = change::until(LOOKED, async || {
        let pool = change::find::<ContainerPool>(server, name).await?;
        let status = pool.map(|pool| pool.status.unwrap_or_default());
        Ok(status.as_ref().is_none_or(|s| s.observed_generation.is_some()).then_some(status))
    })
    .await?;
    let Some(status) = looked else {
        say("no controller has looked at it yet. Does one run?");
        return Ok(Exit::Success);
    };
    let conditions = status.unwrap_or_default().conditions;
    match Condition::find::<PoolRuntimeAllowed>(&conditions).filter(|allowed| !allowed.is_true()) {
        Some(refused) => {
            Err(Failure::new(Exit::Failed, format!("the controller does not accept pool {name}: {}", refused.message)))
        }
        None => Ok(Exit::Success),
    }
}
