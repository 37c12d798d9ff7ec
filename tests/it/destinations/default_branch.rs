//! The default branch of a copy: the source's, whatever the forge would choose at the first push.

use serde_json::json;

use super::{KINDS, Pair};
use crate::net::mirror;
use crate::support::{Dialect, Fault};

/// A default branch, and another that a forge would prefer or that comes first by name.
const PAIRS: [(&str, &str); 2] = [("trunk", "aaa"), ("develop", "main")];

#[tokio::test]
async fn a_new_copy_has_the_source_s_default_branch_and_the_other_can_be_deleted() {
    for kind in KINDS {
        for (default, other) in PAIRS {
            let pair = Pair::new(kind).await;
            let alpha = pair.source.repo("acme/alpha").batch(|b| b.branch(default).branch(other).head(default));
            pair.run(&[], 0).await;
            assert_eq!(pair.copy().said_default_branch().as_deref(), Some(default), "{kind:?}");
            pair.env.assert_pushed(&alpha, &pair.copy());
            alpha.delete(other);
            pair.run(&["--window", "0"], 0).await;
            pair.env.assert_pushed(&alpha, &pair.copy());
        }
    }
}

#[tokio::test]
async fn so_has_a_copy_that_was_there_and_empty() {
    for kind in KINDS {
        for (default, other) in PAIRS {
            let pair = Pair::new(kind).await;
            let copy = pair.foreign_copy();
            let alpha = pair.source.repo("acme/alpha").batch(|b| b.branch(default).branch(other).head(default));
            pair.run(&[], 0).await;
            pair.env.assert_pushed(&alpha, &copy);
        }
    }
}

#[tokio::test]
async fn what_the_forge_calls_default_is_repaired_although_git_s_head_is_right() {
    let pair = Pair::new(Dialect::Gitea).await;
    let alpha = pair.source.repo("acme/alpha").batch(|b| b.branch("develop").branch("main").head("develop"));
    pair.run(&[], 0).await;
    let copy = pair.copy().gitea_calls_default("main");
    pair.run(&["--full"], 0).await;
    pair.env.assert_pushed(&alpha, &copy);
    // Also when the branch that it calls so is to be deleted.
    copy.gitea_calls_default("main");
    alpha.delete("main");
    pair.run(&["--window", "0"], 0).await;
    pair.env.assert_pushed(&alpha, &copy);
}

#[tokio::test]
async fn git_s_head_is_repaired_although_the_forge_calls_the_right_branch_default() {
    let pair = Pair::new(Dialect::Gitea).await;
    let alpha = pair.source.repo("acme/alpha").batch(|b| b.branch("develop").branch("main"));
    let copy = pair.foreign_copy().batch(|b| b.branch("develop").branch("main").head("develop"));
    copy.gitea_calls_default("main");
    pair.run(&[], 0).await;
    pair.env.assert_pushed(&alpha, &copy);
}

#[tokio::test]
async fn a_head_that_names_no_branch_and_cannot_be_set_is_reported() {
    let pair = Pair::new(Dialect::Gitea).await;
    // Made with another default branch than the only one that comes.
    let copy = pair.foreign_copy().batch(|b| b.head("develop"));
    pair.source.repo("acme/alpha").branch("main");
    let told = pair.run(&[], 0).await;
    assert_eq!(copy.said_default_branch().as_deref(), Some("main"));
    let notes = mirror(&told, "acme/alpha")["destinations"][0]["notes"].to_string();
    assert!(notes.contains("HEAD there names no branch"), "{told:#}");
}

#[tokio::test]
async fn a_default_branch_that_cannot_be_compared_is_not_called_in_step() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        pair.source.repo("acme/alpha").batch(|b| b.branch("trunk").branch("aaa").head("trunk"));
        let copy = pair.foreign_copy();
        let end = match kind {
            Dialect::Gitlab => "copies%2Falpha",
            _ => "copies/alpha",
        };
        let fault = Fault::status(403).json(&json!({"message": "no"}));
        pair.there.fault(fault.on_api(end).after(1));
        let told = pair.degraded(&[]).await;
        assert_eq!(copy.tip("aaa").len(), 40, "{told:#}");
        pair.there.heal();
        pair.run(&[], 0).await;
        assert_eq!(copy.said_default_branch().as_deref(), Some("trunk"), "{kind:?}");
    }
}
