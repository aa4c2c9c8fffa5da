//! What a pool has to say: conditions that are not fine, and credentials that rest.

use serde_json::{Value, json};

use crate::api::pool::{ContainerPoolStatus, RestingCredential};
use crate::api::{Condition, ContainerPool};
use crate::cli::output::escape;
use crate::core::questions::is_fine;

/// The conditions of a pool that are not fine.
pub(super) fn conditions(status: &ContainerPoolStatus) -> impl Iterator<Item = &Condition> {
    status.conditions.iter().filter(|condition| !is_fine(condition))
}

/// What a pool has to say, as lines of columns.
pub(super) fn lines(pool: &ContainerPool) -> Vec<Vec<String>> {
    let Some(status) = &pool.status else {
        return vec![vec!["no controller has looked at it yet: does one run?".to_owned()]];
    };
    let conditions = conditions(status)
        .map(|c| vec![c.type_.clone(), c.status.clone(), c.reason.clone(), escape(&c.message).into_owned()]);
    let credentials = status.resting_credentials.iter().map(|credential| {
        let until = match (&credential.until, credential.parked) {
            (Some(t), true) => format!("until it is changed or cleared, probed next at {}", t.0),
            (Some(t), false) => format!("until {}", t.0),
            (None, _) => "until it is changed or cleared".to_owned(),
        };
        vec![
            "credential".to_owned(),
            escape(&credential.name).into_owned(),
            if credential.parked { "parked" } else { "rests" }.to_owned(),
            describe(&until, credential, pool),
        ]
    });
    let hosts = status.hosts.iter().filter_map(|host| {
        let why = escape(host.unreachable.as_deref()?).into_owned();
        let workers = match host.workers {
            0 => String::new(),
            n => format!("; its {n} workers keep their places"),
        };
        Some(vec![
            "host".to_owned(),
            escape(&host.name).into_owned(),
            "unreachable".to_owned(),
            format!("{why}{workers}"),
        ])
    });
    let paused = pool.spec.paused.then(|| {
        let name = pool.metadata.name.as_deref().unwrap_or_default();
        let what = format!("nothing is assigned, created or removed until `poolkeeper resume {}`", escape(name));
        vec!["paused".to_owned(), "True".to_owned(), "spec.paused".to_owned(), what]
    });
    paused.into_iter().chain(conditions).chain(hosts).chain(credentials).collect()
}

/// `until 2026-11-29T12:00:00Z, after 2 limits in a row, met by pool other: slow down`.
fn describe(until: &str, credential: &RestingCredential, pool: &ContainerPool) -> String {
    let mut text = until.to_owned();
    if credential.strikes > 1 {
        text = format!("{text}, after {} limits in a row", credential.strikes);
    }
    if Some(&credential.pool) != pool.metadata.name.as_ref() {
        text = format!("{text}, met by pool {}", escape(&credential.pool));
    }
    match &credential.reason {
        Some(reason) => format!("{text}: {}", escape(reason)),
        None => text,
    }
}

/// A pool for programs.
pub(super) fn summary(pool: &ContainerPool) -> Value {
    let status = pool.status.clone().unwrap_or_default();
    let spec = &pool.spec;
    let not_fine: Vec<&Condition> = conditions(&status).collect();
    json!({
        "name": pool.metadata.name,
        "namespace": pool.metadata.namespace,
        "min": spec.min,
        "max": spec.max,
        "paused": spec.paused,
        "counts": {
            "workers": status.workers, "ready": status.ready, "busy": status.busy, "resting": status.resting,
            "starting": status.starting, "unavailable": status.unavailable, "queued": status.queued,
            "delayed": status.delayed, "updated": status.updated,
        },
        "nextAvailableTime": status.next_available_time,
        "problems": not_fine,
        "restingCredentials": status.resting_credentials,
        "hosts": status.hosts,
        "notReady": status.not_ready,
        "recent": status.recent,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_not_fine_is_said() {
        let condition = |type_: &str, status: &str, reason: &str| json!({"type": type_, "status": status, "reason": reason, "message": "why\u{1b}", "lastTransitionTime": "2026-11-29T12:00:00.000000Z"});
        let pool = json!({
            "apiVersion": "poolkeeper.dev/v1alpha1", "kind": "ContainerPool", "metadata": {"name": "agents"}, "spec": {},
            "status": {
                "conditions": [
                    condition("Ready", "True", "Available"), condition("Dispatching", "False", "Resting"),
                    condition("Progressing", "False", "UpdateStalled"), condition("ScalingLimited", "False", "WithinRange"),
                    condition("RuntimeAllowed", "True", "Allowed"), condition("RequestsAccepted", "False", "Refused"),
                ],
                "restingCredentials": [
                    {"name": "a", "key": "env/A", "pool": "other", "until": "2026-11-29T12:05:00Z", "strikes": 2, "reason": "slow down"},
                    {"name": "b", "key": "env/B", "pool": "agents", "parked": true},
                ],
            },
        });
        let mut pool: ContainerPool = serde_json::from_value(pool).unwrap();
        let said: Vec<String> = lines(&pool).iter().map(|line| line.join(" ")).collect();
        let expected = [
            "Dispatching False Resting why\\u{1b}",
            "Progressing False UpdateStalled why\\u{1b}",
            "RequestsAccepted False Refused why\\u{1b}",
            "credential a rests until 2026-11-29T12:05:00Z, after 2 limits in a row, met by pool other: slow down",
            "credential b parked until it is changed or cleared",
        ];
        assert_eq!(said, expected);
        assert_eq!(summary(&pool)["problems"][0]["reason"], "Resting");
        pool.spec.paused = true;
        let said = lines(&pool)[0].join(" ");
        assert_eq!(
            said,
            "paused True spec.paused nothing is assigned, created or removed until `poolkeeper resume agents`"
        );
        pool.status = None;
        assert!(lines(&pool)[0][0].contains("no controller"));
    }
}
