//! Where a checkout came from, and what it would send there.

use std::path::{Path, PathBuf};

use super::{Call, Git, failure_of};
use crate::base::failure::Failure;
use crate::base::url::RemoteUrl;

/// Where a checkout came from.
#[derive(Debug)]
pub struct CheckoutOrigin {
    /// As git has it: it may hold a password.
    pub url: String,
    /// What a relative URL starts from.
    pub root: PathBuf,
}

impl Git {
    /// The `origin` of the checkout at `dir`, whoever owns it, as a `git fetch` there would reach it (with the user's
    /// `insteadOf`); `None` when it has none.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)), as when there is no repository.
    pub async fn origin_of_checkout(&self, dir: &Path) -> Result<Option<CheckoutOrigin>, Failure> {
        let (code, url) = self.in_checkout(dir, &["remote", "get-url", "origin"], &[0, 2]).await?;
        if code == 2 {
            return Ok(None);
        }
        // A relative path is read from the top of the tree; a bare repository has none.
        let root = match url.starts_with('.') {
            true => self.in_checkout(dir, &["rev-parse", "--show-toplevel"], &[0, 128]).await?.1,
            false => String::new(),
        };
        let root = if root.is_empty() { dir.to_owned() } else { root.into() };
        Ok(Some(CheckoutOrigin { url, root }))
    }

    /// The header that the checkout at `dir` sends to `url`, such as GitHub's checkout action writes with its token.
    ///
    /// # Errors
    /// As [`Git::origin_of_checkout`].
    pub async fn header_of_checkout(&self, dir: &Path, url: &RemoteUrl) -> Result<Option<String>, Failure> {
        if !url.is_http() {
            return Ok(None);
        }
        let args = ["config", "--get-urlmatch", "http.extraHeader", &url.to_string()];
        let (_, header) = self.in_checkout(dir, &args, &[0, 1]).await?;
        Ok(Some(header).filter(|header| !header.is_empty()))
    }

    /// Asks the checkout at `dir` something, and returns exit code (one of `codes`) and first line.
    async fn in_checkout(&self, dir: &Path, args: &[&str], codes: &[i32]) -> Result<(i32, String), Failure> {
        let mut command = self.command(None);
        // Values are read and nothing of the checkout runs: that it belongs to another user, as in CI, does no harm.
        command.env_remove("GIT_DIR").args(["-c", "safe.directory=*", "-C"]).arg(dir).args(args);
        let what = "cannot read the origin of the checkout";
        let finished = self.run(Call { what, command, remote: None, input: Vec::new() }, |_| ()).await?;
        match finished.status.code().filter(|code| codes.contains(code)) {
            Some(code) => {
                Ok((code, String::from_utf8_lossy(&finished.stdout).lines().next().unwrap_or_default().to_owned()))
            }
            None => Err(failure_of(what, &finished)),
        }
    }
}
