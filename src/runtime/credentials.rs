//! Where the value of a credential comes from, and a type that does not leak it.
//!
//! [`Resolver`] finds the values for workers; [`resolve`] those that a command needs itself. A value is fetched for each start of a worker and erased from memory after that start, so a changed file or variable
//! reaches the next worker. No error here carries anything that was read.

mod changes;
mod ending;
mod login;
mod secret;
mod seen;
mod value_file;

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::zeroize::Zeroizing;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::api::pool::Credential;
pub use changes::{Change, Changes};
pub use ending::{Ending, Redactor};
pub use login::{Login, mark, overlap};
pub use secret::{Secret, Secrets};
pub use seen::Seen;
pub use value_file::{ValueFiles, ValueOf, remove as remove_value_file};

/// Longest value, in bytes: Linux allows no longer environment string than 128 KiB, and no credential is near it.
const MAX_BYTES: usize = 64 * 1024;
/// How much is read at most: a value of the greatest length, and one byte that shows that it is longer.
const MAX_READ: usize = MAX_BYTES + 1;
/// How long a `fromCommand` may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a credential has no value. Names the source, never what was in it.
#[derive(thiserror::Error, Debug)]
pub enum CredentialError {
    /// Not exactly one source is given.
    #[error("credential {name}: give exactly one of secretKeyRef, fromEnv, fromFile, fromCommand, directory")]
    Sources {
        /// Name of the credential.
        name: String,
    },
    /// It is in a Secret, which this runtime cannot read.
    #[error(
        "credential {name}: secretKeyRef needs the local server or the Pod runtime; use fromEnv, fromFile or fromCommand here"
    )]
    SecretKeyRef {
        /// Name of the credential.
        name: String,
    },
    /// It is in a Secret that has no such value, or cannot be read.
    #[error("credential {name}: {why}")]
    Secret {
        /// Name of the credential.
        name: String,
        /// Why there is no value.
        why: String,
    },
    /// What holds it cannot be given to a worker.
    #[error("credential {name}: {why}")]
    Place {
        /// Name of the credential.
        name: String,
        /// Why not.
        why: String,
    },
    /// The variable is not there, and it is that of a server.
    #[error(
        "credential {name}: the variable {variable} is not set where the local server runs, and that of your shell does not count: \
         keep the value in a Secret and name it in secretKeyRef, as `poolkeeper create pool --credential {name}=env:{variable}` does"
    )]
    UnsetOnServer {
        /// Name of the credential.
        name: String,
        /// The variable of `fromEnv`.
        variable: String,
    },
    /// The program is a path that begins in the directory of the server.
    #[error(
        "credential {name}: the program {program} of fromCommand is a relative path, and the local server has another directory \
         than your shell: write an absolute path, or the name of a program on the PATH of the server"
    )]
    Relative {
        /// Name of the credential.
        name: String,
        /// First word of `fromCommand`.
        program: String,
    },
    /// The variable is not there.
    #[error("credential {name}: the variable {variable} is not set where poolkeeper runs")]
    Unset {
        /// Name of the credential.
        name: String,
        /// The variable of `fromEnv`.
        variable: String,
    },
    /// The file cannot be read.
    #[error("credential {name}: {path}: {source}")]
    File {
        /// Name of the credential.
        name: String,
        /// The path of `fromFile`.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// The command cannot be run.
    #[error("credential {name}: {program}: {source}")]
    Command {
        /// Name of the credential.
        name: String,
        /// First word of `fromCommand`.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// The command failed. Its output is not repeated, for it may hold part of the value.
    #[error("credential {name}: {program} ended with {status}; run it by hand to see why")]
    CommandFailed {
        /// Name of the credential.
        name: String,
        /// First word of `fromCommand`.
        program: String,
        /// How it ended.
        status: String,
    },
    /// What was found cannot be the value of a variable.
    #[error("credential {name}: the value from {origin} {problem}")]
    Value {
        /// Name of the credential.
        name: String,
        /// Where it was read.
        origin: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Finds the values of credentials for workers.
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    /// Those of the server that this process is. None: it is no server, but a command in the shell of its user.
    secrets: Option<Arc<dyn Secrets>>,
    /// Where each value that was found is noted.
    changes: Option<Changes>,
}

impl Resolver {
    /// For a server: its environment and its directory are not those of the user.
    pub fn of_server(secrets: Arc<dyn Secrets>) -> Self {
        Self { secrets: Some(secrets), changes: None }
    }

    /// Notes each value that is found: a later one is seen to differ.
    #[must_use]
    pub fn noting(mut self, changes: &Changes) -> Self {
        self.changes = Some(changes.clone());
        self
    }

    /// Fetches the value of a credential of a pool in this namespace, for a worker. Takes at most 30 s. Another value than before is a
    /// change, except that of a command, which may print a new token each time: those before are as good.
    ///
    /// # Errors
    /// As [`resolve`].
    pub async fn resolve(&self, namespace: &str, credential: &Credential) -> Result<Secret, CredentialError> {
        self.see(namespace, credential, credential.from_command.is_empty()).await
    }

    /// Fetches the value to find out whether it is another one than before. Takes at most 30 s.
    ///
    /// # Errors
    /// As [`resolve`].
    pub async fn look(&self, namespace: &str, credential: &Credential) -> Result<(), CredentialError> {
        self.see(namespace, credential, true).await.map(drop)
    }

    async fn see(&self, namespace: &str, credential: &Credential, counts: bool) -> Result<Secret, CredentialError> {
        let value = self.fetch(namespace, credential).await?;
        if let Some(changes) = &self.changes {
            changes.saw(namespace, &credential.identity(), &value, counts);
        }
        Ok(value)
    }

    async fn fetch(&self, namespace: &str, credential: &Credential) -> Result<Secret, CredentialError> {
        let Some(secrets) = &self.secrets else { return resolve(credential).await };
        let name = || credential.name.clone();
        if let (Some(at), 1) = (&credential.secret_key_ref, sources(credential)) {
            let read = secrets.value(namespace, at).await;
            let bytes = read.map_err(|why| CredentialError::Secret { name: name(), why })?;
            return as_value(credential, &format!("key {} of Secret {}", at.key, at.name), &bytes);
        }
        if let Some(program) = credential.from_command.first().filter(|p| p.contains('/') && !p.starts_with('/')) {
            return Err(CredentialError::Relative { name: name(), program: program.clone() });
        }
        resolve(credential).await.map_err(|error| match error {
            CredentialError::Unset { name, variable } => CredentialError::UnsetOnServer { name, variable },
            other => other,
        })
    }
}

/// How many sources a credential names.
fn sources(credential: &Credential) -> usize {
    let given = [
        credential.secret_key_ref.is_some(),
        credential.from_env.is_some(),
        credential.from_file.is_some(),
        !credential.from_command.is_empty(),
        credential.directory.is_some(),
    ];
    given.iter().filter(|given| **given).count()
}

/// Fetches the value of a credential on this machine. Takes at most 30 s.
///
/// # Errors
/// When it has not exactly one source, or that has no usable value. Nothing that was read shows in an error.
pub async fn resolve(credential: &Credential) -> Result<Secret, CredentialError> {
    let name = || credential.name.clone();
    if sources(credential) != 1 {
        return Err(CredentialError::Sources { name: name() });
    }
    let (origin, bytes) = if let Some(variable) = &credential.from_env {
        let value = std::env::var_os(variable)
            .ok_or_else(|| CredentialError::Unset { name: name(), variable: variable.clone() })?;
        (format!("variable {variable}"), std::os::unix::ffi::OsStringExt::into_vec(value).into())
    } else if let Some(path) = &credential.from_file {
        let failed = |source| CredentialError::File { name: name(), path: path.clone(), source };
        let file = tokio::fs::File::open(path).await.map_err(failed)?;
        (format!("file {path}"), read(file).await.map_err(failed)?)
    } else if let Some((program, args)) = credential.from_command.split_first() {
        (format!("command {program}"), run(&credential.name, program, args).await?)
    } else if credential.directory.is_some() {
        let why = "a directory has no value that could be read".to_owned();
        return Err(CredentialError::Place { name: name(), why });
    } else {
        return Err(CredentialError::SecretKeyRef { name: name() });
    };
    as_value(credential, &origin, &bytes)
}

/// What was found as a value, without the newlines at its end. `origin` is named in errors.
///
/// # Errors
/// It cannot be the value of this credential.
pub fn as_value(credential: &Credential, origin: &str, bytes: &[u8]) -> Result<Secret, CredentialError> {
    let wrong = |problem| CredentialError::Value { name: credential.name.clone(), origin: origin.to_owned(), problem };
    if bytes.len() > MAX_BYTES {
        return Err(wrong("is longer than 64 KiB"));
    }
    // Files and commands end in a newline, and a variable that was set from one may end in it too.
    let value = str::from_utf8(bytes).map_err(|_| wrong("is not UTF-8"))?.trim_end_matches(['\n', '\r']);
    if value.is_empty() {
        return Err(wrong("is empty"));
    }
    if value.contains('\0') {
        return Err(wrong("contains a NUL byte"));
    }
    // A header that it is put into would be cut there, or refused. A file, such as a key, has lines.
    if credential.file.is_none() && value.contains(['\n', '\r']) {
        return Err(wrong(
            "contains a line break: a credential in a variable is one line (file: PATH gives the worker a file)",
        ));
    }
    Ok(Secret::new(value))
}

async fn run(name: &str, program: &str, args: &[String]) -> Result<Zeroizing<Vec<u8>>, CredentialError> {
    let failed = |source| CredentialError::Command { name: name.to_owned(), program: program.to_owned(), source };
    let work = async {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = Group::of(&child);
        let bytes = match child.stdout.take() {
            Some(out) => read(out).await?,
            None => Zeroizing::default(),
        };
        let status = child.wait().await?;
        group.leave();
        Ok((bytes, status))
    };
    let (bytes, status) = match tokio::time::timeout(COMMAND_TIMEOUT, work).await {
        Ok(done) => done.map_err(failed)?,
        Err(_) => return Err(failed(io::Error::new(io::ErrorKind::TimedOut, "no answer within 30 s"))),
    };
    // What is cut off may make the command fail as well; that it says too much goes first.
    if status.success() || bytes.len() > MAX_BYTES {
        return Ok(bytes);
    }
    Err(CredentialError::CommandFailed {
        name: name.to_owned(),
        program: program.to_owned(),
        status: status.to_string(),
    })
}

/// All that a command started. Dropping it kills the group if its leader was not collected yet, since only then the number is
/// still that of this group.
struct Group(Option<Pid>);

impl Group {
    fn of(leader: &Child) -> Self {
        Self(leader.id().and_then(|pid| Pid::from_raw(pid.cast_signed())))
    }

    /// What a command that ended leaves running is meant to: an agent that keeps a key, for example.
    fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // There is none left: fine.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// Reads to the end, or to where it is certainly too long.
async fn read(from: impl AsyncRead + Unpin) -> io::Result<Zeroizing<Vec<u8>>> {
    // As large as it may become: a buffer that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_READ + 1));
    from.take(MAX_READ as u64).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn command(script: &str) -> Credential {
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        Credential { name: "a".into(), env: "TOKEN".into(), from_command: words, ..Credential::default() }
    }

    #[tokio::test]
    async fn trailing_newlines_are_removed_whatever_the_source() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        for end in ["", "\n", "\n\n", "\r\n", "\r\n\r\n"] {
            std::fs::write(&path, format!("sesame open{end}")).unwrap();
            let file = Credential { from_file: Some(path.display().to_string()), ..Credential::default() };
            for from in [file, command(&format!("cat {}", path.display()))] {
                assert_eq!(resolve(&from).await.unwrap().expose(), "sesame open");
            }
        }
    }

    #[tokio::test]
    async fn a_line_break_inside_is_refused() {
        for script in ["printf 'one\\ntwo\\n'", "printf 'one\\rtwo'"] {
            let error = resolve(&command(script)).await.unwrap_err().to_string();
            assert_eq!(
                error,
                "credential a: the value from command sh contains a line break: a credential in a variable is one line (file: PATH gives the worker a file)"
            );
        }
    }

    #[tokio::test]
    async fn a_file_of_the_worker_may_have_several_lines() {
        let credential = Credential { file: Some("/run/token".into()), ..command("printf 'one\\ntwo\\n'") };
        assert_eq!(resolve(&credential).await.unwrap().expose(), "one\ntwo");
    }

    /// A command may print a token that it has just fetched. Workers with the ones before need no replacement.
    #[tokio::test]
    async fn another_value_of_a_command_is_a_change_only_where_that_is_asked() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let file = Credential { from_file: Some(path.display().to_string()), ..Credential::default() };
        for (from, counts) in [(file, true), (command(&format!("cat {}", path.display())), false)] {
            let changes = Changes::default();
            let resolver = Resolver::default().noting(&changes);
            let is_a_change = || changes.next().now_or_never().is_some();
            for value in ["one", "two"] {
                std::fs::write(&path, value).unwrap();
                resolver.resolve("team", &from).await.unwrap();
            }
            assert_eq!(is_a_change(), counts);
            resolver.look("team", &from).await.unwrap();
            assert!(!is_a_change());
            std::fs::write(&path, "three").unwrap();
            resolver.look("team", &from).await.unwrap();
            assert!(is_a_change());
        }
    }

    #[tokio::test]
    async fn a_variable_gives_its_value() {
        let from = Credential { from_env: Some("PATH".into()), ..Credential::default() };
        assert_eq!(resolve(&from).await.unwrap().expose(), std::env::var("PATH").unwrap());
        let from = Credential { from_env: Some("POOLKEEPER_NOT_SET".into()), ..Credential::default() };
        assert!(resolve(&from).await.unwrap_err().to_string().contains("POOLKEEPER_NOT_SET"));
    }

    #[tokio::test]
    async fn nothing_that_was_read_shows_in_an_error() {
        for script in ["echo sesame-open; exit 3", "echo sesame-open >&2; exit 1", "printf 'sesame-open\\0'"] {
            let error = resolve(&command(script)).await.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("sesame"), "{error:?}");
        }
        for script in ["true", "printf '\\377sesame'", "echo; echo", "head -c 70000 /dev/zero | tr '\\0' x"] {
            let error = resolve(&command(script)).await.unwrap_err();
            assert!(matches!(error, CredentialError::Value { .. }), "{error:?}");
            assert!(!format!("{error:?}").contains("sesame"));
        }
    }

    #[tokio::test]
    async fn exactly_one_source() {
        let mut two = command("true");
        two.from_env = Some("PATH".into());
        for credential in [Credential::default(), two] {
            assert!(matches!(resolve(&credential).await, Err(CredentialError::Sources { .. })));
        }
    }

    /// All that a command started goes with it, not the direct child alone.
    #[tokio::test]
    async fn a_command_that_is_not_waited_for_is_ended_with_its_pipeline() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let script = format!("(exec 3>{}; echo started >&3; sleep 5; echo late >&3) | cat", fifo.display());
        let resolving = tokio::spawn(async move { resolve(&command(&script)).await });
        let said = tokio::task::spawn_blocking(move || {
            let mut said = std::io::BufReader::new(std::fs::File::open(fifo).unwrap());
            let mut first = String::new();
            std::io::BufRead::read_line(&mut said, &mut first).unwrap();
            (first, said)
        });
        let (first, mut said) = said.await.unwrap();
        assert_eq!(first, "started\n");
        resolving.abort();
        assert!(resolving.await.unwrap_err().is_cancelled());
        // The end of this stream is the end of all that could write to it.
        let rest = tokio::task::spawn_blocking(move || std::io::read_to_string(&mut said).unwrap()).await.unwrap();
        assert_eq!(rest, "");
    }

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new("sesame-open");
        assert_eq!(format!("{secret:?}"), "***");
    }
}
