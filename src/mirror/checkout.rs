//! A browsable working tree beside a mirror, following the mirror's default branch.
//!
//! The tree is an ordinary clone whose `origin` is the mirror, so `git log` and `git pull` work in it. It belongs to
//! the user as much as to us: whoever edited, committed or switched branches in it keeps all of that, and is told.
//!
//! Two refs of the tree's repository are ours: `refs/holocron/checkout/<branch>` is the commit that we checked out last,
//! `refs/holocron/moving/<branch>` is there while we move the tree, so that a killed run is told from somebody's edits.
//!
//! A tree that has nothing to follow costs two git processes (the refs of the mirror, the refs of the tree); its files
//! are looked at only when it has to move. Edits in a tree that is not behind are nobody's business.

mod edits;

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bstr::{BStr, BString, ByteSlice};

use super::health;
use crate::base::failure::{Failure, Reason};
use crate::git::refs::{OWN, Oid, RefMap, is_branch};
use crate::git::{Git, RefEdit, WorkTree};
use crate::mirror::storage::Storage;

/// Our refs in a tree; the rest of the name is a branch's full name.
const RECORD: &str = "refs/holocron/checkout/";
const MOVING: &str = "refs/holocron/moving/";
const REMOTE: &str = "refs/remotes/origin/";
const HEADS: &str = "refs/heads/";

/// What came of a checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checkout {
    /// It stands where the mirror's default branch stands.
    Current,
    Created,
    Updated {
        from: Oid,
        to: Oid,
    },
    /// Somebody made it theirs; why, as a clause without a period. At most its remote-tracking branches have moved.
    LeftAlone(String),
    /// There is no branch to check out (yet); why, as a clause without a period.
    Nothing(String),
}

/// Why a tree does not move.
enum Stop {
    LeftAlone(String),
    Failed(Failure),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Stop::Failed(failure)
    }
}

/// What a tree should show.
struct Wanted {
    branch: BString,
    oid: Oid,
    /// All branches of the mirror.
    heads: RefMap,
}

/// What the repository of a tree says.
struct Known {
    /// Branch and commit that we checked out last; two only after a kill.
    records: RefMap,
    moving: Option<(BString, Oid)>,
    branches: RefMap,
    /// `refs/remotes/origin/*`, by the names they have at the origin.
    remotes: RefMap,
}

impl Known {
    async fn read(git: &Git, git_dir: &Path) -> Result<Self, Failure> {
        let all = git.refs_below(git_dir, &[OWN, HEADS, REMOTE].map(|prefix| prefix.trim_end_matches('/'))).await?;
        let below = |prefix: &str, instead: &str| -> RefMap {
            let named = |(name, oid): (&BString, &Oid)| {
                let rest = name.strip_prefix(prefix.as_bytes())?;
                Some(([instead.as_bytes(), rest].concat().into(), *oid))
            };
            all.iter().filter_map(named).collect()
        };
        Ok(Known {
            records: below(RECORD, ""),
            moving: below(MOVING, "").into_iter().next(),
            branches: below(HEADS, HEADS),
            remotes: below(REMOTE, HEADS),
        })
    }

    fn shows(&self, wanted: &Wanted) -> bool {
        self.moving.is_none() && self.records.len() == 1 && self.records.get(&wanted.branch) == Some(&wanted.oid)
    }
}

/// Where a tree lies when its usual place is a folder with mirrors in it: `foo.tree` for `foo.git` beside `foo/bar.git`.
pub fn beside(usual: &Path) -> PathBuf {
    let mut place = usual.as_os_str().to_owned();
    place.push(".tree");
    place.into()
}

/// The folders in which these mirrors lie, relative to the storage root: no tree can be there.
pub fn folders(mirrors: impl IntoIterator<Item = PathBuf>) -> HashSet<PathBuf> {
    mirrors.into_iter().flat_map(|mirror| mirror.ancestors().skip(1).map(Path::to_owned).collect::<Vec<_>>()).collect()
}

/// Lets the tree at the relative path `tree` follow the default branch of the mirror at the relative path `mirror`,
/// or makes it. Locks in the tree that are older than `since` were left by a run of ours that was killed.
///
/// # Errors
/// What keeps a tree from being made or moved, such as a path that the file system does not take; a tree that was
/// half moved then is completed by a later run. The mirror is never touched.
pub async fn follow(
    git: &Git,
    storage: &Storage,
    mirror: &Path,
    tree: &Path,
    since: SystemTime,
) -> Result<Checkout, Failure> {
    let place = storage.path(tree);
    let source = absolute(&storage.path(mirror))?;
    let wanted = match wanted(git, &source).await? {
        Ok(wanted) => wanted,
        Err(why) => return Ok(Checkout::Nothing(why)),
    };
    let done = match fs::symlink_metadata(&place) {
        Err(error) if error.kind() == ErrorKind::NotFound => create(git, storage, &source, tree, &wanted).await,
        Err(error) => Err(Failure::local(format!("cannot look at {}", place.display()), &error).into()),
        Ok(_) => Follower { git, storage, place: absolute(&place)?, source, wanted, since }.follow().await,
    };
    match done {
        Ok(done) => Ok(done),
        Err(Stop::LeftAlone(why)) => Ok(Checkout::LeftAlone(why)),
        Err(Stop::Failed(failure)) => {
            let message = format!("the checkout {} cannot follow: {}", tree.display(), failure.message());
            Err(failure.with_message(message))
        }
    }
}

/// The mirror's default branch, or why there is none to follow.
async fn wanted(git: &Git, mirror: &Path) -> Result<Result<Wanted, String>, Failure> {
    let Some(branch) = branch_of(mirror)? else {
        return Ok(Err("the HEAD of the source names no branch".to_owned()));
    };
    let heads = git.refs_below(mirror, &[HEADS.trim_end_matches('/')]).await?;
    Ok(match heads.get(&branch) {
        Some(&oid) => Ok(Wanted { oid, branch, heads }),
        None if heads.is_empty() => Err("the source has no branch yet".to_owned()),
        None => Err(format!("the source has no branch {}, which its HEAD names", short(&branch))),
    })
}

/// The full name of the branch that the HEAD of a repository names.
fn branch_of(git_dir: &Path) -> Result<Option<BString>, Failure> {
    let file = git_dir.join("HEAD");
    let head = fs::read(&file).map_err(|error| Failure::local(format!("cannot read {}", file.display()), &error))?;
    let name = head.strip_prefix(b"ref: ").map(|name| name.trim_ascii().as_bstr());
    Ok(name.filter(|name| is_branch(name)).map(ToOwned::to_owned))
}

/// Makes a tree beside its place and moves it in complete.
async fn create(git: &Git, storage: &Storage, source: &Path, to: &Path, wanted: &Wanted) -> Result<Checkout, Stop> {
    let folder = storage.temporary()?;
    let dir = folder.path().join("tree");
    git.clone_tree(source, &dir).await?;
    let tree = git.open_tree(&dir).await?;
    git.overwrite_files(&tree, wanted.oid).await?;
    let known = Known::read(git, tree.git_dir()).await?;
    settle(git, &tree, &known, &wanted.branch, wanted.oid).await?;
    storage.place(&dir, to)?;
    Ok(Checkout::Created)
}

/// Lets HEAD, its branch and our record say what the files of `tree` are by now: commit `oid` of `branch`.
///
/// In two steps, because `a` has to go before `a/b` can be; a kill between them leaves the mark that we are moving.
async fn settle(git: &Git, tree: &WorkTree, known: &Known, branch: &BString, oid: Oid) -> Result<(), Failure> {
    let on = branch_of(tree.git_dir())?;
    let mut old = Vec::new();
    for (name, &value) in known.records.iter().filter(|(name, _)| *name != branch) {
        // A branch that we made and nobody left or added to: the source's default branch was renamed. It goes first:
        // by its record we know it for ours.
        if let Some(&value) = known.branches.get(name).filter(|_| on.as_ref() == Some(name)) {
            old.push(RefEdit::Delete { name: name.clone(), old: value });
        }
        old.push(RefEdit::Delete { name: own(RECORD, name), old: value });
    }
    git.move_refs(tree.git_dir(), &old).await?;
    if on.as_ref() != Some(branch) {
        git.set_head(tree.git_dir(), branch.as_bstr()).await?;
        git.track(tree, branch.as_bstr()).await?;
    }
    let set = |name: BString, value: Option<&Oid>| match value {
        None => Some(RefEdit::Create { name, new: oid }),
        Some(&old) => (old != oid).then_some(RefEdit::Update { name, old, new: oid }),
    };
    let mut new = Vec::new();
    new.extend(set(branch.clone(), known.branches.get(branch)));
    new.extend(set(own(RECORD, branch), known.records.get(branch)));
    new.extend(known.moving.iter().map(|(name, old)| RefEdit::Delete { name: own(MOVING, name), old: *old }));
    git.move_refs(tree.git_dir(), &new).await
}

/// A tree that exists, about to follow.
struct Follower<'a> {
    git: &'a Git,
    storage: &'a Storage,
    /// The tree, absolute.
    place: PathBuf,
    /// The mirror, absolute.
    source: PathBuf,
    wanted: Wanted,
    since: SystemTime,
}

impl Follower<'_> {
    async fn follow(&self) -> Result<Checkout, Stop> {
        let (git, wanted) = (self.git, &self.wanted);
        let git_dir = self.place.join(".git");
        // A file `.git` belongs to a submodule or a linked working tree: not our making either.
        if ![&self.place, &git_dir].into_iter().all(|path| path.symlink_metadata().is_ok_and(|data| data.is_dir())) {
            let text = "what lies in its place is no working tree of git's";
            let hint = "move it away; then the checkout is made.";
            return Err(Failure::new(Reason::LocalFailed, text).with_hint(hint).into());
        }
        let mut known = Known::read(git, &git_dir).await.map_err(unusable)?;
        if known.shows(wanted) && known.remotes == wanted.heads {
            return Ok(Checkout::Current);
        }
        let tree = git.open_tree(&self.place).await.map_err(unusable)?;
        self.claim(&tree, &known).await?;
        if known.remotes != wanted.heads {
            git.fetch_branches(&tree, &self.source).await?;
        }
        let mut from = None;
        if let Some((branch, oid)) = known.moving.clone() {
            from = self.recover(&tree, &known, &branch, oid).await?;
            known = Known::read(git, &git_dir).await?;
        }
        if !known.shows(wanted) {
            let old = self.advance(&tree, &mut known).await?;
            from = from.or(Some(old));
        }
        Ok(from.map_or(Checkout::Current, |from| Checkout::Updated { from, to: wanted.oid }))
    }

    /// Sees that the tree is ours to move and clears away what a killed run of ours left in it.
    async fn claim(&self, tree: &WorkTree, known: &Known) -> Result<(), Stop> {
        let config = tree.git_dir().join("config");
        let origin = self.git.config_value(&config, "remote.origin.url").await.map_err(unusable)?;
        let origin = origin.map(PathBuf::from);
        if origin.as_deref() != Some(&self.source) {
            let ours = known.moving.is_some() || !known.records.is_empty();
            match origin {
                // The storage was moved: let `git pull` find the mirror again. A URL of the user's choice stays.
                Some(origin) if ours && origin.is_absolute() && !origin.exists() => {
                    self.git.set_config(&config, "remote.origin.url", Some(&self.source.to_string_lossy())).await?;
                }
                Some(origin) if same(&origin, &self.source) => {}
                _ if ours => {}
                _ => return Err(left("the repository in its place is not a checkout of this mirror")),
            }
        }
        // A commit whose message is being written holds the index for as long as that takes. Ours is marked.
        if known.moving.is_none() && tree.git_dir().join("index.lock").exists() {
            return Err(left("a git command is at work in it, or was killed (.git/index.lock exists)"));
        }
        for lock in health::clear_litter(tree.git_dir(), self.since)? {
            tracing::debug!("removed {}, left behind by a git that was killed", lock.display());
        }
        Ok(())
    }

    /// The branch that the tree is on and what it points at, when it is one of those that we may move.
    fn position(&self, tree: &WorkTree, known: &Known, also: &BString) -> Result<(BString, Option<Oid>), Stop> {
        let on = branch_of(tree.git_dir())?.ok_or_else(|| left("its HEAD is detached"))?;
        let tip = known.branches.get(&on).copied();
        // A move that was interrupted may have deleted the branch that it led away from.
        let ours = on == *also || known.records.contains_key(&on) || (known.moving.is_some() && tip.is_none());
        if !ours {
            return Err(left(format!("it is on branch {}", short(&on))));
        }
        if let Some(operation) = edits::operation(tree.git_dir()) {
            return Err(left(format!("a {operation} is in progress")));
        }
        Ok((on, tip))
    }

    /// Leaves the tree alone when `tips` have commits that neither the mirror has, nor `more`, nor was ever checked out.
    async fn refuse_own_commits(
        &self,
        tree: &WorkTree,
        known: &Known,
        tips: &[(&BString, Oid)],
        more: &[Oid],
    ) -> Result<(), Stop> {
        for (branch, tip) in tips.iter().filter(|(branch, tip)| known.records.get(*branch) != Some(tip)) {
            // What `origin` had before this fetch; a tree without our record has nothing else to go by.
            let before = known.remotes.get(*branch);
            let known: Vec<_> = known.records.values().chain(more).chain(before).copied().collect();
            if self.git.has_own_commits(tree, &[*tip], &known).await.map_err(unusable)? {
                return Err(left(format!("its branch {} has commits of its own", short(branch))));
            }
        }
        Ok(())
    }

    /// Moves the tree to what is wanted, unless that would cost the user something; returns where it was.
    async fn advance(&self, tree: &WorkTree, known: &mut Known) -> Result<Oid, Stop> {
        let (git, wanted) = (self.git, &self.wanted);
        let (on, tip) = self.position(tree, known, &wanted.branch)?;
        let old = tip.ok_or_else(|| left(format!("its branch {} has no commit", short(&on))))?;
        let mut tips = vec![(&on, old)];
        // The new default branch may already be there, made by the user.
        tips.extend(known.branches.get(&wanted.branch).map(|&tip| (&wanted.branch, tip)));
        self.refuse_own_commits(tree, known, &tips, &[wanted.oid]).await?;
        let edited = git.edited_paths(tree).await.map_err(unusable)?;
        if let Some(first) = edited.first() {
            let more = if edited.len() > 1 { format!(" and {} more", edited.len() - 1) } else { String::new() };
            return Err(left(format!("edited: {first}{more}")));
        }
        let changes = git.changes_between(tree, old, wanted.oid).await?;
        if let Some(path) = edits::in_the_way(&self.place, &changes, self.storage.folds_case())? {
            return Err(left(format!("a file that git does not track is in the way: {path}")));
        }
        let mark = own(MOVING, &wanted.branch);
        git.move_refs(tree.git_dir(), &[RefEdit::Create { name: mark.clone(), new: wanted.oid }]).await?;
        match git.move_files(tree, old, wanted.oid).await {
            // Nothing was touched. After any other failure the mark stays, and the next run completes the move.
            Err(failure) if failure.reason() == Reason::Held => {
                git.move_refs(tree.git_dir(), &[RefEdit::Delete { name: mark, old: wanted.oid }]).await?;
                return Err(left(failure.evidence().unwrap_or(failure.message())));
            }
            moved => moved?,
        }
        known.moving = Some((wanted.branch.clone(), wanted.oid));
        settle(git, tree, known, &wanted.branch, wanted.oid).await?;
        Ok(old)
    }

    /// Completes a move that was interrupted, or takes it back when the mirror has moved on: what it led to may be what
    /// could not be written. Returns where the tree was before when it was completed.
    async fn recover(&self, tree: &WorkTree, known: &Known, to: &BString, new: Oid) -> Result<Option<Oid>, Stop> {
        let (on, tip) = self.position(tree, known, to)?;
        if let Some(tip) = tip.filter(|&tip| tip != new) {
            self.refuse_own_commits(tree, known, &[(&on, tip)], &[new]).await?;
        }
        let old = known.records.values().next().copied().or(tip).unwrap_or(new);
        let folder = self.storage.temporary()?;
        let found = edits::look(self.git, tree, old, new, &absolute(folder.path())?).await?;
        if let Some(path) = found.edited {
            return Err(left(format!("edited after an update was interrupted: {path}")));
        }
        let moved_on = (to, new) != (&self.wanted.branch, self.wanted.oid);
        // Once our refs have begun to move, all files are written: then there is only forward.
        if moved_on && tip == Some(old) {
            edits::remove(tree.dir(), &found.added)?;
            self.git.overwrite_files(tree, old).await?;
            self.git.move_refs(tree.git_dir(), &[RefEdit::Delete { name: own(MOVING, to), old: new }]).await?;
            return Ok(None);
        }
        self.git.overwrite_files(tree, new).await?;
        settle(self.git, tree, known, to, new).await?;
        Ok(Some(old))
    }
}

fn left(why: impl Into<String>) -> Stop {
    Stop::LeftAlone(why.into())
}

/// What git says about a tree that it cannot work in is the user's to see: there may be edits in it.
fn unusable(failure: Failure) -> Stop {
    match failure.reason() {
        Reason::Corrupt | Reason::Unknown | Reason::RemoteNotFound | Reason::RefRace => {
            Stop::LeftAlone(format!("git cannot work in it: {}", failure.evidence().unwrap_or(failure.message())))
        }
        _ => Stop::Failed(failure),
    }
}

fn own(prefix: &str, branch: &BString) -> BString {
    [prefix.as_bytes(), branch].concat().into()
}

fn short(branch: &BString) -> &BStr {
    branch.strip_prefix(HEADS.as_bytes()).unwrap_or(branch).as_bstr()
}

fn same(one: &Path, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::local(format!("cannot tell where {} is", path.display()), &error))
}

#[cfg(test)]
mod tests;
