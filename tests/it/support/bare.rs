//! A destination without a forge: a directory of bare repositories, reached as a path or by ssh.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use super::repo::{head_of, refs_of};
use super::{Repo, Sshd, TestEnv};

/// A directory for bare repositories `<namespace>/<name>.git`, empty at first.
pub struct BareDestination {
    dir: PathBuf,
}

impl TestEnv {
    /// A directory to push mirrors to, outside of the storage.
    pub fn bare_destination(&self) -> BareDestination {
        let dir = self.work().join("bare-destination");
        fs::create_dir_all(&dir).expect("the working directory is writable");
        BareDestination { dir }
    }

    /// Asserts that a destination has exactly the branches and tags of `source`, and its HEAD.
    #[track_caller]
    pub fn assert_pushed(&self, source: &Repo, destination: &Repo) {
        let ours = |repo: &Repo| -> BTreeMap<String, String> {
            let is_ours = |name: &str| name.starts_with("refs/heads/") || name.starts_with("refs/tags/");
            repo.refs().into_iter().filter(|(name, _)| is_ours(name)).collect()
        };
        assert_eq!(ours(destination), ours(source), "the destination (left) differs from its source (right)");
        let heads = [destination, source].map(|repo| head_of(repo.git_dir()));
        assert_eq!(heads[0], heads[1], "HEAD of the destination (left) differs from its source (right)");
        if let Some(said) = destination.said_default_branch().filter(|_| destination.refs().contains_key(&heads[1])) {
            assert_eq!(format!("refs/heads/{said}"), heads[1], "what the forge calls the default branch (left)");
        }
    }
}

impl BareDestination {
    /// The directory.
    pub fn path(&self) -> &PathBuf {
        &self.dir
    }

    /// `<directory>/{namespace}/{name}.git`.
    pub fn template(&self) -> String {
        self.dir.join("{namespace}/{name}.git").display().to_string()
    }

    /// The same by ssh: `ssh://user@127.0.0.1:<port>/<directory>/{namespace}/{name}.git`.
    pub fn ssh_template(&self, sshd: &Sshd) -> String {
        format!("{}{}", sshd.base(), self.template())
    }

    /// Makes an empty repository there: `destination.repo("acme/alpha").branch("foreign")`.
    pub fn repo(&self, full_name: &str) -> Repo {
        Repo::bare(&self.git_dir(full_name))
    }

    /// The repository that was made there; `None` when there is none.
    pub fn find(&self, full_name: &str) -> Option<Repo> {
        let dir = self.git_dir(full_name);
        dir.join("HEAD").exists().then(|| Repo::existing(&dir))
    }

    /// All refs of a repository there; empty when there is none.
    pub fn refs(&self, full_name: &str) -> BTreeMap<String, String> {
        self.find(full_name).map(|repo| refs_of(repo.git_dir())).unwrap_or_default()
    }

    /// Where a repository lies.
    pub fn git_dir(&self, full_name: &str) -> PathBuf {
        self.dir.join(format!("{full_name}.git"))
    }
}
