//! What a damaged mirror has and its source has not any more: kept refs, and tips that were deleted or rewritten since.
//!
//! The mirror that takes its place gets them as kept refs, as far as they can still be read. The damaged one is only
//! read, through a scratch repository with a HEAD and configuration of its own: either may be what is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use bstr::BString;

use super::decide::{Rules, Shelf};
use crate::base::failure::Failure;
use crate::base::url::RemoteUrl;
use crate::git::refs::{LocalRefs, Oid};
use crate::git::{Depth, Git, RefEdit, Remote, Wanted};

/// From this many tips on, those that cannot be had together are not tried one by one.
const SINGLY: usize = 200;

/// How many refs were saved, and how many could not be read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Salvaged {
    pub saved: usize,
    pub lost: usize,
}

/// A damaged mirror, as far as it can be looked into.
#[derive(Debug)]
pub(super) struct Wreck {
    view: PathBuf,
    pub refs: LocalRefs,
}

impl Wreck {
    /// Looks into the damaged mirror `old`; HEAD and configuration are lent by the complete clone `fresh`, and `scratch`
    /// is where a small directory may be made. `None` when it has no objects left.
    ///
    /// # Errors
    /// What keeps even its refs from being listed.
    pub async fn open(git: &Git, old: &Path, fresh: &Path, scratch: &Path) -> Result<Option<Self>, Failure> {
        let Some(view) = view(old, fresh, scratch)? else { return Ok(None) };
        let refs = git.listed_refs(&view).await?;
        Ok(Some(Wreck { view, refs }))
    }

    /// Brings what only it has into `fresh`, whose refs are `refs`.
    ///
    /// # Errors
    /// What keeps even the attempt from being made.
    pub async fn salvage(
        &self,
        git: &Git,
        (fresh, refs): (&Path, &LocalRefs),
        rules: &Rules,
    ) -> Result<Salvaged, Failure> {
        let had = &self.refs;
        let mut wanted: BTreeMap<BString, Oid> = had.kept.clone();
        if let Some(shelf) = Shelf::open(had, rules) {
            for (name, &oid) in &had.refs {
                let moved_on = match refs.refs.get(name) {
                    Some(now) => *now == oid || git.is_ancestor(fresh, oid, *now).await.unwrap_or(false),
                    None => false,
                };
                if !moved_on {
                    wanted.insert(shelf.place(name), oid);
                }
            }
        }
        let source = Remote::plain(RemoteUrl::file(&self.view));
        let tips: BTreeSet<Oid> = wanted.values().copied().collect();
        let saved = fetch(git, fresh, &source, &tips).await;
        let (saved, lost): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|(_, oid)| saved.contains(oid));
        let counts = Salvaged { saved: saved.len(), lost: lost.len() };
        let create = |(name, new)| RefEdit::Create { name, new };
        git.move_refs(fresh, &saved.into_iter().map(create).collect::<Vec<_>>()).await?;
        Ok(counts)
    }
}

/// The tips of `tips` that `fresh` has afterwards, with all that they reach.
async fn fetch(git: &Git, fresh: &Path, source: &Remote, tips: &BTreeSet<Oid>) -> BTreeSet<Oid> {
    if tips.is_empty() || git.fetch_objects(fresh, source, &wanted(tips), &mut |_, _, _| ()).await.is_ok() {
        return tips.clone();
    }
    let mut saved = BTreeSet::new();
    for tip in tips.iter().take(SINGLY) {
        let alone = BTreeSet::from([*tip]);
        if git.fetch_objects(fresh, source, &wanted(&alone), &mut |_, _, _| ()).await.is_ok() {
            saved.insert(*tip);
        }
    }
    saved
}

fn wanted(tips: &BTreeSet<Oid>) -> Wanted<'_> {
    Wanted { tips, near: &[], depth: Depth::AsIs }
}

/// A repository with the objects and refs of `old`, and HEAD and configuration of `fresh`; `None` without objects.
fn view(old: &Path, fresh: &Path, scratch: &Path) -> Result<Option<PathBuf>, Failure> {
    let view = scratch.join("damaged.git");
    let broken = |error| Failure::local(format!("cannot look into {}", old.display()), &error);
    if !old.join("objects").is_dir() {
        return Ok(None);
    }
    let old = std::path::absolute(old).map_err(broken)?;
    fs::create_dir(&view).map_err(broken)?;
    for file in ["HEAD", "config"] {
        fs::copy(fresh.join(file), view.join(file)).map_err(broken)?;
    }
    for part in ["objects", "packed-refs", "shallow"] {
        if old.join(part).exists() {
            symlink(old.join(part), view.join(part)).map_err(broken)?;
        }
    }
    match old.join("refs").is_dir() {
        true => symlink(old.join("refs"), view.join("refs")).map_err(broken)?,
        false => fs::create_dir(view.join("refs")).map_err(broken)?,
    }
    Ok(Some(view))
}
