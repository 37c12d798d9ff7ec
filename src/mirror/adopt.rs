//! Mirrors that change their place: renamed at the source, or left by the Python Holocron.
//!
//! The Python Holocron kept `<storage>/<name>.git` with the token in `remote.origin.url`, and a checkout in
//! `<storage>/<name>`. Such a mirror is moved to its place when its URL matches, and the token goes from its config.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::checkout::beside;
use super::health;
use crate::base::failure::Failure;
use crate::base::url::RemoteUrl;
use crate::git::Git;
use crate::mirror::storage::{OWN_FOLDER, Storage, releases_of};

/// The bare repositories that lie directly in the storage root, where only the Python Holocron put any.
pub fn legacy_mirrors(root: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    let names = entries.filter_map(|entry| entry.ok().map(|entry| PathBuf::from(entry.file_name())));
    let is_mirror = |name: &PathBuf| {
        let folder = root.join(name);
        name.extension().is_some_and(|ending| ending == "git")
            && folder.join("HEAD").is_file()
            && folder.join("config").is_file()
    };
    names.filter(|name| name != Path::new(OWN_FOLDER)).filter(is_mirror).collect()
}

/// The URL that the repository `dir` was cloned from, without any password; `None` when there is none to be read.
pub async fn origin_of(git: &Git, dir: &Path) -> Option<RemoteUrl> {
    match git.config_value(&dir.join("config"), "remote.origin.url").await {
        Ok(Some(url)) => RemoteUrl::parse(&url).ok(),
        Ok(None) => None,
        Err(failure) => {
            tracing::debug!("{failure}");
            None
        }
    }
}

/// Moves a mirror and its checkout from one relative place to another, and lets its config name `url` and no secret.
///
/// Locks older than `since` are removed first: nobody holds them, and with one of them no move would ever succeed.
///
/// # Errors
/// A local failure; what was not moved yet stays where it was.
pub async fn relocate(
    git: &Git,
    storage: &Storage,
    (from, to): (&Path, &Path),
    url: &RemoteUrl,
    since: SystemTime,
) -> Result<(), Failure> {
    health::clear_litter(&storage.path(from), since)?;
    // First the secret: a mirror that was moved is not looked at for one again.
    let config = storage.path(from).join("config");
    git.set_config(&config, "remote.origin.url", Some(&url.to_string())).await?;
    git.set_config(&config, "remote.origin.pushurl", None).await?;
    forget_secrets(git, &config).await?;
    storage.place(&storage.path(from), to)?;
    move_releases(storage, from, to)?;
    let (old, new) = (from.with_extension(""), to.with_extension(""));
    for (old_checkout, new_checkout) in [(old.clone(), new.clone()), (beside(&old), beside(&new))] {
        if !storage.path(&old_checkout).join(".git").is_dir() {
            continue;
        }
        storage.place(&storage.path(&old_checkout), &new_checkout)?;
        let config = storage.path(&new_checkout).join(".git/config");
        git.set_config(&config, "remote.origin.url", Some(&storage.path(to).display().to_string())).await?;
        forget_secrets(git, &config).await?;
    }
    storage.tidy(from);
    Ok(())
}

/// Takes the releases that were saved beside a mirror along.
///
/// # Errors
/// A local failure, also where there are others already.
pub fn move_releases(storage: &Storage, from: &Path, to: &Path) -> Result<(), Failure> {
    let old = storage.path(&releases_of(from));
    if old.is_dir() { storage.place(&old, &releases_of(to)) } else { Ok(()) }
}

/// Takes credentials out of the configurations of a mirror that lies in its place already, and of its checkout.
///
/// # Errors
/// A configuration that cannot be read or written.
pub(super) async fn forget_tokens(git: &Git, storage: &Storage, place: &Path) -> Result<(), Failure> {
    for config in [place.join("config"), place.with_extension("").join(".git/config")] {
        let config = storage.path(&config);
        if config.is_file() {
            forget_secrets(git, &config).await?;
        }
    }
    Ok(())
}

/// Takes credentials out of a repository's configuration: users and passwords in URLs, headers with a token.
async fn forget_secrets(git: &Git, config: &Path) -> Result<(), Failure> {
    for (key, value) in git.config_entries(config).await? {
        let is_header = key.ends_with(".extraheader");
        // `url.<base>.insteadof` and `http.<base>.…` have a URL in the key.
        if is_header || has_secret(key.split_once('.').map_or("", |(_, rest)| rest)) {
            git.set_config(config, &key, None).await?;
        } else if has_secret(&value) {
            let clean = RemoteUrl::parse(&value).ok().map(|url| url.to_string());
            git.set_config(config, &key, clean.as_deref()).await?;
        }
    }
    Ok(())
}

/// Whether the text is an HTTP URL with user info: over HTTP even the user may be a token.
fn has_secret(text: &str) -> bool {
    let authority = text.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
    text.starts_with("http") && authority.is_some_and(|authority| authority.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_repositories_at_the_top_are_taken_for_the_old_tools() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["alpha.git", "github.com/acme/beta.git", "notes.git", "plain"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        for file in ["alpha.git/HEAD", "alpha.git/config", "github.com/acme/beta.git/HEAD", "notes.git/HEAD"] {
            fs::write(root.path().join(file), "").unwrap();
        }
        assert_eq!(legacy_mirrors(root.path()), [PathBuf::from("alpha.git")]);
        assert_eq!(legacy_mirrors(&root.path().join("nowhere")), Vec::<PathBuf>::new());
    }
}
