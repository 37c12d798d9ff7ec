//! A whole life with tokens that are searched for everywhere afterwards.

use std::fs;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::leaks::{Canaries, echoed};
use crate::net::on_disk;
use crate::support::{Fault, Forge, Program, RecordingGit, Repo, Service, TestEnv, until};

/// One token for each kind of forge, with characters that URLs encode.
const TOKENS: [&str; 3] = ["canary+hub/4711=0815.abcdef", "canary+lab/2342=1701.ghijkl", "canary+tea/9000=1138.mnopqr"];

fn canaries() -> Canaries {
    Canaries::new(&TOKENS)
}

struct Life {
    env: TestEnv,
    forges: [Forge; 3],
    betas: Vec<Repo>,
    git: RecordingGit,
}

impl Life {
    async fn begin() -> Self {
        let env = TestEnv::new();
        let forges = [Forge::start().await, Forge::start().await, Forge::start().await];
        for (forge, token) in forges.iter().zip(TOKENS) {
            forge.accept_token("alice", token);
            forge.repo("acme/alpha").private().branch("main").branch("old");
        }
        let betas = forges.iter().map(|forge| forge.repo("acme/beta").private().branch("main")).collect();
        let git = RecordingGit::install(&env);
        Life { env, forges, betas, git }
    }

    fn program(&self, args: &[&str]) -> Program {
        let [hub, lab, tea] = &self.forges;
        let run = self.env.holocron(args.iter().copied()).github(hub).gitlab(lab).gitea(tea).arg("--backup-only");
        run.env("GITHUB_TOKEN", TOKENS[0]).env("GITLAB_TOKEN", TOKENS[1]).env("GITEA_TOKEN", TOKENS[2])
    }

    async fn run(&self, args: &[&str], code: i32) {
        let run = self.program(args).run().await;
        canaries().assert_run(&format!("{args:?}"), &run);
        run.assert_code(code);
    }

    /// Answers as hostile as can be: each echoes the token, in every form.
    fn echo(&self) {
        for (forge, token) in self.forges.iter().zip(TOKENS) {
            let words = echoed(token);
            forge.fault(Fault::status(403).body(format!("{words}\n")).on_git("acme/alpha"));
            forge.fault(Fault::status(500).body(format!("{words}\n")).on_git("acme/beta").service(Service::FetchPack));
            // Git shows this one as its own words: `fatal: remote error: …`.
            let packet = |text: &str| format!("{:04x}{text}", text.len() + 4);
            let body = packet("# service=git-upload-pack\n") + "0000" + &packet(&format!("ERR {words}"));
            forge.fault(Fault::status(200).with_git_type().body(body).on_git("acme/gamma"));
        }
    }

    fn assert_clean(&self) {
        // Storage (mirrors, store, report), settings, leftovers.
        let files = [self.env.work(), self.env.home(), self.env.tmp()].map(|folder| canaries().assert_folder(&folder));
        assert!(files[0] > 30, "{files:?}: the search has missed the storage");
        let calls = canaries().assert_git(&self.git);
        assert!(calls > 6, "{calls} calls of git");
    }
}

#[tokio::test]
async fn no_token_is_left_anywhere_by_a_whole_life() {
    let life = Life::begin().await;
    // A store of the Python Holocron, which wrote its token down, to be adopted.
    let old = life.forges[0].repo("acme/legacy").private().branch("main");
    let url = old.url_with(&utf8_percent_encode(TOKENS[0], NON_ALPHANUMERIC).to_string());
    let storage = life.env.storage();
    fs::create_dir_all(&storage).unwrap();
    let clone = life.env.git(["clone", "-q", "--mirror", &url]).arg(storage.join("legacy.git"));
    clone.env("PATH", std::env::var_os("PATH").unwrap()).run().await.assert_code(0);

    life.run(&["-vv"], 0).await;
    assert_eq!(on_disk(&life.env).len(), 7);
    life.assert_clean();

    for forge in &life.forges {
        forge.repo("acme/gamma").private().branch("main");
        forge.fault(Fault::status(503).on_api("").once());
    }
    life.run(&["--json", "--report", "report.json", "--full"], 0).await;
    life.run(&["--dry-run", "--full", "-vv"], 0).await;

    // Something to fetch, so that every request is made.
    life.betas.iter().for_each(|beta| _ = beta.commit("main", "more"));
    life.echo();
    life.run(&["-vv", "--full", "--report", "failing.json"], 3).await;
    life.run(&["--json", "--full"], 3).await;
    life.run(&["--quiet", "--full"], 3).await;
    let told = |file: &str| fs::read_to_string(life.env.work().join(file)).unwrap();
    assert!(told("failing.json").contains("you sent ***"), "{}", told("failing.json"));

    for forge in &life.forges {
        forge.heal();
        let words = TOKENS.map(echoed).join(" ");
        forge.fault(Fault::status(401).json(&json!({ "message": words })).on_api(""));
    }
    life.run(&["-vv", "--report", "refused.json"], 3).await;
    assert!(told("refused.json").contains("you sent ***"), "{}", told("refused.json"));
    for args in [&["status"][..], &["status", "--json"], &["config", "show"], &["config", "check"]] {
        let mut run = life.env.holocron(args.iter().copied());
        for (name, token) in ["GITHUB_TOKEN", "GITLAB_TOKEN", "GITEA_TOKEN"].iter().zip(TOKENS) {
            run = run.env(*name, token);
        }
        canaries().assert_run(&format!("{args:?}"), &run.run().await);
    }
    life.assert_clean();
}

#[tokio::test]
async fn no_token_stands_in_the_arguments_of_any_process_while_git_works() {
    let life = Life::begin().await;
    for forge in &life.forges {
        forge.fault(Fault::stall_in_body(100).on_any_git().service(Service::FetchPack));
    }
    let running = life.program(&["--json"]).spawn();
    for forge in &life.forges {
        forge.until(|request| format!("{:?}", request.kind).contains("FetchPack")).await;
    }
    until("three gits are at work", || running.children().len() >= 3).await;
    let mut seen = 0;
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        // It may have ended meanwhile.
        let Ok(line) = fs::read(path.join("cmdline")) else { continue };
        let has = |word: &[u8]| line.windows(word.len()).any(|part| part == word);
        seen += usize::from(has(b"git-remote-http") || has(b"index-pack") || line.starts_with(b"git"));
        canaries().assert_absent(&path.display().to_string(), &line);
    }
    assert!(seen >= 3, "the search has missed git's own children");
    assert!(canaries().assert_folder(&life.env.storage()) > 0);
    running.signal_group(rustix::process::Signal::TERM);
    let run = running.wait().await;
    canaries().assert_run("a stopped run", &run);
    canaries().assert_git(&life.git);
}

#[tokio::test]
async fn a_clone_url_with_the_token_in_it_loses_it() {
    let life = Life::begin().await;
    let [hub, ..] = &life.forges;
    let repo = hub.repo("acme/open").private().branch("main");
    let encoded = utf8_percent_encode(TOKENS[0], NON_ALPHANUMERIC).to_string();
    repo.clone_url(&repo.url_with(&encoded));
    life.run(&["-vv"], 0).await;
    life.env.assert_mirrored(&repo);
    life.assert_clean();
}
