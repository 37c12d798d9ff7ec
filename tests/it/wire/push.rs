//! Pushes without `git push`: the same refs, the same refusals, the same failures, and one process at most.

mod costs;
mod faults;
mod many;
mod outcomes;
mod settings;

use std::collections::BTreeMap;

use bstr::BString;
use holocron::base::failure::{Failure, Reason};
use holocron::git::classify::Rejections;
use holocron::git::refs::Oid;
use holocron::git::{Git, PushEdit, Pushed, RefResult, Remote};

use super::{Both, recorded, with_token};
use crate::support::{Forge, RecordingGit, Repo};

/// A repository here, and two alike on a forge: one that is pushed to by ourselves, and one by git.
struct Day {
    both: Both,
    calls: RecordingGit,
    forge: Forge,
    source: Repo,
    ours: Repo,
    gits: Repo,
}

/// What became of each ref: `None` when it is as wished, else why not and the words that told.
type Fates = BTreeMap<BString, Option<(Reason, String)>>;

impl Day {
    async fn new() -> Self {
        let ((both, calls), forge) = (recorded(&[]), Forge::start().await);
        let source = both.env.bare_repo("source.git");
        source.batch(|b| b.branch("main").branch("dev").branch("old").annotated_tag("v1"));
        let (ours, gits) = (forge.repo("acme/ours"), forge.repo("acme/gits"));
        Day { both, calls, forge, source, ours, gits }
    }

    /// Does the same to both destinations.
    fn there(&self, act: impl Fn(&Repo)) -> &Self {
        act(&self.ours);
        act(&self.gits);
        self
    }

    /// The refs of the source and those of a destination that it has not, as edits from what is there.
    fn edits(&self, there: &Repo) -> Vec<PushEdit> {
        let (source, seen) = (self.source.refs(), there.refs());
        let names = source.keys().chain(seen.keys().filter(|name| !source.contains_key(*name)));
        let edits = names.map(|name| edit(name, seen.get(name), source.get(name)));
        edits.filter(|edit| edit.seen != edit.new).collect()
    }

    /// Pushes these edits both ways, and asserts that the same became of each ref.
    #[track_caller]
    fn agreed([ours, gits]: [Result<Pushed, Failure>; 2]) -> Fates {
        let (ours, gits) = (ours.expect("we push"), gits.expect("git pushes"));
        let (ours, gits) = (fates(&ours), fates(&gits));
        assert_eq!(ours, gits);
        ours
    }

    /// Pushes everything both ways; the edits are made before anything is pushed.
    async fn push(&self) -> [Result<Pushed, Failure>; 2] {
        let edits = [self.edits(&self.ours), self.edits(&self.gits)];
        self.push_these(&edits).await
    }

    async fn push_these(&self, [ours, gits]: &[Vec<PushEdit>; 2]) -> [Result<Pushed, Failure>; 2] {
        let by_ourselves = self.one(&self.both.auto, &self.ours, ours).await;
        [by_ourselves, self.one(&self.both.git, &self.gits, gits).await]
    }

    async fn one(&self, git: &Git, to: &Repo, edits: &[PushEdit]) -> Result<Pushed, Failure> {
        git.push(self.source.git_dir(), &self.remote(to), edits, &mut |_, _, _| ()).await
    }

    fn remote(&self, to: &Repo) -> Remote {
        with_token(to, &self.forge)
    }

    /// Asserts that both destinations have the refs of the source.
    #[track_caller]
    fn assert_arrived(&self) {
        self.there(|repo| self.both.env.assert_pushed(&self.source, repo));
    }

    /// The verbs of the git commands so far, but for what a forge and a test do.
    fn verbs(&self) -> Vec<String> {
        const VERBS: [&str; 5] = ["push", "pack-objects", "cat-file", "config", "version"];
        let verb = |call: crate::support::Call| call.args.into_iter().find(|arg| VERBS.contains(&arg.as_str()));
        self.calls.calls().into_iter().filter_map(verb).collect()
    }
}

fn edit(name: &str, seen: Option<&String>, new: Option<&String>) -> PushEdit {
    let oid = |text: &String| Oid::parse(text.as_bytes()).expect("git prints object ids");
    PushEdit { name: name.into(), seen: seen.map(oid), new: new.map(oid) }
}

fn fates(pushed: &Pushed) -> Fates {
    let told = Rejections::read(&pushed.stderr);
    let fate = |(name, result): &(BString, RefResult)| {
        let why = match result {
            RefResult::Accepted => None,
            RefResult::Refused(summary) => {
                let (reason, words) = told.why(&name.to_string(), summary);
                Some((reason, words.to_owned()))
            }
        };
        (name.clone(), why)
    };
    pushed.results.iter().map(fate).collect()
}

/// The names of what was refused, with the reasons.
fn refused(fates: &Fates) -> Vec<String> {
    let told = fates.iter().filter_map(|(name, why)| Some(format!("{name} {}", why.as_ref()?.0.as_str())));
    told.collect()
}
