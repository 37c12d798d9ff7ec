//! What is the user's in a tree: operations begun, files that a move would overwrite, edits after an interrupted move.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use bstr::{BString, ByteSlice};

use crate::failure::Failure;
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

/// The first file of `tree` that holds neither what `old` nor what `new` has there, nor the beginning of the latter:
/// after a move from the one to the other was interrupted, somebody edited it.
///
/// # Errors
/// What git says; failures of reading.
pub(super) async fn since_interrupted(
    git: &Git,
    tree: &WorkTree,
    old: Oid,
    new: Oid,
    folder: &Path,
) -> Result<Option<BString>, Failure> {
    let present = |changes: Vec<(PathChange, BString)>| -> BTreeSet<BString> {
        changes.into_iter().filter(|(change, _)| *change != PathChange::Deleted).map(|(_, path)| path).collect()
    };
    let unlike_new = present(git.changes_since(tree, new, &folder.join("new")).await?);
    let unlike_old = present(git.changes_since(tree, old, &folder.join("old")).await?);
    let between = git.changes_between(tree, old, new).await?;
    let is = |change: PathChange| move |(known, _): &&(PathChange, BString)| *known == change;
    if let Some((_, path)) = between.iter().filter(is(PathChange::Deleted)).find(|(_, path)| unlike_old.contains(path))
    {
        return Ok(Some(path.clone()));
    }
    let added: BTreeSet<_> = between.iter().filter(is(PathChange::Added)).map(|(_, path)| path).collect();
    let unlike_both = unlike_new.iter().filter(|path| unlike_old.contains(*path) || added.contains(path));
    for (number, path) in unlike_both.enumerate() {
        if number >= CUT_OFF || !is_cut_off(git, tree, new, path).await? {
            return Ok(Some(path.clone()));
        }
    }
    Ok(None)
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
