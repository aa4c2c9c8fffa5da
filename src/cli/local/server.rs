//! How commands reach the local server: by its kubeconfig, and never by another one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Request;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::cli::exit::{Exit, Failure};
use crate::standalone::resident::home::{HOME, Home};
use crate::standalone::resident::requests::{PREFIX, ServerStatus};

/// How long the server may take to answer what it knows at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// The directory of this user's server, whether it is there or not.
pub(in crate::cli) fn home() -> Result<Home, Failure> {
    let var = |name: &str| std::env::var_os(name).map(PathBuf::from);
    Home::find(var)
        .ok_or_else(|| Failure::usage(format!("set ${HOME} or $HOME: no directory for the local server is known")))
}

/// The directory, if a server was ever started with it.
pub(in crate::cli) fn home_that_is() -> Result<Home, Failure> {
    let home = home()?;
    if home.kubeconfig().exists() {
        return Ok(home);
    }
    let message =
        format!("there is no local server in {}: start one with `poolkeeper local up`", home.path().display());
    Err(Failure::new(Exit::NotFound, message))
}

/// That it does not answer.
pub(super) fn unreachable(home: &Home, why: &str) -> Failure {
    let right = match home.holder() {
        Some(pid) => format!("process {pid} runs but does not answer; `poolkeeper local logs` may say why"),
        None => "it does not run; start it with `poolkeeper local up`".to_owned(),
    };
    let why = if why.is_empty() { String::new() } else { format!(" ({why})") };
    Failure::new(
        Exit::Unreachable,
        format!("the local server in {} cannot be reached: {right}{why}", home.path().display()),
    )
}

/// A client of the server.
pub(super) async fn client(home: &Home) -> Result<Client, Failure> {
    Client::try_from(config(home).await?).map_err(|e| wrong(home, &e))
}

fn wrong(home: &Home, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("{}: {error}", home.kubeconfig().display()))
}

/// How to reach the server.
pub(in crate::cli) async fn config(home: &Home) -> Result<Config, Failure> {
    let file = Kubeconfig::read_from(home.kubeconfig()).map_err(|e| wrong(home, &e))?;
    let mut config =
        Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(|e| wrong(home, &e))?;
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = None;
    // It is on this machine.
    config.proxy_url = None;
    config.default_retry = false;
    Ok(config)
}

/// How the server is.
pub(in crate::cli) async fn status(home: &Home) -> Result<ServerStatus, Failure> {
    let client = client(home).await?;
    let request = Request::get(format!("{PREFIX}status")).body(Vec::new());
    let request = request.map_err(|e| Failure::poolkeeper("the request", e))?;
    match tokio::time::timeout(PATIENCE, client.request(request)).await {
        Ok(Ok(status)) => Ok(status),
        Ok(Err(error)) => Err(unreachable(home, &error.to_string())),
        Err(_) => Err(unreachable(home, "no answer within 5 s")),
    }
}

/// Why the server did not do what it was asked.
pub(super) enum Refused {
    /// It says that something is in the way.
    Conflict(String),
    /// Something else.
    Failed(Failure),
}

/// Asks the server to do something, and waits until it has.
pub(super) async fn ask(home: &Home, what: &str) -> Result<(), Refused> {
    let client = client(home).await.map_err(Refused::Failed)?;
    let request = Request::post(format!("{PREFIX}{what}")).body(Vec::new());
    let request = request.map_err(|e| Refused::Failed(Failure::poolkeeper("the request", e)))?;
    match client.request_text(request).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Err(Refused::Conflict(status.message)),
        Err(kube::Error::Api(status)) => Err(Refused::Failed(Failure::new(Exit::Failed, status.message))),
        Err(error) => Err(Refused::Failed(unreachable(home, &error.to_string()))),
    }
}

/// Asks for a copy of the store, as a response whose body it is.
pub(super) async fn backup(home: &Home) -> Result<http::Response<Body>, Failure> {
    let client = client(home).await?;
    let request = Request::get(format!("{PREFIX}backup")).body(Body::empty());
    let request = request.map_err(|e| Failure::poolkeeper("the request", e))?;
    let response = client.send(request).await.map_err(|e| unreachable(home, &e.to_string()))?;
    if !response.status().is_success() {
        return Err(Failure::new(Exit::Failed, format!("the local server made no copy: {}", response.status())));
    }
    Ok(response)
}

/// Waits until no server has the directory. False: one still has it after that time.
pub(super) async fn gone(home: &Home, limit: Duration) -> bool {
    let free = async {
        while home.holder().is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(limit, free).await.is_ok()
}

/// The address in a kubeconfig; empty if it cannot be read.
pub(in crate::cli) fn address(kubeconfig: &Path) -> String {
    let content = std::fs::read(kubeconfig).unwrap_or_default();
    let config: serde_json::Value = serde_json::from_slice(&content).unwrap_or_default();
    config["clusters"][0]["cluster"]["server"].as_str().unwrap_or_default().to_owned()
}
