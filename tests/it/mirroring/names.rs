//! A repository is what its forge's id says, whatever it is called today.

use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::net::{github, mirror, on_disk, report, status, verdicts};
use crate::support::{Forge, Kind, Repo, Request, Service, TestEnv};

/// Two repositories that were mirrored once.
async fn two(names: [&str; 2]) -> (TestEnv, Forge, [Repo; 2]) {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let repos = names.map(|name| forge.repo(name).branch("main").commit("main", name));
    report(&github(&env, &forge, []).run().await, 0);
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
    (env, forge, repos)
}

fn notes(report: &serde_json::Value, name: &str) -> String {
    mirror(report, name)["notes"].to_string()
}

#[tokio::test]
async fn a_renamed_or_transferred_repository_takes_its_mirror_along() {
    let (env, forge, [alpha, beta]) = two(["acme/alpha", "acme/tools/beta"]).await;
    let old = [env.mirror_of(&alpha), env.mirror_of(&beta)];
    alpha.rename("acme/omega");
    beta.rename("other/beta");
    forge.reset_log();
    let told = report(&github(&env, &forge, []).run().await, 0);
    assert_eq!(verdicts(&told), ["acme/omega current", "other/beta current"]);
    assert!(notes(&told, "acme/omega").contains("acme/alpha"), "{told:#}");
    assert!(notes(&told, "other/beta").contains("acme/tools/beta"), "{told:#}");
    for repo in [&alpha, &beta] {
        env.assert_mirrored(repo);
        let url = env.git(["config", "--file"]).arg(env.mirror_of(repo).join("config")).arg("remote.origin.url");
        assert_eq!(url.run().await.stdout.trim(), repo.url());
    }
    assert!(old.iter().all(|path| !path.exists()));
    assert!(!old[1].parent().unwrap().exists(), "an empty folder is left behind");
    let told = status(&env).await;
    assert_eq!(told["mirrors"].as_array().unwrap().len(), 2);
    assert_eq!(mirror(&told, "acme/omega")["state"], "fresh");
    // Commits go on arriving.
    alpha.commit("main", "after");
    let told = report(&github(&env, &forge, []).run().await, 0);
    assert_eq!(verdicts(&told), ["acme/omega updated", "other/beta current"]);
    assert_eq!(notes(&told, "acme/omega"), "[]");
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_lock_left_by_a_killed_git_does_not_keep_a_renamed_mirror_from_moving() {
    let (env, forge, [alpha, _]) = two(["acme/alpha", "acme/beta"]).await;
    std::fs::write(env.mirror_of(&alpha).join("config.lock"), "left behind").unwrap();
    alpha.rename("acme/omega");
    report(&github(&env, &forge, []).run().await, 0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_rename_and_a_push_in_one_go_arrive_together() {
    let (env, forge, [alpha, _]) = two(["acme/alpha", "acme/beta"]).await;
    alpha.rename("acme/omega").commit("main", "more").branch("new");
    let told = report(&github(&env, &forge, []).run().await, 0);
    assert_eq!(verdicts(&told), ["acme/beta current", "acme/omega updated"]);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_recreated_repository_starts_anew_and_the_old_mirror_is_kept() {
    let (env, forge, [old, _]) = two(["acme/alpha", "acme/beta"]).await;
    let place = env.mirror_of(&old);
    let (refs, head) = (env.refs(&place), env.head(&place));
    old.remove();
    let new = forge.repo("acme/alpha").branch("fresh");
    let told = report(&github(&env, &forge, []).run().await, 0);
    env.assert_mirrored(&new);
    let verdict = |path: &std::path::Path| {
        let path = path.display().to_string();
        told["mirrors"].as_array().unwrap().iter().find(|mirror| mirror["path"] == path).map(|m| m["verdict"].clone())
    };
    assert_eq!(verdict(&place), Some(json!("cloned")), "{told:#}");
    let aside: Vec<_> = on_disk(&env).into_iter().filter(|(path, _)| path.starts_with(".holocron/gone")).collect();
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].1, (refs, head));
    assert_eq!(verdict(&env.storage().join(&aside[0].0)), Some(json!("gone")), "{told:#}");

    // The store agrees, also after another run.
    let mut dates = Vec::new();
    for _ in 0..2 {
        let told = status(&env).await;
        let gone: Vec<_> = told["mirrors"].as_array().unwrap().iter().filter(|m| m["state"] == "gone").collect();
        assert_eq!(gone.len(), 1, "{told:#}");
        assert_eq!(gone[0]["path"], env.storage().join(&aside[0].0).display().to_string());
        dates.push(gone[0]["gone_since"].clone());
        let again = report(&github(&env, &forge, []).run().await, 0);
        assert_eq!(again["totals"]["gone"], 1);
        assert_eq!(again["totals"]["current"], 2);
    }
    assert_eq!(dates[0], dates[1]);
    assert_eq!(on_disk(&env).len(), 3);
}

#[tokio::test]
async fn two_swapped_names_swap_their_mirrors() {
    let (env, forge, [alpha, beta]) = two(["acme/alpha", "acme/beta"]).await;
    alpha.rename("acme/waiting");
    beta.rename("acme/alpha");
    alpha.rename("acme/beta");
    forge.reset_log();
    let told = report(&github(&env, &forge, []).run().await, 0);
    assert_eq!(verdicts(&told), ["acme/alpha current", "acme/beta current"]);
    env.assert_mirrored(&alpha);
    env.assert_mirrored(&beta);
    assert_eq!(on_disk(&env).len(), 2);
    let is_pack = |request: &&Request| matches!(request.kind, Kind::Git { service: Service::FetchPack, .. });
    assert_eq!(forge.requests().iter().filter(is_pack).count(), 0, "nothing had to be cloned again");
}

/// Lets two repositories exchange their names.
fn swap(alpha: &Repo, beta: &Repo) {
    alpha.rename("acme/waiting");
    beta.rename("acme/alpha");
    alpha.rename("acme/beta");
}

/// Asserts that no mirror was lost, evicted or cloned again, and that no two records name one place.
async fn assert_both_kept(env: &TestEnv, forge: &Forge, [alpha, beta]: [&Repo; 2]) {
    let disk: Vec<_> = on_disk(env).into_iter().collect();
    assert_eq!(disk.len(), 2, "{disk:?}");
    for repo in [alpha, beta] {
        assert!(disk.iter().any(|(_, (refs, _))| *refs == repo.refs()), "{disk:?}");
    }
    assert!(!env.storage().join(".holocron/gone").exists());
    let known = status(env).await;
    let mut places: Vec<_> = known["mirrors"].as_array().unwrap().iter().map(|m| m["path"].to_string()).collect();
    places.sort();
    places.dedup();
    assert_eq!(places.len(), 2, "{known:#}");
    for (place, _) in &disk {
        let place = json!(env.storage().join(place).display().to_string()).to_string();
        assert!(places.contains(&place), "{place} is not in {places:?}");
    }
    let is_pack = |request: &&Request| matches!(request.kind, Kind::Git { service: Service::FetchPack, .. });
    assert_eq!(forge.requests().iter().filter(is_pack).count(), 0, "nothing was cloned again");
}

/// The last run of an exchange, when nothing is in its way any more.
async fn assert_arrived(env: &TestEnv, forge: &Forge, both: [&Repo; 2]) {
    let told = report(&github(env, forge, []).run().await, 0);
    assert_eq!(verdicts(&told), ["acme/alpha current", "acme/beta current"]);
    both.iter().for_each(|repo| env.assert_mirrored(repo));
    assert_both_kept(env, forge, both).await;
}

#[tokio::test]
async fn an_exchange_of_names_that_breaks_off_half_way_costs_neither_mirror() {
    let (env, forge, [alpha, beta]) = two(["acme/alpha", "acme/beta"]).await;
    // Somebody holds its configuration, and not one who was killed before this run.
    let lock = std::fs::File::create(env.mirror_of(&alpha).join("config.lock")).unwrap();
    lock.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    swap(&alpha, &beta);
    forge.reset_log();
    for _ in 0..2 {
        let told = report(&github(&env, &forge, []).run().await, 3);
        assert_eq!(verdicts(&told), ["acme/alpha current", "acme/beta failed"]);
        env.assert_mirrored(&beta);
        assert_both_kept(&env, &forge, [&alpha, &beta]).await;
    }
    let aside = on_disk(&env).into_keys().find(|place| place.starts_with(".holocron/moving")).unwrap();
    std::fs::remove_file(env.storage().join(aside).join("config.lock")).unwrap();
    assert_arrived(&env, &forge, [&alpha, &beta]).await;
}

#[tokio::test]
async fn an_exchange_of_names_in_which_one_mirror_cannot_be_moved_costs_neither() {
    for stays in 0..2 {
        let (env, forge, both) = two(["acme/alpha", "acme/beta"]).await;
        let [alpha, beta] = &both;
        // Something lies where it would wait.
        let name = format!("{}.git", both[stays].id());
        let aside = env.storage().join(".holocron/moving").join(alpha.forge_folder()).join(name);
        std::fs::create_dir_all(aside.parent().unwrap()).unwrap();
        std::fs::write(&aside, "not a mirror").unwrap();
        swap(alpha, beta);
        forge.reset_log();
        for _ in 0..2 {
            let told = report(&github(&env, &forge, []).run().await, 3);
            assert_eq!(told["totals"]["failed"], 2, "{told:#}");
            assert_both_kept(&env, &forge, [alpha, beta]).await;
        }
        std::fs::remove_file(aside).unwrap();
        assert_arrived(&env, &forge, [alpha, beta]).await;
    }
}

#[tokio::test]
async fn a_chain_of_renames_moves_each_mirror_once() {
    let (env, forge, [alpha, beta]) = two(["acme/alpha", "acme/beta"]).await;
    beta.rename("acme/gamma");
    alpha.rename("acme/beta");
    let new = forge.repo("acme/alpha").branch("fresh");
    report(&github(&env, &forge, []).run().await, 0);
    for repo in [&alpha, &beta, &new] {
        env.assert_mirrored(repo);
    }
    assert_eq!(on_disk(&env).len(), 3);
}

#[tokio::test]
async fn names_that_differ_in_letter_case_only_are_two_repositories() {
    let (env, forge, [upper, lower]) = two(["acme/Alpha", "acme/alpha"]).await;
    assert_ne!(env.mirror_of(&upper), env.mirror_of(&lower));
    lower.commit("main", "more");
    let told = report(&github(&env, &forge, []).run().await, 0);
    assert_eq!(verdicts(&told), ["acme/Alpha current", "acme/alpha updated"]);
    env.assert_mirrored(&upper);
    env.assert_mirrored(&lower);
}

#[tokio::test]
async fn a_rename_in_letter_case_only_moves_the_mirror() {
    let (env, forge, [alpha, _]) = two(["acme/alpha", "acme/beta"]).await;
    let old = env.mirror_of(&alpha);
    alpha.rename("Acme/ALPHA");
    let told = report(&github(&env, &forge, []).run().await, 0);
    assert!(notes(&told, "Acme/ALPHA").contains("acme/alpha"), "{told:#}");
    env.assert_mirrored(&alpha);
    assert!(!old.exists());
}

#[tokio::test]
async fn a_lost_store_costs_no_mirror() {
    let (env, forge, repos) = two(["acme/alpha", "acme/beta"]).await;
    let before = on_disk(&env);
    env.lose_store();
    let told = report(&github(&env, &forge, []).run().await, 0);
    assert_eq!(verdicts(&told), ["acme/alpha current", "acme/beta current"]);
    assert_eq!(on_disk(&env), before);
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
}

#[tokio::test]
async fn names_that_look_like_flags_or_have_spaces_and_umlauts_are_mirrored() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let long = format!("acme/{}", "n".repeat(200));
    let names = ["acme/-oProxyCommand=x", "acme/a b", "acme/Ünï", "acme/.github", &long];
    let repos = names.map(|name| forge.repo(name).branch("main"));
    report(&github(&env, &forge, []).run().await, 0);
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
    repos.iter().for_each(|repo| _ = repo.commit("main", "more"));
    let told = report(&github(&env, &forge, []).run().await, 0);
    assert_eq!(told["totals"]["updated"], 5);
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
}

#[tokio::test]
async fn a_name_that_would_leave_the_storage_is_refused_and_the_rest_goes_on() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let fine = forge.repo("acme/fine").branch("main");
    for name in ["..", "a\u{1b}[2J", ".git"] {
        forge.repo("acme/x").branch("main").reported_as(name);
    }
    let told = report(&github(&env, &forge, []).run().await, 3);
    assert_eq!(verdicts(&told), ["acme/fine cloned"]);
    env.assert_mirrored(&fine);
    assert_eq!(told["refused"].as_array().unwrap().len(), 3, "{told:#}");
    assert_eq!(on_disk(&env).len(), 1);
}
