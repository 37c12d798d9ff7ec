//! Bad days at the source: whatever it answers, nothing that was saved is lost and no failure looks like a success.

mod answers;
mod cliff;
mod cuts;
mod listings;
mod refusals;
mod silence;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::net::{assert_failed, github, mirror, on_disk, report, status};
use crate::support::{Fault, Forge, Repo, TestEnv, noise};

/// One repository, mirrored once, and pushed to since: the next run has something to fetch.
struct Day {
    env: TestEnv,
    forge: Forge,
    alpha: Repo,
    before: BTreeMap<PathBuf, (BTreeMap<String, String>, String)>,
}

impl Day {
    async fn new() -> Self {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let alpha = forge.repo("acme/alpha").private();
        alpha.batch(|b| b.branch("main").branch("old").tag("v1"));
        report(&github(&env, &forge, []).run().await, 0);
        env.assert_mirrored(&alpha);
        alpha.batch(|b| b.commit_file("main", "big", &noise(20_000)).branch("new"));
        let before = on_disk(&env);
        Day { env, forge, alpha, before }
    }

    /// A run that ends with 3, says so of the mirror in report and status, and changes nothing on disk.
    async fn fails(&self, fault: Fault, reason: &str) -> Value {
        let shown = format!("{fault:?}");
        self.forge.fault(fault);
        let told = report(&github(&self.env, &self.forge, ["--timeout", "2"]).run().await, 3);
        assert_failed(&told, "acme/alpha", reason);
        assert_eq!(on_disk(&self.env), self.before, "{shown}");
        let told_later = status(&self.env).await;
        let known = mirror(&told_later, "acme/alpha");
        assert_eq!((&known["state"], &known["failure"]["reason"]), (&"failed".into(), &reason.into()), "{shown}");
        assert!(known["last_success"].is_string());
        mirror(&told, "acme/alpha")["failure"].clone()
    }

    /// The next good run, without any flag, makes the mirror equal its source.
    async fn heals(&self) {
        self.forge.heal();
        report(&github(&self.env, &self.forge, []).run().await, 0);
        self.env.assert_mirrored(&self.alpha);
        assert_eq!(mirror(&status(&self.env).await, "acme/alpha")["state"], "fresh");
    }
}
