//! Where repositories are read from: one trait, one implementation per kind.
//!
//! [`open::source`] gives the source behind a forge's API; [`UrlList`] and [`DirTree`] have no API behind them. What the forges
//! share stands in `http` (the one door), `paging`, `cache`, `limits`, `status` and `gather`.
//!
//! # Failures
//!
//! A request to an API fails with `network_failed`, `tls_failed`, `auth_failed`, `forbidden`, `remote_not_found`,
//! `rate_limited`, `blocked`, `server_error`, `timed_out` or `cancelled`; with `unknown` for an answer that is none of these.
//! Where a method says "a request fails", it is with one of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::base::failure::Failure;
use crate::base::hosts::Gate;
use crate::base::retry::Policy;
use crate::base::secret::Secret;
use crate::base::url::Origin;
use crate::model::Repo;

pub mod destination;
mod gather;
mod gitea;
mod github;
mod gitlab;
mod http;
pub mod open;
mod plain;
pub mod release;
#[cfg(test)]
mod testing;

pub use http::cache::{CachedPage, PageCache};
pub use plain::{DirTree, UrlList};

/// Everything a source has, or had at the moment it was asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    pub repos: Vec<Repo>,
    /// Parts that could not be listed and do not make the rest untrue (an organisation that wants single sign-on, a
    /// name that may not become a path): each is reported, and makes the run end with exit code 3.
    pub refused: Vec<Refused>,
    /// What a person should know about the listing that makes no part of it untrue.
    pub warnings: Vec<String>,
}

/// A part of a listing that was refused for itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// What it is about: an organisation, a repository.
    pub what: String,
    pub failure: Failure,
}

/// A place that repositories are read from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Lists what should exist; `seen` is told the number of repositories so far after each page.
    ///
    /// # Errors
    /// The listing is whole or it is a failure: one page that cannot be read fails it all.
    async fn list(&self, seen: &(dyn Fn(usize) + Send + Sync)) -> Result<Listing, Failure>;

    /// Looks a repository up by the forge's own id; `None` when it no longer exists (or is hidden from us).
    ///
    /// # Errors
    /// Anything that leaves the question open: network, limits, a server's failure; `blocked` when the forge keeps it
    /// back for legal reasons.
    async fn find(&self, id: &str) -> Result<Option<Repo>, Failure>;
}

/// Who is told when a request is tried again: the failure and the wait before the next try.
pub type OnRetry = Arc<dyn Fn(&Failure, Duration) + Send + Sync>;

/// How to reach a forge, and what to ask it for.
#[derive(Clone)]
pub struct Connection {
    /// The id of the source, as it stands in [`Repo::source`].
    pub source_id: String,
    /// The API's base, such as `https://api.github.com` or `https://git.example.org/api/v1`.
    pub api_url: Url,
    /// `None` lists public repositories only, and needs `owners`.
    pub token: Option<Secret>,
    /// Users, organisations or groups; empty asks for everything that the token can see.
    pub owners: Vec<String>,
    /// PEM file with the CAs to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Proxy for the API; `None` obeys `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    pub proxy: Option<Url>,
    /// How long connecting may take, and how long the server may stay silent.
    pub timeout: Duration,
    pub policy: Policy,
    /// Where its requests pass.
    pub gate: Arc<Gate>,
    /// Give git the ssh URLs instead of the HTTPS ones.
    pub transport_ssh: bool,
    /// Put the API's own host into the HTTP URLs that it lists.
    pub api_host: bool,
    pub cache: Arc<PageCache>,
    /// Ends waits and requests.
    pub cancel: CancellationToken,
    pub on_retry: OnRetry,
}

/// Where git finds the repositories of the forge behind this API: what its credential belongs to, and its folder's name.
///
/// GitHub.com and GitHub with data residency have an API host of their own (`api.github.com`, `api.SUB.ghe.com`);
/// everything else serves both from one origin.
pub fn web_origin(api: &Url) -> Origin {
    let host = api.host_str().unwrap_or_default();
    match host.strip_prefix("api.") {
        Some(web) if web.eq_ignore_ascii_case("github.com") || web.ends_with(".ghe.com") => {
            Origin::new(api.scheme(), web, api.port())
        }
        _ => Origin::new(api.scheme(), host, api.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_has_its_own_host_only_on_githubs_own_servers() {
        for (api, web) in [
            ("https://api.github.com", "https://github.com"),
            ("https://api.acme.ghe.com", "https://acme.ghe.com"),
            ("https://ghe.example.org/api/v3", "https://ghe.example.org"),
            ("https://api.example.org:8443/v4", "https://api.example.org:8443"),
            ("http://127.0.0.1:3000/api/v1", "http://127.0.0.1:3000"),
        ] {
            assert_eq!(web_origin(&Url::parse(api).unwrap()).to_string(), web);
        }
    }
}
