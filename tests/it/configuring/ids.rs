//! Sources and destinations that nobody gave an id are called as their kinds are.

use serde_json::json;

use crate::support::{Forge, TestEnv};

#[tokio::test]
async fn a_source_of_codeberg_or_forgejo_is_called_so_and_reads_the_token_of_its_name() {
    let env = TestEnv::new();
    let program = env.holocron(["config", "show", "--backup-only", "--source", "codeberg,forgejo"]);
    let program = program.env("GITEA_API_URL", "https://git.example.org/api/v1");
    let run = program.clone().env("CODEBERG_TOKEN", "canary-one").env("FORGEJO_TOKEN", "canary-two").run().await;
    let shown = &run.assert_code(0).stdout;
    for text in ["- id: codeberg\n", "{env: CODEBERG_TOKEN}", "- id: forgejo\n", "{env: FORGEJO_TOKEN}"] {
        assert!(shown.contains(text), "{text}\n{run}");
    }
    let run = env.holocron(["--backup-only", "--source", "codeberg"]).run().await;
    assert!(run.assert_code(2).stderr.contains("set CODEBERG_TOKEN, or name an owner"), "{run}");
}

#[tokio::test]
async fn mirrors_of_the_time_when_every_forgejo_was_called_gitea_are_known_guarded_and_counted() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let [alpha, beta, gamma] =
        ["alpha", "beta", "gamma"].map(|name| forge.repo(&format!("acme/{name}")).branch("main"));
    let file = |id: &str| {
        let api = forge.gitea_api();
        format!("sources:\n  - {{{id}kind: forgejo, api_url: {api}, token: {{env: TOKEN_HERE}}}}\n")
    };
    let program = |env: &TestEnv| env.holocron(["--json"]).env("TOKEN_HERE", forge.token());
    // As older versions recorded them.
    env.file("holocron.yaml", file("id: gitea, "));
    program(&env).run().await.assert_code(0);

    env.file("holocron.yaml", file(""));
    beta.remove();
    let told = program(&env).run().await.json();
    assert_eq!((&told["totals"]["cloned"], &told["totals"]["gone"]), (&json!(0), &json!(1)), "{told:#}");
    assert_eq!(told["totals"]["current"], 2, "{told:#}");

    // The guard counts them as well.
    alpha.remove();
    gamma.remove();
    let run = program(&env).run().await;
    assert_eq!(run.assert_code(3).json()["source_failures"][0]["source"], "forgejo", "{run}");
}
