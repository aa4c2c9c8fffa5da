//! How clients reach the local server: its port, its token and its authority, which are chosen once and stay the same until
//! `local rotate` replaces them, because clients read them once.

use std::io;
use std::sync::Arc;

use base64::Engine;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::home::{self, Home};
use crate::clock::{Clock, Ids};
use crate::https::identity::Authority;

/// The name of the context, the cluster and the user in the kubeconfig.
pub const CONTEXT: &str = "poolkeeper-local";

/// How clients reach the server.
pub(super) struct Access {
    /// None: none was chosen yet.
    pub port: Option<u16>,
    pub token: SecretString,
    pub authority: Authority,
}

#[derive(Serialize, Deserialize)]
struct File {
    port: Option<u16>,
    token: String,
    certificate: String,
    key: String,
}

impl Access {
    /// Reads it, or makes it if it is not there yet.
    pub fn of(home: &Home, clock: &Arc<dyn Clock>, ids: &Ids) -> io::Result<Self> {
        let path = home.access();
        if let Some(content) = home::read(&path)? {
            let file: File = serde_json::from_slice(&content).map_err(io::Error::other)?;
            let authority = Authority { certificate: file.certificate, key: file.key };
            return Ok(Self { port: file.port, token: file.token.into(), authority });
        }
        let access = Self::new(None, clock, ids)?;
        access.write(home)?;
        Ok(access)
    }

    fn new(port: Option<u16>, clock: &Arc<dyn Clock>, ids: &Ids) -> io::Result<Self> {
        let token = format!("{}{}", ids.uid(), ids.uid()).replace('-', "");
        let authority = Authority::new(clock.now()).map_err(io::Error::other)?;
        Ok(Self { port, token: token.into(), authority })
    }

    /// Another one, for the same port. It is not stored yet.
    pub fn rotated(&self, clock: &Arc<dyn Clock>, ids: &Ids) -> io::Result<Self> {
        Self::new(self.port, clock, ids)
    }

    /// Stores it in the place of another one, for the server first: the next start writes the kubeconfig if this is cut off.
    pub fn replace(&self, home: &Home) -> io::Result<()> {
        self.write(home)?;
        match self.port {
            Some(port) => home::write_private(&home.kubeconfig(), self.kubeconfig(port).as_bytes()),
            None => Ok(()),
        }
    }

    fn write(&self, home: &Home) -> io::Result<()> {
        let file = File {
            port: self.port,
            token: self.token.expose_secret().to_owned(),
            certificate: self.authority.certificate.clone(),
            key: self.authority.key.clone(),
        };
        home::write_private(&home.access(), &serde_json::to_vec(&file).map_err(io::Error::other)?)
    }

    /// Keeps the port, and writes the kubeconfig.
    pub fn keep(&mut self, home: &Home, port: u16) -> io::Result<()> {
        if self.port != Some(port) {
            self.port = Some(port);
            self.write(home)?;
        }
        let text = self.kubeconfig(port);
        if home::read(&home.kubeconfig())?.as_deref() == Some(text.as_bytes()) {
            return Ok(());
        }
        home::write_private(&home.kubeconfig(), text.as_bytes())
    }

    fn kubeconfig(&self, port: u16) -> String {
        let certificate = base64::engine::general_purpose::STANDARD.encode(&self.authority.certificate);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": CONTEXT,
            "clusters": [{"name": CONTEXT, "cluster": {
                "server": format!("https://127.0.0.1:{port}"), "certificate-authority-data": certificate,
            }}],
            "users": [{"name": CONTEXT, "user": {"token": self.token.expose_secret()}}],
            "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": "default"}}],
        });
        // JSON is YAML.
        format!("{config:#}\n")
    }
}
