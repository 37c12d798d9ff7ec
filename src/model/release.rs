//! The nouns of releases: what a forge (or the backup on disk) has, and what is written to one.
//!
//! A release's identity is its tag. Everything here is data; the decisions stand in `release/plan.rs`.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

/// One release, as its forge or the backup has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The forge's own id of it; GitLab has none and gives the tag, a backup its folder.
    pub id: String,
    /// The tag's short name: what the release is known by everywhere.
    pub tag: String,
    /// Its name; empty where the forge has none.
    pub title: String,
    /// Markdown, with line feeds only.
    pub notes: String,
    pub draft: bool,
    pub prerelease: bool,
    /// The one that the forge shows as its latest; at most one in a listing.
    pub latest: bool,
    pub created_at: Option<Timestamp>,
    /// When it was, or will be, published.
    pub published_at: Option<Timestamp>,
    /// Who made it, where the forge tells; never projected, only kept in a backup.
    pub author: Option<String>,
    /// Its page on the forge.
    pub page: Option<Url>,
    /// Files that the forge keeps, in the forge's order.
    pub assets: Vec<Asset>,
    /// Names of files that lie elsewhere, in the forge's order.
    pub links: Vec<Link>,
}

/// A file that belongs to a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asset {
    /// The forge's own id of it; a replaced file has another.
    pub id: String,
    /// The name that its maker gave it, where it can be told (GitHub's `label`, a GitLab link's name).
    pub name: String,
    /// The name under which the forge keeps it, where that is another one.
    pub stored_as: String,
    /// In bytes.
    pub size: Option<u64>,
    /// Of its bytes, where the forge tells.
    pub digest: Option<Sha256>,
    pub content_type: Option<String>,
    /// When the forge last changed it.
    pub updated_at: Option<Timestamp>,
    /// Where its bytes are: a URL of the forge's API or web origin, or `file:` in a backup.
    pub url: Url,
    /// All of it is there. `false` is the stub of an upload that broke off (GitHub's `starter`).
    pub complete: bool,
}

/// The name of a file that lies elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Link {
    /// The forge's own id of it, where it has one.
    pub id: String,
    pub name: String,
    pub url: Url,
    /// GitLab's kind of link (`other`, `runbook`, `image`, `package`).
    pub kind: Option<String>,
}

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256(#[schemars(with = "String")] [u8; 32]);

impl Sha256 {
    /// The digest of these 32 bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Sha256(bytes)
    }

    /// Reads 64 hex digits, with or without `sha256:` before them; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        if text.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(text.chunks(2)) {
            let digit = |c: u8| char::from(c).to_digit(16);
            *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
        }
        Some(Sha256(bytes))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{self}")
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.to_string()
    }
}

impl TryFrom<String> for Sha256 {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Sha256::parse(&text).ok_or_else(|| format!("`{text}` is no SHA-256 digest"))
    }
}

/// The fields of a release that are written to a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFields {
    /// The tag, which is on the forge already.
    pub tag: String,
    pub title: String,
    pub notes: String,
    /// Not shown to the public yet.
    pub draft: bool,
    pub prerelease: bool,
    /// `None` leaves it to the forge.
    pub latest: Option<bool>,
    /// Written where the forge takes it (GitLab's `released_at`).
    pub published_at: Option<Timestamp>,
}

/// What a forge's releases can hold; the plan says what does not fit before anything is uploaded.
///
/// Sources: the forges' documentation, named where each value is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    pub drafts: bool,
    pub prereleases: bool,
    /// "Latest" can be set; where not, the forge computes it.
    pub latest: bool,
    /// Links to files elsewhere; where not, they are listed in the notes.
    pub links: bool,
    /// Files without a byte are taken.
    pub empty_assets: bool,
    /// The most assets that one release takes.
    pub most_assets: Option<usize>,
    /// The most bytes that one asset may have.
    pub largest_asset: Option<u64>,
    /// The most characters that notes may have.
    pub longest_notes: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_reads_what_it_writes_and_nothing_shorter() {
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let digest = Sha256::parse(text).unwrap();
        assert_eq!(digest.to_string(), text);
        assert_eq!(Sha256::parse(&format!("sha256:{}", text.to_uppercase())), Some(digest));
        for wrong in ["", "sha256:", &text[1..], &text.replace('e', "g"), "sha1:e3b0"] {
            assert_eq!(Sha256::parse(wrong), None, "{wrong}");
        }
    }
}
