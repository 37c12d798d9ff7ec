//! Sources that lack what their refs name, and are not damaged: partial clones, and repositories with grafts.

use std::fs;

use crate::disk_kit::{backup_dir, git, outcome, verdict};
use crate::support::{Repo, TestEnv};

/// A repository with three commits, each with a file of its own.
fn upstream(env: &TestEnv) -> Repo {
    let upstream = env.bare_repo("upstream.git").branch("main");
    for name in ["a", "b", "c"] {
        upstream.commit_file("main", name, name.as_bytes());
    }
    upstream
}

async fn clone(env: &TestEnv, upstream: &Repo, args: &[&str]) {
    git(env, upstream.git_dir(), &["config", "uploadpack.allowFilter", "true"]).await;
    let url = format!("file://{}", upstream.path().display());
    let all = [&["clone", "-q", "--bare"][..], args, &[&url, "src/alpha.git"]].concat();
    git(env, env.work(), &all).await;
}

/// Runs, and asserts that nothing of the source passes for saved; returns the hint.
async fn fails(env: &TestEnv, transport: &str) -> String {
    let run = backup_dir(env, "src").args(["--transport", transport]).run().await;
    run.assert_code(3);
    let failure = outcome(&run, "alpha")["failure"].clone();
    assert_eq!((verdict(&run, "alpha").as_str(), &failure["reason"]), ("failed", &"corrupt".into()), "{run}");
    failure["hint"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_partial_clone_is_named_as_that_and_saved_once_it_is_whole() {
    for transport in ["auto", "git"] {
        let env = TestEnv::new();
        let upstream = upstream(&env);
        clone(&env, &upstream, &["--filter=blob:none"]).await;
        let hint = fails(&env, transport).await;
        assert!(hint.contains("partial clone") && hint.contains("--refetch"), "{transport}: {hint}");
        assert!(!env.storage().join("local/alpha.git").exists());

        // As the hint says.
        let source = env.work().join("src/alpha.git");
        git(&env, &source, &["fetch", "-q", "--refetch", "--no-filter", "origin"]).await;
        backup_dir(&env, "src").args(["--transport", transport]).run().await.assert_code(0);
        let mirrored = env.storage().join("local/alpha.git");
        assert_eq!(
            git(&env, &mirrored, &["rev-list", "--objects", "--missing=print", "--all"]).await.matches('?').count(),
            0
        );
    }
}

#[tokio::test]
async fn a_source_that_became_a_partial_clone_loses_the_mirror_nothing() {
    for transport in ["auto", "git"] {
        let env = TestEnv::new();
        let upstream = upstream(&env);
        clone(&env, &upstream, &[]).await;
        backup_dir(&env, "src").args(["--transport", transport]).run().await.assert_code(0);
        let before = env.refs("local/alpha.git");
        fs::remove_dir_all(env.work().join("src/alpha.git")).unwrap();
        upstream.commit_file("main", "d", b"d");
        clone(&env, &upstream, &["--filter=blob:none"]).await;
        let hint = fails(&env, transport).await;
        assert!(hint.contains("partial clone"), "{transport}: {hint}");
        assert_eq!(env.refs("local/alpha.git"), before);
    }
}

#[tokio::test]
async fn grafts_of_a_source_are_named_and_the_whole_history_is_saved_without_them() {
    for transport in ["auto", "git"] {
        let env = TestEnv::new();
        let upstream = upstream(&env);
        clone(&env, &upstream, &[]).await;
        let source = env.work().join("src/alpha.git");
        let root = git(&env, &source, &["rev-parse", "main~1"]).await;
        fs::create_dir_all(source.join("info")).unwrap();
        fs::write(source.join("info/grafts"), &root).unwrap();
        let hint = fails(&env, transport).await;
        assert!(hint.contains("info/grafts") && hint.contains("--convert-graft-file"), "{transport}: {hint}");
        assert!(!env.storage().join("local/alpha.git").exists());

        // As the hint says.
        git(&env, &source, &["replace", "--convert-graft-file"]).await;
        backup_dir(&env, "src").args(["--transport", transport]).run().await.assert_code(0);
        let mirrored = env.storage().join("local/alpha.git");
        let history = git(&env, &mirrored, &["--no-replace-objects", "rev-list", "--count", "main"]).await;
        assert_eq!(history.trim(), "4", "{transport}");
    }
}
