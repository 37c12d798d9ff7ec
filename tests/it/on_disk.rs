//! What lies on disk after a backup: where, in which form, and that it equals its source whatever that is called.

mod adopted;
mod dirs;
mod foreign;
mod incomplete;
mod long_names;
mod names;
mod refs;
mod shallow;

use std::fs;

use crate::disk_kit::{assert_whole, backup, git, outcome, text, verdict};
use crate::support::{Forge, TestEnv};

#[tokio::test]
async fn a_mirror_lies_under_host_and_namespace_as_a_bare_repository_with_nothing_to_spare() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").branch("dev").tag("v1").annotated_tag("v2");
    let run = backup(&env, &forge).run().await;
    run.assert_code(0);
    let mirror = env.storage().join(alpha.forge_folder()).join("acme/alpha.git");
    assert_eq!(outcome(&run, "acme/alpha")["path"], mirror.to_str().unwrap());
    env.assert_same_refs(&alpha, &mirror);
    assert_whole(&env, &mirror).await;
    assert!(!mirror.join("hooks").exists(), "hook samples are waste");
    assert_eq!(text(&mirror, "packed-refs").lines().filter(|line| line.contains(" refs/")).count(), 4);
    assert!(fs::read_dir(mirror.join("refs/heads")).unwrap().next().is_none(), "refs are packed");
    let config = text(&mirror, "config");
    assert!(!config.contains(&forge.token()), "{config}");
    assert_eq!(git(&env, &mirror, &["config", "remote.origin.url"]).await, alpha.url());
    assert_eq!(fs::read_dir(env.storage().join(".holocron/tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_backup_can_be_cloned_and_continued_like_any_repository() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("trunk").commit_file("trunk", "docs", b"all of it\n");
    backup(&env, &forge).run().await.assert_code(0);
    let mirror = env.mirror_of(&alpha);
    git(&env, env.work(), &["clone", "-q", mirror.to_str().unwrap(), "restored"]).await;
    assert_eq!(text(env.work(), "restored/docs"), "all of it\n");
    assert_eq!(git(&env, env.work().join("restored"), &["branch", "--show-current"]).await, "trunk");
}

#[tokio::test]
async fn equal_names_of_two_owners_do_not_meet() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let one = forge.repo("acme/tools").branch("main").commit("main", "of acme");
    let other = forge.repo("umbrella/tools").branch("main").commit("main", "of umbrella");
    backup(&env, &forge).run().await.assert_code(0);
    env.assert_mirrored(&one);
    env.assert_mirrored(&other);
    assert_ne!(env.mirror_of(&one), env.mirror_of(&other));
}

#[tokio::test]
async fn a_second_run_without_changes_leaves_every_mirror_as_it_is() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").tag("v1");
    backup(&env, &forge).run().await.assert_code(0);
    let before = crate::disk_kit::picture(&env.mirror_of(&alpha));
    let run = backup(&env, &forge).run().await;
    assert_eq!(verdict(&run, "acme/alpha"), "current");
    crate::disk_kit::assert_untouched(&before, &crate::disk_kit::picture(&env.mirror_of(&alpha)));
}

#[tokio::test]
async fn head_follows_the_default_branch_of_the_source() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").branch("dev");
    backup(&env, &forge).run().await.assert_code(0);
    alpha.head("dev");
    let run = backup(&env, &forge).run().await;
    assert_eq!((run.code, verdict(&run, "acme/alpha").as_str()), (0, "updated"));
    env.assert_mirrored(&alpha);
    alpha.head("not-yet-born");
    backup(&env, &forge).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
}
