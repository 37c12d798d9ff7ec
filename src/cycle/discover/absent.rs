//! Mirrors whose repositories a listing no longer shows: gone, merely not listed, or too many at once to be believed.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use futures_util::{StreamExt, stream};

use super::LOOKUPS;
use super::selection::Selection;
use crate::base::failure::{Failure, Reason};
use crate::config::{Config, SourceConfig, globs};
use crate::forge::{self, Listing, Source};
use crate::mirror::decide::too_many;
use crate::model::{ForgeKind, MirrorKey, Repo};
use crate::store::MirrorRecord;

/// The mirrors of a source whose repositories its listing does not show.
#[derive(Default)]
pub(super) struct Absent {
    pub(super) gone: Vec<MirrorKey>,
    pub(super) unlisted: Vec<(MirrorKey, Failure)>,
}

/// Asks after the mirrors of this source that its listing no longer shows.
///
/// Nothing is ever retired because a question failed. What is known to be gone is not asked after again: if it comes
/// back, the listing shows it.
///
/// # Errors
/// `held` when so many are gone at once that the listing is more likely wrong: a token that lost its rights, a volume
/// that is not mounted.
pub(super) async fn absent(
    source: &SourceConfig,
    config: &Config,
    open: &dyn Source,
    listing: &Listing,
    records: &[MirrorRecord],
) -> Result<Absent, Failure> {
    let listed: HashSet<MirrorKey> = listing.repos.iter().map(Repo::key).collect();
    let covered: Vec<_> = records.iter().filter(|record| covers(source, record)).collect();
    let selection = Selection::of(&source.filters);
    let missing = covered.iter().filter(|record| !listed.contains(&record.key));
    let (known, news): (Vec<&MirrorRecord>, Vec<&MirrorRecord>) =
        missing.partition(|record| record.gone_since.is_some());
    let answers = stream::iter(news)
        .map(|record| async move { (record, open.find(&record.key.id).await) })
        .buffer_unordered(LOOKUPS)
        .collect::<Vec<_>>()
        .await;
    let mut absent = Absent { gone: known.iter().map(|record| record.key.clone()).collect(), ..Absent::default() };
    let mut lost = Vec::new();
    for (record, answer) in answers {
        match answer {
            Ok(None) => lost.push(record),
            // An excluded repository is not missed.
            _ if selection.excludes(&record.path.to_string()) => {}
            Ok(Some(repo)) => absent.unlisted.push((record.key.clone(), no_longer_listed(record, &repo))),
            Err(failure) => {
                let message =
                    format!("is no longer listed, and nobody can tell whether it exists: {}", failure.message());
                absent.unlisted.push((record.key.clone(), failure.with_message(message)));
            }
        }
    }
    let accepted = globs::of_repositories(&config.accept_deletions);
    let meant = lost.iter().all(|record| accepted.is_match(record.path.to_string()));
    let had = covered.len() - known.len();
    if !meant && too_many(had, lost.len(), had - lost.len(), config.cliff) {
        return Err(vanished(&lost, had));
    }
    // The answers come in any order; what follows from them has one.
    lost.sort_by(|one, other| one.key.cmp(&other.key));
    absent.unlisted.sort_by(|(one, _), (other, _)| one.cmp(other));
    absent.gone.extend(lost.into_iter().map(|record| record.key.clone()));
    Ok(absent)
}

/// The failure of a source that lost more repositories at once than a person is likely to have deleted.
fn vanished(lost: &[&MirrorRecord], had: usize) -> Failure {
    let names: Vec<String> = lost.iter().map(|record| record.path.to_string()).collect();
    let what = match (&names[..], had) {
        ([name], 1) => format!("{name} is gone, and was the only repository of this source"),
        (names, had) if names.len() == had => format!("all {had} repositories of this source are gone"),
        (names, had) => format!("{} of the {had} repositories of this source are gone at once", names.len()),
    };
    let meant = match &names[..] {
        [name] => name.clone(),
        _ => "and their names".to_owned(),
    };
    let hint = format!(
        "see whether the token still sees them, or the directory is mounted; when the deletion is meant, run again with \
         --accept-deletions {meant}."
    );
    Failure::new(Reason::Held, format!("{what}: nothing of it was touched"))
        .with_evidence(names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", "))
        .with_hint(hint)
}

fn no_longer_listed(record: &MirrorRecord, repo: &Repo) -> Failure {
    let name = if repo.path == record.path { String::new() } else { format!(" as {}", repo.path) };
    let message = format!("is no longer listed, but exists{name}: its mirror is not brought up to date");
    let hint = "give the token access to it, name its owner as a source, or exclude it.";
    Failure::new(Reason::RemoteNotFound, message).with_hint(hint)
}

/// Whether this source, as it is configured now, would list the repository of a record if it existed.
///
/// A source's id (`gitea`) stays when its server, its owners or its list of URLs are others than they were: what it no
/// longer covers is not gone, and need not be asked for one by one in every run.
fn covers(source: &SourceConfig, record: &MirrorRecord) -> bool {
    let namespace = record.path.namespace().to_lowercase();
    let owned = |owner: &String| {
        let rest = namespace.strip_prefix(&owner.to_lowercase());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let on_host = match (&source.api_url, source.kind) {
        (Some(api), _) => record.key.folder == forge::web_origin(api).folder(),
        // A URL that is taken from the list does not mean a deleted repository, and there is no API to ask.
        (None, ForgeKind::Urls) => false,
        // What is found has no symbolic link in its path; the directory that is named may be one.
        (None, _) => source.dirs.iter().any(|dir| {
            let real = fs::canonicalize(dir).unwrap_or_else(|_| dir.clone());
            Path::new(&record.url).starts_with(real)
        }),
    };
    let is_its = record.source == source.id || source.former_id.as_ref() == Some(&record.source);
    is_its && on_host && (source.owners.is_empty() || source.owners.iter().any(owned))
}
