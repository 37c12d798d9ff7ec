//! Certificates that a server made for itself (`openssl req -x509`), as git takes them: trusted because the CA file has this
//! very certificate.
//!
//! webpki refuses what calls itself a CA as a server's own certificate, and looks for names in `subjectAltName` alone. OpenSSL
//! and GnuTLS take the first, and the common name where the certificate has no other name. Everything else is webpki's to
//! decide: dates, names, and the handshake's signatures.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Whether the system's own CAs count beside those of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    Count,
    DoNot,
}

/// TLS that trusts the certificates of `pem`.
///
/// # Errors
/// What rustls says of a certificate, or of the system's.
pub(super) fn tls(pem: &[u8], others: Others) -> Result<ClientConfig, Error> {
    let bad = |error: rustls::pki_types::pem::Error| Error::General(error.to_string());
    let named: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(bad)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Verifier { usual: usual(&named, others, &provider)?, named };
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn usual(
    named: &[CertificateDer<'static>],
    others: Others,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    if others == Others::Count {
        let roots = named.iter().cloned();
        return Ok(Arc::new(rustls_platform_verifier::Verifier::new_with_extra_roots(roots, Arc::clone(provider))?));
    }
    let mut roots = RootCertStore::empty();
    named.iter().try_for_each(|certificate| roots.add(certificate.clone()))?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    Ok(verifier.map_err(|error| Error::General(error.to_string()))?)
}

#[derive(Debug)]
struct Verifier {
    usual: Arc<dyn ServerCertVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let told = self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match told {
            // Both come after the dates were found good.
            Err(error) if (is_ca(&error) || is_name(&error)) && self.named.contains(end_entity) => {
                is_for(end_entity, server_name).map(|()| ServerCertVerified::assertion())
            }
            told => told,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// webpki's word for a CA that is shown as a server's own certificate; its type is not ours to name.
fn is_ca(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(CertificateError::Other(other)) if other.to_string().contains("CaUsedAsEndEntity"))
}

fn is_name(error: &Error) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(error, Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
}

/// Checks the name: that in `subjectAltName`, or the common name where there is none.
fn is_for(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), Error> {
    let told = verify_server_name(&ParsedCertificate::try_from(certificate)?, name);
    let has_no_names = !contains(certificate, SUBJECT_ALT_NAME);
    match (&told, name) {
        (Err(error), ServerName::DnsName(host)) if is_name(error) && has_no_names => {
            let is_host =
                common_name(certificate).is_some_and(|name| name.eq_ignore_ascii_case(host.as_ref().as_bytes()));
            if is_host { Ok(()) } else { told }
        }
        _ => told,
    }
}

/// The object identifiers 2.5.29.17 and 2.5.4.3 (RFC 5280), as they stand in a certificate.
const SUBJECT_ALT_NAME: &[u8] = &[6, 3, 0x55, 0x1d, 0x11];
const COMMON_NAME: &[u8] = &[6, 3, 0x55, 4, 3];

fn contains(certificate: &[u8], sign: &[u8]) -> bool {
    certificate.windows(sign.len()).any(|bytes| bytes == sign)
}

/// The common name of a certificate that signed itself, whose issuer and subject are one: tag, length and bytes after the
/// identifier. The user vouches for the certificate, so that none was made to mislead.
fn common_name(certificate: &[u8]) -> Option<&[u8]> {
    let at = certificate.windows(COMMON_NAME.len()).rposition(|bytes| bytes == COMMON_NAME)?;
    let [_tag, length, rest @ ..] = &certificate[at + COMMON_NAME.len()..] else { return None };
    // A longer one has its length in several bytes; no host name is so long that git would take it (RFC 5280: 64).
    rest.get(..usize::from(*length)).filter(|_| *length < 0x80)
}
