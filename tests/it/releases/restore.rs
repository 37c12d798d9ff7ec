//! The forge is gone: its backup fills a new one, and is only read.

use serde_json::json;

use super::disk::source_of;
use super::{assert_same, files};
use crate::destinations::{KINDS, SOURCE_TOKEN, THERE_TOKEN, destination};
use crate::disk_kit::{assert_untouched, picture};
use crate::net::{mirror, report, verdicts};
use crate::support::{Dialect, Forge, Program, TestEnv};

fn run(env: &TestEnv) -> Program {
    env.holocron(["--json"]).env("FROM", SOURCE_TOKEN).env("TO", THERE_TOKEN)
}

#[tokio::test]
async fn a_storage_fills_a_new_forge_with_refs_and_releases_and_stays_as_it_is() {
    for to in KINDS {
        let (env, source, there) = (TestEnv::new(), Forge::start().await, Forge::start().await);
        there.speak(to);
        there.organisation("acme", &["alice"]);
        source.accept_token("alice", SOURCE_TOKEN);
        there.accept_token("alice", THERE_TOKEN);
        let alpha = source.repo("acme/alpha").branch("main").branch("dev");
        alpha.release("v1.0").title("One").notes("The first.").asset("tool.zip", &[7; 70_000]);
        let beta = source.repo("acme/beta").branch("trunk").tag("v2");
        let backup = json!({
            "sources": [source_of(Dialect::Github, &source)], "releases": "all", "checkout": true,
        });
        env.file("holocron.yaml", backup.to_string());
        report(&run(&env).arg("--backup-only").run().await, 0);
        let (alpha_refs, beta_refs, releases) = (alpha.refs(), beta.refs(), alpha.releases());
        let before = picture(&env.storage());

        let mut to_it = destination("to", to, &there);
        to_it["releases"] = "all".into();
        to_it["namespace"] = "{namespace}".into();
        let restore = json!({
            "storage": env.work().join("second"),
            "sources": [{"id": "backup", "kind": "dir", "dirs": [env.storage()]}],
            "destinations": [to_it],
        });
        env.file("holocron.yaml", restore.to_string());
        let told = report(&run(&env).run().await, 0);
        assert_eq!(verdicts(&told), ["acme/alpha cloned", "acme/beta cloned"], "{told:#}");
        assert_eq!(mirror(&told, "acme/alpha")["destinations"][0]["verdict"], "pushed");
        let copy = there.find("acme/alpha").unwrap();
        assert_eq!((copy.refs(), there.find("acme/beta").unwrap().refs()), (alpha_refs, beta_refs), "{to:?}");
        assert_eq!(files(&copy.releases()[0]), files(&releases[0]));
        assert_same(to, &alpha, &copy);
        assert_untouched(&before, &picture(&env.storage()));
        // Once more changes nothing.
        there.reset_log();
        report(&run(&env).run().await, 0);
        assert_eq!(there.writes().len(), 0, "{to:?}");
        // The run's own storage is no source of itself.
        let own =
            env.holocron(["--backup-only", "--json", "--storage", "mirror-data", "--dir", "mirror-data"]).run().await;
        assert_eq!(report(&own, 3)["refused"][0]["failure"]["reason"], "held");
    }
}
