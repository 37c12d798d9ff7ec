//! What is the user's in a tree and what is ours: operations begun, files that a move would overwrite, and what an
//! interrupted move left behind.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};

use crate::base::failure::Failure;
use crate::git::refs::Oid;
use crate::git::{Git, PathChange, WorkTree};

/// The files by which git itself knows what it is in the middle of (`wt_status_get_state`).
const OPERATIONS: &[(&str, &str)] = &[
    ("MERGE_HEAD", "merge"),
    ("rebase-merge", "rebase"),
    ("rebase-apply", "rebase"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
    ("sequencer", "cherry-pick or revert"),
    ("BISECT_LOG", "bisect"),
];

/// A file is written from its start, so one that a kill cut off holds the beginning of its new content. Only so many
/// are compared: git writes one at a time.
const CUT_OFF: usize = 8;

/// The operation that somebody has begun in a repository and not ended.
pub(super) fn operation(git_dir: &Path) -> Option<&'static str> {
    OPERATIONS.iter().find(|(file, _)| git_dir.join(file).exists()).map(|(_, name)| *name)
}

/// The first thing in `root` that `changes` would overwrite although git does not track it.
///
/// Git refuses to overwrite untracked files, and takes ignored ones for expendable: a `.env` is not.
///
/// # Errors
/// A local failure of looking.
pub(super) fn in_the_way(
    root: &Path,
    changes: &[(PathChange, BString)],
    folds_case: bool,
) -> Result<Option<BString>, Failure> {
    let folded = |path: &[u8]| if folds_case { path.to_str_lossy().to_lowercase().into_bytes() } else { path.to_vec() };
    let going = |path: &&(PathChange, BString)| matches!(path.0, PathChange::Deleted | PathChange::Retyped);
    let going: BTreeSet<_> = changes.iter().filter(going).map(|(_, path)| folded(path)).collect();
    for (_, path) in changes.iter().filter(|(change, _)| matches!(change, PathChange::Added | PathChange::Retyped)) {
        let ends = path.find_iter(b"/").chain([path.len()]);
        for end in ends {
            let part = &path[..end];
            let place = root.join(OsStr::from_bytes(part));
            match fs::symlink_metadata(&place) {
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                // Nothing can lie at a name that the file system does not take; git will say so.
                Err(error) if error.kind() == ErrorKind::InvalidFilename => break,
                Err(error) => return Err(Failure::local(format!("cannot look at {}", place.display()), &error)),
                Ok(data) if data.is_dir() && end < path.len() => {}
                Ok(data) if data.is_dir() => {
                    if let Some(file) = untracked_below(root, part, &|path| going.contains(&folded(path)))? {
                        return Ok(Some(file));
                    }
                }
                Ok(_) if going.contains(&folded(part)) => break,
                Ok(_) => return Ok(Some(part.into())),
            }
        }
    }
    Ok(None)
}

/// A file below the directory `top` of `root` that is not `going`.
fn untracked_below(root: &Path, top: &[u8], going: &dyn Fn(&[u8]) -> bool) -> Result<Option<BString>, Failure> {
    let mut folders = vec![PathBuf::from(OsStr::from_bytes(top))];
    while let Some(folder) = folders.pop() {
        let broken = |error| Failure::local(format!("cannot read {}", root.join(&folder).display()), &error);
        for entry in fs::read_dir(root.join(&folder)).map_err(broken)? {
            let entry = entry.map_err(broken)?;
            let path = folder.join(entry.file_name());
            if entry.file_type().map_err(broken)?.is_dir() {
                folders.push(path);
            } else if !going(path.as_os_str().as_bytes()) {
                return Ok(Some(path.as_os_str().as_bytes().into()));
            }
        }
    }
    Ok(None)
}

/// What an interrupted move left behind.
pub(super) struct Interrupted {
    /// A file that holds neither what the old nor what the new commit has there, nor the beginning of the latter:
    /// somebody edited it since.
    pub edited: Option<BString>,
    /// The paths that only the new commit has.
    pub added: Vec<BString>,
}

/// Looks at what a move of `tree` from `old` to `new` left behind; `folder` is for temporary files.
///
/// # Errors
/// A command of git fails ([the reasons](crate::git#failures)); `local_failed` for what cannot be read.
pub(super) async fn look(
    git: &Git,
    tree: &WorkTree,
    old: Oid,
    new: Oid,
    folder: &Path,
) -> Result<Interrupted, Failure> {
    let since_new = git.changes_since(tree, new, &folder.join("new")).await?;
    let since_old = git.changes_since(tree, old, &folder.join("old")).await?;
    let between = git.changes_between(tree, old, new).await?;
    let only = |wanted: PathChange| between.iter().filter(move |(change, _)| *change == wanted).map(|(_, path)| path);
    let unlike_old = present(&since_old);
    let added: Vec<_> = only(PathChange::Added).cloned().collect();
    let mut found = Interrupted { edited: None, added };
    found.edited = only(PathChange::Deleted).find(|path| unlike_old.contains(path)).cloned();
    let is_new: BTreeSet<_> = found.added.iter().collect();
    let unlike_new = present(&since_new);
    let unlike_both = unlike_new.into_iter().filter(|path| unlike_old.contains(path) || is_new.contains(path));
    for (number, path) in unlike_both.enumerate() {
        if found.edited.is_none() && (number >= CUT_OFF || !is_cut_off(git, tree, new, path).await?) {
            found.edited = Some(path.clone());
        }
    }
    Ok(found)
}

/// The paths in `changes` at which there is something.
fn present(changes: &[(PathChange, BString)]) -> BTreeSet<&BString> {
    changes.iter().filter(|(change, _)| *change != PathChange::Deleted).map(|(_, path)| path).collect()
}

/// Removes the files `paths` below `root`, and the folders that are empty then.
///
/// # Errors
/// A local failure naming the file.
pub(super) fn remove(root: &Path, paths: &[BString]) -> Result<(), Failure> {
    for path in paths {
        let path = Path::new(OsStr::from_bytes(path));
        let place = root.join(path);
        match fs::remove_file(&place) {
            // The folder of a submodule, or a file that was never written: not there, in no folder, or not possible.
            Err(error) if place.symlink_metadata().is_ok_and(|data| !data.is_dir()) => {
                return Err(Failure::local(format!("cannot remove {}", place.display()), &error));
            }
            _ => {}
        }
        for folder in path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
            // It fails on the first one that is still in use, and that is the end of it.
            if fs::remove_dir(root.join(folder)).is_err() {
                break;
            }
        }
    }
    Ok(())
}

async fn is_cut_off(git: &Git, tree: &WorkTree, new: Oid, path: &BString) -> Result<bool, Failure> {
    let place = tree.dir().join(OsStr::from_bytes(path));
    if !place.symlink_metadata().is_ok_and(|data| data.is_file()) {
        return Ok(false);
    }
    let have = fs::read(&place).map_err(|error| Failure::local(format!("cannot read {}", place.display()), &error))?;
    let whole = git.file_in(tree, new, path.as_bstr()).await?;
    Ok(whole.is_some_and(|whole| whole.starts_with(&have)))
}
