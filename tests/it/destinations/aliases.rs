//! Symbolic refs that an administrator made at a destination: git deletes and writes through them, so they are left alone.

use serde_json::{Value, json};

use super::plain::{Shelf, refused};
use super::{KINDS, Pair};
use crate::net::mirror;
use crate::support::Repo;

/// The notes about `acme/alpha` at the destination, as one text.
fn notes(told: &Value) -> String {
    told["notes"].as_array().expect("a list").iter().map(|note| note.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

/// Asserts that `copy` has `main` of `alpha`, and `master` as a symbolic ref to it.
#[track_caller]
fn assert_alias(alpha: &Repo, copy: &Repo) {
    assert_eq!(copy.leads_to("master"), "refs/heads/main");
    assert_eq!((copy.tip("main"), copy.tip("master")), (alpha.tip("main"), alpha.tip("main")));
}

#[tokio::test]
async fn an_alias_of_the_default_branch_stays_and_the_branch_goes_on() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha").batch(|b| b.branch("main").branch("dev"));
        pair.run(&[], 0).await;
        let copy = pair.copy().alias("master", "main");
        alpha.commit("main", "more").delete("dev");
        for args in [&[][..], &["--full"]] {
            let told = pair.run(args, 0).await;
            let told = &mirror(&told, "acme/alpha")["destinations"][0];
            assert_eq!(notes(told).matches("refs/heads/master").count(), 1, "{told:#}");
            assert_alias(&alpha, &copy);
            assert!(!copy.refs().contains_key("refs/heads/dev"), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn an_alias_in_a_directory_stays_and_the_branch_goes_on() {
    let shelf = Shelf::new(&json!({}));
    shelf.alpha.batch(|b| b.branch("main").branch("dev"));
    shelf.run(&[], 0).await;
    shelf.copy().alias("master", "main").alias("refs/tags/latest", "main");
    for text in ["more", "still more"] {
        shelf.alpha.commit("main", text);
        let told = shelf.run(&["--full"], 0).await;
        assert_eq!((&told["verdict"], &told["verified"]), (&"pushed".into(), &true.into()), "{told:#}");
        assert!(notes(&told).contains("refs/tags/latest (leads to refs/heads/main)"), "{told:#}");
        assert_alias(&shelf.alpha, &shelf.copy());
    }
}

#[tokio::test]
async fn a_branch_of_the_source_that_takes_an_aliass_name_is_said_to_be_missing() {
    let shelf = Shelf::new(&json!({}));
    shelf.alpha.branch("main");
    shelf.run(&[], 0).await;
    shelf.copy().alias("master", "main");
    // As long as both name the same commit, all is there.
    shelf.alpha.point("master", "main");
    shelf.run(&["--full"], 0).await;
    assert_alias(&shelf.alpha, &shelf.copy());
    shelf.alpha.commit("master", "on its own").commit("main", "more");
    for _ in 0..2 {
        let told = shelf.run(&["--full"], 3).await;
        assert_eq!(refused(&told), ["refs/heads/master push_rejected"], "{told:#}");
        assert!(told.to_string().contains("git symbolic-ref --delete refs/heads/master"), "{told:#}");
        assert_alias(&shelf.alpha, &shelf.copy());
    }
    // The way out is one.
    std::fs::remove_file(shelf.copy().git_dir().join("refs/heads/master")).unwrap();
    shelf.run(&["--full"], 0).await;
    shelf.assert_pushed();
}

#[tokio::test]
async fn what_an_alias_leads_to_is_not_deleted_under_it() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha").batch(|b| b.branch("main").branch("old"));
        pair.run(&[], 0).await;
        let copy = pair.copy().alias("legacy", "old");
        let old = copy.tip("old");
        alpha.delete("old");
        let told = pair.run(&["--full"], 0).await;
        let told = &mirror(&told, "acme/alpha")["destinations"][0];
        assert!(notes(told).contains("refs/heads/old stays"), "{told:#}");
        assert_eq!((copy.tip("old"), copy.tip("legacy")), (old.clone(), old), "{kind:?}");
    }
}

#[tokio::test]
async fn an_alias_with_all_refs_and_elsewhere_stays_too() {
    let shelf = Shelf::new(&json!({"refs": "all"}));
    shelf.alpha.batch(|b| b.branch("main").reference("refs/remotes/origin/main"));
    shelf.run(&[], 0).await;
    shelf.copy().alias("refs/remotes/origin/HEAD", "refs/remotes/origin/main");
    shelf.alpha.commit("refs/remotes/origin/main", "more");
    shelf.run(&["--full"], 0).await;
    assert_eq!(shelf.copy().leads_to("refs/remotes/origin/HEAD"), "refs/remotes/origin/main");
    assert_eq!(shelf.copy().tip("refs/remotes/origin/HEAD"), shelf.alpha.tip("refs/remotes/origin/main"));
}
