//! What a projection is made from, in a few characters: two that are equal need nothing.

use crate::model::release::{Asset, Link, ReleaseFields};

/// What tells one version of a file at its source from another: its digest where the forge tells one, else the forge's
/// own id of it with the time and size.
pub fn identity(asset: &Asset) -> String {
    match asset.digest {
        Some(digest) => format!("sha256:{digest}"),
        None => {
            let updated = asset.updated_at.map(|time| time.to_string()).unwrap_or_default();
            format!("{}@{updated}#{}", asset.id, asset.size.map(|size| size.to_string()).unwrap_or_default())
        }
    }
}

/// 16 hex digits over everything that is projected of one release; `fields` hold our own text as their notes.
pub fn state(fields: &ReleaseFields, assets: &[Asset], links: &[Link]) -> String {
    // Which one is the latest is no part of it: another one that becomes so takes the flag from it by itself.
    let ReleaseFields { tag, title, notes, draft, prerelease, latest: _, published_at } = fields;
    let files: Vec<(&str, String)> = assets.iter().map(|asset| (asset.name.as_str(), identity(asset))).collect();
    let links: Vec<(&str, &str)> = links.iter().map(|link| (link.name.as_str(), link.url.as_str())).collect();
    crate::base::text::digest(&format!(
        "{tag:?} {title:?} {notes:?} {draft} {prerelease} {published_at:?} {files:?} {links:?}"
    ))
}
