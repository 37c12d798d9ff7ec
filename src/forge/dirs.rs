//! Directories on this machine as a source: every repository under them, working tree or bare.
//!
//! The search does not go into what it found, follows no symbolic link, and stays out of Holocron's own storage. Several
//! ways to one object store (linked worktrees, submodules, `--separate-git-dir`) count as one repository.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::gather::{refuse_name, shown};
use super::plain::unknown;
use super::{Listing, Refused, Source};
use crate::failure::{Failure, Reason};
use crate::model::{Repo, RepoPath};
use crate::url::RemoteUrl;

/// The folder that marks a storage root of ours.
const STORAGE_MARK: &str = ".holocron";

/// The repositories under some directories.
#[derive(Debug, Clone)]
pub struct DirTree {
    source_id: String,
    dirs: Vec<PathBuf>,
    cancel: CancellationToken,
}

impl DirTree {
    /// A source that searches these directories; nothing is read yet.
    pub fn new(source_id: impl Into<String>, dirs: Vec<PathBuf>, cancel: CancellationToken) -> Self {
        DirTree { source_id: source_id.into(), dirs, cancel }
    }

    fn search(&self) -> Result<Listing, Failure> {
        let mut search = Search { cancel: &self.cancel, found: Vec::new(), refused: Vec::new() };
        for dir in &self.dirs {
            search.root(dir)?;
        }
        let mut listing = Listing { repos: Vec::new(), refused: search.refused };
        let mut taken = HashSet::new();
        for found in one_for_each_store(search.found) {
            let repo = found.path(self.dirs.len() > 1, &taken).and_then(|path| {
                let url = RemoteUrl::parse(&found.dir.to_string_lossy())
                    .map_err(|error| refuse_name(&found.dir.to_string_lossy(), &error.to_string()))?;
                Ok(Repo { id: url.to_string(), ..unknown(&self.source_id, path, url) })
            });
            match repo {
                Ok(repo) => {
                    taken.insert(repo.path.clone());
                    listing.repos.push(repo);
                }
                Err(failure) => listing.refused.push(refused(&found.dir, failure)),
            }
        }
        Ok(listing)
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
            if GitDir::of(Path::new(&id))?.is_none() {
                return Ok(None);
            }
            // Its name depends on what else there is.
            let found = tree.search()?.repos.into_iter().find(|repo| repo.id == id);
            // It is there, only not among what is searched now: that is not gone.
            let outside =
                || Failure::new(Reason::RemoteNotFound, format!("{id} is not in a directory that is searched"));
            found.map(Some).ok_or_else(outside)
        })
        .await
    }
}

/// How a directory is a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// It has a `.git` directory.
    WorkingTree,
    Bare,
    /// Its `.git` is a file that names the directory: a submodule, or made with `--separate-git-dir`.
    Elsewhere,
    /// As `Elsewhere`, and the directory named shares the store of another working tree.
    Linked,
}

/// The git directory of a repository.
#[derive(Debug)]
struct GitDir {
    kind: Kind,
    /// Where the objects and refs are, all symbolic links resolved.
    store: PathBuf,
}

impl GitDir {
    /// What makes `dir` a repository; `None` when it is none.
    ///
    /// # Errors
    /// A `.git` file that leads nowhere, or something unreadable.
    fn of(dir: &Path) -> Result<Option<Self>, Failure> {
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
        Ok(None)
    }

    /// Follows a `.git` file (gitrepository-layout: `gitdir: <path>`, and `commondir` in a linked worktree's directory).
    fn named_by(file: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::local(format!("{} leads nowhere", shown_path(file)), &error);
        let text = fs::read_to_string(file).map_err(failed)?;
        let target = text.strip_prefix("gitdir:").map(str::trim).ok_or_else(|| {
            Failure::new(Reason::LocalFailed, format!("{} is no `.git` file of git's", shown_path(file)))
        })?;
        let store = fs::canonicalize(file.with_file_name(target)).map_err(failed)?;
        match if_there(fs::read_to_string(store.join("commondir"))).map_err(failed)? {
            Some(common) => {
                let store = fs::canonicalize(store.join(common.trim())).map_err(failed)?;
                Ok(GitDir { kind: Kind::Linked, store })
            }
            None => Ok(GitDir { kind: Kind::Elsewhere, store }),
        }
    }
}

/// A repository that was found.
#[derive(Debug)]
struct Found {
    /// The directory that the search began with.
    root: PathBuf,
    dir: PathBuf,
    git: GitDir,
}

impl Found {
    /// Its name: relative to the directory searched, whose own name comes before it when there are `several`.
    fn path(&self, several: bool, taken: &HashSet<RepoPath>) -> Result<RepoPath, Failure> {
        let refuse = |why: &str| refuse_name(&self.dir.to_string_lossy(), why);
        let root_name = self.root.file_name().map(Path::new);
        let inside = self.dir.strip_prefix(&self.root).unwrap_or(&self.dir);
        let relative = match (inside.as_os_str().is_empty(), root_name) {
            (true, name) => name.unwrap_or(inside).to_owned(),
            (false, Some(name)) if several => name.join(inside),
            (false, _) => inside.to_owned(),
        };
        let full = relative.to_str().ok_or_else(|| refuse("it is not UTF-8"))?;
        let parse = |name: &str| RepoPath::parse(name).map_err(|error| refuse(&error.to_string()));
        let short = match self.git.kind {
            Kind::Bare => full.strip_suffix(".git").filter(|rest| !rest.is_empty() && !rest.ends_with('/')),
            _ => None,
        };
        // `x` and `x.git` side by side: the second keeps its ending.
        let names = short.into_iter().chain([full]);
        for name in names {
            let path = parse(name)?;
            if !taken.contains(&path) {
                return Ok(path);
            }
        }
        Err(refuse("another repository has the same name"))
    }
}

/// Leaves one of several ways to the same object store: the one that holds it, where that was found.
fn one_for_each_store(mut found: Vec<Found>) -> Vec<Found> {
    found.sort_by(|a, b| (a.git.kind, &a.dir).cmp(&(b.git.kind, &b.dir)));
    let holders: Vec<PathBuf> = found.iter().filter(|f| f.git.kind <= Kind::Bare).map(|f| f.dir.clone()).collect();
    let mut stores = HashSet::new();
    found.retain(|found| {
        // A submodule's store lies in its superproject's.
        let within_another = || holders.iter().any(|dir| found.git.store.starts_with(dir));
        stores.insert(found.git.store.clone()) && (found.git.kind <= Kind::Bare || !within_another())
    });
    found.sort_by(|a, b| a.dir.cmp(&b.dir));
    found
}

struct Search<'a> {
    cancel: &'a CancellationToken,
    found: Vec<Found>,
    refused: Vec<Refused>,
}

impl Search<'_> {
    /// Searches one of the directories we were given; it must be readable.
    fn root(&mut self, dir: &Path) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::local(format!("cannot search {}", shown_path(dir)), &error);
        let root = fs::canonicalize(dir).map_err(failed)?;
        if root.join(STORAGE_MARK).is_dir() {
            let text = format!("{} is a storage directory of Holocron's own", shown_path(dir));
            let failure = Failure::new(Reason::Held, text).with_hint("mirror what its mirrors are made from.");
            self.refused.push(refused(dir, failure));
            return Ok(());
        }
        if let Some(git) = GitDir::of(&root)? {
            self.found.push(Found { dir: root.clone(), root, git });
            return Ok(());
        }
        fs::read_dir(&root).map_err(failed)?;
        let mut open = vec![root.clone()];
        while let Some(dir) = open.pop() {
            if self.cancel.is_cancelled() {
                return Err(Failure::new(
                    Reason::Cancelled,
                    format!("the search of {} was stopped", shown_path(&root)),
                ));
            }
            match sub_directories(&dir) {
                Ok(directories) => directories.into_iter().for_each(|dir| self.look(&root, dir, &mut open)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    let text = format!("cannot search {}", shown_path(&dir));
                    self.refused.push(refused(&dir, Failure::local(text, &error)));
                }
            }
        }
        Ok(())
    }

    fn look(&mut self, root: &Path, dir: PathBuf, open: &mut Vec<PathBuf>) {
        if dir.join(STORAGE_MARK).is_dir() {
            tracing::debug!(dir = %dir.display(), "not searched: a storage directory of our own");
            return;
        }
        match GitDir::of(&dir) {
            Ok(Some(git)) => self.found.push(Found { root: root.to_owned(), dir, git }),
            Ok(None) => open.push(dir),
            Err(failure) => self.refused.push(refused(&dir, failure)),
        }
    }
}

/// The directories in `dir`, symbolic links left out.
fn sub_directories(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut directories = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            directories.push(entry.path());
        }
    }
    Ok(directories)
}

/// `None` for what is not there, or under something that is no directory.
fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

fn refused(dir: &Path, failure: Failure) -> Refused {
    Refused { what: shown_path(dir), failure }
}

fn shown_path(path: &Path) -> String {
    shown(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;
    use tempfile::TempDir;

    struct Tree(TempDir);

    impl Tree {
        fn new() -> Self {
            Tree(tempfile::tempdir().unwrap())
        }

        fn at(&self, path: &str) -> PathBuf {
            fs::canonicalize(self.0.path()).unwrap().join(path)
        }

        fn dir(&self, path: &str) -> PathBuf {
            fs::create_dir_all(self.at(path)).unwrap();
            self.at(path)
        }

        fn bare(&self, path: &str) -> &Self {
            self.dir(&format!("{path}/objects"));
            self.dir(&format!("{path}/refs"));
            fs::write(self.at(path).join("HEAD"), "ref: refs/heads/main\n").unwrap();
            self
        }

        fn working(&self, path: &str) -> &Self {
            self.bare(&format!("{path}/.git"))
        }

        fn gitfile(&self, path: &str, target: &str) -> &Self {
            fs::write(self.dir(path).join(".git"), format!("gitdir: {target}\n")).unwrap();
            self
        }

        async fn list(&self, dirs: &[&str]) -> Listing {
            tree(dirs.iter().map(|dir| self.at(dir)).collect()).list(&|_| ()).await.unwrap()
        }

        async fn names(&self, dirs: &[&str]) -> Vec<String> {
            let listing = self.list(dirs).await;
            assert_eq!(listing.refused, [], "refused");
            listing.repos.iter().map(|repo| repo.path.to_string()).collect()
        }
    }

    fn tree(dirs: Vec<PathBuf>) -> DirTree {
        DirTree::new("here", dirs, CancellationToken::new())
    }

    #[tokio::test]
    async fn working_trees_and_bare_repositories_are_found_and_not_searched_further() {
        let tree = Tree::new();
        tree.working("a").working("group/b").bare("group/c.git").working("a/vendored/d").bare("group/c.git/e");
        tree.dir("group/empty");
        let listing = tree.list(&[""]).await;
        let mirrors: Vec<_> = listing.repos.iter().map(|repo| repo.mirror_path().display().to_string()).collect();
        assert_eq!(mirrors, ["local/a.git", "local/group/b.git", "local/group/c.git"]);
        assert_eq!(listing.repos[1].url.as_file().unwrap(), tree.at("group/b"));
    }

    #[tokio::test]
    async fn a_directory_that_is_a_repository_is_the_only_one_and_keeps_its_name() {
        let tree = Tree::new();
        tree.working("project").working("project/inner").bare("store.git");
        assert_eq!(tree.names(&["project"]).await, ["project"]);
        assert_eq!(tree.names(&["store.git"]).await, ["store"]);
    }

    #[tokio::test]
    async fn several_directories_put_their_own_names_before_what_they_hold() {
        let tree = Tree::new();
        tree.working("one/x").working("two/x");
        assert_eq!(tree.names(&["one", "two"]).await, ["one/x", "two/x"]);
        assert_eq!(tree.names(&["one", "one"]).await, ["one/x"]);
    }

    #[tokio::test]
    async fn a_name_that_is_taken_is_told_apart_or_refused() {
        let tree = Tree::new();
        tree.working("src/x").bare("src/x.git").working("other/src/x");
        let listing = tree.list(&["src", "other/src"]).await;
        let names: Vec<_> = listing.repos.iter().map(|repo| repo.path.to_string()).collect();
        assert_eq!(names, ["src/x", "src/x.git"]);
        assert_eq!(listing.refused[0].what, tree.at("src/x").display().to_string());
        assert!(listing.refused[0].failure.message().ends_with("another repository has the same name"));
    }

    #[tokio::test]
    async fn linked_worktrees_and_submodules_count_with_the_repository_that_holds_them() {
        let tree = Tree::new();
        tree.working("main").bare("main/.git/worktrees/w").bare("main/.git/modules/s");
        fs::write(tree.at("main/.git/worktrees/w/commondir"), "../..\n").unwrap();
        tree.gitfile("w", tree.at("main/.git/worktrees/w").to_str().unwrap()).gitfile("s", "../main/.git/modules/s");
        assert_eq!(tree.names(&[""]).await, ["main"]);
        // Alone, the linked worktree is the only way to its repository.
        assert_eq!(tree.names(&["w"]).await, ["w"]);
    }

    #[tokio::test]
    async fn our_own_storage_and_symbolic_links_are_left_alone() {
        let (tree, outside) = (Tree::new(), Tree::new());
        outside.working("x");
        tree.working("a").bare("mirrors/local/a.git").dir("mirrors/.holocron");
        std::os::unix::fs::symlink(outside.at(""), tree.at("link")).unwrap();
        assert_eq!(tree.names(&[""]).await, ["a"]);
        let listing = tree.list(&["mirrors"]).await;
        assert_eq!((listing.repos.len(), listing.refused[0].failure.reason()), (0, Reason::Held));
    }

    #[tokio::test]
    async fn what_cannot_be_named_or_read_is_refused_and_the_rest_stands() {
        let tree = Tree::new();
        tree.working("good").working("back\\slash").gitfile("broken", "/nonexistent").working("new\nline");
        let odd = tree.at("").join(std::ffi::OsStr::from_bytes(b"\xff"));
        fs::create_dir_all(odd.join(".git")).unwrap();
        let listing = tree.list(&[""]).await;
        assert_eq!(listing.repos.len(), 1);
        assert_eq!(listing.refused.len(), 4);
        assert!(listing.refused.iter().all(|refused| !refused.what.contains('\n')));
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_fails_the_listing() {
        let tree = Tree::new();
        tree.working("a");
        let dirs = vec![tree.at(""), tree.at("missing")];
        let failure = super::tests::tree(dirs).list(&|_| ()).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::LocalFailed);
        assert!(failure.message().contains("missing"));
    }

    #[tokio::test]
    async fn a_repository_is_found_again_by_its_path_until_it_is_gone() {
        let tree = Tree::new();
        tree.working("group/a");
        let (source, id) = (super::tests::tree(vec![tree.at("")]), tree.at("group/a").display().to_string());
        assert_eq!(source.find(&id).await.unwrap().unwrap().path.to_string(), "group/a");
        tree.working("other");
        let elsewhere = super::tests::tree(vec![tree.at("other")]);
        assert!(elsewhere.find(&id).await.is_err(), "it exists, whatever is searched");
        fs::remove_dir_all(tree.at("group")).unwrap();
        assert_eq!(source.find(&id).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_stopped_search_is_no_listing() {
        let tree = Tree::new();
        let cancel = CancellationToken::new();
        cancel.cancel();
        let source = DirTree::new("here", vec![tree.at("")], cancel);
        assert_eq!(source.list(&|_| ()).await.unwrap_err().reason(), Reason::Cancelled);
    }
}
