//! What the address of a Docker Engine can be.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where an engine listens if nothing says otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
/// What an address may be, for messages.
const FORMS: &str = "unix:///PATH, tcp://HOST:PORT, ssh://[USER@]HOST[:PORT] and context:NAME";

/// The files of TLS to a Docker Engine, in PEM.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The authority that signed the certificate of the engine.
    pub ca: PathBuf,
    /// The certificate of this client.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl TlsFiles {
    /// The files in a directory, as `docker` names them there.
    pub fn of_dir(dir: &Path) -> Self {
        Self { ca: dir.join("ca.pem"), cert: dir.join("cert.pem"), key: dir.join("key.pem") }
    }

    /// The same files, of paths that begin in `dir`.
    #[must_use]
    pub fn within(&self, dir: &Path) -> Self {
        Self { ca: dir.join(&self.ca), cert: dir.join(&self.cert), key: dir.join(&self.key) }
    }
}

/// The address of a Docker Engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket, by its path.
    Unix(PathBuf),
    /// `host:port`, without TLS.
    Tcp(String),
    /// `host:port`, with TLS.
    Tls(String, TlsFiles),
    /// The engine of another machine, by the `ssh` of this one.
    Ssh(Ssh),
}

/// How ssh reaches an engine. What is not said here is in the user's configuration of ssh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// The user there.
    pub user: Option<String>,
    /// The machine, or its name in the configuration of ssh.
    pub host: String,
    /// The port.
    pub port: Option<u16>,
    /// The socket of the engine there. None: the one that `docker` uses there.
    pub socket: Option<String>,
}

impl Ssh {
    /// The words with which a person logs in there: `ssh -p 2222 me@host`.
    pub fn login(&self) -> String {
        let port = self.port.map(|port| format!("-p {port} ")).unwrap_or_default();
        let user = self.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        format!("ssh {port}{user}{}", self.host)
    }
}

impl Endpoint {
    /// The address for all readers: scheme, host and port, without the user and the path on another machine.
    pub fn public(&self) -> String {
        match self {
            Self::Ssh(ssh) => Self::Ssh(Ssh { user: None, socket: None, ..ssh.clone() }).to_string(),
            other => other.to_string(),
        }
    }

    /// The options with which `docker` reaches it.
    pub fn docker_options(&self) -> Vec<String> {
        let mut options = vec!["-H".to_owned(), self.to_string()];
        if let Self::Tls(_, files) = self {
            let files = [("--tlscacert", &files.ca), ("--tlscert", &files.cert), ("--tlskey", &files.key)];
            options.push("--tlsverify".to_owned());
            options.extend(files.into_iter().map(|(option, file)| format!("{option}={}", file.display())));
        }
        options
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) | Self::Tls(address, _) => write!(f, "tcp://{address}"),
            Self::Ssh(Ssh { user, host, port, socket }) => {
                let user = user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
                let port = port.map(|port| format!(":{port}")).unwrap_or_default();
                // An IPv6 address stands in brackets.
                let (open, close) = if host.contains(':') { ("[", "]") } else { ("", "") };
                write!(f, "ssh://{user}{open}{host}{close}{port}{}", socket.as_deref().unwrap_or_default())
            }
        }
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(address: &str) -> Result<Self, Self::Err> {
        Self::parse("the endpoint", address)
    }
}

/// Why there is no usable address.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
pub enum EndpointError {
    /// A scheme that is not supported, or none.
    #[error("{source_name} is {address:?}: Poolkeeper supports {FORMS}")]
    Unsupported {
        /// Where it was found.
        source_name: String,
        /// What was found there.
        address: String,
    },
    /// It has a password. It is not repeated.
    #[error(
        "{source_name} has a user or a password in it: Poolkeeper uses {FORMS}; a password is never part of an address"
    )]
    Password {
        /// Where it was found.
        source_name: String,
    },
    /// TLS is wanted, but not with all that it needs.
    #[error("{source_name}: {problem}")]
    Tls {
        /// What asks for it.
        source_name: String,
        /// What is wrong.
        problem: String,
    },
    /// The context is not there or cannot be read.
    #[error(
        "docker context {context:?} (named by {source_name}): {path}: {problem}; `docker context ls` lists the contexts"
    )]
    Context {
        /// Its name.
        context: String,
        /// Where the name was found.
        source_name: String,
        /// The file that should describe it.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The CLI's configuration cannot be read.
    #[error("{path}: {problem}; correct it, or set DOCKER_HOST")]
    Config {
        /// The file.
        path: String,
        /// What is wrong.
        problem: String,
    },
}
