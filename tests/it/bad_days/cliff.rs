//! Too many refs gone at once: a person decides.

use serde_json::json;

use crate::net::{github, kept, mirror, on_disk, report, status};
use crate::support::{Forge, Repo, TestEnv};

/// A repository with twelve refs that was mirrored, and then lost eight of them.
async fn robbed() -> (TestEnv, Forge, Repo) {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").many_refs(11);
    report(&github(&env, &forge, []).run().await, 0);
    alpha.batch(|b| {
        (1..=8).for_each(|number| _ = b.delete(&format!("many/{number:05}")));
        b
    });
    (env, forge, alpha)
}

#[tokio::test]
async fn more_than_half_of_many_refs_gone_is_held_and_what_comes_still_arrives() {
    let (env, forge, alpha) = robbed().await;
    alpha.batch(|b| b.commit("main", "more").branch("new").force("many/00009"));
    let place = env.mirror_of(&alpha);
    let before = env.refs(&place);
    for _ in 0..2 {
        let told = report(&github(&env, &forge, []).run().await, 3);
        let held = mirror(&told, "acme/alpha");
        assert_eq!((&held["verdict"], &held["failure"]["reason"]), (&json!("held"), &json!("held")));
        let evidence = held["failure"]["evidence"].as_str().unwrap();
        assert!(evidence.starts_with("8 of 1"), "{evidence}");
    }
    let mut wanted = before.clone();
    wanted.insert("refs/heads/main".to_owned(), alpha.tip("main"));
    wanted.insert("refs/heads/new".to_owned(), alpha.tip("new"));
    assert_eq!(env.refs(&place), wanted, "additions arrive, nothing is deleted or moved by force");
    assert_eq!(mirror(&status(&env).await, "acme/alpha")["state"], "held");
}

#[tokio::test]
async fn accepted_deletions_go_through_and_every_old_tip_is_kept() {
    let (env, forge, alpha) = robbed().await;
    let place = env.mirror_of(&alpha);
    let before = env.refs(&place);
    report(&github(&env, &forge, []).run().await, 3);
    report(&github(&env, &forge, ["--accept-deletions", "acme/other"]).run().await, 3);
    assert_eq!(env.refs(&place), before);
    let told = report(&github(&env, &forge, ["--accept-deletions", "acme/alpha"]).run().await, 0);
    assert_eq!(mirror(&told, "acme/alpha")["refs"]["deleted"], 8);
    env.assert_mirrored(&alpha);
    let gone: Vec<String> = (1..=8).map(|number| format!("refs/heads/many/{number:05}")).collect();
    let saved = kept(&env, &place);
    assert_eq!(saved.keys().cloned().collect::<Vec<_>>(), gone);
    assert!(saved.iter().all(|(name, id)| before[name] == *id));
    assert_eq!(mirror(&status(&env).await, "acme/alpha")["kept_refs"], 8);
    // And that was that.
    let told = report(&github(&env, &forge, []).run().await, 0);
    assert_eq!(mirror(&told, "acme/alpha")["verdict"], "current");
}

#[tokio::test]
async fn the_loss_of_all_refs_can_be_accepted_and_is_kept_too() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").tag("v1");
    report(&github(&env, &forge, []).run().await, 0);
    let before = on_disk(&env);
    alpha.delete("main").delete("refs/tags/v1");
    report(&github(&env, &forge, []).run().await, 3);
    assert_eq!(on_disk(&env), before);
    report(&github(&env, &forge, ["--accept-deletions", "acme/*"]).run().await, 0);
    env.assert_mirrored(&alpha);
    assert_eq!(kept(&env, env.mirror_of(&alpha)).len(), 2);
}

#[tokio::test]
async fn a_held_mirror_goes_on_by_itself_when_the_refs_are_back() {
    let (env, forge, alpha) = robbed().await;
    report(&github(&env, &forge, []).run().await, 3);
    alpha.batch(|b| {
        (1..=8).for_each(|number| _ = b.point(&format!("refs/heads/many/{number:05}"), "main"));
        b
    });
    report(&github(&env, &forge, []).run().await, 0);
    env.assert_mirrored(&alpha);
    assert_eq!(mirror(&status(&env).await, "acme/alpha")["state"], "fresh");
}

#[tokio::test]
async fn the_limit_can_be_set() {
    let (env, forge, alpha) = robbed().await;
    env.file("holocron.yaml", "cliff: {percent: 80}\n");
    report(&github(&env, &forge, []).run().await, 0);
    env.assert_mirrored(&alpha);
}
