//! Many deletions: one transaction at the destination, and never of a ref that somebody else has moved.

use std::fs;
use std::path::PathBuf;

use holocron::base::url::RemoteUrl;
use holocron::git::{Git, Remote};

use super::{Day, edit, fates, refused};
use crate::support::Repo;

const MANY: usize = 300;

impl Day {
    /// Three hundred branches more, here and there, and then there only; their deletion in each place.
    async fn with_many() -> Self {
        let day = Day::new().await;
        day.source.many_refs(MANY);
        Day::agreed(day.push().await);
        day.source.batch(|b| (1..=MANY).fold(b, |b, number| b.delete(&format!("many/{number:05}"))));
        day
    }

    /// A directory with the same refs as the forge has.
    async fn directory(&self) -> (Repo, Remote) {
        let there = self.both.env.bare_repo("there.git");
        let remote = Remote::plain(RemoteUrl::file(there.git_dir()));
        let ours = self.ours.refs();
        let git = &self.both.git;
        let edits: Vec<_> = ours.iter().map(|(name, oid)| edit(name, None, Some(oid))).collect();
        git.push(self.ours.git_dir(), &remote, &edits, &mut |_, _, _| ()).await.unwrap();
        (there, remote)
    }

    async fn delete(&self, git: &Git, there: &Repo, remote: &Remote) -> super::Fates {
        let edits = self.edits(there);
        fates(&git.push(self.source.git_dir(), remote, &edits, &mut |_, _, _| ()).await.unwrap())
    }
}

/// Has a destination count its transactions.
fn count(there: &Repo) -> impl Fn() -> usize {
    let log: PathBuf = there.git_dir().join("transactions");
    let line = format!("[ \"$1\" != prepared ] || echo x >> '{}'", log.display());
    there.hook("reference-transaction", &format!("#!/bin/sh\ncat >/dev/null\n{line}\n"));
    move || fs::read_to_string(&log).unwrap_or_default().lines().count()
}

/// Has a destination refuse to delete one of them.
fn refuse_one(there: &Repo) {
    there.hook("update", "#!/bin/sh\n[ \"$1\" != refs/heads/many/00017 ] || { echo 'that one stays' >&2; exit 1; }\n");
}

#[tokio::test]
async fn they_are_one_transaction_over_http() {
    let day = Day::with_many().await;
    let transactions = count(&day.ours);
    let told = day.delete(&day.both.auto, &day.ours, &day.remote(&day.ours)).await;
    assert!(told.values().all(Option::is_none), "{told:?}");
    assert!(transactions() <= 2, "{}", transactions());
    day.both.env.assert_pushed(&day.source, &day.ours);
}

#[tokio::test]
async fn they_are_one_transaction_and_one_process_in_a_directory() {
    let day = Day::with_many().await;
    let (there, remote) = day.directory().await;
    let transactions = count(&there);
    let before = day.calls.calls().len();
    let told = day.delete(&day.both.auto, &there, &remote).await;
    assert!(told.values().all(Option::is_none), "{told:?}");
    let calls = day.calls.calls().split_off(before);
    let calls_of = |verb: &str| calls.iter().filter(|call| call.args.iter().any(|arg| arg == verb)).count();
    assert_eq!((calls_of("receive-pack"), calls_of("push")), (1, 0), "{calls:#?}");
    assert!(transactions() <= 2, "{}", transactions());
    day.both.env.assert_pushed(&day.source, &there);
}

#[tokio::test]
async fn what_one_of_them_is_refused_for_costs_no_other() {
    let day = Day::with_many().await;
    let (there, remote) = day.directory().await;
    refuse_one(&there);
    day.there(refuse_one);
    let told = Day::agreed(day.push().await);
    assert_eq!(refused(&told), ["refs/heads/many/00017 push_rejected"]);
    let here = day.delete(&day.both.auto, &there, &remote).await;
    assert_eq!(refused(&here), ["refs/heads/many/00017 push_rejected"]);
    assert_eq!((there.refs(), day.ours.refs()), (day.gits.refs(), day.gits.refs()));
}

#[tokio::test]
async fn a_ref_that_moved_meanwhile_is_not_deleted() {
    let day = Day::with_many().await;
    let (there, remote) = day.directory().await;
    let edits = [day.edits(&day.ours), day.edits(&day.gits)];
    let by_hand = day.edits(&there);
    day.there(|repo| drop(repo.commit("many/00005", "somebody else's")));
    there.commit("many/00005", "somebody else's");
    let told = Day::agreed(day.push_these(&edits).await);
    assert_eq!(refused(&told), ["refs/heads/many/00005 ref_race"]);
    let pushed = day.both.auto.push(day.source.git_dir(), &remote, &by_hand, &mut |_, _, _| ()).await.unwrap();
    assert_eq!(refused(&fates(&pushed)), ["refs/heads/many/00005 ref_race"]);
    for repo in [&day.ours, &day.gits, &there] {
        let mut left = repo.refs();
        assert!(left.remove("refs/heads/many/00005").is_some());
        assert_eq!(left, day.source.refs());
    }
}
