//! The certificates of the server: an authority of its own, which clients trust and which lasts for 20 years, and a
//! certificate for a year, which is made at each start and again while the server runs.

use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tower::BoxError;

/// Years that the authority lasts.
const AUTHORITY: i64 = 20;
/// Days that a certificate lasts, and after which another one is made.
const CERTIFICATE: i64 = 365;
/// Days after which another certificate is made.
pub const RENEWAL: i64 = 300;

/// The authority: its certificate, for clients, and its key. Both as PEM.
pub struct Authority {
    /// Its certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    /// There are no random numbers.
    pub fn new(now: Timestamp) -> Result<Self, BoxError> {
        let key = KeyPair::generate()?;
        let mut params = authority()?;
        let today = date(now);
        lasts(&mut params, today, today.saturating_add(Span::new().years(AUTHORITY)));
        Ok(Self { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
    }

    /// A certificate of the server, ready for connections.
    ///
    /// # Errors
    /// The key of the authority cannot be read, or there are no random numbers.
    pub fn acceptor(&self, now: Timestamp) -> Result<TlsAcceptor, BoxError> {
        // An issuer needs the name and the key of the authority; its other fields are not in what it signs.
        let issuer = Issuer::new(authority()?, KeyPair::from_pem(&self.key)?);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        let today = date(now);
        lasts(&mut params, today, today.saturating_add(Span::new().days(CERTIFICATE)));
        params.distinguished_name = name("poolkeeper local server");
        // What RFC 5280 asks of it, and Python with it.
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// What is the same for every use of the authority.
fn authority() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = name("poolkeeper local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn date(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::UTC).date()
}

/// Sets the time in which a certificate is valid. It begins a day early, for clocks that are behind.
fn lasts(params: &mut CertificateParams, from: Date, until: Date) {
    let midnight =
        |date: Date| date_time_ymd(date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs());
    params.not_before = midnight(from.saturating_sub(Span::new().days(1)));
    params.not_after = midnight(until);
}
