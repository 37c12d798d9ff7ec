//! A certificate for `localhost`, signed by a CA made for the test.

use std::path::Path;
use std::sync::Arc;

use axum_server::tls_rustls::RustlsConfig;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    KeyUsagePurpose,
};

/// Makes a CA, writes its certificate to `ca_file`, and returns the settings of a server that it vouches for.
pub(super) async fn config(ca_file: &Path) -> RustlsConfig {
    let key = || KeyPair::generate().expect("a key can be made");
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "Holocron test CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(ca, key()).expect("a CA can sign itself");
    std::fs::write(ca_file, ca.pem()).expect("our own directory");

    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let mut server = CertificateParams::new(names).expect("both are names");
    server.distinguished_name.push(DnType::CommonName, "localhost");
    // Some TLS libraries refuse a certificate that does not name its signer's key.
    server.use_authority_key_identifier_extension = true;
    let server_key = key();
    let certificate = server.signed_by(&server_key, &ca).expect("the CA can sign");
    settings(&certificate, &server_key).await
}

/// Makes a certificate that signed itself, for this common name and no other, and writes it to `ca_file`.
pub(super) async fn self_signed(ca_file: &Path, name: &str) -> RustlsConfig {
    let key = KeyPair::generate().expect("a key can be made");
    let mut own = CertificateParams::default();
    own.distinguished_name = DistinguishedName::new();
    own.distinguished_name.push(DnType::CommonName, name);
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = own.self_signed(&key).expect("a key can sign its own");
    std::fs::write(ca_file, certificate.pem()).expect("our own directory");
    settings(&certificate, &key).await
}

async fn settings(certificate: &Certificate, key: &KeyPair) -> RustlsConfig {
    let pem = (certificate.pem().into_bytes(), key.serialize_pem().into_bytes());
    let config = RustlsConfig::from_pem(pem.0, pem.1).await.expect("our own certificate");
    // No HTTP/2: a connection that is cut must take exactly one response with it.
    let mut inner = config.get_inner().as_ref().clone();
    inner.alpn_protocols = vec![b"http/1.1".to_vec()];
    RustlsConfig::from_config(Arc::new(inner))
}
