//! Secrets, the credentials made of them, and where they come from.
//!
//! A [`Secret`] registers itself when it is made, so no text that leaves through [`redact`](crate::base::redact::redact) can show it.

mod command;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::base::failure::{Failure, Reason};
use crate::base::redact::Known;
use crate::base::url::{Origin, RemoteUrl};

/// The bytes of a token or password. It cannot print itself, and from its making on the redactor knows it.
#[derive(Clone)]
pub struct Secret {
    known: Arc<Known>,
    /// Where it was read, in words: never a part of it.
    read_from: Option<Arc<str>>,
}

impl Secret {
    /// Wraps a secret and teaches it to the redactor.
    pub fn new(value: impl Into<String>) -> Self {
        Secret { known: Arc::new(Known::new(value.into())), read_from: None }
    }

    /// The bytes themselves, for the one place that sends them.
    pub fn expose(&self) -> &str {
        self.known.value()
    }

    /// The same failure; when the server refused this secret, its message says where the secret was read, so that its
    /// reader knows which one to change.
    pub(crate) fn refused(&self, failure: Failure) -> Failure {
        match (&self.read_from, failure.reason()) {
            (Some(place), Reason::AuthFailed | Reason::Forbidden) => {
                let text = format!("{} (the token is read from {place})", failure.message());
                failure.with_message(text)
            }
            _ => failure,
        }
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.known == other.known
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A user name and secret that belong to exactly one scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub origin: Origin,
    pub user: String,
    pub secret: Secret,
}

impl Credential {
    /// The same, with the user that an HTTP URL names for itself.
    pub fn as_named_by(self, url: &RemoteUrl) -> Self {
        match url.user().filter(|_| url.is_http()) {
            Some(user) => Credential { user: user.to_owned(), ..self },
            None => self,
        }
    }

    /// The `user:secret` of HTTP basic authentication in base64, masked like the secret itself.
    pub fn basic(&self) -> Secret {
        Secret::new(STANDARD.encode(format!("{}:{}", self.user, self.secret.expose())))
    }
}

/// Where a secret comes from; read when it is needed, never kept in the config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// An environment variable.
    Env(String),
    /// The first line of a file.
    File(PathBuf),
    /// The first line that a shell command prints.
    Command(String),
    /// What stood in a URL that we were given.
    Given(Secret),
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretSource::Env(name) => write!(f, "the environment variable {name}"),
            SecretSource::File(path) => write!(f, "the file {}", path.display()),
            SecretSource::Command(command) => match command::name(command) {
                Some(name) => write!(f, "what the command `{name}` prints"),
                None => f.write_str("what a command prints"),
            },
            SecretSource::Given(_) => f.write_str("the URL it stood in"),
        }
    }
}

impl SecretSource {
    /// Reads the secret; `env` looks up environment variables, and a command gets none of those in `withheld`.
    ///
    /// # Errors
    /// `auth_failed` when the source is unreadable or empty, naming the source and never its content.
    pub async fn read(&self, env: impl Fn(&str) -> Option<String>, withheld: &[String]) -> Result<Secret, Failure> {
        let fail = |why: String| Failure::new(Reason::AuthFailed, format!("cannot read {self}: {why}"));
        let text = match self {
            SecretSource::Given(secret) => return Ok(secret.clone()),
            SecretSource::Env(name) => env(name).ok_or_else(|| fail("it is not set".into()))?,
            SecretSource::File(path) => std::fs::read_to_string(path).map_err(|e| fail(e.to_string()))?,
            SecretSource::Command(command) => command::ask(command, withheld).await.map_err(|refusal| {
                let hint = "run the command of `token` by hand and see what it prints.";
                fail(refusal.why).with_evidence(refusal.last_line).with_hint(hint)
            })?,
        };
        // Editors on Windows begin a file with a mark of its encoding.
        match text.trim_start_matches('\u{feff}').lines().next().map(str::trim) {
            Some(line) if !line.is_empty() => {
                Ok(Secret { read_from: Some(self.to_string().into()), ..Secret::new(line) })
            }
            _ => Err(fail("it is empty".into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::redact::{MASK, redact};

    #[test]
    fn a_secret_is_masked_raw_percent_encoded_and_in_base64() {
        let secret = Secret::new("s3cr+t/with=odd chars");
        let credential =
            Credential { origin: Origin::new("https", "h", None), user: "git".into(), secret: secret.clone() };
        for text in [
            format!("raw {}", secret.expose()),
            "url https%3A s3cr%2Bt%2Fwith%3Dodd%20chars".to_owned(),
            format!("header {}", credential.basic().expose()),
            format!("inner {}", STANDARD.encode(format!("x:{}", secret.expose()))),
        ] {
            let clean = redact(&text);
            assert!(clean.contains(MASK), "{clean}");
            assert!(!clean.contains("s3cr") && !clean.contains(&STANDARD.encode("t/with=odd")[..8]), "{clean}");
        }
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[tokio::test]
    async fn an_empty_or_missing_source_says_where_it_looked() {
        let missing = SecretSource::Env("NOPE".into()).read(|_| None, &[]).await.unwrap_err();
        assert_eq!(missing.message(), "cannot read the environment variable NOPE: it is not set");
        assert!(SecretSource::Command("exit 3".into()).read(|_| None, &[]).await.is_err());
        assert_eq!(SecretSource::Command("echo zyxwvut".into()).read(|_| None, &[]).await.unwrap().expose(), "zyxwvut");
    }
}
