//! Git in a working tree of the user's: as the user would run it, but with nobody there to answer.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::{Call, Git, Policy, classify, process, progress};
use crate::base::failure::Failure;

/// A working tree of the user's, in which every command follows [`Policy::UserTree`].
#[derive(Debug, Clone)]
pub struct UserTree {
    git: Git,
    dir: PathBuf,
    index: Option<PathBuf>,
}

/// What a command printed that ended well.
#[derive(Debug)]
pub struct Printed {
    pub stdout: Vec<u8>,
    /// Its messages, and what hooks said.
    pub stderr: String,
}

impl Git {
    /// The user's working tree whose top folder is at the absolute path `dir`. Every command in it may take `limit` in all,
    /// with its hooks, its filters and its signing.
    pub fn user_tree(&self, dir: &Path, limit: Duration) -> UserTree {
        UserTree { git: self.within(limit), dir: dir.to_owned(), index: None }
    }
}

impl UserTree {
    /// The same tree, seen through another index than the user's.
    pub fn with_index(self, index: &Path) -> Self {
        UserTree { index: Some(index.to_owned()), ..self }
    }

    /// Runs git with `args` and hands it `input`; `what` says what cannot be done when it fails.
    ///
    /// # Errors
    /// `timed_out` when the limit has passed, `cancelled` on request: git, its hooks and all that they started are stopped
    /// then. Any other exit code than 0, with the last words of git and of its hooks.
    pub async fn run<A: AsRef<OsStr>>(
        &self,
        what: &str,
        args: impl IntoIterator<Item = A>,
        input: impl Into<Vec<u8>>,
    ) -> Result<Printed, Failure> {
        let mut command = self.command();
        command.args(args);
        let finished = self.git.run(Call { what, command, remote: None, input: input.into() }, |_| ()).await?;
        match finished.status.success() {
            true => Ok(Printed { stdout: finished.stdout, stderr: finished.stderr }),
            false => Err(failed(what, &finished)),
        }
    }

    pub(super) fn command(&self) -> Command {
        let mut git = process::without_terminal(&self.git.askpass, &self.git.program);
        git.envs(self.git.users_environment.iter().map(|(name, value)| (name, value))).current_dir(&self.dir);
        Policy::UserTree.tell(&mut git);
        // The repository is found from within the tree, as by the user, so that hooks see what they always see. Where there
        // is none, that of a folder above is another one.
        if let Some(above) = self.dir.parent() {
            git.env("GIT_CEILING_DIRECTORIES", above);
        }
        if let Some(index) = &self.index {
            git.env("GIT_INDEX_FILE", index);
        }
        git
    }
}

/// The failure of a command whose hooks may have said why, in words that no table knows.
fn failed(what: &str, finished: &process::Finished) -> Failure {
    let failure = super::failure_of(what, finished);
    let words: Vec<&str> = progress::messages(&finished.stderr).collect();
    let last = &words[words.len().saturating_sub(classify::MOST_WORDS)..];
    failure.with_evidence(last.join("\n"))
}
