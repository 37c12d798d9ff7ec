//! What a change at the source costs at a destination, and what there is left alone.

use serde_json::json;

use super::{assert_same, counts, files, pair, told};
use crate::destinations::{KINDS, Pair};
use crate::net::mirror;
use crate::support::{Dialect, Fault, Kind, ReleaseHandle, ReleaseSeen, Repo, Request, Service};

/// A settled release `v1` with three files.
async fn settled(kind: Dialect) -> (Pair, Repo) {
    let (pair, alpha) = pair(kind).await;
    alpha.release("v1").title("One").notes("Notes").asset("a", b"aaa").asset("b", b"bbb").asset("c", b"ccc");
    pair.run(&[], 0).await;
    pair.there.reset_log();
    (pair, alpha)
}

/// What was asked to change, in short: `POST upload`, `PATCH release`.
fn writes(pair: &Pair) -> Vec<String> {
    let what = |path: &str| match path {
        _ if path.contains("/packages/generic/") || path.ends_with("/assets") => "upload",
        _ if path.contains("/package_files/") || path.contains("/packages/") => "package",
        _ if path.contains("/links") => "link",
        _ if path.contains("/assets/") => "asset",
        _ => "release",
    };
    pair.there.writes().iter().map(|request| format!("{} {}", request.method, what(&request.path))).collect()
}

#[tokio::test]
async fn a_change_of_the_fields_is_one_request() {
    let changes: [fn(ReleaseHandle) -> ReleaseHandle; 3] =
        [|one| one.title("Another"), |one| one.notes("Better\nnotes"), |one| one.prerelease()];
    for kind in KINDS {
        let (pair, alpha) = settled(kind).await;
        for change in changes {
            alpha.edit_release("v1", change);
            let report = pair.run(&[], 0).await;
            let edit = if kind == Dialect::Gitlab { "PUT release" } else { "PATCH release" };
            assert_eq!((writes(&pair), counts(&report)), (vec![edit.to_owned()], json!({"updated": 1})), "{kind:?}");
            assert_same(kind, &alpha, &pair.copy());
            pair.there.reset_log();
        }
    }
}

#[tokio::test]
async fn a_file_that_was_replaced_renamed_or_deleted_is_the_only_one_that_moves() {
    for kind in KINDS {
        let (pair, alpha) = settled(kind).await;
        let ids = pair.copy().release_ids("v1");
        // Of equal size.
        alpha.edit_release("v1", |one| one.replace_asset("b", b"BBB"));
        let report = pair.run(&[], 0).await;
        assert_eq!(counts(&report), json!({"updated": 1, "assets": 1, "bytes": 3}), "{kind:?}");
        assert_eq!(pair.copy().asset_bytes("v1", "b"), b"BBB");
        alpha.edit_release("v1", |one| one.rename_asset("c", "see"));
        pair.run(&[], 0).await;
        alpha.edit_release("v1", |one| one.remove_asset("a"));
        pair.run(&[], 0).await;
        let (mut have, mut want) = (files(&pair.copy().seen_release("v1")), files(&alpha.seen_release("v1")));
        have.sort();
        want.sort();
        assert_eq!(have, want, "{kind:?}");
        assert_eq!(pair.there.uploads().len(), 2, "{kind:?}");
        assert_eq!(pair.copy().release_ids("v1")[0], ids[0], "the release is still the same one");
        pair.there.reset_log();
        pair.run(&["--full"], 0).await;
        assert!(pair.there.writes().is_empty(), "{kind:?}: {:?}", writes(&pair));
    }
}

#[tokio::test]
async fn what_a_person_made_or_wrote_there_stays() {
    for kind in KINDS {
        let (pair, alpha) = settled(kind).await;
        let copy = pair.copy();
        // Around our text, and beside our files.
        let ours = copy.seen_release("v1").notes;
        copy.edit_release("v1", |one| one.notes(&format!("By hand.\n\n{ours}\n\nBelow.")));
        if kind != Dialect::Gitlab {
            copy.edit_release("v1", |one| one.asset("by-hand.txt", b"mine"));
        }
        // Their own releases: of a tag that the source has as well, and of one that only they have a release for.
        alpha.tag("v2").tag("v3");
        pair.run(&["--window", "0"], 0).await;
        copy.release("v2").title("Theirs").notes("theirs").asset("t", b"t");
        copy.release("v3").title("Theirs, too");
        // Which one is shown as the latest follows from all of them.
        let theirs = || ["v2", "v3"].map(|tag| ReleaseSeen { latest: false, ..copy.seen_release(tag) });
        let before = theirs();
        alpha.release("v2").title("Ours").notes("ours").asset("o", b"o");
        alpha.edit_release("v1", |one| one.notes("Rewritten"));
        let report = pair.run(&["--full"], 0).await;
        assert_eq!(counts(&report), json!({"updated": 1, "foreign": 1}), "{kind:?}");
        assert!(told(&report)["notes"].to_string().contains("v2 is somebody else's release"), "{report:#}");
        assert_eq!(theirs(), before);
        let one = copy.seen_release("v1");
        assert!(one.notes.starts_with("By hand.\n\n") && one.notes.ends_with("\n\nBelow."), "{}", one.notes);
        assert!(one.notes.contains("Rewritten") && !one.notes.contains("Notes"), "{}", one.notes);
        assert_eq!(one.assets.len(), if kind == Dialect::Gitlab { 3 } else { 4 });
    }
}

#[tokio::test]
async fn prune_deletes_what_we_made_and_nothing_else() {
    for kind in KINDS {
        let (pair, alpha) = settled(kind).await;
        alpha.release("v2").title("Two");
        pair.run(&[], 0).await;
        let copy = pair.copy();
        alpha.tag("by-hand");
        pair.run(&["--window", "0"], 0).await;
        copy.release("by-hand").title("Theirs");
        alpha.remove_release("v1");
        pair.run(&["--full"], 0).await;
        assert_eq!(copy.releases().len(), 3, "nothing is deleted unless it is asked for");
        pair.configure(&[json!({"releases": {"prune": true}})]);
        let report = pair.run(&[], 0).await;
        assert_eq!(counts(&report), json!({"deleted": 1, "in_sync": 1}), "{kind:?}");
        let tags: Vec<String> = copy.releases().into_iter().map(|one| one.tag).collect();
        assert_eq!(tags, ["v2", "by-hand"]);
        assert!(copy.refs().contains_key("refs/tags/v1"), "the tag stays");
        assert!(pair.run(&[], 0).await["mirrors"][0]["releases"][0]["verdict"] == "current");
    }
}

#[tokio::test]
async fn a_source_that_lost_its_releases_at_once_deletes_nothing_until_that_is_accepted() {
    let pair = Pair::with(Dialect::Gitea, &json!({"releases": {"prune": true}})).await;
    let alpha = pair.source.repo("acme/alpha").branch("main");
    alpha.release("v1");
    alpha.release("v2");
    pair.run(&[], 0).await;
    alpha.remove_release("v1").remove_release("v2");
    let report = pair.run(&[], 3).await;
    assert_eq!(told(&report)["failure"]["reason"], "held", "{report:#}");
    assert_eq!(pair.copy().releases().len(), 2);
    let report = pair.run(&["--accept-deletions", "acme/alpha"], 0).await;
    assert_eq!((counts(&report), pair.copy().releases().len()), (json!({"deleted": 2}), 0));
}

#[tokio::test]
async fn a_release_whose_tag_is_not_there_waits_and_no_tag_is_made() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"releases": "all", "refs": ["heads"]})).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        alpha.release("v1").asset("a", b"a");
        let report = pair.run(&[], 3).await;
        assert_eq!(
            (&told(&report)["verdict"], counts(&report)),
            (&"behind".into(), json!({"deferred": 1})),
            "{kind:?}"
        );
        let copy = pair.copy();
        assert!(copy.releases().is_empty() && !copy.refs().contains_key("refs/tags/v1"), "{:?}", copy.refs());
        // It comes with the tag.
        pair.configure(&[json!({"releases": "all"})]);
        pair.run(&["--full"], 0).await;
        assert_same(kind, &alpha, &copy);
    }
}

#[tokio::test]
async fn the_scope_of_each_destination_is_its_own() {
    let pair = Pair::with(Dialect::Github, &json!({})).await;
    let alpha = pair.source.repo("acme/alpha").branch("main");
    alpha.release("v1").asset("a", b"a");
    alpha.release("v2").latest().asset("a", b"a");
    alpha.release("v3-rc").prerelease();
    alpha.tag("v4").draft_release("v4").title("Soon");
    let names = ["off", "latest", "some", "linked"];
    names.iter().for_each(|name| pair.there.organisation(name, &["alice"]));
    let of = |namespace: &str, releases: serde_json::Value| json!({"namespace": namespace, "releases": releases});
    pair.configure(&[
        of("off", json!("off")),
        of("latest", json!("latest")),
        of("some", json!({"tags": ["v[34]*"], "drafts": true})),
        of("linked", json!({"assets": "link", "prereleases": false})),
    ]);
    pair.run(&[], 0).await;
    let tags = |namespace: &str| -> Vec<String> {
        let copy = pair.there.find(&format!("{namespace}/alpha")).unwrap();
        copy.releases().into_iter().map(|one| one.tag).collect()
    };
    assert_eq!(names.map(tags), [vec![], vec!["v2"], vec!["v3-rc", "v4"], vec!["v1", "v2"]]);
    let linked = pair.there.find("linked/alpha").unwrap().seen_release("v1");
    assert!(linked.assets.is_empty() && linked.notes.contains("/releases/download/v1/a)"), "{linked:?}");
    assert!(pair.there.find("some/alpha").unwrap().seen_release("v4").draft);
}

#[tokio::test]
async fn a_release_goes_before_its_tag() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"releases": {"prune": true}})).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        alpha.release("v1").asset("a", b"a");
        alpha.release("v2").asset("a", b"a");
        alpha.tag("by-hand");
        pair.run(&[], 0).await;
        let copy = pair.copy();
        copy.release("by-hand");
        alpha.remove_release("v1").delete("refs/tags/v1");
        pair.there.reset_log();
        let report = pair.run(&["--window", "0"], 0).await;
        assert_eq!(counts(&report), json!({"deleted": 1, "in_sync": 1}), "{kind:?}: {report:#}");
        let requests = pair.there.requests();
        let is_deletion = |request: &Request| request.method == "DELETE" && request.path.contains("/releases");
        let is_push = |request: &Request| matches!(request.kind, Kind::Git { service: Service::Push, .. });
        let at = |is: &dyn Fn(&Request) -> bool| requests.iter().position(is).expect("both were made");
        assert!(at(&is_deletion) < at(&is_push), "{kind:?}");
        let tags: Vec<String> = copy.releases().into_iter().map(|one| one.tag).collect();
        assert_eq!(tags, ["v2", "by-hand"], "{kind:?}");
        assert!(!copy.refs().contains_key("refs/tags/v1"));
    }
}

#[tokio::test]
async fn releases_of_others_do_not_hide_that_all_of_ours_are_gone() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"releases": {"prune": true}})).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        alpha.release("v1");
        alpha.release("v2");
        let others = ["a", "b", "c", "d"];
        others.iter().for_each(|tag| drop(alpha.tag(tag)));
        pair.run(&[], 0).await;
        others.iter().for_each(|tag| drop(pair.copy().release(tag)));
        alpha.remove_release("v1").remove_release("v2");
        let report = pair.run(&["--full"], 3).await;
        assert_eq!(told(&report)["failure"]["reason"], "held", "{kind:?}: {report:#}");
        assert_eq!(pair.copy().releases().len(), 6, "{kind:?}");
    }
}

#[tokio::test]
async fn a_quick_run_counts_as_a_full_one_does() {
    for kind in KINDS {
        let (pair, alpha) = settled(kind).await;
        alpha.tag("v2");
        pair.run(&["--window", "0"], 0).await;
        pair.copy().release("v2").title("Theirs");
        alpha.release("v2").title("Ours");
        let full = pair.run(&["--full"], 0).await;
        assert_eq!(counts(&full), json!({"in_sync": 1, "foreign": 1}), "{kind:?}: {full:#}");
        pair.there.reset_log();
        let quick = pair.run(&[], 0).await;
        assert_eq!((counts(&quick), &told(&quick)["notes"]), (counts(&full), &told(&full)["notes"]), "{kind:?}");
        assert!(pair.there.requests().is_empty(), "{kind:?}");
    }
}

#[tokio::test]
async fn an_old_gitea_is_not_sent_empty_files_again_and_again() {
    let (pair, alpha) = pair(Dialect::Gitea).await;
    pair.there.gitea_version("1.15.4");
    alpha.release("v1").asset("empty", b"").asset("a", b"aaa");
    let mut uploads = 1;
    for _ in 0..2 {
        let report = pair.run(&["--full"], 3).await;
        let problem = &told(&report)["problems"][0];
        assert_eq!((&problem["asset"], &problem["reason"]), (&"empty".into(), &"push_rejected".into()), "{report:#}");
        assert!(problem["message"].as_str().unwrap().contains("1,024 zero bytes"), "{report:#}");
        assert_eq!(pair.there.uploads().len(), uploads);
        pair.there.reset_log();
        uploads = 0;
    }
    pair.there.gitea_version("1.17.0");
    pair.run(&["--full"], 0).await;
    assert_eq!(pair.copy().asset_bytes("v1", "empty"), b"");
    assert!(!pair.copy().seen_release("v1").draft);
}

#[tokio::test]
async fn a_draft_whose_tag_is_not_there_yet_stays_as_long_as_the_source_has_it() {
    for kind in [Dialect::Github, Dialect::Gitea] {
        let pair = Pair::with(kind, &json!({"releases": {"prune": true, "drafts": true}})).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        alpha.release("v1");
        alpha.draft_release("v2").title("Soon");
        let report = pair.run(&[], 0).await;
        assert_eq!(counts(&report), json!({"created": 2}), "{kind:?}: {report:#}");
        let copy = pair.copy();
        for change in ["one", "two"] {
            alpha.branch(change);
            let report = pair.run(&["--window", "0"], 0).await;
            assert_eq!(counts(&report), json!({"in_sync": 2}), "{kind:?}: {report:#}");
            assert!(copy.seen_release("v2").draft, "{kind:?}");
        }
        // A draft that is thrown away at the source goes.
        alpha.remove_release("v2").branch("three");
        let report = pair.run(&["--window", "0"], 0).await;
        assert_eq!(counts(&report), json!({"in_sync": 1, "deleted": 1}), "{kind:?}: {report:#}");
        assert_eq!(copy.releases().len(), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn a_deletion_before_the_refs_is_told_also_when_these_fail() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"releases": {"prune": true}})).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        alpha.release("v1");
        alpha.release("v2");
        pair.run(&[], 0).await;
        alpha.remove_release("v1").delete("refs/tags/v1");
        pair.there.fault(Fault::status(403).on_git("copies/alpha").service(Service::Push));
        let report = pair.run(&["--window", "0"], 3).await;
        assert_eq!(counts(&report), json!({"deleted": 1}), "{kind:?}: {report:#}");
        assert_eq!(pair.copy().releases().len(), 1, "{kind:?}");
    }
}

#[tokio::test]
async fn files_that_a_forge_cannot_have_are_told_and_the_others_arrive() {
    let (pair, alpha) = pair(Dialect::Github).await;
    alpha.release("v1").asset("empty", b"").asset("a b", b"one").asset("a.b", b"two").asset("id_ed25519", b"secret");
    let report = pair.run(&[], 3).await;
    let problems = told(&report)["problems"].as_array().unwrap();
    let reasons: Vec<(&str, &str)> =
        problems.iter().map(|one| (one["asset"].as_str().unwrap(), one["reason"].as_str().unwrap())).collect();
    assert_eq!(reasons, [("empty", "push_rejected"), ("a.b", "held"), ("id_ed25519", "secret_blocked")], "{report:#}");
    let copy = pair.copy().seen_release("v1");
    assert_eq!((copy.draft, copy.assets.len(), copy.assets[0].name.as_str()), (false, 1, "a b"));
    // Nothing is written again for what cannot be there.
    pair.there.reset_log();
    pair.run(&["--full"], 3).await;
    assert!(pair.there.writes().is_empty());
}

#[tokio::test]
async fn a_repository_that_was_transferred_keeps_one_part_in_its_notes() {
    for kind in KINDS {
        let (pair, alpha) = settled(kind).await;
        let copy = pair.copy();
        alpha.rename("other/alpha");
        let report = pair.run(&["--full"], 0).await;
        assert_eq!(mirror(&report, "other/alpha")["releases"][0]["verdict"], "projected", "{kind:?} {report:#}");
        let notes = copy.seen_release("v1").notes;
        assert_eq!(notes.matches("holocron:begin").count(), 1, "{notes}");
        assert!(notes.contains("/other/alpha tag=v1"), "{notes}");
        pair.there.reset_log();
        pair.run(&["--full"], 0).await;
        assert!(pair.there.writes().is_empty(), "{kind:?}");
    }
}
