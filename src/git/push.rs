//! Git's verb for destinations: push exactly these refs, each only if it is still where we saw it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};

use super::refs::Oid;
use super::verbs::{Listener, Progress};
use super::{Call, Git, Remote, failure_of};
use crate::failure::Failure;
use crate::url::RemoteUrl;

/// How many refs one push carries: two arguments each must fit the system's limit with the environment (2 MiB on Linux).
const AT_ONCE: usize = 1000;

/// One ref of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushEdit {
    pub name: BString,
    /// Where the destination has it; `None` when it has none.
    pub seen: Option<Oid>,
    /// What it shall be; `None` to delete it.
    pub new: Option<Oid>,
}

/// What a destination made of one ref, as `git push --porcelain` tells (git 2.47, git-push(1)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefResult {
    /// It is as wished.
    Accepted,
    /// It is not; git's summary says by whose will: `[remote rejected] (hook declined)`, `[rejected] (stale info)`.
    Refused(String),
}

/// What came of a push that reached the destination.
#[derive(Debug, Default)]
pub struct Pushed {
    pub results: Vec<(BString, RefResult)>,
    /// What git and the destination said; the reasons are in it.
    pub stderr: String,
}

/// Where a checkout came from.
#[derive(Debug)]
pub struct CheckoutOrigin {
    /// As git has it: it may hold a password.
    pub url: String,
    /// What a relative URL starts from.
    pub root: PathBuf,
}

impl Git {
    /// Pushes `edits` from the repository `dir`, in the order given, in as many commands as their number needs.
    ///
    /// Every ref carries a lease on what was seen, so that another writer's change is refused and not overwritten.
    ///
    /// # Errors
    /// What git says when the destination answered for no ref: then nothing is known to have moved.
    pub async fn push(
        &self,
        dir: &Path,
        remote: &Remote,
        edits: &[PushEdit],
        progress: Progress<'_>,
    ) -> Result<Pushed, Failure> {
        let mut all = Pushed::default();
        for part in edits.chunks(AT_ONCE) {
            let done = self.push_part(dir, remote, part, progress).await?;
            all.results.extend(done.results);
            all.stderr.push_str(&done.stderr);
        }
        Ok(all)
    }

    async fn push_part(
        &self,
        dir: &Path,
        remote: &Remote,
        edits: &[PushEdit],
        progress: Progress<'_>,
    ) -> Result<Pushed, Failure> {
        use std::os::unix::ffi::OsStrExt;
        let mut command = self.command(Some(dir));
        command.args([
            "push",
            "--porcelain",
            "--progress",
            "--no-verify",
            "--no-follow-tags",
            "--recurse-submodules=no",
        ]);
        for PushEdit { name, seen, .. } in edits {
            let seen = seen.map(|oid| oid.to_string()).unwrap_or_default();
            let lease = [b"--force-with-lease=", name.as_slice(), b":", seen.as_bytes()].concat();
            command.arg(std::ffi::OsStr::from_bytes(&lease));
        }
        command.arg("--").arg(remote.url.to_string());
        for PushEdit { name, new, .. } in edits {
            let new = new.map(|oid| oid.to_string()).unwrap_or_default();
            command.arg(std::ffi::OsStr::from_bytes(&[new.as_bytes(), b":", name.as_slice()].concat()));
        }
        let what = "cannot push to the destination";
        let call = Call { what, command, remote: Some(remote), input: Vec::new() };
        let mut listener = Listener { progress, received: 0 };
        let finished = self.run(call, |line| listener.hear(line)).await?;
        let results = parse(&finished.stdout);
        let refused = results.iter().any(|(_, result)| matches!(result, RefResult::Refused(_)));
        // Exit code 1 with refused refs is an answer; with none of them it is a failure that git dressed up as
        // "Everything up-to-date" (seen after HTTP 403, 413 and 5xx on the upload).
        if finished.status.success() || refused {
            return Ok(Pushed { results, stderr: finished.stderr });
        }
        Err(failure_of(what, &finished))
    }
}

impl Git {
    /// Those of `wanted` that the repository `dir` has.
    ///
    /// # Errors
    /// What git says.
    pub async fn known_objects(&self, dir: &Path, wanted: &BTreeSet<Oid>) -> Result<BTreeSet<Oid>, Failure> {
        let input: Vec<u8> = wanted.iter().flat_map(|oid| format!("{oid}\n").into_bytes()).collect();
        let mut command = self.command(Some(dir));
        command.args(["cat-file", "--batch-check=%(objectname)"]);
        let call = Call { what: "cannot look for objects in the mirror", command, remote: None, input };
        let finished = self.succeed(call, |_| ()).await?;
        // What is not there is answered with `<oid> missing`.
        Ok(finished.stdout.lines().filter_map(Oid::parse).collect())
    }

    /// The commits from `seen` (not included; the beginning where it is unknown) to `tip`, oldest first, along first
    /// parents.
    ///
    /// # Errors
    /// What git says.
    pub async fn first_parents(&self, dir: &Path, tip: Oid, seen: Option<Oid>) -> Result<Vec<Oid>, Failure> {
        let mut command = self.command(Some(dir));
        command.args(["rev-list", "--first-parent", "--reverse", "--ignore-missing", &tip.to_string()]);
        if let Some(seen) = seen {
            command.arg(format!("^{seen}"));
        }
        let call = Call { what: "cannot read the history to be pushed", command, remote: None, input: Vec::new() };
        let finished = self.succeed(call, |_| ()).await?;
        Ok(finished.stdout.lines().filter_map(Oid::parse).collect())
    }

    /// The `origin` of the checkout at `dir`, whoever owns it, as a `git fetch` there would reach it (with the user's
    /// `insteadOf`); `None` when it has none.
    ///
    /// # Errors
    /// What git says, as when there is no repository.
    pub async fn origin_of_checkout(&self, dir: &Path) -> Result<Option<CheckoutOrigin>, Failure> {
        let (code, url) = self.in_checkout(dir, &["remote", "get-url", "origin"], &[0, 2]).await?;
        if code == 2 {
            return Ok(None);
        }
        // A relative path is read from the top of the tree; a bare repository has none.
        let root = match url.starts_with('.') {
            true => self.in_checkout(dir, &["rev-parse", "--show-toplevel"], &[0, 128]).await?.1,
            false => String::new(),
        };
        let root = if root.is_empty() { dir.to_owned() } else { root.into() };
        Ok(Some(CheckoutOrigin { url, root }))
    }

    /// The header that the checkout at `dir` sends to `url`, such as GitHub's checkout action writes with its token.
    ///
    /// # Errors
    /// As [`Git::origin_of_checkout`].
    pub async fn header_of_checkout(&self, dir: &Path, url: &RemoteUrl) -> Result<Option<String>, Failure> {
        if !url.is_http() {
            return Ok(None);
        }
        let args = ["config", "--get-urlmatch", "http.extraHeader", &url.to_string()];
        let (_, header) = self.in_checkout(dir, &args, &[0, 1]).await?;
        Ok(Some(header).filter(|header| !header.is_empty()))
    }

    /// Asks the checkout at `dir` something, and returns exit code (one of `codes`) and first line.
    async fn in_checkout(&self, dir: &Path, args: &[&str], codes: &[i32]) -> Result<(i32, String), Failure> {
        let mut command = self.command(None);
        // Values are read and nothing of the checkout runs: that it belongs to another user, as in CI, does no harm.
        command.env_remove("GIT_DIR").args(["-c", "safe.directory=*", "-C"]).arg(dir).args(args);
        let what = "cannot read the origin of the checkout";
        let finished = self.run(Call { what, command, remote: None, input: Vec::new() }, |_| ()).await?;
        match finished.status.code().filter(|code| codes.contains(code)) {
            Some(code) => {
                Ok((code, String::from_utf8_lossy(&finished.stdout).lines().next().unwrap_or_default().to_owned()))
            }
            None => Err(failure_of(what, &finished)),
        }
    }

    /// Makes the bare repository `dir`, without hook samples.
    ///
    /// # Errors
    /// What git says.
    pub async fn init_bare(&self, dir: &Path) -> Result<(), Failure> {
        let mut command = self.command(None);
        command.env_remove("GIT_DIR").args(["init", "--quiet", "--bare", "--template="]).arg(dir);
        let call = Call { what: "cannot make a repository", command, remote: None, input: Vec::new() };
        self.succeed(call, |_| ()).await.map(drop)
    }
}

/// Reads the lines `<flag>\t<from>:<to>\t<summary>` of `git push --porcelain`.
fn parse(stdout: &[u8]) -> Vec<(BString, RefResult)> {
    let line = |line: &[u8]| {
        let mut fields = line.splitn_str(3, "\t");
        let (flag, refspec, summary) = (fields.next()?, fields.next()?, fields.next()?);
        let (_, name) = refspec.rsplit_once_str(":")?;
        let result = match flag {
            b"!" => RefResult::Refused(summary.to_str_lossy().into_owned()),
            b" " | b"+" | b"-" | b"*" | b"=" => RefResult::Accepted,
            _ => return None,
        };
        Some((BString::from(name), result))
    };
    stdout.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refs_fate_is_read_from_the_porcelain() {
        let stdout = b"To http://127.0.0.1:41080/pub/hid.git\n \trefs/heads/main:refs/heads/main\tfb4fb96..168e869\n\
            -\t:refs/heads/old\t[deleted]\n*\tabc:refs/tags/v1\t[new tag]\n\
            !\trefs/pull/1/head:refs/pull/1/head\t[remote rejected] (deny updating a hidden ref)\nDone\n";
        let results = parse(stdout);
        let names: Vec<_> = results.iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names, ["refs/heads/main", "refs/heads/old", "refs/tags/v1", "refs/pull/1/head"]);
        assert!(results[..3].iter().all(|(_, result)| *result == RefResult::Accepted));
        assert_eq!(results[3].1, RefResult::Refused("[remote rejected] (deny updating a hidden ref)".into()));
    }
}
