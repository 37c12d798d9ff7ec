//! The store on real files: what survives, what is refused, what is rebuilt.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::base::failure::{Failure, Reason};
use crate::base::secret::Secret;
use crate::base::url::RemoteUrl;
use crate::model::destination::PushVerdict;
use crate::model::{MirrorKey, RepoPath, Verdict};

mod damage;
mod destinations;
mod notes;
mod releases;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    (dir, path)
}

async fn open(path: &Path) -> Store {
    let opened = Store::open(path).await.unwrap();
    assert_eq!(opened.rebuilt, None);
    opened.store
}

/// A record with something in every field.
fn full(id: &str) -> MirrorRecord {
    MirrorRecord {
        key: MirrorKey { folder: "github.com".into(), id: id.into() },
        source: "github".into(),
        path: RepoPath::new("Ünï/grüße", "a b '\"; DROP TABLE mirrors").unwrap(),
        mirror: PathBuf::from("github.com/Ünï/grüße/a b.git"),
        url: "https://github.com/%C3%9Cn%C3%AF/x.git".into(),
        default_branch: Some("größe/日本".into()),
        pushed_at: Some(at("2026-11-01T08:00:00.123456789Z")),
        verdict: Verdict::Unavailable,
        degraded: true,
        failure: Some(Failure::new(Reason::Blocked, "blocked").with_evidence("HTTP 451").with_hint("ask them")),
        failures_in_a_row: u32::MAX,
        retry_at: Some(at("2026-11-03T08:00:00Z")),
        last_attempt: Some(at("2026-11-02T08:00:00Z")),
        last_success: Some(at("2026-10-30T08:00:00Z")),
        last_full: Some(at("2026-10-29T08:00:00Z")),
        refs: 5001,
        size_bytes: Some(7_000_000_000),
        packs: Some(51),
        kept_refs: 3,
        gone_since: Some(at("1999-12-31T23:59:59Z")),
        empty: true,
    }
}

/// A record with as little in it as there can be.
fn bare(id: &str) -> MirrorRecord {
    MirrorRecord {
        default_branch: None,
        pushed_at: None,
        verdict: Verdict::Cloned,
        degraded: false,
        failure: None,
        failures_in_a_row: 0,
        retry_at: None,
        last_attempt: None,
        last_success: None,
        last_full: None,
        refs: 0,
        size_bytes: None,
        packs: None,
        kept_refs: 0,
        gone_since: None,
        empty: false,
        ..full(id)
    }
}

async fn record_all(store: &Store, records: &[MirrorRecord]) {
    for record in records {
        store.record(record).await.unwrap();
    }
}

async fn mirrors(store: &Store) -> Vec<MirrorRecord> {
    let found = store.mirrors().await.unwrap();
    assert_eq!(found.ignored, []);
    found.rows
}

fn page(url: &str, body: &str) -> StoredPage {
    StoredPage { source: "github".into(), url: url.into(), etag: "W/\"1\"".into(), next: None, body: body.into() }
}

/// Every file below a directory with its bytes.
fn listing(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect()
}

async fn execute(store: &Store, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&mut *store.connection.lock().await).await.unwrap();
}

#[tokio::test]
async fn every_field_survives_closing_and_opening() {
    let (_dir, path) = place();
    let store = open(&path).await;
    store.record(&full("1")).await.unwrap();
    store.record(&bare("2")).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(mirrors(&open(&path).await).await, [full("1"), bare("2")]);
}

#[tokio::test]
async fn a_second_record_replaces_every_field_of_the_first() {
    let (_dir, path) = place();
    let store = open(&path).await;
    record_all(&store, &[full("1"), full("2")]).await;
    let changed = MirrorRecord { source: "s".into(), mirror: "m".into(), url: "/u".into(), ..bare("1") };
    store.record(&changed).await.unwrap();
    assert_eq!(mirrors(&store).await, [changed, full("2")]);
}

#[tokio::test]
async fn what_was_recorded_is_there_although_the_store_was_never_closed() {
    let (_dir, path) = place();
    let killed = open(&path).await;
    killed.record(&full("1")).await.unwrap();
    assert_eq!(mirrors(&open(&path).await).await, [full("1")]);
    std::mem::forget(killed);
}

#[tokio::test]
async fn a_look_creates_and_changes_nothing() {
    let (dir, path) = place();
    assert!(Store::open_read_only(&path).await.unwrap().is_none());
    assert!(Store::open_read_only(&dir.path().join("missing/store.db")).await.unwrap().is_none());
    assert_eq!(listing(dir.path()).len(), 0);

    let store = open(&path).await;
    store.record(&full("1")).await.unwrap();
    store.close().await.unwrap();
    let before = listing(dir.path());
    let look = Store::open_read_only(&path).await.unwrap().unwrap();
    assert_eq!(mirrors(&look).await, [full("1")]);
    assert!(look.record(&full("2")).await.is_err());
    assert_eq!(listing(dir.path()), before);
    look.close().await.unwrap();
    assert_eq!(listing(dir.path()), before);
}

#[tokio::test]
async fn a_file_system_that_refuses_is_an_error_and_not_damage() {
    let (dir, path) = place();
    fs::write(&path, "a file").unwrap();
    let below = path.join("store.db");
    assert!(matches!(Store::open(&below).await, Err(StoreError::Io { .. })));
    assert!(matches!(Store::open_read_only(&below).await, Err(StoreError::Io { .. })));
    assert!(matches!(Store::open(dir.path()).await, Err(StoreError::Io { .. })), "a directory in its place");
    assert_eq!(listing(dir.path()).len(), 1);
}

#[tokio::test]
async fn a_full_disk_is_told_and_keeps_the_former_record() {
    let (_dir, path) = place();
    let store = open(&path).await;
    store.record(&bare("1")).await.unwrap();
    execute(&store, "PRAGMA max_page_count = 1").await;
    let pages: Vec<StoredPage> = (0..20).map(|n| page(&format!("/{n}"), &"x".repeat(5000))).collect();
    let error = store.save_pages(&pages, at("2026-11-03T08:00:00Z")).await.unwrap_err();
    assert_eq!(Failure::from(error).reason(), Reason::DiskFull);
    drop(store);
    let store = open(&path).await;
    assert_eq!((mirrors(&store).await, store.pages().await.unwrap().rows), (vec![bare("1")], vec![]));
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_can_read_the_store() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_dir, path) = place();
    open(&path).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_secret_in_a_url_never_reaches_the_file() {
    let (dir, path) = place();
    let canary = Secret::new("canary-in-the-store-7391");
    let store = open(&path).await;
    for (id, url) in ["https://u:SECRET@h/x.git", "https://SECRET@h/x.git", "https://h/x.git?private_token=SECRET"]
        .into_iter()
        .enumerate()
    {
        let url = RemoteUrl::parse(&url.replace("SECRET", canary.expose())).unwrap();
        let failure = Failure::new(Reason::Unknown, format!("fatal: {}", canary.expose()));
        let record = MirrorRecord { url: url.to_string(), failure: Some(failure), ..full(&id.to_string()) };
        let place = record.url.clone();
        let pushed =
            DestinationRecord { place, failure: record.failure.clone(), ..destinations::full(&id.to_string()) };
        store.record(&record).await.unwrap();
        store.record_destination(&pushed).await.unwrap();
    }
    let now = at("2026-11-03T08:00:00Z");
    store.save_pages(&[page("/1", canary.expose()), page("/2", "harmless")], now).await.unwrap();
    assert_eq!(store.pages().await.unwrap().rows, [page("/2", "harmless")]);
    store.close().await.unwrap();
    for (file, bytes) in listing(dir.path()) {
        let found = bytes.windows(canary.expose().len()).any(|window| window == canary.expose().as_bytes());
        assert!(!found, "{}", file.display());
    }
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_left_out_named_and_healed_by_the_next_record() {
    let (_dir, path) = place();
    let store = open(&path).await;
    for damage in [
        "UPDATE mirrors SET verdict = 'splendid' WHERE id = '2'",
        "UPDATE mirrors SET pushed_at = 'yesterday' WHERE id = '2'",
        "UPDATE mirrors SET failure = '{' WHERE id = '2'",
        "UPDATE mirrors SET failures_in_a_row = -1 WHERE id = '2'",
        "UPDATE mirrors SET refs = x'00ff' WHERE id = '2'",
        "UPDATE mirrors SET path = '../../etc' WHERE id = '2'",
        "UPDATE mirrors SET mirror = 'h/../../etc' WHERE id = '2'",
        "UPDATE mirrors SET mirror = '/etc' WHERE id = '2'",
        "UPDATE mirrors SET source = x'ff' WHERE id = '2'",
    ] {
        record_all(&store, &[full("1"), full("2")]).await;
        execute(&store, damage).await;
        let found = store.mirrors().await.unwrap();
        assert_eq!(found.rows, [full("1")], "{damage}");
        let told = found.ignored[0].to_string();
        assert!(told.starts_with("the store's row `github.com 2` in `mirrors` is unreadable"), "{told}");
        let column = damage.split_whitespace().nth(3).unwrap();
        assert!(told.contains(column), "{told}");
    }
    store.record(&full("2")).await.unwrap();
    assert_eq!(mirrors(&store).await.len(), 2);
}

#[tokio::test]
async fn a_reader_sees_whole_states_while_another_process_writes() {
    let (_dir, path) = place();
    let writer = open(&path).await;
    let now = at("2026-11-03T08:00:00Z");
    writer.save_pages(&[page("/1", "0"), page("/2", "0")], now).await.unwrap();
    let reader = Store::open_read_only(&path).await.unwrap().unwrap();
    let write = async {
        for number in 1..=40 {
            let pages = ["/1", "/2"].map(|url| page(url, &number.to_string()));
            writer.save_pages(&pages, now).await.unwrap();
        }
    };
    let read = async {
        for _ in 0..40 {
            let seen = reader.pages().await.unwrap().rows;
            assert_eq!(seen[0].body, seen[1].body);
        }
    };
    tokio::join!(write, read);
    assert_eq!(reader.pages().await.unwrap().rows[1].body, "40");
}

#[tokio::test]
async fn a_write_that_is_abandoned_on_the_way_leaves_all_or_nothing_and_blocks_nobody() {
    let pages: Vec<StoredPage> = (0..100).map(|n| page(&format!("/{n}"), "body")).collect();
    let now = at("2026-11-03T08:00:00Z");
    let mut abandoned = 0;
    for steps in [1, 10, 100, 1000, 10_000] {
        let (_dir, path) = place();
        let store = open(&path).await;
        let mut writing = Box::pin(store.save_pages(&pages, now));
        // The caller is cancelled after so many steps.
        let cancelled = tokio::select! {
            biased;
            () = async { for _ in 0..steps { tokio::task::yield_now().await; } } => true,
            result = &mut writing => { result.unwrap(); false }
        };
        drop(writing);
        abandoned += usize::from(cancelled);
        let found = store.pages().await.unwrap().rows.len();
        assert!(found == 100 || cancelled && found == 0, "{found} after {steps} steps");
        store.record(&bare("1")).await.unwrap();
        let again = open(&path).await;
        assert_eq!((mirrors(&again).await.len(), again.pages().await.unwrap().rows.len()), (1, found));
    }
    assert!(abandoned > 0);
}

#[tokio::test]
async fn runs_are_kept_newest_first_and_only_a_thousand_of_them() {
    let (_dir, path) = place();
    let store = open(&path).await;
    execute(
        &store,
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
         INSERT INTO runs (id, started) SELECT i, '2026-11-01T00:00:00Z' FROM n",
    )
    .await;
    let killed = store.begin_run(at("2026-11-02T08:00:00Z")).await.unwrap();
    let id = store.begin_run(at("2026-11-03T08:00:00Z")).await.unwrap();
    let totals = json!({"updated": 3, "failed": 0});
    store.finish_run(id, at("2026-11-03T08:01:00Z"), 130, &totals).await.unwrap();
    drop(store);
    let store = open(&path).await;
    let newest = store.recent_runs(2).await.unwrap();
    assert_eq!(
        newest.rows,
        [
            Run {
                id,
                started: at("2026-11-03T08:00:00Z"),
                finished: Some(at("2026-11-03T08:01:00Z")),
                exit_code: Some(130),
                totals: Some(totals),
            },
            Run { id: killed, started: at("2026-11-02T08:00:00Z"), finished: None, exit_code: None, totals: None },
        ]
    );
    assert_eq!(store.recent_runs(u32::MAX).await.unwrap().rows.len(), 1000);
}

#[tokio::test]
async fn pages_are_replaced_kept_while_used_and_dropped_after_ninety_days() {
    let (dir, path) = place();
    let store = open(&path).await;
    let start = at("2026-01-01T00:00:00.5Z");
    let day = |n: i64| start + SignedDuration::from_hours(24 * n);
    let other = StoredPage { source: "gitlab".into(), ..page("/1", "other") };
    store.save_pages(&[page("/1", "old"), page("/2", "two"), other.clone()], start).await.unwrap();
    let newer = StoredPage { etag: "2".into(), next: Some("/2".into()), ..page("/1", "new") };
    store.save_pages(std::slice::from_ref(&newer), start).await.unwrap();
    assert_eq!(store.pages().await.unwrap().rows, [newer.clone(), page("/2", "two"), other.clone()]);

    let before = listing(dir.path());
    store.save_pages(std::slice::from_ref(&newer), start + SignedDuration::from_hours(3)).await.unwrap();
    assert_eq!(listing(dir.path()), before, "an unchanged page costs no write");

    store.save_pages(std::slice::from_ref(&newer), day(60)).await.unwrap();
    store.save_pages(&[], day(90)).await.unwrap();
    assert_eq!(store.pages().await.unwrap().rows.len(), 3);
    store.save_pages(&[], day(91)).await.unwrap();
    assert_eq!(store.pages().await.unwrap().rows, std::slice::from_ref(&newer), "used on day 60");
}
