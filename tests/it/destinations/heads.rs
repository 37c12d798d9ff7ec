//! Default branches of plain git servers, which only their administrators can set.

use serde_json::json;

use super::{Pair, destination};
use crate::net::mirror;
use crate::support::Dialect;

#[tokio::test]
async fn a_default_branch_that_cannot_be_set_is_a_note_with_the_command_to_run() {
    // Its server keeps HEAD where it is as long as such a branch arrives.
    let pair = Pair::new(Dialect::Github).await;
    let copy = pair.foreign_copy().head("trunk");
    let url = format!("{}/copies/{{name}}.git", pair.there.url());
    let token = destination("to", Dialect::Github, &pair.there)["token"].clone();
    pair.write(&[json!({"id": "to", "kind": "git", "url": url, "user": "alice", "token": token})]);
    let alpha = pair.source.repo("acme/alpha").batch(|b| b.branch("trunk").branch("dev"));
    pair.run(&[], 0).await;
    pair.env.assert_pushed(&alpha, &copy);
    // `trunk` is deleted at the source, and stays there while HEAD names it: git refuses to delete it.
    let old = copy.tip("trunk");
    alpha.rename_default("main").commit("main", "more").delete("dev");
    for _ in 0..2 {
        let told = pair.run(&["--full"], 0).await;
        let there = &mirror(&told, "acme/alpha")["destinations"][0];
        let notes = there["notes"].to_string();
        assert!(notes.contains("git symbolic-ref HEAD refs/heads/main"), "{there:#}");
        assert!(notes.contains("refs/heads/trunk") && !notes.contains("push_rejected"), "{there:#}");
        assert_eq!((copy.tip("main"), copy.tip("trunk")), (alpha.tip("main"), old.clone()));
        assert!(!copy.refs().contains_key("refs/heads/dev"));
    }
    copy.head("main");
    pair.run(&["--full"], 0).await;
    pair.env.assert_pushed(&alpha, &copy);
}
