//! A copy that is not what it should be: behind, ahead, diverged, with foreign refs, with another default branch.

use serde_json::json;

use super::{KINDS, Pair};
use crate::support::{Dialect, Fault, Repo};

/// A source with `main` two commits long, `dev` and `v1`.
fn alpha(pair: &Pair) -> Repo {
    pair.source.repo("acme/alpha").batch(|b| b.branch("main").branch("dev").tag("v1").commit("main", "more"))
}

/// The same as it was before `more`.
fn behind(pair: &Pair) -> Repo {
    pair.foreign_copy().batch(|b| b.branch("main").branch("dev").tag("v1"))
}

#[tokio::test]
async fn a_copy_that_is_behind_is_brought_up_whatever_the_divergence() {
    for kind in KINDS {
        for divergence in ["force", "keep"] {
            let pair = Pair::with(kind, &json!({"divergence": divergence})).await;
            let (alpha, copy) = (alpha(&pair), behind(&pair));
            pair.run(&[], 0).await;
            pair.env.assert_pushed(&alpha, &copy);
        }
    }
}

#[tokio::test]
async fn a_copy_that_is_ahead_or_diverged_is_overwritten_by_default() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let (alpha, copy) = (alpha(&pair), behind(&pair));
        copy.commit("dev", "ahead").commit("main", "foreign").branch("foreign").tag("foreign");
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &copy);
    }
}

#[tokio::test]
async fn keep_leaves_foreign_commits_branches_and_tags_and_reports_them() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"divergence": "keep"})).await;
        let (alpha, copy) = (alpha(&pair), behind(&pair));
        alpha.branch("new");
        copy.commit("dev", "ahead").commit("main", "foreign").branch("foreign").commit("foreign", "x");
        let before = copy.refs();
        for _ in 0..2 {
            pair.degraded(&[]).await;
            let mut expected = before.clone();
            expected.insert("refs/heads/new".to_owned(), alpha.tip("new"));
            assert_eq!(copy.refs(), expected, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn keep_deletes_what_came_from_the_source() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"divergence": "keep"})).await;
        let alpha = alpha(&pair);
        pair.run(&[], 0).await;
        alpha.delete("dev");
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
    }
}

#[tokio::test]
async fn protected_refs_are_never_moved_and_never_deleted() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"protect": ["ours/*", "dev"]})).await;
        let (alpha, copy) = (alpha(&pair), behind(&pair));
        copy.branch("ours/a").branch("theirs").commit("dev", "ahead").branch("gh-pages");
        let before = copy.refs();
        pair.run(&[], 0).await;
        let mut expected = alpha.refs();
        for name in ["refs/heads/ours/a", "refs/heads/dev"] {
            expected.insert(name.to_owned(), before[name].clone());
        }
        assert_eq!(copy.refs(), expected, "{kind:?}");
    }
}

#[tokio::test]
async fn nothing_is_deleted_without_prune() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"prune": false})).await;
        let (alpha, copy) = (alpha(&pair), behind(&pair));
        copy.branch("foreign").tag("foreign");
        pair.run(&[], 0).await;
        let mut expected = alpha.refs();
        expected.extend(copy.refs().into_iter().filter(|(name, _)| name.ends_with("/foreign")));
        assert_eq!((copy.refs().len(), copy.refs()), (5, expected), "{kind:?}");
    }
}

#[tokio::test]
async fn gh_pages_is_the_destination_s_own_until_the_source_has_one() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let (alpha, copy) = (alpha(&pair), behind(&pair));
        copy.branch("gh-pages").commit("gh-pages", "built here");
        let pages = copy.tip("gh-pages");
        pair.run(&[], 0).await;
        assert_eq!(copy.tip("gh-pages"), pages);
        alpha.branch("gh-pages");
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &copy);
    }
}

#[tokio::test]
async fn a_renamed_default_branch_is_set_before_the_old_one_is_deleted() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = alpha(&pair);
        pair.run(&[], 0).await;
        alpha.rename_default("trunk");
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
        assert_eq!(pair.copy().default_branch(), "trunk", "{kind:?}");
    }
}

#[tokio::test]
async fn a_default_branch_that_cannot_be_set_keeps_the_old_one_and_everything_else_arrives() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = alpha(&pair);
        pair.run(&[], 0).await;
        let old = pair.copy().tip("main");
        alpha.rename_default("trunk").delete("dev").branch("new");
        let end = match kind {
            Dialect::Gitlab => format!("projects/{}", pair.copy().id()),
            _ => "copies/alpha".to_owned(),
        };
        // The repository can be looked at; only its change is refused.
        let fault = Fault::status(403).json(&json!({"message": "no"}));
        pair.there.fault(fault.on_api(&end).after(if kind == Dialect::Gitlab { 0 } else { 1 }));
        pair.degraded(&[]).await;
        let copy = pair.copy();
        assert_eq!(copy.default_branch(), "main", "{kind:?}");
        assert_eq!((copy.tip("main"), copy.tip("trunk"), copy.tip("new")), (old, alpha.tip("trunk"), alpha.tip("new")));
        assert!(!copy.refs().contains_key("refs/heads/dev"));
        pair.there.heal();
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
    }
}

#[tokio::test]
async fn dev_makes_room_for_dev_x_and_back() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = alpha(&pair);
        pair.run(&[], 0).await;
        alpha.delete("dev").branch("dev/x").branch("dev/y");
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
        alpha.delete("dev/x").delete("dev/y").branch("dev");
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
    }
}
