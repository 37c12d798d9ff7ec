//! The hash by which repositories name their objects: that of the source, whatever the user prefers for new ones.

use std::path::Path;

use serde_json::{Value, json};

use super::plain::Shelf;
use super::{KINDS, Pair};
use crate::net::{mirror, report};
use crate::support::{Dialect, TestEnv};

/// The hash of the repository `dir`.
async fn format_of(env: &TestEnv, dir: &Path) -> String {
    let git = env.git(["rev-parse", "--show-object-format"]).cwd(dir).run().await;
    git.assert_code(0).stdout.trim().to_owned()
}

/// Makes the repository `dir` with a commit on `main`, with SHA-256.
async fn long_source(env: &TestEnv, dir: &Path) -> String {
    std::fs::create_dir_all(dir).unwrap();
    let git = async |args: &[&str]| {
        let who = ["-c", "user.name=Test", "-c", "user.email=test@example.test"];
        let run = env.git(who.iter().chain(args).copied()).cwd(dir).run().await;
        run.assert_code(0).stdout.trim().to_owned()
    };
    git(&["init", "-q", "--bare", "-b", "main", "--object-format=sha256", "."]).await;
    let tree = git(&["mktree", "--missing"]).await;
    let tip = git(&["commit-tree", "-m", "one", &tree]).await;
    git(&["update-ref", "refs/heads/main", &tip]).await;
    tip
}

#[tokio::test]
async fn a_directory_is_made_with_the_hash_of_the_source_and_not_with_the_users_choice() {
    let shelf = Shelf::new(&json!({}));
    shelf.env.global_git_config("[init]\n\tdefaultObjectFormat = sha256\n\tdefaultRefFormat = reftable\n");
    // Empty at first: its format must be right before anything is in it.
    shelf.run(&[], 0).await;
    assert_eq!(format_of(&shelf.env, &shelf.there.git_dir("acme/alpha")).await, "sha1");
    shelf.alpha.batch(|b| b.branch("main").tag("v1"));
    shelf.run(&["--full"], 0).await;
    shelf.assert_pushed();
}

#[tokio::test]
async fn a_sha256_source_gets_a_sha256_directory_mirror_and_checkout() {
    let shelf = Shelf::new(&json!({}));
    let dir = shelf.env.work().join("sources/acme/long.git");
    let tip = long_source(&shelf.env, &dir).await;
    let told = report(&shelf.env.holocron(["--json", "--checkout"]).run().await, 0);
    assert_eq!(mirror(&told, "acme/long")["destinations"][0]["verdict"], "pushed", "{told:#}");
    assert_eq!(shelf.there.refs("acme/long")["refs/heads/main"], tip);
    assert_eq!(format_of(&shelf.env, &shelf.there.git_dir("acme/long")).await, "sha256");
}

#[tokio::test]
async fn mirrors_and_checkouts_have_the_hash_of_the_source_whatever_the_user_prefers() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        pair.env.global_git_config("[init]\n\tdefaultObjectFormat = sha256\n");
        let alpha = pair.source.repo("acme/alpha").branch("main");
        let empty = pair.source.repo("acme/empty");
        pair.run(&["--checkout"], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
        for repo in [&alpha, &empty] {
            assert_eq!(format_of(&pair.env, &pair.env.mirror_of(repo)).await, "sha1", "{kind:?}");
        }
        empty.branch("main");
        pair.run(&["--full"], 0).await;
    }
}

#[tokio::test]
async fn a_forge_that_can_is_asked_for_the_sources_hash() {
    for kind in [Dialect::Gitea, Dialect::Gitlab] {
        let pair = Pair::new(kind).await;
        let dir = pair.env.work().join("sources/acme/long.git");
        let tip = long_source(&pair.env, &dir).await;
        let source = json!({"id": "from", "kind": "dir", "dirs": [pair.env.work().join("sources")]});
        let to: Value = super::destination("to", kind, &pair.there);
        pair.env.file("holocron.yaml", json!({"sources": [source], "destinations": [to]}).to_string());
        pair.run(&[], 0).await;
        let copy = pair.there.find("copies/long").expect("the copy was made");
        assert_eq!(copy.refs()["refs/heads/main"], tip, "{kind:?}");
    }
}
