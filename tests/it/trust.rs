//! Whom git trusts, and that it is told so in the cheapest way.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::net::report;
use crate::support::{Forge, Program, TestEnv};

/// A run by git alone over HTTPS, whose CA is in a file of the user's.
fn run(env: &TestEnv, forge: &Forge) -> Program {
    let ca = forge.ca_file();
    let run = env.holocron(["--backup-only", "--json"]).args(["--source", "github"]);
    let run = run.env("GITHUB_API_URL", forge.github_api()).env("GITHUB_TOKEN", forge.token());
    run.env("HOLOCRON_TRANSPORT", "git").env("GIT_SSL_CAINFO", &ca).env("SSL_CERT_FILE", &ca)
}

/// Has git write down what those of its processes that speak HTTP see of a variable; `rest` is more of the user's settings.
fn watch(env: &TestEnv, variable: &str, rest: &str) {
    let traces = env.work().join("traces");
    fs::create_dir_all(&traces).unwrap();
    env.global_git_config(&format!("[trace2]\neventTarget = {}\nenvVars = {variable}\n{rest}", traces.display()));
}

fn seen(env: &TestEnv) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for file in fs::read_dir(env.work().join("traces")).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let is_http = |event: &Value| event["argv"][0].as_str().is_some_and(|name| name.ends_with("remote-https"));
        let told = |event: &&Value| event["event"] == "def_param" && event["scope"] != "local";
        if events.iter().any(is_http) {
            let values: Vec<_> = events.iter().filter(told).filter_map(|event| event["value"].as_str()).collect();
            seen.insert(values.concat());
        }
    }
    seen
}

/// Whether the git of this machine reads every CA of the system in each process.
async fn is_dear() -> bool {
    let said = TestEnv::new().git(["--exec-path"]).run().await;
    let helper = fs::read(Path::new(said.stdout.trim()).join("git-remote-https")).unwrap_or_default();
    helper.windows(14).any(|bytes| bytes == b"libcurl-gnutls")
}

#[tokio::test]
async fn a_git_that_reads_every_ca_is_given_one_file_with_all_of_them() {
    let forge = Forge::start_tls().await;
    let alpha = forge.repo("acme/alpha").private().branch("main");
    let own = forge.ca_file().display().to_string();
    for (variable, changes) in [("GIT_SSL_CAINFO", is_dear().await), ("GIT_SSL_CAPATH", is_dear().await)] {
        let env = TestEnv::new();
        watch(&env, variable, "");
        report(&run(&env, &forge).run().await, 0);
        env.assert_mirrored(&alpha);
        let seen = seen(&env);
        assert!(!seen.is_empty());
        let as_it_was = if variable == "GIT_SSL_CAINFO" { own.clone() } else { String::new() };
        assert_eq!(seen != BTreeSet::from([as_it_was]), changes, "{seen:?}");
        // They went with the run.
        assert_eq!(fs::read_dir(env.tmp()).unwrap().count(), 0);
    }
}

#[tokio::test]
async fn whom_the_user_has_git_trust_is_left_alone() {
    let forge = Forge::start_tls().await;
    let alpha = forge.repo("acme/alpha").private().branch("main");
    let own = forge.ca_file().display().to_string();
    let env = TestEnv::new();
    watch(&env, "GIT_SSL_CAINFO", "[http]\nsslVerify = true\n");
    report(&run(&env, &forge).run().await, 0);
    env.assert_mirrored(&alpha);
    assert_eq!(seen(&env), BTreeSet::from([own.clone()]));

    let env = TestEnv::new();
    watch(&env, "GIT_SSL_CAINFO", "");
    let places = env.file("cas/one.pem", fs::read(forge.ca_file()).unwrap());
    report(&run(&env, &forge).env("GIT_SSL_CAPATH", places.parent().unwrap()).run().await, 0);
    assert_eq!(seen(&env), BTreeSet::from([own]));
}

#[tokio::test]
async fn a_server_of_a_ca_that_nobody_named_is_not_trusted() {
    let (env, forge, other) = (TestEnv::new(), Forge::start_tls().await, Forge::start_tls().await);
    forge.repo("acme/alpha").private().branch("main");
    // The API trusts the one, git another.
    let run = run(&env, &forge).env("GIT_SSL_CAINFO", other.ca_file()).run().await;
    let told = report(&run, 3);
    assert_eq!(told["mirrors"][0]["failure"]["reason"], "tls_failed", "{told:#}");
    let words = told["mirrors"][0]["failure"]["evidence"].as_str().unwrap();
    assert!(words.contains(other.ca_file().to_str().unwrap()) || !words.contains("CAfile"), "{words}");
}
