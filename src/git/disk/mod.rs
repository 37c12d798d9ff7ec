//! The refs of a bare repository read without git, as long as everything about it is plain.
//!
//! It does what `git for-each-ref --format='%(objectname) %(objecttype) %(refname)'` does: reads each ref, and opens the
//! object of each as far as its type. Whatever is not as git leaves a mirror of ours (loose objects, alternates, another
//! ref format, damage of any kind) is `None`: then git looks, and finds the words for it.
//!
//! A new mirror is written here as well (`create.rs`), as `git clone --mirror` would.
//!
//! The formats are those of gitrepository-layout(5) and gitformat-pack(5); git promises to read them for ever.

mod create;
mod packs;
mod refs;

use std::collections::BTreeSet;
use std::path::Path;

use super::refs::{LocalRefs, Oid, RefMap};
pub(super) use create::NewMirror;
use packs::{Kind, Packs};

/// Sections of a configuration that tell git nothing about the refs, whatever stands in them.
const ELSEWHERE: &[&str] = &["remote", "gc", "maintenance", "uploadpack", "receive", "http"];
/// Settings of `core` that git itself writes into a new repository, and that say nothing but yes or no.
const USUAL: &[&str] = &["bare", "filemode", "ignorecase", "precomposeunicode", "symlinks", "logallrefupdates"];

/// The refs of the repository `dir`; `None` when git must be asked.
pub(super) fn local_refs(dir: &Path) -> Option<LocalRefs> {
    if !is_plain(dir) {
        return None;
    }
    let all = refs::read(dir)?;
    if all.is_empty() {
        return Some(LocalRefs::default());
    }
    let mut packs = Packs::open(&dir.join("objects/pack"))?;
    let mut found = LocalRefs::default();
    for (name, oid) in all {
        if packs.kind(oid)? != Kind::Commit {
            found.not_commits.insert(name.clone());
        }
        let map = if name.starts_with(super::refs::OWN.as_bytes()) { &mut found.kept } else { &mut found.refs };
        map.insert(name, oid);
    }
    Some(found)
}

/// Those of `wanted` that the repository `dir` has; `None` when git must be asked.
pub(super) fn known(dir: &Path, wanted: &BTreeSet<Oid>) -> Option<BTreeSet<Oid>> {
    let objects = dir.join("objects");
    let elsewhere = ["info/alternates", "info/http-alternates", "../commondir"];
    if elsewhere.iter().any(|path| objects.join(path).exists()) || wanted.iter().any(|oid| oid.bytes().len() != 20) {
        return None;
    }
    let mut packs = Packs::open(&objects.join("pack"))?;
    let mut has = |oid: Oid| {
        let name = oid.to_string();
        packs.kind(oid).is_some() || objects.join(&name[..2]).join(&name[2..]).exists()
    };
    Some(wanted.iter().copied().filter(|oid| has(*oid)).collect())
}

/// What the refs of the repository `dir` name, and which of `tips` it has; `None` when git must be asked, or it is shallow.
pub(super) fn at_hand(dir: &Path, tips: &BTreeSet<Oid>) -> Option<(RefMap, BTreeSet<Oid>)> {
    if !is_plain(dir) || dir.join("shallow").exists() {
        return None;
    }
    let refs = refs::read(dir)?;
    let mut packs = Packs::open(&dir.join("objects/pack"))?;
    let here = tips.iter().copied().filter(|tip| packs.kind(*tip).is_some()).collect();
    Some((refs, here))
}

/// Whether nothing in the repository is other than usual: HEAD, settings, hash, ref format, objects elsewhere.
fn is_plain(dir: &Path) -> bool {
    let elsewhere = ["objects/info/alternates", "objects/info/http-alternates", "commondir", "reftable"];
    let settings = std::fs::read_to_string(dir.join("config")).is_ok_and(|text| is_plain_config(&text));
    settings
        && refs::head_is_sound(dir)
        && dir.join("objects").is_dir()
        && !elsewhere.iter().any(|path| dir.join(path).exists())
}

/// Whether a configuration is one that git reads, and tells of a repository like any other.
fn is_plain_config(text: &str) -> bool {
    let (mut section, mut version) = (String::new(), None);
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if line.starts_with('[') {
            match section_of(line) {
                Some(name) if name == "core" || ELSEWHERE.contains(&name.as_str()) => section = name,
                // Settings elsewhere, another hash or ref format, or what git might refuse.
                _ => return false,
            }
            continue;
        }
        let (key, value) = line.split_once('=').map_or((line, ""), |(key, value)| (key.trim_end(), value.trim_start()));
        let is_key = key.starts_with(|c: char| c.is_ascii_alphabetic())
            && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        // A quote may go on in the next line.
        if section.is_empty() || !is_key || value.contains(['"', '\\']) {
            return false;
        }
        match (section.as_str(), key.to_ascii_lowercase().as_str()) {
            ("core", "repositoryformatversion") => version = Some(value),
            ("core", key) if !USUAL.contains(&key) || !["true", "false"].contains(&value) => return false,
            // Objects that are fetched when they are missed.
            (_, "promisor" | "partialclonefilter") => return false,
            _ => {}
        }
    }
    version == Some("0")
}

/// The name in `[name]` or `[name "of one"]`, in small letters.
fn section_of(line: &str) -> Option<String> {
    let inner = line.strip_prefix('[')?.strip_suffix(']')?;
    let (name, of) = inner.split_once(' ').unwrap_or((inner, ""));
    let of_one = of.strip_prefix('"').and_then(|of| of.strip_suffix('"'));
    let fine = of.is_empty() || of_one.is_some_and(|of| !of.contains(['"', '\\', ']']));
    (fine && name.chars().all(|c| c.is_ascii_alphabetic())).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
