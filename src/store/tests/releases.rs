//! Releases that we made, and when they were looked at.

use super::*;
use crate::model::projection::{MadeAsset, MadeRelease};

fn key(id: &str) -> MirrorKey {
    MirrorKey { folder: "github.com".into(), id: id.into() }
}

fn made(tag: &str) -> MadeRelease {
    MadeRelease {
        tag: tag.into(),
        id: "ünï '\"".into(),
        state: "0123456789abcdef".into(),
        complete: true,
        assets: vec![MadeAsset { name: "a b".into(), id: "7".into(), source: "sha256:00".into() }],
        links: vec!["docs".into()],
    }
}

fn look(destination: &str) -> ReleaseLook {
    ReleaseLook {
        key: key("1"),
        destination: destination.into(),
        rules: "5f3a".into(),
        in_step: false,
        looked_at: at("2026-11-03T08:00:00.5Z"),
        compared_at: at("2026-11-02T08:00:00Z"),
    }
}

async fn all(store: &Store, id: &str, destination: &str) -> Vec<MadeRelease> {
    let found = store.made_releases(&key(id), destination).await.unwrap();
    assert_eq!(found.ignored, []);
    found.rows
}

#[tokio::test]
async fn a_release_is_remembered_replaced_and_forgotten_by_repository_destination_and_tag() {
    let (_dir, path) = place();
    let store = open(&path).await;
    let other = MadeRelease { complete: false, assets: Vec::new(), links: Vec::new(), ..made("v2") };
    store.record_release(&key("1"), "gitlab", &other).await.unwrap();
    store.record_release(&key("1"), "gitlab", &made("v1")).await.unwrap();
    store.record_release(&key("2"), "gitlab", &made("v1")).await.unwrap();
    store.record_release(&key("1"), "codeberg", &made("v1")).await.unwrap();
    assert_eq!(all(&store, "1", "gitlab").await, [made("v1"), other]);
    store.record_release(&key("1"), "gitlab", &made("v2")).await.unwrap();
    store.close().await.unwrap();
    let store = open(&path).await;
    assert_eq!(all(&store, "1", "gitlab").await, [made("v1"), made("v2")]);
    store.forget_release(&key("1"), "gitlab", "v1").await.unwrap();
    assert_eq!(all(&store, "1", "gitlab").await, [made("v2")]);
    assert_eq!((all(&store, "2", "gitlab").await.len(), all(&store, "1", "codeberg").await.len()), (1, 1));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_costs_nothing_but_itself() {
    let (_dir, path) = place();
    let store = open(&path).await;
    store.record_release(&key("1"), "gitlab", &made("v1")).await.unwrap();
    store.record_release(&key("1"), "gitlab", &made("v2")).await.unwrap();
    execute(&store, "UPDATE releases SET assets = '{' WHERE tag = 'v1'").await;
    let found = store.made_releases(&key("1"), "gitlab").await.unwrap();
    assert_eq!((found.rows, found.ignored.len()), (vec![made("v2")], 1));
    assert!(found.ignored[0].to_string().contains("column `assets`"), "{}", found.ignored[0]);
}

#[tokio::test]
async fn a_look_is_replaced_by_the_next_one() {
    let (_dir, path) = place();
    let store = open(&path).await;
    for destination in ["local", "gitlab"] {
        store.record_release_look(&look(destination)).await.unwrap();
    }
    let next =
        ReleaseLook { rules: "7a".into(), in_step: true, looked_at: at("2026-11-04T08:00:00Z"), ..look("local") };
    store.record_release_look(&next).await.unwrap();
    let found = store.release_looks().await.unwrap();
    assert_eq!((found.rows, found.ignored), (vec![look("gitlab"), next], vec![]));
}
