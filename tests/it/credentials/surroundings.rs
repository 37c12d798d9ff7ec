//! The user's own settings of git: helpers, rewrites, hooks and checks of theirs change nothing here.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::net::{assert_failed, github, mirror, report};
use crate::support::{Forge, RecordingGit, Repo, TestEnv};

/// Clones, updates and deletes under these settings, and asserts that the mirror follows.
async fn follows(env: &TestEnv, forge: &Forge, alpha: &Repo) {
    report(&github(env, forge, []).run().await, 0);
    env.assert_mirrored(alpha);
    alpha.batch(|b| b.commit("main", "more").branch("new").delete("old").force("wild"));
    report(&github(env, forge, []).run().await, 0);
    env.assert_mirrored(alpha);
}

async fn private() -> (TestEnv, Forge, Repo) {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").private();
    alpha.batch(|b| b.branch("main").branch("old").branch("wild").tag("v1"));
    (env, forge, alpha)
}

#[tokio::test]
async fn a_credential_helper_is_neither_asked_nor_told() {
    let (env, forge, alpha) = private().await;
    let stored = format!("{}\n", forge.url().replacen("://", "://alice:stale-password@", 1));
    let file = env.home().join(".git-credentials");
    std::fs::write(&file, &stored).unwrap();
    let helper = env.script("helper", "#!/bin/sh\necho \"$@\" >> \"$HOME/asked\"\ncat >> \"$HOME/asked\"\n");
    env.global_git_config(&format!(
        "[credential]\n\thelper = store\n\thelper = {helper}\n[credential \"{url}\"]\n\thelper = {helper}\n\tusername = bob\n",
        helper = helper.display(),
        url = forge.url(),
    ));
    follows(&env, &forge, &alpha).await;
    // Also when the token is refused: git would have every helper erase its entry.
    alpha.commit("main", "again");
    forge.fault(crate::support::Fault::status(401).header("www-authenticate", "Basic realm=x").on_any_git());
    assert_failed(&report(&github(&env, &forge, []).run().await, 3), "acme/alpha", "auth_failed");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), stored);
    assert!(!env.home().join("asked").exists());
}

#[tokio::test]
async fn a_rewrite_of_urls_does_not_lead_elsewhere() {
    let (env, forge, alpha) = private().await;
    let evil = Forge::start().await;
    evil.accept_token("alice", &forge.token());
    evil.repo("acme/alpha").branch("evil");
    env.global_git_config(&format!(
        "[url \"{evil}/\"]\n\tinsteadOf = {here}/\n[url \"{evil}/acme\"]\n\tinsteadOf = {here}/acme\n[url \"{evil}/\"]\n\tinsteadOf = http\n",
        evil = evil.url(),
        here = forge.url(),
    ));
    follows(&env, &forge, &alpha).await;
    assert_eq!(evil.requests().len(), 0);
}

#[tokio::test]
async fn hooks_of_the_user_do_not_run() {
    let (env, forge, alpha) = private().await;
    let hooks = env.home().join("hooks");
    std::fs::create_dir(&hooks).unwrap();
    let hook = env.script("hook", "#!/bin/sh\necho ran >> \"$HOME/ran\"\nexit 1\n");
    for name in ["reference-transaction", "post-checkout", "pre-auto-gc", "update", "post-update", "pre-push"] {
        std::os::unix::fs::symlink(&hook, hooks.join(name)).unwrap();
    }
    let template = env.home().join("template");
    std::fs::create_dir_all(&template).unwrap();
    std::os::unix::fs::symlink(&hooks, template.join("hooks")).unwrap();
    env.global_git_config(&format!(
        "[core]\n\thooksPath = {}\n[init]\n\ttemplateDir = {}\n",
        hooks.display(),
        template.display()
    ));
    follows(&env, &forge, &alpha).await;
    assert!(!env.home().join("ran").exists());
    assert!(!env.mirror_of(&alpha).join("hooks").exists());
}

#[tokio::test]
async fn preferences_of_the_user_change_nothing() {
    let settings = [
        "[fetch]\n\tprune = false\n\tpruneTags = true\n\tparallel = 7\n[remote]\n\tpushDefault = x\n",
        "[fetch]\n\tprune = true\n\trecurseSubmodules = true\n[submodule]\n\trecurse = true\n[gc]\n\tauto = 1\n",
        "[core]\n\taskPass = /bin/false\n\tbare = false\n\tlogAllRefUpdates = always\n[color]\n\tui = always\n",
        "[http]\n\tuserAgent = x\n[init]\n\tdefaultBranch = other\n\tdefaultRefFormat = reftable\n[log]\n\tshowSignature = true\n",
        "[protocol]\n\tversion = 0\n[clone]\n\tdefaultRemoteName = elsewhere\n[push]\n\tdefault = nothing\n",
        "[transfer]\n\thideRefs = refs/heads/new\n[receive]\n\tdenyDeletes = true\n[safe]\n\tbareRepository = explicit\n",
    ];
    let runs = settings.map(|text| async move {
        let (env, forge, alpha) = private().await;
        env.global_git_config(text);
        follows(&env, &forge, &alpha).await;
    });
    futures_util::future::join_all(runs).await;
}

#[tokio::test]
async fn an_environment_made_for_git_changes_nothing() {
    let (env, forge, alpha) = private().await;
    let elsewhere = env.bare_repo("elsewhere.git").branch("main");
    let before = elsewhere.refs();
    let askpass = env.script("askpass", "#!/bin/sh\necho \"$@\" >> \"$HOME/asked\"\necho wrong\n");
    for round in 0..2 {
        let run = github(&env, &forge, [])
            .env("GIT_DIR", elsewhere.git_dir())
            .env("GIT_WORK_TREE", env.work())
            .env("GIT_INDEX_FILE", env.work().join("index"))
            .env("GIT_OBJECT_DIRECTORY", elsewhere.git_dir().join("objects"))
            .env("GIT_NAMESPACE", "ns")
            .env("GIT_ASKPASS", &askpass)
            .env("SSH_ASKPASS", &askpass)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("GIT_TRACE_CURL", env.home().join("trace"))
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "fetch.prune")
            .env("GIT_CONFIG_VALUE_0", "true")
            .env("GIT_CONFIG_PARAMETERS", "'fetch.prune=true'")
            .env("LANGUAGE", "de")
            .env("LC_ALL", "C.UTF-8");
        report(&run.run().await, 0);
        env.assert_mirrored(&alpha);
        if round == 0 {
            alpha.batch(|b| b.commit("main", "more").delete("old"));
        }
    }
    assert_eq!(elsewhere.refs(), before);
    assert!(!env.home().join("asked").exists() && !env.home().join("trace").exists());
}

/// Runs git in the source repository; returns what it printed.
fn git(repo: &Repo, args: &[&str], input: &[u8]) -> String {
    let mut git = Command::new("git");
    git.arg("--git-dir").arg(repo.git_dir()).args(args).stdin(Stdio::piped()).stdout(Stdio::piped());
    git.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null")]);
    git.envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_NAME"), "Test")));
    git.envs(["AUTHOR", "COMMITTER"].map(|who| (format!("GIT_{who}_EMAIL"), "test@example.test")));
    let mut child = git.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {args:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn sins_of_old_are_mirrored_although_the_user_checks_what_he_fetches() {
    let (env, forge, alpha) = private().await;
    // A mode with a leading zero, as tools of 2008 wrote it.
    let blob = git(&alpha, &["hash-object", "-w", "--stdin"], b"old\n");
    let id = (0..20).map(|n| u8::from_str_radix(&blob[2 * n..2 * n + 2], 16).unwrap());
    let tree: Vec<u8> = b"0100644 file\0".iter().copied().chain(id).collect();
    let tree = git(&alpha, &["hash-object", "-t", "tree", "--literally", "-w", "--stdin"], &tree);
    let commit = git(&alpha, &["commit-tree", &tree, "-m", "old"], b"");
    git(&alpha, &["update-ref", "refs/heads/sin", &commit], b"");
    env.global_git_config(
        "[transfer]\n\tfsckObjects = true\n[fetch]\n\tfsckObjects = true\n[receive]\n\tfsckObjects = true\n",
    );
    report(&github(&env, &forge, []).run().await, 0);
    env.assert_mirrored(&alpha);
    let second = git(&alpha, &["commit-tree", &tree, "-p", &commit, "-m", "again"], b"");
    git(&alpha, &["update-ref", "refs/heads/sin", &second], b"");
    alpha.push_now();
    let told = report(&github(&env, &forge, []).run().await, 0);
    assert_eq!(mirror(&told, "acme/alpha")["verdict"], "updated");
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn variables_that_hold_tokens_do_not_reach_git() {
    let (env, forge, alpha) = private().await;
    let text =
        format!("sources:\n  - kind: github\n    api_url: {}\n    token: {{env: TOKEN_OF_MINE}}\n", forge.github_api());
    env.file("holocron.yaml", text);
    let git = RecordingGit::install(&env);
    let mut program = env.holocron(["--json"]).env("TOKEN_OF_MINE", forge.token()).env("UNRELATED", "stays");
    for name in ["GITHUB_TOKEN", "GITLAB_TOKEN", "GITEA_TOKEN", "FORGEJO_TOKEN", "CODEBERG_TOKEN"] {
        program = program.env(name, "canary-that-nobody-uses");
    }
    program.run().await.assert_code(0);
    env.assert_mirrored(&alpha);
    assert!(!git.calls().is_empty());
    for call in git.calls() {
        assert!(!call.mentions(&forge.token()) && !call.mentions("canary-that-nobody-uses"), "{call:?}");
        assert_eq!(call.env.get("UNRELATED").map(String::as_str), Some("stays"));
    }
}
