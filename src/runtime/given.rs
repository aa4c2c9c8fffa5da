//! What a worker is given of its credential.

use std::path::PathBuf;

use super::InstanceSpec;
use super::credentials::{CredentialError, Login, Resolver, Secret, ValueFiles, ValueOf};
use crate::api::pool::Credential;

/// What a worker is given of its credential.
#[derive(Clone, Debug)]
pub enum Given {
    /// The value, in a variable.
    Variable(Secret),
    /// A file of this machine with the value.
    File {
        /// Its path here.
        path: PathBuf,
        /// The value, to remove it from output.
        value: Secret,
    },
    /// A directory of this machine.
    Directory(Login),
}

impl Given {
    /// Finds what the worker of `spec` gets, and writes its file if it gets one. `mode`: of that file. None: it has no credential.
    ///
    /// # Errors
    /// As [`Resolver::resolve`]; or there is no place for the file, or no such directory.
    pub async fn to(
        spec: &InstanceSpec,
        installation: &str,
        resolver: &Resolver,
        mode: u32,
    ) -> Result<Option<Self>, CredentialError> {
        let Some(credential) = &spec.credential else { return Ok(None) };
        let why = |why| CredentialError::Place { name: credential.name.clone(), why };
        if let Some(directory) = &credential.directory {
            return Login::open(directory).map(Self::Directory).map(Some).map_err(why);
        }
        let Some(_) = &credential.file else {
            return Ok(Some(Self::Variable(resolver.resolve(&spec.key.namespace, credential).await?)));
        };
        // It is refused before the value is fetched.
        let files = ValueFiles::open().map_err(why)?;
        let value = resolver.resolve(&spec.key.namespace, credential).await?;
        let of = value_of(installation, &spec.key.namespace, credential);
        let path = files.write(&spec.key.uid, &of, &value, mode).map_err(why)?;
        Ok(Some(Self::File { path, value }))
    }
}

fn value_of(installation: &str, namespace: &str, credential: &Credential) -> ValueOf {
    let identity = credential.identity();
    ValueOf { installation: installation.to_owned(), namespace: namespace.to_owned(), identity }
}
