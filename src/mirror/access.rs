//! How git reaches the repositories of one source.

use std::path::PathBuf;

use crate::base::failure::{Failure, Reason};
use crate::base::secret::Credential;
use crate::base::url::{Origin, RemoteUrl};
use crate::git::{Remote, Ssh};

/// What git needs to reach the repositories of one source.
#[derive(Debug, Clone, Default)]
pub struct Access {
    pub credential: Option<Credential>,
    pub ca_file: Option<PathBuf>,
    pub proxy: Option<url::Url>,
    /// The forge's own address, as the configuration has it.
    pub web: Option<Origin>,
}

impl Access {
    /// The same failure to reach `url`, with both addresses when the forge lists another one than it was asked at.
    pub fn explain(&self, url: &RemoteUrl, failure: Failure) -> Failure {
        let unreachable = matches!(
            failure.reason(),
            Reason::NetworkFailed
                | Reason::TimedOut
                | Reason::TlsFailed
                | Reason::ServerError
                | Reason::RemoteNotFound
                | Reason::AuthFailed
        );
        let (Some(web), Some(listed)) = (&self.web, url.origin().filter(|_| url.is_http())) else { return failure };
        if !unreachable || web == listed {
            return failure;
        }
        let message = format!("{}; the forge was asked at {web} and lists {listed} for git", failure.message());
        failure.with_message(message).with_hint(format!(
            "if {listed} is not its address, set `clone_urls: api-host` for this source, or correct the forge's own \
             setting (Gitea: ROOT_URL)."
        ))
    }

    /// The remote of a repository of this source.
    pub fn remote(&self, url: &RemoteUrl) -> Remote {
        Remote {
            url: url.clone(),
            credential: self.credential.clone().map(|credential| credential.as_named_by(url)),
            ca_file: self.ca_file.clone(),
            proxy: self.proxy.clone(),
            ssh: Ssh::default(),
        }
    }
}
