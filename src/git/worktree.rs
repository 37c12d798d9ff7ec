//! Git's verbs for working trees: clone one beside a mirror, look for edits, move it to another commit.
//!
//! What is checked out comes from strangers. No hook runs (the door sees to that), no submodule is entered, and no
//! filter: a tree shows what the repository holds, pointers to large files included.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use bstr::{BStr, BString, ByteSlice};

use super::refs::{Oid, RefMap};
use super::{Call, Git, failure_of, joined};
use crate::base::failure::{Failure, Reason};

/// How the other end of a fetch from a mirror is started. It drops the settings that git was given by `-c`
/// (`prepare_other_repo_env`), and the mirror may have another owner; `*` is this one process's, which opens just one.
const UPLOAD_PACK: &str = "--upload-pack=git -c 'safe.directory=*' upload-pack";

/// A working tree whose repository is its folder `.git`.
#[derive(Debug, Clone)]
pub struct WorkTree {
    dir: PathBuf,
    git_dir: PathBuf,
    /// Filters that somebody's configuration defines, each of which is switched off.
    filters: Vec<BString>,
}

impl WorkTree {
    /// Its top folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its repository.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }
}

/// How a path differs between two trees, or between a tree and the files on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathChange {
    Added,
    Deleted,
    /// Another kind of thing: a file that became a link, a submodule that became a file.
    Retyped,
    Modified,
}

impl Git {
    /// Opens the working tree `dir`, reading which filters the configuration defines.
    ///
    /// # Errors
    /// A configuration that git cannot read.
    pub async fn open_tree(&self, dir: &Path) -> Result<WorkTree, Failure> {
        // The files are named from within the tree, so the way to it must not depend on where we stand.
        let dir = std::path::absolute(dir)
            .map_err(|error| Failure::local(format!("cannot tell where {} is", dir.display()), &error))?;
        let mut tree = WorkTree { git_dir: dir.join(".git"), dir, filters: Vec::new() };
        let mut call = self.in_tree(&tree, "cannot read the configuration of the checkout");
        call.command.args(["config", "--null", "--name-only", "--get-regexp", r"^filter\."]);
        let what = call.what;
        let finished = self.run(call, |_| ()).await?;
        match finished.status.code() {
            Some(0) => tree.filters = filter_names(&finished.stdout),
            // None is set (git-config(1)).
            Some(1) => {}
            _ => return Err(failure_of(what, &finished)),
        }
        Ok(tree)
    }

    /// A call in `tree`: the shared settings and those that keep the files what the repository holds.
    fn in_tree<'a>(&self, tree: &WorkTree, what: &'a str) -> Call<'a> {
        let mut command = self.command(Some(&tree.git_dir));
        command.arg("--work-tree").arg(&tree.dir).current_dir(&tree.dir);
        for setting in [
            // With it every file with bare line feeds would look edited.
            "core.autocrlf=false",
            "core.safecrlf=false",
            // One file at a time, so that a kill leaves at most one half written.
            "checkout.workers=1",
            "status.showUntrackedFiles=no",
        ] {
            command.args(["-c", setting]);
        }
        // A filter runs a program for each file, may want the network, and fails the checkout where it is `required`.
        let switches = [("smudge", ""), ("clean", ""), ("process", ""), ("required", "false")];
        let mut count = 0;
        for name in &tree.filters {
            for (key, value) in switches {
                // By environment: a filter's name may have `=` in it.
                let key = [b"filter.", name.as_slice(), b".", key.as_bytes()].concat();
                command.env(format!("GIT_CONFIG_KEY_{count}"), OsString::from_vec(key));
                command.env(format!("GIT_CONFIG_VALUE_{count}"), value);
                count += 1;
            }
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        Call { what, command, remote: None, input: Vec::new() }
    }

    /// The refs of the repository `dir` below each of `prefixes`, without symbolic ones; their objects are not opened.
    ///
    /// # Errors
    /// `corrupt` when a ref is broken, or what else git says.
    pub async fn refs_below(&self, dir: &Path, prefixes: &[&str]) -> Result<RefMap, Failure> {
        let what = "cannot read the refs";
        let mut command = self.command(Some(dir));
        command.args(["for-each-ref", "--format=%(objectname) %(refname) %(symref)", "--"]).args(prefixes);
        let finished = self.succeed(Call { what, command, remote: None, input: Vec::new() }, |_| ()).await?;
        let broken = |line: &str| Failure::new(Reason::Corrupt, what).with_evidence(line);
        if let Some(line) = finished.stderr.lines().find(|line| line.contains("ignoring broken ref")) {
            return Err(broken(line));
        }
        let mut refs = RefMap::new();
        for line in finished.stdout.lines() {
            let mut parts = line.splitn_str(3, " ");
            let (Some(oid), Some(name), Some(symref)) = (parts.next(), parts.next(), parts.next()) else {
                return Err(broken(&line.to_str_lossy()));
            };
            let oid = Oid::parse(oid).ok_or_else(|| broken(&line.to_str_lossy()))?;
            if symref.is_empty() {
                refs.insert(name.into(), oid);
            }
        }
        Ok(refs)
    }

    /// Clones the mirror at the absolute path `mirror` into `into` and checks nothing out yet.
    ///
    /// Objects are shared by hard links where the file system has them: a checkout is no backup.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)). Nothing usable is left in `into` then.
    pub async fn clone_tree(&self, mirror: &Path, into: &Path) -> Result<(), Failure> {
        let mut command = self.command(None);
        command.arg("-c").arg(joined("safe.directory=", mirror)).args([
            "-c",
            "protocol.file.allow=always",
            "-c",
            "clone.rejectShallow=false",
        ]);
        command.args(["clone", "--no-checkout", "--template=", UPLOAD_PACK, "--progress", "--"]).arg(mirror).arg(into);
        let call = Call { what: "cannot clone the mirror", command, remote: None, input: Vec::new() };
        self.succeed(call, |_| ()).await?;
        // It would be in the way of a branch called HEAD, and name nothing once the default branch is renamed.
        let head = into.join(".git/refs/remotes/origin/HEAD");
        match fs::remove_file(&head) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::local(format!("cannot remove {}", head.display()), &error))
            }
            _ => Ok(()),
        }
    }

    /// Brings `refs/remotes/origin/*` of `tree` up to the branches of the mirror at the absolute path `mirror`.
    ///
    /// Tags that are new come along; no branch, no file and no `FETCH_HEAD` of the tree's is touched.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)).
    pub async fn fetch_branches(&self, tree: &WorkTree, mirror: &Path) -> Result<(), Failure> {
        let mut call = self.in_tree(tree, "cannot fetch from the mirror");
        call.command
            .args(["-c", "protocol.file.allow=always", "fetch", "--prune", "--no-write-fetch-head", "--progress"])
            .args(["--no-auto-maintenance", UPLOAD_PACK, "--"])
            .arg(mirror)
            .arg("+refs/heads/*:refs/remotes/origin/*");
        self.succeed(call, |_| ()).await.map(drop)
    }

    /// The tracked paths of `tree` that differ from HEAD, staged or not.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)), such as a damaged index.
    pub async fn edited_paths(&self, tree: &WorkTree) -> Result<Vec<BString>, Failure> {
        let mut call = self.in_tree(tree, "cannot look for edited files");
        call.command.args(["status", "--porcelain", "-z", "--untracked-files=no", "--no-renames"]);
        call.command.arg("--ignore-submodules=all");
        let finished = self.succeed(call, |_| ()).await?;
        // `XY <path>`, gitformat of git-status(1).
        Ok(fields(&finished.stdout).filter_map(|field| field.get(3..)).map(BString::from).collect())
    }

    /// Whether `tips` reach a commit that neither `known` nor the branches of `origin` reach.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)).
    pub async fn has_own_commits(&self, tree: &WorkTree, tips: &[Oid], known: &[Oid]) -> Result<bool, Failure> {
        let mut call = self.in_tree(tree, "cannot compare the checkout's commits with the mirror's");
        call.command.args(["rev-list", "--max-count=1"]).args(tips.iter().map(Oid::to_string));
        call.command.args(["--not", "--remotes=origin"]).args(known.iter().map(Oid::to_string));
        Ok(!self.succeed(call, |_| ()).await?.stdout.is_empty())
    }

    /// How the paths of commit `new` differ from those of `old`; renames are a deletion and an addition.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)).
    pub async fn changes_between(
        &self,
        tree: &WorkTree,
        old: Oid,
        new: Oid,
    ) -> Result<Vec<(PathChange, BString)>, Failure> {
        let mut call = self.in_tree(tree, "cannot compare two commits");
        call.command.args(["diff-tree", "-r", "-z", "--name-status", "--no-renames"]);
        call.command.args([old.to_string(), new.to_string()]);
        Ok(name_status(&self.succeed(call, |_| ()).await?.stdout))
    }

    /// How the files of `tree` differ from commit `commit`, whatever the index says; `index` is a file to work with.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)).
    pub async fn changes_since(
        &self,
        tree: &WorkTree,
        commit: Oid,
        index: &Path,
    ) -> Result<Vec<(PathChange, BString)>, Failure> {
        let what = "cannot compare the files with a commit";
        let mut call = self.in_tree(tree, what);
        call.command.env("GIT_INDEX_FILE", index).args(["read-tree", &commit.to_string()]);
        self.succeed(call, |_| ()).await?;
        let mut call = self.in_tree(tree, what);
        call.command.env("GIT_INDEX_FILE", index).args(["diff", "-z", "--name-status", "--no-renames"]);
        call.command.args(["--no-ext-diff", "--no-textconv", "--ignore-submodules=all"]);
        Ok(name_status(&self.succeed(call, |_| ()).await?.stdout))
    }

    /// The content of the file `path` in `commit`; `None` when it is no file there.
    ///
    /// # Errors
    /// Failures to run git; whatever git itself says means that there is no such file.
    pub async fn file_in(&self, tree: &WorkTree, commit: Oid, path: &BStr) -> Result<Option<Vec<u8>>, Failure> {
        let mut call = self.in_tree(tree, "cannot read a file of a commit");
        let mut name = format!("{commit}:").into_bytes();
        name.extend_from_slice(path);
        call.command.args(["cat-file", "blob"]).arg(OsStr::from_bytes(&name));
        let finished = self.run(call, |_| ()).await?;
        Ok(finished.status.success().then_some(finished.stdout))
    }

    /// Moves the index and the files of `tree` from commit `old` to `new`, keeping what was edited.
    ///
    /// # Errors
    /// `held` when an edit or an untracked (not an ignored) file is in the way, and nothing was touched; else some
    /// files may have been written.
    pub async fn move_files(&self, tree: &WorkTree, old: Oid, new: Oid) -> Result<(), Failure> {
        // Files that were merely touched would pass for edited. It exits with 1 when some are not up to date.
        let mut call = self.in_tree(tree, "cannot refresh the index");
        call.command.args(["update-index", "-q", "--refresh"]);
        self.run(call, |_| ()).await?;
        let mut call = self.in_tree(tree, "cannot check out the default branch");
        call.command.args(["read-tree", "-v", "-m", "-u", &old.to_string(), &new.to_string()]);
        self.check_out(call).await
    }

    /// Makes the index and the tracked files of `tree` those of commit `new`, overwriting whatever is in the way.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)); some files may have been written.
    pub async fn overwrite_files(&self, tree: &WorkTree, new: Oid) -> Result<(), Failure> {
        let mut call = self.in_tree(tree, "cannot check out the default branch");
        call.command.args(["read-tree", "-v", "--reset", "-u", &new.to_string()]);
        self.check_out(call).await
    }

    async fn check_out(&self, call: Call<'_>) -> Result<(), Failure> {
        let what = call.what;
        let finished = self.run(call, |_| ()).await?;
        if finished.status.success() {
            return Ok(());
        }
        let line_with =
            |parts: &[&str]| finished.stderr.lines().find(|line| parts.iter().any(|part| line.contains(part)));
        // read-tree's own words (unpack_plumbing_errors): it looks at everything before it touches anything.
        let refusals =
            ["would be overwritten by merge", "would be removed by merge", "not uptodate", "would lose untracked"];
        if let Some(line) = line_with(&refusals) {
            return Err(Failure::new(Reason::Held, what).with_evidence(line));
        }
        let failure = failure_of(what, &finished);
        Err(match failure.reason() {
            // A path that this file system does not take: `error: unable to create file <path>: File name too long`.
            Reason::Unknown => {
                let line = line_with(&["error: ", "fatal: "]).map(str::to_owned);
                let evidence = line.or_else(|| failure.evidence().map(str::to_owned)).unwrap_or_default();
                failure.with_reason(Reason::LocalFailed).with_evidence(evidence)
            }
            _ => failure,
        })
    }

    /// Lets `git pull` on `branch` (a full name) of `tree` take from `origin`.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)).
    pub async fn track(&self, tree: &WorkTree, branch: &BStr) -> Result<(), Failure> {
        let short = branch.strip_prefix(b"refs/heads/").unwrap_or(branch);
        for (key, value) in [("remote", "origin".as_bytes()), ("merge", branch.as_bytes())] {
            let mut call = self.in_tree(tree, "cannot configure the branch of the checkout");
            let key = [b"branch.", short, b".", key.as_bytes()].concat();
            call.command.args(["config", "--replace-all"]).arg(OsStr::from_bytes(&key)).arg(OsStr::from_bytes(value));
            self.succeed(call, |_| ()).await?;
        }
        Ok(())
    }
}

fn fields(output: &[u8]) -> impl Iterator<Item = &[u8]> {
    output.split(|byte| *byte == 0).filter(|field| !field.is_empty())
}

/// Reads `--name-status -z`: a letter and a path in turn.
fn name_status(output: &[u8]) -> Vec<(PathChange, BString)> {
    let mut fields = fields(output);
    let mut changes = Vec::new();
    while let (Some(letter), Some(path)) = (fields.next(), fields.next()) {
        let change = match letter {
            b"A" => PathChange::Added,
            b"D" => PathChange::Deleted,
            b"T" => PathChange::Retyped,
            _ => PathChange::Modified,
        };
        changes.push((change, path.into()));
    }
    changes
}

/// The filters in a list of configuration keys: `filter.lfs.smudge` is about `lfs`.
fn filter_names(keys: &[u8]) -> Vec<BString> {
    let mut names: Vec<BString> = fields(keys)
        .filter_map(|key| key.strip_prefix(b"filter.").and_then(|rest| rest.rsplit_once_str(".")))
        .map(|(name, _)| name.into())
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_configured_filter_is_named_once() {
        let keys = b"filter.lfs.smudge\0filter.lfs.required\0filter.a.b=c.clean\0";
        assert_eq!(filter_names(keys), ["a.b=c", "lfs"]);
    }

    #[test]
    fn a_path_with_a_line_feed_is_one_path() {
        let changes = name_status(b"A\0a\nb\0D\0D\0T\0c\0U\0d\0");
        let expected = [
            (PathChange::Added, "a\nb"),
            (PathChange::Deleted, "D"),
            (PathChange::Retyped, "c"),
            (PathChange::Modified, "d"),
        ];
        assert_eq!(changes, expected.map(|(change, path)| (change, BString::from(path))));
    }
}
