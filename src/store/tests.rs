//! The store on real files: what survives, what is refused, what is rebuilt.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::failure::{Failure, Reason};
use crate::model::{MirrorKey, RepoPath, Verdict};
use crate::secret::Secret;
use crate::url::RemoteUrl;

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
        kept_refs: 0,
        gone_since: None,
        empty: false,
        ..full(id)
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
    store.record_all(&[full("1"), full("2")]).await.unwrap();
    let changed = MirrorRecord { source: "s".into(), mirror: "m".into(), url: "/u".into(), ..bare("1") };
    store.record(&changed).await.unwrap();
    assert_eq!(mirrors(&store).await, [changed, full("2")]);
    store.forget(&full("1").key).await.unwrap();
    assert_eq!(mirrors(&store).await, [full("2")]);
}

#[tokio::test]
async fn what_was_recorded_is_there_although_the_store_was_never_closed() {
    let (_dir, path) = place();
    let killed = open(&path).await;
    killed.record(&full("1")).await.unwrap();
    assert_eq!(mirrors(&open(&path).await).await, [full("1")]);
    std::mem::forget(killed);
}

/// Brings a directory into the state that `kill -9` leaves in the middle of a transaction whose pages have reached
/// the file: half-written, with a journal that undoes it.
async fn killed_while_writing(path: &Path) {
    let (_dir, origin) = place();
    let store = open(&origin).await;
    store.record(&full("1")).await.unwrap();
    // The version stands on page 1, so that this page is the first in the journal.
    execute(&store, "PRAGMA cache_size = 1; BEGIN IMMEDIATE; PRAGMA user_version = 1; DELETE FROM mirrors").await;
    let pages: Vec<StoredPage> = (0..50).map(|n| page(&format!("/{n}"), &"x".repeat(5000))).collect();
    for page in &pages {
        sqlx::query("INSERT INTO pages (source, url, etag, body, used_at) VALUES ($1, $2, '', $3, '')")
            .bind(&page.source)
            .bind(&page.url)
            .bind(&page.body)
            .execute(&mut *store.connection.lock().await)
            .await
            .unwrap();
    }
    let journal = |path: &Path| PathBuf::from(format!("{}-journal", path.display()));
    fs::copy(&origin, path).unwrap();
    fs::copy(journal(&origin), journal(path)).unwrap();
    execute(&store, "ROLLBACK").await;
}

#[tokio::test]
async fn a_half_written_transaction_is_undone_by_the_next_run() {
    let (dir, path) = place();
    killed_while_writing(&path).await;
    let store = open(&path).await;
    assert_eq!(mirrors(&store).await, [full("1")]);
    assert_eq!(store.pages().await.unwrap().rows, []);
    assert_eq!(listing(dir.path()).len(), 1, "the journal is gone");
}

#[tokio::test]
async fn a_header_torn_by_a_power_cut_is_healed_from_the_journal() {
    let (_dir, path) = place();
    killed_while_writing(&path).await;
    let mut torn = fs::read(&path).unwrap();
    torn[..512].fill(0);
    fs::write(&path, torn).unwrap();
    assert_eq!(mirrors(&Store::open_read_only(&path).await.unwrap().unwrap()).await, [full("1")]);
    assert_eq!(mirrors(&open(&path).await).await, [full("1")]);
}

#[tokio::test]
async fn a_look_sees_past_a_half_written_transaction_and_leaves_it_alone() {
    let (dir, path) = place();
    killed_while_writing(&path).await;
    let before = listing(dir.path());
    assert_eq!(before.len(), 2);
    let store = Store::open_read_only(&path).await.unwrap().unwrap();
    assert_eq!(mirrors(&store).await, [full("1")]);
    assert!(store.record(&full("2")).await.is_err(), "the copy takes no records that would vanish with it");
    store.close().await.unwrap();
    assert_eq!(listing(dir.path()), before);
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused_and_not_touched() {
    let (dir, path) = place();
    let store = open(&path).await;
    // A newer version may do as it likes, such as keep a write-ahead log.
    execute(&store, "PRAGMA user_version = 77; CREATE TABLE later (x TEXT); PRAGMA journal_mode = WAL").await;
    store.close().await.unwrap();
    let before = listing(dir.path());
    for error in [Store::open(&path).await.unwrap_err(), Store::open_read_only(&path).await.unwrap_err()] {
        assert!(matches!(error, StoreError::Newer { found: 77, known: schema::VERSION, .. }), "{error}");
        assert!(error.hint().contains("newer holocron"));
    }
    assert_eq!(listing(dir.path()), before);
}

#[tokio::test]
async fn another_programs_database_is_refused_and_not_touched() {
    let (dir, path) = place();
    let mut theirs = options(&path).create_if_missing(true).connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE bookmarks (x TEXT)").execute(&mut theirs).await.unwrap();
    theirs.close().await.unwrap();
    let before = listing(dir.path());
    assert!(matches!(Store::open(&path).await, Err(StoreError::Foreign { .. })));
    assert!(matches!(Store::open_read_only(&path).await, Err(StoreError::Foreign { .. })));
    assert_eq!(listing(dir.path()), before);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_moved_aside_and_rebuilt() {
    let (dir, path) = place();
    fs::write(&path, "not a database, but someone's notes").unwrap();
    fs::write(dir.path().join("store.db-journal"), "and a journal").unwrap();
    let error = Store::open_read_only(&path).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }) && error.hint().contains("a normal run"), "{error}");

    let opened = Store::open(&path).await.unwrap();
    let moved = opened.rebuilt.unwrap();
    assert!(moved.file_name().unwrap().to_str().unwrap().starts_with("store.db.damaged-2"), "{}", moved.display());
    assert_eq!(fs::read_to_string(&moved).unwrap(), "not a database, but someone's notes");
    assert_eq!(fs::read_to_string(format!("{}-journal", moved.display())).unwrap(), "and a journal");
    opened.store.record(&full("1")).await.unwrap();
    drop(opened.store);
    assert_eq!(mirrors(&open(&path).await).await, [full("1")]);
}

#[tokio::test]
async fn a_truncated_store_is_rebuilt_wherever_it_was_cut() {
    let (_dir, path) = place();
    let store = open(&path).await;
    let records: Vec<MirrorRecord> = (0..40).map(|n| full(&n.to_string())).collect();
    store.record_all(&records).await.unwrap();
    store.close().await.unwrap();
    let whole = fs::read(&path).unwrap();
    assert!(whole.len() > 16 * 1024);
    for cut in (0..whole.len()).step_by(512).chain([1, 99, 101]) {
        let (dir, path) = place();
        fs::write(&path, &whole[..cut]).unwrap();
        let looked = Store::open_read_only(&path).await;
        let opened = Store::open(&path).await.unwrap();
        if cut == 0 {
            assert!(opened.rebuilt.is_none() && looked.unwrap().is_none(), "an empty file is a new store");
        } else {
            assert!(matches!(looked, Err(StoreError::Damaged { .. })), "cut at {cut}: {looked:?}");
            assert_eq!(fs::read(opened.rebuilt.unwrap()).unwrap(), whole[..cut], "cut at {cut}");
        }
        opened.store.record(&full("1")).await.unwrap();
        assert_eq!(mirrors(&opened.store).await, [full("1")], "cut at {cut} of {}", dir.path().display());
    }
}

#[tokio::test]
async fn overwritten_bytes_anywhere_are_survived_and_told() {
    let (_dir, path) = place();
    let store = open(&path).await;
    store.record_all(&(0..40).map(|n| full(&n.to_string())).collect::<Vec<_>>()).await.unwrap();
    store.close().await.unwrap();
    let whole = fs::read(&path).unwrap();
    for place_of_damage in (0..whole.len()).step_by(769) {
        let (_dir, path) = place();
        let mut broken = whole.clone();
        let end = (place_of_damage + 64).min(broken.len());
        broken[place_of_damage..end].fill(0xff);
        fs::write(&path, &broken).unwrap();
        match Store::open(&path).await {
            // The damage lies in a value, or where nothing is kept.
            Ok(Opened { store, rebuilt: None }) => {
                let found = store.mirrors().await.unwrap();
                assert_eq!(found.rows.len() + found.ignored.len(), 40, "damage at {place_of_damage}");
            }
            Ok(Opened { rebuilt: Some(moved), .. }) => assert_eq!(fs::read(moved).unwrap(), broken),
            Err(StoreError::Newer { .. } | StoreError::Foreign { .. }) if place_of_damage < 100 => {}
            Err(error) => panic!("damage at {place_of_damage}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_store_that_lost_a_table_is_rebuilt() {
    let (_dir, path) = place();
    let store = open(&path).await;
    execute(&store, "DROP TABLE runs").await;
    store.close().await.unwrap();
    assert!(matches!(Store::open_read_only(&path).await, Err(StoreError::Damaged { .. })));
    assert!(Store::open(&path).await.unwrap().rebuilt.is_some());
}

#[tokio::test]
async fn an_older_store_is_migrated_whole_or_not_at_all() {
    let (_dir, path) = place();
    let store = open(&path).await;
    store.record(&full("1")).await.unwrap();
    let connection = &mut *store.connection.lock().await;
    let failing = [schema::STEPS, &["CREATE TABLE notes (x TEXT)", "CREATE TABLE notes (x TEXT)"]].concat();
    assert!(schema::migrate(connection, &path, &failing).await.is_err());
    assert_eq!(schema::check(connection, &path).await.unwrap(), schema::Found::Version(schema::VERSION));
    let right = [schema::STEPS, &["CREATE TABLE notes (x TEXT)"]].concat();
    schema::migrate(connection, &path, &right).await.unwrap();
    sqlx::query("SELECT x FROM notes").fetch_all(&mut *connection).await.unwrap();
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM mirrors").fetch_one(&mut *connection).await.unwrap();
    assert_eq!(kept, 1);
    assert!(matches!(schema::check(connection, &path).await, Err(StoreError::Newer { found: 2, .. })));
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
    assert_eq!(Failure::from(error).reason, Reason::DiskFull);
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
        store.record(&record).await.unwrap();
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
        store.record_all(&[full("1"), full("2")]).await.unwrap();
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
    writer.record_all(&[bare("1"), bare("2")]).await.unwrap();
    let reader = Store::open_read_only(&path).await.unwrap().unwrap();
    let write = async {
        for refs in 1..=40 {
            let records = ["1", "2"].map(|id| MirrorRecord { refs, ..bare(id) });
            writer.record_all(&records).await.unwrap();
        }
    };
    let read = async {
        for _ in 0..40 {
            let seen = mirrors(&reader).await;
            assert_eq!(seen[0].refs, seen[1].refs);
        }
    };
    tokio::join!(write, read);
    assert_eq!(mirrors(&reader).await[1].refs, 40);
}

#[tokio::test]
async fn a_write_that_is_abandoned_on_the_way_leaves_all_or_nothing_and_blocks_nobody() {
    let records: Vec<MirrorRecord> = (0..100).map(|n| bare(&n.to_string())).collect();
    let mut abandoned = 0;
    for steps in [1, 10, 100, 1000, 10_000] {
        let (_dir, path) = place();
        let store = open(&path).await;
        let mut writing = Box::pin(store.record_all(&records));
        // The caller is cancelled after so many steps.
        let cancelled = tokio::select! {
            biased;
            () = async { for _ in 0..steps { tokio::task::yield_now().await; } } => true,
            result = &mut writing => { result.unwrap(); false }
        };
        drop(writing);
        abandoned += usize::from(cancelled);
        let found = mirrors(&store).await.len();
        assert!(found == 100 || cancelled && found == 0, "{found} after {steps} steps");
        store.record(&bare("1")).await.unwrap();
        assert_eq!(mirrors(&open(&path).await).await.len(), found.max(1));
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

    store.save_pages(std::slice::from_ref(&other), day(91)).await.unwrap();
    store.forget_pages("github").await.unwrap();
    assert_eq!(store.pages().await.unwrap().rows, [other]);
}
