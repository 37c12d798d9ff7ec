//! What a push costs: two requests, and one process where there is something to send.

use serde_json::json;

use super::Day;
use crate::destinations::{Pair, THERE_TOKEN};
use crate::support::{Dialect, Kind, RecordingGit, Service};

impl Day {
    fn services(&self) -> Vec<Service> {
        let service = |request: crate::support::Request| match request.kind {
            Kind::Git { service, .. } => Some(service),
            _ => None,
        };
        self.forge.git_requests("acme/ours").into_iter().filter_map(service).collect()
    }
}

#[tokio::test]
async fn a_push_is_a_question_and_an_answer_and_one_pack_objects() {
    let day = Day::new().await;
    let once = [Service::PushAdvertisement, Service::Push];
    let push = async || day.one(&day.both.auto, &day.ours, &day.edits(&day.ours)).await.unwrap();
    push().await;
    assert_eq!((day.services(), day.verbs()), (once.to_vec(), vec!["pack-objects".to_owned()]));
    day.source.commit("main", "more");
    push().await;
    assert_eq!(day.verbs().len(), 2, "{:?}", day.verbs());
    day.both.env.assert_pushed(&day.source, &day.ours);
    // Nothing to send: deletions, and refs to what is there.
    day.forge.reset_log();
    day.source.batch(|b| b.delete("old"));
    push().await;
    day.source.batch(|b| b.point("again", "main").delete("dev"));
    push().await;
    assert_eq!((day.services(), day.verbs().len()), ([once, once].concat(), 2));
    day.both.env.assert_pushed(&day.source, &day.ours);
}

#[tokio::test]
async fn a_connection_is_kept_from_push_to_push() {
    let day = Day::new().await;
    for number in 0..5 {
        day.source.commit("main", &format!("commit {number}"));
        day.one(&day.both.auto, &day.ours, &day.edits(&day.ours)).await.unwrap();
    }
    let peers: std::collections::BTreeSet<_> =
        day.forge.git_requests("acme/ours").into_iter().map(|request| request.peer.unwrap()).collect();
    assert_eq!(peers.len(), 1, "{peers:?}");
}

#[tokio::test]
async fn only_what_is_new_is_sent() {
    let day = Day::new().await;
    day.source.commit_file("main", "large", &crate::support::noise(200_000));
    Day::agreed(day.push().await);
    day.forge.reset_log();
    day.source.commit("main", "small");
    Day::agreed(day.push().await);
    let push = day.forge.git_requests("acme/ours").pop().unwrap();
    let length: usize = push.header("content-length").unwrap().parse().unwrap();
    assert!(length < 2_000, "{length}");
}

#[tokio::test]
async fn a_first_run_to_a_second_forge_is_four_requests_and_a_process_each() {
    let pair = Pair::with(Dialect::Gitea, &json!({})).await;
    let names = (0..10).map(|number| format!("acme/r{number}"));
    let repos: Vec<_> = names.map(|name| pair.source.repo(&name).branch("main").branch("dev").tag("v1")).collect();
    let run = |args: &[&str]| pair.program(args).env("HOLOCRON_TRANSPORT", "auto").run();
    crate::net::report(&pair.program(&["--backup-only"]).run().await, 0);
    let git = RecordingGit::install(&pair.env);
    let told = run(&["--concurrency", "2"]).await;
    crate::net::report(&told, 0);
    let verbs: Vec<_> = git.calls().iter().map(|call| call.args.join(" ")).collect();
    assert!(verbs.iter().all(|verb| verb.contains("pack-objects")), "{verbs:#?}");
    assert_eq!(verbs.len(), repos.len());
    for repo in &repos {
        let name = repo.full_name().replace("acme/", "copies/");
        pair.env.assert_pushed(repo, &pair.there.find(&name).unwrap());
        // The abilities of the server are asked for by whoever comes first.
        let requests = pair.there.git_requests(&name).len();
        assert!((4..=5).contains(&requests), "{name}: {requests}");
        assert_eq!(pair.pushes_made(&name), 1);
    }
}

#[tokio::test]
async fn no_token_is_told_whatever_the_server_says() {
    let pair = Pair::with(Dialect::Gitea, &json!({})).await;
    let alpha = pair.source.repo("acme/alpha").branch("main");
    pair.run(&[], 0).await;
    alpha.commit("main", "more");
    pair.copy().hook(
        "pre-receive",
        &format!("#!/bin/sh\necho 'You are not allowed to push {THERE_TOKEN} to this project' >&2\nexit 1\n"),
    );
    for args in [&["--window", "0"][..], &["--window", "0", "-vv"]] {
        let program = pair.env.holocron(args.iter().copied()).env("HOLOCRON_TRANSPORT", "auto");
        let run = program.env("FROM", crate::destinations::SOURCE_TOKEN).env("TO", THERE_TOKEN).run().await;
        run.assert_code(3);
        assert!(run.stdout.contains("You are not allowed"), "{run}");
        assert!(!run.stdout.contains(THERE_TOKEN) && !run.stderr.contains(THERE_TOKEN), "{run}");
    }
}
