//! Plain git servers by ssh: what is pushed there, whose key opens the door, and what is said when none does.

use std::fs;

use serde_json::{Value, json};

use crate::net::mirror;
use crate::support::{BareDestination, Program, Repo, Sshd, TestEnv};

const PASSPHRASE: &str = "open+canary/3369 sesame";

/// A directory to read from and a plain ssh server to push to.
struct Wire {
    env: TestEnv,
    sshd: Sshd,
    there: BareDestination,
    alpha: Repo,
}

impl Wire {
    /// With an empty repository at the destination, and settings for `ssh`.
    async fn new(ssh: &Value) -> Self {
        let env = TestEnv::new();
        let (sshd, there) = (Sshd::alone().await, env.bare_destination());
        let alpha = env.bare_repo("sources/acme/alpha.git");
        alpha.batch(|b| b.branch("trunk").branch("dev").tag("v1").annotated_tag("v2").head("trunk"));
        there.repo("acme/alpha").head("trunk");
        let wire = Wire { env, sshd, there, alpha };
        wire.configure(ssh);
        wire
    }

    fn configure(&self, ssh: &Value) {
        let source = json!({"id": "from", "kind": "dir", "dirs": [self.env.work().join("sources")]});
        let to = json!({"id": "to", "kind": "git", "url": self.there.ssh_template(&self.sshd), "ssh": ssh});
        self.env.file("holocron.yaml", json!({"sources": [source], "destinations": [to]}).to_string());
    }

    fn program(&self) -> Program {
        self.env.holocron(["--json"])
    }

    async fn arrives(&self) {
        self.program().run().await.assert_code(0);
        self.env.assert_pushed(&self.alpha, &self.there.find("acme/alpha").unwrap());
    }

    /// Runs, and returns the failure of the destination, which got nothing.
    async fn fails(&self) -> Value {
        let run = self.program().run().await;
        let told = run.assert_code(3).json();
        assert!(self.there.refs("acme/alpha").is_empty(), "something was pushed\n{run}");
        assert!(!format!("{run}").contains("canary"), "{run}");
        mirror(&told, "acme/alpha")["destinations"][0]["failure"].clone()
    }
}

/// Asserts reason and words of a failure; words may stand anywhere in it.
#[track_caller]
fn assert_says(failure: &Value, reason: &str, words: &[&str]) {
    assert_eq!(failure["reason"], reason, "{failure:#}");
    for part in words {
        assert!(failure.to_string().contains(part), "no `{part}` in {failure:#}");
    }
}

#[tokio::test]
async fn an_empty_repository_gets_heads_and_tags_with_the_users_own_key() {
    let wire = Wire::new(&json!({})).await;
    wire.sshd.trust(&wire.env);
    wire.arrives().await;
    wire.alpha.commit("trunk", "more").delete("dev").force("trunk");
    wire.arrives().await;
}

#[tokio::test]
async fn a_repository_that_is_not_there_is_named_with_the_way_out() {
    let wire = Wire::new(&json!({})).await;
    wire.sshd.trust(&wire.env);
    fs::remove_dir_all(wire.there.git_dir("acme/alpha")).unwrap();
    let told = wire.program().run().await.assert_code(3).json();
    let failure = &mirror(&told, "acme/alpha")["destinations"][0]["failure"];
    assert_says(failure, "remote_not_found", &["git init --bare"]);
}

#[tokio::test]
async fn a_key_file_opens_the_door_that_the_users_own_keys_do_not() {
    let wire = Wire::new(&json!({})).await;
    wire.sshd.trust_without_key(&wire.env, true);
    assert_says(&wire.fails().await, "auth_failed", &["agent"]);
    // A name that the shell and ssh would both read something into.
    let key = wire.sshd.key(&wire.env, "it's 100% a key", "").await;
    wire.configure(&json!({"key_file": key}));
    wire.arrives().await;
}

#[tokio::test]
async fn an_encrypted_key_is_opened_by_a_passphrase_from_anywhere() {
    let env_file_command = [
        json!({"env": "KEY_WORDS"}),
        json!({"file": "words"}),
        json!({"command": "printf 'open+canary/3369 sesame\\n'"}),
    ];
    for passphrase in env_file_command {
        let wire = Wire::new(&json!({})).await;
        wire.sshd.trust_without_key(&wire.env, true);
        wire.env.file("words", format!("{PASSPHRASE}\n"));
        let key = wire.sshd.key(&wire.env, "key", PASSPHRASE).await;
        wire.configure(&json!({"key_file": key, "passphrase": passphrase}));
        let run = wire.program().env("KEY_WORDS", PASSPHRASE).env("HOLOCRON_LOG", "debug").run().await;
        run.assert_code(0);
        wire.env.assert_pushed(&wire.alpha, &wire.there.find("acme/alpha").unwrap());
        assert!(!format!("{run}").contains("canary"), "{run}");
    }
}

#[tokio::test]
async fn an_encrypted_key_a_wrong_passphrase_and_a_refused_key_are_told_apart() {
    let wire = Wire::new(&json!({})).await;
    wire.sshd.trust_without_key(&wire.env, true);
    let key = wire.sshd.key(&wire.env, "key", PASSPHRASE).await;
    wire.configure(&json!({"key_file": key}));
    assert_says(&wire.fails().await, "auth_failed", &["is encrypted, and no passphrase", "ssh.passphrase", "agent"]);

    wire.env.file("words", "canary of another key\n");
    wire.configure(&json!({"key_file": key, "passphrase": {"file": "words"}}));
    assert_says(&wire.fails().await, "auth_failed", &["the passphrase does not open the key"]);

    let other = wire.sshd.other_key(&wire.env);
    wire.configure(&json!({"key_file": other}));
    assert_says(&wire.fails().await, "auth_failed", &["does not take the key", "other_key.pub"]);

    wire.env.file("no-key", "canary\n");
    wire.configure(&json!({"key_file": "no-key"}));
    assert_says(&wire.fails().await, "auth_failed", &["cannot be used"]);

    wire.configure(&json!({"key_file": "gone"}));
    assert_says(&wire.fails().await, "local_failed", &["cannot read the key"]);
}

#[tokio::test]
async fn a_host_never_seen_is_refused_or_remembered_and_a_changed_one_is_refused() {
    let wire = Wire::new(&json!({})).await;
    let key = wire.sshd.key(&wire.env, "key", "").await;
    wire.sshd.trust_without_key(&wire.env, false);
    wire.configure(&json!({"key_file": key}));
    assert_says(&wire.fails().await, "host_key_failed", &["accept-new"]);

    wire.configure(&json!({"key_file": key, "known_hosts": "accept-new"}));
    wire.arrives().await;
    let known = fs::read_to_string(wire.env.home().join("known_hosts")).unwrap();
    assert!(known.contains("127.0.0.1"), "{known}");
    wire.configure(&json!({"key_file": key, "known_hosts": "strict"}));
    wire.alpha.commit("trunk", "more");
    wire.arrives().await;

    wire.sshd.trust_another_host_key(&wire.env);
    wire.configure(&json!({"key_file": key, "known_hosts": "accept-new"}));
    wire.alpha.commit("trunk", "still more");
    let told = wire.program().run().await.assert_code(3).json();
    let failure = &mirror(&told, "acme/alpha")["destinations"][0]["failure"];
    assert_says(failure, "host_key_failed", &["compare the host key"]);
}

#[tokio::test]
async fn the_passphrase_is_in_no_argument_and_no_environment_of_git() {
    let wire = Wire::new(&json!({})).await;
    wire.sshd.trust_without_key(&wire.env, true);
    let key = wire.sshd.key(&wire.env, "key", PASSPHRASE).await;
    wire.configure(&json!({"key_file": key, "passphrase": {"env": "KEY_WORDS"}}));
    let git = crate::support::RecordingGit::install(&wire.env);
    wire.program().env("KEY_WORDS", PASSPHRASE).run().await.assert_code(0);
    assert!(git.calls().iter().any(|call| call.mentions("push")));
    for call in git.calls() {
        assert!(!call.mentions("canary"), "{call:?}");
    }
}

#[tokio::test]
async fn a_passphrase_without_its_key_is_refused_before_anything_runs() {
    let wire = Wire::new(&json!({"passphrase": {"env": "KEY_WORDS"}})).await;
    let run = wire.program().env("KEY_WORDS", PASSPHRASE).run().await;
    assert!(run.assert_code(2).stderr.contains("needs `ssh.key_file`"), "{run}");
}
