//! How much a write costs. Not run by default: it measures, it does not judge.
use std::time::Instant;

use poolkeeper::local::History;
use serde_json::json;

use poolkeeper_testkit::gadget::*;

#[tokio::test]
#[ignore = "measures"]
async fn status_patches_a_second() {
    let (env, _) = subject(History::Full);
    let spec = json!({
        "max": 5, "mode": "Fast", "fixed": "x", "word": "abc", "interval": "5m", "words": ["a", "b"],
        "free": {"a": 1, "b": [1, 2, 3], "c": {"d": "e"}}, "labels": {"k": "v"},
        "parts": [{"name": "p"}, {"name": "q"}],
    });
    env.create("a", spec).await;
    for count in [200, 2000] {
        let start = Instant::now();
        for i in 0..count {
            env.merge_status("a", json!({"status": {"attempt": i, "phase": "Assigned"}})).await.unwrap();
        }
        println!("{:?} a status patch", start.elapsed() / count);
        let start = Instant::now();
        for _ in 0..count {
            env.gadgets().get("a").await.unwrap();
        }
        println!("{:?} a get", start.elapsed() / count);
    }
}
