//! Several destinations: one that is dead holds no other back.

use serde_json::{Value, json};

use super::{KINDS, Pair, THERE_TOKEN, destination};
use crate::net::{mirror, status};
use crate::support::{Dialect, Fault, Forge};

/// What a report or a status says of `acme/alpha` on one destination.
#[track_caller]
fn there<'a>(document: &'a Value, name: &str, id: &str) -> &'a Value {
    let all = mirror(document, name)["destinations"].as_array().unwrap();
    all.iter().find(|one| one["id"] == id).unwrap_or_else(|| panic!("{id} in {document:#}"))
}

async fn ready(kind: Dialect) -> Forge {
    let forge = Forge::start().await;
    forge.speak(kind);
    forge.organisation("copies", &["alice"]);
    forge.accept_token("alice", THERE_TOKEN);
    forge
}

#[tokio::test]
async fn one_destination_is_dead_and_the_others_get_everything() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let dead = Forge::start().await;
        pair.write(&[destination("dead", kind, &dead), destination("to", kind, &pair.there)]);
        dead.stop().await;
        let alpha = pair.source.repo("acme/alpha").branch("main").tag("v1");
        pair.degraded(&["--timeout", "5"]).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
        pair.env.assert_mirrored(&alpha);
        // The dead one stays behind; nobody forgets it.
        pair.there.reset_log();
        pair.degraded(&["--timeout", "5"]).await;
        assert_eq!(pair.there.requests().len(), 0);
    }
}

#[tokio::test]
async fn one_run_pushes_to_all_three_kinds_and_to_a_directory() {
    let pair = Pair::new(Dialect::Gitlab).await;
    let (hub, tea, bare) = (Forge::start().await, Forge::start().await, pair.env.bare_destination());
    for (forge, kind) in [(&hub, Dialect::Github), (&tea, Dialect::Gitea)] {
        forge.speak(kind);
        forge.organisation("copies", &["alice"]);
        forge.accept_token("alice", super::THERE_TOKEN);
    }
    pair.write(&[
        destination("hub", Dialect::Github, &hub),
        destination("lab", Dialect::Gitlab, &pair.there),
        destination("tea", Dialect::Gitea, &tea),
        json!({"id": "disk", "kind": "git", "url": bare.template()}),
    ]);
    let alpha = pair.source.repo("acme/alpha").branch("trunk").head("trunk").tag("v1");
    pair.run(&[], 0).await;
    for forge in [&hub, &pair.there, &tea] {
        pair.env.assert_pushed(&alpha, &forge.find("copies/alpha").unwrap());
    }
    pair.env.assert_pushed(&alpha, &bare.find("acme/alpha").unwrap());
}

#[tokio::test]
async fn a_dead_a_silent_a_failing_a_refusing_and_a_limited_destination_hold_no_other_back() {
    let pair = Pair::new(Dialect::Gitlab).await;
    let kind = Dialect::Gitea;
    let [dead, silent, failing, refusing, limited, fine] = [
        ready(kind).await,
        ready(kind).await,
        ready(kind).await,
        ready(kind).await,
        ready(kind).await,
        ready(kind).await,
    ];
    dead.stop().await;
    silent.fault(Fault::hang().on_api(""));
    failing.fault(Fault::status(503).on_api(""));
    refusing.fault(Fault::status(401).on_api(""));
    limited.fault(Fault::status(429).header("retry-after", "3600").on_api(""));
    let all = [
        ("dead", &dead, "network_failed"),
        ("silent", &silent, "timed_out"),
        ("failing", &failing, "server_error"),
        ("refusing", &refusing, "auth_failed"),
        ("limited", &limited, "rate_limited"),
    ];
    let mut destinations: Vec<Value> = all.iter().map(|(id, forge, _)| destination(id, kind, forge)).collect();
    destinations.push(destination("fine", kind, &fine));
    destinations.push(destination("to", Dialect::Gitlab, &pair.there));
    pair.write(&destinations);
    let repos = ["alpha", "beta"].map(|name| pair.source.repo(&format!("acme/{name}")).branch("main").tag("v1"));
    let told = pair.run(&["--timeout", "1", "--concurrency", "1"], 3).await;
    for repo in &repos {
        let name = repo.full_name();
        let copy = name.replace("acme", "copies");
        for forge in [&fine, &pair.there] {
            pair.env.assert_pushed(repo, &forge.find(&copy).unwrap());
        }
        pair.env.assert_mirrored(repo);
        for id in ["fine", "to"] {
            let one = there(&told, &name, id);
            assert_eq!(
                (&one["verdict"], &one["created"], &one["verified"]),
                (&"pushed".into(), &true.into(), &true.into())
            );
        }
        for (id, forge, reason) in all {
            let one = there(&told, &name, id);
            assert_eq!((&one["failure"]["reason"], forge.names().len()), (&reason.into(), 0), "{one:#}");
        }
    }
    assert_eq!(
        (&told["totals"]["destinations"]["pushed"], &told["totals"]["destinations"]["behind"]),
        (&4.into(), &10.into())
    );
    // Whoever refuses a credential or asks for fewer requests is not asked again for the next repository.
    assert_eq!((refusing.requests().len(), limited.requests().len()), (1, 1));

    let known = status(&pair.env).await;
    for (id, _, reason) in all {
        let one = there(&known, "acme/beta", id);
        assert_eq!((&one["failure"]["reason"], &one["last_success"]), (&reason.into(), &Value::Null), "{one:#}");
    }
    assert!(there(&known, "acme/beta", "fine")["last_success"].is_string());
    let table = pair.env.holocron(["status"]).run().await;
    for words in ["→ fine", "→ limited", "4 in step, 10 behind", "exit 3"] {
        assert!(table.stdout.contains(words), "{words}: {table}");
    }

    // They come back, and get what they missed; the others are asked nothing.
    for (_, forge, _) in &all[1..] {
        forge.heal();
    }
    fine.reset_log();
    let told = pair.run(&["--timeout", "5"], 3).await;
    assert_eq!(told["totals"]["destinations"]["behind"], 2, "{told:#}");
    assert_eq!(fine.requests().len(), 0);
    for (_, forge, _) in &all[1..] {
        pair.env.assert_pushed(&repos[1], &forge.find("copies/beta").unwrap());
    }
}

#[tokio::test]
async fn a_destination_that_does_not_tell_its_user_is_asked_once_and_holds_no_other_back() {
    let pair = Pair::new(Dialect::Gitlab).await;
    let mute = ready(Dialect::Gitea).await;
    mute.fault(Fault::status(503).on_api("/user"));
    let mut own = destination("mute", Dialect::Gitea, &mute);
    own.as_object_mut().unwrap().remove("namespace");
    pair.write(&[own, destination("to", Dialect::Gitlab, &pair.there)]);
    let repos = ["a", "b", "c", "d"].map(|name| pair.source.repo(&format!("acme/{name}")).branch("main"));
    let told = pair.run(&[], 3).await;
    for repo in &repos {
        pair.env.assert_pushed(repo, &pair.there.find(&repo.full_name().replace("acme", "copies")).unwrap());
        assert_eq!(there(&told, &repo.full_name(), "mute")["failure"]["reason"], "server_error");
        assert_eq!(there(&status(&pair.env).await, &repo.full_name(), "mute")["verdict"], "failed");
    }
    // Three tries in all, not for each repository.
    assert_eq!(mute.requests().len(), 3, "{:#?}", mute.requests());
    mute.heal();
    pair.run(&[], 0).await;
    assert_eq!(mute.names(), ["alice/a", "alice/b", "alice/c", "alice/d"]);
}

#[tokio::test]
async fn a_destination_that_is_not_configured_any_more_is_shown_as_such() {
    let pair = Pair::new(Dialect::Gitlab).await;
    let old = ready(Dialect::Gitea).await;
    pair.write(&[destination("old", Dialect::Gitea, &old), destination("to", Dialect::Gitlab, &pair.there)]);
    let alpha = pair.source.repo("acme/alpha").branch("main");
    pair.run(&[], 0).await;
    pair.write(&[destination("to", Dialect::Gitlab, &pair.there)]);
    old.stop().await;
    alpha.commit("main", "more");
    pair.run(&[], 0).await;
    let table = pair.env.holocron(["status"]).run().await;
    assert!(table.stdout.contains("not configured any more") && table.stdout.contains("1 in step;"), "{table}");
    let known = status(&pair.env).await;
    let configured = |id: &str| there(&known, "acme/alpha", id)["configured"].as_bool().unwrap();
    assert_eq!((configured("old"), configured("to")), (false, true));
    // Typed destinations are known to who typed them: without a file nothing is said of that.
    pair.env.file("holocron.yaml", "{}");
    assert_eq!(there(&status(&pair.env).await, "acme/alpha", "old")["configured"], true);
}

#[tokio::test]
async fn a_lost_store_says_what_it_means_for_branch_rules() {
    let pair = Pair::new(Dialect::Gitlab).await;
    pair.source.repo("acme/alpha").branch("main");
    pair.run(&[], 0).await;
    let store = pair.env.storage().join(".holocron/state.sqlite");
    std::fs::write(&store, "no database at all, and long enough to be seen as something".repeat(20)).unwrap();
    let warnings = pair.run(&[], 0).await["warnings"].to_string();
    assert!(warnings.contains("built anew") && warnings.contains("those on to are as they should be"), "{warnings}");
    // Rules that are never opened, or left open on purpose, have nothing to be forgotten.
    pair.configure(&[json!({"protected_branches": "fail"})]);
    std::fs::write(&store, "no database at all, and long enough to be seen as something".repeat(20)).unwrap();
    let warnings = pair.run(&[], 0).await["warnings"].to_string();
    assert!(warnings.contains("built anew") && !warnings.contains("branch rules"), "{warnings}");
}
