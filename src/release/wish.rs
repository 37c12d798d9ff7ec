//! Pure: which of a source's releases a destination is to have, and in what form it can have them.

use std::collections::BTreeSet;

use super::{marker, state};
use crate::base::failure::{Failure, Reason};
use crate::config::globs;
use crate::config::releases::{AssetMode, ReleaseScope};
use crate::model::projection::ReleaseProblem;
use crate::model::release::{Asset, Features, Link, Release, ReleaseFields};

/// By what rules releases are projected to one place.
pub struct Rules<'a> {
    pub scope: &'a ReleaseScope,
    pub features: &'a Features,
    /// What the mark names as the source.
    pub source: &'a str,
    /// The name under which the place keeps a file of this name.
    pub stored_name: &'a (dyn Fn(&str) -> String + Sync),
    /// Whether the release of this tag is to be looked at in this run.
    pub only: &'a (dyn Fn(&str) -> bool + Sync),
}

/// A release as the place is to have it; its notes are our own text, without any mark.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    pub fields: ReleaseFields,
    /// Files to be copied, in the source's order.
    pub assets: Vec<Asset>,
    /// Files that it cannot have; those that are there already stay.
    pub left_out: Vec<Asset>,
    pub links: Vec<Link>,
}

impl Wish {
    /// What it is made from, in 16 hex digits.
    pub fn state(&self) -> String {
        state::state(&self.fields, &self.assets, &self.links)
    }
}

/// The releases that a place is to have, the oldest first.
pub fn wishes(
    source: &[Release],
    rules: &Rules<'_>,
    problems: &mut Vec<ReleaseProblem>,
    notes: &mut Vec<String>,
) -> Vec<Wish> {
    let has_latest = source.iter().any(|release| release.latest);
    let mut wishes = Vec::new();
    for release in select(source, rules.scope).into_iter().filter(|release| (rules.only)(&release.tag)) {
        if release.draft && !rules.features.drafts {
            notes.push(format!("the draft {} is left out: the forge has no drafts.", release.tag));
            continue;
        }
        if release.prerelease && !rules.features.prereleases {
            notes.push(format!("{} is marked as a pre-release in its notes: the forge has no such mark.", release.tag));
        }
        let same_tag = |other: &&Release| other.tag == release.tag && other.draft;
        if release.draft && source.iter().filter(same_tag).count() > 1 {
            notes.push(format!("{} has several drafts at the source: the newest is taken.", release.tag));
        }
        wishes.push(wish(release, has_latest, rules, problems));
    }
    wishes
}

/// The releases in the scope, the oldest first.
pub fn select<'a>(source: &'a [Release], scope: &ReleaseScope) -> Vec<&'a Release> {
    let tags = globs::of_refs(&scope.tags);
    let wanted = |release: &&Release| {
        (scope.drafts || !release.draft)
            && (scope.prereleases || !release.prerelease)
            && (!scope.latest || release.latest)
            && (scope.tags.is_empty() || tags.is_match(&release.tag))
    };
    let mut chosen: Vec<&Release> = source.iter().filter(wanted).collect();
    one_per_tag(&mut chosen);
    // A listing is newest first; where times are equal or missing, that order tells.
    chosen.reverse();
    chosen.sort_by_key(|release| release.published_at.or(release.created_at));
    if let Some(max) = scope.max {
        chosen.drain(..chosen.len().saturating_sub(max));
    }
    chosen
}

/// Leaves one release per tag, which is its identity: the published one, else the newest draft. Only drafts may be
/// several, or be without a tag, and then have no identity yet.
fn one_per_tag(newest_first: &mut Vec<&Release>) {
    let published: BTreeSet<&str> =
        newest_first.iter().filter(|release| !release.draft).map(|release| release.tag.as_str()).collect();
    let mut seen = BTreeSet::new();
    newest_first.retain(|release| {
        let tag = release.tag.as_str();
        let superseded = release.draft && published.contains(tag);
        !tag.is_empty() && !superseded && seen.insert(tag)
    });
}

fn wish(release: &Release, has_latest: bool, rules: &Rules<'_>, problems: &mut Vec<ReleaseProblem>) -> Wish {
    let Rules { scope, features, .. } = rules;
    let mut problem = |asset: &Asset, failure: Failure| {
        problems.push(ReleaseProblem { tag: release.tag.clone(), asset: Some(asset.name.clone()), failure });
    };
    let (mut assets, mut left_out, mut links) = (Vec::new(), Vec::new(), release.links.clone());
    for asset in &release.assets {
        match scope.assets {
            AssetMode::Off => left_out.push(asset.clone()),
            AssetMode::Link if asset.url.scheme() == "file" => {
                let failure = Failure::new(Reason::Held, "it lies on this machine only: there is nothing to link to");
                problem(asset, failure.with_hint("set `assets: copy` for this destination."));
                left_out.push(asset.clone());
            }
            AssetMode::Link => links.push(Link {
                id: String::new(),
                name: asset.name.clone(),
                url: public_url(release, asset),
                kind: None,
            }),
            AssetMode::Copy => match unfit(asset, &assets, rules) {
                Some(failure) => {
                    problem(asset, failure);
                    left_out.push(asset.clone());
                }
                None => assets.push(asset.clone()),
            },
        }
    }
    let title = if release.title.trim().is_empty() { release.tag.clone() } else { release.title.clone() };
    let mut text = marker::strip(&release.notes);
    if release.prerelease && !features.prereleases {
        text = format!("_Pre-release._\n\n{text}");
    }
    if !features.links && !links.is_empty() {
        let list: Vec<String> = links.iter().map(|link| format!("- [{}]({})", link.name, link.url)).collect();
        text = format!("{text}\n\n{}", list.join("\n"));
        links.clear();
    }
    let fields = ReleaseFields {
        tag: release.tag.clone(),
        title,
        notes: fit(text.trim_start().to_owned(), features),
        draft: release.draft,
        prerelease: release.prerelease,
        latest: has_latest.then_some(release.latest),
        published_at: release.published_at,
    };
    Wish { fields, assets, left_out, links }
}

/// Why a file cannot, or must not, be copied.
fn unfit(asset: &Asset, before: &[Asset], rules: &Rules<'_>) -> Option<Failure> {
    let Rules { scope, features, stored_name, .. } = rules;
    if !asset.complete {
        let message = "the source has only a part of it: its upload broke off there";
        return Some(Failure::new(Reason::ServerError, message));
    }
    if !scope.private_keys && is_private_key(&asset.name) {
        let failure = Failure::new(Reason::SecretBlocked, "its name says that it is a private key: it is not copied");
        return Some(failure.with_hint("when it is meant to be public, set `private_keys: true` in `releases`."));
    }
    let stored = stored_name(&asset.name);
    if let Some(other) = before.iter().find(|other| stored_name(&other.name) == stored) {
        let message = format!("it would have the same name there as the release's file {}", other.name);
        return Some(Failure::new(Reason::Held, message).with_hint("rename one of them at the source."));
    }
    if asset.size == Some(0) && !features.empty_assets {
        return Some(Failure::new(Reason::PushRejected, "the forge takes no file without a byte"));
    }
    if features.most_assets.is_some_and(|most| before.len() >= most) {
        let most = features.most_assets.unwrap_or_default();
        return Some(Failure::new(Reason::TooLarge, format!("the forge takes {most} files per release")));
    }
    let limit = features.largest_asset.filter(|limit| asset.size.is_some_and(|size| size > *limit))?;
    let limit = crate::base::text::bytes(limit);
    Some(Failure::new(Reason::TooLarge, format!("the forge takes files of up to {limit}")))
}

/// Whether a file's name says that it is a private key, by the names that ssh-keygen and key stores use.
pub fn is_private_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let stem = name.rsplit('/').next().unwrap_or(&name);
    let keys = ["id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", "id_ecdsa_sk", "id_ed25519_sk"];
    let ends = [".ppk", ".p12", ".pfx", ".jks", ".keystore", ".key"];
    keys.contains(&stem)
        || ends.iter().any(|end| stem.ends_with(end)) && !stem.contains("pub")
        || (stem.contains("private") && stem.contains("key"))
}

/// Where people get the file at its source.
fn public_url(release: &Release, asset: &Asset) -> url::Url {
    let mut url = asset.url.clone();
    // GitHub's API URL needs a header; its web has `/releases/download/<tag>/<name>` beside `/releases/tag/<tag>`.
    if let Some(page) = &release.page
        && url.path().contains("/releases/assets/")
        && let Some((head, tag)) = page.path().split_once("/releases/tag/")
    {
        let path = format!("{head}/releases/download/{tag}/{}", asset.stored_as);
        url = page.clone();
        url.set_path(&path);
    }
    url
}

/// Notes that are too long lose their end, and say so.
fn fit(notes: String, features: &Features) -> String {
    // Room for our mark, and for what a person adds.
    const ROOM: usize = 2000;
    let Some(most) = features.longest_notes.map(|most| most.saturating_sub(ROOM)) else { return notes };
    match notes.char_indices().nth(most) {
        Some((end, _)) => format!("{}\n\n_(shortened: the forge takes no more)_", &notes[..end]),
        None => notes,
    }
}
