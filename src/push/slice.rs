//! A push that is too large in one piece: pushed along its history, in pieces small enough.

use std::path::Path;

use bstr::{BString, ByteSlice};

use crate::base::failure::{Failure, Reason};
use crate::git::refs::{Oid, is_branch};
use crate::git::{Git, Progress, PushEdit, Pushed, Remote};

/// Pushes `edits` one by one, and a branch that is still too large commit by commit along its first parents, in steps
/// that halve until they fit.
///
/// Returns beside the result the refs of which one commit alone is too large, where others are pushed with them.
///
/// # Errors
/// `too_large` when the only ref is; whatever else keeps the destination from answering.
pub(super) async fn push(
    git: &Git,
    mirror: &Path,
    remote: &Remote,
    edits: &[PushEdit],
    whole: Failure,
    progress: Progress<'_>,
) -> Result<(Pushed, Vec<(BString, Failure)>), Failure> {
    let (mut all, mut too_large) = (Pushed::default(), Vec::new());
    for edit in edits {
        let done = match edits.len() {
            1 => Err(whole.clone()),
            _ => git.push(mirror, remote, std::slice::from_ref(edit), progress).await,
        };
        let done = match done {
            Err(failure) if failure.reason() == Reason::TooLarge => {
                match sliced(git, mirror, remote, edit, failure, progress).await {
                    Err(failure) if failure.reason() == Reason::TooLarge && edits.len() > 1 => {
                        too_large.push((edit.name.clone(), failure));
                        continue;
                    }
                    result => result?,
                }
            }
            result => result?,
        };
        all.results.extend(done.results);
        all.stderr.push_str(&done.stderr);
    }
    Ok((all, too_large))
}

async fn sliced(
    git: &Git,
    mirror: &Path,
    remote: &Remote,
    edit: &PushEdit,
    whole: Failure,
    progress: Progress<'_>,
) -> Result<Pushed, Failure> {
    let Some(tip) = edit.new.filter(|_| is_branch(edit.name.as_bstr())) else { return Err(whole) };
    let history = git.first_parents(mirror, tip, edit.seen).await?;
    let mut at: Option<Oid> = edit.seen;
    let mut done = 0;
    let mut step = (history.len() / 2).max(1);
    let mut last = Pushed::default();
    while done < history.len() {
        let next = (done + step).min(history.len());
        let piece = PushEdit { name: edit.name.clone(), seen: at, new: Some(history[next - 1]) };
        match git.push(mirror, remote, std::slice::from_ref(&piece), progress).await {
            Ok(pushed) => {
                if pushed.results.iter().any(|(_, result)| *result != crate::git::RefResult::Accepted) {
                    return Ok(pushed);
                }
                (at, done, last) = (piece.new, next, pushed);
            }
            Err(failure) if failure.reason() == Reason::TooLarge && step > 1 => step /= 2,
            Err(failure) => return Err(failure),
        }
    }
    Ok(last)
}
