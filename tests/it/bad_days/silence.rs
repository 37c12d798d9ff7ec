//! A server that says nothing more is left after `--timeout`.

use crate::net::{assert_failed, github, on_disk, report};
use crate::support::{Fault, Forge, Service, TestEnv};

use super::Day;

#[tokio::test]
async fn an_api_that_never_answers_is_left() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let stalling = Forge::start().await;
    stalling.repo("acme/beta").branch("main");
    forge.fault(Fault::hang().on_api(""));
    stalling.fault(Fault::stall_in_body(40).on_api(""));
    let told = report(&github(&env, &forge, ["--timeout", "1"]).gitea(&stalling).run().await, 3);
    for (number, forge) in [&forge, &stalling].into_iter().enumerate() {
        assert_eq!(told["source_failures"][number]["failure"]["reason"], "timed_out", "{told:#}");
        assert_eq!(forge.api_requests().len(), 3, "three tries");
    }
    forge.heal();
    report(&github(&env, &forge, ["--timeout", "1"]).run().await, 0);
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn a_git_server_that_never_answers_is_left_and_the_other_mirrors_are_not() {
    let day = Day::new().await;
    let fine = day.forge.repo("acme/fine").branch("main");
    day.forge.fault(Fault::hang().on_git("acme/alpha"));
    let told = report(&github(&day.env, &day.forge, ["--timeout", "1"]).run().await, 3);
    assert_failed(&told, "acme/alpha", "timed_out");
    day.env.assert_mirrored(&fine);
    let mut after = on_disk(&day.env);
    after.retain(|path, _| day.before.contains_key(path));
    assert_eq!(after, day.before);
    day.heals().await;
}

#[tokio::test]
async fn a_pack_that_stalls_is_left() {
    let day = Day::new().await;
    let stall = Fault::stall_in_body(5_000).on_git("acme/alpha").service(Service::FetchPack);
    day.fails(stall, "timed_out").await;
    day.heals().await;
}
