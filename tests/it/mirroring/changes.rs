//! Refs that come, move and go at the source.

use serde_json::json;

use crate::net::{github, kept, mirror, report, status, verdicts};
use crate::support::{Forge, Repo, TestEnv};

/// A repository that was mirrored once.
struct Mirrored {
    env: TestEnv,
    forge: Forge,
    alpha: Repo,
}

impl Mirrored {
    async fn new() -> Self {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let alpha = forge.repo("acme/alpha").private();
        alpha.batch(|b| b.branch("main").branch("old").branch("wild").tag("v1").annotated_tag("v2"));
        report(&github(&env, &forge, []).run().await, 0);
        env.assert_mirrored(&alpha);
        Mirrored { env, forge, alpha }
    }

    /// Runs again, and asserts that the mirror followed; returns what the report says of it.
    async fn follows(&self, args: [&str; 1]) -> serde_json::Value {
        let report = report(&github(&self.env, &self.forge, args).run().await, 0);
        self.env.assert_mirrored(&self.alpha);
        mirror(&report, "acme/alpha").clone()
    }

    fn kept(&self) -> Vec<(String, String)> {
        kept(&self.env, self.env.mirror_of(&self.alpha)).into_iter().collect()
    }
}

#[tokio::test]
async fn a_first_run_clones_everything_and_says_so() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").private();
    alpha.batch(|b| b.branch("main").branch("feature/one").tag("v1").annotated_tag("v2").reference("refs/pull/1/head"));
    let beta = forge.repo("alice/beta").branch("trunk");
    let run = env.holocron(["--backup-only"]).github(&forge).run().await;
    assert!(run.assert_code(0).stdout.contains("acme/alpha"), "{run}");
    env.assert_mirrored(&alpha);
    env.assert_mirrored(&beta);
    assert_eq!(env.head(env.mirror_of(&beta)), "refs/heads/trunk");
    assert!(!env.mirror_of(&alpha).join("hooks").exists(), "no template is copied");
    let told = status(&env).await;
    let alpha = mirror(&told, "acme/alpha");
    assert_eq!((&alpha["state"], &alpha["refs"], &alpha["failures_in_a_row"]), (&json!("fresh"), &json!(5), &json!(0)));
}

#[tokio::test]
async fn an_unchanged_run_asks_the_forge_and_not_git() {
    let day = Mirrored::new().await;
    day.forge.reset_log();
    assert_eq!(day.follows(["--quiet"]).await["verdict"], "current");
    assert_eq!(day.forge.git_requests("acme/alpha").len(), 0);
    let statuses: Vec<_> = day.forge.api_requests().iter().map(|request| request.status).collect();
    assert!(statuses.iter().all(|status| *status == Some(304)), "{statuses:?}");
}

#[tokio::test]
async fn pushed_commits_new_branches_and_tags_arrive() {
    let day = Mirrored::new().await;
    day.alpha.batch(|b| b.commit("main", "one").commit("main", "two").branch("new").tag("v3"));
    let told = day.follows(["--quiet"]).await;
    assert_eq!(told["verdict"], "updated");
    assert_eq!(told["refs"], json!({"created": 2, "forwarded": 1, "forced": 0, "deleted": 0, "total": 7}));
    assert!(told["bytes_received"].as_u64() > Some(0));
    assert_eq!(day.kept(), []);
    assert_eq!(day.follows(["--quiet"]).await["verdict"], "current");
}

#[tokio::test]
async fn a_deleted_branch_goes_and_its_tip_is_kept() {
    let day = Mirrored::new().await;
    let (tip, _) = (day.alpha.tip("old"), day.alpha.delete("old"));
    let told = day.follows(["--quiet"]).await;
    assert_eq!(told["refs"]["deleted"], 1);
    assert_eq!(day.kept(), [("refs/heads/old".to_owned(), tip)]);
    let told = status(&day.env).await;
    assert_eq!(mirror(&told, "acme/alpha")["kept_refs"], 1);
}

#[tokio::test]
async fn rewritten_branches_and_tags_arrive_and_their_old_tips_are_kept() {
    let day = Mirrored::new().await;
    let (wild, tag) = (day.alpha.tip("wild"), day.alpha.tip("refs/tags/v1"));
    day.alpha.batch(|b| b.force("wild").commit("main", "more")).batch(|b| b.point("refs/tags/v1", "main"));
    let told = day.follows(["--quiet"]).await;
    assert_eq!(told["refs"], json!({"created": 0, "forwarded": 1, "forced": 2, "deleted": 0, "total": 5}));
    assert_eq!(day.kept(), [("refs/heads/wild".to_owned(), wild), ("refs/tags/v1".to_owned(), tag)]);
}

#[tokio::test]
async fn a_branch_replaced_by_a_folder_of_branches_and_back() {
    let day = Mirrored::new().await;
    day.alpha.delete("old").branch("old/one").branch("old/two");
    let told = day.follows(["--quiet"]).await;
    assert_eq!((&told["refs"]["created"], &told["refs"]["deleted"]), (&json!(2), &json!(1)));
    day.alpha.delete("old/one").delete("old/two").branch("old");
    day.follows(["--quiet"]).await;
}

#[tokio::test]
async fn head_follows_a_renamed_default_branch() {
    let day = Mirrored::new().await;
    day.alpha.rename_default("trunk");
    assert_eq!(day.follows(["--quiet"]).await["verdict"], "updated");
    assert_eq!(day.env.head(day.env.mirror_of(&day.alpha)), "refs/heads/trunk");
}

#[tokio::test]
async fn head_follows_another_default_branch_although_nothing_was_pushed() {
    let day = Mirrored::new().await;
    day.alpha.silently().head("old");
    assert_eq!(day.follows(["--quiet"]).await["verdict"], "updated");
    day.alpha.silently().head("unborn");
    day.follows(["--quiet"]).await;
    assert_eq!(day.env.head(day.env.mirror_of(&day.alpha)), "refs/heads/unborn");
}

#[tokio::test]
async fn what_the_listing_does_not_show_is_found_by_a_full_run() {
    let day = Mirrored::new().await;
    day.alpha.silently().commit("main", "unseen");
    let skipped = report(&github(&day.env, &day.forge, []).run().await, 0);
    assert_eq!(verdicts(&skipped), ["acme/alpha current"]);
    assert_eq!(day.follows(["--full"]).await["verdict"], "updated");
}

#[tokio::test]
async fn what_was_kept_in_a_mirror_of_ours_is_not_taken_for_the_sources() {
    let day = Mirrored::new().await;
    day.alpha.reference("refs/holocron/kept/20200101T000000Z/refs/heads/x");
    let run = github(&day.env, &day.forge, []).run().await;
    assert_eq!(verdicts(&report(&run, 0)), ["acme/alpha current"]);
    assert_eq!(day.kept(), []);
    let fresh = TestEnv::new();
    report(&github(&fresh, &day.forge, []).run().await, 0);
    assert_eq!(kept(&fresh, fresh.mirror_of(&day.alpha)).len(), 0);
}

#[tokio::test]
async fn thousands_of_refs_arrive_and_go() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").many_refs(2_000);
    report(&github(&env, &forge, []).run().await, 0);
    env.assert_mirrored(&alpha);
    alpha.batch(|b| {
        b.commit("main", "more");
        (1..=900).for_each(|number| _ = b.delete(&format!("many/{number:05}")));
        (2_001..=2_600).for_each(|number| _ = b.point(&format!("refs/heads/many/{number:05}"), "main"));
        b
    });
    let told = report(&github(&env, &forge, []).run().await, 0);
    let refs = &mirror(&told, "acme/alpha")["refs"];
    assert_eq!((&refs["created"], &refs["deleted"]), (&json!(600), &json!(900)));
    env.assert_mirrored(&alpha);
    assert_eq!(kept(&env, env.mirror_of(&alpha)).len(), 900);
}
