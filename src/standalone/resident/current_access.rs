//! How clients get in now: the certificate of the server, and the token. Both can be renewed while the server runs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{Span, Timestamp};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::access::Access;
use super::error::Error;
use super::home::Home;
use crate::clock::{Clock, Ids};
use crate::https::admission::Admission;
use crate::https::identity;

/// The time between two looks whether the certificate is old.
const LOOK: Duration = Duration::from_hours(1);

/// How clients get in.
pub(super) struct CurrentAccess {
    home: Home,
    port: u16,
    clock: Arc<dyn Clock>,
    ids: Ids,
    access: Mutex<Access>,
    tls: watch::Sender<TlsAcceptor>,
    admission: watch::Sender<Arc<Admission>>,
}

impl CurrentAccess {
    /// Makes a certificate, and writes the kubeconfig for this port.
    ///
    /// # Errors
    /// There is no certificate, or a file cannot be written.
    pub fn open(mut access: Access, home: &Home, port: u16, clock: Arc<dyn Clock>, ids: Ids) -> Result<Self, Error> {
        let tls = access.authority.acceptor(clock.now()).map_err(Error::Certificate)?;
        access.keep(home, port).map_err(|source| Error::File { path: home.kubeconfig(), source })?;
        let admission = Admission::new(access.token.clone(), port);
        Ok(Self {
            home: home.clone(),
            port,
            clock,
            ids,
            access: Mutex::new(access),
            tls: watch::Sender::new(tls),
            admission: watch::Sender::new(Arc::new(admission)),
        })
    }

    /// The newest certificate.
    pub fn tls(&self) -> watch::Receiver<TlsAcceptor> {
        self.tls.subscribe()
    }

    /// What a request needs now.
    pub fn admission(&self) -> watch::Receiver<Arc<Admission>> {
        self.admission.subscribe()
    }

    /// Makes another token and another authority, and writes the kubeconfig. What came in with the old ones is closed.
    ///
    /// # Errors
    /// As [`Self::open`]. The old ones hold then, at least until the server is started again.
    pub fn rotate(&self) -> Result<(), Error> {
        let mut access = self.access.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |source| Error::File { path: self.home.access(), source };
        let made = access.rotated(&self.clock, &self.ids).map_err(failed)?;
        let tls = made.authority.acceptor(self.clock.now()).map_err(Error::Certificate)?;
        made.replace(&self.home).map_err(failed)?;
        self.tls.send_replace(tls);
        self.admission.send_replace(Arc::new(Admission::new(made.token.clone(), self.port)));
        *access = made;
        tracing::info!("the token and the certificate authority were renewed: clients must read the kubeconfig again");
        Ok(())
    }

    /// Makes another certificate when the present one is old, for as long as it is polled. Connections that are there live on.
    pub async fn keep_certificate(&self) {
        let due =
            |made: Timestamp| made.saturating_add(Span::new().hours(identity::RENEWAL * 24)).unwrap_or(Timestamp::MAX);
        let mut made = self.clock.now();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.clock.now();
            // A clock that was set back is a reason as well: the certificate may not be valid yet.
            if now < due(made) && now >= made {
                continue;
            }
            match self.access.lock().unwrap_or_else(PoisonError::into_inner).authority.acceptor(now) {
                Ok(acceptor) => {
                    made = now;
                    self.tls.send_replace(acceptor);
                }
                Err(error) => tracing::warn!(%error, "no new certificate can be made"),
            }
        }
    }
}

/// Makes another token and another authority for a server that does not run.
///
/// # Errors
/// A file cannot be read or written.
pub(super) fn rotate(home: &Home, clock: &Arc<dyn Clock>, ids: &Ids) -> Result<(), Error> {
    let failed = |source| Error::File { path: home.access(), source };
    Access::of(home, clock, ids).and_then(|access| access.rotated(clock, ids)?.replace(home)).map_err(failed)
}
