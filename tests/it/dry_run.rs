//! `--dry-run` shows what would happen, down to each ref, and leaves no trace anywhere.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::disk_kit::{assert_untouched, backup, backup_dir, git, notes, picture, text, verdict};
use crate::support::{Forge, Run, TestEnv};

type Picture = BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)>;

/// Everything that a run could write to.
fn everything(env: &TestEnv) -> Picture {
    let mut all = picture(&env.work());
    all.append(&mut picture(&env.home()));
    all.append(&mut picture(&env.tmp()));
    // Askpass needs a place for its socket for as long as the run takes.
    all.remove(&env.tmp());
    all
}

async fn dry(env: &TestEnv, forge: &Forge) -> Run {
    let before = everything(env);
    let run = backup(env, forge).arg("--dry-run").run().await;
    assert_untouched(&before, &everything(env));
    run
}

#[tokio::test]
async fn before_the_first_run_it_makes_no_storage() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main").tag("v1");
    let run = dry(&env, &forge).await;
    run.assert_code(0);
    assert!(run.json()["dry_run"].as_bool().unwrap());
    assert_eq!(verdict(&run, "acme/alpha"), "would_clone");
    assert_eq!(notes(&run, "acme/alpha"), "would be cloned with 2 refs.");
    assert!(!env.storage().exists());
}

#[tokio::test]
async fn after_changes_it_names_every_ref_to_be_created_moved_and_deleted() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").branch("old").branch("forced").tag("v1");
    backup(&env, &forge).run().await.assert_code(0);
    let before = alpha.refs();
    alpha.commit("main", "more").delete("old").force("forced").branch("new").head("new");
    let run = dry(&env, &forge).await;
    run.assert_code(0);
    assert_eq!(verdict(&run, "acme/alpha"), "would_update");
    let short = |oid: &str| oid[..12].to_owned();
    let told = notes(&run, "acme/alpha");
    let mut told: Vec<_> = told.lines().collect();
    told.sort_unstable();
    let moved = |name: &str| format!("would move {name} from {} to {}.", short(&before[name]), short(&alpha.tip(name)));
    let expected = [
        format!("would create refs/heads/new at {}.", short(&alpha.tip("new"))),
        format!("would delete refs/heads/old at {}.", short(&before["refs/heads/old"])),
        "would move HEAD to refs/heads/new.".to_owned(),
        moved("refs/heads/forced"),
        moved("refs/heads/main"),
    ];
    assert_eq!(told, expected);
    // And that is what happens.
    backup(&env, &forge).run().await.assert_code(0);
    env.assert_mirrored(&alpha);
    let run = dry(&env, &forge).await;
    assert_eq!((verdict(&run, "acme/alpha").as_str(), notes(&run, "acme/alpha").as_str()), ("current", ""));
}

#[tokio::test]
async fn for_people_it_is_lines_on_stdout() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").branch("old");
    backup(&env, &forge).run().await.assert_code(0);
    alpha.delete("old");
    let run = env.holocron(["--backup-only", "--dry-run"]).github(&forge).run().await;
    run.assert_code(0);
    assert!(run.stdout.contains("would delete refs/heads/old at "), "{run}");
}

#[tokio::test]
async fn it_tells_what_a_guard_would_hold_and_what_would_move_or_be_adopted() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").many_refs(20);
    let beta = forge.repo("acme/beta").branch("main");
    let gamma = forge.repo("acme/gamma").branch("main");
    backup(&env, &forge).args(["--exclude", "acme/gamma"]).run().await.assert_code(0);
    let old = env.storage().join("gamma.git");
    git(&env, env.work(), &["clone", "-q", "--mirror", &gamma.url_with(&forge.token()), old.to_str().unwrap()]).await;
    alpha.batch(|batch| (1..=20).fold(batch, |batch, number| batch.delete(&format!("many/{number:05}"))));
    beta.rename("acme/delta");
    let run = dry(&env, &forge).await;
    assert!(notes(&run, "acme/alpha").contains("would be held: 20 of 21 refs are gone"), "{run}");
    assert!(notes(&run, "acme/delta").contains("would move from "), "{run}");
    assert!(notes(&run, "acme/gamma").contains("would move from gamma.git to "), "{run}");
    assert!(text(&old, "config").contains(&forge.token()), "not even the token is taken out");
}

#[tokio::test]
async fn it_tells_of_damage_and_heals_nothing() {
    let env = TestEnv::new();
    env.bare_repo("src/alpha.git").branch("main");
    backup_dir(&env, "src").run().await.assert_code(0);
    std::fs::remove_file(env.storage().join("local/alpha.git/HEAD")).unwrap();
    std::fs::write(env.storage().join("local/alpha.git/packed-refs.lock"), "").unwrap();
    let before = everything(&env);
    let run = backup_dir(&env, "src").arg("--dry-run").run().await;
    assert!(notes(&run, "alpha").contains("is damaged and would be cloned anew"), "{run}");
    assert_untouched(&before, &everything(&env));
}

#[tokio::test]
async fn it_does_not_wait_for_a_run_at_work() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    backup(&env, &forge).run().await.assert_code(0);
    alpha.commit("main", "more");
    let lock = std::fs::File::open(env.storage().join(".holocron/lock")).unwrap();
    lock.lock().unwrap();
    let run = dry(&env, &forge).await;
    run.assert_code(0);
    assert_eq!(verdict(&run, "acme/alpha"), "would_update");
}
