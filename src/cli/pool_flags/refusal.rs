//! What the API says about a pool, for the user who typed it: field, value, what would be right, and which flag sets it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::spec::FLAGS;
use crate::cli::exit::Failure;
use crate::standalone;

impl Failure {
    /// The pool cannot be created. `file` is where it comes from, besides flags.
    pub fn of_pool(error: standalone::Error, pool: &Value, file: Option<&str>) -> Self {
        match error {
            standalone::Error::InvalidPool(status) => Self::usage(refusal(&status, pool, file)),
            error => error.into(),
        }
    }
}

/// What is wrong with `pool`, field by field. `file` is where it comes from, besides flags.
fn refusal(status: &kube::core::Status, pool: &Value, file: Option<&str>) -> String {
    let mut fields: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for cause in status.details.iter().flat_map(|d| &d.causes) {
        let details = fields.entry(&cause.field).or_default();
        let detail = detail(&cause.field, &cause.message);
        if !details.contains(&detail) {
            details.push(detail);
        }
    }
    let mut lines: Vec<String> = fields.iter().map(|(field, details)| line(field, details, pool)).collect();
    if lines.is_empty() {
        // Unknown fields have no causes.
        lines.push(status.message.clone());
    }
    let place = file.map(|file| format!(" ({file})")).unwrap_or_default();
    format!("the pool is not valid{place}: {}", lines.join("; "))
}

fn line(field: &str, details: &[String], pool: &Value) -> String {
    // A pattern says the same as the rule next to it, in a form for programs.
    let is_pattern = |d: &&String| d.starts_with("should match '");
    let (patterns, words): (Vec<_>, Vec<_>) = details.iter().partition(is_pattern);
    let details = if words.is_empty() { patterns } else { words };
    let text = details.iter().map(|d| d.as_str()).collect::<Vec<_>>().join(", ");
    let flags: Vec<&str> =
        FLAGS.iter().filter(|(name, _)| names(field, name) || names(&text, name)).map(|(_, f)| *f).collect();
    let flags = if flags.is_empty() { String::new() } else { format!(" ({})", flags.join(", ")) };
    match value_at(pool, field) {
        Some(value) => format!("{field} is {value}: {text}{flags}"),
        None if matches!(field, "<nil>" | "" | "spec") => format!("{text}{flags}"),
        None => format!("{field}: {text}{flags}"),
    }
}

/// True if the path `name` is in `text`, and not as a part of a longer word.
fn names(text: &str, name: &str) -> bool {
    let after = |at: usize| text[at + name.len()..].chars().next();
    text.match_indices(name).any(|(at, _)| !after(at).is_some_and(char::is_alphanumeric))
}

/// The message without the value and the path, which are shown separately: `Invalid value: 0: spec.max in body should …`.
fn detail(field: &str, message: &str) -> String {
    let message = message.strip_prefix("Invalid value: ").unwrap_or(message);
    let in_body = format!("{field} in body ");
    if let Some(at) = message.find(&in_body) {
        return message[at + in_body.len()..].to_owned();
    }
    // Rules know the type of what is wrong, not its value.
    let rest =
        ["\"object\": ", "\"string\": ", "\"integer\": ", "\"array\": "].iter().find_map(|t| message.strip_prefix(t));
    rest.unwrap_or(message).to_owned()
}

/// The value at `spec.env[0].name`, if it is there and short enough to be shown.
fn value_at<'a>(pool: &'a Value, field: &str) -> Option<&'a Value> {
    let mut value = pool;
    for part in field.split('.') {
        let mut names = part.split('[');
        value = value.get(names.next()?)?;
        for index in names {
            value = value.get(index.strip_suffix(']')?.parse::<usize>().ok()?)?;
        }
    }
    // The value of a variable may be a secret.
    let shown = !value.is_object()
        && !value.is_array()
        && field.rsplit('.').next() != Some("value")
        && value.to_string().len() <= 200;
    shown.then_some(value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::api::ContainerPool;
    use crate::cli::exit::Exit;
    use crate::clock::{Ids, SystemClock};
    use crate::standalone::Server;

    #[test]
    fn values_are_found_by_their_path() {
        let pool = json!({"spec": {"max": 0, "env": [{"name": "A", "value": "secret"}]}});
        assert_eq!(value_at(&pool, "spec.max"), Some(&json!(0)));
        assert_eq!(value_at(&pool, "spec.env[0].name"), Some(&json!("A")));
        for hidden in ["spec.env[0].value", "spec", "spec.env[1].name", "<nil>"] {
            assert_eq!(value_at(&pool, hidden), None);
        }
    }

    #[test]
    fn a_line_says_it_once() {
        let details = ["should match '^x$'".to_owned(), "must be an x".to_owned()];
        let pool = json!({"spec": {"cooldown": "y"}});
        assert_eq!(line("spec.cooldown", &details, &pool), "spec.cooldown is \"y\": must be an x (--cooldown)");
        let max = detail("spec.max", "Invalid value: 0: spec.max in body should be greater than or equal to 1");
        assert_eq!(max, "should be greater than or equal to 1");
        let rule = detail("spec", "Invalid value: \"object\": min must be <= max (raise spec.max first)");
        assert_eq!(line("spec", &[rule], &pool), "min must be <= max (raise spec.max first) (--workers)");
        assert!(!names("spec.maxCooldown", "spec.max") && names("spec.env[0].name", "spec.env"));
    }

    async fn create(spec: Value, file: Option<&str>) -> Result<ContainerPool, Failure> {
        let server = Server::new(Arc::new(SystemClock::new()), Ids::seeded(1)).unwrap();
        let pool = json!({
            "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "pool"}, "spec": spec,
        });
        server.create_pool(&pool).await.map_err(|e| Failure::of_pool(e, &pool, file))
    }

    #[tokio::test]
    async fn the_api_says_what_is_wrong_and_the_flag_is_named() {
        for (spec, words) in [
            (json!({"min": 5, "max": 2}), &["min must be <= max"][..]),
            (json!({"max": 0}), &["spec.max", "greater than or equal to 1", "--workers"]),
            (json!({"max": -3}), &["spec.max", "-3", "--workers"]),
            (json!({"cooldown": "5 parsecs"}), &["spec.cooldown", "5 parsecs", "such as 90s", "--cooldown"]),
            (json!({"image": ""}), &["spec.image", "such as ghcr.io", "--image"]),
            (json!({"runtime": "Process", "image": "a"}), &["runtime Process has no image"]),
        ] {
            let error = create(spec, None).await.unwrap_err();
            assert_eq!(error.exit, Exit::Usage);
            for word in words {
                assert!(error.message.contains(word), "{word}: {error}");
            }
        }
    }

    #[tokio::test]
    async fn fields_that_there_are_not_are_refused() {
        let error = create(json!({"colour": "red"}), Some("pool.yaml")).await.unwrap_err();
        assert!(
            error.message.contains("unknown field \"spec.colour\"") && error.message.contains("pool.yaml"),
            "{error}"
        );
    }
}
