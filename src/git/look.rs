//! Looks at the refs of a remote and of a mirror: without git where that comes to the same, and counted, as fetches are.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::task::JoinError;

use super::refs::{Advertisement, LocalRefs};
use super::{Call, Git, Remote, disk};
use crate::failure::{Failure, Reason};
use crate::url::RemoteUrl;

/// Mirrors whose files are read at the same time: each has its packs open, and a process may often open 1024 files.
static READERS: Semaphore = Semaphore::const_new(4);

/// Reads a mirror's files where a slow disk holds nobody else up.
pub(super) async fn apart<T: Send + 'static>(read: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    let turn = READERS.acquire().await;
    let read = tokio::task::spawn_blocking(read).await;
    drop(turn);
    read
}

/// How often remotes were asked for their refs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Looks {
    /// Over our own connections, whatever the answer.
    pub direct: usize,
    /// By a git process.
    pub git: usize,
}

/// How often objects were brought from remotes, first clones included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Fetches {
    /// Over our own connections; git puts the pack in its place.
    pub direct: usize,
    /// By git alone.
    pub git: usize,
}

/// Counts who did it.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub direct: AtomicUsize,
    pub git: AtomicUsize,
}

impl Counts {
    fn take(&self) -> (usize, usize) {
        let take = |count: &AtomicUsize| count.swap(0, Ordering::Relaxed);
        (take(&self.direct), take(&self.git))
    }
}

impl Git {
    /// How often remotes were asked for their refs since this was called last.
    pub fn take_looks(&self) -> Looks {
        let (direct, git) = self.looks.take();
        Looks { direct, git }
    }

    /// How often objects were brought from remotes since this was called last.
    pub fn take_fetches(&self) -> Fetches {
        let (direct, git) = self.fetches.take();
        Fetches { direct, git }
    }

    /// Asks `remote` for its refs and HEAD, as `ls-remote --symref` tells them; without git where that comes to the same.
    ///
    /// An answer without any ref is not an error here: only the caller knows whether it can be true.
    ///
    /// # Errors
    /// What git says, or would say; `server_error` when the answer is no list of refs.
    pub async fn ls_remote(&self, remote: &Remote) -> Result<Advertisement, Failure> {
        // In a box: HTTP is a large thing to wait for.
        let direct = Box::pin(self.ls_refs(remote)).await;
        if let Some(answer) = direct.transpose() {
            self.looks.direct.fetch_add(1, Ordering::Relaxed);
            return answer;
        }
        self.looks.git.fetch_add(1, Ordering::Relaxed);
        let url = remote.url.to_string();
        let arguments = ["ls-remote", "--symref", "--", &url].map(OsStr::new);
        let call = Call { remote: Some(remote), ..self.call("cannot read the refs of the source", None, &arguments) };
        let finished = self.succeed(call, |_| ()).await?;
        Advertisement::parse(&finished.stdout).map_err(|line| {
            Failure::new(Reason::ServerError, "the source's list of refs cannot be read").with_evidence(line)
        })
    }

    /// Reads the refs of the repository `dir` and opens the object of each; without git where that comes to the same.
    ///
    /// # Errors
    /// `corrupt` when a ref is broken or its object is missing (git 2.39 only warns of broken refs).
    pub async fn local_refs(&self, dir: &Path) -> Result<LocalRefs, Failure> {
        if self.wire.is_some() {
            let place = dir.to_owned();
            if let Ok(Some(found)) = apart(move || disk::local_refs(&place)).await {
                return Ok(found);
            }
            tracing::debug!(dir = %dir.display(), "refs left to git");
        }
        let format = "--format=%(objectname) %(objecttype) %(refname)";
        let call = self.call("cannot read the mirror's refs", Some(dir), &["for-each-ref", format].map(OsStr::new));
        let finished = self.succeed(call, |_| ()).await?;
        if let Some(line) = finished.stderr.lines().find(|line| line.contains("ignoring broken ref")) {
            return Err(Failure::new(Reason::Corrupt, "the mirror has a broken ref").with_evidence(line));
        }
        LocalRefs::parse(&finished.stdout)
            .map_err(|line| Failure::new(Reason::Corrupt, "the mirror's refs cannot be read").with_evidence(line))
    }

    /// Whether a look at the refs of the repository at `url` may cost no git; where it does, git's version is checked then.
    pub fn may_do_without(&self, url: &RemoteUrl) -> bool {
        self.wire.is_some() && url.is_http()
    }

    /// Reads the refs of the damaged repository `dir` without looking at any object; broken refs are left out.
    ///
    /// # Errors
    /// What git says.
    pub async fn listed_refs(&self, dir: &Path) -> Result<LocalRefs, Failure> {
        let format = "--format=%(objectname) ? %(refname)";
        let call = self.call("cannot list the mirror's refs", Some(dir), &["for-each-ref", format].map(OsStr::new));
        let finished = self.succeed(call, |_| ()).await?;
        LocalRefs::parse(&finished.stdout)
            .map_err(|line| Failure::new(Reason::Corrupt, "the mirror's refs cannot be listed").with_evidence(line))
    }
}
