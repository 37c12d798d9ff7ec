//! `holocron status --check`: silent while all is well, and the names of what is not.

use std::fs;

use holocron::store::Store;
use jiff::{SignedDuration, Timestamp};

use crate::support::{Fault, Forge, Program, Run, TestEnv};

async fn mirror(env: &TestEnv, forge: &Forge) -> Run {
    env.holocron(["--backup-only"]).github(forge).run().await
}

fn check(env: &TestEnv) -> Program {
    env.holocron(["status", "--check"])
}

/// Moves the last success of every mirror this long into the past.
async fn make_older(env: &TestEnv, by: SignedDuration) {
    let store = Store::open(&env.storage().join(".holocron/state.sqlite")).await.unwrap().store;
    for mut record in store.mirrors().await.unwrap().rows {
        record.last_success = Some(Timestamp::now() - by);
        store.record(&record).await.unwrap();
    }
    store.close().await.unwrap();
}

/// Asserts that the check found exactly these.
fn assert_found(run: &Run, names: &[(&str, &str)]) {
    run.assert_code(3);
    let rows: Vec<(&str, &str)> = run
        .stdout
        .lines()
        .filter(|line| line.starts_with("acme/") && !line.contains(": "))
        .map(|line| (line.split_whitespace().next().unwrap(), line.split_whitespace().last().unwrap()))
        .collect();
    assert_eq!(rows, names, "{run}");
}

#[tokio::test]
async fn check_is_silent_while_all_is_well_and_names_what_failed_or_is_missing() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let [_, beta, gamma] = ["acme/alpha", "acme/beta", "acme/gamma"].map(|name| forge.repo(name).branch("main"));
    check(&env).run().await.assert_code(2);
    mirror(&env, &forge).await.assert_code(0);
    let well = check(&env).run().await;
    assert_eq!((&*well.assert_code(0).stdout, &*well.stderr), ("", ""));
    let json = check(&env).arg("--json").run().await;
    let json = json.assert_code(0).json();
    assert_eq!((&json["ok"], &json["mirrors"][0]["needs_attention"]), (&true.into(), &false.into()), "{json:#}");

    beta.commit("main", "more");
    forge.fault(Fault::status(404).on_git("acme/beta"));
    mirror(&env, &forge).await.assert_code(3);
    fs::remove_dir_all(env.mirror_of(&gamma)).unwrap();
    let found = check(&env).run().await;
    assert_found(&found, &[("acme/beta", "failed"), ("acme/gamma", "missing")]);
    assert!(found.stdout.contains("acme/beta: remote_not_found"), "{found}");
    let json = check(&env).arg("--json").run().await;
    let json = json.assert_code(3).json();
    assert_eq!(json["ok"], false);
    let of = |at: usize| (&json["mirrors"][at]["state"], &json["mirrors"][at]["needs_attention"]);
    assert_eq!(of(0), (&"fresh".into(), &false.into()), "all of them are in the document\n{json:#}");
    assert_eq!(of(1), (&"failed".into(), &true.into()));
    assert_eq!(of(2), (&"missing".into(), &true.into()));
    // Without the flag the same is told, and is no failure of the command.
    env.holocron(["status"]).run().await.assert_code(0);

    forge.heal();
    mirror(&env, &forge).await.assert_code(0);
    let healed = check(&env).run().await;
    assert_eq!(healed.assert_code(0).stdout, "");
}

#[tokio::test]
async fn check_finds_mirrors_that_are_late() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    mirror(&env, &forge).await.assert_code(0);
    make_older(&env, SignedDuration::from_hours(3)).await;
    check(&env).run().await.assert_code(0);
    check(&env).args(["--stale-after", "4"]).run().await.assert_code(0);
    assert_found(&check(&env).args(["--stale-after", "2"]).run().await, &[("acme/alpha", "late")]);
    assert_found(&check(&env).env("HOLOCRON_STALE_AFTER", "90m").run().await, &[("acme/alpha", "late")]);
    let json = check(&env).args(["--json", "--stale-after", "2h"]).run().await;
    let json = json.assert_code(3).json();
    assert_eq!((&json["schema_version"], &json["mirrors"][0]["state"]), (&2.into(), &"late".into()), "{json:#}");
    check(&env).args(["--stale-after", "0"]).run().await.assert_code(2);
}

#[tokio::test]
async fn a_storage_without_mirrors_is_not_well() {
    let env = TestEnv::new();
    fs::create_dir(env.storage()).unwrap();
    let run = check(&env).run().await;
    assert_eq!(run.assert_code(3).stdout, "0 mirrors.\n");
}
