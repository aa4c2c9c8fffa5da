//! Parts of schemas that several fields share: strings of a given form, with a message that says what would be right.
//!
//! Each carries its form twice: as `pattern`, which editors understand, and as a CEL rule, for the message.

use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::json;

/// Maximum length of a period as a string. It bounds the cost of the rules that the API server estimates.
pub(super) const MAX_PERIOD_TEXT: usize = 32;
/// Maximum period: a hundred years. A longer one is a mistake, and would overflow dates.
pub(super) const MAX_PERIOD_HOURS: u64 = 876_000;
/// Maximum grace. A Pod that takes longer to end would hold its node for as long.
const MAX_GRACE_HOURS: u64 = 24;
/// The form of a period, in CEL and in JSON schema.
pub(super) const PERIOD: &str = "^([0-9]+(ms|s|m|h))+$";
/// A DNS-1123 label.
pub(super) const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// A DNS-1123 subdomain.
const SUBDOMAIN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// A length of time, zero or more.
pub(super) fn period() -> Schema {
    let message = format!(
        "must be a length of time in ms, s, m and h, such as 90s, 5m or 1h30m, and at most {MAX_PERIOD_HOURS}h"
    );
    period_with("", &message)
}

/// A length of time above zero.
pub(super) fn period_above_zero(_: &mut SchemaGenerator) -> Schema {
    let message = format!(
        "must be a length of time above 0s in ms, s, m and h, such as 90s, 5m or 1h30m, and at most {MAX_PERIOD_HOURS}h"
    );
    period_with(" && duration(self) > duration('0s')", &message)
}

/// A grace, in whole seconds: Pods know no parts of a second.
pub(super) fn grace(_: &mut SchemaGenerator) -> Schema {
    let pattern = "^([0-9]+(s|m|h))+$";
    json_schema!({
        "type": "string",
        "maxLength": MAX_PERIOD_TEXT,
        "pattern": pattern,
        "x-kubernetes-validations": [{
            "rule": format!("self.matches('{pattern}') && duration(self) <= duration('{MAX_GRACE_HOURS}h')"),
            "message": format!(
                "must be a length of time in whole s, m and h, such as 30s or 5m, and at most {MAX_GRACE_HOURS}h"
            ),
        }],
    })
}

fn period_with(floor: &str, message: &str) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": MAX_PERIOD_TEXT,
        "pattern": PERIOD,
        "x-kubernetes-validations": [{
            "rule": format!("self.matches('{PERIOD}'){floor} && duration(self) <= duration('{MAX_PERIOD_HOURS}h')"),
            "message": message,
        }],
    })
}

fn text(pattern: &str, max: u32, message: &str) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": max,
        "pattern": pattern,
        "x-kubernetes-validations": [{"rule": format!("self.matches('{pattern}')"), "message": message}],
    })
}

/// Name of a pool.
pub(super) fn pool_name(_: &mut SchemaGenerator) -> Schema {
    let max = super::names::MAX_POOL_NAME;
    let max = u32::try_from(max).unwrap_or(u32::MAX);
    text(LABEL, max, "must be the name of a pool: lower case letters, digits and hyphens, such as agents")
}

/// A name inside an object, or in the controller's configuration.
pub(super) fn label(_: &mut SchemaGenerator) -> Schema {
    text(LABEL, 63, "must be lower case letters, digits and hyphens, such as team-a")
}

/// Name of an object of another kind.
pub(super) fn object_name(_: &mut SchemaGenerator) -> Schema {
    text(SUBDOMAIN, 253, "must be the name of an object: lower case letters, digits, hyphens and dots, such as tokens")
}

/// Key of a Secret.
pub(super) fn secret_key(_: &mut SchemaGenerator) -> Schema {
    text("^[-._a-zA-Z0-9]+$", 253, "must be a key of a Secret: letters, digits, hyphens, dots and underscores")
}

/// Name of an environment variable.
pub(super) fn env_name(_: &mut SchemaGenerator) -> Schema {
    text(
        "^[A-Za-z_][A-Za-z0-9_]*$",
        256,
        "must be the name of an environment variable: letters, digits and underscores, no digit first, such as API_TOKEN",
    )
}

/// An image reference. It is not parsed further, since registries differ.
pub(super) fn image(_: &mut SchemaGenerator) -> Schema {
    text("^[^ \\t\\n]+$", 1024, "must be an image without spaces, such as ghcr.io/acme/agent:1.4")
}

/// An absolute path: it does not depend on a working directory.
pub(super) fn absolute_path(_: &mut SchemaGenerator) -> Schema {
    text("^/", 4096, "must be an absolute path, such as /srv/agents")
}

/// An absolute path other than the root itself.
pub(super) fn mount_path(_: &mut SchemaGenerator) -> Schema {
    text("^/.*[^/]", 4096, "must be an absolute path below /, such as /agents")
}

/// A file below a directory, by a relative path.
pub(super) fn file_below(_: &mut SchemaGenerator) -> Schema {
    text(
        "^([^/.]|[.][^/.]|[.][.][^/])[^/]*(/([^/.]|[.][^/.]|[.][.][^/])[^/]*)*$",
        1024,
        "must be the path of a file in the directory, such as auth.json",
    )
}

/// A number of workers, or a share of them in percent.
pub(super) fn number_or_percent(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "minimum": 1,
        "maximum": 100_000,
        "maxLength": 4,
        "pattern": "^(100|[1-9][0-9]?)%$",
    })
}

/// A number of at least 0, or a percentage from 0% to 100%.
pub(super) fn number_or_percent_or_none(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "minimum": 0,
        "maximum": 100_000,
        "maxLength": 4,
        "pattern": "^(100|[1-9]?[0-9])%$",
    })
}

/// Compute resources by name, in Kubernetes quantities.
pub(super) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
                "minimum": 0,
            "maxLength": 32,
            "pattern": "^[0-9]+([.][0-9]+)?([mkMGTPE]|[KMGTPE]i)?$",
        },
    })
}

/// An object whose fields belong to another API.
pub(super) fn open_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// A list whose entries have different values of `key`. Duplicates are refused, and server-side apply merges by entry.
pub(super) fn keyed_by(key: &'static str) -> impl FnMut(&mut Schema) {
    move |schema| {
        schema.insert("x-kubernetes-list-type".to_owned(), json!("map"));
        schema.insert("x-kubernetes-list-map-keys".to_owned(), json!([key]));
    }
}
