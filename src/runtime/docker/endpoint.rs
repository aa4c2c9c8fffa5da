//! Where a Docker Engine is: what `docker` itself would use, as far as Poolkeeper supports it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use sha2::{Digest, Sha256};

/// Where an engine listens if nothing says otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// The address of a Docker Engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket, by its path.
    Unix(PathBuf),
    /// `host:port`, without TLS.
    Tcp(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// Why there is no usable address.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
pub enum EndpointError {
    /// A scheme that is not supported, or none.
    #[error(
        "{source_name} is {address:?}: Poolkeeper supports unix:///PATH and tcp://HOST:PORT; to reach another machine, run \
         `ssh -nNT -L /tmp/docker.sock:{DEFAULT_SOCKET} USER@HOST` and use unix:///tmp/docker.sock"
    )]
    Unsupported {
        /// Where it was found.
        source_name: String,
        /// What was found there.
        address: String,
    },
    /// It has a password. It is not repeated.
    #[error(
        "{source_name} has a user or a password in it: Poolkeeper uses unix:///PATH and tcp://HOST:PORT without them"
    )]
    Password {
        /// Where it was found.
        source_name: String,
    },
    /// TLS is wanted.
    #[error(
        "{source_name} asks for TLS to the Docker Engine, which Poolkeeper does not support; forward its socket over ssh"
    )]
    Tls {
        /// What asks for it.
        source_name: String,
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

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(address: &str) -> Result<Self, Self::Err> {
        Self::parse("the endpoint", address)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CliConfig {
    #[serde(default)]
    current_context: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextMeta {
    endpoints: ContextEndpoints,
}

#[derive(Deserialize)]
struct ContextEndpoints {
    docker: ContextEndpoint,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextEndpoint {
    #[serde(default)]
    host: String,
}

impl Endpoint {
    /// Finds what `docker` would use: DOCKER_HOST, else DOCKER_CONTEXT, else the current context, else the default
    /// socket. `var` looks up a variable of the environment.
    ///
    /// # Errors
    /// If what is configured cannot be read or is not supported.
    pub fn find(var: impl Fn(&str) -> Option<String>) -> Result<Self, EndpointError> {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        if let Some(address) = var("DOCKER_HOST") {
            let endpoint = Self::parse("DOCKER_HOST", &address)?;
            if matches!(endpoint, Self::Tcp(_)) && var("DOCKER_TLS_VERIFY").is_some() {
                return Err(EndpointError::Tls { source_name: "DOCKER_TLS_VERIFY".to_owned() });
            }
            return Ok(endpoint);
        }
        let dir = var("DOCKER_CONFIG").map(PathBuf::from).or_else(|| Some(Path::new(&var("HOME")?).join(".docker")));
        let (context, source_name) = match (var("DOCKER_CONTEXT"), &dir) {
            (Some(name), _) => (name, "DOCKER_CONTEXT".to_owned()),
            (None, Some(dir)) => {
                let file = dir.join("config.json");
                (current_context(&file)?, format!("currentContext in {}", file.display()))
            }
            (None, None) => (String::new(), String::new()),
        };
        match dir {
            Some(dir) if !context.is_empty() && context != "default" => Self::of_context(&dir, &context, source_name),
            _ => Ok(Self::Unix(PathBuf::from(DEFAULT_SOCKET))),
        }
    }

    fn of_context(dir: &Path, context: &str, source_name: String) -> Result<Self, EndpointError> {
        // The CLI names the folders of a context by the hash of its name.
        let id = hex::encode(Sha256::digest(context.as_bytes()));
        let file = dir.join("contexts/meta").join(&id).join("meta.json");
        let meta = std::fs::read_to_string(&file)
            .map_err(|e| e.to_string())
            .and_then(|text| serde_json::from_str::<ContextMeta>(&text).map_err(|e| e.to_string()))
            .map_err(|problem| EndpointError::Context {
                context: context.to_owned(),
                source_name,
                path: file.display().to_string(),
                problem,
            })?;
        let source_name = format!("docker context {context:?}");
        let endpoint = Self::parse(&source_name, &meta.endpoints.docker.host)?;
        if matches!(endpoint, Self::Tcp(_)) && dir.join("contexts/tls").join(&id).join("docker").exists() {
            return Err(EndpointError::Tls { source_name });
        }
        Ok(endpoint)
    }

    /// Parses an address that was found at `source_name`.
    ///
    /// # Errors
    /// If it is neither `unix:///PATH` nor `tcp://HOST:PORT`.
    pub fn parse(source_name: &str, address: &str) -> Result<Self, EndpointError> {
        let unsupported =
            || EndpointError::Unsupported { source_name: source_name.to_owned(), address: address.to_owned() };
        let authority = address.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
        if let Some((user, _)) = authority.rsplit_once('@')
            && (user.contains(':') || address.starts_with("tcp://"))
        {
            return Err(EndpointError::Password { source_name: source_name.to_owned() });
        }
        if let Some(path) = address.strip_prefix("unix://") {
            return if path.starts_with('/') { Ok(Self::Unix(PathBuf::from(path))) } else { Err(unsupported()) };
        }
        let host = address.strip_prefix("tcp://").ok_or_else(unsupported)?.trim_end_matches('/');
        let port = host.rsplit_once(':').and_then(|(name, port)| (!name.is_empty()).then(|| port.parse::<u16>()));
        match port {
            Some(Ok(_)) => Ok(Self::Tcp(host.to_owned())),
            _ => Err(unsupported()),
        }
    }
}

/// The current context of the CLI; empty if none is named.
fn current_context(file: &Path) -> Result<String, EndpointError> {
    let wrong = |problem: String| EndpointError::Config { path: file.display().to_string(), problem };
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(serde_json::from_str::<CliConfig>(&text).map_err(|e| wrong(e.to_string()))?.current_context),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(wrong(e.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        for address in ["tcp://me:sesame@host:2375", "ssh://me:sesame@host", "tcp://sesame@host:2375"] {
            let error = address.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains("has a user or a password in it") && !error.contains("sesame"), "{error}");
        }
        assert!(matches!("ssh://me@host".parse::<Endpoint>(), Err(EndpointError::Unsupported { .. })));
    }

    fn find(vars: &[(&str, &str)]) -> Result<Endpoint, EndpointError> {
        Endpoint::find(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn without_configuration_it_is_the_default_socket() {
        assert_eq!(find(&[]), Ok(Endpoint::Unix(DEFAULT_SOCKET.into())));
        let home = tempfile::tempdir().unwrap();
        assert_eq!(find(&[("HOME", home.path().to_str().unwrap())]), Ok(Endpoint::Unix(DEFAULT_SOCKET.into())));
    }

    #[test]
    fn docker_host_comes_first_and_is_used_or_refused() {
        assert_eq!(find(&[("DOCKER_HOST", "unix:///a/b"), ("DOCKER_CONTEXT", "x")]), Ok(Endpoint::Unix("/a/b".into())));
        assert_eq!(find(&[("DOCKER_HOST", "tcp://h:2375")]), Ok(Endpoint::Tcp("h:2375".into())));
        for wrong in ["ssh://me@gpu1", "npipe:////./pipe/x", "/var/run/docker.sock", "tcp://h", "tcp://:1", "unix://x"]
        {
            let error = find(&[("DOCKER_HOST", wrong)]).unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains("unix:///PATH") && error.contains("tcp://"), "{error}");
        }
        let tls = find(&[("DOCKER_HOST", "tcp://h:2376"), ("DOCKER_TLS_VERIFY", "1")]);
        assert!(matches!(tls, Err(EndpointError::Tls { .. })));
    }

    #[test]
    fn contexts_are_followed() {
        let home = tempfile::tempdir().unwrap();
        let vars = [("HOME", home.path().to_str().unwrap())];
        let docker = home.path().join(".docker");
        // sha256 of "gpu1", as `docker context create gpu1` names the folder.
        let id = hex::encode(Sha256::digest(b"gpu1"));
        let meta = docker.join("contexts/meta").join(id);
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(docker.join("config.json"), r#"{"auths":{},"currentContext":"gpu1"}"#).unwrap();
        let missing = find(&vars).unwrap_err().to_string();
        assert!(
            missing.contains("gpu1") && missing.contains("currentContext") && missing.contains("meta.json"),
            "{missing}"
        );
        let text =
            r#"{"Name":"gpu1","Metadata":{},"Endpoints":{"docker":{"Host":"tcp://gpu1:2375","SkipTLSVerify":false}}}"#;
        std::fs::write(meta.join("meta.json"), text).unwrap();
        assert_eq!(find(&vars), Ok(Endpoint::Tcp("gpu1:2375".into())));
        assert_eq!(find(&[vars[0], ("DOCKER_CONTEXT", "default")]), Ok(Endpoint::Unix(DEFAULT_SOCKET.into())));
        std::fs::write(docker.join("config.json"), "{").unwrap();
        assert!(matches!(find(&vars), Err(EndpointError::Config { .. })));
    }
}
