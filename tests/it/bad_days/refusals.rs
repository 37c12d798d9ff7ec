//! What git is told by a status: each leads to its reason, and the mirror stays as it was.

use super::Day;
use crate::net::{assert_failed, github, on_disk, report, verdicts};
use crate::support::{Fault, Forge, Service, TestEnv};

fn status(code: u16) -> Fault {
    Fault::status(code).on_git("acme/alpha")
}

#[tokio::test]
async fn each_status_has_its_reason_and_the_mirror_stays() {
    let day = Day::new().await;
    for (code, reason) in [(403, "forbidden"), (404, "remote_not_found"), (410, "remote_not_found")] {
        day.forge.heal();
        let told = day.fails(status(code), reason).await;
        assert!(told["hint"].is_string(), "{told:#}");
    }
    day.heals().await;
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_then_told() {
    let day = Day::new().await;
    let others = [(429, "rate_limited"), (500, "server_error")].map(|(code, reason)| {
        let name = format!("acme/r{code}");
        day.forge.fault(Fault::status(code).header("retry-after", "1").on_git(&name));
        (day.forge.repo(&name).branch("main"), reason)
    });
    day.forge.fault(status(503));
    day.forge.reset_log();
    let told = report(&github(&day.env, &day.forge, []).run().await, 3);
    for (name, reason) in others
        .iter()
        .map(|(repo, reason)| (repo.full_name(), *reason))
        .chain([("acme/alpha".to_owned(), "server_error")])
    {
        assert_failed(&told, &name, reason);
        assert_eq!(day.forge.git_requests(&name).len(), 3, "{name}: three tries");
    }
    assert_eq!(on_disk(&day.env), day.before);
    day.heals().await;
    others.iter().for_each(|(repo, _)| day.env.assert_mirrored(repo));
}

#[tokio::test]
async fn a_refusal_of_the_pack_itself_costs_nothing() {
    let day = Day::new().await;
    day.fails(status(503).service(Service::FetchPack), "server_error").await;
    day.forge.heal();
    day.fails(status(403).service(Service::FetchPack), "forbidden").await;
    day.heals().await;
}

#[tokio::test]
async fn a_server_that_recovers_within_the_run_costs_only_a_wait() {
    let day = Day::new().await;
    day.forge.fault(status(503).once());
    assert_eq!(verdicts(&report(&github(&day.env, &day.forge, []).run().await, 0)), ["acme/alpha updated"]);
    day.env.assert_mirrored(&day.alpha);
}

#[tokio::test]
async fn one_bad_repository_holds_no_other_back() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let repos = ["a", "b", "c", "d"].map(|name| forge.repo(&format!("acme/{name}")).branch("main"));
    forge.fault(Fault::status(403).on_git("acme/a"));
    forge.fault(Fault::status(404).on_git("acme/b"));
    let told = report(&github(&env, &forge, []).run().await, 3);
    assert_failed(&told, "acme/a", "forbidden");
    assert_failed(&told, "acme/b", "remote_not_found");
    repos[2..].iter().for_each(|repo| env.assert_mirrored(repo));
    assert_eq!(on_disk(&env).len(), 2);
    // Next time only those that failed are looked at.
    forge.heal();
    forge.reset_log();
    report(&github(&env, &forge, []).run().await, 0);
    repos.iter().for_each(|repo| env.assert_mirrored(repo));
    assert_eq!(forge.git_requests("acme/c").len(), 0);
}
