//! Tables: the columns of a CRD, in lists, objects and watches.
use futures::{AsyncBufReadExt, TryStreamExt};
use http::Request;
use kube::client::Body;
use poolkeeper::local::History;
use poolkeeper_testkit::gadget::*;
use serde_json::{Value, json};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

async fn get(env: &Subject, path: &str, accept: &str) -> (u16, Value) {
    let request =
        Request::get(path.replace("NS", &env.namespace)).header("accept", accept).body(Body::empty()).unwrap();
    let response = env.client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    (code, serde_json::from_slice(&body).unwrap())
}

/// The name of each column, and the cells of each row but the age.
fn shown(table: &Value) -> (Vec<&str>, Vec<&Value>) {
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    let columns = table["columnDefinitions"].as_array().into_iter().flatten();
    let rows = table["rows"].as_array().unwrap().iter();
    (columns.map(|c| c["name"].as_str().unwrap()).collect(), rows.map(|row| &row["cells"][0]).collect())
}

#[tokio::test]
async fn a_list_an_object_and_a_page_are_tables() {
    let (env, _) = subject(History::Full);
    for name in ["a", "b", "c"] {
        env.create(name, json!({"max": 5})).await;
    }
    let (code, table) = get(&env, GADGETS, TABLE).await;
    assert_eq!((code, shown(&table)), (200, (vec!["Name", "Age"], vec![&json!("a"), &json!("b"), &json!("c")])));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "a");
    assert_eq!(table["rows"][0]["object"]["spec"], Value::Null);
    let (_, list) = get(&env, GADGETS, "application/json").await;
    assert_eq!(table["metadata"]["resourceVersion"], list["metadata"]["resourceVersion"]);

    let (_, page) = get(&env, &format!("{GADGETS}?limit=2"), TABLE).await;
    assert_eq!((shown(&page).1.len(), &page["metadata"]["remainingItemCount"]), (2, &json!(1)));
    let next = format!("{GADGETS}?limit=2&continue={}", page["metadata"]["continue"].as_str().unwrap());
    assert_eq!(shown(&get(&env, &next, TABLE).await.1).1, [&json!("c")]);

    let (_, one) = get(&env, &format!("{GADGETS}/b?includeObject=Object"), TABLE).await;
    assert_eq!(shown(&one).1, [&json!("b")]);
    assert_eq!(one["rows"][0]["object"]["spec"]["max"], 5);
    let (_, none) = get(&env, &format!("{GADGETS}?includeObject=None"), TABLE).await;
    assert_eq!(none["rows"][0]["object"], Value::Null);
    assert_eq!(get(&env, &format!("{GADGETS}?includeObject=Some"), TABLE).await.0, 422);
}

#[tokio::test]
async fn the_first_form_that_there_is_is_sent() {
    let (env, _) = subject(History::Full);
    let kind = async |path: &str, accept: &str| {
        let (code, body) = get(&env, path, accept).await;
        if code == 200 { body["kind"].as_str().unwrap().to_owned() } else { code.to_string() }
    };
    let both = format!("{TABLE},application/json");
    assert_eq!(kind(GADGETS, &both).await, "Table");
    assert_eq!(kind(GADGETS, &format!("application/json,{TABLE}")).await, "GadgetList");
    assert_eq!(kind(GADGETS, &format!("application/vnd.kubernetes.protobuf;as=Table,{TABLE}")).await, "Table");
    let older = "application/json;as=Table;v=v1beta1;g=meta.k8s.io";
    assert_eq!(kind(GADGETS, older).await, "406");
    assert_eq!(kind(GADGETS, &format!("{older},application/json")).await, "GadgetList");
    assert_eq!(kind("/api/v1/namespaces", &both).await, "Table");
}

#[tokio::test]
async fn the_columns_are_in_the_first_event_of_a_watch() {
    let (env, _) = subject(History::Full);
    env.create("a", json!({"max": 5})).await;
    env.create("b", json!({"max": 5})).await;
    let path = format!("{GADGETS}?watch=true&resourceVersion=0&timeoutSeconds=1").replace("NS", &env.namespace);
    let request = Request::get(path).header("accept", TABLE).body(Vec::new()).unwrap();
    let lines = env.client.request_stream(request).await.unwrap().lines();
    let events: Vec<Value> = lines.map_ok(|line| serde_json::from_str(&line).unwrap()).try_collect().await.unwrap();
    let of = |event: &Value| (event["type"].clone(), event["object"]["rows"][0]["cells"][0].clone());
    assert_eq!(events.iter().map(of).collect::<Vec<_>>(), [(json!("ADDED"), json!("a")), (json!("ADDED"), json!("b"))]);
    assert_eq!(events[0]["object"]["columnDefinitions"].as_array().unwrap().len(), 2);
    assert_eq!(events[1]["object"]["columnDefinitions"], Value::Null);
}
