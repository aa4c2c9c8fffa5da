//! The two servers, and kubectl on each in a namespace of its own.
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Once};

use base64::Engine;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{DeleteParams, PostParams};
use kube::{Api, Client};
use poolkeeper::clock::{Ids, SystemClock};
use poolkeeper::https;
use poolkeeper::https::admission::Admission;
use poolkeeper::https::identity::Authority;
use poolkeeper::local::{History, LocalApi, Options};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What every command of a transcript finds: `k`, and ways to wait.
const PRELUDE: &str = include_str!("prelude.sh");
const OBJECTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kubectl/objects");

/// kubectl, a directory with the objects, and a namespace of a server.
pub struct Place {
    kubectl: PathBuf,
    dir: tempfile::TempDir,
    client: Client,
    /// The name of the namespace.
    pub namespace: String,
    embedded: Option<Embedded>,
}

/// An embedded server. It ends with this.
struct Embedded {
    _stop: DropGuard,
    authority: Authority,
    tls: watch::Sender<TlsAcceptor>,
}

impl Place {
    /// A namespace of an embedded server of its own.
    pub async fn embedded(kubectl: PathBuf) -> Self {
        let options = Options {
            crds: poolkeeper_testkit::gadget::crds(),
            clock: Arc::new(SystemClock::new()),
            ids: Ids::random(),
            history: History::Window(1000),
        };
        let api = LocalApi::new(options).unwrap();
        let listener = https::listen(0).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let now = jiff::Timestamp::now();
        let authority = Authority::new(now).unwrap();
        let (tls, acceptors) = watch::channel(authority.acceptor(now).unwrap());
        let (_, admission) = watch::channel(Arc::new(Admission::new("the-token".to_owned().into(), port)));
        let stop = CancellationToken::new();
        tokio::spawn(https::serve(listener, acceptors, admission, api.service(), stop.clone()));
        let certificate = base64::engine::general_purpose::STANDARD.encode(&authority.certificate);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {
                "server": format!("https://127.0.0.1:{port}"), "certificate-authority-data": certificate,
            }}],
            "users": [{"name": "c", "user": {"token": "the-token"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        });
        let namespace = format!("test-{}", &Ids::random().uid()[..8]);
        let client = api.client(&namespace);
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            make(&client, name).await;
        }
        let embedded = Embedded { _stop: stop.drop_guard(), authority, tls };
        Self::make(kubectl, client, namespace, config, Some(embedded)).await
    }

    /// A namespace of the real server. None, with a loud line on stderr, if there is none.
    pub async fn real(kubectl: PathBuf) -> Option<Self> {
        let client = poolkeeper_testkit::cluster::client().await?;
        install(&kubectl);
        let file = std::fs::read(std::env::var_os("POOLKEEPER_TEST_API").unwrap()).unwrap();
        let config: Value = serde_saphyr::from_slice(&file).unwrap();
        let namespace = format!("test-{}", &Ids::random().uid()[..8]);
        Some(Self::make(kubectl, client, namespace, config, None).await)
    }

    async fn make(
        kubectl: PathBuf,
        client: Client,
        namespace: String,
        mut config: Value,
        embedded: Option<Embedded>,
    ) -> Self {
        make(&client, &namespace).await;
        config["contexts"][0]["context"]["namespace"] = namespace.clone().into();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("kubeconfig"), config.to_string()).unwrap();
        std::fs::create_dir(dir.path().join("work")).unwrap();
        for file in std::fs::read_dir(OBJECTS).unwrap() {
            let file = file.unwrap();
            let object = std::fs::read_to_string(file.path()).unwrap().replace("$NS", &namespace);
            std::fs::write(dir.path().join("work").join(file.file_name()), object).unwrap();
        }
        Self { kubectl, dir, client, namespace, embedded }
    }

    /// Types a line into a shell.
    pub async fn types(&self, line: &str) -> Output {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", "120", "bash", "-c", &format!("{PRELUDE}\n{line}")]);
        command.current_dir(self.dir.path().join("work")).env("HOME", self.dir.path());
        command.env("KUBECTL", &self.kubectl).env("KUBECONFIG", self.dir.path().join("kubeconfig"));
        command.env("NS", &self.namespace).stdin(Stdio::null());
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }

    /// A file above the directory in which lines are typed.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes another certificate for the embedded server.
    pub fn renew_certificate(&self) {
        let embedded = self.embedded.as_ref().unwrap();
        embedded.tls.send_replace(embedded.authority.acceptor(jiff::Timestamp::now()).unwrap());
    }

    /// Where the files are, as kubectl may print it.
    pub fn dir(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    /// Removes the namespace, without waiting for it.
    pub async fn leave(self) {
        if self.embedded.is_none() {
            let namespaces = Api::<Namespace>::all(self.client.clone());
            namespaces.delete(&self.namespace, &DeleteParams::default()).await.unwrap();
        }
    }
}

/// Installs the kinds on the real server.
pub fn install(kubectl: &Path) {
    static READY: Once = Once::new();
    READY.call_once(|| {
        let crds = json!({"apiVersion": "v1", "kind": "List", "items": poolkeeper_testkit::gadget::crds()}).to_string();
        let script = "printf %s \"$CRDS\" >crds.json
            k apply --server-side --force-conflicts -f crds.json
            k wait --for=condition=Established --timeout=60s -f crds.json
            # Established is not yet served.
            until k get gadgets,containerpools,workers,dispatches >/dev/null; do sleep 0.1; done";
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("bash");
        command.args(["-ec", &format!("{PRELUDE}\n{script}")]).current_dir(&dir).env("HOME", dir.path());
        command.env("KUBECTL", kubectl).env("KUBECONFIG", std::env::var_os("POOLKEEPER_TEST_API").unwrap());
        let output = command.env("CRDS", crds).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
}

async fn make(client: &Client, name: &str) {
    let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
}
