//! The values of `--env`, `--mount` and `--credential`. Each becomes an entry of a list of the spec.

use std::env::VarError;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::exit::Failure;

/// What the values of flags refer to.
pub struct Surroundings<'a> {
    /// Looks up a variable of this process's environment.
    pub var: &'a dyn Fn(&str) -> Result<String, VarError>,
    /// Where relative paths start.
    pub current_dir: &'a Path,
    /// True if the workers are on this machine. If not, paths of mounts are those of other machines.
    pub are_here: bool,
}

/// Entries of `spec.env`.
///
/// # Errors
/// A variable without a value that is not set here.
pub fn env(flags: &[String], around: &Surroundings<'_>) -> Result<Vec<Value>, Failure> {
    let one = |flag: &String| {
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => {
                let wrong = |error| match error {
                    VarError::NotPresent => Failure::usage(format!(
                        "--env {flag}: {flag} is not set here: set it, or write --env {flag}=VALUE"
                    )),
                    VarError::NotUnicode(_) => not_text(&format!("--env {flag}"), flag),
                };
                (flag.as_str(), (around.var)(flag).map_err(wrong)?)
            }
        };
        Ok(json!({"name": name, "value": value}))
    };
    flags.iter().map(one).collect()
}

/// The value may be a secret, so it is not shown.
fn not_text(flag: &str, variable: &str) -> Failure {
    Failure::usage(format!("{flag}: {variable} is set, but not UTF-8, which a variable of a worker must be"))
}

/// Entries of `spec.mounts`.
///
/// # Errors
/// Not of the form. With workers on this machine: the source does not exist. With others: it is not absolute.
pub fn mounts(flags: &[String], around: &Surroundings<'_>) -> Result<Vec<Value>, Failure> {
    let one = |flag: &String| {
        let wrong =
            || Failure::usage(format!("--mount {flag}: write SRC:DST or SRC:DST:rw, such as --mount ./data:/data"));
        let (rest, read_only) = match flag.rsplit_once(':') {
            Some((rest, "rw")) => (rest, false),
            Some((rest, "ro")) => (rest, true),
            _ => (flag.as_str(), true),
        };
        let (source, target) = rest.rsplit_once(':').ok_or_else(wrong)?;
        if source.is_empty() || !target.starts_with('/') {
            return Err(wrong());
        }
        if !around.are_here && !source.starts_with('/') {
            return Err(Failure::usage(format!(
                "--mount {flag}: the directory is one of the cluster's nodes: write an absolute path instead of {source}"
            )));
        }
        let source = absolute(source, around);
        if around.are_here && !source.exists() {
            return Err(Failure::usage(format!("--mount {flag}: {} does not exist", source.display())));
        }
        Ok(json!({"hostPath": source.to_string_lossy(), "mountPath": target, "readOnly": read_only}))
    };
    flags.iter().map(one).collect()
}

fn absolute(path: &str, around: &Surroundings<'_>) -> PathBuf {
    let path = Path::new(path);
    let below = path.strip_prefix(".").unwrap_or(path);
    around.current_dir.join(below)
}

/// Entries of `spec.credentials`.
///
/// # Errors
/// Not of the form, or the source does not exist.
pub fn credentials(flags: &[String], around: &Surroundings<'_>) -> Result<Vec<Value>, Failure> {
    flags.iter().map(|flag| credential(flag, around)).collect()
}

/// After the name comes `env:VAR` or `dir:PATH`, or `VAR:` and one of `env:SOURCE`, `file:PATH`, `command:CMD`, `secret:NAME/KEY`,
/// `dir:PATH`. Messages repeat the name
/// only: a user who mistook the form may have written the secret itself.
fn credential(flag: &str, around: &Surroundings<'_>) -> Result<Value, Failure> {
    let name = flag.split('=').next().unwrap_or_default();
    let wrong = |problem: &str| {
        Failure::usage(format!(
            "--credential {name}: {problem}; write NAME=env:VAR, NAME=VAR:file:PATH, NAME=VAR:command:CMD or NAME=dir:PATH, such as a=env:API_TOKEN"
        ))
    };
    let (_, source) = flag.split_once('=').ok_or_else(|| wrong("there is no ="))?;
    let (first, rest) = source.split_once(':').ok_or_else(|| wrong("there is no source"))?;
    let (variable, kind, from) = match first {
        "env" => (rest, "env", rest),
        "dir" => {
            let variable = variable_of(&absolute(rest, around)).ok_or_else(|| {
                wrong("no agent has logged in to that directory, so name the variable: NAME=VAR:dir:PATH")
            })?;
            (variable, "dir", rest)
        }
        "file" | "command" | "secret" => return Err(wrong("the variable of the worker is missing")),
        variable => {
            let (kind, from) = rest.split_once(':').ok_or_else(|| wrong("there is no source"))?;
            (variable, kind, from)
        }
    };
    if from.is_empty() || variable.is_empty() {
        return Err(wrong("the source is empty"));
    }
    let mut entry = json!({"name": name, "env": variable});
    let (field, value) = match kind {
        "env" => match (around.var)(from) {
            Ok(_) => ("fromEnv", json!(from)),
            Err(VarError::NotPresent) => {
                return Err(Failure::usage(format!("--credential {name}: {from} is not set here: export it first")));
            }
            Err(VarError::NotUnicode(_)) => return Err(not_text(&format!("--credential {name}"), from)),
        },
        "file" => {
            let path = absolute(from, around);
            if let Err(error) = std::fs::metadata(&path) {
                return Err(Failure::usage(format!("--credential {name}: {}: {error}", path.display())));
            }
            ("fromFile", json!(path.to_string_lossy()))
        }
        "dir" => {
            let path = absolute(from, around);
            if let Err(error) = std::fs::metadata(&path) {
                return Err(Failure::usage(format!("--credential {name}: {}: {error}", path.display())));
            }
            ("directory", json!({"hostPath": path.to_string_lossy()}))
        }
        "command" => ("fromCommand", json!(["sh", "-c", from])),
        "secret" => {
            let at = from.split_once('/').filter(|(name, key)| !name.is_empty() && !key.is_empty());
            let (name, key) = at.ok_or_else(|| wrong("a Secret is named as secret:NAME/KEY"))?;
            ("secretKeyRef", json!({"name": name, "key": key}))
        }
        _ => return Err(wrong("the source is none of env, file, command, secret, dir")),
    };
    entry[field] = value;
    Ok(entry)
}

/// The variable that names the directory of an agent, by the login that is in it.
fn variable_of(directory: &Path) -> Option<&'static str> {
    const LOGINS: [(&str, &str); 2] = [(".credentials.json", "CLAUDE_CONFIG_DIR"), ("auth.json", "CODEX_HOME")];
    LOGINS.into_iter().find(|(file, _)| directory.join(file).exists()).map(|(_, variable)| variable)
}

#[cfg(test)]
impl Surroundings<'static> {
    /// With the variable TOKEN, in the root directory.
    pub fn of_test() -> Self {
        Self {
            var: &|name| if name == "TOKEN" { Ok("secret-value".to_owned()) } else { Err(VarError::NotPresent) },
            current_dir: Path::new("/"),
            are_here: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_name_a_variable_and_a_source() {
        let of = |flag: &str| credentials(&[flag.to_owned()], &Surroundings::of_test()).map(|c| c[0].clone());
        assert_eq!(of("a=env:TOKEN").unwrap(), json!({"name": "a", "env": "TOKEN", "fromEnv": "TOKEN"}));
        assert_eq!(of("a=KEY:env:TOKEN").unwrap(), json!({"name": "a", "env": "KEY", "fromEnv": "TOKEN"}));
        assert_eq!(of("a=KEY:file:/dev/null").unwrap(), json!({"name": "a", "env": "KEY", "fromFile": "/dev/null"}));
        let secret = json!({"name": "a", "env": "KEY", "secretKeyRef": {"name": "tokens", "key": "a"}});
        assert_eq!(of("a=KEY:secret:tokens/a").unwrap(), secret);
        assert_eq!(of("a=KEY:command:pass x:y").unwrap()["fromCommand"], json!(["sh", "-c", "pass x:y"]));
        assert_eq!(of("a=KEY:dir:/tmp").unwrap()["directory"], json!({"hostPath": "/tmp"}));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("auth.json"), "{}").unwrap();
        let login = format!("a=dir:{}", dir.path().display());
        assert_eq!(of(&login).unwrap()["env"], "CODEX_HOME");
        assert!(of("a=dir:/proc").unwrap_err().message.contains("name the variable"));
        for bad in [
            "a",
            "a=",
            "a=sk-123456",
            "a=KEY:sk-123456",
            "a=KEY:vault:sk-123456",
            "a=KEY:secret:sk-123456",
            "a=secret:tokens/a",
            "a=env:",
            "a=file:/x",
            "a=:env:TOKEN",
        ] {
            let error = of(bad).unwrap_err();
            assert!(error.message.contains("a=env:API_TOKEN") && !error.message.contains("123456"), "{bad}: {error}");
        }
        for (bad, why) in [("a=env:NOPE", "NOPE is not set here"), ("a=KEY:file:/no/such", "/no/such: No such file")] {
            let error = of(bad).unwrap_err();
            assert!(error.message.contains(why), "{error}");
        }
    }

    #[test]
    fn mounts_are_read_only_unless_said_otherwise() {
        let of = |flag: &str| mounts(&[flag.to_owned()], &Surroundings::of_test()).map(|m| m[0].clone());
        assert_eq!(of("tmp:/data").unwrap(), json!({"hostPath": "/tmp", "mountPath": "/data", "readOnly": true}));
        assert_eq!(of("/tmp:/data:rw").unwrap()["readOnly"], false);
        for bad in ["tmp", "tmp:data", ":/data", "tmp:rw", ""] {
            assert!(of(bad).unwrap_err().message.contains("SRC:DST:rw"), "{bad}");
        }
        assert!(of("/no/such:/data").unwrap_err().message.contains("/no/such does not exist"));
        let on_nodes = Surroundings { are_here: false, ..Surroundings::of_test() };
        let of = |flag: &str| mounts(&[flag.to_owned()], &on_nodes).map(|m| m[0]["hostPath"].clone());
        assert_eq!(of("/no/such:/data").unwrap(), "/no/such");
        assert!(of("data:/data").unwrap_err().message.contains("write an absolute path instead of data"));
    }
}
