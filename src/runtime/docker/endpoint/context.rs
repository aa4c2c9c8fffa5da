//! What `docker` itself would use: variables of the environment, and contexts.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::kinds::{DEFAULT_SOCKET, Endpoint, EndpointError, TlsFiles};

/// Where Docker Desktop, OrbStack and Colima listen, below the directory of the user, if their context is not the current one.
const OTHER_SOCKETS: [&str; 4] = [
    ".docker/run/docker.sock",
    ".docker/desktop/docker.sock",
    ".orbstack/run/docker.sock",
    ".colima/default/docker.sock",
];

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
    #[serde(default, rename = "SkipTLSVerify")]
    skip_verify: bool,
}

impl Endpoint {
    /// Finds the engine of this machine: what `docker` would use, else the socket of Docker Desktop, OrbStack or Colima if there is no
    /// default socket. `var` looks up a variable of the environment.
    ///
    /// # Errors
    /// If what is configured cannot be read or is not supported.
    pub fn find(var: impl Fn(&str) -> Option<String>) -> Result<Self, EndpointError> {
        let found = Self::of_docker(&var)?;
        let default = Self::Unix(PathBuf::from(DEFAULT_SOCKET));
        let home = var("HOME").filter(|home| !home.is_empty());
        if let (true, Some(home)) = (found == default && !Path::new(DEFAULT_SOCKET).exists(), home) {
            let other = OTHER_SOCKETS.iter().map(|socket| Path::new(&home).join(socket)).find(|socket| socket.exists());
            return Ok(other.map_or(default, Self::Unix));
        }
        Ok(found)
    }

    /// Finds what `docker` would use: DOCKER_HOST, else DOCKER_CONTEXT, else the current context, else the default socket.
    ///
    /// # Errors
    /// As [`Endpoint::find`].
    pub fn of_docker(var: impl Fn(&str) -> Option<String>) -> Result<Self, EndpointError> {
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        if let Some(address) = var("DOCKER_HOST") {
            let found = match Self::parse("DOCKER_HOST", &address)? {
                Self::Tcp(address) => match tls_of_environment(var)? {
                    Some(files) => Self::Tls(address, files),
                    None => Self::Tcp(address),
                },
                other => other,
            };
            return Ok(found);
        }
        if let Some(name) = var("DOCKER_CONTEXT") {
            return Self::of_context(&name, "DOCKER_CONTEXT", var);
        }
        let Some(dir) = config_dir(var) else { return Ok(Self::Unix(PathBuf::from(DEFAULT_SOCKET))) };
        let file = dir.join("config.json");
        Self::of_context(&current_context(&file)?, &format!("currentContext in {}", file.display()), var)
    }

    /// The engine of a context of `docker`. The empty name and `default` are the default socket.
    pub(super) fn of_context(
        context: &str,
        source_name: &str,
        var: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, EndpointError> {
        if matches!(context, "" | "default") {
            return Ok(Self::Unix(PathBuf::from(DEFAULT_SOCKET)));
        }
        let wrong = |path: &Path, problem: String| EndpointError::Context {
            context: context.to_owned(),
            source_name: source_name.to_owned(),
            path: path.display().to_string(),
            problem,
        };
        let Some(dir) = config_dir(var) else {
            return Err(wrong(Path::new("~/.docker"), "neither DOCKER_CONFIG nor HOME is set".to_owned()));
        };
        // The CLI names the folders of a context by the hash of its name.
        let id = hex::encode(Sha256::digest(context.as_bytes()));
        let file = dir.join("contexts/meta").join(&id).join("meta.json");
        let meta = std::fs::read_to_string(&file)
            .map_err(|e| e.to_string())
            .and_then(|text| serde_json::from_str::<ContextMeta>(&text).map_err(|e| e.to_string()))
            .map_err(|problem| wrong(&file, problem))?;
        let source_name = format!("docker context {context:?}");
        let found = Self::parse(&source_name, &meta.endpoints.docker.host)?;
        let tls = dir.join("contexts/tls").join(&id).join("docker");
        match found {
            Self::Tcp(_) if meta.endpoints.docker.skip_verify => {
                let problem = "it skips the verification of TLS, which Poolkeeper never does".to_owned();
                Err(EndpointError::Tls { source_name, problem })
            }
            Self::Tcp(address) if tls.exists() => Ok(Self::Tls(address, TlsFiles::of_dir(&tls))),
            other => Ok(other),
        }
    }
}

/// The directory of the CLI's configuration.
fn config_dir(var: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    var("DOCKER_CONFIG").map(PathBuf::from).or_else(|| Some(Path::new(&var("HOME")?).join(".docker")))
}

/// The files of TLS, if the environment asks for it as it asks `docker`.
fn tls_of_environment(var: impl Fn(&str) -> Option<String>) -> Result<Option<TlsFiles>, EndpointError> {
    if var("DOCKER_TLS_VERIFY").is_none() {
        return Ok(None);
    }
    let dir = var("DOCKER_CERT_PATH").map(PathBuf::from).or_else(|| config_dir(var));
    let wrong = |problem: String| EndpointError::Tls { source_name: "DOCKER_TLS_VERIFY".to_owned(), problem };
    let dir = dir.ok_or_else(|| wrong("neither DOCKER_CERT_PATH nor HOME is set".to_owned()))?;
    let dir = std::path::absolute(&dir).map_err(|e| wrong(format!("{}: {e}", dir.display())))?;
    Ok(Some(TlsFiles::of_dir(&dir)))
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

    fn find(vars: &[(&str, &str)]) -> Result<Endpoint, EndpointError> {
        Endpoint::of_docker(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
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
        assert_eq!(find(&[("DOCKER_HOST", "ssh://me@gpu1")]).unwrap().to_string(), "ssh://me@gpu1");
        for wrong in ["npipe:////./pipe/x", "/var/run/docker.sock", "tcp://h", "tcp://:1", "unix://x"] {
            let error = find(&[("DOCKER_HOST", wrong)]).unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains("unix:///PATH") && error.contains("tcp://"), "{error}");
        }
        let vars = [("DOCKER_HOST", "tcp://h:2376"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/pki")];
        assert_eq!(find(&vars), Ok(Endpoint::Tls("h:2376".into(), TlsFiles::of_dir(Path::new("/pki")))));
        assert!(matches!(find(&vars[..2]), Err(EndpointError::Tls { .. })));
    }

    #[test]
    fn contexts_are_followed() {
        let home = tempfile::tempdir().unwrap();
        let vars = [("HOME", home.path().to_str().unwrap())];
        let docker = home.path().join(".docker");
        // sha256 of "gpu1", as `docker context create gpu1` names the folder.
        let id = hex::encode(Sha256::digest(b"gpu1"));
        let meta = docker.join("contexts/meta").join(&id);
        std::fs::create_dir_all(&meta).unwrap();
        std::fs::write(docker.join("config.json"), r#"{"auths":{},"currentContext":"gpu1"}"#).unwrap();
        let missing = find(&vars).unwrap_err().to_string();
        assert!(
            missing.contains("gpu1") && missing.contains("currentContext") && missing.contains("meta.json"),
            "{missing}"
        );
        let text = |skip: bool| {
            format!(r#"{{"Name":"gpu1","Endpoints":{{"docker":{{"Host":"tcp://gpu1:2375","SkipTLSVerify":{skip}}}}}}}"#)
        };
        std::fs::write(meta.join("meta.json"), text(false)).unwrap();
        assert_eq!(find(&vars), Ok(Endpoint::Tcp("gpu1:2375".into())));
        assert_eq!(find(&[vars[0], ("DOCKER_CONTEXT", "default")]), Ok(Endpoint::Unix(DEFAULT_SOCKET.into())));
        // By its name, whichever is the current one, and with its files of TLS.
        let tls = docker.join("contexts/tls").join(&id).join("docker");
        std::fs::create_dir_all(&tls).unwrap();
        let found = Endpoint::of_context("gpu1", "host x", |name| (name == "HOME").then(|| vars[0].1.to_owned()));
        assert_eq!(found, Ok(Endpoint::Tls("gpu1:2375".into(), TlsFiles::of_dir(&tls))));
        std::fs::write(meta.join("meta.json"), text(true)).unwrap();
        assert!(find(&vars).unwrap_err().to_string().contains("skips the verification"));
        std::fs::write(docker.join("config.json"), "{").unwrap();
        assert!(matches!(find(&vars), Err(EndpointError::Config { .. })));
    }

    #[test]
    fn docker_desktop_and_orbstack_are_found_where_they_listen() {
        if Path::new(DEFAULT_SOCKET).exists() {
            return;
        }
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join(".orbstack/run/docker.sock");
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        std::fs::write(&socket, "").unwrap();
        let found = Endpoint::find(|name| (name == "HOME").then(|| home.path().to_str().unwrap().to_owned()));
        assert_eq!(found, Ok(Endpoint::Unix(socket)));
    }
}
