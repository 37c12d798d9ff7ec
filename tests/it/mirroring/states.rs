//! Repositories that are not simply there: empty, archived, disabled, blocked, deleted.

use serde_json::json;

use crate::net::{github, mirror, on_disk, report, status, verdicts};
use crate::support::{Forge, TestEnv};

#[tokio::test]
async fn an_empty_repository_is_a_success_and_its_first_push_arrives() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha");
    for _ in 0..2 {
        assert_eq!(verdicts(&report(&github(&env, &forge, []).run().await, 0)), ["acme/alpha empty"]);
        env.assert_mirrored(&alpha);
    }
    alpha.branch("trunk");
    assert_eq!(verdicts(&report(&github(&env, &forge, []).run().await, 0)), ["acme/alpha updated"]);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn the_first_push_to_an_empty_repository_arrives_on_every_forge() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha");
    let runs = || {
        [
            env.holocron(["--backup-only", "--json"]).gitlab(&forge),
            env.holocron(["--backup-only", "--json"]).gitea(&forge),
        ]
    };
    for (run, storage) in runs().into_iter().zip(["lab", "tea"]) {
        assert_eq!(verdicts(&report(&run.args(["--storage", storage]).run().await, 0)), ["acme/alpha empty"]);
    }
    alpha.branch("main");
    for (run, storage) in runs().into_iter().zip(["lab", "tea"]) {
        assert_eq!(verdicts(&report(&run.args(["--storage", storage]).run().await, 0)), ["acme/alpha updated"]);
        env.assert_same_refs(&alpha, env.work().join(storage).join(alpha.forge_folder()).join("acme/alpha.git"));
    }
}

#[tokio::test]
async fn an_archived_repository_is_mirrored_like_others() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").archived();
    assert_eq!(verdicts(&report(&github(&env, &forge, []).run().await, 0)), ["acme/alpha cloned"]);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_disabled_repository_is_reported_not_tried_and_keeps_its_mirror() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    report(&github(&env, &forge, []).run().await, 0);
    let before = on_disk(&env);
    alpha.disabled();
    forge.repo("acme/beta").branch("main").disabled();
    forge.reset_log();
    let told = report(&github(&env, &forge, []).run().await, 0);
    assert_eq!(verdicts(&told), ["acme/alpha unavailable", "acme/beta unavailable"]);
    assert_eq!(forge.git_requests("acme/alpha").len() + forge.git_requests("acme/beta").len(), 0);
    assert_eq!(on_disk(&env), before);
    assert_eq!(mirror(&status(&env).await, "acme/alpha")["state"], "unavailable");
}

#[tokio::test]
async fn a_blocked_repository_is_reported_and_keeps_its_mirror() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    report(&github(&env, &forge, []).run().await, 0);
    let before = on_disk(&env);
    alpha.commit("main", "more").blocked();
    let told = report(&github(&env, &forge, []).run().await, 0);
    assert_eq!(verdicts(&told), ["acme/alpha unavailable"]);
    let note = mirror(&told, "acme/alpha")["notes"][0].as_str().unwrap().to_owned();
    assert!(note.contains("451"), "{note}");
    assert_eq!(on_disk(&env), before);
    // Whoever blocked it may take that back.
    let healed = forge.repo("acme/other").branch("main");
    report(&github(&env, &forge, []).run().await, 0);
    env.assert_mirrored(&healed);
    assert_eq!(on_disk(&env).len(), 2);
}

#[tokio::test]
async fn a_deleted_repository_is_gone_with_its_date_and_its_mirror_stays() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let (alpha, beta) = (forge.repo("acme/alpha").branch("main"), forge.repo("acme/beta").branch("main"));
    report(&github(&env, &forge, []).run().await, 0);
    let before = on_disk(&env);
    alpha.remove();
    let told = report(&github(&env, &forge, []).run().await, 0);
    assert_eq!(verdicts(&told), ["acme/alpha gone", "acme/beta current"]);
    let since = mirror(&status(&env).await, "acme/alpha")["gone_since"].clone();
    assert!(since.is_string(), "{since}");
    assert_eq!(on_disk(&env), before);
    // The date is that of the first look, and a later look says the same.
    let again = report(&github(&env, &forge, []).run().await, 0);
    let day = &since.as_str().unwrap()[..10];
    let note = mirror(&again, "acme/alpha")["notes"][0].as_str().unwrap().to_owned();
    assert!(note.contains(day), "{note}");
    let told = status(&env).await;
    assert_eq!(
        (&mirror(&told, "acme/alpha")["gone_since"], &mirror(&told, "acme/alpha")["state"]),
        (&since, &json!("gone"))
    );
    env.assert_mirrored(&beta);
}

#[tokio::test]
async fn a_repository_that_is_only_hidden_from_the_listing_is_not_gone() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.user("bob");
    let alpha = forge.repo("bob/alpha").branch("main").collaborator("alice");
    report(&github(&env, &forge, []).run().await, 0);
    let before = on_disk(&env);
    // Excluded by the user, and known to the forge all the same.
    let told = report(&github(&env, &forge, ["--exclude", "bob/*"]).run().await, 3);
    assert_eq!(told["mirrors"], json!([]));
    assert_eq!(mirror(&status(&env).await, "bob/alpha")["state"], "fresh");
    // Made private, to us it is as if it were deleted: reported, and kept.
    alpha.private();
    forge.repo("acme/beta").branch("main");
    assert_eq!(on_disk(&env), before);
}
