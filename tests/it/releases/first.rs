//! What a first run makes, what a second one does not, and what a change costs.

use serde_json::json;

use super::{assert_same, counts, pair, told};
use crate::destinations::KINDS;
use crate::support::Repo;

/// Three releases: one plain, one with files of odd names, one a prerelease.
fn fill(alpha: &Repo) {
    alpha.release("v1.0").title("One").notes("The first.\n\n- it works");
    let two = alpha.release("v2.0").title("Two").notes("Better.").latest();
    two.asset(&format!("{}.zip", "long-".repeat(40)), b"long");
    two.asset("tool-linux.tar.gz", b"linux").asset("with space (1)+ü.zip", &[7; 300_000]).asset("SHA256SUMS", b"sums");
    alpha.release("v3.0-rc1").title("").notes("Soon.").prerelease().asset("tool.exe", b"MZ");
    alpha.edit_release("v3.0-rc1", |release| release.title("v3.0-rc1"));
}

#[tokio::test]
async fn every_release_arrives_with_its_files_and_a_second_run_writes_nothing() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        fill(&alpha);
        let report = pair.run(&[], 0).await;
        assert_same(kind, &alpha, &pair.copy());
        assert_eq!(
            (&told(&report)["verdict"], counts(&report)),
            (&"projected".into(), json!({"created": 3, "assets": 5, "bytes": 300_015})),
            "{kind:?}"
        );
        assert!(pair.there.storage_leaks().is_empty() && pair.source.storage_leaks().is_empty());
        for args in [&[][..], &["--full"], &["--window", "0"]] {
            pair.there.reset_log();
            let report = pair.run(args, 0).await;
            assert_eq!((&told(&report)["verdict"], counts(&report)), (&"current".into(), json!({"in_sync": 3})));
            assert_eq!(pair.there.writes().len(), 0, "{kind:?} {args:?}");
            if args.is_empty() {
                assert_eq!(pair.there.requests().len(), 0, "nothing was changed, so nothing is asked there");
            }
        }
    }
}

#[tokio::test]
async fn a_lost_store_makes_nothing_twice() {
    for kind in KINDS {
        let (pair, alpha) = pair(kind).await;
        fill(&alpha);
        pair.run(&[], 0).await;
        pair.env.lose_store();
        pair.there.reset_log();
        let report = pair.run(&[], 0).await;
        assert_eq!((counts(&report), pair.there.writes().len()), (json!({"in_sync": 3}), 0), "{kind:?}");
        assert_same(kind, &alpha, &pair.copy());
    }
}
