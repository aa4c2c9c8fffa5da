//! `poolkeeper credential set`: another value for a credential that is in a Secret.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use clap::Args;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use secrecy::zeroize::Zeroizing;
use serde_json::json;

use crate::api::ContainerPool;
use crate::api::pool::{Credential, SecretKeyRef};
use crate::cli::change;
use crate::cli::context::{Context, Run};
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::say;
use crate::cli::server::{Server, ServerArgs, is_conflict, is_not_found};
use crate::runtime::credentials::{CredentialError, Secret as Value, as_value, resolve};

/// Give a credential another value
///
/// The value is read from standard input, a file or a variable, never from the command line, and stored in the Secret that the
/// credential names. Newlines at its end are removed. With the local server a refused credential is used again, and workers that
/// have the old value are replaced. A credential from a file, a command or a directory is changed there.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  poolkeeper credential set agents/team-a < new-token\n  poolkeeper credential set agents/team-a --from-env TOKEN_A"
)]
pub struct SetArgs {
    /// The pool, and the name of its credential
    #[arg(value_name = "POOL/NAME", value_parser = both)]
    of: (String, String),
    /// Read the value from this file
    #[arg(long, value_name = "PATH", conflicts_with = "from_env")]
    from_file: Option<PathBuf>,
    /// Read the value from this variable of the environment
    #[arg(long, value_name = "VAR")]
    from_env: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

fn both(text: &str) -> Result<(String, String), String> {
    let both = text.split_once('/').filter(|(pool, name)| !pool.is_empty() && !name.is_empty());
    both.map(|(pool, name)| (pool.to_owned(), name.to_owned()))
        .ok_or_else(|| "write POOL/NAME, such as agents/a".to_owned())
}

impl Run for SetArgs {
    async fn run(self, _: &Context) -> Result<Exit, Failure> {
        let (pool_name, name) = &self.of;
        change::check_name(pool_name)?;
        let server = self.server.connect().await?;
        server.say_which();
        let pool: ContainerPool = change::read(&server, pool_name).await?;
        let credential = pool.spec.credentials.iter().find(|credential| credential.name == *name);
        let credential = credential.ok_or_else(|| unknown(&pool, pool_name, name))?;
        let Some(at) = &credential.secret_key_ref else {
            return Err(Failure::usage(format!("credential {name} of pool {pool_name}: {}", elsewhere(credential))));
        };
        let value = self.value(credential).await.map_err(|error| Failure::usage(error.to_string()))?;
        store(&server, at, &value).await?;
        say(&format!("the value of credential {name} is stored in key {} of Secret {}", at.key, at.name));
        say(if server.is_local {
            "workers that have another value are replaced when they are idle"
        } else {
            "workers that run keep the value that they have until they are replaced; delete idle ones with `poolkeeper delete worker`"
        });
        Ok(Exit::Success)
    }
}

impl SetArgs {
    async fn value(&self, credential: &Credential) -> Result<Value, CredentialError> {
        let read = Credential { name: credential.name.clone(), file: credential.file.clone(), ..Credential::default() };
        if let Some(path) = &self.from_file {
            let from_file = Some(path.to_string_lossy().into_owned());
            return resolve(&Credential { from_file, ..read }).await;
        }
        if self.from_env.is_some() {
            return resolve(&Credential { from_env: self.from_env.clone(), ..read }).await;
        }
        let mut input = std::io::stdin();
        if input.is_terminal() {
            say("type the value; a line break and Ctrl-D end it");
        }
        let mut bytes = Zeroizing::new(Vec::new());
        let failed =
            |source| CredentialError::File { name: read.name.clone(), path: "standard input".to_owned(), source };
        input.read_to_end(&mut bytes).map_err(failed)?;
        as_value(&read, "standard input", &bytes)
    }
}

fn unknown(pool: &ContainerPool, pool_name: &str, name: &str) -> Failure {
    let names: Vec<&str> = pool.spec.credentials.iter().map(|credential| credential.name.as_str()).collect();
    let has = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
    Failure::new(Exit::NotFound, format!("pool {pool_name} has no credential {name}; {has}"))
}

/// Where the value of a credential is changed that is in no Secret.
fn elsewhere(credential: &Credential) -> String {
    if let Some(path) = &credential.from_file {
        format!("its value is the content of {path}: write the new one there, and it is noticed within seconds")
    } else if let Some(variable) = &credential.from_env {
        format!("its value is the variable {variable} of the server: use `poolkeeper local up --env {variable}`")
    } else if let Some(directory) = &credential.directory {
        format!("it is a login in {}: log in there again, and it is noticed within seconds", directory.host_path)
    } else {
        "its value is what its command prints; while the credential is refused the command runs once a minute"
            .to_owned()
    }
}

async fn store(server: &Server, at: &SecretKeyRef, value: &Value) -> Result<(), Failure> {
    let secrets = server.api::<Secret>();
    let bytes = ByteString(value.expose().as_bytes().to_vec());
    let patch = Patch::Merge(json!({"data": {&at.key: &bytes}}));
    let patched = secrets.patch(&at.name, &PatchParams::default(), &patch).await;
    let missing = match patched {
        Err(error) if is_not_found(&error) => error,
        answer => return answer.map(drop).map_err(|e| server.failed(&e)),
    };
    let secret = Secret {
        metadata: ObjectMeta {
            name: Some(at.name.clone()),
            namespace: Some(server.namespace.clone()),
            ..ObjectMeta::default()
        },
        data: Some([(at.key.clone(), bytes)].into()),
        ..Secret::default()
    };
    match secrets.create(&PostParams::default(), &secret).await {
        Err(error) if is_conflict(&error) => Err(server.failed(&missing)),
        answer => answer.map(drop).map_err(|e| server.failed(&e)),
    }
}
