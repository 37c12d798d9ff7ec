//! Looks at the refs of a remote and of a mirror: without git where that comes to the same, and counted, as fetches are.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use schemars::JsonSchema;
use serde::Serialize;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinError;

use super::refs::{Advertisement, LocalRefs};
use super::{Call, Git, Remote, disk, process};
use crate::base::failure::{Failure, Reason};
use crate::base::url::RemoteUrl;

/// No list of refs comes near: some three million refs. One without an end must not fill the memory.
pub(super) const LONGEST_LIST: usize = 256 << 20;
pub(super) const ENDLESS: &str =
    "the server sends a list without an end, or one that is too long to be mirrored; ask its operator.";

/// What git and its helper may take to read such a list, in KiB: four times the longest.
const MOST_MEMORY_KIB: usize = (4 * LONGEST_LIST) >> 10;
/// git 2.47, wrapper.c: `fatal: Out of memory, realloc failed`.
const OUT_OF_MEMORY: &str = "Out of memory";

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

/// What a git command writes down of its exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trace {
    Nothing,
    Packets,
}

/// Whether a trace of packets (`GIT_TRACE_PACKET`) has one that came from the server.
///
/// git 2.47: `07:24:09.842480 pkt-line.c:86           packet:          git< version 2`
fn speaks_git(trace: &str) -> bool {
    trace.lines().any(|line| line.split_once("packet:").is_some_and(|(_, rest)| rest.trim_start().starts_with("git< ")))
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
    /// A command that asks a remote fails ([the reasons](crate::git#failures)); `server_error` when the answer is no
    /// list of refs.
    pub async fn ls_remote(&self, remote: &Remote) -> Result<Advertisement, Failure> {
        self.follow(remote, |at| async move { self.look_at(&at).await }).await
    }

    async fn look_at(&self, remote: &Remote) -> Result<Advertisement, Failure> {
        // In a box: HTTP is a large thing to wait for.
        let direct = Box::pin(self.ls_refs(remote)).await;
        if let Some(answer) = direct.transpose() {
            self.looks.direct.fetch_add(1, Ordering::Relaxed);
            return answer;
        }
        self.looks.git.fetch_add(1, Ordering::Relaxed);
        let (found, _) = self.ls_remote_by_git(remote, Trace::Nothing).await?;
        if !remote.url.is_http() || !found.is_nothing() {
            return Ok(found);
        }
        // Over HTTP git (2.47) takes any answer with status 200 that it cannot read for a server of plain files without refs:
        // a login page, an empty body, a connection cut within the headers. So it is asked again, with what it hears.
        let (found, heard) = self.ls_remote_by_git(remote, Trace::Packets).await?;
        if found.is_nothing() && !speaks_git(&heard) {
            let message = "the server answers, but not in git's protocol: that is no empty repository";
            let hint = format!(
                "open {} in a browser to see what answers there: a login page, a proxy, or something else than git; \
                 then correct the URL or the token.",
                remote.url
            );
            return Err(Failure::new(Reason::ServerError, message).with_hint(hint));
        }
        Ok(found)
    }

    /// Asks by `git ls-remote`; returns the answer and what git wrote to stderr.
    async fn ls_remote_by_git(&self, remote: &Remote, trace: Trace) -> Result<(Advertisement, String), Failure> {
        let url = remote.url.to_string();
        let arguments = ["ls-remote", "--symref", "--", &url].map(OsStr::new);
        let mut call =
            Call { remote: Some(remote), ..self.call("cannot read the refs of the source", None, &arguments) };
        if trace == Trace::Packets {
            // To stderr; a packet has no credential in it.
            call.command.env("GIT_TRACE_PACKET", "2");
        }
        // Git's helper for HTTP collects the whole answer before git prints a line of it.
        if remote.url.is_http() {
            call.command = within_memory(&call.command);
        }
        let what = call.what;
        let limits = process::Limits { output: Some(LONGEST_LIST), ..self.limits.clone() };
        let finished = self.run_within(&limits, call, |_| ()).await.map_err(|failure| match failure.reason() {
            Reason::TooLarge => failure.with_hint(ENDLESS),
            _ => failure,
        })?;
        if !finished.status.success() {
            if finished.stderr.contains(OUT_OF_MEMORY) {
                return Err(Failure::new(Reason::TooLarge, what).with_evidence(OUT_OF_MEMORY).with_hint(ENDLESS));
            }
            return Err(self.failure_at(Some(remote), what, &finished).await);
        }
        let found = Advertisement::parse(&finished.stdout).map_err(|line| {
            Failure::new(Reason::ServerError, "the source's list of refs cannot be read").with_evidence(line)
        })?;
        Ok((found, finished.stderr))
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

    /// Whether a look at the refs of the repository at `url` may cost no git; where it does, git's version is checked
    /// then.
    pub fn may_do_without(&self, url: &RemoteUrl) -> bool {
        self.wire.is_some() && url.is_http()
    }

    /// Reads the refs of the damaged repository `dir` without looking at any object; broken refs are left out.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)).
    pub async fn listed_refs(&self, dir: &Path) -> Result<LocalRefs, Failure> {
        let format = "--format=%(objectname) ? %(refname)";
        let call = self.call("cannot list the mirror's refs", Some(dir), &["for-each-ref", format].map(OsStr::new));
        let finished = self.succeed(call, |_| ()).await?;
        LocalRefs::parse(&finished.stdout)
            .map_err(|line| Failure::new(Reason::Corrupt, "the mirror's refs cannot be listed").with_evidence(line))
    }
}

/// The same command, whose memory is bounded by the shell's `ulimit -v`, where there is such a limit.
fn within_memory(command: &Command) -> Command {
    let command = command.as_std();
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(format!("ulimit -v {MOST_MEMORY_KIB} 2>/dev/null; exec \"$@\"")).arg("sh");
    shell.arg(command.get_program()).args(command.get_args()).env_clear();
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(name, value);
        }
    }
    command.get_current_dir().map(|dir| shell.current_dir(dir));
    shell
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_packets_from_the_server_show_that_it_speaks_git() {
        assert!(speaks_git("07:24:09.842480 pkt-line.c:86           packet:          git< version 2\n"));
        assert!(speaks_git("x\n07:24:09.782508 pkt-line.c:86  packet:          git< # service=git-upload-pack\n"));
        assert!(!speaks_git("07:24:09.842682 pkt-line.c:86  packet:    ls-remote> command=ls-refs\n"));
        assert!(!speaks_git("warning: redirecting to http://h/git< x\n"));
        assert!(!speaks_git(""));
    }
}
