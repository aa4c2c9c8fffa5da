//! Variables that the server has besides those of the shell that started it: settings of a person, stored for all later starts.
//!
//! A process cannot change its own environment safely once it has threads. So the process that starts a server gives it these.

use std::collections::BTreeMap;
use std::io;
use std::str::FromStr;

use super::error::Error;
use super::home::{self, Home};

/// The variables, by name. Their values may be secrets: they are in a file of this user alone, and are never printed.
pub type Variables = BTreeMap<String, String>;

/// A change of one variable.
#[derive(Clone, PartialEq, Eq)]
pub struct Change {
    name: String,
    /// None: the server has it no longer.
    value: Option<String>,
}

/// Without the value, which may be a secret.
impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Change {
    /// Removes a variable.
    ///
    /// # Errors
    /// It is no name.
    pub fn removal(name: &str) -> Result<Self, String> {
        check(name)?;
        Ok(Self { name: name.to_owned(), value: None })
    }
}

/// `NAME=VALUE`, or `NAME` with the value that it has here. An error shows no value.
impl FromStr for Change {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Ok(value.to_owned())),
            None => (text, std::env::var(text)),
        };
        check(name)?;
        let value = value.map_err(|error| match error {
            std::env::VarError::NotPresent => format!("{name} is not set here: set it, or write {name}=VALUE"),
            std::env::VarError::NotUnicode(_) => format!("{name} is set here, but not UTF-8"),
        })?;
        if value.contains('\0') {
            return Err(format!("the value of {name} contains a zero byte"));
        }
        Ok(Self { name: name.to_owned(), value: Some(value) })
    }
}

fn check(name: &str) -> Result<(), String> {
    let letters = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if name.is_empty() || !letters || name.starts_with(|first: char| first.is_ascii_digit()) {
        return Err("write NAME or NAME=VALUE, where NAME has letters, digits and underscores".to_owned());
    }
    match name {
        "DOCKER_HOST" => Err("use --docker-host for the Docker Engine".to_owned()),
        "HOME" | "XDG_STATE_HOME" => Err(format!("{name} says where the state is, so it cannot be a part of it")),
        _ if name.starts_with("POOLKEEPER_") => Err(format!("{name} is a variable of Poolkeeper itself")),
        _ => Ok(()),
    }
}

/// The variables that are stored.
///
/// # Errors
/// The file cannot be read.
pub fn read(home: &Home) -> Result<Variables, Error> {
    let failed = |source: io::Error| Error::File { path: home.environment(), source };
    let content = home::read(&home.environment()).map_err(failed)?;
    let found = content.map(|content| serde_json::from_slice(&content)).transpose();
    found.map(Option::unwrap_or_default).map_err(|e| failed(io::Error::other(e)))
}

/// Keeps changes for the next start of a server, and all later ones.
///
/// # Errors
/// The file cannot be read or written.
pub fn keep(home: &Home, changes: &[Change]) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let failed = |source: io::Error| Error::File { path: home.environment(), source };
    let mut variables = read(home)?;
    for Change { name, value } in changes.iter().cloned() {
        match value {
            Some(value) => drop(variables.insert(name, value)),
            None => drop(variables.remove(&name)),
        }
    }
    let content = serde_json::to_vec(&variables).map_err(|e| failed(io::Error::other(e)))?;
    home::write_private(&home.environment(), &content).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_name_with_or_without_a_value() {
        let change: Change = "A_1=b=c".parse().unwrap();
        assert_eq!((change.name.as_str(), change.value.as_deref()), ("A_1", Some("b=c")));
        for (text, why) in [
            ("", "write NAME"),
            ("=secret", "write NAME"),
            ("1A=secret", "write NAME"),
            ("A-B=secret", "write NAME"),
            ("NOT_SET_ANYWHERE", "is not set here"),
            ("DOCKER_HOST=secret", "--docker-host"),
            ("POOLKEEPER_HOME=secret", "Poolkeeper itself"),
            ("A=secret\0", "zero byte"),
        ] {
            let error = text.parse::<Change>().unwrap_err();
            assert!(error.contains(why) && !error.contains("secret"), "{text}: {error}");
        }
        assert!(!format!("{change:?}").contains("b=c"));
    }
}
