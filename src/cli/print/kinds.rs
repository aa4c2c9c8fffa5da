//! The kinds that commands name, by all the words that people use for them.

use std::fmt;
use std::str::FromStr;

/// One of Poolkeeper's kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ContainerPool`
    Pool,
    /// `Worker`
    Worker,
    /// `Dispatch`
    Dispatch,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pool, Self::Worker, Self::Dispatch];

    /// The name in paths of the API.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Pool => "containerpools",
            Self::Worker => "workers",
            Self::Dispatch => "dispatches",
        }
    }

    /// The name of one object.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Pool => "containerpool",
            Self::Worker => "worker",
            Self::Dispatch => "dispatch",
        }
    }

    /// The name of the kind in an object.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Pool => "ContainerPool",
            Self::Worker => "Worker",
            Self::Dispatch => "Dispatch",
        }
    }

    /// What people call one: `pool`, not `containerpool`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Worker => "worker",
            Self::Dispatch => "dispatch",
        }
    }

    /// The words that name it on the command line.
    const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Pool => &["pool", "pools", "cpool", "containerpool", "containerpools"],
            Self::Worker => &["worker", "workers", "pkw"],
            Self::Dispatch => &["dispatch", "dispatches", "pkd", "task", "tasks"],
        }
    }

    /// The path of the objects in a namespace; without one, of those in all namespaces.
    pub fn path(self, namespace: Option<&str>) -> String {
        let within = namespace.map(|namespace| format!("namespaces/{namespace}/")).unwrap_or_default();
        format!("/apis/poolkeeper.dev/v1alpha1/{within}{}", self.plural())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let lower = word.to_ascii_lowercase();
        let lower = lower.strip_suffix(".poolkeeper.dev").unwrap_or(&lower);
        let found = Self::ALL.into_iter().find(|kind| kind.words().contains(&lower));
        found.ok_or_else(|| "expected pools, workers or dispatches".to_owned())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_one_kind() {
        for kind in Kind::ALL {
            for word in kind.words() {
                assert_eq!(word.parse(), Ok(kind));
                assert_eq!(format!("{}.poolkeeper.dev", word.to_uppercase()).parse(), Ok(kind));
            }
        }
        assert!("pods".parse::<Kind>().is_err());
    }
}
