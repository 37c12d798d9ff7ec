//! Branch rules in the way: opened and put back field by field, opened for good, or respected.

use rustix::process::{Signal, kill_process_group};
use serde_json::{Value, json};

use super::{KINDS, Pair};
use crate::support::{Access, Dialect, Fault, Kind, Protection, Repo, Request, Service};

/// A source and a copy whose `main` can only be forced; `dev` and `v1` are ordinary changes.
struct Day {
    pair: Pair,
    alpha: Repo,
    copy: Repo,
}

impl Day {
    async fn new(kind: Dialect, policy: &str) -> Self {
        let pair = Pair::with(kind, &json!({"protected_branches": policy})).await;
        let alpha = pair.source.repo("acme/alpha").batch(|b| b.branch("main").branch("dev"));
        let copy = pair.foreign_copy().batch(|b| b.branch("main").branch("dev").commit("main", "foreign"));
        alpha.commit("main", "more").commit("dev", "more").tag("v1");
        Day { pair, alpha, copy }
    }

    fn assert_pushed(&self) {
        self.pair.env.assert_pushed(&self.alpha, &self.copy);
    }
}

fn is_push(request: &Request) -> bool {
    matches!(&request.kind, Kind::Git { service: Service::Push, .. })
}

/// The pushes before the one with the rule open: GitLab and Gitea decline the whole for `main`, so it is halved.
fn pushes_before(kind: Dialect) -> usize {
    if kind == Dialect::Github { 1 } else { 5 }
}

/// A rule with as few fields as its forge knows.
fn plain(kind: Dialect) -> Protection {
    match kind {
        // It has neither maintainers nor an empty list beside none.
        Dialect::Gitea => {
            Protection { push: Access::developers(), ..Protection::with(json!({"status_check_contexts": ["ci"]})) }
        }
        _ => Protection::default(),
    }
}

/// A rule with as many fields as its forge knows.
fn rich(kind: Dialect) -> Protection {
    match kind {
        Dialect::Github => Protection::with(json!({
            "required_status_checks": {"strict": true, "checks": [{"context": "ci"}, {"context": "lint", "app_id": 7}]},
            "enforce_admins": true,
            "required_pull_request_reviews": {"required_approving_review_count": 2, "require_code_owner_reviews": true,
                "dismissal_restrictions": {"users": ["alice"], "teams": ["core"], "apps": []}},
            "restrictions": {"users": ["alice"], "teams": [], "apps": []},
            "required_linear_history": true,
            "required_conversation_resolution": true,
            "required_signatures": true,
        })),
        Dialect::Gitlab => Protection { push: Access::nobody(), merge: Access::developers(), ..Protection::default() },
        Dialect::Gitea => Protection {
            push: Access::nobody(),
            ..Protection::with(json!({"required_approvals": 2, "enable_status_check": true,
                "status_check_contexts": ["ci"], "protected_file_patterns": "*.lock",
                "dismiss_stale_approvals": true, "block_on_outdated_branch": true}))
        },
    }
}

#[tokio::test]
async fn restore_pushes_by_force_and_puts_the_rule_back_field_by_field() {
    for kind in KINDS {
        for rule in [plain(kind), rich(kind)] {
            let day = Day::new(kind, "restore").await;
            day.copy.protect("main", rule);
            let before = day.copy.protection("main");
            day.pair.run(&[], 0).await;
            day.assert_pushed();
            assert_eq!(day.copy.protection("main"), before, "{kind:?}");
            assert_eq!(day.copy.protected(), ["main"]);
        }
    }
}

#[tokio::test]
async fn wildcard_rules_are_restored_too() {
    for kind in [Dialect::Gitlab, Dialect::Gitea] {
        let day = Day::new(kind, "restore").await;
        day.copy.protect("ma*", rich(kind)).protect("main", plain(kind));
        let before = ["ma*", "main"].map(|name| day.copy.protection(name));
        day.pair.run(&[], 0).await;
        day.assert_pushed();
        assert_eq!(["ma*", "main"].map(|name| day.copy.protection(name)), before, "{kind:?}");
    }
}

#[tokio::test]
async fn a_gitlab_without_patch_and_a_newer_gitea_are_restored_too() {
    let lab = Day::new(Dialect::Gitlab, "restore").await;
    lab.pair.there.gitlab_without_patch(405);
    let tea = Day::new(Dialect::Gitea, "restore").await;
    tea.pair.there.gitea_version("1.23.0");
    for (day, kind) in [(lab, Dialect::Gitlab), (tea, Dialect::Gitea)] {
        day.copy.protect("main", rich(kind));
        let before = day.copy.protection("main");
        day.pair.run(&[], 0).await;
        day.assert_pushed();
        assert_eq!(day.copy.protection("main"), before, "{kind:?}");
    }
}

#[tokio::test]
async fn a_protected_branch_that_is_gone_at_the_source_is_deleted_and_its_rule_stays() {
    for kind in [Dialect::Gitlab, Dialect::Gitea] {
        let day = Day::new(kind, "restore").await;
        day.copy.branch("old").protect("old", rich(kind));
        let before = day.copy.protection("old");
        day.pair.run(&[], 0).await;
        day.assert_pushed();
        assert_eq!(day.copy.protection("old"), before, "{kind:?}");
    }
}

#[tokio::test]
async fn a_rule_of_github_that_could_not_be_put_back_after_the_deletion_is_not_opened() {
    // This forge has no GraphQL, and REST knows no rule of a branch that is gone.
    let day = Day::new(Dialect::Github, "restore").await;
    day.copy.branch("old").protect("old", rich(Dialect::Github));
    let (before, old) = (day.copy.protection("old"), day.copy.tip("old"));
    day.pair.degraded(&[]).await;
    assert_eq!((day.copy.protection("old"), day.copy.tip("old")), (before, old));
    assert_eq!(day.copy.tip("main"), day.alpha.tip("main"));
}

#[tokio::test]
async fn a_hook_that_declines_a_whole_push_for_one_ref_keeps_out_only_that_ref() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let copy = pair.foreign_copy().hook("pre-receive", "#!/bin/sh\n! grep -q 'refs/heads/many/0*7$'\n");
        let alpha = pair.source.repo("acme/alpha").branch("main").many_refs(20);
        pair.degraded(&[]).await;
        assert_eq!(copy.refs().len(), alpha.refs().len() - 1, "{kind:?}");
    }
}

#[tokio::test]
async fn a_hook_that_declines_everything_is_not_asked_for_each_ref() {
    let pair = Pair::new(Dialect::Gitlab).await;
    let copy = pair.foreign_copy().hook("pre-receive", "#!/bin/sh\nexit 1\n");
    pair.source.repo("acme/alpha").branch("main").many_refs(100);
    pair.degraded(&[]).await;
    assert!(copy.refs().is_empty() && pair.pushes() < 40, "{}", pair.pushes());
}

#[tokio::test]
async fn allow_opens_the_rule_and_leaves_it_open() {
    for kind in KINDS {
        let day = Day::new(kind, "allow").await;
        day.copy.protect("main", Protection::default());
        day.pair.run(&[], 0).await;
        day.assert_pushed();
        if kind != Dialect::Gitea {
            assert!(day.copy.protection("main").unwrap().force, "{kind:?}");
        }
        // The next force needs no opening.
        day.alpha.force("main");
        day.pair.there.reset_log();
        day.pair.run(&[], 0).await;
        day.assert_pushed();
        assert_eq!(day.pair.changes(), [""; 0], "{kind:?}");
    }
}

#[tokio::test]
async fn fail_touches_no_rule_and_pushes_everything_else() {
    for kind in KINDS {
        let day = Day::new(kind, "fail").await;
        day.copy.protect("main", rich(kind));
        let (before, foreign) = (day.copy.protection("main"), day.copy.tip("main"));
        day.pair.degraded(&[]).await;
        assert_eq!(day.pair.changes(), [""; 0], "{kind:?}");
        assert_eq!((day.copy.protection("main"), day.copy.tip("main")), (before, foreign));
        assert_eq!(day.copy.tip("dev"), day.alpha.tip("dev"), "{kind:?}");
        assert_eq!(day.copy.tip("refs/tags/v1"), day.alpha.tip("refs/tags/v1"), "{kind:?}");
    }
}

#[tokio::test]
async fn a_ruleset_of_github_is_reported_and_nothing_is_opened() {
    let day = Day::new(Dialect::Github, "restore").await;
    day.copy.ruleset("guard", "main", &["non_fast_forward"]);
    let foreign = day.copy.tip("main");
    day.pair.degraded(&[]).await;
    assert_eq!((day.copy.tip("main"), day.pair.changes()), (foreign, Vec::new()));
    assert_eq!(day.copy.tip("dev"), day.alpha.tip("dev"));
}

#[tokio::test]
async fn the_rule_is_put_back_when_the_push_fails() {
    for kind in KINDS {
        let day = Day::new(kind, "restore").await;
        day.copy.protect("main", rich(kind));
        let before = day.copy.protection("main");
        // The first push is refused by the rule, the second, with the rule open, fails.
        day.pair
            .there
            .fault(Fault::status(403).on_git("copies/alpha").service(Service::Push).after(pushes_before(kind)));
        day.pair.degraded(&[]).await;
        assert_eq!(day.copy.protection("main"), before, "{kind:?}");
        day.pair.there.heal();
        day.pair.run(&[], 0).await;
        day.assert_pushed();
        assert_eq!(day.copy.protection("main"), before, "{kind:?}");
    }
}

/// Starts a run, and returns it when its push with the rule open hangs.
async fn in_mid_push(day: &Day, kind: Dialect) -> crate::support::Running {
    day.pair.there.fault(Fault::hang().on_git("copies/alpha").service(Service::Push).after(pushes_before(kind)));
    let running = day.pair.program(&[]).spawn();
    let open = || day.copy.protection("main").is_none_or(|rule| rule.force);
    day.pair.there.until(|request| is_push(request) && request.status.is_none() && open()).await;
    running
}

#[tokio::test]
async fn a_stop_in_mid_push_puts_the_rule_back() {
    for kind in KINDS {
        let day = Day::new(kind, "restore").await;
        day.copy.protect("main", rich(kind));
        let before = day.copy.protection("main");
        let running = in_mid_push(&day, kind).await;
        running.signal(Signal::TERM);
        let run = running.wait().await;
        // What SIGTERM left undone is no failure.
        run.assert_code(0);
        assert_eq!(day.copy.protection("main"), before, "{kind:?}: {run}");
        day.pair.there.heal();
        day.pair.run(&[], 0).await;
        day.assert_pushed();
        assert_eq!(day.copy.protection("main"), before, "{kind:?}");
    }
}

#[tokio::test]
async fn a_kill_in_mid_push_is_repaired_by_the_next_run() {
    for kind in KINDS {
        let day = Day::new(kind, "restore").await;
        day.copy.protect("main", rich(kind));
        let before = day.copy.protection("main");
        let running = in_mid_push(&day, kind).await;
        let orphans = running.children();
        running.signal(Signal::KILL);
        orphans.into_iter().for_each(|group| kill_process_group(group, Signal::KILL).unwrap());
        running.wait().await;
        assert_ne!(day.copy.protection("main"), before, "it was not open");
        day.pair.there.heal();
        let told: Value = day.pair.run(&["--wait"], 0).await;
        assert!(told["warnings"].to_string().contains("closed again"), "{told:#}");
        day.assert_pushed();
        assert_eq!(day.copy.protection("main"), before, "{kind:?}");
        assert!(!day.pair.run(&[], 0).await["warnings"].to_string().contains("closed again"));
    }
}
