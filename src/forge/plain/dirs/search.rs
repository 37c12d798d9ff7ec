//! The search for repositories: into working trees too, through symbolic links only to a repository itself.

use std::collections::HashSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::base::failure::{Failure, Reason};
use crate::base::text::list;
use crate::forge::Refused;
use crate::forge::plain::dirs::git_dir::{GitDir, Kind};
use crate::forge::plain::dirs::{refused, shown_path};

/// The folder that marks a storage root of ours.
const STORAGE_MARK: &str = ".holocron";

/// How many levels below the directory that was named are searched: deeper is no tree that a person made.
const MOST_LEVELS: usize = 64;

/// Names shown of what was not followed; the rest is counted.
const NAMES: usize = 3;

/// A repository that was found.
#[derive(Debug)]
pub(super) struct FoundDir {
    /// What its name is relative to.
    pub(super) root: PathBuf,
    /// What git is given.
    pub(super) dir: PathBuf,
    /// What its name is made from, where that is not `dir`.
    pub(super) named: Option<PathBuf>,
    pub(super) git: GitDir,
    /// It was reached by a symbolic link.
    linked: bool,
}

/// One search through all directories of a source.
pub(super) struct Search<'a> {
    cancel: &'a CancellationToken,
    /// The storage of this run, all symbolic links resolved: never a source of itself.
    own: PathBuf,
    roots: Vec<PathBuf>,
    pub(super) found: Vec<FoundDir>,
    pub(super) refused: Vec<Refused>,
    /// Symbolic links to directories that are not repositories.
    links: Vec<PathBuf>,
    /// Other storages of ours within what is searched.
    storages: Vec<PathBuf>,
    deep: Vec<PathBuf>,
}

impl<'a> Search<'a> {
    /// A search that has found nothing yet.
    pub(super) fn new(storage: &Path, cancel: &'a CancellationToken) -> Self {
        let own = fs::canonicalize(storage).unwrap_or_else(|_| storage.to_owned());
        Search {
            cancel,
            own,
            roots: Vec::new(),
            found: Vec::new(),
            refused: Vec::new(),
            links: Vec::new(),
            storages: Vec::new(),
            deep: Vec::new(),
        }
    }

    /// Searches these directories; each must be readable.
    pub(super) fn all(&mut self, dirs: &[PathBuf]) -> Result<(), Failure> {
        let failed =
            |dir: &Path, error: io::Error| Failure::local(format!("cannot search {}", shown_path(dir)), &error);
        for dir in dirs {
            self.roots.push(fs::canonicalize(dir).map_err(|error| failed(dir, error))?);
        }
        for (dir, root) in dirs.iter().zip(self.roots.clone()) {
            fs::read_dir(&root).map_err(|error| failed(dir, error))?;
            let (found, refused) = (self.found.len(), self.refused.len());
            self.root(&root)?;
            if dirs.len() > 1 && self.found.len() == found && self.refused.len() == refused {
                let failure = Failure::new(Reason::NothingMatched, "no repository was found in it");
                let hint = "see whether it is the right directory, and mounted; else take it out.";
                self.refused.push(super::refused(dir, failure.with_hint(hint)));
            }
        }
        self.found = one_for_each_store(std::mem::take(&mut self.found));
        self.add_what_stores_hold();
        Ok(())
    }

    /// What was seen and not followed, for the report.
    pub(super) fn warnings(&self) -> Vec<String> {
        let shown = |paths: &[PathBuf]| {
            let names: Vec<String> = paths.iter().map(|path| shown_path(path)).collect();
            list(&names.iter().map(String::as_str).collect::<Vec<_>>(), NAMES)
        };
        let mut warnings = Vec::new();
        let links: Vec<PathBuf> = self.links.iter().filter(|link| !self.is_searched(link)).cloned().collect();
        if !links.is_empty() {
            let text =
                "symbolic links to directories are not followed, so that repositories behind them are not mirrored";
            warnings.push(format!("{text}: {}; name with `dirs` what they lead to.", shown(&links)));
        }
        if !self.storages.is_empty() {
            let text = "a storage directory of Holocron is not searched";
            warnings.push(format!("{text}: {}; name it with `dirs` to mirror what is in it.", shown(&self.storages)));
        }
        if !self.deep.is_empty() {
            let text = format!("directories more than {MOST_LEVELS} levels down are not searched");
            warnings.push(format!("{text}: {}; name them with `dirs`.", shown(&self.deep)));
        }
        warnings
    }

    /// Whether what a link leads to lies in a directory that is searched by itself.
    fn is_searched(&self, link: &Path) -> bool {
        fs::canonicalize(link).is_ok_and(|target| self.roots.iter().any(|root| target.starts_with(root)))
    }

    fn root(&mut self, root: &Path) -> Result<(), Failure> {
        if let Some(storage) = storage_of(root) {
            if storage == self.own {
                let text = format!("{} is the storage of this very run", shown_path(root));
                let hint = "name another --storage to copy these mirrors to, or what they are made from.";
                self.refused.push(refused(root, Failure::new(Reason::Held, text).with_hint(hint)));
                return Ok(());
            }
            return self.storage(root, &storage);
        }
        let mut open = Vec::new();
        self.look(root, root.to_owned(), 0, &mut open);
        while let Some((dir, level)) = open.pop() {
            self.check_stopped(root)?;
            let entries = match entries(&dir) {
                Ok(entries) => entries,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => {
                    let text = format!("cannot search {}", shown_path(&dir));
                    self.refused.push(refused(&dir, Failure::local(text, &error)));
                    continue;
                }
            };
            if level >= MOST_LEVELS {
                self.deep.push(dir);
                continue;
            }
            entries.directories.into_iter().for_each(|dir| self.look(root, dir, level + 1, &mut open));
            entries.links.into_iter().for_each(|link| self.look_behind(root, link));
        }
        Ok(())
    }

    fn look(&mut self, root: &Path, dir: PathBuf, level: usize, open: &mut Vec<(PathBuf, usize)>) {
        if dir.join(STORAGE_MARK).is_dir() {
            if fs::canonicalize(&dir).is_ok_and(|dir| dir != self.own) {
                self.storages.push(dir);
            }
            return;
        }
        match GitDir::of(&dir) {
            Ok(None) => open.push((dir, level)),
            Ok(Some(git)) => {
                // A bare repository holds no others; a working tree may (dotfiles in a home, submodules).
                if git.kind != Kind::Bare {
                    open.push((dir.clone(), level));
                }
                self.found.push(FoundDir { root: root.to_owned(), dir, named: None, git, linked: false });
            }
            Err(failure) => {
                self.refused.push(refused(&dir, failure));
                open.push((dir, level));
            }
        }
    }

    /// A symbolic link to a repository is one more way to it; one to any other directory is noted.
    fn look_behind(&mut self, root: &Path, link: PathBuf) {
        let Ok(target) = fs::canonicalize(&link) else { return };
        if !target.is_dir() || storage_of(&target).is_some() {
            return;
        }
        match GitDir::of(&link) {
            Ok(Some(git)) => {
                self.found.push(FoundDir { root: root.to_owned(), dir: link, named: None, git, linked: true });
            }
            Ok(None) => self.links.push(link),
            Err(failure) => self.refused.push(refused(&link, failure)),
        }
    }

    /// The mirrors of a storage of ours, by the names that they have there; checkouts beside them are copies of them.
    fn storage(&mut self, root: &Path, storage: &Path) -> Result<(), Failure> {
        let mut open = vec![root.to_owned()];
        while let Some(dir) = open.pop() {
            self.check_stopped(root)?;
            if is_mirror(&dir) {
                let git = GitDir::of(&dir)?;
                // Below the storage come the host, and then the name at the host.
                let host = dir.strip_prefix(storage).ok().and_then(|inside| inside.components().next());
                let base = host.map_or(storage.to_owned(), |host| storage.join(host));
                let base = if base == dir { storage.to_owned() } else { base };
                if let Some(git) = git {
                    self.found.push(FoundDir { root: base, dir, named: None, git, linked: false });
                }
                continue;
            }
            let entries = entries(&dir).map_err(|error| {
                Failure::local(format!("cannot search the storage directory {}", shown_path(&dir)), &error)
            })?;
            let own = |dir: &PathBuf| dir.file_name().is_some_and(|name| name == STORAGE_MARK);
            open.extend(entries.directories.into_iter().filter(|dir| !own(dir)));
        }
        Ok(())
    }

    /// Commits that only the HEAD of a linked worktree names, and submodules without a working tree.
    fn add_what_stores_hold(&mut self) {
        let mut stores: HashSet<PathBuf> = self.found.iter().map(|found| found.git.store.clone()).collect();
        let mut more = Vec::new();
        for found in &self.found {
            let base = found.named.as_ref().unwrap_or(&found.dir);
            let own = fs::canonicalize(&found.dir).ok();
            for folder in found.git.lone_heads() {
                // The working tree through which the store itself was found has shown its HEAD.
                let tree = fs::read_to_string(folder.join("gitdir")).unwrap_or_default();
                let tree = Path::new(tree.trim()).parent().and_then(|tree| fs::canonicalize(tree).ok());
                if tree.is_some() && tree == own {
                    continue;
                }
                let name = folder.file_name().map(|name| base.join("worktrees").join(name));
                let git = GitDir { kind: Kind::Linked, store: found.git.store.clone() };
                more.push(FoundDir { root: found.root.clone(), dir: folder, named: name, git, linked: false });
            }
            for (folder, name) in found.git.modules() {
                if stores.insert(folder.clone()) {
                    let git = GitDir { kind: Kind::Elsewhere, store: folder.clone() };
                    let named = Some(base.join(name));
                    more.push(FoundDir { root: found.root.clone(), dir: folder, named, git, linked: false });
                }
            }
        }
        self.found.extend(more);
    }

    fn check_stopped(&self, root: &Path) -> Result<(), Failure> {
        match self.cancel.is_cancelled() {
            true => Err(Failure::new(Reason::Cancelled, format!("the search of {} was stopped", shown_path(root)))),
            false => Ok(()),
        }
    }
}

/// Leaves one of several ways to the same object store: the one that holds it, where that was found.
fn one_for_each_store(mut found: Vec<FoundDir>) -> Vec<FoundDir> {
    found.sort_by(|a, b| (a.linked, a.git.kind, &a.dir).cmp(&(b.linked, b.git.kind, &b.dir)));
    let mut stores = HashSet::new();
    found.retain(|found| stores.insert(found.git.store.clone()));
    found.sort_by(|a, b| a.dir.cmp(&b.dir));
    found
}

/// The storage of ours that a directory is, or lies in.
fn storage_of(dir: &Path) -> Option<PathBuf> {
    dir.ancestors().find(|dir| dir.join(STORAGE_MARK).is_dir()).map(Path::to_owned)
}

/// Whether a directory is a mirror as we and `git clone --mirror` make them.
fn is_mirror(dir: &Path) -> bool {
    let named = dir.extension().is_some_and(|ending| ending == "git");
    let config = || fs::read_to_string(dir.join("config")).unwrap_or_default();
    named && dir.join("HEAD").is_file() && config().contains("mirror = true")
}

/// What in a directory can lead on.
struct Entries {
    directories: Vec<PathBuf>,
    links: Vec<PathBuf>,
}

fn entries(dir: &Path) -> io::Result<Entries> {
    let mut found = Entries { directories: Vec::new(), links: Vec::new() };
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if entry.file_name() == ".git" {
            continue;
        }
        if kind.is_dir() {
            found.directories.push(entry.path());
        } else if kind.is_symlink() {
            found.links.push(entry.path());
        }
    }
    found.directories.sort();
    found.links.sort();
    Ok(found)
}
