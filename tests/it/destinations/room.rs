//! Refs that cannot be brought to a destination: those that git never pushes, and those in whose way another one stays.

use serde_json::{Value, json};

use super::plain::{Shelf, refused};
use super::{KINDS, Pair};
use crate::net::mirror;

/// Asserts that `feature/x` is missing, `main` is in step, and `words` say why.
#[track_caller]
fn assert_no_room(told: &Value, words: &str) {
    assert_eq!(refused(told), ["refs/heads/feature/x push_rejected"], "{told:#}");
    let message = told["refused"][0]["message"].as_str().unwrap();
    assert!(message.contains("no room") && message.contains("refs/heads/feature stays"), "{message}");
    assert!(message.contains(words), "{message}");
}

#[tokio::test]
async fn a_branch_in_whose_way_another_one_is_kept_is_said_to_have_no_room() {
    for kind in KINDS {
        for (settings, words) in [(json!({"prune": false}), "`prune`"), (json!({"protect": ["feature"]}), "`protect`")]
        {
            let pair = Pair::with(kind, &settings).await;
            let alpha = pair.source.repo("acme/alpha").batch(|b| b.branch("main").branch("feature"));
            pair.run(&[], 0).await;
            alpha.delete("feature").branch("feature/x").commit("main", "more");
            for _ in 0..2 {
                let told = pair.degraded(&["--full"]).await;
                assert_no_room(&mirror(&told, "acme/alpha")["destinations"][0], words);
                assert_eq!(pair.copy().tip("main"), alpha.tip("main"));
            }
            // The way out.
            pair.copy().delete("feature");
            pair.run(&["--full"], 0).await;
            pair.env.assert_pushed(&alpha, &pair.copy());
        }
    }
}

#[tokio::test]
async fn in_a_directory_and_the_other_way_round_too() {
    let shelf = Shelf::new(&json!({"prune": false}));
    shelf.alpha.batch(|b| b.branch("main").branch("feature/x").branch("feature/y").tag("v1/a"));
    shelf.run(&[], 0).await;
    shelf.alpha.delete("feature/x").delete("feature/y").delete("refs/tags/v1/a").branch("feature").tag("v1");
    let told = shelf.run(&["--full"], 3).await;
    assert_eq!(refused(&told), ["refs/heads/feature push_rejected", "refs/tags/v1 push_rejected"], "{told:#}");
    assert!(told["refused"].to_string().contains("refs/heads/feature/x stays"), "{told:#}");
    // Nothing of it is tried in vain.
    let dry = shelf.run(&["--full", "--dry-run"], 3).await;
    assert_eq!(refused(&dry), refused(&told), "{dry:#}");
}

#[tokio::test]
async fn foreign_commits_and_symbolic_refs_are_in_the_way_as_well() {
    let shelf = Shelf::new(&json!({"divergence": "keep"}));
    shelf.alpha.batch(|b| b.branch("main"));
    shelf.run(&[], 0).await;
    shelf.copy().branch("feature").commit("feature", "theirs").alias("master", "main");
    shelf.alpha.branch("feature/x").branch("master/x");
    let told = shelf.run(&["--full"], 3).await;
    let all = refused(&told);
    assert!(all.contains(&"refs/heads/feature/x push_rejected".to_owned()), "{all:?}");
    assert!(all.contains(&"refs/heads/master/x push_rejected".to_owned()), "{all:?}");
    assert!(told["refused"].to_string().contains("refs/heads/master stays at the destination (it is a symbolic ref)"));
}

#[tokio::test]
async fn a_stash_is_not_pushed_and_that_is_said() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"refs": "all"})).await;
        let alpha = pair.source.repo("acme/alpha").batch(|b| b.branch("main").reference("refs/stash"));
        for args in [&[][..], &["--full"]] {
            let told = pair.run(args, 0).await;
            let there = &mirror(&told, "acme/alpha")["destinations"][0];
            assert_eq!(there["notes"].to_string().matches("refs/stash").count(), 1, "{there:#}");
        }
        // What somebody else's stash is there is theirs.
        pair.copy().reference("refs/other");
        alpha.commit("main", "more");
        pair.run(&["--full"], 0).await;
        let refs = pair.copy().refs();
        assert!(refs.contains_key("refs/other") && !refs.contains_key("refs/stash"), "{refs:?}");
        assert_eq!(refs["refs/heads/main"], alpha.tip("main"));
    }
}

#[tokio::test]
async fn a_stash_is_not_pushed_to_a_directory() {
    let shelf = Shelf::new(&json!({"refs": "all"}));
    shelf.alpha.batch(|b| b.branch("main").reference("refs/stash").reference("refs/notes/commits"));
    let told = shelf.run(&[], 0).await;
    assert!(told["notes"].to_string().contains("refs/stash"), "{told:#}");
    let refs: Vec<String> = shelf.copy().refs().into_keys().collect();
    assert_eq!(refs, ["refs/heads/main", "refs/notes/commits"]);
}
