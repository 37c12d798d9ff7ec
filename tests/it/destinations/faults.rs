//! Pushes that go wrong on the wire: nothing is called synced that is not, and the next run heals.

use serde_json::{Value, json};

use super::{KINDS, Pair};
use crate::net::mirror;
use crate::support::{Dialect, Fault, Repo, Service};

/// A copy that is one commit behind, so that the next push sends a pack.
async fn behind(kind: Dialect) -> (Pair, Repo) {
    let pair = Pair::new(kind).await;
    let alpha = pair.source.repo("acme/alpha").batch(|b| b.branch("main").branch("dev").tag("v1"));
    pair.run(&[], 0).await;
    alpha.commit("main", "more").branch("new");
    (pair, alpha)
}

fn destination(told: &Value) -> &Value {
    &mirror(told, "acme/alpha")["destinations"][0]
}

#[tokio::test]
async fn an_answer_that_is_no_success_is_none_whatever_git_makes_of_it() {
    for (status, reason) in [
        (401, "auth_failed"),
        (403, "forbidden"),
        (404, "remote_not_found"),
        (413, "too_large"),
        (429, "rate_limited"),
        (500, "server_error"),
        (502, "server_error"),
    ] {
        let (pair, alpha) = behind(Dialect::Gitlab).await;
        let had = pair.copy().refs();
        pair.there.fault(Fault::status(status).on_any_git().service(Service::Push));
        let told = pair.degraded(&["--window", "0", "--timeout", "5"]).await;
        let there = destination(&told);
        // What is too large is tried ref by ref, and each ref has its own refusal.
        let (verdict, said) = match status {
            413 => ("refused", &there["refused"][0]["reason"]),
            _ => ("failed", &there["failure"]["reason"]),
        };
        assert_eq!((said, &there["verdict"]), (&reason.into(), &verdict.into()), "{status}: {there:#}");
        assert_eq!(there["verified"], verdict == "refused", "{status}: {there:#}");
        if status == 401 {
            let message = there["failure"]["message"].as_str().unwrap();
            assert!(message.contains("(the token is read from the environment variable "), "{message}");
        }
        assert_eq!(pair.copy().refs(), had, "{status}");
        pair.there.heal();
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
    }
}

#[tokio::test]
async fn a_push_that_is_cut_off_at_either_end_is_a_failure_and_heals() {
    let faults: [fn() -> Fault; 5] = [
        || Fault::cut_in_upload(40),
        || Fault::cut_in_headers(),
        || Fault::cut_in_body(0),
        || Fault::cut_in_body(9),
        || Fault::empty_body(),
    ];
    for (number, fault) in faults.iter().enumerate() {
        let (pair, alpha) = behind(Dialect::Gitea).await;
        pair.there.fault(fault().on_any_git().service(Service::Push));
        let run = pair.program(&["--window", "0", "--timeout", "5"]).run().await;
        let told = run.json();
        // A push whose answer was lost may have arrived, at once or later: only looking again tells.
        let verified = destination(&told)["verified"] == true;
        assert_eq!(run.code, if verified { 0 } else { 3 }, "{number}: {run}");
        assert!(!verified || pair.copy().refs() == alpha.refs(), "{number}: {run}");
        pair.there.heal();
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
    }
}

#[tokio::test]
async fn a_push_that_arrived_although_its_answer_was_lost_is_seen_by_looking_again() {
    for kind in KINDS {
        let (pair, alpha) = behind(kind).await;
        pair.there.fault(Fault::cut_in_body(0).on_any_git().service(Service::Push).once());
        let told = pair.run(&["--window", "0"], 0).await;
        assert_eq!(destination(&told)["verified"], true, "{told:#}");
        pair.env.assert_pushed(&alpha, &pair.copy());
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up_and_the_others_are_done() {
    let (pair, alpha) = behind(Dialect::Github).await;
    let beta = pair.source.repo("acme/beta").branch("main");
    let hang = Fault::hang().on_git("copies/alpha").service(Service::Push);
    pair.there.fault(hang);
    let told = pair.degraded(&["--window", "0", "--timeout", "1"]).await;
    assert_eq!(destination(&told)["failure"]["reason"], "timed_out", "{told:#}");
    pair.env.assert_pushed(&beta, &pair.there.find("copies/beta").unwrap());
    pair.there.heal();
    pair.run(&[], 0).await;
    pair.env.assert_pushed(&alpha, &pair.copy());
}

#[tokio::test]
async fn a_copy_that_vanishes_between_looking_and_pushing_is_missed_and_made_by_the_next_run() {
    for kind in KINDS {
        let (pair, alpha) = behind(kind).await;
        pair.there.between_advertisement_and_push(&pair.copy(), |copy| copy.remove());
        let told = pair.run(&["--window", "0"], 3).await;
        assert_eq!(destination(&told)["verified"], false, "{kind:?}: {told:#}");
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
    }
}

#[tokio::test]
async fn another_writers_commit_between_looking_and_pushing_is_not_overwritten_unseen() {
    for kind in KINDS {
        let (pair, alpha) = behind(kind).await;
        pair.there.between_advertisement_and_push(&pair.copy(), |copy| drop(copy.commit("main", "theirs")));
        let told = pair.run(&["--window", "0"], 3).await;
        let there = destination(&told);
        assert_eq!(
            (&there["refused"][0]["name"], &there["refused"][0]["reason"]),
            (&"refs/heads/main".into(), &"ref_race".into()),
            "{kind:?}: {there:#}"
        );
        assert_eq!(pair.copy().tip("new"), alpha.tip("new"), "the others landed");
        // What is there was seen now, and a mirror is a mirror.
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
    }
}

#[tokio::test]
async fn another_writers_commit_to_a_branch_that_was_right_is_seen_before_anything_is_called_synced() {
    for kind in KINDS {
        let (pair, alpha) = behind(kind).await;
        pair.there.between_advertisement_and_push(&pair.copy(), |copy| drop(copy.commit("dev", "theirs")));
        let run = pair.program(&["--window", "0"]).run().await;
        let told = run.json();
        let same = pair.copy().refs() == alpha.refs();
        assert_eq!((destination(&told)["verified"] == true, run.code == 0), (same, same), "{kind:?}: {run}");
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
    }
}

#[tokio::test]
async fn a_branch_that_another_writer_made_meanwhile_is_not_overwritten_unseen() {
    for kind in KINDS {
        let (pair, alpha) = behind(kind).await;
        pair.there
            .between_advertisement_and_push(&pair.copy(), |copy| drop(copy.branch("new").commit("new", "theirs")));
        let told = pair.run(&["--window", "0"], 3).await;
        assert_eq!(destination(&told)["refused"][0]["name"], "refs/heads/new", "{kind:?}: {told:#}");
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
    }
}

#[tokio::test]
async fn a_copy_that_moved_is_neither_pushed_to_nor_made_again() {
    let (pair, alpha) = behind(Dialect::Github).await;
    let copy = pair.copy();
    let had = copy.refs();
    copy.rename("copies/beta");
    // The forge still answers for the old name. Somebody's move is not ours to follow, nor to work against.
    let told = pair.degraded(&["--window", "0"]).await;
    let failure = &destination(&told)["failure"];
    assert_eq!(failure["reason"], "held", "{told:#}");
    assert!(failure["hint"].as_str().unwrap().contains("rename copies/beta back"), "{told:#}");
    assert_eq!((copy.refs(), pair.there.find("copies/alpha").is_none()), (had, true));
    copy.rename("copies/alpha");
    pair.run(&[], 0).await;
    pair.env.assert_pushed(&alpha, &copy);
}

#[tokio::test]
async fn what_was_pushed_and_not_remembered_is_not_pushed_again() {
    let pair = Pair::with(Dialect::Gitea, &json!({})).await;
    let alpha = pair.source.repo("acme/alpha").branch("main").tag("v1");
    pair.run(&[], 0).await;
    pair.env.lose_store();
    pair.there.reset_log();
    let told = pair.run(&[], 0).await;
    assert_eq!((&destination(&told)["verdict"], pair.pushes()), (&"current".into(), 0), "{told:#}");
    pair.env.assert_pushed(&alpha, &pair.copy());
}
