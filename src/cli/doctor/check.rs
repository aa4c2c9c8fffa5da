//! What was looked at, how it is, and what to do about it.

use serde::Serialize;

use crate::cli::output::escape;

/// How it is.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Something may not work.
    Warn,
    /// Something does not work.
    Fail,
}

/// One line of the answer.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Check {
    /// How it is.
    pub level: Level,
    /// What was looked at.
    pub what: &'static str,
    /// What was found.
    pub words: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    pub fn ok(what: &'static str, words: impl Into<String>) -> Self {
        Self { level: Level::Ok, what, words: words.into(), remedy: None }
    }

    pub fn warn(what: &'static str, words: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Warn, what, words: words.into(), remedy: Some(remedy.into()) }
    }

    pub fn fail(what: &'static str, words: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { level: Level::Fail, what, words: words.into(), remedy: Some(remedy.into()) }
    }

    /// The line.
    pub fn line(&self) -> String {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "fail",
        };
        let remedy = self.remedy.as_ref().map(|remedy| format!("  -> {}", escape(remedy))).unwrap_or_default();
        format!("{level:<5} {}: {}{remedy}\n", self.what, escape(&self.words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_one_line() {
        assert_eq!(Check::ok("kubectl", "v1.33.0").line(), "ok    kubectl: v1.33.0\n");
        let warn = Check::warn("docker", "refused\nagain", "start it");
        assert_eq!(warn.line(), "warn  docker: refused\\nagain  -> start it\n");
        assert!(Level::Fail > Level::Warn && Level::Warn > Level::Ok);
    }
}
