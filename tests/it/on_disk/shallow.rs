//! Shallow clones as sources: what they have is saved, and never passed off as the whole history.

use std::fs;

use crate::disk_kit::{assert_whole, backup_dir, git, notes, outcome, reason, verdict};
use crate::support::{Repo, TestEnv};

/// A repository with five commits, and a clone of its last `depth` ones at `src/alpha`.
async fn shallow_clone(env: &TestEnv, depth: &str) -> Repo {
    let upstream = env.bare_repo("upstream.git").branch("main");
    upstream.batch(|batch| ["2", "3", "4", "5"].iter().fold(batch, |batch, text| batch.commit("main", text)));
    let url = format!("file://{}", upstream.path().display());
    git(env, env.work(), &["clone", "-q", "--depth", depth, &url, "src/alpha"]).await;
    upstream
}

async fn count(env: &TestEnv) -> String {
    git(env, env.storage().join("local/alpha.git"), &["rev-list", "--count", "main"]).await
}

#[tokio::test]
async fn a_shallow_source_is_saved_and_reported_as_incomplete_until_it_is_whole() {
    let env = TestEnv::new();
    shallow_clone(&env, "2").await;
    let source = env.work().join("src/alpha");
    for expected in ["cloned", "current"] {
        let run = backup_dir(&env, "src").run().await;
        run.assert_code(3);
        assert_eq!((verdict(&run, "alpha").as_str(), &outcome(&run, "alpha")["degraded"]), (expected, &true.into()));
        assert!(notes(&run, "alpha").contains("shallow"), "{run}");
    }
    assert_eq!(count(&env).await, "2");

    git(&env, &source, &["commit", "-q", "--allow-empty", "-m", "new work"]).await;
    let run = backup_dir(&env, "src").run().await;
    assert_eq!((run.code, verdict(&run, "alpha").as_str()), (3, "updated"), "{run}");
    assert_eq!(count(&env).await, "3");

    git(&env, &source, &["fetch", "-q", "--unshallow"]).await;
    let run = backup_dir(&env, "src").run().await;
    run.assert_code(0);
    assert_eq!(outcome(&run, "alpha")["degraded"], false);
    assert_eq!(count(&env).await, "6");
    assert_whole(&env, env.storage().join("local/alpha.git")).await;
    let run = backup_dir(&env, "src").run().await;
    assert_eq!((run.code, verdict(&run, "alpha").as_str()), (0, "current"));
}

#[tokio::test]
async fn a_whole_mirror_does_not_follow_a_source_whose_history_was_cut_off() {
    let env = TestEnv::new();
    let upstream = shallow_clone(&env, "1").await;
    let source = env.work().join("src/alpha");
    git(&env, &source, &["fetch", "-q", "--unshallow"]).await;
    backup_dir(&env, "src").run().await.assert_code(0);
    let before = env.refs("local/alpha.git");

    // Cloned again, shallow and further on: the commits between are nowhere.
    upstream.batch(|batch| batch.commit("main", "6").commit("main", "7").commit("main", "8"));
    fs::remove_dir_all(&source).unwrap();
    let url = format!("file://{}", upstream.path().display());
    git(&env, env.work(), &["clone", "-q", "--depth", "1", &url, "src/alpha"]).await;
    let run = backup_dir(&env, "src").run().await;
    run.assert_code(3);
    assert_eq!((verdict(&run, "alpha").as_str(), reason(&run, "alpha").as_str()), ("held", "held"), "{run}");
    assert_eq!(env.refs("local/alpha.git"), before);
    assert_whole(&env, env.storage().join("local/alpha.git")).await;

    git(&env, &source, &["fetch", "-q", "--unshallow"]).await;
    backup_dir(&env, "src").run().await.assert_code(0);
    assert_eq!(count(&env).await, "8");
    assert_whole(&env, env.storage().join("local/alpha.git")).await;
}

#[tokio::test]
async fn a_partial_clone_without_its_files_makes_no_mirror_that_looks_whole() {
    let env = TestEnv::new();
    let upstream = env.bare_repo("upstream.git").branch("main").commit_file("main", "file", b"content\n");
    let url = format!("file://{}", upstream.path().display());
    git(&env, env.work(), &["clone", "-q", "--no-checkout", "--filter=blob:none", &url, "src/alpha"]).await;
    // Its files could be had from there, by a git that is told to run what another repository's settings name.
    fs::rename(upstream.path(), env.work().join("gone.git")).unwrap();
    let run = backup_dir(&env, "src").run().await;
    run.assert_code(3);
    assert_eq!(verdict(&run, "alpha"), "failed");
    assert!(!env.storage().join("local/alpha.git").exists());
}
