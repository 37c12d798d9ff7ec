//! A list of URLs as a source: no API stands behind it, so it knows nothing but names.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;

use crate::base::failure::{Failure, Reason};
use crate::base::url::RemoteUrl;
use crate::forge::gather::{refuse_name, shown};
use crate::forge::{Listing, Refused, Source};
use crate::model::{Repo, RepoPath, RepoState, Visibility};

/// The repositories that someone wrote down.
pub struct UrlList {
    source_id: String,
    urls: Vec<RemoteUrl>,
}

impl UrlList {
    /// A source of exactly these repositories; one named twice counts once.
    pub fn new(source_id: impl Into<String>, urls: Vec<RemoteUrl>) -> Self {
        UrlList { source_id: source_id.into(), urls }
    }

    fn repo(&self, url: &RemoteUrl) -> Result<Repo, Failure> {
        let name = url.repo_path();
        let path = RepoPath::parse(&name).map_err(|error| refuse_name(&name, &error.to_string()))?;
        Ok(unknown(&self.source_id, path, url.clone()))
    }
}

/// A repository of which nothing but name and URL is known.
///
/// Its visibility counts as private: nothing may become public because we were not told.
pub(in crate::forge) fn unknown(source_id: &str, path: RepoPath, url: RemoteUrl) -> Repo {
    Repo {
        source: source_id.to_owned(),
        folder: url.folder(),
        // However the URL is spelled today: another scheme or user is the same repository. Case counts: nobody says that
        // the server folds it.
        id: path.to_string(),
        path,
        url,
        default_branch: None,
        pushed_at: None,
        size_kib: None,
        visibility: Visibility::Private,
        fork: false,
        archived: false,
        state: RepoState::Ready,
        topics: Default::default(),
        description: None,
        releases_off: false,
    }
}

#[async_trait]
impl Source for UrlList {
    async fn list(&self, seen: &(dyn Fn(usize) + Send + Sync)) -> Result<Listing, Failure> {
        let mut listing = Listing::default();
        let mut ids = HashSet::new();
        let mut places = HashMap::new();
        for url in &self.urls {
            if !ids.insert(url.to_string()) {
                continue;
            }
            let repo = self.repo(url).and_then(|repo| {
                let first = places.entry(repo.mirror_path()).or_insert(url);
                if *first == url {
                    return Ok(repo);
                }
                let text = format!("{url} would share its mirror with {first}");
                Err(Failure::new(Reason::Held, text).with_hint("keep one of the two URLs."))
            });
            match repo {
                Ok(repo) => listing.repos.push(repo),
                Err(failure) => listing.refused.push(Refused { what: shown(&url.to_string()), failure }),
            }
        }
        seen(listing.repos.len());
        Ok(listing)
    }

    async fn find(&self, id: &str) -> Result<Option<Repo>, Failure> {
        let repos: Result<Vec<Repo>, Failure> = self.urls.iter().map(|url| self.repo(url)).collect();
        Ok(repos?.into_iter().find(|repo| repo.id == id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn list(urls: &[&str]) -> Listing {
        let urls = urls.iter().map(|url| RemoteUrl::parse(url).unwrap()).collect();
        UrlList::new("mine", urls).list(&|_| ()).await.unwrap()
    }

    #[tokio::test]
    async fn each_url_becomes_the_mirror_of_its_host_and_path() {
        let urls = ["https://h:8443/ns/x.git", "git@h:ns/y", "ssh://git@h:2222/z.git", "/srv/git/w.git"];
        let places: Vec<_> = list(&urls).await.repos.iter().map(|r| r.mirror_path().display().to_string()).collect();
        assert_eq!(places, ["h_8443/ns/x.git", "h/ns/y.git", "h_2222/z.git", "local/srv/git/w.git"]);
    }

    #[tokio::test]
    async fn a_url_named_twice_counts_once_and_two_in_one_place_are_refused() {
        let listing = list(&["https://h/ns/x", "https://h/ns/x", "git@h:ns/x.git"]).await;
        assert_eq!(listing.repos.len(), 1);
        assert_eq!(listing.refused[0].what, "git@h:ns/x.git");
        assert_eq!(listing.refused[0].failure.message(), "git@h:ns/x.git would share its mirror with https://h/ns/x");
    }

    #[tokio::test]
    async fn urls_that_differ_only_in_case_are_two_repositories() {
        let listing = list(&["https://h/ns/x", "https://h/ns/X"]).await;
        assert_eq!((listing.repos.len(), listing.refused.len()), (2, 0));
        assert_ne!(listing.repos[0].key(), listing.repos[1].key());
    }

    #[tokio::test]
    async fn a_path_that_would_leave_the_storage_is_refused_and_the_rest_stands() {
        let listing = list(&["git@h:../../etc/x", "https://h/", "https://h/ns/x"]).await;
        assert_eq!((listing.repos.len(), listing.refused.len()), (1, 2));
    }

    #[tokio::test]
    async fn only_what_is_on_the_list_is_found() {
        let source = UrlList::new("mine", vec![RemoteUrl::parse("https://u:p@h/ns/x").unwrap()]);
        assert_eq!(source.find("ns/x").await.unwrap().unwrap().path.to_string(), "ns/x");
        assert_eq!(source.find("ns/y").await.unwrap(), None);
    }
}
