//! Makes HTTP clients (certificates, proxy, timeouts), and names what can go wrong below HTTP. APIs and git share it.

mod own;

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, NoProxy, Proxy, redirect};
use url::{Host, Url};

use self::own::Others;
use crate::base::failure::{Failure, Reason};

/// Who we say we are; GitHub refuses requests without it.
const USER_AGENT: &str = concat!("holocron/", env!("CARGO_PKG_VERSION"));

/// A client for the API at `base`.
pub(crate) fn build(
    base: &Url,
    ca_file: Option<&Path>,
    proxy: Option<&Url>,
    timeout: Duration,
) -> Result<Client, Failure> {
    let builder = builder(base, ca_file, proxy, timeout)?.read_timeout(timeout);
    builder.build().map_err(|error| unusable("HTTP client", &error))
}

/// A client for the files behind the API at `base`: it gives the bytes as they are stored, and has no timeout but that of
/// connecting. Whoever moves a file watches over its progress: a long upload hears nothing until its end.
pub(crate) fn build_for_files(
    base: &Url,
    ca_file: Option<&Path>,
    proxy: Option<&Url>,
    timeout: Duration,
) -> Result<Client, Failure> {
    let builder = builder(base, ca_file, proxy, timeout)?.no_gzip();
    builder.build().map_err(|error| unusable("HTTP client", &error))
}

/// How long a connection to a git server is kept for the next question: less than servers keep it (Apache's 5 s are the
/// shortest that is usual), so that none is used in the moment of its end.
const KEPT_OPEN: Duration = Duration::from_secs(4);

/// A client for git's protocol, which knows no proxy but this one and trusts no CA but those of the file, when there is
/// one. `timeout` is the longest silence.
pub(crate) fn build_for_git(
    ca_file: Option<&Path>,
    proxy: Option<&Url>,
    timeout: Duration,
    user_agent: &str,
) -> Result<Client, Failure> {
    let builder = for_git(ca_file, proxy, timeout, user_agent)?.read_timeout(timeout);
    builder.build().map_err(|error| unusable("HTTP client", &error))
}

/// The same for what is sent to git servers, without any timeout but that of connecting: whoever sends a pack watches over
/// its progress, as an upload hears nothing until its end.
pub(crate) fn build_for_git_pushes(
    ca_file: Option<&Path>,
    proxy: Option<&Url>,
    timeout: Duration,
    user_agent: &str,
) -> Result<Client, Failure> {
    let builder = for_git(ca_file, proxy, timeout, user_agent)?;
    builder.build().map_err(|error| unusable("HTTP client", &error))
}

fn for_git(
    ca_file: Option<&Path>,
    proxy: Option<&Url>,
    timeout: Duration,
    user_agent: &str,
) -> Result<ClientBuilder, Failure> {
    let mut builder = common(timeout).user_agent(user_agent);
    builder = builder.pool_idle_timeout(KEPT_OPEN).no_proxy();
    if let Some(path) = ca_file {
        builder = builder.tls_backend_preconfigured(tls(path, Others::DoNot)?);
    }
    if let Some(proxy) = proxy {
        builder = builder.proxy(Proxy::all(proxy.as_str()).map_err(|error| unusable("proxy", &error))?);
    }
    Ok(builder)
}

/// What all clients share.
fn common(timeout: Duration) -> ClientBuilder {
    Client::builder()
        .connect_timeout(timeout)
        // A redirect could carry the token to another host: whoever sends the request looks at each one itself.
        .redirect(redirect::Policy::none())
        .referer(false)
}

fn builder(
    base: &Url,
    ca_file: Option<&Path>,
    proxy: Option<&Url>,
    timeout: Duration,
) -> Result<ClientBuilder, Failure> {
    let mut builder = common(timeout).user_agent(USER_AGENT);
    if let Some(path) = ca_file {
        builder = builder.tls_backend_preconfigured(tls(path, Others::Count)?);
    }
    match proxy {
        Some(proxy) => {
            let proxy = Proxy::all(proxy.as_str()).map_err(|error| unusable("proxy", &error))?;
            builder = builder.proxy(proxy.no_proxy(NoProxy::from_env()));
        }
        // A proxy named by the environment could not reach this machine's own loopback.
        None if is_loopback(base) => builder = builder.no_proxy(),
        None => {}
    }
    Ok(builder)
}

/// Whether a CA file can be read and has a certificate in it.
///
/// # Errors
/// `local_failed` when it cannot be read, `tls_failed` when there is no certificate in it.
pub(crate) fn check_ca_file(path: &Path) -> Result<(), Failure> {
    certificates(path).map(drop)
}

/// TLS that trusts the CA file.
fn tls(path: &Path, others: Others) -> Result<rustls::ClientConfig, Failure> {
    let pem = certificates(path)?;
    own::tls(&pem, others)
        .map_err(|error| Failure::new(Reason::TlsFailed, unreadable(path)).with_evidence(error.to_string()))
}

fn unreadable(path: &Path) -> String {
    format!("cannot read the CA file {}", path.display())
}

/// The bytes of a CA file with at least one certificate in it.
fn certificates(path: &Path) -> Result<Vec<u8>, Failure> {
    let what = || unreadable(path);
    let pem = std::fs::read(path).map_err(|error| Failure::local(what(), &error))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(pem),
        Ok(_) => Err(Failure::new(Reason::TlsFailed, what()).with_evidence("it holds no PEM certificate")),
        Err(error) => Err(Failure::new(Reason::TlsFailed, what()).with_evidence(chain(&error))),
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn unusable(what: &str, error: &reqwest::Error) -> Failure {
    Failure::new(Reason::LocalFailed, format!("cannot set up the {what}")).with_evidence(chain(error))
}

/// The failure of a request that got no answer, or not the whole of it.
pub(crate) fn failure(what: &str, error: reqwest::Error, timeout: Duration) -> Failure {
    // A redirect may have led elsewhere, and the port is not in every URL.
    let address = error.url().and_then(|url| Some(format!("{}:{}", url.host_str()?, url.port_or_known_default()?)));
    // The message names the request already; reqwest would name it again.
    let error = error.without_url();
    let words = chain(&error);
    if error.is_timeout() {
        let text = format!("{what}: nothing was heard for {} s", timeout.as_secs());
        return Failure::new(Reason::TimedOut, text).with_evidence(words);
    }
    if is_tls(&words) {
        let text = format!("{what}: the server's certificate or TLS was not accepted");
        let failure = Failure::new(Reason::TlsFailed, text).with_evidence(&words);
        return match remedy(&words) {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        };
    }
    let text = match error.is_connect() {
        true => match address {
            Some(address) => format!("{what}: no connection to {address}"),
            None => format!("{what}: no connection"),
        },
        false => format!("{what}: the connection broke"),
    };
    Failure::new(Reason::NetworkFailed, text).with_evidence(words)
}

/// How to make a certificate that is accepted, where the server's own is one that git and curl take and we do not.
fn remedy(words: &str) -> Option<&'static str> {
    const ROWS: &[(&str, &str)] = &[
        // rustls-webpki, of what `openssl req -x509` makes: a CA that is shown as the server's own certificate.
        (
            "CaUsedAsEndEntity",
            "the server shows a CA as its own certificate; make one that is none, with `openssl req -x509 -newkey rsa:2048 \
             -nodes -days 825 -subj /CN=HOST -addext basicConstraints=critical,CA:FALSE -addext subjectAltName=DNS:HOST`, and \
             name it in `ca_file`.",
        ),
        // Only a name in `subjectAltName` counts, as in browsers; a CN alone does not.
        (
            "not valid for name",
            "the server's certificate does not name this host; make one with `-addext subjectAltName=DNS:HOST` (or `IP:ADDRESS`): \
             a CN alone does not count.",
        ),
    ];
    ROWS.iter().find(|(sign, _)| words.contains(sign)).map(|(_, hint)| *hint)
}

/// Whether an error chain speaks of TLS: the words are those of `rustls::Error` and tokio-rustls.
///
/// rustls reports its errors inside `std::io::Error`; its type is not ours to name without depending on it.
fn is_tls(words: &str) -> bool {
    [
        "invalid peer certificate",
        "received fatal alert",
        "peer is incompatible",
        "peer misbehaved",
        "received corrupt message",
        "no server certificate chain",
        "tls handshake",
    ]
    .iter()
    .any(|sign| words.contains(sign))
}

/// An error and what caused it, on one line.
fn chain(error: &reqwest::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Some layers repeat what they wrap.
        if !words.contains(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
        source = cause.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_without_a_certificate_is_refused_by_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "no certificate").unwrap();
        let base = Url::parse("https://h").unwrap();
        let failure = build(&base, Some(file.path()), None, Duration::from_secs(1)).unwrap_err();
        assert_eq!(failure.reason(), Reason::TlsFailed);
        assert!(failure.message().contains(file.path().to_str().unwrap()));
        let failure = build(&base, Some(Path::new("/nonexistent/ca.pem")), None, Duration::from_secs(1)).unwrap_err();
        assert_eq!(failure.reason(), Reason::LocalFailed);
    }

    #[test]
    fn a_certificate_that_is_not_accepted_has_a_way_to_make_a_good_one() {
        let authority = remedy("invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))").unwrap();
        assert!(authority.contains("CA:FALSE") && authority.contains("subjectAltName"), "{authority}");
        let name =
            remedy("invalid peer certificate: certificate not valid for name \"h\"; it is not valid for any names");
        assert!(name.unwrap().contains("subjectAltName"));
        assert_eq!(remedy("invalid peer certificate: UnknownIssuer"), None);
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for (url, loopback) in [
            ("http://127.0.0.1:3000", true),
            ("http://[::1]/", true),
            ("http://localhost/", true),
            ("https://localhost.example.org/", false),
            ("https://10.0.0.1/", false),
        ] {
            assert_eq!(is_loopback(&Url::parse(url).unwrap()), loopback, "{url}");
        }
    }
}
