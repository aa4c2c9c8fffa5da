//! The file with the Docker hosts of a person or an installation: `hosts.yaml`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::endpoint::{Address, Endpoint, EndpointError, TlsFiles};
use super::host::HostOptions;

/// A Docker host as it stands in a file, or in `--host`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct HostEntry {
    /// Its name in `spec.hosts` of pools.
    pub name: String,
    /// `unix:///PATH`, `tcp://HOST:PORT`, `ssh://[USER@]HOST[:PORT]` or `context:NAME`.
    pub endpoint: String,
    /// With `tcp://`: TLS, with these files. Relative paths begin in the directory of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    hosts: Vec<HostEntry>,
}

/// Why the hosts cannot be used.
#[derive(thiserror::Error, Debug, Clone, PartialEq, Eq)]
pub enum HostsError {
    /// The file cannot be read.
    #[error("the Docker hosts in {path}: {problem}")]
    File {
        /// Its path.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A name that no pool could use.
    #[error("{name:?} cannot be the name of a Docker host: {problem}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Not of the form `NAME=ENDPOINT`.
    #[error("write NAME=ENDPOINT, such as gpu1=ssh://me@gpu1:2222, or NAME=tcp://HOST:PORT,ca=FILE,cert=FILE,key=FILE")]
    Form,
    /// An address that is not supported.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

impl HostEntry {
    fn check(&self) -> Result<(), HostsError> {
        let wrong = |problem: &str| HostsError::Name { name: self.name.clone(), problem: problem.to_owned() };
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        if self.name.len() > 63
            || !self.name.chars().all(fits)
            || !ends(self.name.chars().next())
            || !ends(self.name.chars().last())
        {
            return Err(wrong(
                "it has 1 to 63 small letters, digits, - and ., and begins and ends with a letter or a digit",
            ));
        }
        if !self.endpoint.starts_with("context:") {
            Endpoint::parse(&self.source_name(), &self.endpoint)?;
        }
        Ok(())
    }

    fn source_name(&self) -> String {
        format!("the endpoint of host {}", self.name)
    }

    /// The host, with the address that it has now.
    ///
    /// # Errors
    /// The address is not supported, or its context cannot be read.
    pub fn resolve(&self) -> Result<HostOptions, EndpointError> {
        let address = Address { endpoint: self.endpoint.clone(), tls: self.tls.clone() };
        let endpoint = address.resolve(&self.source_name(), |name| std::env::var(name).ok())?;
        Ok(HostOptions { name: self.name.clone(), endpoint: Some(endpoint) })
    }
}

/// `NAME=ENDPOINT[,ca=FILE,cert=FILE,key=FILE]`, as a flag has it. Relative paths are made absolute.
impl FromStr for HostEntry {
    type Err = HostsError;

    fn from_str(text: &str) -> Result<Self, HostsError> {
        let (name, rest) = text.split_once('=').ok_or(HostsError::Form)?;
        let mut parts = rest.split(',');
        let endpoint = parts.next().filter(|endpoint| !endpoint.is_empty()).ok_or(HostsError::Form)?;
        let [mut ca, mut cert, mut key] = [const { None::<PathBuf> }; 3];
        for part in parts {
            let (option, file) = part.split_once('=').ok_or(HostsError::Form)?;
            let slot = match option {
                "ca" => &mut ca,
                "cert" => &mut cert,
                "key" => &mut key,
                _ => return Err(HostsError::Form),
            };
            *slot = Some(std::path::absolute(file).map_err(|_| HostsError::Form)?);
        }
        let tls = match (ca, cert, key) {
            (None, None, None) => None,
            (Some(ca), Some(cert), Some(key)) => Some(TlsFiles { ca, cert, key }),
            _ => return Err(HostsError::Form),
        };
        let entry = Self { name: name.to_owned(), endpoint: endpoint.to_owned(), tls };
        entry.check()?;
        Ok(entry)
    }
}

/// Reads the hosts of a file.
///
/// # Errors
/// It cannot be read, or a host in it is wrong.
pub fn read(path: &Path) -> Result<Vec<HostEntry>, HostsError> {
    let wrong = |problem: String| HostsError::File { path: path.display().to_string(), problem };
    let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
    let File { hosts } = serde_saphyr::from_str(&text).map_err(|e| wrong(e.to_string()))?;
    let mut names = BTreeSet::new();
    let path = std::path::absolute(path).map_err(|e| wrong(e.to_string()))?;
    let dir = path.parent().unwrap_or(&path);
    let absolute = |mut host: HostEntry| {
        host.check().map_err(|e| wrong(e.to_string()))?;
        if !names.insert(host.name.clone()) {
            return Err(wrong(format!("host {} is in it twice", host.name)));
        }
        host.tls = host.tls.map(|files| files.within(dir));
        Ok(host)
    };
    hosts.into_iter().map(absolute).collect()
}

/// The file of this user: `hosts.yaml` in `$POOLKEEPER_HOME`, else in `poolkeeper` of the configuration directory. It need not be there.
pub fn default_path(var: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    let var = |name: &str| var(name).filter(|dir| dir.is_absolute());
    let dir = var("POOLKEEPER_HOME").or_else(|| {
        let config = var("XDG_CONFIG_HOME").or_else(|| Some(var("HOME")?.join(".config")))?;
        Some(config.join("poolkeeper"))
    })?;
    Some(dir.join("hosts.yaml"))
}

/// The hosts of this user's file; none if there is no file.
///
/// # Errors
/// As [`read`].
pub fn of_user() -> Result<Vec<HostEntry>, HostsError> {
    match default_path(|name| std::env::var_os(name).map(PathBuf::from)).filter(|path| path.exists()) {
        Some(path) => read(&path),
        None => Ok(Vec::new()),
    }
}

/// All hosts, in the order of their names. A later one takes the place of an earlier one with the same name.
pub fn merged(hosts: impl IntoIterator<Item = HostEntry>) -> Vec<HostEntry> {
    let by_name: std::collections::BTreeMap<String, HostEntry> =
        hosts.into_iter().map(|host| (host.name.clone(), host)).collect();
    by_name.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_names_a_host() {
        let host: HostEntry = "gpu1=ssh://me@gpu1:2222".parse().unwrap();
        assert_eq!((host.name.as_str(), host.endpoint.as_str(), host.tls), ("gpu1", "ssh://me@gpu1:2222", None));
        let host: HostEntry = "big=tcp://big:2376,ca=/p/ca,cert=/p/c,key=/p/k".parse().unwrap();
        assert_eq!(host.tls.unwrap().key, Path::new("/p/k"));
        for (wrong, why) in [
            ("gpu1", "NAME=ENDPOINT"),
            ("gpu1=", "NAME=ENDPOINT"),
            ("big=tcp://big:2376,ca=/p/ca", "NAME=ENDPOINT"),
            ("GPU=ssh://gpu1", "small letters"),
            ("=ssh://gpu1", "small letters"),
            ("gpu1=gpu1", "the endpoint of host gpu1"),
            ("gpu1=ssh://me:sesame@gpu1", "a password in it"),
        ] {
            let error = wrong.parse::<HostEntry>().unwrap_err().to_string();
            assert!(error.contains(why) && !error.contains("sesame"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_file_names_hosts_and_says_what_is_wrong_with_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts.yaml");
        let of = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read(&path)
        };
        let hosts = of("hosts:\n- {name: a, endpoint: 'tcp://a:2376', tls: {ca: ca.pem, cert: /c.pem, key: k.pem}}\n- {name: b, endpoint: 'context:b'}\n")
            .unwrap();
        let files = hosts[0].tls.clone().unwrap();
        assert_eq!((files.ca, files.cert), (dir.path().join("ca.pem"), "/c.pem".into()));
        for (text, why) in [
            ("hosts:\n- {name: a, endpoint: 'ssh://a'}\n- {name: a, endpoint: 'ssh://b'}", "host a is in it twice"),
            ("hosts:\n- {name: a, endpoint: 'ssh://a', max: 3}", "max"),
            ("host: []", "host"),
            ("hosts:\n- {name: a, endpoint: 'ssh://a:b@c'}", "a password in it"),
        ] {
            let error = of(text).unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("hosts.yaml"), "{text}: {error}");
        }
    }
}
