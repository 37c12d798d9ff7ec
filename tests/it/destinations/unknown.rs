//! Existence that is not known never creates, and what keeps a repository from being made or pushed to is named.

use serde_json::json;

use super::{KINDS, Pair};
use crate::support::{Dialect, Fault};

#[tokio::test]
async fn an_unknown_existence_creates_nothing() {
    let faults = || {
        [
            Fault::status(403),
            Fault::status(404),
            Fault::status(500),
            Fault::html_line(),
            Fault::cut_after(0),
            Fault::empty_body(),
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
