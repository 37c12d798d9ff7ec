//! Certificates: the system's, a CA of the user's own, and strangers.

use crate::net::{assert_failed, assert_source_failed, github, on_disk, report, verdicts};
use crate::support::{Forge, TestEnv};

fn config(env: &TestEnv, forge: &Forge, more: &str) {
    let api = forge.github_api();
    env.file(
        "holocron.yaml",
        format!("sources:\n  - kind: github\n    api_url: {api}\n    token: {{env: MY_TOKEN}}\n{more}"),
    );
}

#[tokio::test]
async fn a_ca_of_the_configuration_is_trusted_by_api_and_git() {
    let (env, forge) = (TestEnv::new(), Forge::start_tls().await);
    let alpha = forge.repo("acme/alpha").private().branch("main");
    config(&env, &forge, &format!("    ca_file: {}\n", forge.ca_file().display()));
    let run = || env.holocron(["--backup-only", "--json"]).env("MY_TOKEN", forge.token());
    assert_eq!(verdicts(&report(&run().run().await, 0)), ["acme/alpha cloned"]);
    alpha.commit("main", "more");
    assert_eq!(verdicts(&report(&run().run().await, 0)), ["acme/alpha updated"]);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_ca_of_the_environment_is_trusted_by_api_and_git() {
    let (env, forge) = (TestEnv::new(), Forge::start_tls().await);
    let alpha = forge.repo("acme/alpha").private().branch("main");
    let run = github(&env, &forge, []).env("SSL_CERT_FILE", forge.ca_file()).env("GIT_SSL_CAINFO", forge.ca_file());
    report(&run.run().await, 0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn an_unknown_ca_is_not_trusted_and_no_token_is_sent() {
    let (env, forge) = (TestEnv::new(), Forge::start_tls().await);
    forge.repo("acme/alpha").private().branch("main");
    let told = report(&github(&env, &forge, []).run().await, 3);
    let failure = assert_source_failed(&told, "tls_failed");
    assert!(failure["hint"].as_str().unwrap().contains("ca_file"), "{failure:#}");
    assert_eq!((forge.requests().len(), on_disk(&env).len()), (0, 0));
}

#[tokio::test]
async fn a_ca_that_git_does_not_know_fails_the_mirror_and_keeps_it() {
    let (env, forge) = (TestEnv::new(), Forge::start_tls().await);
    let alpha = forge.repo("acme/alpha").private().branch("main");
    let run = || github(&env, &forge, []).env("SSL_CERT_FILE", forge.ca_file());
    report(&run().env("GIT_SSL_CAINFO", forge.ca_file()).run().await, 0);
    let before = on_disk(&env);
    alpha.commit("main", "more");
    // An empty list of CAs, so that the system's own do not matter.
    let told = report(&run().env("GIT_SSL_CAINFO", env.file("none.pem", "")).run().await, 3);
    assert_failed(&told, "acme/alpha", "tls_failed");
    assert_eq!(on_disk(&env), before);
    report(&run().env("GIT_SSL_CAINFO", forge.ca_file()).run().await, 0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_servers_own_certificate_is_trusted_by_api_and_git_alike_when_it_is_the_one_in_the_file() {
    for transport in ["auto", "git"] {
        let (env, forge) = (TestEnv::new(), Forge::start_self_signed("localhost").await);
        let alpha = forge.repo("acme/alpha").private().branch("main");
        config(&env, &forge, &format!("    ca_file: {}\n", forge.ca_file().display()));
        let run = || env.holocron(["--backup-only", "--json", "--transport", transport]).env("MY_TOKEN", forge.token());
        assert_eq!(verdicts(&report(&run().run().await, 0)), ["acme/alpha cloned"], "{transport}");
        alpha.commit("main", "more");
        assert_eq!(verdicts(&report(&run().run().await, 0)), ["acme/alpha updated"], "{transport}");
        env.assert_mirrored(&alpha);
    }
}

#[tokio::test]
async fn a_servers_own_certificate_for_another_name_or_beside_another_one_is_not_trusted() {
    let elsewhere = Forge::start_self_signed("elsewhere").await;
    let (forge, other) = (Forge::start_self_signed("localhost").await, Forge::start_self_signed("localhost").await);
    for (forge, ca_file) in [(&elsewhere, elsewhere.ca_file()), (&forge, other.ca_file())] {
        let env = TestEnv::new();
        forge.repo("acme/alpha").private().branch("main");
        config(&env, forge, &format!("    ca_file: {}\n", ca_file.display()));
        let run = env.holocron(["--backup-only", "--json"]).env("MY_TOKEN", forge.token()).run().await;
        assert_source_failed(&report(&run, 3), "tls_failed");
        assert_eq!(forge.requests().len(), 0);
        // Git says the same.
        let setting = format!("http.sslCAInfo={}", ca_file.display());
        let url = format!("{}/acme/alpha.git", forge.url());
        let told = env.git(["-c", &setting, "ls-remote", &url]).run().await;
        assert!(told.code != 0 && forge.requests().is_empty(), "{told}");
    }
}
