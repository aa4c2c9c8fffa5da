//! Credentials with another value than before, from the program that starts the workers to the loop.

use std::fmt;
use std::sync::Arc;

use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::{Mutex, mpsc};

use crate::core::Input;

/// A credential has another value than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedCredential {
    /// Namespace of its pools.
    pub namespace: String,
    /// [`crate::api::pool::Credential::identity`].
    pub identity: String,
    /// True if the workers that run have the new value already.
    pub in_place: bool,
}

/// Where they are reported.
#[derive(Debug)]
pub struct CredentialSender(mpsc::UnboundedSender<ChangedCredential>);

impl CredentialSender {
    /// Reports one. It waits until a controller takes it.
    pub fn send(&self, changed: ChangedCredential) {
        // No controller will ever take it: the process ends.
        let _ = self.0.send(changed);
    }
}

/// Where controllers take them, one after the other.
#[derive(Clone)]
pub struct ChangedCredentials(Arc<Mutex<mpsc::UnboundedReceiver<ChangedCredential>>>);

impl fmt::Debug for ChangedCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChangedCredentials")
    }
}

impl ChangedCredentials {
    /// Both ends.
    pub fn channel() -> (CredentialSender, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (CredentialSender(sender), Self(Arc::new(Mutex::new(receiver))))
    }

    pub(super) fn inputs(self) -> BoxStream<'static, Input> {
        stream::unfold(self, |this| async move {
            let changed = this.0.lock().await.recv().await?;
            let input = Input::CredentialChanged {
                namespace: changed.namespace.into(),
                identity: changed.identity,
                in_place: changed.in_place,
            };
            Some((input, this))
        })
        .boxed()
    }
}
