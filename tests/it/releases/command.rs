//! `holocron release`, and `holocron push` with releases.

use serde_json::{Value, json};

use super::{assert_same, counts, pair, source_of, told};
use crate::destinations::{KINDS, Pair, SOURCE_TOKEN, THERE_TOKEN, destination};
use crate::net::{mirror, report};
use crate::support::{Dialect, Forge, TestEnv};

/// `holocron release`, and its report.
async fn release(pair: &Pair, args: &[&str], code: i32) -> Value {
    let program = pair.env.holocron(["release"]).args(args.iter().copied()).arg("--json");
    report(&program.env("FROM", SOURCE_TOKEN).env("TO", THERE_TOKEN).run().await, code)
}

#[tokio::test]
async fn a_plan_says_what_a_sync_then_does() {
    let (pair, alpha) = pair(Dialect::Gitlab).await;
    alpha.tag("v1").tag("v2").tag("v3");
    pair.run(&[], 0).await;
    alpha.release("v1").title("One").asset("a", b"a");
    alpha.release("v2").title("Two");
    alpha.release("v3").prerelease();
    pair.there.reset_log();
    let plan = release(&pair, &["plan"], 0).await;
    let notes = told(&plan)["notes"].to_string();
    assert!(notes.contains("would create the release v1; upload a.") && notes.contains("v3 is marked as"), "{notes}");
    assert!(pair.there.writes().is_empty() && pair.copy().releases().is_empty());
    // A part of it.
    let done = release(&pair, &["sync", "acme/*", "--tag", "v[12]"], 0).await;
    assert_eq!(told(&done)["releases"]["created"], 2, "{done:#}");
    assert_eq!(mirror(&done, "acme/alpha")["verdict"], "current");
    let done = release(&pair, &["sync", "other/*"], 3).await;
    assert_eq!(done["unmatched"][0]["what"], "release `other/*`");
    assert!(done["mirrors"].as_array().unwrap().is_empty());
    release(&pair, &["sync"], 0).await;
    assert_same(Dialect::Gitlab, &alpha, &pair.copy());
    let done = release(&pair, &["sync"], 0).await;
    assert_eq!(told(&done)["verdict"], "current");
}

#[tokio::test]
async fn what_is_not_mirrored_yet_has_no_releases_to_sync() {
    let (pair, alpha) = pair(Dialect::Gitea).await;
    alpha.release("v1");
    let done = release(&pair, &["sync"], 3).await;
    assert!(
        mirror(&done, "acme/alpha")["failure"]["hint"].as_str().unwrap().contains("run `holocron` first"),
        "{done:#}"
    );
    assert!(pair.there.writes().is_empty());
}

#[tokio::test]
async fn without_any_place_that_gets_releases_the_command_says_what_to_write() {
    let env = TestEnv::new();
    env.bare_repo("a.git").branch("main");
    let run = env.holocron(["release", "sync", "--backup-only", "--dir", "."]).run().await;
    run.assert_code(2);
    assert!(run.stderr.contains("no place gets releases") && run.stderr.contains("--releases"), "{run}");
    let run = env.holocron(["release", "plan", "--tag", "[", "--backup-only", "--releases", "--dir", "."]).run().await;
    assert!(run.code == 2 && run.stderr.contains("`[` is not a glob"), "{run}");
}

#[tokio::test]
async fn a_pipeline_pushes_the_releases_of_its_origin() {
    for kind in KINDS {
        let (env, from, there) = (TestEnv::new(), Forge::start().await, Forge::start().await);
        there.speak(kind);
        there.organisation("copies", &["alice"]);
        from.accept_token("alice", SOURCE_TOKEN);
        there.accept_token("alice", THERE_TOKEN);
        let alpha = from.repo("acme/alpha").private().branch("main");
        alpha.release("v1").title("One").asset("a", b"aaa");
        let mut to = destination("to", kind, &there);
        to["releases"] = "all".into();
        env.file("holocron.yaml", json!({"destinations": [&to]}).to_string());
        // As a runner of GitHub does it.
        let push = || {
            let program = env.holocron(["push", "--json", "--source-url", &alpha.url()]);
            program.env("SOURCE_TOKEN", SOURCE_TOKEN).env("TO", THERE_TOKEN).env("GITHUB_API_URL", from.github_api())
        };
        let run = push().run().await;
        let done = report(&run, 0);
        assert_eq!(done["mirrors"][0]["releases"][0]["releases"]["created"], 1, "{kind:?}: {done:#}");
        assert_same(kind, &alpha, &there.find("copies/alpha").unwrap());
        // The next pipeline remembers nothing, and needs not.
        there.reset_log();
        report(&push().run().await, 0);
        assert!(there.writes().is_empty(), "{kind:?}");
        // Nor does the nightly run take the pipeline's work for somebody else's.
        let source = source_of(Dialect::Github, &from);
        env.file("holocron.yaml", json!({"sources": [source], "destinations": [to]}).to_string());
        let nightly = env.holocron(["--json"]).env("FROM", SOURCE_TOKEN).env("TO", THERE_TOKEN).run().await;
        assert_eq!(counts(&report(&nightly, 0)), json!({"in_sync": 1}), "{kind:?}");
        assert!(there.writes().is_empty(), "{kind:?}");
    }
}
