//! Takes a pack in: git indexes it, checks it, and finds what it builds upon.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bstr::ByteSlice as _;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::process::{self, Finished, Input};
use super::refs::Oid;
use super::{Call, Git, Shown, classify, failure_of};
use crate::base::failure::{Failure, Reason};
use crate::base::url::RemoteUrl;

/// What stands in a `.keep` of ours; one that has outlived its run is litter.
pub const KEEP_MARK: &str = "holocron";

/// Who watches over a silent connection gives up by itself; index-pack, which waits for it, is given this much longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// What came of bringing objects.
#[derive(Debug, Default)]
pub struct Fetched {
    /// The bytes that came.
    pub received: u64,
    /// Keeps what came until refs name it.
    pub kept: Option<Kept>,
    /// The commits that came, as far as git was asked to tell.
    pub history: History,
}

/// Some commits with their parents.
#[derive(Debug, Default)]
pub struct History(HashMap<Oid, Vec<Oid>>);

impl History {
    /// Reads what `git rev-list --parents --objects` prints; trees and blobs look like commits without parents.
    fn parse(output: &[u8]) -> Self {
        let commit = |line: &[u8]| {
            let mut oids = line.split_str(" ").map(Oid::parse);
            let oid = oids.next()??;
            let parents = oids.collect::<Option<Vec<_>>>()?;
            (!parents.is_empty()).then_some((oid, parents))
        };
        History(output.lines().filter_map(commit).collect())
    }

    /// Whether these commits show that `old` is an ancestor of `new`; where they do not, it may be one all the same.
    pub fn shows(&self, old: Oid, new: Oid) -> bool {
        let (mut seen, mut next) = (HashSet::from([new]), vec![new]);
        while let Some(oid) = next.pop() {
            if oid == old {
                return true;
            }
            next.extend(self.0.get(&oid).into_iter().flatten().copied().filter(|parent| seen.insert(*parent)));
        }
        false
    }
}

/// A new pack that nobody may take away as long as this lives: a repack would, while no ref names what is in it.
#[derive(Debug)]
pub struct Kept {
    /// The pack without its ending.
    stem: PathBuf,
    /// It was there before.
    known: bool,
}

impl Kept {
    /// Takes the pack out of the repository again.
    pub(super) fn discard(self) {
        if self.known {
            return;
        }
        // The index first: without it there is no pack.
        for ending in ["idx", "rev", "pack"] {
            remove(&self.stem.with_extension(ending));
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        remove(&self.stem.with_extension("keep"));
    }
}

/// What cannot be removed is litter, which the next run clears or reports.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %error, "not removed");
    }
}

/// One index-pack.
pub(super) struct Intake<'a> {
    /// For messages.
    pub what: &'a str,
    pub dir: &'a Path,
    pub arguments: &'a [&'a str],
}

/// A pack that is in its place.
#[derive(Debug)]
pub(super) struct Indexed {
    pub kept: Option<Kept>,
    /// Whether everything that is named in it is in it, where that was asked for.
    pub is_self_contained: bool,
}

/// A pack that is not.
#[derive(Debug)]
pub(super) enum Rejected {
    /// Index-pack could not be run to its end.
    Unfinished(Failure),
    Finished(Finished),
}

impl Rejected {
    /// The failure, as if `git fetch` had told it; `words` are what the server said.
    pub fn told(self, what: &str, words: &str) -> Failure {
        match self {
            Rejected::Unfinished(failure) => failure,
            Rejected::Finished(finished) => {
                // What fetch-pack adds (git 2.47) is all that is heard of an index-pack that ends without a word.
                let stderr = format!("{words}{}fatal: fetch-pack: invalid index-pack output\n", finished.stderr);
                failure_of(what, &Finished { stderr, ..finished })
            }
        }
    }
}

impl Git {
    /// Puts the pack that comes in `pieces` into a repository, with progress as it goes.
    ///
    /// # Errors
    /// A command fails ([the reasons](crate::git#failures)); nothing but litter is left then.
    pub(super) async fn index_pack(
        &self,
        intake: &Intake<'_>,
        pieces: mpsc::Receiver<Bytes>,
        on_line: impl FnMut(&str),
    ) -> Result<Indexed, Rejected> {
        let folder = intake.dir.join("objects/pack");
        let mut command = self.command(Some(intake.dir));
        command.args(["index-pack", "--stdin", "-v"]).arg(format!("--keep={KEEP_MARK}")).args(intake.arguments);
        tracing::debug!(command = ?Shown(&command), "git");
        let limits = process::Limits { idle: self.limits.idle + PATIENCE, ..self.limits.clone() };
        let before = names(&folder);
        let finished = process::run(command, Input::Pieces(pieces), &limits, on_line).await;
        let what = intake.what;
        let finished = finished.map_err(|failure| Rejected::Unfinished(failure.within(what)))?;
        // `keep\t<hash>`, or `pack\t<hash>` where there is such a pack already, and kept by somebody else.
        let told = finished.stdout.get(..45).and_then(|line| std::str::from_utf8(line).ok());
        let told =
            told.and_then(|line| line.split_once('\t')).filter(|(_, hash)| Oid::parse(hash.as_bytes()).is_some());
        // 1: the pack is well, and builds upon others (`--check-self-contained-and-connected`); what fails ends with 128.
        let (Some((kind, hash)), Some(code @ (0 | 1))) = (told, finished.status.code()) else {
            return Err(Rejected::Finished(finished));
        };
        let stem = folder.join(format!("pack-{hash}"));
        let known = before.contains(&stem.with_extension("pack"));
        let kept = (kind == "keep").then_some(Kept { stem, known });
        let Some(line) = damage_in(intake.dir, &finished) else {
            return Ok(Indexed { kept, is_self_contained: code == 0 });
        };
        if let Some(kept) = kept {
            kept.discard();
        }
        Err(Rejected::Unfinished(damaged(line)))
    }

    /// Checks that everything reachable from `tips` is in `dir`, where everything reachable from its refs is; tells
    /// what of it is new, if that are `few` objects.
    ///
    /// # Errors
    /// `corrupt` when it is not, or what else git says; `url` is who should have sent it.
    pub(super) async fn are_connected(
        &self,
        what: &str,
        dir: &Path,
        url: &RemoteUrl,
        tips: &BTreeSet<Oid>,
        few: bool,
    ) -> Result<History, Failure> {
        let input = tips.iter().flat_map(|oid| format!("{oid}\n").into_bytes()).collect();
        // As `git fetch` does (connected.c), which keeps it quiet.
        let told: &[_] = if few { &["--parents", "--no-object-names"] } else { &["--quiet"] };
        let arguments = [&["rev-list", "--objects"], told, &["--stdin", "--not", "--all"]].concat();
        let arguments: Vec<&OsStr> = arguments.into_iter().map(OsStr::new).collect();
        let finished = self.run(Call { input, ..self.call(what, Some(dir), &arguments) }, |_| ()).await?;
        if let Some(line) = damage_in(dir, &finished) {
            return Err(damaged(line));
        }
        match finished.status.success() {
            true => Ok(History::parse(&finished.stdout)),
            false => {
                let finished = Finished {
                    stderr: format!("{}error: {url} did not send all necessary objects\n", finished.stderr),
                    ..finished
                };
                Err(failure_of(what, &finished))
            }
        }
    }
}

fn damaged(line: &str) -> Failure {
    Failure::new(Reason::Corrupt, "git met damage while it fetched").with_evidence(line)
}

/// The line that tells of damage in the repository itself, however git ended.
fn damage_in<'a>(dir: &Path, finished: &'a Finished) -> Option<&'a str> {
    let here = dir.display().to_string();
    finished.stderr.lines().filter(|line| line.contains(&here)).find_map(classify::damage)
}

/// The packs in a folder.
fn names(folder: &Path) -> BTreeSet<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_commits_show_what_they_grew_from() {
        let hex = |digit: char| digit.to_string().repeat(40);
        let oid = |digit: char| Oid::parse(hex(digit).as_bytes()).unwrap();
        // d merges c, which grew from a, and e, which is a root; f is a tree.
        let lines = [vec!['d', 'c', 'e'], vec!['c', 'b'], vec!['b', 'a'], vec!['e'], vec!['f']];
        let text: String =
            lines.iter().map(|line| line.iter().copied().map(hex).collect::<Vec<_>>().join(" ") + "\n").collect();
        let history = History::parse(text.as_bytes());
        for (old, new, shown) in [
            ('a', 'd', true),
            ('e', 'd', true),
            ('a', 'c', true),
            ('d', 'd', true),
            ('e', 'c', false),
            ('d', 'a', false),
        ] {
            assert_eq!(history.shows(oid(old), oid(new)), shown, "{old} {new}");
        }
        assert!(!History::default().shows(oid('a'), oid('b')));
    }
}
