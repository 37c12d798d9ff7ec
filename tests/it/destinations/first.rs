//! The first run makes the repository, the next ones cost nothing, and a change arrives.

use serde_json::json;

use super::{KINDS, Pair};
use crate::support::Dialect;

#[tokio::test]
async fn an_empty_destination_gets_a_private_repository_with_heads_tags_and_head() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha");
        alpha.batch(|b| b.branch("trunk").branch("dev").tag("v1").annotated_tag("v2").head("trunk"));
        alpha.reference("refs/pull/1/head");
        pair.run(&[], 0).await;
        let copy = pair.copy();
        pair.env.assert_pushed(&alpha, &copy);
        assert_eq!(copy.visibility(), "private", "{kind:?}");
        assert_eq!(copy.refs().len(), 4, "{:?}", copy.refs());
        assert_eq!(pair.there.names(), ["copies/alpha"]);
    }
}

#[tokio::test]
async fn an_unchanged_run_asks_the_destination_nothing_and_a_full_one_only_looks() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha").branch("main").tag("v1");
        pair.run(&[], 0).await;
        pair.there.reset_log();
        pair.run(&["--window", "0"], 0).await;
        pair.run(&[], 0).await;
        assert_eq!(pair.there.requests().len(), 0, "{kind:?}: {:?}", pair.there.requests());
        pair.run(&["--full"], 0).await;
        assert_eq!((pair.pushes(), pair.changes()), (0, Vec::new()), "{kind:?}");
        assert!(!pair.there.git_requests("copies/alpha").is_empty(), "{kind:?}");
        pair.env.assert_pushed(&alpha, &pair.copy());
    }
}

#[tokio::test]
async fn one_change_is_pushed_and_nothing_else_is() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha").branch("main").branch("old").tag("v1");
        let beta = pair.source.repo("acme/beta").branch("main");
        pair.run(&[], 0).await;
        pair.there.reset_log();
        alpha.commit("main", "more").delete("old");
        pair.run(&["--window", "0"], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
        pair.env.assert_pushed(&beta, &pair.there.find("copies/beta").unwrap());
        assert_eq!(pair.pushes_made("copies/alpha"), 1, "{kind:?}");
        assert!(pair.there.git_requests("copies/beta").is_empty(), "{kind:?}");
        assert_eq!(pair.changes(), [""; 0], "{kind:?}");
    }
}

#[tokio::test]
async fn an_empty_source_makes_an_empty_copy_and_its_first_push_arrives() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha");
        pair.run(&[], 0).await;
        assert!(pair.copy().refs().is_empty());
        alpha.branch("trunk").head("trunk");
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
    }
}

#[tokio::test]
async fn gitlab_groups_mirror_the_source_s_structure() {
    let pair = Pair::with(Dialect::Gitlab, &json!({"namespace": "copies/of/{namespace}"})).await;
    let alpha = pair.source.repo("acme/alpha").branch("main");
    let beta = pair.source.repo("other/alpha").branch("trunk").head("trunk");
    pair.run(&[], 0).await;
    assert_eq!(pair.there.names(), ["copies/of/acme/alpha", "copies/of/other/alpha"]);
    pair.env.assert_pushed(&alpha, &pair.there.find("copies/of/acme/alpha").unwrap());
    pair.env.assert_pushed(&beta, &pair.there.find("copies/of/other/alpha").unwrap());
    assert_eq!(pair.there.find("copies/of/acme/alpha").unwrap().visibility(), "private");
}

#[tokio::test]
async fn what_is_private_at_the_source_is_never_made_public() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"visibility": "same"})).await;
        pair.source.repo("acme/open").branch("main");
        pair.source.repo("acme/closed").branch("main").private();
        pair.run(&[], 0).await;
        let visibility = |name: &str| pair.there.find(name).unwrap().visibility();
        assert_eq!((visibility("copies/open"), visibility("copies/closed")), ("public".into(), "private".into()));
    }
}

#[tokio::test]
async fn without_a_namespace_copies_belong_to_the_token_s_user() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"namespace": null})).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &pair.there.find("alice/alpha").unwrap());
    }
}

#[tokio::test]
async fn a_dry_run_makes_and_pushes_nothing() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        pair.run(&["--dry-run"], 0).await;
        assert_eq!((pair.there.names().len(), pair.changes()), (0, Vec::new()));
        pair.run(&[], 0).await;
        let before = pair.copy().refs();
        alpha.commit("main", "more").branch("new");
        pair.there.reset_log();
        pair.run(&["--dry-run"], 0).await;
        assert_eq!((pair.pushes(), pair.changes(), pair.copy().refs()), (0, Vec::new(), before), "{kind:?}");
    }
}
