//! Why something failed: one vocabulary for git, forge APIs, retry and the report.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::redact::redact;

/// The kind of failure; each leads the user to a different action.
///
/// The names are an interface: they stand in reports, JSON and the store.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::IntoStaticStr,
    strum::Display,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// The credential is missing, wrong or expired: every repository behind it fails alike.
    AuthFailed,
    /// The credential is known but may not do this here; others behind it may still work.
    Forbidden,
    /// A branch or tag rule of the destination refused the ref.
    ProtectedRefRejected,
    /// No connection, a broken one, or a name that does not resolve.
    NetworkFailed,
    /// The repository is not there, or hidden from this credential.
    RemoteNotFound,
    /// The destination refused the push for a reason of its own.
    PushRejected,
    /// The server asks for fewer requests.
    RateLimited,
    /// The server failed (5xx, a crashed pack process, nonsense instead of git's protocol).
    ServerError,
    /// The server's certificate, or the TLS handshake, was not accepted.
    TlsFailed,
    /// The ssh host key is unknown or has changed.
    HostKeyFailed,
    /// A file, pack, repository or list is over a limit of the server, or of ours.
    TooLarge,
    /// The destination found a secret in the pushed commits.
    SecretBlocked,
    /// The repository is archived and takes no pushes.
    Archived,
    /// Both sides have commits that the other lacks.
    Diverged,
    /// Objects or refs are damaged, here or at the source.
    Corrupt,
    /// No space, no inodes, or a quota reached on this machine.
    DiskFull,
    /// Another process holds a lock in the local repository.
    LocalLock,
    /// The local disk, its permissions or the local git installation stand in the way.
    LocalFailed,
    /// A ref moved between looking and acting; looking again helps.
    RefRace,
    /// The repository is blocked or disabled by its forge (DMCA, terms of service).
    Blocked,
    /// Nothing was heard for too long, or it took too long in all.
    TimedOut,
    /// The user or the system asked us to stop.
    Cancelled,
    /// A guard stopped it; a person decides.
    Held,
    /// A selection that matches nothing: a glob, a directory, a list.
    NothingMatched,
    /// Nothing we know; the raw line stays in the report.
    Unknown,
}

impl Reason {
    /// Whether trying again soon, unchanged, may help.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Reason::NetworkFailed | Reason::ServerError | Reason::RateLimited | Reason::RefRace | Reason::TimedOut
        )
    }

    /// The name as it stands in reports and JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What the user can do about it, in one sentence, where there is one answer.
    pub fn hint(self) -> Option<&'static str> {
        Some(match self {
            Reason::AuthFailed => "check the token: it is missing, wrong or expired.",
            Reason::Forbidden => "give the token access to this repository, or exclude the repository.",
            Reason::NetworkFailed => "check the network, the proxy and the host name; the next run tries again.",
            Reason::RemoteNotFound => "the repository was deleted or renamed, or the token may not see it.",
            Reason::RateLimited => "run less often, or with a lower --concurrency.",
            Reason::TlsFailed => "give the server's CA with `ca_file`, or correct its certificate.",
            Reason::HostKeyFailed => {
                "compare the host key with the one the forge publishes, then put it in known_hosts."
            }
            Reason::Corrupt => {
                "a damaged mirror is moved aside and cloned anew by itself; a damaged source must be repaired there (`git fsck`)."
            }
            Reason::DiskFull => "make room under the storage directory; existing mirrors are intact.",
            Reason::LocalLock => "see which process works in this repository; stale locks are removed by the next run.",
            Reason::LocalFailed => "check the permissions, the git installation and its configuration on this machine.",
            Reason::Blocked => "the forge has blocked this repository, or the account; the mirror on disk is kept.",
            Reason::TimedOut => "raise --timeout if the server is merely slow.",
            Reason::Held => "look at the source; when the deletions are meant, run again with --accept-deletions.",
            _ => return None,
        })
    }
}

/// One failure, ready to be shown: every text in it is redacted when it is made, and none can be put in past that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    reason: Reason,
    /// What was tried and what came of it, one line.
    message: String,
    /// The line that told: git's or the server's own words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    evidence: Option<String>,
    /// A way out more exact than [`Reason::hint`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    hint: Option<String>,
    /// How long the server asked us to wait.
    #[serde(skip)]
    retry_after: Option<Duration>,
}

impl Failure {
    /// A failure with its message; secrets in `message` are masked.
    pub fn new(reason: Reason, message: impl AsRef<str>) -> Self {
        Failure { reason, message: redact(message.as_ref()), evidence: None, hint: None, retry_after: None }
    }

    /// Why it failed.
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// What was tried and what came of it, one line.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Git's or the server's own words, if any.
    pub fn evidence(&self) -> Option<&str> {
        self.evidence.as_deref()
    }

    /// The way out for this very failure; [`Failure::way_out`] also knows that of the reason.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// How long the server asked us to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The same failure with another reason.
    pub fn with_reason(mut self, reason: Reason) -> Self {
        self.reason = reason;
        self
    }

    /// The same failure with another message; secrets in it are masked.
    pub fn with_message(mut self, message: impl AsRef<str>) -> Self {
        self.message = redact(message.as_ref());
        self
    }

    /// The same failure, as a part of `what`: its message becomes `what: message`.
    pub fn within(self, what: impl fmt::Display) -> Self {
        let message = format!("{what}: {}", self.message);
        self.with_message(message)
    }

    /// Puts the server's or git's own words into the failure, in place of those it had; empty ones are dropped, secrets
    /// are masked.
    pub fn with_evidence(mut self, line: impl AsRef<str>) -> Self {
        let line = line.as_ref().trim();
        self.evidence = (!line.is_empty()).then(|| redact(line));
        self
    }

    /// Adds the way out for this very failure.
    pub fn with_hint(mut self, hint: impl AsRef<str>) -> Self {
        self.hint = Some(redact(hint.as_ref()));
        self
    }

    /// Adds how long the server asked us to wait.
    pub fn with_retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// A failure of the local disk or machine: a full disk is told apart from the rest.
    pub fn local(what: impl AsRef<str>, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let reason = match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Reason::DiskFull,
            _ => Reason::LocalFailed,
        };
        Failure::new(reason, what).with_evidence(error.to_string())
    }

    /// The way out: this failure's own, else its reason's.
    pub fn way_out(&self) -> Option<&str> {
        self.hint.as_deref().or_else(|| self.reason.hint())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)?;
        match &self.evidence {
            Some(line) => write!(f, " ({line})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    #[test]
    fn a_reason_is_spelled_alike_in_text_and_json() {
        for reason in [Reason::AuthFailed, Reason::ProtectedRefRejected, Reason::RefRace, Reason::Unknown] {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
        }
    }

    #[test]
    fn no_text_gets_into_a_failure_with_a_secret_in_it() {
        let secret = Secret::new("canary-of-failures-4711");
        let failure = Failure::new(Reason::Unknown, "")
            .with_message(format!("it was {}", secret.expose()))
            .within(secret.expose())
            .with_evidence(secret.expose())
            .with_hint(secret.expose());
        assert!(!format!("{failure:?} {failure}").contains("canary"), "{failure:?}");
    }

    #[test]
    fn a_full_disk_is_told_apart_from_other_local_failures() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert_eq!(Failure::local("write", &full).reason, Reason::DiskFull);
        assert_eq!(Failure::local("write", &denied).reason, Reason::LocalFailed);
    }
}
