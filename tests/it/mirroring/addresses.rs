//! A forge that does not know its own address lists URLs that lead nowhere.

use serde_json::json;

use crate::net::{mirror, report};
use crate::support::{Forge, Nowhere, Program, TestEnv};

fn config(env: &TestEnv, kind: &str, api: &str, clone_urls: &str) -> Program {
    let source = json!({"kind": kind, "api_url": api, "clone_urls": clone_urls, "token": {"env": "FROM"}});
    env.file("holocron.yaml", json!({"sources": [source]}).to_string());
    env.holocron(["--backup-only", "--json"])
}

#[tokio::test]
async fn both_addresses_are_named_and_the_one_of_the_api_can_be_chosen_on_every_forge() {
    for kind in ["gitea", "github", "gitlab"] {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let api = match kind {
            "gitea" => forge.gitea_api(),
            "github" => forge.github_api(),
            _ => forge.gitlab_api(),
        };
        let nowhere = Nowhere::take();
        let wrong = nowhere.url();
        let alpha = forge.repo("acme/alpha").private().branch("main");
        alpha.clone_url(&format!("{wrong}/acme/alpha.git"));
        let run = config(&env, kind, &api, "listed").env("FROM", forge.token()).run().await;
        let told = report(&run, 3);
        let failure = &mirror(&told, "acme/alpha")["failure"];
        let message = failure["message"].as_str().unwrap();
        assert!(message.contains(&wrong) && message.contains(forge.url()), "{kind}: {failure:#}");
        assert!(failure["hint"].as_str().unwrap().contains("clone_urls: api-host"), "{kind}: {failure:#}");
        report(&config(&env, kind, &api, "api-host").env("FROM", forge.token()).run().await, 0);
        env.assert_mirrored(&alpha);
    }
}

#[tokio::test]
async fn the_setting_belongs_to_forges_only() {
    let env = TestEnv::new();
    env.file("holocron.yaml", "sources:\n- {kind: dir, clone_urls: api-host}\n");
    let run = env.holocron(["--backup-only"]).run().await;
    assert!(run.assert_code(2).stderr.contains("clone_urls"), "{run}");
}
