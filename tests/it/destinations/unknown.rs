//! Existence that is not known never creates, and what keeps a repository from being made or pushed to is named.

use serde_json::{Value, json};

use super::{KINDS, Pair};
use crate::net::{mirror, report};
use crate::support::{Dialect, Fault};

#[tokio::test]
async fn an_unknown_existence_creates_nothing() {
    let faults = || {
        [
            Fault::status(401),
            Fault::status(403),
            Fault::status(404),
            Fault::status(429).header("retry-after", "9999"),
            Fault::status(500),
            Fault::html_line(),
            Fault::cut_after(0),
            Fault::empty_body(),
            Fault::status(200).header("content-type", "text/html").body("<!DOCTYPE html>\n<title>Sign in</title>\n"),
        ]
    };
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        for fault in faults() {
            let shown = format!("{kind:?} {fault:?}");
            let end = if kind == Dialect::Gitlab { "projects/copies%2Falpha" } else { "repos/copies/alpha" };
            pair.there.fault(fault.on_api(end));
            pair.degraded(&["--timeout", "2"]).await;
            assert_eq!((pair.there.names().len(), pair.changes()), (0, Vec::new()), "{shown}");
            pair.there.heal();
        }
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
    }
}

#[tokio::test]
async fn with_create_off_nothing_is_made() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"create": false})).await;
        pair.source.repo("acme/alpha").branch("main");
        pair.degraded(&[]).await;
        assert_eq!((pair.there.names().len(), pair.changes()), (0, Vec::new()), "{kind:?}");
    }
}

#[tokio::test]
async fn an_archived_copy_and_one_that_pulls_by_itself_are_not_pushed_to() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        let copy = pair.foreign_copy().branch("foreign").archived();
        let before = copy.refs();
        pair.degraded(&[]).await;
        assert_eq!((copy.refs(), pair.pushes(), pair.changes()), (before.clone(), 0, Vec::new()), "{kind:?}");
        copy.unarchived();
        if kind != Dialect::Github {
            copy.pull_mirror();
            pair.degraded(&[]).await;
            assert_eq!((copy.refs(), pair.pushes(), pair.changes()), (before, 0, Vec::new()), "{kind:?}");
            continue;
        }
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &copy);
    }
}

#[tokio::test]
async fn quota_reserved_name_and_missing_scope_hold_only_their_repository_back() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        let beta = pair.source.repo("acme/beta").branch("main");
        pair.there.reserve("alpha");
        pair.degraded(&[]).await;
        assert_eq!(pair.there.names(), ["copies/beta"], "{kind:?}");
        pair.env.assert_pushed(&beta, &pair.there.find("copies/beta").unwrap());

        pair.there.quota(1);
        pair.source.repo("acme/gamma").branch("main");
        pair.run(&[], 3).await;
        assert_eq!(pair.there.names(), ["copies/beta"], "{kind:?}");
        let _ = alpha;

        let reads = pair.there.token_with_scopes("alice", &["read_api", "read_repository", "read:user"]);
        let run = pair.program(&[]).env("TO", reads).run().await;
        run.assert_code(3);
        assert_eq!(pair.there.names(), ["copies/beta"], "{kind:?}");
    }
}

#[tokio::test]
async fn a_repository_that_somebody_made_first_is_pushed_to() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        let copy = pair.foreign_copy();
        // The first look says that it is missing, in the words of the API.
        let (end, words) = match kind {
            Dialect::Github => {
                ("repos/copies/alpha", json!({"message": "Not Found", "documentation_url": "https://docs"}))
            }
            Dialect::Gitlab => ("projects/copies%2Falpha", json!({"message": "404 Project Not Found"})),
            Dialect::Gitea => {
                let url = format!("{}/api/swagger", pair.there.url());
                ("repos/copies/alpha", json!({"message": "The target couldn't be found.", "errors": [], "url": url}))
            }
        };
        pair.there.fault(Fault::status(404).json(&words).on_api(end).once());
        pair.run(&[], 0).await;
        assert_eq!(pair.there.names(), ["copies/alpha"], "{kind:?}");
        assert!(pair.changes().iter().any(|change| change.starts_with("POST")), "{kind:?}");
        pair.env.assert_pushed(&alpha, &copy);
    }
}

/// Where a copy is made in the organisation `copies`.
fn creation(kind: Dialect) -> &'static str {
    if kind == Dialect::Gitlab { "api/v4/projects" } else { "orgs/copies/repos" }
}

fn creations(pair: &Pair) -> usize {
    pair.changes().iter().filter(|change| change.starts_with("POST") && change.ends_with(creation(pair.kind))).count()
}

#[tokio::test]
async fn a_creation_whose_answer_is_lost_is_looked_up_again_in_the_same_run() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        pair.there.fault(Fault::cut_after(0).on_api(creation(kind)).once());
        let told = pair.run(&[], 0).await;
        assert_eq!(creations(&pair), 1, "{kind:?}");
        pair.env.assert_pushed(&alpha, &pair.copy());
        assert_eq!(mirror(&told, "acme/alpha")["destinations"][0]["created"], true);
        // What a second request turns off is turned off as well.
        match kind {
            Dialect::Github => assert_eq!(pair.copy().setting("actions"), false),
            Dialect::Gitlab => assert_eq!(pair.copy().setting("wiki_access_level"), "disabled"),
            Dialect::Gitea => assert_eq!(pair.copy().setting("has_wiki"), false),
        }
    }
}

#[tokio::test]
async fn a_creation_that_never_arrived_is_tried_again_in_the_same_run() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        pair.there.fault(Fault::status(503).on_api(creation(kind)).once());
        pair.run(&[], 0).await;
        assert_eq!(creations(&pair), 2, "{kind:?}");
        pair.env.assert_pushed(&alpha, &pair.copy());
    }
}

#[tokio::test]
async fn what_keeps_a_copy_from_being_made_is_named_with_a_way_out() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        pair.source.repo("acme/alpha").branch("main");
        let failure = |told: &Value| mirror(told, "acme/alpha")["destinations"][0]["failure"].clone();
        let hint = |failure: &Value| failure["hint"].as_str().expect("a way out").to_owned();
        pair.there.quota(0);
        let full = failure(&pair.degraded(&[]).await);
        assert_eq!(full["reason"], "forbidden", "{full:#}");
        assert!(
            full["message"].as_str().unwrap().contains("quota") && hint(&full).contains("raise the limit"),
            "{full:#}"
        );
        pair.there.reserve("alpha");
        let reserved = failure(&pair.degraded(&[]).await);
        assert_eq!(reserved["reason"], "push_rejected", "{reserved:#}");
        assert!(hint(&reserved).contains("reserved"), "{reserved:#}");
        let reads = pair.there.token_with_scopes("alice", &["read_api", "read_repository", "read:user"]);
        let run = pair.program(&[]).env("TO", reads).run().await;
        let scope = failure(&report(&run, 3));
        assert_eq!(scope["reason"], "forbidden", "{scope:#}");
        let needed = match kind {
            Dialect::Github => "`repo`",
            Dialect::Gitlab => "`api`",
            Dialect::Gitea => "`write:repository`",
        };
        assert!(hint(&scope).contains(needed), "{scope:#}");
    }
}

#[tokio::test]
async fn an_archived_copy_a_pull_mirror_and_one_that_may_only_be_read_have_ways_out_of_their_own() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        pair.source.repo("acme/alpha").branch("main");
        let copy = pair.foreign_copy().archived();
        let failure = |told: &Value| mirror(told, "acme/alpha")["destinations"][0]["failure"].clone();
        let archived = failure(&pair.degraded(&[]).await);
        assert_eq!(archived["reason"], "archived");
        assert!(archived["hint"].as_str().unwrap().contains("unarchive"), "{archived:#}");
        copy.unarchived();
        if kind != Dialect::Github {
            copy.pull_mirror();
            let pulls = failure(&pair.degraded(&[]).await);
            assert_eq!(pulls["reason"], "push_rejected");
            assert!(pulls["hint"].as_str().unwrap().contains("pull mirroring"), "{pulls:#}");
            continue;
        }
        let reader = pair.there.user("reader");
        copy.reader("reader");
        let run = pair.program(&[]).env("TO", reader).run().await;
        let reads = failure(&report(&run, 3));
        assert_eq!(reads["reason"], "forbidden", "{reads:#}");
        assert!(reads["hint"].as_str().unwrap().contains("`repo`"), "{reads:#}");
    }
}
