//! Refs with odd names, and very many of them.

use std::process::Command;

use serde_json::json;

use super::{KINDS, Pair};
use crate::net::mirror;
use crate::support::Dialect;

/// A branch whose short name is the full name of another.
const ODD: &str = "refs/heads/refs/heads/main";

#[tokio::test]
async fn a_branch_called_as_a_full_ref_goes_where_it_belongs() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha");
        alpha.batch(|b| b.branch("main").reference(ODD).tag("main").branch("tags/v1").tag("v1").branch("HEAD"));
        alpha.reference("refs/heads/refs/tags/v1");
        let copy = pair.foreign_copy().batch(|b| b.branch("main").commit("main", "old"));
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &copy);
        // Each alone, both, one gone.
        alpha.commit("main", "more").force("v1");
        pair.run(&["--window", "0"], 0).await;
        pair.env.assert_pushed(&alpha, &copy);
        alpha.force("main").point(ODD, "main").commit("main", "more");
        pair.run(&["--window", "0"], 0).await;
        pair.env.assert_pushed(&alpha, &copy);
        alpha.delete(ODD).commit("main", "more");
        pair.run(&["--window", "0"], 0).await;
        pair.env.assert_pushed(&alpha, &copy);
    }
}

#[tokio::test]
async fn a_branch_called_as_a_full_ref_that_must_stay_costs_only_the_ref_it_shadows() {
    let pair = Pair::with(Dialect::Gitea, &json!({"prune": false})).await;
    let alpha = pair.source.repo("acme/alpha").batch(|b| b.branch("main").branch("dev"));
    let copy = pair.foreign_copy().batch(|b| b.branch("main").reference(ODD));
    let had = copy.refs();
    for _ in 0..2 {
        alpha.commit("main", "more").commit("dev", "more");
        let told = pair.run(&["--window", "0"], 3).await;
        let refused = &mirror(&told, "acme/alpha")["destinations"][0]["refused"];
        assert_eq!((&refused[0]["name"], refused[1].is_null()), (&"refs/heads/main".into(), true), "{told:#}");
        assert!(refused[0]["message"].as_str().unwrap().contains(ODD), "{told:#}");
        assert_eq!((&copy.refs()[ODD], &copy.refs()["refs/heads/main"]), (&had[ODD], &had["refs/heads/main"]));
        assert_eq!(copy.tip("dev"), alpha.tip("dev"));
    }
    // A hook that lets nobody delete it.
    pair.configure(&[json!({})]);
    alpha.commit("dev", "again");
    let hook = "#!/bin/sh\ncase $1 in refs/heads/refs/*) echo no >&2; exit 1;; esac\n";
    copy.hook("update", hook);
    let told = pair.run(&["--window", "0"], 3).await;
    let refused = mirror(&told, "acme/alpha")["destinations"][0]["refused"].as_array().unwrap().len();
    assert_eq!((refused, copy.tip("dev")), (2, alpha.tip("dev")), "{told:#}");
}

#[tokio::test]
async fn odd_names_arrive_as_they_are() {
    let pair = Pair::new(Dialect::Gitea).await;
    let alpha = pair.source.repo("acme/alpha").branch("main");
    let long = "x".repeat(200);
    for name in [
        "-x",
        "--force",
        "@",
        "umläut/ß",
        "a.b",
        "feature/#12",
        "50%",
        "a=b",
        "quote'\"s",
        "sp\u{a0}ace",
        long.as_str(),
    ] {
        alpha.reference(&format!("refs/heads/{name}"));
    }
    // Not UTF-8: Latin-1 of old days. fast-import takes no such name as text.
    use std::os::unix::ffi::OsStrExt;
    let name = std::ffi::OsStr::from_bytes(b"refs/heads/caf\xe9");
    let mut made = Command::new("git");
    made.arg("--git-dir").arg(alpha.git_dir()).arg("update-ref").arg(name).arg(alpha.tip("main"));
    made.env("GIT_CONFIG_GLOBAL", "/dev/null");
    assert!(made.status().unwrap().success());
    alpha.commit("main", "more");
    pair.run(&[], 0).await;
    let bytes = |repo: &crate::support::Repo| {
        let refs = Command::new("git").arg("--git-dir").arg(repo.git_dir()).args(["for-each-ref"]).output().unwrap();
        refs.stdout
    };
    assert_eq!(bytes(&alpha), bytes(&pair.copy()));
    assert_eq!(bytes(&alpha).split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count(), 13);
}

#[tokio::test]
async fn thousands_of_refs_are_pushed_moved_refused_and_deleted() {
    let pair = Pair::with(Dialect::Gitea, &json!({})).await;
    let alpha = pair.source.repo("acme/alpha").branch("main").many_refs(5000);
    pair.run(&[], 0).await;
    let copy = pair.copy();
    pair.env.assert_pushed(&alpha, &copy);
    // Many are refused, each with a line of its own: no pipe fills up.
    copy.hook(
        "update",
        "#!/bin/sh\necho \"$1 is refused with a line that is long enough to fill a pipe\" >&2\nexit 1\n",
    );
    let names: Vec<String> = alpha.refs().into_keys().filter(|name| name != "refs/heads/main").take(500).collect();
    alpha.commit("main", "more");
    alpha.batch(|b| names.iter().fold(b, |b, name| b.point(name, "main")));
    let told = pair.run(&["--window", "0"], 3).await;
    let there = &mirror(&told, "acme/alpha")["destinations"][0];
    assert_eq!(there["refused"].as_array().unwrap().len(), names.len() + 1, "{:#}", there["refs"]);
    std::fs::remove_file(copy.git_dir().join("hooks/update")).unwrap();
    pair.run(&[], 0).await;
    pair.env.assert_pushed(&alpha, &copy);
    alpha.batch(|b| names.iter().fold(b, |b, name| b.delete(name)));
    pair.run(&["--window", "0", "--accept-deletions", "acme/alpha"], 0).await;
    pair.env.assert_pushed(&alpha, &copy);
}
