//! Refs that are hard to keep: names in each other's way, thousands of them, names that git itself stumbles over.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use crate::disk_kit::{assert_whole, backup, backup_dir, git, outcome, verdict};
use crate::support::{Forge, RecordingGit, Repo, TestEnv};

#[tokio::test]
async fn a_branch_may_become_a_folder_of_branches_and_a_branch_again() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").branch("a");
    backup(&env, &forge).run().await.assert_code(0);
    alpha.delete("a").branch("a/b").branch("a/c");
    backup(&env, &forge).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
    alpha.batch(|batch| batch.delete("a/b").delete("a/c")).branch("a");
    backup(&env, &forge).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn five_thousand_refs_come_move_and_go() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").many_refs(5000);
    let run = backup(&env, &forge).run().await;
    assert_eq!(outcome(&run, "acme/alpha")["refs"]["created"], 5001, "{run}");
    env.assert_mirrored(&alpha);
    let mirror = env.mirror_of(&alpha);
    assert!(!mirror.join("refs/heads/many").exists(), "thousands of refs are packed");

    alpha.commit("main", "all move").many_refs(5000);
    let run = backup(&env, &forge).run().await;
    assert_eq!(outcome(&run, "acme/alpha")["refs"]["forwarded"], 5001, "{run}");
    env.assert_mirrored(&alpha);

    alpha.batch(|batch| (1..=2000).fold(batch, |batch, number| batch.delete(&format!("many/{number:05}"))));
    let run = backup(&env, &forge).run().await;
    assert_eq!(outcome(&run, "acme/alpha")["refs"]["deleted"], 2000, "{run}");
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn names_that_git_could_mistake_for_something_else_are_kept() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let odd = [
        "refs/heads/HEAD",
        "refs/heads/-dash",
        "refs/heads/refs/heads/main",
        "refs/heads/heads/main",
        "refs/heads/@",
        "refs/heads/ü",
        "refs/notes/commits",
    ];
    let alpha = forge.repo("acme/alpha").branch("main");
    odd.iter().for_each(|name| drop(alpha.reference(name)));
    backup(&env, &forge).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
    odd.iter().for_each(|name| drop(alpha.commit(name, "more")));
    alpha.force("refs/heads/HEAD").delete("refs/heads/-dash");
    let run = backup(&env, &forge).run().await;
    run.assert_code(0);
    env.assert_mirrored(&alpha);
    assert_eq!(outcome(&run, "acme/alpha")["refs"]["forced"], 1);
    // New ones in an update take another way than those of a clone.
    alpha.branch("-dash").branch("-f").reference("refs/heads/refs/tags/v1").reference("refs/pull/1/head");
    backup(&env, &forge).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_ref_name_that_is_not_utf8_is_kept_moved_and_deleted() {
    let env = TestEnv::new();
    let alpha = env.bare_repo("src/alpha.git").branch("main").branch("other");
    let odd = alpha.git_dir().join("refs/heads").join(OsStr::from_bytes(b"caf\xe9"));
    let mirrored = env.storage().join("local/alpha.git");
    let names = |listing: &str| listing.lines().count();
    fs::write(&odd, format!("{}\n", alpha.tip("main"))).unwrap();
    backup_dir(&env, "src").run().await.assert_code(0);
    assert_eq!(names(&git(&env, &mirrored, &["for-each-ref"]).await), 3);

    fs::write(&odd, format!("{}\n", alpha.tip("other"))).unwrap();
    let run = backup_dir(&env, "src").run().await;
    assert_eq!(outcome(&run, "alpha")["refs"]["forwarded"], 1, "{run}");
    let source = git(&env, alpha.git_dir(), &["for-each-ref"]).await;
    assert_eq!(git(&env, &mirrored, &["for-each-ref"]).await, source);

    fs::remove_file(&odd).unwrap();
    let run = backup_dir(&env, "src").run().await;
    assert_eq!(outcome(&run, "alpha")["refs"]["deleted"], 1, "{run}");
    let left = git(&env, &mirrored, &["for-each-ref", "refs/heads"]).await;
    assert_eq!(names(&left), 2);
}

#[tokio::test]
async fn a_tag_and_a_branch_of_one_name_stay_two() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").branch("v1").tag("v1").commit("v1", "apart");
    backup(&env, &forge).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
    alpha.commit("v1", "further").point("refs/tags/v1", "v1").commit("v1", "and further");
    backup(&env, &forge).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
    alpha.delete("refs/tags/v1");
    backup(&env, &forge).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn tags_of_trees_and_blobs_and_refs_in_any_namespace_are_kept() {
    let env = TestEnv::new();
    let alpha = env.bare_repo("src/alpha.git").branch("main");
    let tree = git(&env, alpha.git_dir(), &["rev-parse", "main^{tree}"]).await;
    let blob = git(&env, alpha.git_dir(), &["rev-parse", "main:README"]).await;
    for (name, object) in [("refs/tags/tree", &tree), ("refs/tags/blob", &blob), ("refs/odd/place", &alpha.tip("main"))]
    {
        git(&env, alpha.git_dir(), &["update-ref", name, object]).await;
    }
    backup_dir(&env, "src").run().await.assert_code(0);
    let mirror = env.storage().join("local/alpha.git");
    env.assert_same_refs(&alpha, &mirror);
    // They move to what is no descendant of anything.
    git(&env, alpha.git_dir(), &["update-ref", "refs/tags/tree", &blob]).await;
    git(&env, alpha.git_dir(), &["update-ref", "refs/odd/place", &tree]).await;
    let run = backup_dir(&env, "src").run().await;
    run.assert_code(0);
    env.assert_same_refs(&alpha, &mirror);
    assert_eq!(outcome(&run, "alpha")["refs"]["forced"], 2);
    assert_whole(&env, &mirror).await;
}

/// That many new objects of each kind that is no commit: blobs, trees, annotated tags.
async fn objects(env: &TestEnv, alpha: &Repo, count: usize, what: &str) -> Vec<String> {
    let names: Vec<String> = (0..count).map(|number| format!("{what}-{number}")).collect();
    alpha.batch(|batch| names.iter().fold(batch, |batch, name| batch.annotated_tag(name)));
    let dir = alpha.git_dir();
    let mut all: Vec<String> = names.iter().map(|name| alpha.tip(&format!("refs/tags/{name}"))).collect();
    alpha.batch(|batch| names.iter().fold(batch, |batch, name| batch.delete(&format!("refs/tags/{name}"))));
    let files = names.iter().map(|name| env.file(name, name).display().to_string()).collect::<Vec<_>>();
    let arguments = ["hash-object", "-w", "--"].into_iter().chain(files.iter().map(String::as_str));
    let blobs = git(env, dir, &arguments.collect::<Vec<_>>()).await;
    let script = "while read -r blob; do printf '100644 blob %s\\tfile\\n' $blob | git mktree; done";
    let trees = env.program("sh").args(["-c", &format!("printf '%s\\n' \"$@\" | {script}"), "sh"]).args(blobs.lines());
    let trees = trees.cwd(dir).run().await.assert_code(0).stdout.clone();
    all.extend(blobs.lines().chain(trees.lines()).map(str::to_owned));
    assert_eq!(all.len(), 3 * count);
    all
}

#[tokio::test]
async fn old_objects_that_are_no_commits_are_kept_when_few_or_many_refs_move() {
    for count in [2, 25] {
        let env = TestEnv::new();
        let alpha = env.bare_repo("src/alpha.git").branch("main");
        let point = |objects: &[String]| {
            let folder = alpha.git_dir().join("refs/odd");
            fs::create_dir_all(&folder).unwrap();
            let at = |(number, oid): (usize, &String)| fs::write(folder.join(number.to_string()), format!("{oid}\n"));
            objects.iter().enumerate().for_each(|entry| at(entry).unwrap());
        };
        let old = objects(&env, &alpha, count, "old").await;
        point(&old);
        backup_dir(&env, "src").run().await.assert_code(0);
        // The tags move to others of the same commit, which hides that they are lost.
        point(&objects(&env, &alpha, count, "new").await);
        let run = backup_dir(&env, "src").run().await;
        run.assert_code(0);
        let mirror = env.storage().join("local/alpha.git");
        env.assert_same_refs(&alpha, &mirror);
        assert_eq!(outcome(&run, "alpha")["refs"]["forced"], 3 * count, "{run}");
        let kept: Vec<_> =
            env.refs(&mirror).into_iter().filter(|(name, _)| name.starts_with("refs/holocron/kept/")).collect();
        let lost: Vec<_> = old.iter().filter(|oid| !kept.iter().any(|(_, kept)| kept == *oid)).collect();
        assert!(lost.is_empty() && kept.len() == 3 * count, "{count}: {lost:?}");
    }
}

#[tokio::test]
async fn what_refs_replace_say_of_a_commit_does_not_hide_that_history_was_rewritten() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").commit("main", "lost");
    let old = alpha.tip("main");
    let (dir, before) = (alpha.git_dir(), format!("{old}~1"));
    let commit = async |parent: &str| git(&env, &dir, &["commit-tree", "-m", "new", "-p", parent, "main^{tree}"]).await;
    let (new, stand_in) = (commit(&before).await, commit(&old).await);
    git(&env, &dir, &["update-ref", &format!("refs/replace/{new}"), &stand_in]).await;
    backup(&env, &forge).run().await.assert_code(0);
    git(&env, &dir, &["update-ref", "refs/heads/main", &new]).await;
    let run = backup(&env, &forge).run().await;
    assert_eq!(outcome(&run, "acme/alpha")["refs"]["forced"], 1, "{run}");
    env.assert_mirrored(&alpha);
    let kept = env.refs(env.mirror_of(&alpha)).into_iter().find(|(name, _)| name.starts_with("refs/holocron/kept/"));
    assert_eq!(kept.unwrap().1, old);
}

#[tokio::test]
async fn an_empty_repository_is_a_success_and_filled_later() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha");
    let run = backup(&env, &forge).run().await;
    assert_eq!((run.code, verdict(&run, "acme/alpha").as_str()), (0, "empty"));
    alpha.branch("trunk").tag("v1");
    let run = backup(&env, &forge).run().await;
    assert_eq!((run.code, verdict(&run, "acme/alpha").as_str()), (0, "updated"));
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn many_deletions_take_no_more_processes_than_few_of_them_and_each_old_tip_is_kept() {
    let env = TestEnv::new();
    let alpha = env.bare_repo("src/alpha.git").branch("main").many_refs(900);
    backup_dir(&env, "src").run().await.assert_code(0);
    let mirrored = env.storage().join("local/alpha.git");
    let recorder = RecordingGit::install(&env);
    let mut calls = Vec::new();
    for (from, to) in [(1, 250), (251, 750)] {
        let before = recorder.calls().len();
        alpha.batch(|batch| (from..=to).fold(batch, |batch, number| batch.delete(&format!("many/{number:05}"))));
        let run = backup_dir(&env, "src").args(["--accept-deletions", "**"]).run().await;
        assert_eq!(outcome(&run, "alpha")["refs"]["deleted"], to - from + 1, "{run}");
        let verbs = recorder.calls().split_off(before).into_iter().map(|call| call.args);
        let verb =
            |args: Vec<String>| ["update-ref", "pack-refs"].into_iter().find(|verb| args.iter().any(|arg| arg == verb));
        calls.push(verbs.filter_map(verb).collect::<Vec<_>>());
    }
    assert_eq!(calls[0], calls[1]);
    let kept = git(&env, &mirrored, &["for-each-ref", "--format=%(objectname)", "refs/holocron/kept"]).await;
    assert_eq!(kept.lines().count(), 750, "{calls:?}");
    assert!(!mirrored.join("refs/holocron/kept").exists(), "they are packed, and on the disk with it");
}
