//! Defaults, pruning, nulls, validation and rules of a structural schema.
use serde_json::json;

use crate::subject::*;

on_both! {
    defaults_fill_what_is_missing,
    nulls_stay_only_where_they_may,
    unknown_fields_stay_where_the_schema_says_so,
    values_are_checked_in_the_servers_words,
    a_refusal_lists_its_causes,
    rules_see_the_object,
    rules_on_old_values_run_on_changes_only,
    rules_of_the_root_fence_spec_against_status,
}

async fn defaults_fill_what_is_missing(env: Subject) {
    let made = env.create("a", json!({"max": 5, "parts": [{"name": "p"}, {"name": "q", "size": 4}]})).await;
    assert_eq!(
        made["spec"],
        json!({
            "max": 5, "min": 1, "tuning": {"level": 7},
            "parts": [{"name": "p", "size": 3}, {"name": "q", "size": 4}],
        })
    );
    assert_eq!(made["status"], json!({"phase": "Pending"}));
    let removed = value(env.merge("a", json!({"spec": {"min": null, "tuning": {"level": null}}})).await.unwrap());
    assert_eq!(removed["spec"]["min"], 1);
    assert_eq!(removed["spec"]["tuning"], json!({"level": 7}));
}

async fn nulls_stay_only_where_they_may(env: Subject) {
    let made = env.create("a", json!({"max": 5, "min": null, "mode": null, "note": null})).await;
    assert_eq!(made["spec"], json!({"max": 5, "min": 1, "note": null, "tuning": {"level": 7}}));
    let status = value(env.merge_status("a", json!({"status": null})).await.unwrap());
    assert_eq!(status["status"], json!({"phase": "Pending"}));
}

async fn unknown_fields_stay_where_the_schema_says_so(env: Subject) {
    let free = json!({"anything": [{"goes": true}], "deep": {"er": null}});
    let made = env.create("a", json!({"max": 5, "free": free, "labels": {"k": "v"}, "share": "50%"})).await;
    assert_eq!(made["spec"]["free"], free);
    assert_eq!(made["spec"]["labels"], json!({"k": "v"}));
    assert_eq!(made["spec"]["share"], "50%");
    let number = value(env.merge("a", json!({"spec": {"share": 3}})).await.unwrap());
    assert_eq!(number["spec"]["share"], 3);
}

async fn values_are_checked_in_the_servers_words(env: Subject) {
    let cases = [
        (json!({"max": 101}), "spec.max: Invalid value: 101: spec.max in body should be less than or equal to 100"),
        (json!({"min": -1}), "spec.min: Invalid value: -1: spec.min in body should be greater than or equal to 0"),
        (json!({"mode": "Odd"}), "spec.mode: Unsupported value: \"Odd\": supported values: \"Fast\", \"Slow\""),
        (json!({"word": "a"}), "spec.word: Invalid value: \"a\": spec.word in body should be at least 2 chars long"),
        (json!({"word": "aaaaaa"}), "spec.word: Too long: may not be more than 5 bytes"),
        (json!({"word": "AB"}), "spec.word: Invalid value: \"AB\": spec.word in body should match '^[a-z]+$'"),
        (json!({"ratio": 0}), "spec.ratio: Invalid value: 0: spec.ratio in body should be greater than 0"),
        (
            json!({"max": "5"}),
            "spec.max: Invalid value: \"string\": spec.max in body must be of type integer: \"string\"",
        ),
        (
            json!({"max": 1.5}),
            "spec.max: Invalid value: \"number\": spec.max in body must be of type integer: \"number\"",
        ),
        (
            json!({"at": "noon"}),
            "spec.at: Invalid value: \"noon\": spec.at in body must be of type date-time: \"noon\"",
        ),
        (
            json!({"share": true}),
            "spec.share: Invalid value: \"boolean\": spec.share in body must be of type integer,string: \"boolean\"",
        ),
        (
            json!({"labels": {"k": 1}}),
            "spec.labels.k: Invalid value: \"integer\": spec.labels.k in body must be of type string: \"integer\"",
        ),
        (json!({"labels": {"a": "", "b": "", "c": ""}}), "spec.labels: Too many: 3: must have at most 2 items"),
        (json!({"words": ["a", "b", "c", "d"]}), "spec.words: Too many: 4: must have at most 3 items"),
        (json!({"words": ["a", "b", "a"]}), "spec.words[2]: Duplicate value: \"a\""),
        (json!({"parts": [{"size": 1}]}), "spec.parts[0].name: Required value"),
        (
            json!({"parts": [{"name": "a"}, {"name": "a"}]}),
            "spec.parts[1]: Duplicate value: map[string]interface {}{\"name\":\"a\"}",
        ),
    ];
    for (fields, message) in cases {
        let mut spec = json!({"max": 5});
        json_patch::merge(&mut spec, &fields);
        let status = refused(env.try_create("a", spec).await);
        assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"), "{fields}");
        assert!(status.message.contains(message), "{fields}:\n{}\nlacks\n{message}", status.message);
    }
}

async fn a_refusal_lists_its_causes(env: Subject) {
    let status = refused(env.try_create("a", json!({"mode": "Fast"})).await);
    assert_eq!(
        status.message,
        "Gadget.test.poolkeeper.dev \"a\" is invalid: [spec.max: Required value, <nil>: Invalid value: \"null\": some validation rules were not checked because the object was invalid; correct the existing errors to complete validation]"
    );
    let details = status.details.unwrap();
    assert_eq!((details.name.as_str(), details.group.as_str(), details.kind.as_str()), ("a", GROUP, "Gadget"));
    assert_eq!(details.causes[0].reason, "FieldValueRequired");
    assert_eq!(details.causes[0].field, "spec.max");
    assert_eq!(details.causes[0].message, "Required value");
}

async fn rules_see_the_object(env: Subject) {
    expect_invalid(
        env.try_create("a", json!({"max": 1, "min": 2})).await,
        "a",
        "spec: Invalid value: \"object\": min must be <= max (raise spec.max first)",
    );
    expect_invalid(
        env.try_create("a", json!({"max": 1, "interval": "0s"})).await,
        "a",
        "spec.interval: Invalid value: \"string\": must be a duration above 0, such as 1m30s",
    );
    let long = "n".repeat(51);
    expect_invalid(
        env.try_create(&long, json!({"max": 1})).await,
        &long,
        "<nil>: Invalid value: \"object\": the name must have at most 50 characters",
    );
    env.create("a", json!({"max": 1, "interval": "1h30m"})).await;
}

async fn rules_on_old_values_run_on_changes_only(env: Subject) {
    env.create("a", json!({"max": 1, "fixed": "x"})).await;
    env.merge("a", json!({"spec": {"max": 2}})).await.unwrap();
    let changed = env.merge("a", json!({"spec": {"fixed": "y"}})).await;
    expect_invalid(changed, "a", "spec.fixed: Forbidden: fixed is x for good");
    let removed = env.merge("a", json!({"spec": {"fixed": null}})).await;
    expect_invalid(removed, "a", "spec.fixed: Forbidden: fixed is x for good");
}

async fn rules_of_the_root_fence_spec_against_status(env: Subject) {
    let ahead = "<nil>: Invalid value: \"object\": result is ahead of attempt";
    env.create("a", json!({"max": 1})).await;
    expect_invalid(env.merge("a", json!({"spec": {"result": 1}})).await, "a", ahead);
    env.merge_status("a", json!({"status": {"attempt": 2}})).await.unwrap();
    env.merge("a", json!({"spec": {"result": 2}})).await.unwrap();
    // Writes of the status run the rules of the whole object.
    expect_invalid(env.merge_status("a", json!({"status": {"attempt": 1}})).await, "a", ahead);
    let back = env.merge("a", json!({"spec": {"result": 1}})).await;
    expect_invalid(back, "a", "<nil>: Invalid value: \"object\": result never goes back");
}
