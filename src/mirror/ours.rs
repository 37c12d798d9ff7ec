//! Whether what lies in a mirror's place is the mirror that we made, before anything in it is changed.
//!
//! A place can be taken over: by a symlink to somebody's work repository, by another repository that was moved there. The
//! record of a mirror says nothing about that, so each one is checked when it is opened. No process is started for it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::base::failure::{Failure, Reason};
use crate::base::url::RemoteUrl;
use crate::mirror::storage::Storage;

/// Refuses what lies at the relative `place` when it is reached over a symlink that leaves the storage, or when its `origin`
/// is none of `urls`. A mirror that waits aside for its place is known by its id. What is not there, or has no origin that
/// can be read, is for others to judge.
///
/// # Errors
/// `held`, naming the place and what is there.
pub(crate) fn check(storage: &Storage, place: &Path, urls: &[&RemoteUrl]) -> Result<(), Failure> {
    let dir = storage.path(place);
    stays_inside(storage, &dir)?;
    // We put it there ourselves, under the repository's own id; its `origin` is written when it has its place.
    if storage.is_staged(place) {
        return Ok(());
    }
    match fs::read_to_string(dir.join("config")).ok().as_deref().map(origin_in) {
        Some(Origin::Is(text)) if !is_one_of(&text, urls) => {
            let from = RemoteUrl::parse(&text).map_or_else(|_| "somewhere else".to_owned(), |url| url.to_string());
            Err(foreign(&dir, &format!("its `origin` is {from}")))
        }
        _ => Ok(()),
    }
}

/// Whether the `origin` of the mirror `dir` should be written anew, because the repository has another URL by now.
pub(super) fn is_outdated(dir: &Path, url: &RemoteUrl) -> bool {
    match fs::read_to_string(dir.join("config")).ok().as_deref().map(origin_in) {
        Some(Origin::Is(text)) => !is_one_of(&text, &[url]),
        _ => false,
    }
}

/// As [`check`], of a repository that can be read: without an `origin` it was not made by us.
///
/// # Errors
/// `held`.
pub(super) fn check_origin(dir: &Path) -> Result<(), Failure> {
    match fs::read_to_string(dir.join("config")).ok().as_deref().map(origin_in) {
        Some(Origin::Missing) => Err(foreign(dir, "it has no `origin`")),
        _ => Ok(()),
    }
}

fn stays_inside(storage: &Storage, dir: &Path) -> Result<(), Failure> {
    let unreadable = |error| Failure::local(format!("cannot look at {}", dir.display()), &error);
    let real = match fs::canonicalize(dir) {
        Ok(real) => real,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(error)),
    };
    let root = fs::canonicalize(storage.root()).map_err(unreadable)?;
    match real.starts_with(&root) {
        true => Ok(()),
        false => Err(foreign(dir, &format!("it leads out of the storage, to {}", real.display()))),
    }
}

fn foreign(dir: &Path, why: &str) -> Failure {
    let message =
        format!("what lies in {} is not the mirror that was made there: {why}; nothing was changed", dir.display());
    let hint = "move it out of the storage directory, and the next run clones the mirror anew; if it is the mirror, \
        correct `remote.origin.url` in its configuration.";
    Failure::new(Reason::Held, message).with_hint(hint)
}

fn is_one_of(text: &str, urls: &[&RemoteUrl]) -> bool {
    // A local path may be spelled in a way that is no URL.
    let origin = RemoteUrl::parse(text).ok();
    urls.iter().any(|url| {
        // Forges change the host and port in the URLs that they list, and their mirrors stay in their place.
        let same = |origin: &RemoteUrl| {
            origin.same_repo(url)
                || url.as_file().is_none()
                    && origin.as_file().is_none()
                    && origin.repo_path().eq_ignore_ascii_case(&url.repo_path())
        };
        origin.as_ref().is_some_and(same) || url.to_string() == text
    })
}

/// What a configuration says of its `origin`.
#[derive(Debug, PartialEq, Eq)]
enum Origin {
    Is(String),
    Missing,
    /// Nothing that is read here for sure: empty, broken, or it reads other files.
    Unclear,
}

/// Reads the last `url` of `[remote "origin"]`, as git reads it.
fn origin_in(text: &str) -> Origin {
    let (mut within, mut any_section, mut found) = (false, false, Origin::Missing);
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
                return Origin::Unclear;
            };
            if section.to_ascii_lowercase().starts_with("include") {
                return Origin::Unclear;
            }
            any_section = true;
            within = section
                .split_once(' ')
                .is_some_and(|(name, of)| name.eq_ignore_ascii_case("remote") && of.trim() == "\"origin\"");
        } else if let (true, Some((key, value))) = (within, line.split_once('='))
            && key.trim().eq_ignore_ascii_case("url")
        {
            let value = value.trim();
            let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
            // A quote or an escape within, or a comment behind: git's to read.
            if bare.contains(['"', '\\']) || bare.contains(" #") || bare.contains(" ;") {
                return Origin::Unclear;
            }
            found = Origin::Is(bare.to_owned());
        }
    }
    if any_section { found } else { Origin::Unclear }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: &str = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n";

    #[test]
    fn the_origin_is_read_as_git_writes_it() {
        let of = |rest: &str| origin_in(&format!("{CORE}{rest}"));
        assert_eq!(
            of("[remote \"origin\"]\n\turl = https://h/x.git\n\tmirror = true\n"),
            Origin::Is("https://h/x.git".into())
        );
        assert_eq!(of("[remote \"origin\"]\n\turl = \"/srv/a b.git\"\n"), Origin::Is("/srv/a b.git".into()));
        assert_eq!(of("[remote \"other\"]\n\turl = https://h/x.git\n"), Origin::Missing);
        assert_eq!(of(""), Origin::Missing);
        for text in ["", "[core\n", "[include]\n\tpath = x\n", "[remote \"origin\"]\n\turl = \"a\\\"b\"\n"] {
            assert_eq!(origin_in(text), Origin::Unclear, "{text}");
        }
    }

    #[test]
    fn another_origin_and_a_way_out_of_the_storage_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::at(folder.path().join("storage"));
        storage.prepare().unwrap();
        let [mine, other] = ["https://h/ns/x.git", "https://h/ns/y.git"].map(|url| RemoteUrl::parse(url).unwrap());
        let make = |dir: &Path| {
            fs::create_dir_all(dir).unwrap();
            fs::write(dir.join("config"), format!("{CORE}[remote \"origin\"]\n\turl = {mine}\n")).unwrap();
        };
        make(&storage.path(Path::new("h/x.git")));
        make(&folder.path().join("work"));
        std::os::unix::fs::symlink(folder.path().join("work"), storage.path(Path::new("h/y.git"))).unwrap();
        let check = |place: &str, url| check(&storage, Path::new(place), &[url]).map_err(|failure| failure.reason());
        assert_eq!(check("h/x.git", &mine), Ok(()));
        assert_eq!(check("h/none.git", &mine), Ok(()));
        assert_eq!(check("h/x.git", &other), Err(Reason::Held));
        assert_eq!(check("h/y.git", &mine), Err(Reason::Held));
    }
}
