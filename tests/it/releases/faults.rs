//! Days on which something fails: what is there stays right, and the next run does just the rest.

use rustix::process::Signal;
use serde_json::json;

use super::{assert_same, counts, pair, told};
use crate::destinations::{KINDS, Pair};
use crate::support::{Dialect, Fault, Kind, Request, Service};

#[tokio::test]
async fn a_file_that_failed_is_the_only_one_that_the_next_run_copies() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        alpha.release("v1").title("One").notes("x").asset("a", b"aaa").asset("b", b"bbb").asset("c", b"ccc");
        // With GitHub's stub left behind.
        pair.there.fault(Fault::lost(422).on_upload("b"));
        let report = pair.run(&[], 3).await;
        let problem = &told(&report)["problems"][0];
        assert_eq!((&problem["tag"], &problem["asset"]), (&"v1".into(), &"b".into()), "{kind:?}: {report:#}");
        assert_eq!(counts(&report), json!({"incomplete": 1, "assets": 2, "bytes": 6}));
        let half = pair.copy().seen_release("v1");
        assert_eq!(half.draft, kind != Dialect::Gitlab, "what lacks a file is not shown, where that can be helped");
        pair.there.heal();
        pair.there.reset_log();
        let report = pair.run(&[], 0).await;
        assert_eq!(counts(&report), json!({"updated": 1, "assets": 1, "bytes": 3}), "{kind:?}");
        assert_eq!(pair.there.uploads().len(), 1);
        let (copy, mut names) = (pair.copy(), Vec::new());
        copy.seen_release("v1").assets.into_iter().for_each(|one| names.push(one.name));
        names.sort();
        assert_eq!(
            (names, copy.releases().len(), copy.seen_release("v1").draft),
            (vec!["a".into(), "b".into(), "c".into()], 1, false)
        );
    }
}

#[tokio::test]
async fn a_kill_between_creating_and_publishing_is_completed_without_a_second_one() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        alpha.release("v1").title("One").notes("x").asset("a", b"aaa").asset("b", b"bbb");
        pair.there.fault(Fault::hang().on_upload("b"));
        let running = pair.program(&[]).spawn();
        let is_hanging = |request: &crate::support::Request| {
            request.kind == Kind::Upload && request.status.is_none() && pair.there.uploads().len() > 1
        };
        pair.there.until(is_hanging).await;
        running.signal(Signal::KILL);
        running.wait().await;
        assert_eq!(pair.copy().releases().len(), 1);
        pair.there.heal();
        pair.there.reset_log();
        pair.run(&["--wait"], 0).await;
        assert_eq!(pair.there.uploads().len(), 1, "{kind:?}: what had arrived is not sent again");
        assert_same(kind, &alpha, &pair.copy());
    }
}

#[tokio::test]
async fn a_listing_that_cannot_be_read_whole_means_no_writes() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"releases": {"prune": true}})).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        for number in 1..=5 {
            alpha.release(&format!("v{number}"));
        }
        pair.run(&[], 0).await;
        pair.there.reset_log();
        pair.source.release_page_cap(2);
        alpha.release("v6");
        pair.source.fault(Fault::status(500).on_api("/releases").after(1));
        let report = pair.run(&[], 3).await;
        assert_eq!(told(&report)["verdict"], "failed", "{report:#}");
        assert!(pair.there.writes().is_empty(), "{kind:?}: {:#?}", pair.there.writes());
        assert_eq!(pair.copy().releases().len(), 5);
        // The same of the destination's listing.
        pair.source.heal();
        pair.there.release_page_cap(2);
        pair.there.fault(Fault::status(500).on_api("/releases").method("GET").after(1));
        pair.run(&[], 3).await;
        assert_eq!(pair.copy().releases().len(), 5, "{kind:?}");
        pair.there.heal();
        pair.run(&[], 0).await;
        assert_same(kind, &alpha, &pair.copy());
    }
}

#[tokio::test]
async fn releases_of_a_destination_whose_refs_failed_are_not_touched() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        alpha.release("v1").asset("a", b"a");
        pair.there.fault(Fault::status(403).on_any_git().service(Service::Push));
        let report = pair.run(&[], 3).await;
        assert_eq!(told(&report)["verdict"], "skipped", "{kind:?}: {report:#}");
        assert!(told(&report)["failure"]["message"].as_str().unwrap().contains("refs failed"), "{report:#}");
        let asked = pair.there.requests().into_iter().filter(|request| request.path.contains("/releases"));
        assert_eq!(asked.count(), 0, "{kind:?}");
        pair.there.heal();
        pair.run(&[], 0).await;
        assert_same(kind, &alpha, &pair.copy());
    }
}

#[tokio::test]
async fn a_download_that_breaks_off_goes_on_where_it_broke_off() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        let bytes = crate::support::noise(700_000);
        alpha.release("v1").asset("big", &bytes).asset("small", b"s");
        pair.source.fault(Fault::cut_in_body(400_000).on_download("big").once());
        pair.run(&[], 0).await;
        assert_eq!(pair.copy().asset_bytes("v1", "big"), bytes, "{kind:?}");
        assert!(pair.source.storage_leaks().is_empty());
        let again = pair.source.downloads().into_iter().find(|request| request.header("range").is_some());
        assert!(again.is_some_and(|request| request.header("if-range").is_some()), "{kind:?}: it began anew");
    }
}

#[tokio::test]
async fn wrong_bytes_are_noticed_on_either_way() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        alpha.release("v1").asset("a", b"aaa");
        pair.source.fault(Fault::wrong_bytes().on_download("a"));
        let report = pair.run(&[], 3).await;
        assert_eq!(told(&report)["problems"][0]["reason"], "corrupt", "{kind:?}: {report:#}");
        pair.source.heal();
        pair.there.fault(Fault::shorter_by(1).on_upload("a"));
        let report = pair.run(&[], 3).await;
        assert_eq!(told(&report)["problems"][0]["reason"], "server_error", "{kind:?}: {report:#}");
        pair.there.heal();
        pair.run(&[], 0).await;
        assert_same(kind, &alpha, &pair.copy());
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_nothing_twice() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        alpha.release("v1").title("One").notes("x").asset("a", b"aaa").asset("b", b"bbb");
        pair.there.fault(Fault::done_but(502).on_api("/releases").method("POST").once());
        pair.there.fault(Fault::done_but(502).on_upload("a").once());
        pair.run(&[], 0).await;
        assert_same(kind, &alpha, &pair.copy());
    }
}

#[tokio::test]
async fn a_gitea_that_has_not_noticed_the_first_push_is_waited_for() {
    let (pair, alpha) = pair(Dialect::Gitea).await;
    alpha.release("v1").title("One").notes("x").asset("a", b"aaa");
    alpha.release("v2").title("Two");
    // More often than a request is tried.
    pair.there.unnoticed_after_push(5);
    pair.run(&[], 0).await;
    assert_same(Dialect::Gitea, &alpha, &pair.copy());
    let is_post = |one: &&Request| one.method == "POST" && one.path.ends_with("/releases");
    assert_eq!(pair.there.requests().iter().filter(is_post).count(), 3, "one of them was too early");
}

#[tokio::test]
async fn a_gitea_that_answers_with_a_page_right_after_a_push_is_asked_again() {
    let (pair, alpha) = pair(Dialect::Gitea).await;
    alpha.release("v1").title("One").notes("x").asset("a", b"aaa");
    pair.there.html_500_after_push(1);
    pair.run(&[], 0).await;
    assert_same(Dialect::Gitea, &alpha, &pair.copy());
}
