//! Directories on this machine as a source: every repository under them, working tree or bare.
//!
//! Working trees are searched too: dotfiles in a home, submodules. Several ways to one object store (linked worktrees,
//! `--separate-git-dir`, symbolic links) count as one repository. Of a storage of Holocron the mirrors are found, of the
//! run's own nothing.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use self::git_dir::{GitDir, Kind};
use self::search::{FoundDir, Search};
use crate::base::failure::{Failure, Reason};
use crate::base::url::RemoteUrl;
use crate::forge::gather::{refuse_name, shown};
use crate::forge::plain::urls::unknown;
use crate::forge::{Listing, Refused, Source};
use crate::model::{Repo, RepoPath};

mod git_dir;
mod search;
#[cfg(test)]
mod tests;

/// The repositories under some directories.
#[derive(Debug, Clone)]
pub struct DirTree {
    source_id: String,
    dirs: Vec<PathBuf>,
    storage: PathBuf,
    names: HashMap<String, RepoPath>,
    cancel: CancellationToken,
}

impl DirTree {
    /// A source that searches these directories and leaves `storage` alone; nothing is read yet.
    pub fn new(
        source_id: impl Into<String>,
        dirs: Vec<PathBuf>,
        storage: impl Into<PathBuf>,
        cancel: CancellationToken,
    ) -> Self {
        DirTree { source_id: source_id.into(), dirs, storage: storage.into(), names: HashMap::new(), cancel }
    }

    /// The names that repositories of this machine have already, by their ids: they keep them, and no other one gets them.
    pub fn with_names(self, names: HashMap<String, RepoPath>) -> Self {
        DirTree { names, ..self }
    }

    fn search(&self) -> Result<Listing, Failure> {
        let mut search = Search::new(&self.storage, &self.cancel);
        search.all(&self.dirs)?;
        let mut listing =
            Listing { warnings: search.warnings(), refused: std::mem::take(&mut search.refused), repos: Vec::new() };
        let mut taken: HashSet<RepoPath> = self.names.values().cloned().collect();
        for found in search.found {
            match self.repo(&found, &taken) {
                Ok(repo) => {
                    taken.insert(repo.path.clone());
                    listing.repos.push(repo);
                }
                Err(failure) => listing.refused.push(refused(&found.dir, failure)),
            }
        }
        Ok(listing)
    }

    fn repo(&self, found: &FoundDir, taken: &HashSet<RepoPath>) -> Result<Repo, Failure> {
        let url = RemoteUrl::parse(&found.dir.to_string_lossy())
            .map_err(|error| refuse_name(&found.dir.to_string_lossy(), &error.to_string()))?;
        let id = url.to_string();
        let path = match self.names.get(&id) {
            Some(path) => path.clone(),
            None => name(found, self.dirs.len() > 1, taken)?,
        };
        Ok(Repo { id, ..unknown(&self.source_id, path, url) })
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&DirTree) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let tree = self.clone();
        let broken = |error| Failure::new(Reason::Unknown, format!("the search of the directories broke off: {error}"));
        tokio::task::spawn_blocking(move || work(&tree)).await.map_err(broken)?
    }
}

#[async_trait]
impl Source for DirTree {
    async fn list(&self, seen: &(dyn Fn(usize) + Send + Sync)) -> Result<Listing, Failure> {
        let listing = self.off_thread(DirTree::search).await?;
        seen(listing.repos.len());
        Ok(listing)
    }

    async fn find(&self, id: &str) -> Result<Option<Repo>, Failure> {
        let id = id.to_owned();
        self.off_thread(move |tree| {
            let Some(git) = GitDir::of(Path::new(&id))? else { return Ok(None) };
            // Its name depends on what else there is.
            if let Some(repo) = tree.search()?.repos.into_iter().find(|repo| repo.id == id) {
                return Ok(Some(repo));
            }
            // A linked worktree whose commits are on a branch by now is no repository of its own any more.
            if git.kind == Kind::Linked {
                return Ok(None);
            }
            // It is there, only not among what is searched now: that is not gone.
            Err(Failure::new(Reason::RemoteNotFound, format!("{id} is not in a directory that is searched")))
        })
        .await
    }
}

/// The name of a repository that has none yet: relative to the directory searched, whose own name comes before it when
/// there are `several`, or when the short one is taken.
fn name(found: &FoundDir, several: bool, taken: &HashSet<RepoPath>) -> Result<RepoPath, Failure> {
    let refuse = |why: &str| refuse_name(&found.dir.to_string_lossy(), why);
    let root = found.root.file_name().map(Path::new);
    let named = found.named.as_ref().unwrap_or(&found.dir);
    let inside = named.strip_prefix(&found.root).unwrap_or(named);
    let long = root.map_or(inside.to_owned(), |root| root.join(inside).components().collect());
    let (mut names, mut whole): (Vec<String>, Vec<String>) = Default::default();
    let shorts = if several || inside.as_os_str().is_empty() { None } else { Some(inside.to_owned()) };
    for full in shorts.into_iter().chain([long]) {
        let full = full.to_str().ok_or_else(|| refuse("it is not UTF-8"))?;
        // `x` and `x.git` side by side: the second keeps its ending.
        let short = full.strip_suffix(".git").filter(|rest| !rest.is_empty() && !rest.ends_with('/'));
        match short.filter(|_| found.git.kind == Kind::Bare) {
            Some(short) => {
                names.push(short.to_owned());
                whole.push(full.to_owned());
            }
            None => names.push(full.to_owned()),
        }
    }
    names.extend(whole);
    let mut wrong = None;
    for name in names {
        match RepoPath::parse(&name) {
            Ok(path) if !taken.contains(&path) => return Ok(path),
            Ok(_) => {}
            Err(error) => wrong = wrong.or(Some(error.to_string())),
        }
    }
    Err(refuse(wrong.as_deref().unwrap_or("another repository has the same name")))
}

fn refused(dir: &Path, failure: Failure) -> Refused {
    Refused { what: shown_path(dir), failure }
}

fn shown_path(path: &Path) -> String {
    shown(&path.to_string_lossy())
}
