//! What is remembered of destinations, and the journal of open rules.

use super::*;

/// A record with something in every field.
pub fn full(id: &str) -> DestinationRecord {
    DestinationRecord {
        key: MirrorKey { folder: "github.com".into(), id: id.into() },
        destination: "gitlab".into(),
        place: "https://gitlab.example.org/Ünï/a b '\".git".into(),
        rules: "5f3a".into(),
        former: vec!["old/place".into()],
        verdict: PushVerdict::Refused,
        failure: Some(Failure::new(Reason::PushRejected, "refused").with_evidence("remote: no").with_hint("ask them")),
        failures_in_a_row: 3,
        retry_at: Some(at("2026-11-03T08:04:00Z")),
        last_attempt: at("2026-11-03T08:00:00.123Z"),
        last_success: Some(at("2026-11-02T08:00:00Z")),
    }
}

fn bare(id: &str) -> DestinationRecord {
    DestinationRecord { verdict: PushVerdict::Current, failure: None, last_success: None, ..full(id) }
}

fn rule(name: &str) -> OpenRule {
    OpenRule {
        destination: "gitlab".into(),
        target: "42".into(),
        rule: name.into(),
        undo: json!({"allow_force_push": false, "levels": [40, {"user": "ünï"}], "none": null}),
        opened_at: at("2026-11-03T08:00:00.5Z"),
    }
}

async fn destinations(store: &Store) -> Vec<DestinationRecord> {
    let found = store.destinations().await.unwrap();
    assert_eq!(found.ignored, []);
    found.rows
}

async fn open_rules(store: &Store) -> Vec<OpenRule> {
    let found = store.open_rules().await.unwrap();
    assert_eq!(found.ignored, []);
    found.rows
}

#[tokio::test]
async fn each_destination_of_a_mirror_has_a_record_of_its_own() {
    let (_dir, path) = place();
    let store = open(&path).await;
    let other = DestinationRecord { destination: "codeberg".into(), ..bare("1") };
    for record in [full("1"), other.clone(), full("2")] {
        store.record_destination(&record).await.unwrap();
    }
    store.close().await.unwrap();
    assert_eq!(destinations(&open(&path).await).await, [other, full("1"), full("2")]);
}

#[tokio::test]
async fn a_second_record_replaces_every_field_of_a_destinations_first() {
    let (_dir, path) = place();
    let store = open(&path).await;
    store.record_destination(&full("1")).await.unwrap();
    let changed = DestinationRecord {
        place: "p".into(),
        rules: "r".into(),
        last_attempt: at("2026-11-04T08:00:00Z"),
        ..bare("1")
    };
    store.record_destination(&changed).await.unwrap();
    assert_eq!(destinations(&store).await, [changed]);
}

#[tokio::test]
async fn every_verdict_can_be_recorded() {
    use PushVerdict::{Current, Diverged, Failed, Held, Pushed, Refused, Skipped};
    let (_dir, path) = place();
    let store = open(&path).await;
    for verdict in [Pushed, Current, Diverged, Held, Refused, Failed, Skipped] {
        let record = DestinationRecord { verdict, ..full("1") };
        store.record_destination(&record).await.unwrap();
        assert_eq!(destinations(&store).await, [record]);
    }
}

#[tokio::test]
async fn a_destination_that_cannot_be_read_is_left_out_and_named() {
    let (_dir, path) = place();
    let store = open(&path).await;
    for damage in [
        "UPDATE destinations SET verdict = 'splendid' WHERE id = '2'",
        "UPDATE destinations SET last_attempt = 'yesterday' WHERE id = '2'",
        "UPDATE destinations SET failure = '{' WHERE id = '2'",
        "UPDATE destinations SET rules = x'ff' WHERE id = '2'",
    ] {
        for id in ["1", "2"] {
            store.record_destination(&full(id)).await.unwrap();
        }
        execute(&store, damage).await;
        let found = store.destinations().await.unwrap();
        assert_eq!(found.rows, [full("1")], "{damage}");
        let told = found.ignored[0].to_string();
        assert!(told.starts_with("the store's row `github.com 2 gitlab` in `destinations` is unreadable"), "{told}");
    }
}

#[tokio::test]
async fn a_rule_is_noted_until_it_is_forgotten_although_the_run_was_killed() {
    let (_dir, path) = place();
    let killed = open(&path).await;
    let elsewhere = OpenRule { target: "43".into(), ..rule("main") };
    for rule in [rule("main"), rule("release/*"), elsewhere.clone()] {
        assert_eq!(killed.note_open_rule(&rule).await.unwrap(), rule);
    }
    let store = open(&path).await;
    std::mem::forget(killed);
    assert_eq!(open_rules(&store).await, [rule("main"), rule("release/*"), elsewhere.clone()]);
    store.forget_open_rule("gitlab", "42", "main").await.unwrap();
    store.forget_open_rule("gitlab", "42", "main").await.unwrap();
    assert_eq!(open_rules(&open(&path).await).await, [rule("release/*"), elsewhere]);
}

#[tokio::test]
async fn a_rule_that_a_killed_run_left_open_is_put_back_as_that_run_found_it() {
    let (_dir, path) = place();
    let store = open(&path).await;
    store.note_open_rule(&rule("main")).await.unwrap();
    let seen_open =
        OpenRule { undo: json!({"allow_force_push": true}), opened_at: at("2026-11-04T08:00:00Z"), ..rule("main") };
    assert_eq!(store.note_open_rule(&seen_open).await.unwrap(), rule("main"));
    assert_eq!(open_rules(&open(&path).await).await, [rule("main")]);
    store.forget_open_rule("gitlab", "42", "main").await.unwrap();
    assert_eq!(store.note_open_rule(&seen_open).await.unwrap(), seen_open, "after it was put back");
}

#[tokio::test]
async fn a_note_that_cannot_be_read_is_told_and_gives_way_to_a_new_one() {
    let (_dir, path) = place();
    let store = open(&path).await;
    store.note_open_rule(&rule("main")).await.unwrap();
    execute(&store, "UPDATE open_rules SET undo = '{'").await;
    let found = store.open_rules().await.unwrap();
    assert_eq!((found.rows.len(), found.ignored[0].key.as_str()), (0, "gitlab 42 main"));
    store.note_open_rule(&rule("main")).await.unwrap();
    assert_eq!(open_rules(&store).await, [rule("main")]);
}

#[tokio::test]
async fn a_rule_that_cannot_be_noted_is_an_error() {
    let (_dir, path) = place();
    let store = open(&path).await;
    store.note_open_rule(&rule("main")).await.unwrap();
    let look = Store::open_read_only(&path).await.unwrap().unwrap();
    assert!(look.note_open_rule(&rule("other")).await.is_err());
    assert_eq!(open_rules(&look).await, [rule("main")]);
}
