//! Destinations of a watch: when one that failed is tried again, and what is said meanwhile.

use rustix::process::Signal;

use super::{KINDS, Pair, SOURCE_TOKEN, THERE_TOKEN};
use crate::support::{Fault, Program, Service};

fn watch(pair: &Pair, interval: &str) -> Program {
    let program = pair.env.holocron(["--watch", "--interval", interval, "--window", "0"]);
    program.env("FROM", SOURCE_TOKEN).env("TO", THERE_TOKEN)
}

#[tokio::test]
async fn a_destination_that_is_down_is_told_once_and_tried_soon_after_it_is_back() {
    let pair = Pair::new(KINDS[1]).await;
    let alpha = pair.source.repo("acme/alpha").branch("main");
    pair.run(&[], 0).await;
    alpha.commit("main", "more");
    pair.there.fault(Fault::status(503).on_any_git());
    let mut running = watch(&pair, "1s").spawn();
    running.until_output("acme/alpha → to: failed: server_error").await;
    // It is tried again, and nothing more is said of it.
    pair.there.reset_log();
    pair.there.until(|request| request.status == Some(503)).await;
    pair.there.heal();
    running.until_output("the trouble is over").await;
    running.signal(Signal::TERM);
    let run = running.wait().await;
    assert_eq!(run.stderr.matches("→ to: failed").count(), 1, "{run}");
    assert_eq!(run.stderr.matches("the trouble is over").count(), 1, "{run}");
    pair.env.assert_pushed(&alpha, &pair.copy());
}

#[tokio::test]
async fn a_destination_that_failed_is_left_alone_for_the_interval() {
    let pair = Pair::new(KINDS[2]).await;
    let alpha = pair.source.repo("acme/alpha").branch("main");
    pair.run(&[], 0).await;
    alpha.commit("main", "more");
    pair.there.fault(Fault::status(503).on_any_git());
    let mut running = watch(&pair, "1h").spawn();
    running.until_output("1 mirror: 1 updated").await;
    pair.there.reset_log();
    running.signal(Signal::HUP);
    running.until_said("the configuration was read again.", 1).await;
    running.signal(Signal::HUP);
    running.until_said("the configuration was read again.", 2).await;
    assert_eq!(pair.there.git_count(Service::Push), 0, "it is left alone");
    // What is new is pushed at once.
    alpha.commit("main", "and more");
    running.signal(Signal::HUP);
    running.until_said("the configuration was read again.", 3).await;
    running.signal(Signal::HUP);
    running.until_said("the configuration was read again.", 4).await;
    assert!(pair.there.requests().iter().any(|request| request.status == Some(503)), "what is new is tried");
    pair.there.heal();
    running.signal(Signal::TERM);
    running.wait().await;
}
