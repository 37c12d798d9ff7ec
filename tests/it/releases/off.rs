//! Releases that are switched off, at the source or at the destination.

use serde_json::{Value, json};

use super::disk::source_of;
use super::{counts, told};
use crate::destinations::{KINDS, Pair, SOURCE_TOKEN, THERE_TOKEN, destination};
use crate::net::{mirror, report, verdicts};
use crate::support::{Dialect, Forge, Repo, TestEnv};

/// The forges that have such a switch, and the switch.
fn switches() -> [(Dialect, &'static str, Value, Value); 2] {
    [
        (Dialect::Gitea, "has_releases", json!(false), json!(true)),
        (Dialect::Gitlab, "releases_access_level", json!("disabled"), json!("enabled")),
    ]
}

struct World {
    env: TestEnv,
    source: Forge,
    there: Forge,
}

impl World {
    async fn run(&self, args: &[&str], code: i32) -> Value {
        let program = self.env.holocron(["--json"]).args(args.iter().copied());
        report(&program.env("FROM", SOURCE_TOKEN).env("TO", THERE_TOKEN).run().await, code)
    }

    fn asked_for_releases(&self) -> usize {
        let asked = |forge: &Forge| forge.requests().iter().filter(|one| one.path.contains("/releases")).count();
        asked(&self.source) + asked(&self.there)
    }
}

/// From a forge of this kind to disk and to another Gitea, with deletions wanted.
async fn world(from: Dialect) -> (World, Repo) {
    let (env, source, there) = (TestEnv::new(), Forge::start().await, Forge::start().await);
    source.speak(from);
    there.speak(Dialect::Gitea);
    there.organisation("copies", &["alice"]);
    source.accept_token("alice", SOURCE_TOKEN);
    there.accept_token("alice", THERE_TOKEN);
    let alpha = source.repo("acme/alpha").branch("main");
    let mut to = destination("to", Dialect::Gitea, &there);
    to["releases"] = json!({"prune": true});
    let config = json!({"sources": [source_of(from, &source)], "destinations": [to], "releases": "all"});
    env.file("holocron.yaml", config.to_string());
    (World { env, source, there }, alpha)
}

#[tokio::test]
async fn what_is_switched_off_at_the_source_is_not_asked_for_and_is_no_failure() {
    for (from, name, off, on) in switches() {
        let (world, alpha) = world(from).await;
        alpha.release("v1").asset("a", b"aaa");
        alpha.set(name, off.clone());
        let told = world.run(&[], 0).await;
        assert_eq!(world.asked_for_releases(), 0, "{from:?}: {told:#}");
        let places = mirror(&told, "acme/alpha")["releases"].as_array().unwrap();
        for place in places {
            assert_eq!(place["verdict"], "current", "{from:?}: {told:#}");
            assert!(place["notes"][0].as_str().unwrap().contains("switched off at the source"), "{told:#}");
        }
        assert_eq!(places.len(), 2, "{from:?}");
        // Switched on, they come; switched off again, nothing of what came goes, whatever happens to the tags.
        alpha.set(name, on);
        world.run(&["--full"], 0).await;
        let copy = world.there.find("copies/alpha").unwrap();
        assert_eq!(copy.releases().len(), 1, "{from:?}");
        alpha.set(name, off).commit("main", "more");
        world.run(&["--full"], 0).await;
        assert_eq!(copy.releases().len(), 1, "{from:?}");
    }
}

#[tokio::test]
async fn a_gitea_without_its_code_has_nothing_to_mirror() {
    let (world, alpha) = world(Dialect::Gitea).await;
    alpha.set("has_code", json!(false));
    let told = world.run(&[], 0).await;
    assert_eq!(verdicts(&told), ["acme/alpha unavailable"]);
    assert!(world.source.git_requests("acme/alpha").is_empty(), "{told:#}");
}

#[tokio::test]
async fn what_is_switched_off_at_a_destination_is_named_and_no_token_is_blamed() {
    for (kind, name, off, _) in switches() {
        let pair = Pair::with(kind, &json!({"releases": "all"})).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        pair.run(&[], 0).await;
        pair.copy().set(name, off);
        alpha.release("v1");
        let report = pair.run(&["--full"], 3).await;
        let failure = &told(&report)["failure"];
        assert!(failure["message"].as_str().unwrap().contains("switched off in copies/alpha"), "{kind:?}: {report:#}");
        assert!(failure["hint"].as_str().unwrap().contains("switch them on"), "{kind:?}: {report:#}");
    }
}

#[tokio::test]
async fn a_place_without_the_repository_is_not_asked_what_an_empty_source_has() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"releases": "all"})).await;
        pair.source.repo("acme/alpha");
        for _ in 0..2 {
            let report = pair.run(&["--full"], 0).await;
            assert_eq!((&told(&report)["verdict"], counts(&report)), (&"current".into(), json!({})), "{report:#}");
        }
    }
}

#[tokio::test]
async fn a_dry_run_tells_of_releases_where_the_repository_is_yet_to_be_made() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"releases": "off"})).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        alpha.release("v1");
        pair.run(&["--backup-only"], 0).await;
        pair.configure(&[json!({"releases": "all"})]);
        let report = pair.run(&["--dry-run"], 0).await;
        assert_eq!(counts(&report), json!({"created": 1}), "{kind:?}: {report:#}");
    }
}

#[tokio::test]
async fn a_repository_that_was_removed_there_is_said_and_comes_back_with_its_releases() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"releases": "all"})).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        alpha.release("v1");
        pair.run(&[], 0).await;
        pair.copy().remove();
        alpha.release("v2");
        let report = pair.run(&["--full"], 0).await;
        assert_eq!(counts(&report), json!({"created": 2}), "{kind:?}: {report:#}");
        // Only the releases are asked for, and the repository is gone again.
        pair.copy().remove();
        alpha.edit_release("v1", |one| one.title("Another"));
        let program = pair.env.holocron(["release", "sync", "--json"]);
        let run = program.env("FROM", SOURCE_TOKEN).env("TO", THERE_TOKEN).run().await;
        let report = crate::net::report(&run, 3);
        let failure = &told(&report)["failure"];
        assert_eq!(failure["reason"], "remote_not_found", "{kind:?}: {report:#}");
        assert!(failure["hint"].as_str().unwrap().contains("--full"), "{kind:?}: {report:#}");
    }
}
