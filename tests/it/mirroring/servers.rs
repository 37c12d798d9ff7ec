//! Plain servers that refuse, with their own words: `git daemon`, and sshd where the client's key is encrypted.

use std::fs;

use serde_json::Value;

use crate::net::{assert_failed, report};
use crate::support::{Daemon, Sshd, TestEnv};

async fn run(env: &TestEnv, url: &str, code: i32) -> Value {
    report(&env.holocron(["--backup-only", "--json", "--url", url]).run().await, code)
}

#[tokio::test]
async fn a_daemon_that_does_not_serve_a_repository_is_quoted_and_the_way_out_named() {
    let words = "repository not exported: ";
    for (option, reason, words) in [
        ("--informative-errors", "forbidden", words),
        ("--no-informative-errors", "remote_not_found", "access denied or repository not exported: "),
    ] {
        let env = TestEnv::new();
        let alpha = env.bare_repo("srv/acme/alpha.git").branch("main");
        let daemon = Daemon::start(&env.work().join("srv"), &[option]).await;
        let url = daemon.url("acme/alpha.git");
        let told = run(&env, &url, 3).await;
        let failure = assert_failed(&told, "acme/alpha", reason);
        let evidence = failure["evidence"].as_str().unwrap();
        assert!(evidence.contains(words) && !evidence.contains("and the repository exists"), "{failure:#}");
        let hint = failure["hint"].as_str().unwrap();
        assert!(hint.contains("git-daemon-export-ok"), "{option}: {hint}");
        // As the hint says.
        fs::write(alpha.git_dir().join("git-daemon-export-ok"), "").unwrap();
        run(&env, &url, 0).await;
        alpha.commit("main", "more");
        run(&env, &url, 0).await;
    }
}

#[tokio::test]
async fn a_users_own_ssh_key_that_is_encrypted_is_refused_access_in_sshs_words() {
    let env = TestEnv::new();
    let alpha = env.bare_repo("srv/acme/alpha.git").branch("main");
    let sshd = Sshd::alone().await;
    let url = format!("{}{}", sshd.base(), alpha.git_dir().display());
    let key = sshd.key(&env, "locked", "open sesame").await;
    sshd.trust_with(&env, &key);
    let told = run(&env, &url, 3).await;
    let failure = &told["mirrors"][0]["failure"];
    assert_eq!(failure["reason"], "auth_failed", "{told:#}");
    let evidence = failure["evidence"].as_str().unwrap();
    assert!(evidence.contains("Permission denied") && !evidence.contains("and the repository exists"), "{failure:#}");
    let key = sshd.key(&env, "open", "").await;
    sshd.trust_with(&env, &key);
    run(&env, &url, 0).await;
}
