//! What is printed is read back the same; what is wrong is refused in words that help.

use kube::CustomResourceExt;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::api::Dispatch;

fn one(key: &str, value: &str) -> Result<Request, RequestError> {
    parse("agents", key, value).unwrap_or_else(|| panic!("{key} is taken for something else"))
}

fn name() -> impl Strategy<Value = String> {
    "[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,18}[a-z0-9])?){0,2}"
}

fn period() -> impl Strategy<Value = Period> {
    (0..3_000_000_000_000u64).prop_map(Period::millis)
}

fn dispatch_request() -> impl Strategy<Value = Request> {
    let counts = (-1..5i32, -1..5i32, -1..5i32, -1..5i32, -1..5i32);
    let retry = (counts, of(period()), of(period())).prop_map(|(counts, backoff, max_backoff)| {
        let (rate_limited, worker_lost, failed, lost, overloaded) = counts;
        Retry { rate_limited, worker_lost, failed, lost, overloaded, backoff, max_backoff }
    });
    let fields = (prop_oneof![Just(0), any::<i32>()], of(period()), of(period()), of(name()));
    (name(), fields, prop_oneof![Just(Retry::default()), retry], of(any::<String>())).prop_map(
        |(name, (priority, queue_timeout, timeout, lease_name), retry, note)| {
            let pool = "agents".to_owned();
            let set =
                DispatchSpec { pool, priority, queue_timeout, timeout, lease_name, retry, note, ..Default::default() };
            Request::Dispatch(DispatchRequest { name, spec: set })
        },
    )
}

fn result_request() -> impl Strategy<Value = Request> {
    let words = (of(1..=i32::MAX), select(&OUTCOMES[..]), of(period()), of("[a-zA-Z0-9-]{1,36}"), of(any::<String>()));
    (name(), words).prop_map(|(dispatch, (attempt, outcome, retry_after, uid, message))| {
        let retry_after = retry_after.filter(|_| outcome.names_a_time());
        Request::Result(ResultRequest { dispatch, attempt, outcome, retry_after, uid, message })
    })
}

fn cooldown_request() -> impl Strategy<Value = Request> {
    let rest = period().prop_filter("above zero", |p| !p.is_zero()).prop_map(CooldownChange::Rest);
    (name(), prop_oneof![Just(CooldownChange::Clear), rest])
        .prop_map(|(target, change)| Request::Cooldown(CooldownRequest { target, change }))
}

proptest! {
    #[test]
    fn what_is_printed_is_read_back_the_same(
        request in prop_oneof![dispatch_request(), result_request(), cooldown_request()]
    ) {
        prop_assert_eq!(one(&request.key(), &request.value()), Ok(request));
    }

    #[test]
    fn no_value_is_too_strange(prefix in select(&[DISPATCH_REQUEST, RESULT_REQUEST, COOLDOWN_REQUEST][..]), value in ".*") {
        let read = one(&format!("{prefix}task-42"), &value);
        if let Err(e) = read {
            prop_assert!(e.to_string().contains("for example"), "{}", e);
        }
    }

    #[test]
    fn every_name_that_is_read_is_one_that_kubernetes_takes(text in "[a-zA-Z0-9._/-]{0,70}") {
        let right = text.len() <= 63 && text.split('.').all(is_label);
        prop_assert_eq!(one(&format!("{DISPATCH_REQUEST}{text}"), "").is_ok(), right);
    }
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?` by another way than the code under test.
fn is_label(part: &str) -> bool {
    !part.is_empty() && part.trim_matches('-') == part && part.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'))
}

#[test]
fn the_examples_of_the_design_mean_what_it_says() {
    let empty = DispatchSpec { pool: "agents".to_owned(), ..DispatchSpec::default() };
    let dispatch = |name: &str, spec| Ok(Request::Dispatch(DispatchRequest { name: name.to_owned(), spec }));
    assert_eq!(one("dispatch.poolkeeper.dev/task-42", ""), dispatch("task-42", empty.clone()));
    assert_eq!(one("dispatch.poolkeeper.dev/task-42", "{}"), dispatch("task-42", empty.clone()));
    assert_eq!(
        one("dispatch.poolkeeper.dev/a.b", r#"{"pool":"agents","priority":5,"timeout":"90s","retry":{"failed":-1}}"#),
        dispatch(
            "a.b",
            DispatchSpec {
                priority: 5,
                timeout: Some(Period::seconds(90)),
                retry: Retry { failed: -1, ..Retry::default() },
                ..empty
            }
        )
    );
    let report = ResultRequest {
        dispatch: "task-42".to_owned(),
        attempt: Some(1),
        outcome: ReportedOutcome::RateLimited,
        retry_after: Some(Period::seconds(90)),
        uid: None,
        message: None,
    };
    let full = ResultRequest {
        attempt: None,
        uid: Some("5f0c".to_owned()),
        message: Some("429  try = later ".to_owned()),
        ..report.clone()
    };
    assert_eq!(one("result.poolkeeper.dev/task-42", "1 RateLimited retryAfter=90s"), Ok(Request::Result(report)));
    assert_eq!(
        one("result.poolkeeper.dev/task-42", " ratelimited  uid=5f0c retryAfter=1m30s message=429  try = later "),
        Ok(Request::Result(full))
    );
    let cooldown = |change| Ok(Request::Cooldown(CooldownRequest { target: "agents-0".to_owned(), change }));
    assert_eq!(one("cooldown.poolkeeper.dev/agents-0", "90s"), cooldown(CooldownChange::Rest(Period::seconds(90))));
    assert_eq!(one("cooldown.poolkeeper.dev/agents-0", "Clear"), cooldown(CooldownChange::Clear));
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    let long = format!("{DISPATCH_REQUEST}{}", "a".repeat(64));
    let long_message = format!("Failed message={}", "x".repeat(MAX_TEXT + 1));
    for (key, value, says) in [
        ("dispatches.poolkeeper.dev/a", "", "there is no such annotation: use dispatch.poolkeeper.dev/TASK"),
        ("dispatch.poolkeeper.dev/Task_42", "", "at most 63 lower case letters"),
        ("dispatch.poolkeeper.dev/", "", "at most 63 lower case letters"),
        (&*long, "", "at most 63 lower case letters"),
        ("dispatch.poolkeeper.dev/a", "high", "empty or a JSON object"),
        ("dispatch.poolkeeper.dev/a", "[]", "empty or a JSON object"),
        ("dispatch.poolkeeper.dev/a", r#"{"prio":1}"#, r#""prio" is not a field of a request: use pool, priority,"#),
        (
            "dispatch.poolkeeper.dev/a",
            r#"{"retry":{"gone":1}}"#,
            "use rateLimited, workerLost, failed, lost, overloaded",
        ),
        ("dispatch.poolkeeper.dev/a", r#"{"retry":1}"#, "retry cannot be read"),
        ("dispatch.poolkeeper.dev/a", r#"{"priority":"high"}"#, "priority cannot be read (invalid type"),
        (
            "dispatch.poolkeeper.dev/a",
            r#"{"timeout":"5 min"}"#,
            "timeout cannot be read (\"5 min\" is not a length of time",
        ),
        ("dispatch.poolkeeper.dev/a", r#"{"pool":"other"}"#, r#"the annotation is on pool "agents": remove pool"#),
        ("dispatch.poolkeeper.dev/a", r#"{"result":{}}"#, "report it with result.poolkeeper.dev/TASK"),
        ("dispatch.poolkeeper.dev/a", r#"{"cancel":true}"#, "cancel is not part of a request"),
        ("result.poolkeeper.dev/a", "", "the outcome is missing: use Succeeded"),
        ("result.poolkeeper.dev/a", "2", "the outcome is missing: use Succeeded"),
        ("result.poolkeeper.dev/a", "1 Done", r#""Done" is not an outcome: use Succeeded"#),
        ("result.poolkeeper.dev/a", "0 Failed", "attempts count from 1"),
        ("result.poolkeeper.dev/a", "-1 Failed", "attempts count from 1"),
        ("result.poolkeeper.dev/a", "9999999999 Failed", "attempts count from 1"),
        ("result.poolkeeper.dev/a", "1 Failed because", r#""because" is not understood"#),
        ("result.poolkeeper.dev/a", "1 RateLimited retryAfter=90", r#"retryAfter: "90" is not a length of time"#),
        (
            "result.poolkeeper.dev/a",
            "1 Failed retryAfter=90s",
            "retryAfter is for the outcomes RateLimited, Overloaded and Succeeded only",
        ),
        ("result.poolkeeper.dev/a", "RateLimited retryAfter=1s retryAfter=2s", "retryAfter= is given twice"),
        ("result.poolkeeper.dev/a", "Failed uid=a uid=a", "uid= is given twice"),
        ("result.poolkeeper.dev/a", "Failed uid=", "must be the uid of the Dispatch"),
        ("result.poolkeeper.dev/a", &*long_message, "at most 4096 characters"),
        ("cooldown.poolkeeper.dev/agents-0", "0s", "a length of time above 0s"),
        ("cooldown.poolkeeper.dev/agents-0", "soon", r#""soon" is not a rest"#),
    ] {
        let error = one(key, value).unwrap_err().to_string();
        assert!(error.starts_with(&format!("annotation {key}: ")), "{error}");
        assert!(error.contains(says), "{error}\ndoes not say: {says}");
    }
}

#[test]
fn every_example_in_an_error_is_right() {
    for prefix in [DISPATCH_REQUEST, RESULT_REQUEST, COOLDOWN_REQUEST, "other.poolkeeper.dev/"] {
        let example = example(prefix);
        let (key, value) = example.split_once('=').unwrap();
        one(key, value.trim_matches('\'')).unwrap();
    }
}

#[test]
fn other_annotations_are_left_out() {
    let annotations = [
        ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
        ("poolkeeper.dev/force-delete", "true"),
        ("notpoolkeeper.dev/a", ""),
        ("plain", ""),
        ("result.poolkeeper.dev/b", "Failed"),
        ("dispatch.poolkeeper.dev/b", "{"),
        ("dispatch.poolkeeper.dev/a", ""),
    ];
    let annotations = annotations.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let read = parse_all("agents", &annotations);
    let seen: Vec<_> = read.iter().map(|a| (a.key.as_str(), a.value.as_str(), a.request.is_ok())).collect();
    assert_eq!(
        seen,
        [
            ("dispatch.poolkeeper.dev/a", "", true),
            ("dispatch.poolkeeper.dev/b", "{", false),
            ("result.poolkeeper.dev/b", "Failed", true)
        ]
    );
}

#[test]
fn every_field_of_a_dispatch_is_known_or_refused_on_purpose() {
    let crd = Dispatch::crd();
    let schema = crd.spec.versions[0].schema.clone().unwrap().open_api_v3_schema.unwrap();
    let spec = schema.properties.unwrap()["spec"].properties.clone().unwrap();
    let mut known: Vec<_> = FIELDS.into_iter().chain(["cancel", "result"]).collect();
    known.sort_unstable();
    assert_eq!(spec.keys().collect::<Vec<_>>(), known);
    assert_eq!(spec["retry"].properties.clone().unwrap().len(), RETRY_FIELDS.len());
}

#[test]
fn a_hash_tells_values_apart_and_stays_the_same_for_ever() {
    assert_eq!(value_hash(""), "e3b0c44298fc1c14");
    assert_ne!(value_hash("{}"), value_hash(""));
}
