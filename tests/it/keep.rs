//! Old tips: kept under `refs/holocron/kept/<time>/` when a ref is deleted or rewritten, for as long as the user wants.

use std::collections::BTreeMap;

use crate::disk_kit::{assert_whole, backup, backup_dir, git, outcome, text};
use crate::support::{Forge, Repo, TestEnv};

/// A repository that was mirrored and then lost a branch and a tag, and rewrote another branch.
struct Lossy {
    env: TestEnv,
    forge: Forge,
    alpha: Repo,
    before: BTreeMap<String, String>,
}

impl Lossy {
    async fn new() -> Self {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let alpha = forge.repo("acme/alpha").branch("main").branch("old").branch("rewritten").annotated_tag("v1");
        alpha.commit("old", "only here").commit("rewritten", "only here, too");
        backup(&env, &forge).run().await.assert_code(0);
        let before = alpha.refs();
        alpha.batch(|batch| batch.delete("old").delete("refs/tags/v1")).force("rewritten").commit("main", "forward");
        Lossy { env, forge, alpha, before }
    }

    /// Old ref names below their time, and where they point.
    fn kept(&self) -> Vec<(String, String)> {
        let refs = self.env.refs(self.env.mirror_of(&self.alpha));
        let below = |(name, oid): (String, String)| {
            let rest = name.strip_prefix("refs/holocron/kept/")?;
            let (stamp, name) = rest.split_once('/').expect("a time, then the old name");
            assert!(stamp.len() == 16 && stamp.ends_with('Z') && stamp.as_bytes()[8] == b'T', "{stamp}");
            Some((name.to_owned(), oid))
        };
        refs.into_iter().filter_map(below).collect()
    }
}

#[tokio::test]
async fn tips_of_deleted_and_rewritten_refs_are_kept_under_their_names() {
    let lossy = Lossy::new().await;
    let run = backup(&lossy.env, &lossy.forge).run().await;
    run.assert_code(0);
    let refs = &outcome(&run, "acme/alpha")["refs"];
    assert_eq!((&refs["deleted"], &refs["forced"], &refs["forwarded"]), (&2.into(), &1.into(), &1.into()), "{run}");
    let expected = ["refs/heads/old", "refs/heads/rewritten", "refs/tags/v1"];
    let expected: Vec<_> = expected.iter().map(|name| ((*name).to_owned(), lossy.before[*name].clone())).collect();
    assert_eq!(lossy.kept(), expected);
    lossy.env.assert_mirrored(&lossy.alpha);
    assert_whole(&lossy.env, lossy.env.mirror_of(&lossy.alpha)).await;

    // The next one is kept beside it.
    lossy.alpha.force("rewritten").branch("old").delete("old");
    backup(&lossy.env, &lossy.forge).run().await.assert_code(0);
    assert_eq!(lossy.kept().len(), 4);
}

#[tokio::test]
async fn keep_0_keeps_nothing() {
    let lossy = Lossy::new().await;
    backup(&lossy.env, &lossy.forge).args(["--keep", "0"]).run().await.assert_code(0);
    assert_eq!(lossy.kept(), []);
    lossy.env.assert_mirrored(&lossy.alpha);
}

#[tokio::test]
async fn a_clone_of_the_mirror_does_not_get_the_kept_refs_but_can_fetch_one() {
    let lossy = Lossy::new().await;
    let (env, mirror) = (&lossy.env, lossy.env.mirror_of(&lossy.alpha));
    backup(env, &lossy.forge).run().await.assert_code(0);
    git(env, env.work(), &["clone", "-q", mirror.to_str().unwrap(), "restored"]).await;
    let restored = env.work().join("restored");
    assert!(!git(env, &restored, &["for-each-ref"]).await.contains("holocron"));
    let kept = env.refs(&mirror).into_keys().find(|name| name.ends_with("/refs/heads/old")).unwrap();
    git(env, &restored, &["fetch", "-q", "origin", &format!("{kept}:refs/heads/old")]).await;
    assert_eq!(git(env, &restored, &["show", "old:README"]).await, "only here");
}

#[tokio::test]
async fn kept_refs_end_with_their_days_and_forever_is_for_ever() {
    let env = TestEnv::new();
    let alpha = env.bare_repo("src/alpha.git").branch("main");
    backup_dir(&env, "src").run().await.assert_code(0);
    let mirror = env.storage().join("local/alpha.git");
    let old = "refs/holocron/kept/20200101T000000Z/refs/heads/x";
    let unknown = "refs/holocron/kept/someday/refs/heads/y";
    let foreign = "refs/holocron/other";
    for name in [old, unknown, foreign] {
        git(&env, &mirror, &["update-ref", name, &alpha.tip("main")]).await;
    }
    backup_dir(&env, "src").args(["--keep", "forever"]).run().await.assert_code(0);
    assert!(env.refs(&mirror).contains_key(old));
    backup_dir(&env, "src").args(["--keep", "20000"]).run().await.assert_code(0);
    assert!(env.refs(&mirror).contains_key(old), "its days are not over");
    backup_dir(&env, "src").run().await.assert_code(0);
    let left = env.refs(&mirror);
    assert!(!left.contains_key(old), "90 days are over");
    assert!(left.contains_key(unknown) && left.contains_key(foreign), "whatever has no time stays");
}

#[tokio::test]
async fn status_counts_the_kept_refs() {
    let lossy = Lossy::new().await;
    backup(&lossy.env, &lossy.forge).run().await.assert_code(0);
    let status = lossy.env.holocron(["status", "--json"]).run().await;
    status.assert_code(0);
    assert_eq!(status.json()["mirrors"][0]["kept_refs"], 3, "{status}");
}

#[tokio::test]
async fn a_held_mirror_keeps_its_refs_in_their_places_and_accepting_keeps_them_aside() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").many_refs(12);
    backup(&env, &forge).run().await.assert_code(0);
    let before = env.refs(env.mirror_of(&alpha));
    alpha.batch(|batch| (1..=12).fold(batch, |batch, number| batch.delete(&format!("many/{number:05}"))));
    let run = backup(&env, &forge).run().await;
    run.assert_code(3);
    assert_eq!(env.refs(env.mirror_of(&alpha)), before);
    backup(&env, &forge).args(["--accept-deletions", "acme/alpha"]).run().await.assert_code(0);
    let after = env.refs(env.mirror_of(&alpha));
    let kept = after.keys().filter(|name| name.starts_with("refs/holocron/kept/")).count();
    assert_eq!((after.len(), kept), (13, 12));
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn the_commit_of_a_detached_head_that_moves_on_is_kept() {
    let env = TestEnv::new();
    let alpha = env.working_tree("src/alpha").branch("main");
    git(&env, alpha.path(), &["checkout", "-q", "--detach"]).await;
    git(&env, alpha.path(), &["commit", "-q", "--allow-empty", "-m", "on no branch"]).await;
    let lost = git(&env, alpha.path(), &["rev-parse", "HEAD"]).await;
    backup_dir(&env, "src").run().await.assert_code(0);
    git(&env, alpha.path(), &["checkout", "-q", "main"]).await;
    backup_dir(&env, "src").run().await.assert_code(0);
    let mirror = env.storage().join("local/alpha.git");
    assert_eq!(text(&mirror, "HEAD"), "ref: refs/heads/main\n");
    let kept = env.refs(&mirror).into_iter().find(|(name, _)| name.ends_with("/HEAD")).unwrap();
    assert_eq!(kept.1, lost);
}

#[tokio::test]
async fn many_packs_are_rolled_up_and_no_object_goes() {
    let lossy = Lossy::new().await;
    let (env, mirror) = (&lossy.env, lossy.env.mirror_of(&lossy.alpha));
    backup(env, &lossy.forge).run().await.assert_code(0);
    let kept = lossy.kept();
    // Packs with objects that no ref reaches.
    let script = "for i in $(seq 55); do echo $i | git hash-object -w --stdin | tee -a blobs | \
                  git pack-objects -q objects/pack/pack >/dev/null; done; git prune-packed";
    env.program("sh").args(["-c", script]).cwd(&mirror).run().await.assert_code(0);
    let packs = || {
        let entries = std::fs::read_dir(mirror.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "pack")).count()
    };
    assert!(packs() > 55);
    backup(env, &lossy.forge).run().await.assert_code(0);
    assert!(packs() > 55, "what is current is left alone");
    lossy.alpha.commit("main", "more");
    let run = backup(env, &lossy.forge).run().await;
    run.assert_code(0);
    assert!(packs() < 10, "{} packs\n{run}", packs());
    assert_whole(env, &mirror).await;
    assert_eq!(lossy.kept(), kept);
    let blobs = text(&mirror, "blobs");
    assert_eq!(blobs.lines().count(), 55);
    for (number, blob) in (1..).zip(blobs.lines()) {
        assert_eq!(git(env, &mirror, &["cat-file", "blob", blob]).await, number.to_string());
    }
    std::fs::remove_file(mirror.join("blobs")).unwrap();
    env.assert_mirrored(&lossy.alpha);
}
