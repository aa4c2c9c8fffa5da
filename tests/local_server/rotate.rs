//! Another token and another authority: what came in with the old ones is out.
use std::fs;
use std::time::Duration;

use futures::StreamExt;
use kube::Api;
use kube::api::{PostParams, WatchParams};
use poolkeeper::api::ContainerPool;
use poolkeeper_testkit::local_server::Rig;
use serde_json::{Value, json};

use crate::PROGRAM;
use crate::life::pool;

#[tokio::test]
async fn what_came_in_with_the_old_token_is_out() {
    let rig = Rig::new(PROGRAM);
    rig.local(&["rotate"]).exits(3);
    let old = rig.up().client().await;
    let pools: Api<ContainerPool> = Api::default_namespaced(old.clone());
    pools.create(&PostParams::default(), &pool("agents", json!({"max": 1}))).await.unwrap();
    let mut watch = pools.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    assert!(watch.next().await.unwrap().is_ok());
    let before = fs::read(rig.kubeconfig()).unwrap();
    let pid = rig.pid();

    let said = rig.local(&["rotate"]).exits(0);
    let words = format!(
        "poolkeeper: {} has another token and another certificate authority: programs that have read the old one must read it again\n",
        rig.kubeconfig().display()
    );
    assert_eq!((said.stdout.as_str(), said.stderr.as_str()), ("", words.as_str()));
    assert_eq!(rig.pid(), pid, "the server has gone on");
    let part = |config: &[u8], path: &str| {
        serde_json::from_slice::<Value>(config).unwrap().pointer(path).unwrap().as_str().unwrap().to_owned()
    };
    let after = fs::read(rig.kubeconfig()).unwrap();
    for path in ["/users/0/user/token", "/clusters/0/cluster/certificate-authority-data"] {
        assert_ne!(part(&before, path), part(&after, path), "{path}");
    }
    assert_eq!(part(&before, "/clusters/0/cluster/server"), part(&after, "/clusters/0/cluster/server"));
    // The watch ends, and the old client does not come in again.
    let end = async { while watch.next().await.is_some_and(|event| event.is_ok()) {} };
    tokio::time::timeout(Duration::from_secs(60), end).await.unwrap();
    assert!(pools.get("agents").await.is_err());
    let pools: Api<ContainerPool> = Api::default_namespaced(rig.client().await);
    pools.get("agents").await.unwrap();

    // The next server has the new ones, and so it is if the server does not run meanwhile.
    rig.kill();
    rig.up();
    pools.get("agents").await.unwrap();
    rig.local(&["down"]).exits(0);
    rig.local(&["rotate"]).exits(0);
    assert_ne!(fs::read(rig.kubeconfig()).unwrap(), after);
    rig.up();
    assert!(pools.get("agents").await.is_err());
    Api::<ContainerPool>::default_namespaced(rig.client().await).get("agents").await.unwrap();
}
