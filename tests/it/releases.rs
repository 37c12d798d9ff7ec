//! Releases on their way to other forges: what a run makes, changes and leaves alone there, and what it says.

mod changes;
mod command;
mod directions;
mod disk;
mod faults;
mod first;
mod odd;
mod off;
mod restore;
mod secrets;

use serde_json::{Value, json};

pub(crate) use disk::source_of;

use crate::destinations::Pair;
use crate::net::mirror;
use crate::support::{Dialect, ReleaseSeen, Repo};

/// A source with `acme/alpha`, and a destination that gets its releases.
async fn pair(kind: Dialect) -> (Pair, Repo) {
    let pair = Pair::with(kind, &json!({"releases": "all"})).await;
    let alpha = pair.source.repo("acme/alpha").branch("main");
    (pair, alpha)
}

/// What is told of the releases of `acme/alpha` at the destination.
fn told(report: &Value) -> &Value {
    let all = mirror(report, "acme/alpha")["releases"].as_array().expect("a list of places");
    all.iter().find(|place| place["id"] == "to").unwrap_or_else(|| panic!("no releases at the destination: {report:#}"))
}

/// The numbers of what is told, without the zeros.
fn counts(report: &Value) -> Value {
    let mut counts = told(report)["releases"].clone();
    counts.as_object_mut().expect("counts").retain(|_, number| *number != 0);
    counts
}

/// A release without what only we write: our mark around the notes.
fn plain(release: &ReleaseSeen) -> ReleaseSeen {
    let is_mark = |line: &&str| !line.starts_with("<!-- holocron:");
    let notes: Vec<&str> = release.notes.lines().filter(is_mark).collect();
    ReleaseSeen { notes: notes.join("\n"), ..release.clone() }
}

/// The names, sizes and digests of the files, as people gave them.
fn files(release: &ReleaseSeen) -> Vec<(String, u64, String)> {
    release.assets.iter().map(|asset| (asset.name.clone(), asset.size, asset.sha256.clone())).collect()
}

/// The two have the same releases, as far as a forge of this kind can have them.
#[track_caller]
fn assert_same(kind: Dialect, source: &Repo, copy: &Repo) {
    let (source, copy) = (source.releases(), copy.releases());
    let tags = |all: &[ReleaseSeen]| all.iter().map(|one| one.tag.clone()).collect::<Vec<_>>();
    assert_eq!(tags(&source), tags(&copy));
    for (source, copy) in source.iter().zip(&copy) {
        let copy = plain(copy);
        // A forge shows the tag where there is no title.
        let title = if source.title.is_empty() { &source.tag } else { &source.title };
        assert_eq!((title, files(source)), (&copy.title, files(&copy)), "{}", source.tag);
        assert!(copy.assets.iter().all(|asset| asset.complete));
        match kind {
            Dialect::Gitlab => assert!(copy.notes.ends_with(&source.notes), "{copy:?}"),
            _ => assert_eq!((&source.notes, source.prerelease, copy.draft), (&copy.notes, copy.prerelease, false)),
        }
        if kind == Dialect::Github {
            assert_eq!(source.latest, copy.latest, "{}", source.tag);
        }
    }
}
