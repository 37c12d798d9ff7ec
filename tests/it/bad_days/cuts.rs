//! Connections that end in the middle, at many places.

use serde_json::json;

use super::Day;
use crate::net::{github, mirror, on_disk, report, verdicts};
use crate::support::{Fault, Forge, Service, TestEnv, noise};

/// What a run must not say of a mirror whose connection was cut.
const GOOD: [&str; 4] = ["cloned", "updated", "current", "empty"];

#[tokio::test]
async fn a_cut_anywhere_in_an_update_costs_nothing_and_the_next_run_heals() {
    let day = Day::new().await;
    let headers = [0, 1, 12, 17, 30, 60, 100].map(Fault::cut_after);
    let bodies = [0, 1, 4, 30, 150, 300].map(Fault::cut_in_body);
    let resets = [0, 40, 200].map(Fault::reset_after);
    let mut cases = Vec::new();
    for fault in headers.iter().chain(&bodies).chain(&resets) {
        for service in [Service::Advertisement, Service::ListRefs, Service::FetchPack] {
            cases.push(fault.clone().on_git("acme/alpha").service(service));
        }
    }
    for bytes in [1_000, 5_000, 10_000, 19_000, 20_100] {
        cases.push(Fault::cut_in_body(bytes).on_git("acme/alpha").service(Service::FetchPack));
    }
    // Each in a storage of its own, side by side: a run that tries again waits for seconds.
    let runs = cases.into_iter().map(|fault| async {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let alpha = forge.repo("acme/alpha").private();
        alpha.batch(|b| b.branch("main").branch("old").tag("v1"));
        report(&github(&env, &forge, []).run().await, 0);
        alpha.batch(|b| b.commit_file("main", "big", &noise(20_000)).branch("new"));
        let before = on_disk(&env);
        let shown = format!("{fault:?}");
        forge.fault(fault);
        let run = github(&env, &forge, []).run().await;
        let told = report(&run, 3);
        let told = mirror(&told, "acme/alpha");
        assert!(!GOOD.contains(&told["verdict"].as_str().unwrap()), "{shown}: {told:#}");
        let reason = told["failure"]["reason"].as_str().unwrap();
        assert!(["network_failed", "server_error", "held"].contains(&reason), "{shown}: {told:#}");
        assert_eq!(on_disk(&env), before, "{shown}");
        forge.heal();
        report(&github(&env, &forge, []).run().await, 0);
        env.assert_mirrored(&alpha);
    });
    futures_util::future::join_all(runs).await;
    day.heals().await;
}

#[tokio::test]
async fn a_cut_anywhere_in_a_first_clone_is_no_success_and_leaves_nothing() {
    let mut cases: Vec<Fault> =
        [0, 17, 30, 100].map(Fault::cut_after).into_iter().map(|f| f.on_git("acme/alpha")).collect();
    for service in [Service::Advertisement, Service::ListRefs, Service::FetchPack] {
        cases.extend([0, 4, 30, 200].map(|bytes| Fault::cut_in_body(bytes).on_git("acme/alpha").service(service)));
    }
    cases.push(Fault::cut_in_body(10_000).on_git("acme/alpha").service(Service::FetchPack));
    let runs = cases.into_iter().map(|fault| async {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let alpha = forge.repo("acme/alpha").branch("main").commit_file("main", "big", &noise(20_000));
        let shown = format!("{fault:?}");
        forge.fault(fault);
        let told = report(&github(&env, &forge, []).run().await, 3);
        assert_eq!(verdicts(&told), ["acme/alpha failed"], "{shown}");
        assert_eq!(on_disk(&env).len(), 0, "{shown}");
        assert_eq!(std::fs::read_dir(env.storage().join(".holocron/tmp")).unwrap().count(), 0, "{shown}");
        forge.heal();
        assert_eq!(verdicts(&report(&github(&env, &forge, []).run().await, 0)), ["acme/alpha cloned"]);
        env.assert_mirrored(&alpha);
    });
    futures_util::future::join_all(runs).await;
}

#[tokio::test]
async fn a_cut_once_is_tried_again_in_the_same_run_and_said() {
    let day = Day::new().await;
    let once = Fault::cut_in_body(10_000).on_git("acme/alpha").service(Service::FetchPack).once();
    day.forge.fault(once);
    let run = github(&day.env, &day.forge, []).run().await;
    assert_eq!(verdicts(&report(&run, 0)), ["acme/alpha updated"]);
    assert!(run.stderr.contains("network_failed"), "the second try is not announced: {run}");
    day.env.assert_mirrored(&day.alpha);
}

#[tokio::test]
async fn a_listing_that_is_cut_fails_its_source() {
    let day = Day::new().await;
    for fault in [Fault::cut_after(0), Fault::cut_in_headers(), Fault::cut_in_body(100), Fault::reset_after(40)] {
        let shown = format!("{fault:?}");
        day.forge.heal();
        day.forge.fault(fault.on_api(""));
        day.forge.reset_log();
        let told = report(&github(&day.env, &day.forge, []).run().await, 3);
        assert_eq!(told["source_failures"][0]["failure"]["reason"], json!("network_failed"), "{shown}: {told:#}");
        assert_eq!(told["mirrors"], json!([]), "{shown}");
        assert_eq!((on_disk(&day.env), day.forge.git_requests("acme/alpha").len()), (day.before.clone(), 0), "{shown}");
    }
    day.heals().await;
}
