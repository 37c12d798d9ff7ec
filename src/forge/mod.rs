//! Where repositories are read from: one trait, one implementation per kind.

use async_trait::async_trait;

use crate::failure::Failure;
use crate::model::Repo;

/// Everything a source has, or had at the moment it was asked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Listing {
    pub repos: Vec<Repo>,
    /// Parts that could not be listed and do not make the rest untrue (an organisation that wants single sign-on, a
    /// name that may not become a path): each is reported, and makes the run end with exit code 3.
    pub refused: Vec<Refused>,
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
    /// Anything that leaves the question open: network, limits, a server's failure.
    async fn find(&self, id: &str) -> Result<Option<Repo>, Failure>;
}
