//! What a look costs: no process, and no connection of its own.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use holocron::base::url::RemoteUrl;
use holocron::git::Remote;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::Both;
use crate::destinations::Pair;
use crate::net::{github, report, verdicts};
use crate::support::{Dialect, Forge, Kind, RecordingGit, Service, TestEnv};

#[tokio::test]
async fn a_full_run_over_unchanged_mirrors_starts_no_git() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let repos =
        ["a", "b", "c"].map(|name| forge.repo(&format!("acme/{name}")).private().branch("main").annotated_tag("v1"));
    forge.repo("acme/many").batch(|batch| batch.branch("main").many_refs(5_000));
    forge.repo("acme/empty");
    let run = || github(&env, &forge, ["--full"]).env("HOLOCRON_TRANSPORT", "auto");
    report(&run().run().await, 0);
    repos[1].commit("main", "so that a ref is loose and a second pack is there");
    report(&run().run().await, 0);
    let git = RecordingGit::install(&env);
    forge.reset_log();
    let told = report(&run().run().await, 0);
    let current =
        ["a current", "b current", "c current", "empty empty", "many current"].map(|name| format!("acme/{name}"));
    let mut seen = verdicts(&told);
    seen.sort();
    assert_eq!(seen, current);
    assert!(git.calls().is_empty(), "{:?}", git.calls());
    assert_eq!(forge.git_count(Service::ListRefs), 5, "each was looked at");
    // And what it saw was worth as much as ever.
    repos[0].silently().commit("main", "unseen").force("main");
    assert!(verdicts(&report(&run().run().await, 0)).contains(&"acme/a updated".to_owned()));
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
    assert!(!git.calls().is_empty());
}

#[tokio::test]
async fn a_full_run_costs_one_request_each_over_a_connection_per_place() {
    for forge in [Forge::start().await, Forge::start_tls().await] {
        let env = TestEnv::new();
        let names = (0..20).map(|number| format!("acme/r{number}"));
        let repos: Vec<_> = names.map(|name| forge.repo(&name).private().branch("main")).collect();
        let trust = match forge.url().starts_with("https") {
            true => format!("    ca_file: {}\n", forge.ca_file().display()),
            false => String::new(),
        };
        let source = format!("    api_url: {}\n    token: {{env: MY_TOKEN}}\n{trust}", forge.github_api());
        env.file("holocron.yaml", format!("sources:\n  - kind: github\n{source}"));
        let run = || {
            let run = env.holocron(["--backup-only", "--json", "--full", "--concurrency", "4"]);
            run.env("MY_TOKEN", forge.token()).env("HOLOCRON_TRANSPORT", "auto")
        };
        report(&run().run().await, 0);
        let git = RecordingGit::install(&env);
        forge.reset_log();
        let told = report(&run().run().await, 0);
        assert_eq!(told["totals"]["current"], repos.len());
        assert_eq!(told["totals"]["looks"], json!({"direct": repos.len(), "git": 0}));
        assert!(git.calls().is_empty(), "{:?}", git.calls());
        assert_eq!(forge.git_count(Service::ListRefs), repos.len());
        // Only those that begin before any other has come back ask what the server can do.
        assert!((1..=4).contains(&forge.git_count(Service::Advertisement)));
        let asked: Vec<_> =
            forge.requests().into_iter().filter(|request| matches!(request.kind, Kind::Git { .. })).collect();
        assert!(asked.iter().all(|request| request.status == Some(200)));
        let connections: BTreeSet<_> = asked.iter().map(|request| request.peer.unwrap()).collect();
        assert!((1..=4).contains(&connections.len()), "{connections:?}");
    }
}

#[tokio::test]
async fn what_was_left_to_git_is_counted() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    report(&github(&env, &forge, []).run().await, 0);
    env.global_git_config("[http]\n\textraHeader = x: y\n");
    let told = report(&github(&env, &forge, ["--full"]).env("HOLOCRON_TRANSPORT", "auto").run().await, 0);
    assert_eq!(told["totals"]["looks"], json!({"direct": 0, "git": 1}));
}

#[tokio::test]
async fn by_git_the_same_run_is_gits() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    let run = || github(&env, &forge, ["--full", "--transport", "git"]);
    report(&run().run().await, 0);
    let git = RecordingGit::install(&env);
    report(&run().run().await, 0);
    for verb in ["ls-remote", "for-each-ref"] {
        assert_eq!(git.calls().iter().filter(|call| call.args.iter().any(|arg| arg == verb)).count(), 1, "{verb}");
    }
}

#[tokio::test]
async fn a_full_run_over_destinations_in_step_starts_no_git() {
    for divergence in ["force", "keep"] {
        let pair = Pair::with(Dialect::Gitea, &json!({"divergence": divergence})).await;
        pair.source.repo("acme/alpha").branch("main").branch("dev").annotated_tag("v1");
        pair.run(&[], 0).await;
        let git = RecordingGit::install(&pair.env);
        pair.there.reset_log();
        report(&pair.program(&["--full"]).env("HOLOCRON_TRANSPORT", "auto").run().await, 0);
        assert!(git.calls().is_empty(), "{divergence}: {:?}", git.calls());
        assert_eq!(pair.there.git_count(Service::ListRefs), 1);
    }
}

/// A server that answers every request with the same refs, and counts who comes.
async fn server() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let came = Arc::new(AtomicUsize::default());
    let counter = came.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let line = format!("{} refs/heads/main\0agent=x\n", "a".repeat(40));
                let body = format!("001e# service=git-upload-pack\n0000{:04x}{line}0000", line.len() + 4);
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/x-git-upload-pack-advertisement\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
                let (mut seen, mut chunk) = (Vec::new(), [0; 1024]);
                while let Ok(read @ 1..) = socket.read(&mut chunk).await {
                    seen.extend_from_slice(&chunk[..read]);
                    if seen.ends_with(b"\r\n\r\n") {
                        seen.clear();
                        if socket.write_all(answer.as_bytes()).await.is_err() {
                            break;
                        }
                    }
                }
            });
        }
    });
    (url, came)
}

#[tokio::test]
async fn one_connection_serves_one_look_after_the_other() {
    let (url, came) = server().await;
    let both = Both::new();
    for number in 0..20 {
        let remote = Remote::plain(RemoteUrl::parse(&format!("{url}/acme/r{number}.git")).unwrap());
        assert_eq!(both.auto.ls_remote(&remote).await.unwrap().refs.len(), 1);
    }
    assert_eq!(came.load(Ordering::SeqCst), 1);
}
