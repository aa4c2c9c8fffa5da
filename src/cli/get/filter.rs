//! Which of the objects are shown.

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::dispatch::DispatchPhase;
use crate::api::worker::WorkerPhase;
use crate::cli::exit::Failure;
use crate::cli::print::kinds::Kind;

/// Flags that leave objects out.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct FilterArgs {
    /// Of this pool: workers and dispatches
    #[arg(long, value_name = "POOL", help_heading = "Filters")]
    pool: Option<String>,
    /// In this phase: workers and dispatches
    #[arg(long, value_name = "PHASE", help_heading = "Filters")]
    phase: Option<String>,
    /// On this host: workers
    #[arg(long, value_name = "HOST", help_heading = "Filters")]
    host: Option<String>,
    /// With this credential of their pool: workers
    #[arg(long, value_name = "NAME", help_heading = "Filters")]
    credential: Option<String>,
    /// With these labels, such as team=a
    #[arg(long, short = 'l', value_name = "SELECTOR", help_heading = "Filters")]
    selector: Option<String>,
}

/// What must hold of an object that is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Filter {
    /// What the server looks at: a part of an address.
    pub query: String,
    /// What is looked at here: paths and values.
    fields: Vec<(&'static str, String)>,
}

impl FilterArgs {
    /// The filter for objects of a kind.
    pub fn of(self, kind: Kind, names: &[String]) -> Result<Filter, Failure> {
        let all = [&self.pool, &self.phase, &self.host, &self.credential, &self.selector];
        if !names.is_empty() && all.iter().any(|flag| flag.is_some()) {
            return Err(Failure::usage("a filter and a name cannot be used together: leave one of them out"));
        }
        let only = |flag: &str, kinds: &str| {
            Failure::usage(format!("{flag} is for {kinds}, and {} have nothing of the kind", kind.plural()))
        };
        let mut query = form_urlencoded::Serializer::new(String::new());
        let mut fields = Vec::new();
        if let Some(pool) = self.pool {
            if kind == Kind::Pool {
                return Err(only("--pool", "workers and dispatches"));
            }
            query.append_pair("fieldSelector", &format!("spec.pool={pool}"));
        }
        if let Some(phase) = self.phase {
            let phase = match kind {
                Kind::Pool => return Err(only("--phase", "workers and dispatches")),
                Kind::Worker => one_of::<WorkerPhase>(&phase)?,
                Kind::Dispatch => one_of::<DispatchPhase>(&phase)?,
            };
            fields.push(("/status/phase", phase));
        }
        let of_workers = [("--host", "/spec/host", self.host), ("--credential", "/spec/credential", self.credential)];
        for (flag, path, value) in of_workers {
            let Some(value) = value else { continue };
            if kind != Kind::Worker {
                return Err(only(flag, "workers"));
            }
            fields.push((path, value));
        }
        if let Some(selector) = self.selector {
            query.append_pair("labelSelector", &selector);
        }
        Ok(Filter { query: query.finish(), fields })
    }
}

/// A phase, in whatever case it was written.
fn one_of<P: DeserializeOwned>(phase: &str) -> Result<String, Failure> {
    let lower = phase.to_ascii_lowercase();
    let (first, rest) = lower.split_at(lower.chars().next().map_or(0, char::len_utf8));
    let word = format!("{}{rest}", first.to_ascii_uppercase());
    match serde_json::from_value::<P>(Value::String(word.clone())) {
        Ok(_) => Ok(word),
        Err(error) => Err(Failure::usage(format!("--phase {phase}: {error}"))),
    }
}

impl Filter {
    /// True if the object is shown.
    pub fn shows(&self, object: &Value) -> bool {
        self.fields.iter().all(|(path, value)| object.pointer(path).and_then(Value::as_str) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn filters_are_for_the_kinds_that_have_such_fields() {
        let args = FilterArgs { phase: Some("busy".into()), host: Some("local".into()), ..FilterArgs::default() };
        let filter = args.clone().of(Kind::Worker, &[]).unwrap();
        assert!(filter.shows(&json!({"spec": {"host": "local"}, "status": {"phase": "Busy"}})));
        assert!(!filter.shows(&json!({"spec": {}, "status": {"phase": "Busy"}})));
        assert!(!filter.shows(&json!({"spec": {"host": "local"}})));
        let refused = |args: FilterArgs, kind| args.of(kind, &[]).unwrap_err().message;
        assert!(refused(args.clone(), Kind::Dispatch).contains("expected one of `Pending`"));
        assert!(refused(args, Kind::Pool).starts_with("--phase is for workers and dispatches"));
        let pool = FilterArgs { pool: Some("a&b".into()), ..FilterArgs::default() };
        assert_eq!(pool.clone().of(Kind::Worker, &[]).unwrap().query, "fieldSelector=spec.pool%3Da%26b");
        assert!(pool.of(Kind::Worker, &["w".into()]).is_err());
    }
}
