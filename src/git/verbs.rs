//! Git's verbs for bare mirrors: look, clone, fetch, move refs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::Ordering;

use bstr::{BStr, BString, ByteSlice};

use super::pack::Fetched;
use super::refs::{OWN, Oid};
use super::{Call, Git, Remote, classify, failure_of, progress};
use crate::base::failure::{Failure, Reason};

/// Who is told of git's progress: phase and percentage.
pub type Progress<'a> = &'a mut (dyn FnMut(&str, Option<u8>, Option<u64>) + Send);

/// One line of a ref transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefEdit {
    Create { name: BString, new: Oid },
    Update { name: BString, old: Oid, new: Oid },
    Delete { name: BString, old: Oid },
}

/// What a fetch is to bring.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What the remote has just advertised.
    pub tips: &'a BTreeSet<Oid>,
    /// Objects here that the tips most likely grew from: what the refs that will move point at now.
    pub near: &'a [Oid],
    pub depth: Depth,
}

/// How much of the history a fetch asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What is new.
    AsIs,
    /// What is new and what a shallow repository lacks, as far as the remote has it.
    Whole,
}

impl RefEdit {
    /// The full ref name.
    pub fn name(&self) -> &BStr {
        match self {
            RefEdit::Create { name, .. } | RefEdit::Update { name, .. } | RefEdit::Delete { name, .. } => {
                name.as_bstr()
            }
        }
    }
}

/// Counts the bytes that git says it received, and passes its progress on.
pub(super) struct Listener<'a> {
    pub progress: Progress<'a>,
    pub received: u64,
}

impl Listener<'_> {
    pub fn hear(&mut self, line: &str) {
        if let Some(step) = progress::parse(line) {
            if let Some(bytes) = step.bytes {
                self.received = self.received.max(bytes);
            }
            (self.progress)(step.phase, step.percent, step.bytes);
        }
    }

    /// The bytes received, when the packs took so many before and after.
    ///
    /// Index-pack tells its throughput only after a second read, so it is silent about packs of a few KiB. Those are
    /// counted on disk, where a thin pack is a little larger than what came over the wire.
    fn received_in(&self, before: u64, after: u64) -> u64 {
        match self.received {
            0 => after.saturating_sub(before),
            told => told,
        }
    }
}

/// From this many refs on a transaction is not brought to the disk ref by ref; whoever makes one packs the refs after it.
pub(crate) const BULK: usize = 200;

/// Whether these are many, and nothing that a source could not send again is at stake: a deletion writes `packed-refs`
/// anew, and old tips are kept nowhere else.
fn is_bulk(edits: &[RefEdit]) -> bool {
    let is_safe = |edit: &RefEdit| !matches!(edit, RefEdit::Delete { .. }) && !edit.name().starts_with(OWN.as_bytes());
    edits.len() >= BULK && edits.iter().all(is_safe)
}

/// A transaction's edits, for `git update-ref --stdin -z`.
fn lines(edits: &[RefEdit]) -> Vec<u8> {
    let mut lines = Vec::new();
    for edit in edits {
        let (verb, name, values) = match edit {
            RefEdit::Create { name, new } => ("create", name, vec![new]),
            RefEdit::Update { name, old, new } => ("update", name, vec![new, old]),
            RefEdit::Delete { name, old } => ("delete", name, vec![old]),
        };
        lines.extend_from_slice(format!("{verb} ").as_bytes());
        lines.extend_from_slice(name);
        for value in values {
            lines.extend_from_slice(format!("\0{value}").as_bytes());
        }
        lines.push(0);
    }
    lines
}

/// The bytes of all packs in the repository `dir`; what cannot be read counts for nothing.
fn packed(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir.join("objects/pack")).into_iter().flatten().flatten();
    let packs = entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "pack"));
    packs.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}

impl Git {
    pub(super) fn call<'a>(&self, what: &'a str, dir: Option<&Path>, arguments: &[&OsStr]) -> Call<'a> {
        let mut command = self.command(dir);
        command.args(arguments);
        Call { what, command, remote: None, input: Vec::new() }
    }

    /// Clones all refs of `remote` into the new bare repository `into`, without `git clone` where that comes to the same;
    /// returns the bytes received.
    ///
    /// No template: its 14 hook samples are waste. Never by hard links: a copy that shares its bytes with the original
    /// is none.
    ///
    /// # Errors
    /// A command that asks a remote fails ([the reasons](crate::git#failures)). Nothing usable is left in `into` then.
    pub async fn clone_mirror(&self, remote: &Remote, into: &Path, progress: Progress<'_>) -> Result<u64, Failure> {
        // Both ways are taken by one caller after the other.
        let progress = tokio::sync::Mutex::new(progress);
        let received = self
            .follow(remote, |at| {
                let progress = &progress;
                async move { self.clone_from(&at, into, &mut **progress.lock().await).await }
            })
            .await?;
        if self.followed(remote).url != remote.url {
            // Its own name stays the one that it is known by.
            self.set_config(&into.join("config"), "remote.origin.url", Some(&remote.url.to_string())).await?;
        }
        Ok(received)
    }

    async fn clone_from(&self, remote: &Remote, into: &Path, progress: Progress<'_>) -> Result<u64, Failure> {
        let listener = Listener { progress: &mut *progress, received: 0 };
        // In a box: HTTP is a large thing to wait for.
        if let Some(received) = Box::pin(self.clone_directly(remote, into, listener)).await.transpose() {
            self.fetches.direct.fetch_add(1, Ordering::Relaxed);
            return received;
        }
        self.fetches.git.fetch_add(1, Ordering::Relaxed);
        let url = remote.url.to_string();
        let mut command = self.command(None);
        command.args(["clone", "--mirror", "--template=", "--no-local", "--progress", "--", &url]).arg(into);
        let call = Call { what: "cannot clone the source", command, remote: Some(remote), input: Vec::new() };
        let mut listener = Listener { progress, received: 0 };
        self.succeed(call, |line| listener.hear(line)).await?;
        Ok(listener.received_in(0, packed(into)))
    }

    /// Fetches objects that `remote` has just advertised into `dir` and moves no ref; without `git fetch` where that
    /// comes to the same. What came is kept until the answer is dropped.
    ///
    /// By object and not by ref: exactly what was seen arrives, no name can be ambiguous, thousands of names are not
    /// compared with thousands, and protocol version 2 (git 2.26) does without a second list of refs. Git checks that
    /// everything reachable from them is there before it reports success.
    ///
    /// # Errors
    /// A command that asks a remote fails ([the reasons](crate::git#failures)); `ref_race` when one of them is no
    /// longer to be had; `held` when the remote has cut off history that would connect them with ours.
    pub async fn fetch_objects(
        &self,
        dir: &Path,
        remote: &Remote,
        wanted: &Wanted<'_>,
        progress: Progress<'_>,
    ) -> Result<Fetched, Failure> {
        // A look came before, and has followed where the server sends us.
        let remote = &self.followed(remote);
        let listener = Listener { progress: &mut *progress, received: 0 };
        if let Some(fetched) = Box::pin(self.fetch_directly(dir, remote, wanted, listener)).await.transpose() {
            self.fetches.direct.fetch_add(1, Ordering::Relaxed);
            return fetched;
        }
        self.fetches.git.fetch_add(1, Ordering::Relaxed);
        let url = remote.url.to_string();
        let input: Vec<u8> = wanted.tips.iter().flat_map(|oid| format!("{oid}\n").into_bytes()).collect();
        let arguments = ["fetch", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance", "--refmap="];
        let mut command = self.command(Some(dir));
        command.args(arguments);
        if wanted.depth == Depth::Whole {
            command.arg("--unshallow");
        }
        command.args(["--progress", "--stdin", "--", &url]);
        let call = Call { what: "cannot fetch from the source", command, remote: Some(remote), input };
        let mut listener = Listener { progress, received: 0 };
        let before = packed(dir);
        let finished = self.succeed(call, |line| listener.hear(line)).await?;
        // Git leaves such objects in the repository, unconnected, and ends with 0 (2.47): a ref moved to them would be
        // broken.
        const CUT: &str = "shallow roots are not allowed to be updated";
        if let Some(line) = finished.stderr.lines().find(|line| line.contains(CUT)) {
            let message = "the source is a shallow clone by now; the mirror has the whole history and stays as it is";
            let hint = "complete the source with `git fetch --unshallow`, or exclude it.";
            return Err(Failure::new(Reason::Held, message).with_evidence(line).with_hint(hint));
        }
        // Damage here, not in a source on the same machine, whose git complains to the same pipe.
        let here = dir.display().to_string();
        let mut about_us = finished.stderr.lines().filter(|line| line.contains(&here));
        if let Some(line) = about_us.find_map(classify::damage) {
            return Err(Failure::new(Reason::Corrupt, "git met damage while it fetched").with_evidence(line));
        }
        Ok(Fetched { received: listener.received_in(before, packed(dir)), ..Fetched::default() })
    }

    /// Carries out all `edits` or none of them; every old value is checked.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)); `ref_race` when an object that a ref should move to is not
    /// there.
    pub async fn move_refs(&self, dir: &Path, edits: &[RefEdit]) -> Result<(), Failure> {
        self.transact(dir, &[edits]).await
    }

    /// Carries out one transaction after the other, each as [`Git::move_refs`] does; the first that fails is the last.
    ///
    /// # Errors
    /// As there; what came before stays done.
    pub async fn transact(&self, dir: &Path, transactions: &[&[RefEdit]]) -> Result<(), Failure> {
        let transactions: Vec<&[RefEdit]> = transactions.iter().copied().filter(|edits| !edits.is_empty()).collect();
        if let Some(edit) = transactions.iter().copied().flatten().find(|edit| !edit.name().starts_with(b"refs/")) {
            let message = format!("{} is no name of a ref: nothing was moved", edit.name());
            return Err(Failure::new(Reason::Held, message).with_hint("ask the operator of the source what it is."));
        }
        // How they are brought to the disk is settled for a whole process.
        for alike in transactions.chunk_by(|one, next| is_bulk(one) == is_bulk(next)) {
            // An fsync for each of thousands takes a minute on a spinning disk.
            let sync = if is_bulk(alike[0]) { "core.fsync=none" } else { "core.fsync=reference" };
            let arguments = ["-c", sync, "update-ref", "--no-deref", "--stdin", "-z"].map(OsStr::new);
            // Several in one session: git 2.30.
            let input = alike.iter().flat_map(|edits| [b"start\0", &*lines(edits), b"commit\0"].concat()).collect();
            let call = Call { input, ..self.call("cannot move the mirror's refs", Some(dir), &arguments) };
            self.succeed(call, |_| ()).await?;
        }
        Ok(())
    }

    /// Writes loose refs into one file, as a repository with thousands of them needs.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)).
    pub async fn pack_refs(&self, dir: &Path) -> Result<(), Failure> {
        let call = self.call("cannot pack the mirror's refs", Some(dir), &["pack-refs", "--all"].map(OsStr::new));
        self.succeed(call, |_| ()).await.map(drop)
    }

    /// Repacks so that each pack has at least twice the objects of the next smaller one (git 2.32); no object goes.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)); the packs are as they were then.
    pub async fn roll_up_packs(&self, dir: &Path) -> Result<(), Failure> {
        let arguments = ["-c", "repack.writeBitmaps=false", "repack", "--geometric=2", "-d", "-q"].map(OsStr::new);
        self.succeed(self.call("cannot repack the mirror", Some(dir), &arguments), |_| ()).await.map(drop)
    }

    /// Points HEAD of `dir` at the branch `target` (`refs/heads/main`), which need not exist.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)), a name that is no ref name included.
    pub async fn set_head(&self, dir: &Path, target: &BStr) -> Result<(), Failure> {
        // On Unix a file name is bytes, as a ref name is.
        let arguments = [OsStr::new("symbolic-ref"), OsStr::new("HEAD"), OsStr::from_bytes(target)];
        self.succeed(self.call("cannot set the mirror's HEAD", Some(dir), &arguments), |_| ()).await.map(drop)
    }

    /// Points HEAD of `dir` at a commit and at no branch.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)).
    pub async fn detach_head(&self, dir: &Path, commit: Oid) -> Result<(), Failure> {
        let commit = commit.to_string();
        let arguments = ["update-ref", "--no-deref", "HEAD", &commit].map(OsStr::new);
        self.succeed(self.call("cannot detach the mirror's HEAD", Some(dir), &arguments), |_| ()).await.map(drop)
    }

    /// Whether everything reachable from commit `old` is reachable from `new` too.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)), such as an object that is no commit.
    pub async fn is_ancestor(&self, dir: &Path, old: Oid, new: Oid) -> Result<bool, Failure> {
        let (old, new) = (old.to_string(), new.to_string());
        let arguments = ["merge-base", "--is-ancestor", &old, &new].map(OsStr::new);
        let what = "cannot compare two commits";
        let finished = self.run(self.call(what, Some(dir), &arguments), |_| ()).await?;
        match finished.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(failure_of(what, &finished)),
        }
    }

    /// Those of the commits `old` that none of `new` reaches.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)).
    pub async fn unreachable(&self, dir: &Path, old: &[Oid], new: &[Oid]) -> Result<Vec<Oid>, Failure> {
        let mut input: Vec<u8> = old.iter().flat_map(|oid| format!("{oid}\n").into_bytes()).collect();
        input.extend(new.iter().flat_map(|oid| format!("^{oid}\n").into_bytes()));
        let what = "cannot compare the old commits with the new ones";
        let call = Call { input, ..self.call(what, Some(dir), &["rev-list", "--stdin"].map(OsStr::new)) };
        let finished = self.succeed(call, |_| ()).await?;
        let lost: std::collections::HashSet<Oid> = finished.stdout.lines().filter_map(Oid::parse).collect();
        Ok(old.iter().copied().filter(|oid| lost.contains(oid)).collect())
    }

    /// Checks that every object that the refs of `dir` reach is there, and reads each to its last byte.
    ///
    /// Objects that were made wrong long ago and arrived so (a commit without a date) are no damage.
    ///
    /// # Errors
    /// `corrupt`, or what else stood in the way.
    pub async fn check_objects(&self, dir: &Path) -> Result<(), Failure> {
        let arguments = ["fsck", "--full", "--no-dangling", "--progress"].map(OsStr::new);
        let what = "cannot check the mirror's objects";
        let finished = self.run(self.call(what, Some(dir), &arguments), |_| ()).await?;
        if finished.status.success() {
            return Ok(());
        }
        let failure = failure_of(what, &finished);
        match (failure.reason(), finished.status.code()) {
            // 1 is ERROR_OBJECT (builtin/fsck.c) alone, which faults of old share with objects that cannot be read; the
            // other bits are missing objects, broken packs and broken refs.
            (Reason::Unknown, Some(1)) => Ok(()),
            (Reason::Unknown | Reason::Corrupt, _) => {
                let message = "the mirror's objects are damaged".to_owned();
                Err(failure.with_reason(Reason::Corrupt).with_message(message))
            }
            _ => Err(failure),
        }
    }

    /// The value of `key` in the configuration file `file` alone; `None` when it is not set.
    ///
    /// # Errors
    /// A file that git cannot read.
    pub async fn config_value(&self, file: &Path, key: &str) -> Result<Option<String>, Failure> {
        let arguments =
            [OsStr::new("config"), OsStr::new("--file"), file.as_os_str(), OsStr::new("--get"), OsStr::new(key)];
        let what = "cannot read a repository's configuration";
        let finished = self.run(self.call(what, None, &arguments), |_| ()).await?;
        match finished.status.code() {
            Some(0) => Ok(Some(String::from_utf8_lossy(&finished.stdout).trim_end_matches('\n').to_owned())),
            Some(1) => Ok(None),
            _ => Err(failure_of(what, &finished)),
        }
    }

    /// All keys of the configuration file `file` with their values, in its order; one that has none is left out.
    ///
    /// # Errors
    /// A file that git cannot read.
    pub async fn config_entries(&self, file: &Path) -> Result<Vec<(String, String)>, Failure> {
        let list = [OsStr::new("--list"), OsStr::new("-z")];
        let arguments = [&[OsStr::new("config"), OsStr::new("--file"), file.as_os_str()], &list[..]].concat();
        let call = self.call("cannot read a repository's configuration", None, &arguments);
        let finished = self.succeed(call, |_| ()).await?;
        let text = String::from_utf8_lossy(&finished.stdout).into_owned();
        let entry = |entry: &str| entry.split_once('\n').map(|(key, value)| (key.to_owned(), value.to_owned()));
        Ok(text.split('\0').filter_map(entry).collect())
    }

    /// Sets `key` in the configuration file `file`, or takes it out.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)).
    pub async fn set_config(&self, file: &Path, key: &str, value: Option<&str>) -> Result<(), Failure> {
        let mut arguments = vec![OsStr::new("config"), OsStr::new("--file"), file.as_os_str()];
        match value {
            Some(value) => arguments.extend([OsStr::new("--replace-all"), OsStr::new(key), OsStr::new(value)]),
            None => arguments.extend([OsStr::new("--unset-all"), OsStr::new(key)]),
        }
        let what = "cannot change a repository's configuration";
        let finished = self.run(self.call(what, None, &arguments), |_| ()).await?;
        match finished.status.code() {
            // 5: there was nothing to take out (git-config(1)).
            Some(0 | 5) => Ok(()),
            _ => Err(failure_of(what, &finished)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::git::{Resources, Settings};

    #[tokio::test]
    async fn nothing_but_refs_is_moved() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            environment: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
            secrets: Vec::new(),
            askpass: "/nonexistent".into(),
            idle: Duration::from_secs(60),
            total: None,
            resources: Resources::default(),
            stop: CancellationToken::new(),
            transport: crate::git::GitTransport::Git,
        };
        let git = Git::find(settings).unwrap();
        let new = Oid::parse("1234567890123456789012345678901234567890".as_bytes()).unwrap();
        for name in ["shallow", "config", "HEAD", "objects/info/alternates"] {
            let edits = [RefEdit::Create { name: name.into(), new }];
            let failure = git.move_refs(folder.path(), &edits).await.unwrap_err();
            assert_eq!((failure.reason(), failure.message().contains(name)), (Reason::Held, true), "{failure}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
