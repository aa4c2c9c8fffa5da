//! From flags and a file to a ContainerPool. The API checks its fields.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::PoolFlags;
use super::flags::{Surroundings, credentials, env, mounts};
use crate::api::pool::defaults;
use crate::api::{GROUP, Period, RuntimeKind, VERSION};
use crate::cli::exit::{Exit, Failure};
use crate::supervisor::batch::IN_FLIGHT_PER_WORKER;

/// Name of a pool that was given none.
const DEFAULT_NAME: &str = "pool";

/// The command of workers whose image was given by a flag, without a file.
pub const STAY: [&str; 2] = ["sleep", "infinity"];

/// A pool to be created.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedPool {
    /// The ContainerPool as JSON. It may have fields that the API does not know.
    pub pool: Value,
    /// The runtime of its workers.
    pub runtime: RuntimeKind,
    /// True if the workers' command is [`STAY`] because none was given.
    pub stays: bool,
}

/// Reads `-f`.
///
/// # Errors
/// The file cannot be read, is not YAML, or not one ContainerPool.
pub fn read_file(path: &Path) -> Result<Value, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| {
        let exit = if e.kind() == std::io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Usage };
        Failure::new(exit, format!("--file {name}: {e}"))
    })?;
    let value: Value = serde_saphyr::from_str(&text).map_err(|e| Failure::usage(format!("--file {name}: {e}")))?;
    let word = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or("nothing").to_owned();
    if !value.is_object() || word("kind") != "ContainerPool" {
        let message = format!(
            "--file {name}: kind is {:?}: it must be one ContainerPool (see examples/local-pool.yaml)",
            word("kind")
        );
        return Err(Failure::usage(message));
    }
    let wanted = format!("{GROUP}/{VERSION}");
    if word("apiVersion") != wanted {
        let message = format!("--file {name}: apiVersion is {:?}: it must be {wanted}", word("apiVersion"));
        return Err(Failure::usage(message));
    }
    Ok(value)
}

/// What a pool is planned for.
#[derive(Debug, Clone, Copy)]
pub struct Purpose<'a> {
    /// Name of the pool, if one is given besides the file.
    pub name: Option<&'a str>,
    /// Its namespace, whatever the file says.
    pub namespace: &'a str,
    /// True if one command runs in it, instead of many tasks.
    pub single: bool,
}

/// Lays the flags over `file`.
///
/// # Errors
/// A flag that cannot be understood, or a field that `run` cannot honour.
pub fn plan(
    flags: &PoolFlags,
    purpose: Purpose<'_>,
    file: Option<Value>,
    around: &Surroundings<'_>,
) -> Result<PlannedPool, Failure> {
    let mut laid = lay(flags, purpose.name, purpose.namespace, file, around)?;
    let spec = section(&mut laid.pool, "spec")?;
    let runtime = decide_runtime(flags, spec)?;
    spec.insert("runtime".to_owned(), json!(runtime));
    extend(spec, "credentials", "name", credentials(&flags.credential, around)?)?;
    if purpose.single {
        limit_to_one_task(spec);
    }
    set_dispatch(spec);
    refuse_what_is_not_honoured(spec)?;
    Ok(PlannedPool { pool: laid.pool, runtime, stays: laid.stays })
}

/// Flags over a file: what is the same for every command.
#[derive(Debug, Clone, PartialEq)]
pub struct LaidPool {
    /// The ContainerPool as JSON, without the credentials that flags name.
    pub pool: Value,
    /// True if the workers' command is [`STAY`] because none was given.
    pub stays: bool,
}

/// Lays the flags over `file`, except for credentials. The runtime is only there if it was named.
///
/// # Errors
/// A flag that cannot be understood.
pub fn lay(
    flags: &PoolFlags,
    name: Option<&str>,
    namespace: &str,
    file: Option<Value>,
    around: &Surroundings<'_>,
) -> Result<LaidPool, Failure> {
    let from_file = file.is_some();
    let mut pool = file.unwrap_or_else(|| json!({"apiVersion": format!("{GROUP}/{VERSION}"), "kind": "ContainerPool"}));
    if let Some(object) = pool.as_object_mut() {
        object.remove("status");
    }
    let metadata = section(&mut pool, "metadata")?;
    if let Some(name) = name {
        metadata.insert("name".to_owned(), json!(name));
    }
    metadata.entry("name").or_insert_with(|| json!(DEFAULT_NAME));
    metadata.insert("namespace".to_owned(), json!(namespace));

    let spec = section(&mut pool, "spec")?;
    for (field, value) in [("max", flags.workers), ("min", flags.min)] {
        if let Some(n) = value {
            spec.insert(field.to_owned(), json!(n));
        }
    }
    let stays = flags.image.is_some() && !from_file;
    if let Some(image) = &flags.image {
        spec.insert("image".to_owned(), json!(image));
        if stays {
            // Tasks are started by exec, so the worker need only stay. With a file the command is left as written.
            spec.insert("command".to_owned(), json!(STAY));
        }
    }
    if let Some(cooldown) = &flags.cooldown {
        set_cooldown(spec, cooldown);
    }
    if let Some(runtime) = flags.runtime {
        spec.insert("runtime".to_owned(), json!(runtime));
    }
    add_presets(spec, &flags.preset)?;
    extend(spec, "env", "name", env(&flags.env, around)?)?;
    let hosts =
        flags.host.iter().map(|host| json!({"name": host.split_once('=').map_or(host.as_str(), |(name, _)| name)}));
    extend(spec, "hosts", "name", hosts.collect())?;
    extend(spec, "mounts", "mountPath", mounts(&flags.mount, around)?)?;
    Ok(LaidPool { pool, stays })
}

impl PlannedPool {
    /// Lowers the number of workers to `most`, and answers what it was. None: it is not above that, or not a number, which
    /// the API refuses.
    pub fn lower_max(&mut self, most: i64) -> Option<i64> {
        let spec = self.pool.get_mut("spec")?.as_object_mut()?;
        let max = spec.get("max").map_or(Some(defaults::max().into()), Value::as_i64).filter(|max| *max > most)?;
        spec.insert("max".to_owned(), json!(most));
        if spec.get("min").and_then(Value::as_i64).is_some_and(|min| (most + 1..=max).contains(&min)) {
            spec.insert("min".to_owned(), json!(most));
        }
        Some(max)
    }
}

/// A part of a pool that is an object; an empty one, if it is not there.
///
/// # Errors
/// It is there and no object.
pub fn section<'a>(pool: &'a mut Value, name: &str) -> Result<&'a mut Map<String, Value>, Failure> {
    let wrong = || Failure::usage(format!("--file: {name} must be an object (see examples/local-pool.yaml)"));
    let object = pool.as_object_mut().ok_or_else(wrong)?;
    let section = object.entry(name).or_insert_with(|| json!({}));
    if section.is_null() {
        *section = json!({});
    }
    section.as_object_mut().ok_or_else(wrong)
}

/// A cooldown above the default maxCooldown raises maxCooldown too, unless that is given.
fn set_cooldown(spec: &mut Map<String, Value>, cooldown: &str) {
    spec.insert("cooldown".to_owned(), json!(cooldown));
    let long = cooldown.parse::<Period>().is_ok_and(|c| c > defaults::max_cooldown());
    if long && spec.get("rateLimit").is_none_or(Value::is_object) {
        let limit = spec.entry("rateLimit").or_insert_with(|| json!({}));
        if let Some(limit) = limit.as_object_mut() {
            limit.entry("maxCooldown").or_insert_with(|| json!(cooldown));
        }
    }
}

/// Presets that a flag names are added to the patterns of the file.
fn add_presets(spec: &mut Map<String, Value>, presets: &[String]) -> Result<(), Failure> {
    if presets.is_empty() {
        return Ok(());
    }
    let wrong = |field: &str, kind: &str| Failure::usage(format!("--file: spec.{field} must be {kind}"));
    let limit = spec.entry("rateLimit").or_insert_with(|| json!({}));
    let limit = limit.as_object_mut().ok_or_else(|| wrong("rateLimit", "an object"))?;
    let patterns = limit.entry("patterns").or_insert_with(|| json!([]));
    let patterns = patterns.as_array_mut().ok_or_else(|| wrong("rateLimit.patterns", "a list"))?;
    for name in presets {
        if !patterns.contains(&json!(name)) {
            patterns.push(json!(name));
        }
    }
    Ok(())
}

/// Docker if there is an image, else Process. Work that is meant for a container never runs directly on this machine.
fn decide_runtime(flags: &PoolFlags, spec: &Map<String, Value>) -> Result<RuntimeKind, Failure> {
    const PODS: &str = "Pods need a cluster; with --local add --runtime Docker, or --runtime Process";
    match flags.runtime {
        Some(RuntimeKind::Pod) => return Err(Failure::usage(format!("--runtime Pod: {PODS}"))),
        Some(runtime) => return Ok(runtime),
        None => {}
    }
    match spec.get("runtime").filter(|r| !r.is_null()) {
        None if spec.get("image").is_some_and(|i| !i.is_null()) => Ok(RuntimeKind::Docker),
        None => Ok(RuntimeKind::Process),
        Some(named) => match named.as_str() {
            Some("Docker") => Ok(RuntimeKind::Docker),
            Some("Process") => Ok(RuntimeKind::Process),
            Some("Pod") => Err(Failure::usage(format!("spec.runtime: {PODS}"))),
            _ => Err(Failure::usage(format!("spec.runtime is {named}: use Docker or Process"))),
        },
    }
}

/// Adds entries to a list of the spec; one with the same key is replaced.
///
/// # Errors
/// The field is there and no list.
pub fn extend(spec: &mut Map<String, Value>, field: &str, key: &str, entries: Vec<Value>) -> Result<(), Failure> {
    if entries.is_empty() {
        return Ok(());
    }
    let list = spec.entry(field).or_insert_with(|| json!([]));
    let list = list
        .as_array_mut()
        .ok_or_else(|| Failure::usage(format!("--file: spec.{field} must be a list (see examples/local-pool.yaml)")))?;
    let given: Vec<&Value> = entries.iter().filter_map(|e| e.get(key)).collect();
    list.retain(|old| !old.get(key).is_some_and(|name| given.contains(&name)));
    list.extend(entries);
    Ok(())
}

/// One command needs one worker. Another worker helps only if it has another credential.
fn limit_to_one_task(spec: &mut Map<String, Value>) {
    let credentials = spec.get("credentials").and_then(Value::as_array).map_or(0, Vec::len);
    let least = spec.get("min").and_then(Value::as_i64).unwrap_or_default();
    let max = least.clamp(1, defaults::max().into()).max(i64::try_from(credentials).unwrap_or(1));
    spec.entry("max").or_insert_with(|| json!(max));
}

/// `run` limits how many tasks are in flight. The queue must have room for as many, or tasks would be refused without a run.
/// The history retains as many, so a watch that starts over misses no end; more would only cost memory. A task has no time
/// limit unless `--timeout` or the file sets one.
fn set_dispatch(spec: &mut Map<String, Value>) {
    let max = spec.get("max").and_then(Value::as_i64).unwrap_or_else(|| defaults::max().into());
    let needed = max.saturating_mul(IN_FLIGHT_PER_WORKER).clamp(1, 1_000_000);
    let dispatch = spec.entry("dispatch").or_insert(Value::Null);
    if dispatch.is_null() {
        *dispatch = json!({});
    }
    let Some(dispatch) = dispatch.as_object_mut() else { return };
    dispatch.retain(|_, value| !value.is_null());
    let limit = dispatch.entry("queueLimit").or_insert_with(|| json!(needed.max(defaults::queue_limit().into())));
    if limit.as_i64().is_some_and(|limit| (0..needed).contains(&limit)) {
        *limit = json!(needed);
    }
    dispatch.entry("timeout").or_insert_with(|| json!("0s"));
    dispatch.entry("history").or_insert_with(|| json!({"limit": needed}));
}

fn refuse_what_is_not_honoured(spec: &Map<String, Value>) -> Result<(), Failure> {
    if spec.get("paused").and_then(Value::as_bool) == Some(true) {
        return Err(Failure::usage("spec.paused is true, so nothing would run: take it out of the file"));
    }
    Ok(())
}

/// The flag that sets each field, for error messages.
pub const FLAGS: [(&str, &str); 10] = [
    ("metadata.name", "POOL"),
    ("spec.max", "--workers"),
    ("spec.min", "--min"),
    ("spec.cooldown", "--cooldown"),
    ("spec.image", "--image"),
    ("spec.runtime", "--runtime"),
    ("spec.mounts", "--mount"),
    ("spec.env", "--env"),
    ("spec.credentials", "--credential"),
    ("spec.rateLimit.patterns", "--preset"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const BATCH: Purpose<'static> = Purpose { name: None, namespace: "default", single: false };

    fn planned(change: impl FnOnce(&mut PoolFlags), file: Option<Value>) -> Result<PlannedPool, Failure> {
        let mut flags = PoolFlags::default();
        change(&mut flags);
        plan(&flags, BATCH, file, &Surroundings::of_test())
    }

    fn pool(spec: Value) -> Option<Value> {
        Some(
            json!({"apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "agents"}, "spec": spec}),
        )
    }

    #[test]
    fn without_anything_it_is_processes_in_a_pool_called_pool() {
        let plan = planned(|_| (), None).unwrap();
        assert_eq!(plan.runtime, RuntimeKind::Process);
        assert_eq!(plan.pool["metadata"], json!({"name": "pool", "namespace": "default"}));
        let dispatch = json!({"queueLimit": 1000, "timeout": "0s", "history": {"limit": 16}});
        assert_eq!(plan.pool["spec"], json!({"runtime": "Process", "dispatch": dispatch}));
    }

    #[test]
    fn an_image_means_docker_from_wherever_it_comes() {
        let flag = planned(|a| a.image = Some("alpine".into()), None).unwrap();
        assert_eq!((flag.runtime, &flag.pool["spec"]["command"]), (RuntimeKind::Docker, &json!(["sleep", "infinity"])));
        let file = planned(|_| (), pool(json!({"image": "agent:1"}))).unwrap();
        assert_eq!((file.runtime, file.pool["spec"].get("command")), (RuntimeKind::Docker, None));
        // Said in as many words it is for the API to refuse.
        let both = planned(|a| a.runtime = Some(RuntimeKind::Process), pool(json!({"image": "agent:1"}))).unwrap();
        assert_eq!(both.pool["spec"]["image"], "agent:1");
    }

    #[test]
    fn flags_go_before_the_file() {
        let file = json!({"max": 2, "min": 1, "cooldown": "1m", "env": [{"name": "A", "value": "file"}, {"name": "B", "value": "file"}]});
        let change = |a: &mut PoolFlags| {
            a.workers = Some(5);
            a.env = vec!["A=flag".into(), "TOKEN".into()];
        };
        let plan = planned(change, pool(file)).unwrap();
        assert_eq!(plan.pool["metadata"]["name"], "agents");
        let named = Purpose { name: Some("mine"), ..BATCH };
        let named = super::plan(&PoolFlags::default(), named, pool(json!({})), &Surroundings::of_test()).unwrap();
        assert_eq!(named.pool["metadata"]["name"], "mine");
        let spec = &plan.pool["spec"];
        assert_eq!((&spec["max"], &spec["min"], &spec["cooldown"]), (&json!(5), &json!(1), &json!("1m")));
        let env = json!([{"name": "B", "value": "file"}, {"name": "A", "value": "flag"}, {"name": "TOKEN", "value": "secret-value"}]);
        assert_eq!(spec["env"], env);
    }

    #[test]
    fn a_long_cooldown_raises_its_bound_unless_that_is_given() {
        let plan = planned(|a| a.cooldown = Some("2h".into()), None).unwrap();
        assert_eq!(plan.pool["spec"]["rateLimit"], json!({"maxCooldown": "2h"}));
        let plan =
            planned(|a| a.cooldown = Some("2h".into()), pool(json!({"rateLimit": {"maxCooldown": "90m"}}))).unwrap();
        assert_eq!(plan.pool["spec"]["rateLimit"], json!({"maxCooldown": "90m"}));
        let plan = planned(|a| a.cooldown = Some("5 parsecs".into()), None).unwrap();
        assert_eq!(plan.pool["spec"]["cooldown"], "5 parsecs");
    }

    #[test]
    fn a_wide_pool_gets_a_queue_that_fits() {
        let dispatch =
            |workers, spec| planned(|a| a.workers = workers, pool(spec)).unwrap().pool["spec"]["dispatch"].clone();
        let wide = json!({"queueLimit": 1200, "timeout": "0s", "history": {"limit": 1200}});
        assert_eq!(dispatch(Some(600), json!({})), wide);
        assert_eq!(dispatch(Some(600), json!({"dispatch": null})), wide);
        // A queue that is too short for what run keeps in flight would refuse most of a batch.
        let limit = |given: Value| dispatch(Some(4), json!({"dispatch": {"queueLimit": given}}))["queueLimit"].clone();
        for (given, wanted) in [(json!(0), 8), (json!(7), 8), (json!(8), 8), (json!(9), 9), (Value::Null, 1000)] {
            assert_eq!(limit(given.clone()), wanted, "{given}");
        }
        // What is none is for the API to refuse.
        assert_eq!((limit(json!(-1)), limit(json!("few"))), (json!(-1), json!("few")));
        assert_eq!(dispatch(None, json!({"dispatch": {"history": {"ttl": "1m"}}}))["history"], json!({"ttl": "1m"}));
    }

    #[test]
    fn an_attempt_takes_as_long_as_it_takes_unless_the_file_says_otherwise() {
        let timeout = |spec| planned(|_| (), pool(spec)).unwrap().pool["spec"]["dispatch"]["timeout"].clone();
        for spec in [json!({}), json!({"dispatch": {}}), json!({"dispatch": {"timeout": null}})] {
            assert_eq!(timeout(spec.clone()), "0s", "{spec}");
        }
        assert_eq!(timeout(json!({"dispatch": {"timeout": "8h"}})), "8h");
    }

    #[test]
    fn a_pool_is_lowered_only_if_it_is_too_large() {
        let lowered = |spec: Value, most| {
            let mut plan = planned(|_| (), pool(spec)).unwrap();
            let before = plan.lower_max(most);
            (before, plan.pool["spec"]["max"].clone(), plan.pool["spec"]["min"].clone())
        };
        assert_eq!(lowered(json!({"max": 30, "min": 20}), 12), (Some(30), json!(12), json!(12)));
        assert_eq!(lowered(json!({"max": 30, "min": 5}), 12), (Some(30), json!(12), json!(5)));
        assert_eq!(lowered(json!({}), 3), (Some(8), json!(3), Value::Null));
        assert_eq!(lowered(json!({"max": 12}), 12), (None, json!(12), Value::Null));
        // What is wrong stays wrong, for the API to say so.
        assert_eq!(lowered(json!({"max": "lots"}), 12), (None, json!("lots"), Value::Null));
        assert_eq!(lowered(json!({"max": 30, "min": 31}), 12), (Some(30), json!(12), json!(31)));
    }

    #[test]
    fn one_command_gets_one_worker_for_each_credential() {
        let max = |spec: Value| {
            let single = Purpose { single: true, ..BATCH };
            plan(&PoolFlags::default(), single, pool(spec), &Surroundings::of_test()).unwrap().pool["spec"]["max"]
                .clone()
        };
        assert_eq!(max(json!({})), 1);
        assert_eq!(max(json!({"min": 2})), 2);
        assert_eq!(max(json!({"max": 4})), 4);
        assert_eq!(max(json!({"credentials": [{"name": "a"}, {"name": "b"}]})), 2);
    }

    #[test]
    fn presets_are_added_to_the_patterns_of_the_file() {
        let patterns = |presets: &[&str], spec| {
            let change = |flags: &mut PoolFlags| flags.preset = presets.iter().map(|p| (*p).to_owned()).collect();
            planned(change, pool(spec)).map(|plan| plan.pool["spec"]["rateLimit"].clone())
        };
        assert_eq!(patterns(&["gh", "curl"], json!({})).unwrap(), json!({"patterns": ["gh", "curl"]}));
        let file = json!({"rateLimit": {"scope": "Credential", "patterns": ["gh"]}});
        assert_eq!(
            patterns(&["gh", "curl"], file).unwrap(),
            json!({"scope": "Credential", "patterns": ["gh", "curl"]})
        );
        assert!(patterns(&["gh"], json!({"rateLimit": {"patterns": "x"}})).unwrap_err().message.contains("a list"));
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        for (spec, word) in [
            (json!({"paused": true}), "spec.paused"),
            (json!({"runtime": "Pod"}), "need a cluster"),
            (json!({"runtime": "docker"}), "use Docker or Process"),
        ] {
            let error = planned(|_| (), pool(spec)).unwrap_err();
            assert!(error.message.contains(word), "{error}");
        }
    }
}
