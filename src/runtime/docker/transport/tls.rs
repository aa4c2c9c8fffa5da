//! TLS to an engine, with a certificate for each side.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};

use super::limits::Problem;
use crate::runtime::docker::endpoint::TlsFiles;

/// Reads the files, at each connection anew: certificates are replaced before they end.
pub(super) fn config(files: &TlsFiles) -> Result<Arc<ClientConfig>, Problem> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(&files.ca)? {
        roots.add(authority).map_err(|e| Problem(format!("{}: {e}", files.ca.display())))?;
    }
    let cert = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|e| Problem(format!("the private key {}: {e}", files.key.display())))?;
    let builder =
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
    let config = builder.and_then(|builder| builder.with_root_certificates(roots).with_client_auth_cert(cert, key));
    let failed =
        |e| Problem(format!("the certificate {} and the key {}: {e}", files.cert.display(), files.key.display()));
    Ok(Arc::new(config.map_err(failed)?))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let failed = |e: &dyn std::fmt::Display| Problem(format!("the certificate {}: {e}", path.display()));
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|e| failed(&e))?;
    if read.is_empty() { Err(failed(&"it has no certificate in PEM")) } else { Ok(read) }
}

pub(super) async fn handshake(
    config: Arc<ClientConfig>,
    address: &str,
    stream: TcpStream,
    files: &TlsFiles,
) -> io::Result<TlsStream<TcpStream>> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host).trim_matches(['[', ']']);
    let name =
        ServerName::try_from(host.to_owned()).map_err(|e| Problem(format!("{host:?} as the name of a server: {e}")))?;
    TlsConnector::from(config).connect(name, stream).await.map_err(|error| explain(error, files))
}

/// What a failure of TLS means for a person.
pub(super) fn explain(error: io::Error, files: &TlsFiles) -> io::Error {
    let Some(cause) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else { return error };
    let what = match cause {
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            format!("its certificate is not signed by the authority in {}", files.ca.display())
        }
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired; renew it".to_owned()
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another name than the one in the endpoint".to_owned(),
        Error::AlertReceived(alert) => {
            format!("it refuses the client certificate {} ({alert:?})", files.cert.display())
        }
        Error::InvalidMessage(_) => "it does not speak TLS on this port".to_owned(),
        other => format!("TLS: {other}"),
    };
    Problem(what).into()
}
