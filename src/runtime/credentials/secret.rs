//! A value that does not leak.

use std::fmt;

use async_trait::async_trait;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use crate::api::pool::SecretKeyRef;

/// Reads Secrets of the API that pools are in.
#[async_trait]
pub trait Secrets: fmt::Debug + Send + Sync {
    /// The value of a key of a Secret.
    ///
    /// # Errors
    /// Why there is none, in words that hold no value.
    async fn value(&self, namespace: &str, at: &SecretKeyRef) -> Result<Zeroizing<Vec<u8>>, String>;
}

/// Printed instead of a value.
pub(super) const MASK: &str = "***";
/// A value shorter than this is not searched for in output: replacing it would garble the output and hide nothing.
pub(super) const MIN_REDACTED: usize = 6;

/// A value that must not be printed. `Debug` shows `***`; there is no `Display` and no `Serialize`. Its memory is erased
/// when it is dropped.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Makes a copy of the value. The caller erases its own.
    pub fn new(value: &str) -> Self {
        Self(value.into())
    }

    /// The value, for the code that gives it to a worker or hides it in output.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}
