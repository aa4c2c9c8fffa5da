//! An address as people write it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::kinds::{Endpoint, EndpointError, Ssh, TlsFiles};

/// The address of an engine, as it stands in a file.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Address {
    /// `unix:///PATH`, `tcp://HOST:PORT`, `ssh://[USER@]HOST[:PORT]` or `context:NAME`.
    pub endpoint: String,
    /// With `tcp://`: TLS, with these files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsFiles>,
}

impl Address {
    /// The endpoint that this address names now. `source_name` says in errors where it stands; `var` looks up a variable of the
    /// environment.
    ///
    /// # Errors
    /// It is not supported, or its context cannot be read.
    pub fn resolve(&self, source_name: &str, var: impl Fn(&str) -> Option<String>) -> Result<Endpoint, EndpointError> {
        let wrong =
            |problem: &str| EndpointError::Tls { source_name: source_name.to_owned(), problem: problem.to_owned() };
        let found = match self.endpoint.strip_prefix("context:") {
            Some(name) => Endpoint::of_context(name, source_name, var)?,
            None => Endpoint::parse(source_name, &self.endpoint)?,
        };
        match (found, &self.tls) {
            (found, None) => Ok(found),
            (Endpoint::Tcp(address), Some(files)) => Ok(Endpoint::Tls(address, files.clone())),
            (_, Some(_)) => Err(wrong("files of TLS go with tcp://HOST:PORT only")),
        }
    }
}

impl From<&Endpoint> for Address {
    fn from(endpoint: &Endpoint) -> Self {
        let tls = match endpoint {
            Endpoint::Tls(_, files) => Some(files.clone()),
            _ => None,
        };
        Self { endpoint: endpoint.to_string(), tls }
    }
}

impl Endpoint {
    /// Parses an address that was found at `source_name`.
    ///
    /// # Errors
    /// If it is none of `unix:///PATH`, `tcp://HOST:PORT` and `ssh://[USER@]HOST[:PORT][/PATH]`.
    pub fn parse(source_name: &str, address: &str) -> Result<Self, EndpointError> {
        let unsupported =
            || EndpointError::Unsupported { source_name: source_name.to_owned(), address: address.to_owned() };
        let authority = address.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
        if let Some((user, _)) = authority.rsplit_once('@')
            && (user.contains(':') || !address.starts_with("ssh://"))
        {
            return Err(EndpointError::Password { source_name: source_name.to_owned() });
        }
        if let Some(path) = address.strip_prefix("unix://") {
            return if path.starts_with('/') { Ok(Self::Unix(PathBuf::from(path))) } else { Err(unsupported()) };
        }
        if let Some(rest) = address.strip_prefix("ssh://") {
            return ssh(rest).map(Self::Ssh).ok_or_else(unsupported);
        }
        let host = address.strip_prefix("tcp://").ok_or_else(unsupported)?.trim_end_matches('/');
        let port = host.rsplit_once(':').and_then(|(name, port)| (!name.is_empty()).then(|| port.parse::<u16>()));
        match port {
            Some(Ok(_)) => Ok(Self::Tcp(host.to_owned())),
            _ => Err(unsupported()),
        }
    }
}

/// `[USER@]HOST[:PORT][/PATH]`. Every part becomes a word for ssh, and the path one for the shell there.
fn ssh(text: &str) -> Option<Ssh> {
    let (authority, path) = text.find('/').map_or((text, ""), |at| text.split_at(at));
    let (user, place) = match authority.split_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    // An IPv6 address stands in brackets.
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("")))
        }
        None => place.split_once(':').map_or((place, Some("")), |(host, port)| (host, Some(port))),
    };
    let port = match port? {
        "" if !place.ends_with(':') => None,
        port => Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
    };
    let word = |word: &str, more: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || more.contains(c);
        !word.is_empty() && !word.starts_with('-') && word.chars().all(fits)
    };
    let socket = Some(path).filter(|path| !matches!(*path, "" | "/"));
    let fits =
        word(host, "-._:%") && user.is_none_or(|user| word(user, "-._+$")) && socket.is_none_or(|s| word(s, "-._/"));
    fits.then(|| Ssh { user: user.map(str::to_owned), host: host.to_owned(), port, socket: socket.map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        for address in ["tcp://me:sesame@host:2375", "ssh://me:sesame@host", "tcp://sesame@host:2375"] {
            let error = address.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains("has a user or a password in it") && !error.contains("sesame"), "{error}");
        }
    }

    #[test]
    fn an_address_of_ssh_is_written_as_it_was_read() {
        for address in
            ["ssh://me@gpu1:2222", "ssh://gpu1", "ssh://me@10.0.0.1", "ssh://me@gpu1:2222/run/user/1/docker.sock"]
        {
            assert_eq!(address.parse::<Endpoint>().unwrap().to_string(), address);
        }
        let Ok(Endpoint::Ssh(ssh)) = "ssh://me@[fe80::1%eth0]:22".parse::<Endpoint>() else { panic!("refused") };
        assert_eq!((ssh.host.as_str(), ssh.port), ("fe80::1%eth0", Some(22)));
        assert_eq!(Endpoint::Ssh(ssh).public(), "ssh://[fe80::1%eth0]:22");
        let with_path: Endpoint = "ssh://me@gpu1:2222/run/d.sock".parse().unwrap();
        assert_eq!(with_path.public(), "ssh://gpu1:2222");
    }

    #[test]
    fn no_part_of_an_address_is_an_option_or_a_command() {
        for address in [
            "ssh://-oProxyCommand=x",
            "ssh://me@-x",
            "ssh://-l@host",
            "ssh://h;x",
            "ssh://h/a b",
            "ssh://h/$(x)",
            "ssh://",
            "ssh://h:",
            "ssh://h:0",
            "ssh://h:x",
            "ssh://a@b@c",
        ] {
            assert!(matches!(address.parse::<Endpoint>(), Err(EndpointError::Unsupported { .. })), "{address}");
        }
    }

    #[test]
    fn files_of_tls_make_tls_of_tcp_alone() {
        let files = TlsFiles::of_dir(Path::new("/pki"));
        let of = |endpoint: &str| Address { endpoint: endpoint.to_owned(), tls: Some(files.clone()) };
        let found = of("tcp://h:2376").resolve("x", |_| None).unwrap();
        assert_eq!(Address::from(&found), of("tcp://h:2376"));
        assert!(of("ssh://h").resolve("x", |_| None).unwrap_err().to_string().contains("tcp://HOST:PORT only"));
    }
}
