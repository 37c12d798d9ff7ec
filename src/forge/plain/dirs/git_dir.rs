//! What makes a directory a repository, and where its objects and refs are.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::base::failure::{Failure, Reason};
use crate::forge::plain::dirs::shown_path;

/// How a directory is a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// It has a `.git` directory.
    WorkingTree,
    Bare,
    /// Its `.git` is a file that names the directory: a submodule, or made with `--separate-git-dir`.
    Elsewhere,
    /// As `Elsewhere`, and the directory named shares the store of another working tree; or that directory itself.
    Linked,
}

/// The git directory of a repository.
#[derive(Debug)]
pub(super) struct GitDir {
    pub(super) kind: Kind,
    /// Where the objects and refs are, all symbolic links resolved.
    pub(super) store: PathBuf,
}

impl GitDir {
    /// What makes `dir` a repository; `None` when it is none.
    ///
    /// # Errors
    /// A `.git` file that leads nowhere, or something unreadable.
    pub(super) fn of(dir: &Path) -> Result<Option<Self>, Failure> {
        let failed = |error: io::Error| Failure::local(format!("cannot look into {}", shown_path(dir)), &error);
        let dot_git = dir.join(".git");
        match if_there(fs::metadata(&dot_git)).map_err(failed)? {
            Some(meta) if meta.is_dir() => {
                let store = fs::canonicalize(&dot_git).map_err(failed)?;
                return Ok(Some(GitDir { kind: Kind::WorkingTree, store }));
            }
            Some(_) => return GitDir::named_by(&dot_git).map(Some),
            None => {}
        }
        // What git itself looks for (`is_git_directory` in setup.c); HEAD may be a dangling symbolic link.
        let head = if_there(fs::symlink_metadata(dir.join("HEAD"))).map_err(failed)?;
        let is_dir = |name| if_there(fs::metadata(dir.join(name))).map(|meta| meta.is_some_and(|meta| meta.is_dir()));
        if head.is_some() && is_dir("objects").map_err(failed)? && is_dir("refs").map_err(failed)? {
            let store = fs::canonicalize(dir).map_err(failed)?;
            return Ok(Some(GitDir { kind: Kind::Bare, store }));
        }
        if head.is_some()
            && let Some(common) = common_dir(dir).map_err(failed)?
        {
            return Ok(Some(GitDir { kind: Kind::Linked, store: common }));
        }
        Ok(None)
    }

    /// The linked worktrees (as their directories within the store) whose HEAD is a commit that no branch or tag names.
    pub(super) fn lone_heads(&self) -> Vec<PathBuf> {
        let folders = directories(&self.store.join("worktrees"));
        let is_lone = |folder: &PathBuf| {
            let Ok(head) = fs::read_to_string(folder.join("HEAD")) else { return false };
            is_object_id(head.trim()) && !names_a_tip(&self.store, head.trim())
        };
        folders.into_iter().filter(is_lone).collect()
    }

    /// The stores of submodules within this one, with the names that git gave them.
    pub(super) fn modules(&self) -> Vec<(PathBuf, PathBuf)> {
        let root = self.store.join("modules");
        let mut found = Vec::new();
        let mut open = directories(&root);
        while let Some(folder) = open.pop() {
            match GitDir::of(&folder) {
                Ok(Some(_)) => {
                    let name = folder.strip_prefix(&root).map(Path::to_owned).unwrap_or_default();
                    found.push((folder, name));
                }
                Ok(None) => open.extend(directories(&folder)),
                Err(failure) => tracing::debug!("{failure}"),
            }
        }
        found
    }

    /// Follows a `.git` file (gitrepository-layout: `gitdir: <path>`, and `commondir` in a linked worktree's directory).
    fn named_by(file: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::local(format!("{} leads nowhere", shown_path(file)), &error);
        let text = fs::read_to_string(file).map_err(failed)?;
        let target = text.strip_prefix("gitdir:").map(str::trim).ok_or_else(|| {
            Failure::new(Reason::LocalFailed, format!("{} is no `.git` file of git's", shown_path(file)))
        })?;
        let store = fs::canonicalize(file.with_file_name(target)).map_err(failed)?;
        Ok(match common_dir(&store).map_err(failed)? {
            Some(store) => GitDir { kind: Kind::Linked, store },
            None => GitDir { kind: Kind::Elsewhere, store },
        })
    }
}

/// The store that a linked worktree's directory shares (`commondir` of gitrepository-layout).
fn common_dir(dir: &Path) -> io::Result<Option<PathBuf>> {
    match if_there(fs::read_to_string(dir.join("commondir")))? {
        Some(common) => fs::canonicalize(dir.join(common.trim())).map(Some),
        None => Ok(None),
    }
}

/// The directories in a directory, symbolic links left out; none where it cannot be read.
fn directories(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect();
    found.sort();
    found
}

fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a ref of the store is exactly this object. One that only lies behind a ref is not found out here.
fn names_a_tip(store: &Path, oid: &str) -> bool {
    let packed = fs::read_to_string(store.join("packed-refs")).unwrap_or_default();
    if packed.lines().any(|line| line.split(' ').next() == Some(oid)) {
        return true;
    }
    let mut open = vec![store.join("refs")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                _ if fs::read_to_string(entry.path()).is_ok_and(|text| text.trim() == oid) => return true,
                _ => {}
            }
        }
    }
    false
}

/// `None` for what is not there, or under something that is no directory.
pub(super) fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}
