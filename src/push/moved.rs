//! A place that changed because the source was renamed or moved, or the configuration was: the copy follows where that
//! can be done, and an old one that stays behind is named until someone removes it.

use std::fs;

use super::open::{Opened, Place};
use crate::base::failure::Reason;
use crate::base::url::RemoteUrl;
use crate::mirror::tools::Tools;
use crate::model::RepoPath;

/// What came of a place that changed.
#[derive(Debug, Default)]
pub(super) struct Moved {
    /// Where old copies are, as far as is known.
    pub former: Vec<String>,
    pub notes: Vec<String>,
}

/// What came of a rename.
enum Renamed {
    Done,
    /// It would be tried, if this were no dry run.
    Planned,
    /// The old copy stays where it is; the reason, where there is one to report.
    Not(Option<String>),
}

/// Lets the copy follow to `place`. `old` is where it was last, `former` are older places, and `taken` says whether a place
/// is another repository's by now.
pub(super) async fn follow(
    opened: &Opened,
    place: &Place,
    old: Option<&str>,
    former: &[String],
    taken: impl Fn(&str) -> bool,
    (dry_run, tools): (bool, &Tools),
) -> Moved {
    let mut moved = Moved { former: former.to_vec(), notes: Vec::new() };
    if let Some(old) = old {
        match rename(opened, old, place, dry_run).await {
            Renamed::Done => moved.notes.push(format!("was renamed there from {old} to {place}.")),
            Renamed::Planned => {
                moved.notes.push(format!("would be renamed there from {old} to {place}, if that is free."))
            }
            Renamed::Not(why) => {
                moved.former.push(old.to_owned());
                moved.notes.extend(why);
            }
        }
    }
    let here = place.to_string();
    moved.former.retain(|former| *former != here && !taken(former));
    moved.former.sort();
    moved.former.dedup();
    let mut left = Vec::new();
    for former in std::mem::take(&mut moved.former) {
        if is_there(opened, &former, tools).await {
            moved.notes.push(format!("an old copy is left at {former}, which is not updated: remove it there."));
            left.push(former);
        }
    }
    moved.former = left;
    moved
}

async fn rename(opened: &Opened, old: &str, place: &Place, dry_run: bool) -> Renamed {
    match (place, &opened.forge) {
        (Place::Path(new), Some(forge)) => {
            let Ok(old) = RepoPath::parse(old) else { return Renamed::Not(None) };
            if !old.namespace().eq_ignore_ascii_case(&new.namespace()) || !opened.config.create {
                return Renamed::Not(None);
            }
            if dry_run {
                return Renamed::Planned;
            }
            let failed = |failure| Renamed::Not(Some(format!("{old} could not be renamed there to {new}: {failure}.")));
            // Only a clear "it does not exist" means that the new name is free.
            match forge.find(new).await {
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => return Renamed::Not(None),
            }
            let target = match forge.find(&old).await {
                Ok(Some(target)) => target,
                Ok(None) => return Renamed::Not(None),
                Err(failure) => return failed(failure),
            };
            match forge.rename(&target, new).await {
                Ok(_) => Renamed::Done,
                Err(failure) => failed(failure),
            }
        }
        (Place::Url(_), _) => {
            let was = RemoteUrl::parse(old).ok().map(Place::Url);
            let dirs = was.and_then(|was| Some((opened.directory(&was)?, opened.directory(place)?)));
            let Some((from, to)) = dirs.filter(|(from, to)| from.is_dir() && !to.exists()) else {
                return Renamed::Not(None);
            };
            if dry_run {
                return Renamed::Planned;
            }
            let made = to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::rename(&from, &to));
            match made {
                Ok(()) => Renamed::Done,
                Err(error) => Renamed::Not(Some(format!("{old} could not be renamed to {place}: {error}."))),
            }
        }
        (Place::Path(_), None) => Renamed::Not(None),
    }
}

/// Whether a repository is at an old place. Whatever leaves the question open counts as yes.
async fn is_there(opened: &Opened, former: &str, tools: &Tools) -> bool {
    if let Some(forge) = &opened.forge {
        let Ok(path) = RepoPath::parse(former) else { return false };
        return match forge.find(&path).await {
            Ok(found) => found.is_some(),
            // It answers under another name: somebody has renamed it.
            Err(failure) => failure.reason() != Reason::Held,
        };
    }
    let Ok(url) = RemoteUrl::parse(former) else { return false };
    if let Some(dir) = opened.directory(&Place::Url(url.clone())) {
        return dir.exists();
    }
    match tools.git.ls_remote(&opened.remote(&url)).await {
        Ok(_) => true,
        Err(failure) => failure.reason() != Reason::RemoteNotFound,
    }
}
