//! From every kind of forge, and from a backup on disk, to every other.

use serde_json::{Value, json};

use super::disk::source_of;
use super::{assert_same, files};
use crate::destinations::{KINDS, SOURCE_TOKEN, THERE_TOKEN, destination};
use crate::net::{mirror, report};
use crate::support::{Dialect, Forge, Repo, TestEnv};

fn fill(alpha: &Repo) {
    alpha.release("v1.0").title("One").notes("The first.");
    alpha
        .release("v2.0")
        .title("Two")
        .notes("Better.")
        .asset("tool (1)+ü.zip", &[7; 70_000])
        .asset("sums", b"s")
        .latest();
}

async fn run(env: &TestEnv, args: &[&str], code: i32) -> Value {
    let program = env.holocron(["--json"]).args(args.iter().copied());
    report(&program.env("FROM", SOURCE_TOKEN).env("TO", THERE_TOKEN).run().await, code)
}

#[tokio::test]
async fn every_kind_reaches_every_other_kind() {
    for from in KINDS {
        for to in KINDS {
            let (env, source, there) = (TestEnv::new(), Forge::start().await, Forge::start().await);
            source.speak(from);
            there.speak(to);
            there.organisation("copies", &["alice"]);
            source.accept_token("alice", SOURCE_TOKEN);
            there.accept_token("alice", THERE_TOKEN);
            let alpha = source.repo("acme/alpha").private().branch("main");
            fill(&alpha);
            let mut to_it = destination("to", to, &there);
            to_it["releases"] = "all".into();
            let config = json!({"sources": [source_of(from, &source)], "destinations": [to_it], "releases": "all"});
            env.file("holocron.yaml", config.to_string());
            run(&env, &[], 0).await;
            assert_same(to, &alpha, &there.find("copies/alpha").unwrap());
            // What is on the disk was not fetched a second time for the destination.
            let fetched = source.downloads().into_iter().filter(|one| one.status == Some(200)).count();
            assert_eq!(fetched, 2, "{from:?} → {to:?}");
            there.reset_log();
            let told = run(&env, &["--full"], 0).await;
            assert_eq!((there.writes().len(), source.storage_leaks().len()), (0, 0), "{from:?} → {to:?}: {told:#}");
        }
    }
}

#[tokio::test]
async fn a_backup_on_disk_is_a_source_as_well() {
    for to in KINDS {
        let (env, source, there) = (TestEnv::new(), Forge::start().await, Forge::start().await);
        there.speak(to);
        there.organisation("copies", &["alice"]);
        source.accept_token("alice", SOURCE_TOKEN);
        there.accept_token("alice", THERE_TOKEN);
        let alpha = source.repo("acme/alpha").branch("main");
        fill(&alpha);
        env.file(
            "holocron.yaml",
            json!({"sources": [source_of(Dialect::Github, &source)], "releases": "all"}).to_string(),
        );
        run(&env, &[], 0).await;
        let mut to_it = destination("to", to, &there);
        to_it["releases"] = "all".into();
        to_it["namespace"] = "copies".into();
        let folder = env.mirror_of(&alpha).parent().unwrap().to_owned();
        let config = json!({
            "storage": env.work().join("second"),
            "sources": [{"id": "disk", "kind": "dir", "dirs": [folder]}],
            "destinations": [to_it],
        });
        env.file("second.yaml", config.to_string());
        let told = run(&env, &["--config", "second.yaml"], 0).await;
        let name = told["mirrors"][0]["name"].as_str().unwrap().to_owned();
        assert_eq!(mirror(&told, &name)["releases"][0]["releases"]["created"], 2, "{to:?}: {told:#}");
        assert_same(to, &alpha, &there.find("copies/alpha").unwrap());
        there.reset_log();
        run(&env, &["--config", "second.yaml", "--full"], 0).await;
        assert!(there.writes().is_empty());
    }
}

#[tokio::test]
async fn a_plain_git_server_has_no_releases_and_says_so() {
    let (env, source) = (TestEnv::new(), Forge::start().await);
    source.accept_token("alice", SOURCE_TOKEN);
    let alpha = source.repo("acme/alpha").branch("main");
    fill(&alpha);
    let shelf = env.work().join("shelf/{name}.git");
    let config = json!({
        "sources": [source_of(Dialect::Github, &source)],
        "destinations": [{"id": "to", "kind": "git", "url": shelf, "releases": "all"}],
    });
    env.file("holocron.yaml", config.to_string());
    let told = run(&env, &[], 0).await;
    assert!(
        mirror(&told, "acme/alpha")["releases"].to_string().contains("unsupported: git has no releases"),
        "{told:#}"
    );
}

#[tokio::test]
async fn a_mirror_of_a_mirror_has_one_mark_only() {
    let (env, source, middle) = (TestEnv::new(), Forge::start().await, Forge::start().await);
    let last = Forge::start().await;
    for (forge, token) in [(&source, SOURCE_TOKEN), (&middle, THERE_TOKEN), (&last, THERE_TOKEN)] {
        forge.accept_token("alice", token);
        forge.organisation("copies", &["alice"]);
    }
    middle.accept_token("alice", SOURCE_TOKEN);
    let alpha = source.repo("acme/alpha").branch("main");
    fill(&alpha);
    let step = |from: &Forge, to: &Forge, storage: &str| {
        let mut to_it = destination("to", Dialect::Github, to);
        to_it["releases"] = "all".into();
        json!({"storage": env.work().join(storage), "sources": [source_of(Dialect::Github, from)], "destinations": [to_it]})
    };
    for (name, config) in [("1.yaml", step(&source, &middle, "one")), ("2.yaml", step(&middle, &last, "two"))] {
        env.file(name, config.to_string());
        run(&env, &["--config", name], 0).await;
    }
    let copy = last.find("copies/alpha").unwrap();
    assert_eq!(copy.seen_release("v1.0").notes.matches("holocron:begin").count(), 1);
    assert_eq!(files(&copy.seen_release("v2.0")), files(&alpha.seen_release("v2.0")));
    assert_same(Dialect::Github, &alpha, &copy);
}
