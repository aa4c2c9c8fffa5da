//! What a user may get wrong: what, where, and what would be right.

use rustix::process::Signal;

use crate::stage::{Controller, ends};
use poolkeeper_testkit::embedded_server::kubeconfig;

#[tokio::test]
async fn bad_arguments_are_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = format!("--http-bind={}", taken.local_addr().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let config = kubeconfig(dir.path(), "http://127.0.0.1:1");
    let config = format!("--kubeconfig={}", config.display());
    let broken = dir.path().join("broken");
    std::fs::write(&broken, "clusters: 7").unwrap();
    let broken = format!("--kubeconfig={}", broken.display());
    for (args, code, words) in [
        (&["controller", "--runtimes", "Pod,Pod"][..], 2, &["--runtimes", "Pod twice"][..]),
        (&["controller", "--runtimes", "VM"], 2, &["VM", "Pod, Docker, Process"]),
        (&["controller", "--runtimes", "Process"], 2, &["--run-dir"]),
        (&["controller", "--lease-duration", "5 parsecs"], 2, &["--lease-duration", "5 parsecs", "such as 90s"]),
        (&["controller", "--lease-duration", "5s"], 2, &["--lease-duration", "--renew-deadline"]),
        (&["controller", "--http-bind", "nowhere"], 2, &["--http-bind", "nowhere"]),
        (&["controller", &config, &taken], 1, &["--http-bind", "in use"]),
        (&["controller", "--kubeconfig", "/none"], 2, &["kubeconfig", "/none"]),
        (&["controller", &broken], 2, &["kubeconfig", "clusters: 7"]),
        (&["controller", &config, "--context", "prod"], 2, &["kubeconfig", "prod"]),
        (&["controller"], 6, &["no cluster is configured", "--kubeconfig"]),
        (&["uninstall"], 6, &["there is no server to talk to", "--kubeconfig"]),
        (&["uninstall", "--wait-timeout", "soon"], 2, &["--wait-timeout", "soon", "such as 90s"]),
        (&["uninstall", &config], 6, &["http://127.0.0.1:1/", "refused"]),
    ] {
        let (seen, stderr) = ends(args).await;
        assert_eq!(seen, code, "{args:?}: {stderr}");
        for word in words {
            assert!(stderr.contains(word), "{args:?}: {word:?} is missing in: {stderr}");
        }
    }
}

/// A kubelet must not kill it for what it cannot help, and no client may rely on it meanwhile.
#[tokio::test]
async fn without_an_api_server_it_lives_and_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let controller = Controller::start(&kubeconfig(dir.path(), "http://127.0.0.1:1"), &[]).await;
    controller.until_page("/readyz", 503, "Lease").await;
    assert_eq!(controller.page("/livez").await.0, 200);
    assert_eq!(controller.page("/metrics").await.0, 200);
    assert_eq!(controller.page("/secrets").await.0, 404);
    assert_eq!(controller.end(Signal::TERM).await, 0);
}
