//! What killed runs, torn files, other versions and other programs leave behind, and what the store makes of it.

use sqlx::ConnectOptions as _;

use super::*;

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
    let mut theirs = sqlite::options(&path).create_if_missing(true).connect().await.unwrap();
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
    record_all(&store, &records).await;
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
    record_all(&store, &(0..40).map(|n| full(&n.to_string())).collect::<Vec<_>>()).await;
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
    assert_eq!(schema::check(connection, &path).await.unwrap(), schema::DatabaseState::Version(schema::VERSION));
    let right = [schema::STEPS, &["CREATE TABLE notes (x TEXT)"]].concat();
    schema::migrate(connection, &path, &right).await.unwrap();
    sqlx::query("SELECT x FROM notes").fetch_all(&mut *connection).await.unwrap();
    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM mirrors").fetch_one(&mut *connection).await.unwrap();
    assert_eq!(kept, 1);
    assert!(matches!(schema::check(connection, &path).await, Err(StoreError::Newer { .. })));
}

#[tokio::test]
async fn a_store_of_version_1_is_migrated_and_keeps_its_rows() {
    let (_dir, path) = place();
    let store = open(&path).await;
    let now = at("2026-11-03T08:00:00Z");
    store.record(&full("1")).await.unwrap();
    store.save_pages(&[page("/1", "body")], now).await.unwrap();
    store.begin_run(now).await.unwrap();
    execute(&store, "DROP TABLE destinations; DROP TABLE open_rules; DROP TABLE releases; DROP TABLE release_looks")
        .await;
    execute(&store, "ALTER TABLE mirrors DROP COLUMN packs; PRAGMA user_version = 1").await;
    let (_other, first) = place();
    let mut first = sqlite::options(&first).create_if_missing(true).connect().await.unwrap();
    schema::migrate(&mut first, &path, &schema::STEPS[..1]).await.unwrap();
    assert_eq!(tables(&mut *store.connection.lock().await).await, tables(&mut first).await, "this is version 1");
    store.close().await.unwrap();

    assert!(matches!(Store::open_read_only(&path).await, Err(StoreError::Older { found: 1, .. })));
    let store = open(&path).await;
    assert_eq!(mirrors(&store).await, [MirrorRecord { packs: None, ..full("1") }]);
    assert_eq!(store.pages().await.unwrap().rows, [page("/1", "body")]);
    assert_eq!(store.recent_runs(9).await.unwrap().rows.len(), 1);
    store.record_destination(&destinations::full("1")).await.unwrap();
    assert_eq!(store.destinations().await.unwrap().rows, [destinations::full("1")]);
    assert_eq!(store.open_rules().await.unwrap().rows, []);
}

/// How every table was made.
async fn tables(connection: &mut sqlite::Connection) -> Vec<String> {
    sqlx::query_scalar("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
        .fetch_all(connection)
        .await
        .unwrap()
}
