//! Releases behind a forge's API: one trait to read them, one to write them, one implementation per kind of forge.
//!
//! Releases of a repository are addressed by its path, which every forge understands and follows renames for.

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::base::failure::Failure;
use crate::model::RepoPath;
use crate::model::release::{Asset, Features, Link, Release, ReleaseFields, Sha256};

pub(in crate::forge) mod pace;
pub(in crate::forge) mod site;
#[cfg(test)]
pub(in crate::forge) mod testing;

/// The bytes of an asset, as they arrive.
pub struct Download {
    /// Where in the file they begin: what was asked for, or 0 when the server gives no ranges.
    pub offset: u64,
    /// The length of the whole file, where the server tells.
    pub size: Option<u64>,
    /// The server's validator (a strong ETag), for going on after a break.
    pub etag: Option<String>,
    /// A break is a failure, never a shorter stream.
    pub bytes: BoxStream<'static, Result<bytes::Bytes, Failure>>,
}

/// A file on this machine that becomes an asset.
#[derive(Debug, Clone)]
pub struct Upload<'a> {
    /// The name that its maker gave it.
    pub name: &'a str,
    pub content_type: Option<&'a str>,
    pub file: &'a std::path::Path,
    /// In bytes.
    pub size: u64,
    pub digest: Sha256,
}

/// Where releases are read from.
#[async_trait]
pub trait ReleaseSource: Send + Sync {
    /// All releases of a repository with all their assets and links, newest first, drafts as far as the token may see
    /// them. A repository without any gives an empty list.
    ///
    /// # Errors
    /// The listing is whole or it is a failure: one page that cannot be read fails it all.
    async fn releases(&self, repo: &RepoPath) -> Result<Vec<Release>, Failure>;

    /// Whether the forge says that releases are switched off in this repository; asked after it refused their listing.
    /// What cannot be told is no.
    async fn are_off(&self, _repo: &RepoPath) -> bool {
        false
    }

    /// Begins to read an asset's bytes at `offset`; `etag` is that of the first part, and a server whose file is another
    /// by now begins at 0. A redirect to another host (the forges' storage) is followed without the credential.
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)), and a redirect to where nothing may be fetched from
    /// (`file:`, from https to http).
    async fn download(&self, asset: &Asset, offset: u64, etag: Option<&str>) -> Result<Download, Failure>;
}

/// Where releases are written to. No method creates or moves a tag: the caller has seen it there.
#[async_trait]
pub trait ReleaseDestination: ReleaseSource {
    /// What releases can hold here.
    fn features(&self) -> Features;

    /// The name under which the forge would keep an asset of this name; equal for two assets that cannot both be there.
    fn stored_name(&self, name: &str) -> String;

    /// Whether the tag (short name) is there, as the API sees it.
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)); unknown is never "missing".
    async fn has_tag(&self, repo: &RepoPath, tag: &str) -> Result<bool, Failure>;

    /// Makes a release without assets. "Already exists" is a race: the one that is there is returned, told by
    /// [`Created::Found`].
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)).
    async fn create(&self, repo: &RepoPath, fields: &ReleaseFields) -> Result<Created, Failure>;

    /// Sets all fields of a release; this also publishes a draft.
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)).
    async fn edit(&self, repo: &RepoPath, id: &str, fields: &ReleaseFields) -> Result<Release, Failure>;

    /// Deletes a release with its assets; the tag stays. One that is not there any more is success.
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)).
    async fn delete(&self, repo: &RepoPath, release: &Release) -> Result<(), Failure>;

    /// Uploads a file and returns it as the forge has it; the bytes are checked by the forge's digest, or else size.
    /// What an upload that broke off left behind is removed. The same name must not be there.
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)), and `server_error` when it has other bytes by its own
    /// account.
    async fn upload(&self, repo: &RepoPath, release: &Release, file: &Upload<'_>) -> Result<Asset, Failure>;

    /// Deletes an asset; one that is not there any more is success.
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)).
    async fn delete_asset(&self, repo: &RepoPath, release: &Release, asset: &Asset) -> Result<(), Failure>;

    /// Adds a link, or changes the one of this name.
    ///
    /// # Errors
    /// A request fails ([the reasons](crate::forge#failures)); a forge without links has [`Features::links`] false and
    /// is not asked.
    async fn put_link(&self, repo: &RepoPath, release: &Release, link: &Link) -> Result<(), Failure>;

    /// Deletes a link; one that is not there any more is success.
    ///
    /// # Errors
    /// As [`ReleaseDestination::put_link`].
    async fn delete_link(&self, repo: &RepoPath, release: &Release, link: &Link) -> Result<(), Failure>;
}

/// What making a release came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    Made(Release),
    /// Somebody else made one for this tag meanwhile; it is as they made it.
    Found(Release),
}
