//! Git's verb for destinations: push exactly these refs, each only if it is still where we saw it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use bstr::{BString, ByteSlice};

use super::look::apart;
use super::refs::Oid;
use super::stage::Stage;
use super::verbs::{Listener, Progress};
use super::{BULK, Call, Git, Remote, disk};
use crate::base::failure::Failure;
use crate::model::destination::ObjectFormat;

/// How many bytes of leases one push carries: arguments and environment share the system's limit (2 MiB on Linux, 1 MiB
/// on macOS).
const AT_ONCE: usize = 600_000;

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

impl Git {
    /// Pushes `edits` from the repository `dir`, in as many commands as their leases need.
    ///
    /// Every ref carries a lease on what was seen, so that another writer's change is refused and not overwritten. What
    /// is moved is pushed by one pattern from a temporary repository: git compares each explicit refspec with every ref
    /// of both sides (git 2.47, remote.c), which takes half a minute for 5,000 of them, and could mistake `main` for
    /// the branch that is itself called `refs/heads/main`. Many deletions in a directory are told to `git receive-pack`
    /// for the same reason.
    ///
    /// # Errors
    /// A command that asks a remote fails ([the reasons](crate::git#failures)) when the destination answered for no
    /// ref: then nothing is known to have moved.
    pub async fn push(
        &self,
        dir: &Path,
        remote: &Remote,
        edits: &[PushEdit],
        progress: Progress<'_>,
    ) -> Result<Pushed, Failure> {
        let remote = &self.followed(remote);
        // In a box: HTTP is a large thing to wait for.
        if let Some(pushed) = Box::pin(self.push_directly(dir, remote, edits, progress)).await? {
            return Ok(pushed);
        }
        let mut all = Pushed::default();
        let (deletions, others): (Vec<&PushEdit>, Vec<&PushEdit>) = edits.iter().partition(|edit| edit.new.is_none());
        let mut left = edits.to_vec();
        if deletions.len() >= BULK && remote.url.as_file().is_some() {
            all = self.delete_in_directory(remote, &deletions, &mut *progress).await?;
            left = others.into_iter().cloned().collect();
        }
        for part in parts(&left).into_iter().filter(|part| !part.is_empty()) {
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
        let moved = edits.iter().filter_map(|edit| Some((edit.name.as_ref(), edit.new?)));
        let stage = Stage::make(dir, moved)?;
        let mut command = self.command(Some(stage.path()));
        command.args([
            "push",
            "--porcelain",
            "--progress",
            "--no-verify",
            "--no-follow-tags",
            "--recurse-submodules=no",
        ]);
        // The first lease that fits wins, and that on `refs/heads/main` fits `refs/heads/refs/heads/main` as well.
        let mut leases: Vec<&PushEdit> = edits.iter().collect();
        leases.sort_by_key(|edit| std::cmp::Reverse(edit.name.len()));
        for PushEdit { name, seen, .. } in leases {
            let seen = seen.map(|oid| oid.to_string()).unwrap_or_default();
            let lease = [b"--force-with-lease=", name.as_slice(), b":", seen.as_bytes()].concat();
            command.arg(OsStr::from_bytes(&lease));
        }
        command.arg("--").arg(remote.url.to_string());
        for PushEdit { name, .. } in edits.iter().filter(|edit| edit.new.is_none()) {
            command.arg(OsStr::from_bytes(&[b":", name.as_slice()].concat()));
        }
        if edits.iter().any(|edit| edit.new.is_some()) {
            command.arg("refs/*:refs/*");
        }
        let what = "cannot push to the destination";
        let call = Call { what, command, remote: Some(remote), input: Vec::new() };
        let mut listener = Listener { progress, received: 0 };
        let finished = self.run(call, |line| listener.hear(line)).await?;
        let results = parse(&finished.stdout);
        drop(stage);
        let refused = results.iter().any(|(_, result)| matches!(result, RefResult::Refused(_)));
        // Exit code 1 with refused refs is an answer; with none of them it is a failure that git dressed up as
        // "Everything up-to-date" (seen after HTTP 403, 413 and 5xx on the upload).
        if finished.status.success() || refused {
            return Ok(Pushed { results, stderr: finished.stderr });
        }
        Err(self.failure_at(Some(remote), what, &finished).await)
    }
}

impl Git {
    /// Those of `wanted` that the repository `dir` has.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)).
    pub async fn known_objects(&self, dir: &Path, wanted: &BTreeSet<Oid>) -> Result<BTreeSet<Oid>, Failure> {
        if self.wire.is_some() {
            let (place, asked) = (dir.to_owned(), wanted.clone());
            if let Ok(Some(found)) = apart(move || disk::known(&place, &asked)).await {
                return Ok(found);
            }
        }
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
    /// A command fails ([the reasons](crate::git#failures)).
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

    /// The hash by which the repository `dir` names its objects.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)).
    pub async fn object_format(&self, dir: &Path) -> Result<ObjectFormat, Failure> {
        let mut command = self.command(Some(dir));
        command.args(["rev-parse", "--show-object-format"]);
        let call = Call { what: "cannot read the mirror's object format", command, remote: None, input: Vec::new() };
        let finished = self.succeed(call, |_| ()).await?;
        Ok(if finished.stdout.trim_ascii() == b"sha256" { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 })
    }

    /// Makes the bare repository `dir`, which names its objects by this hash, without hook samples.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)).
    pub async fn init_bare(&self, dir: &Path, format: ObjectFormat) -> Result<(), Failure> {
        let mut command = self.command(None);
        command.env_remove("GIT_DIR").args(["init", "--quiet", "--bare", "--template="]);
        command.arg(format!("--object-format={format}")).arg(dir);
        let call = Call { what: "cannot make a repository", command, remote: None, input: Vec::new() };
        self.succeed(call, |_| ()).await.map(drop)
    }
}

/// Splits edits by what their leases take of a command line.
fn parts(edits: &[PushEdit]) -> Vec<&[PushEdit]> {
    let mut parts = Vec::new();
    let (mut begin, mut bytes) = (0, 0);
    for (at, edit) in edits.iter().enumerate() {
        // A deletion names its ref twice.
        let long = 2 * edit.name.len() + 96;
        if bytes + long > AT_ONCE {
            parts.push(&edits[begin..at]);
            (begin, bytes) = (at, 0);
        }
        bytes += long;
    }
    parts.push(&edits[begin..]);
    parts
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
    fn a_long_push_is_split_without_losing_a_ref() {
        let edit = |n: usize| PushEdit { name: format!("refs/heads/{n:0>200}").into(), seen: None, new: None };
        let edits: Vec<PushEdit> = (0..5000).map(edit).collect();
        let parts = parts(&edits);
        assert!(parts.len() > 2 && parts.iter().all(|part| part.len() * 200 < AT_ONCE));
        assert_eq!(parts.concat(), edits);
    }

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
