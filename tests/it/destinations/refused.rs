//! Refs that a destination refuses: rules that are opened for an ordinary push, one ref that costs the others nothing, and
//! the destination's own words in the report.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::{KINDS, Pair, THERE_TOKEN};
use crate::net::mirror;
use crate::support::{Access, Dialect, Protection, Repo};

/// A source whose `main` is one ordinary commit ahead of its copy.
async fn ahead(kind: Dialect) -> (Pair, Repo, Repo) {
    let pair = Pair::new(kind).await;
    let copy = pair.foreign_copy().batch(|b| b.branch("main").branch("dev"));
    let alpha = pair.source.repo("acme/alpha").batch(|b| b.branch("main").branch("dev"));
    alpha.commit("main", "more").commit_file("main", "Cargo.lock", b"locked");
    (pair, alpha, copy)
}

/// A rule of Gitea, which has no empty list beside none.
fn gitea(push: Access, settings: &Value) -> Protection {
    let mut settings = settings.clone();
    settings["status_check_contexts"] = json!(["ci"]);
    Protection { push, ..Protection::with(settings) }
}

/// What the report says of the refused refs of `acme/alpha` at its only destination.
fn refused(told: &Value) -> Vec<Value> {
    mirror(told, "acme/alpha")["destinations"][0]["refused"].as_array().unwrap().clone()
}

/// Makes a commit without an e-mail address, which `fsck` calls `missingEmail`, and a branch for it.
async fn bad_commit(pair: &Pair, alpha: &Repo, branch: &str) -> String {
    let tree = pair.env.git(["rev-parse", "main^{tree}"]).cwd(alpha.git_dir()).run().await;
    let text =
        format!("tree {}\nauthor A 1700000000 +0000\ncommitter A 1700000000 +0000\n\nold sin\n", tree.stdout.trim());
    let file: PathBuf = pair.env.file("bad-commit", text);
    let args = ["hash-object", "-t", "commit", "-w", "--literally"].map(Into::into).into_iter();
    let made = pair.env.git(args.chain([file.into_os_string()])).cwd(alpha.git_dir()).run().await;
    made.assert_code(0);
    let id = made.stdout.trim().to_owned();
    let name = format!("refs/heads/{branch}");
    pair.env.git(["update-ref", &name, &id]).cwd(alpha.git_dir()).run().await.assert_code(0);
    alpha.push_now();
    id
}

#[tokio::test]
async fn a_rule_in_the_way_of_an_ordinary_push_is_opened_and_put_back() {
    let rules = |kind| match kind {
        Dialect::Github => vec![Protection::with(json!({
            "enforce_admins": true, "required_pull_request_reviews": {"required_approving_review_count": 1},
        }))],
        Dialect::Gitlab => {
            vec![Protection { push: Access::nobody(), ..Protection::default() }]
        }
        Dialect::Gitea => [Access::nobody(), Access::users(&["somebody"])].map(|push| gitea(push, &json!({}))).into(),
    };
    for kind in KINDS {
        for rule in rules(kind) {
            let (pair, alpha, copy) = ahead(kind).await;
            pair.there.user("somebody");
            copy.protect("main", rule);
            let before = copy.protection("main");
            pair.run(&[], 0).await;
            pair.env.assert_pushed(&alpha, &copy);
            assert_eq!(copy.protection("main"), before, "{kind:?}");
        }
    }
}

#[tokio::test]
async fn gitea_lets_us_in_for_an_ordinary_push_and_removes_no_rule() {
    for version in ["1.15.0", "1.21.0", "1.23.0"] {
        let (pair, alpha, copy) = ahead(Dialect::Gitea).await;
        pair.there.gitea_version(version);
        copy.protect("main", gitea(Access::nobody(), &json!({})));
        let before = copy.protection("main");
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &copy);
        assert_eq!(copy.protection("main"), before, "{version}");
        let changes = pair.changes();
        assert!(changes.iter().all(|change| change.starts_with("PATCH ")), "{version}: {changes:?}");
    }
}

#[tokio::test]
async fn protected_files_and_required_signatures_of_gitea_are_opened_for_the_push() {
    for settings in [json!({"protected_file_patterns": "*.lock"}), json!({"require_signed_commits": true})] {
        let (pair, alpha, copy) = ahead(Dialect::Gitea).await;
        copy.protect("main", gitea(Access::developers(), &settings));
        let before = copy.protection("main");
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &copy);
        assert_eq!(copy.protection("main"), before, "{settings}");
    }
}

#[tokio::test]
async fn what_is_not_opened_is_named_in_the_servers_words_with_a_way_out() {
    for (settings, words) in [
        (json!({"protected_file_patterns": "*.lock"}), "branch main is protected from changing file Cargo.lock"),
        (json!({"require_signed_commits": true}), "branch main is protected from unverified commit "),
    ] {
        let (pair, _, copy) = ahead(Dialect::Gitea).await;
        pair.configure(&[json!({"protected_branches": "fail"})]);
        copy.protect("main", Protection { push: Access::developers(), ..Protection::with(settings) });
        let told = refused(&pair.degraded(&[]).await);
        assert_eq!((told.len(), told[0]["reason"].as_str()), (1, Some("protected_ref_rejected")));
        assert!(told[0]["message"].as_str().unwrap().contains(words), "{told:?}");
        assert!(told[0]["hint"].as_str().unwrap().contains("`protected_branches: restore`"), "{told:?}");
    }
}

#[tokio::test]
async fn a_protected_tag_is_reported_with_a_way_out_and_costs_the_branches_nothing() {
    for kind in [Dialect::Gitlab, Dialect::Gitea] {
        let (pair, alpha, copy) = ahead(kind).await;
        copy.protect_tag("v*");
        alpha.tag("v1");
        let told = refused(&pair.degraded(&[]).await);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(
            (told[0]["name"].as_str(), told[0]["reason"].as_str()),
            (Some("refs/tags/v1"), Some("protected_ref_rejected"))
        );
        assert!(told[0]["hint"].as_str().unwrap().contains("rule for tags"), "{kind:?}: {told:?}");
        assert_eq!(copy.tip("main"), alpha.tip("main"), "{kind:?}");
        assert_eq!(pair.changes(), [""; 0], "{kind:?}");
    }
}

#[tokio::test]
async fn a_rule_that_goes_with_its_branch_is_no_failure_and_is_not_noted_for_ever() {
    let (pair, alpha, copy) = ahead(Dialect::Gitea).await;
    pair.there.gitea_version("1.15.0");
    copy.branch("old").protect("old", Protection { push: Access::developers(), ..Protection::default() });
    let told = pair.run(&[], 0).await;
    pair.env.assert_pushed(&alpha, &copy);
    let there = &mirror(&told, "acme/alpha")["destinations"][0];
    assert_eq!((there["refs"]["deleted"].as_u64(), there["refused"].as_array().map(Vec::len)), (Some(1), Some(0)));
    assert!(there["notes"].to_string().contains("gone with its branch"), "{told:#}");
    alpha.commit("dev", "later");
    let next = pair.run(&[], 0).await;
    assert_eq!(next["warnings"], json!([]), "{next:#}");
}

#[tokio::test]
async fn one_bad_object_keeps_out_its_own_branch_only_and_is_named_with_the_check() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let copy = pair.foreign_copy().receive("fsckObjects", "true");
        let alpha = pair.source.repo("acme/alpha").branch("main").many_refs(20);
        let id = bad_commit(&pair, &alpha, "sin").await;
        let told = refused(&pair.degraded(&[]).await);
        assert_eq!(copy.refs().len(), alpha.refs().len() - 1, "{kind:?}");
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0]["name"].as_str(), told[0]["reason"].as_str()), (Some("refs/heads/sin"), Some("corrupt")));
        let message = told[0]["message"].as_str().unwrap();
        assert!(message.contains(&id) && message.contains("missingEmail"), "{message}");
        assert!(told[0]["hint"].as_str().unwrap().contains("receive.fsck."), "{told:?}");
    }
}

/// Says thirty lines, one of them with our token and an escape sequence, and declines.
const TALKATIVE: &str = "#!/bin/sh\nfor n in $(seq 1 28); do echo \"line $n\" >&2; done\n\
                         printf 'token to+canary/2258=8522.asdfgh \\033[31mred\\n' >&2\necho 'see the wiki' >&2\nexit 1\n";

#[tokio::test]
async fn a_hooks_last_words_are_in_the_document_the_table_and_the_log() {
    for kind in KINDS {
        let (pair, _, copy) = ahead(kind).await;
        copy.hook("pre-receive", TALKATIVE);
        let told = pair.degraded(&[]).await;
        let refused = refused(&told);
        let evidence = refused[0]["evidence"].as_array().unwrap();
        assert_eq!(
            (evidence.len(), evidence[19].as_str()),
            (20, Some("remote: see the wiki")),
            "{kind:?}: {refused:?}"
        );
        assert!(!told.to_string().contains(THERE_TOKEN), "{told:#}");
        let run = pair.env.holocron(["-vv"]).env("FROM", super::SOURCE_TOKEN).env("TO", THERE_TOKEN).run().await;
        run.assert_code(3);
        assert!(run.stdout.contains("remote: see the wiki") && !run.stdout.contains("line 10\n"), "{run}");
        assert!(run.stderr.contains("see the wiki"), "{run}");
        for text in [&run.stdout, &run.stderr] {
            assert!(!text.contains(THERE_TOKEN) && !text.contains('\u{1b}'), "{run}");
        }
    }
}

#[tokio::test]
async fn a_branch_that_is_too_large_even_alone_keeps_out_no_other() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let copy = pair.foreign_copy().receive("maxInputSize", "20000");
        let alpha = pair.source.repo("acme/alpha").branch("main").branch("dev").branch("huge");
        alpha.commit_file("huge", "huge.bin", &crate::support::noise(60_000));
        let told = refused(&pair.degraded(&[]).await);
        assert_eq!((told.len(), told[0]["reason"].as_str()), (1, Some("too_large")), "{kind:?}: {told:?}");
        assert_eq!((copy.tip("main"), copy.tip("dev")), (alpha.tip("main"), alpha.tip("dev")), "{kind:?}");
    }
}
