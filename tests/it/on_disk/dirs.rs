//! Repositories of this machine as sources: they are read and never written to.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::disk_kit::{
    assert_untouched, assert_whole, backup, backup_dir, git, is_root, outcome, picture, reason, verdict,
};
use crate::support::{Forge, TestEnv};

#[tokio::test]
async fn a_working_tree_with_work_in_progress_is_mirrored_and_left_byte_for_byte() {
    let env = TestEnv::new();
    let alpha = env.working_tree("src/alpha").branch("main").branch("dev").tag("v1");
    env.file("src/alpha/README", "changed and not staged\n");
    env.file("src/alpha/new", "not tracked\n");
    env.file("src/alpha/staged", "staged\n");
    git(&env, alpha.path(), &["add", "staged"]).await;
    env.file("src/alpha/README", "changed and not stashed\n");
    git(&env, alpha.path(), &["stash", "-q"]).await;
    env.file("src/alpha/README", "changed once more\n");
    // An index that git would like to refresh, and hooks and settings that must not run.
    fs::create_dir_all(alpha.git_dir().join("hooks")).unwrap();
    for hook in ["post-checkout", "reference-transaction", "pre-auto-gc", "post-index-change"] {
        let path = env.file(format!("src/alpha/.git/hooks/{hook}"), "#!/bin/sh\ntouch \"$PWD/hook-ran\" /dev/full\n");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let before = picture(&env.work().join("src"));
    let run = backup_dir(&env, "src").run().await;
    run.assert_code(0);
    backup_dir(&env, "src").arg("--full").run().await.assert_code(0);
    assert_untouched(&before, &picture(&env.work().join("src")));
    env.assert_same_refs(&alpha, env.storage().join("local/alpha.git"));
    assert!(env.refs("local/alpha.git").contains_key("refs/stash"), "work that was put aside counts");
}

#[tokio::test]
async fn linked_worktrees_are_one_repository_with_the_one_that_holds_them_and_submodules_are_their_own() {
    let env = TestEnv::new();
    let library = env.bare_repo("library.git").branch("main");
    let alpha = env.working_tree("src/alpha").branch("main").branch("dev");
    git(&env, alpha.path(), &["worktree", "add", "-q", "../alpha-dev", "dev"]).await;
    let add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add"];
    git(&env, alpha.path(), &[&add[..], &[library.path().to_str().unwrap(), "library"]].concat()).await;
    git(&env, alpha.path(), &["commit", "-q", "-m", "with a submodule"]).await;
    let inner = env.work().join("src/alpha/library");
    git(&env, &inner, &["commit", "-q", "--allow-empty", "-m", "only in the submodule"]).await;
    let run = backup_dir(&env, "src").run().await;
    run.assert_code(0);
    assert_eq!(run.json()["mirrors"].as_array().unwrap().len(), 2, "{run}");
    env.assert_same_refs(&alpha, env.storage().join("local/alpha.git"));
    let own = git(&env, &inner, &["rev-parse", "HEAD"]).await;
    assert_eq!(env.refs("local/alpha/library.git")["refs/heads/main"], own);
    git(&env, env.work().join("src/alpha-dev"), &["commit", "-q", "--allow-empty", "-m", "in the worktree"]).await;
    backup_dir(&env, "src").run().await.assert_code(0);
    env.assert_same_refs(&alpha, env.storage().join("local/alpha.git"));
}

#[tokio::test]
async fn a_commit_that_only_the_head_of_a_linked_worktree_names_is_saved() {
    let env = TestEnv::new();
    let alpha = env.working_tree("src/alpha").branch("main");
    // Outside of what is searched.
    git(&env, alpha.path(), &["worktree", "add", "-q", "--detach", "../../aside"]).await;
    let run = backup_dir(&env, "src").run().await;
    assert_eq!(run.assert_code(0).json()["mirrors"].as_array().unwrap().len(), 1, "its commit is that of main\n{run}");
    git(&env, env.work().join("aside"), &["commit", "-q", "--allow-empty", "-m", "on no branch"]).await;
    let lone = git(&env, env.work().join("aside"), &["rev-parse", "HEAD"]).await;
    backup_dir(&env, "src").run().await.assert_code(0);
    let mirror = env.storage().join("local/alpha/worktrees/aside.git");
    assert_eq!(env.head(&mirror), lone);
    assert_whole(&env, &mirror).await;
    git(&env, &mirror, &["cat-file", "-e", &lone]).await;
    // Once a branch has it, the worktree is no repository of its own; what was saved stays.
    git(&env, env.work().join("aside"), &["checkout", "-q", "-b", "named"]).await;
    let run = backup_dir(&env, "src").run().await;
    run.assert_code(0);
    assert_eq!(verdict(&run, "alpha/worktrees/aside"), "gone");
    assert_eq!(env.refs("local/alpha.git")["refs/heads/named"], lone);
}

#[tokio::test]
async fn repositories_within_a_working_tree_are_mirrored_too() {
    let env = TestEnv::new();
    let dotfiles = env.working_tree("home").branch("main");
    let tool = env.working_tree("home/src/tool").branch("main").commit("main", "mine");
    backup_dir(&env, "home").run().await.assert_code(0);
    env.assert_same_refs(&dotfiles, "local/home.git");
    env.assert_same_refs(&tool, "local/src/tool.git");
}

#[tokio::test]
async fn symbolic_links_lead_to_repositories_and_are_named_when_they_lead_elsewhere() {
    let env = TestEnv::new();
    env.bare_repo("src/alpha.git").branch("main");
    let beta = env.working_tree("disk/beta").branch("main");
    env.working_tree("disk/more/gamma").branch("main");
    std::os::unix::fs::symlink("../disk/beta", env.work().join("src/beta")).unwrap();
    std::os::unix::fs::symlink("../disk/more", env.work().join("src/more")).unwrap();
    let run = backup_dir(&env, "src").run().await;
    run.assert_code(0);
    env.assert_same_refs(&beta, "local/beta.git");
    let warning = run.json()["warnings"][0].as_str().unwrap().to_owned();
    assert!(warning.contains("src/more") && warning.contains("not followed"), "{warning}");
    let quiet = env.holocron(["--backup-only", "--quiet", "--dir", "src"]).run().await;
    assert!(quiet.assert_code(0).stdout.contains("src/more"), "{quiet}");
}

#[tokio::test]
async fn a_second_directory_renames_no_mirror_of_the_first() {
    let env = TestEnv::new();
    let one = env.bare_repo("one/x.git").branch("main");
    let two = env.bare_repo("two/x.git").branch("main");
    backup_dir(&env, "one").run().await.assert_code(0);
    let run = backup_dir(&env, "one").args(["--dir", "two"]).run().await;
    assert_eq!((run.code, verdict(&run, "x").as_str()), (0, "current"), "{run}");
    env.assert_same_refs(&one, "local/x.git");
    env.assert_same_refs(&two, "local/two/x.git");
    // Nor does one that is searched alone.
    let three = env.bare_repo("three/x.git").branch("main").commit("main", "other");
    backup_dir(&env, "three").run().await.assert_code(0);
    env.assert_same_refs(&one, "local/x.git");
    env.assert_same_refs(&three, "local/three/x.git");
    assert!(!env.storage().join(".holocron/gone").exists());
}

#[tokio::test]
async fn a_directory_named_by_a_symbolic_link_is_guarded_when_its_disk_is_not_mounted() {
    let env = TestEnv::new();
    env.bare_repo("disk/alpha.git").branch("main");
    env.bare_repo("disk/beta.git").branch("main");
    std::os::unix::fs::symlink("disk", env.work().join("src")).unwrap();
    backup_dir(&env, "src").run().await.assert_code(0);
    fs::rename(env.work().join("disk"), env.work().join("away")).unwrap();
    fs::create_dir(env.work().join("disk")).unwrap();
    let run = backup_dir(&env, "src").run().await;
    run.assert_code(3);
    let failure = &run.json()["source_failures"][0]["failure"];
    assert_eq!(failure["reason"], "held", "{run}");
    assert!(failure["message"].as_str().unwrap().starts_with("all 2 repositories of this source are gone"), "{run}");
}

#[tokio::test]
async fn a_checkout_whose_place_is_a_folder_of_mirrors_lies_beside_it() {
    let env = TestEnv::new();
    // As gitolite has them.
    env.bare_repo("src/foo.git").branch("main").commit_file("main", "readme", b"foo");
    env.bare_repo("src/foo/bar.git").branch("main").commit_file("main", "readme", b"bar");
    for _ in 0..2 {
        let run = backup_dir(&env, "src").arg("--checkout").run().await;
        run.assert_code(0);
        let local = env.storage().join("local");
        assert_eq!(fs::read(local.join("foo.tree/readme")).unwrap(), b"foo");
        assert_eq!(fs::read(local.join("foo/bar/readme")).unwrap(), b"bar");
        assert!(!local.join("foo/.git").exists());
    }
}

#[tokio::test]
async fn a_checkout_that_cannot_be_made_is_no_success() {
    let env = TestEnv::new();
    env.bare_repo("src/alpha.git").branch("main");
    env.file("mirror-data/local/alpha/notes", "somebody's");
    for _ in 0..2 {
        let run = backup_dir(&env, "src").arg("--checkout").run().await;
        run.assert_code(3);
        assert_eq!(reason(&run, "alpha"), "local_failed");
    }
    assert!(env.storage().join("local/alpha/notes").exists());
}

#[tokio::test]
async fn a_detached_head_is_kept_with_its_commit_and_follows() {
    let env = TestEnv::new();
    let alpha = env.working_tree("src/alpha").branch("main");
    git(&env, alpha.path(), &["checkout", "-q", "--detach"]).await;
    git(&env, alpha.path(), &["commit", "-q", "--allow-empty", "-m", "on no branch"]).await;
    backup_dir(&env, "src").run().await.assert_code(0);
    let mirror = env.storage().join("local/alpha.git");
    env.assert_same_refs(&alpha, &mirror);

    git(&env, alpha.path(), &["commit", "-q", "--allow-empty", "-m", "further on no branch"]).await;
    let run = backup_dir(&env, "src").run().await;
    assert_eq!((run.code, verdict(&run, "alpha").as_str()), (0, "updated"), "{run}");
    env.assert_same_refs(&alpha, &mirror);
    assert_whole(&env, &mirror).await;
    git(&env, &mirror, &["cat-file", "-e", "HEAD"]).await;
    let run = backup_dir(&env, "src").run().await;
    assert_eq!(verdict(&run, "alpha"), "current");

    git(&env, alpha.path(), &["checkout", "-q", "main"]).await;
    backup_dir(&env, "src").run().await.assert_code(0);
    env.assert_same_refs(&alpha, &mirror);
    // And away again, where HEAD had been on a branch.
    git(&env, alpha.path(), &["checkout", "-q", "--detach"]).await;
    git(&env, alpha.path(), &["commit", "-q", "--allow-empty", "-m", "alone again"]).await;
    backup_dir(&env, "src").run().await.assert_code(0);
    env.assert_same_refs(&alpha, &mirror);
}

#[tokio::test]
async fn what_a_mirror_of_ours_keeps_for_itself_is_not_copied() {
    let env = TestEnv::new();
    let alpha = env.bare_repo("src/alpha.git").branch("main").branch("old");
    let kept = "refs/holocron/kept/20260101T000000Z/refs/heads/x";
    git(&env, alpha.git_dir(), &["update-ref", kept, &alpha.tip("old")]).await;
    git(&env, alpha.git_dir(), &["update-ref", "refs/heads/old", &alpha.tip("main")]).await;
    let run = backup_dir(&env, "src").run().await;
    assert_eq!((run.code, outcome(&run, "alpha")["refs"]["total"].as_u64()), (0, Some(2)));
    assert!(!env.refs("local/alpha.git").keys().any(|name| name.starts_with("refs/holocron/")));
    git(&env, alpha.git_dir(), &["update-ref", "refs/holocron/kept/20260102T000000Z/refs/heads/y", "main"]).await;
    let run = backup_dir(&env, "src").run().await;
    assert_eq!(verdict(&run, "alpha"), "current");
    assert!(!env.refs("local/alpha.git").keys().any(|name| name.starts_with("refs/holocron/")));
}

#[tokio::test]
async fn a_storage_of_ours_is_no_source() {
    let env = TestEnv::new();
    env.bare_repo("src/alpha.git").branch("main");
    backup_dir(&env, "src").run().await.assert_code(0);
    // The working directory holds the storage too; only what it was made from is mirrored.
    let run = backup_dir(&env, ".").run().await;
    let names: Vec<_> = run.json()["mirrors"].as_array().unwrap().iter().map(|m| m["name"].clone()).collect();
    assert_eq!(names, ["alpha"], "it keeps its name\n{run}");
}

#[tokio::test]
async fn a_sha256_repository_is_mirrored_like_others() {
    let env = TestEnv::new();
    let source = env.work().join("src/alpha.git");
    fs::create_dir_all(&source).unwrap();
    git(&env, &source, &["init", "-q", "--bare", "-b", "main", "--object-format=sha256", "."]).await;
    let tree = git(&env, &source, &["mktree", "--missing"]).await;
    let first = git(&env, &source, &["commit-tree", "-m", "one", &tree]).await;
    git(&env, &source, &["update-ref", "refs/heads/main", &first]).await;
    backup_dir(&env, "src").run().await.assert_code(0);
    let second = git(&env, &source, &["commit-tree", "-p", &first, "-m", "two", &tree]).await;
    git(&env, &source, &["update-ref", "refs/heads/main", &second]).await;
    let run = backup_dir(&env, "src").run().await;
    assert_eq!((run.code, outcome(&run, "alpha")["refs"]["forwarded"].as_u64()), (0, Some(1)), "{run}");
    assert_eq!(env.refs("local/alpha.git")["refs/heads/main"], second);
    assert_whole(&env, env.storage().join("local/alpha.git")).await;
    let alone = git(&env, &source, &["commit-tree", "-m", "rewritten", &tree]).await;
    git(&env, &source, &["update-ref", "refs/heads/main", &alone]).await;
    backup_dir(&env, "src").run().await.assert_code(0);
    assert!(env.refs("local/alpha.git").values().any(|oid| *oid == second), "the old tip is kept");
}

#[tokio::test]
async fn a_part_that_cannot_be_read_is_told_and_the_rest_is_mirrored() {
    let env = TestEnv::new();
    let alpha = env.bare_repo("src/alpha.git").branch("main");
    env.file("src/broken/.git", "gitdir: /nonexistent\n");
    if !is_root() {
        let closed = env.work().join("src/closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    }
    let run = backup_dir(&env, "src").run().await;
    run.assert_code(3);
    env.assert_same_refs(&alpha, "local/alpha.git");
    let refused = run.json()["refused"].as_array().unwrap().len();
    assert_eq!(refused, if is_root() { 1 } else { 2 }, "{run}");
    if !is_root() {
        fs::set_permissions(env.work().join("src/closed"), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[tokio::test]
async fn a_source_whose_objects_are_gone_fails_and_its_mirror_stays() {
    let env = TestEnv::new();
    let alpha = env.bare_repo("src/alpha.git").branch("main").tag("v1");
    backup_dir(&env, "src").run().await.assert_code(0);
    let before = env.refs("local/alpha.git");
    alpha.commit("main", "lost");
    fs::remove_dir_all(alpha.git_dir().join("objects")).unwrap();
    fs::create_dir_all(alpha.git_dir().join("objects")).unwrap();
    let run = backup_dir(&env, "src").run().await;
    run.assert_code(3);
    assert_eq!(verdict(&run, "alpha"), "failed");
    assert_ne!(reason(&run, "alpha"), "");
    assert_eq!(env.refs("local/alpha.git"), before);
    assert_whole(&env, env.storage().join("local/alpha.git")).await;
    assert!(!env.storage().join(".holocron/damaged").exists(), "it is not the mirror that is damaged");
}

#[tokio::test]
async fn a_directory_that_vanished_fails_the_source_and_touches_nothing() {
    let env = TestEnv::new();
    env.bare_repo("src/alpha.git").branch("main");
    backup_dir(&env, "src").run().await.assert_code(0);
    fs::rename(env.work().join("src"), env.work().join("elsewhere")).unwrap();
    let before = picture(&env.storage().join("local"));
    let run = backup_dir(&env, "src").run().await;
    run.assert_code(3);
    assert_eq!(run.json()["source_failures"][0]["failure"]["reason"], "local_failed");
    assert_untouched(&before, &picture(&env.storage().join("local")));
}

#[tokio::test]
async fn a_mirror_shares_no_byte_with_a_source_on_the_same_disk() {
    let env = TestEnv::new();
    let alpha = env.bare_repo("src/alpha.git").branch("main").commit_file("main", "big", b"content");
    git(&env, alpha.git_dir(), &["repack", "-adq"]).await;
    backup_dir(&env, "src").run().await.assert_code(0);
    let links = |root| {
        picture(root)
            .into_keys()
            .filter(|path| path.is_file())
            .map(|path| std::os::unix::fs::MetadataExt::nlink(&fs::metadata(path).unwrap()))
    };
    assert!(links(&env.storage().join("local")).all(|count| count == 1));
    assert!(!env.storage().join("local/alpha.git/objects/info/alternates").exists());
}

#[tokio::test]
async fn a_forge_and_a_directory_are_mirrored_side_by_side() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let here = env.bare_repo("src/alpha.git").branch("main").commit("main", "here");
    let there = forge.repo("acme/alpha").branch("main").commit("main", "there");
    backup(&env, &forge).args(["--dir", "src", "--source", "dir"]).run().await.assert_code(0);
    env.assert_mirrored(&there);
    env.assert_same_refs(&here, "local/alpha.git");
}
