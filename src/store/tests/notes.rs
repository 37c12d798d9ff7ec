//! What may be written later, and when it is.

use super::*;

async fn noted(store: &Store, ids: std::ops::Range<usize>) {
    for id in ids {
        store.note(Note::Mirror(Box::new(bare(&id.to_string())))).await.unwrap();
    }
}

#[tokio::test]
async fn notes_are_written_when_asked_for_and_once() {
    let (_dir, path) = place();
    let store = open(&path).await;
    noted(&store, 0..3).await;
    let pushed = destinations::full("1");
    store.note(Note::Destination(Box::new(pushed.clone()))).await.unwrap();
    assert_eq!(mirrors(&store).await, vec![]);
    store.flush().await.unwrap();
    assert_eq!((mirrors(&store).await.len(), store.destinations().await.unwrap().rows), (3, vec![pushed]));
    execute(&store, "DELETE FROM mirrors").await;
    store.flush().await.unwrap();
    assert_eq!(mirrors(&store).await, vec![]);
}

#[tokio::test]
async fn many_notes_do_not_wait_for_the_end() {
    let (_dir, path) = place();
    let store = open(&path).await;
    noted(&store, 0..600).await;
    drop(store);
    assert_eq!(mirrors(&open(&path).await).await.len(), 512);
}

#[tokio::test]
async fn notes_that_cannot_be_written_are_an_error_and_wait() {
    let (_dir, path) = place();
    let store = open(&path).await;
    execute(&store, "ALTER TABLE mirrors RENAME TO elsewhere").await;
    noted(&store, 0..1).await;
    assert!(store.flush().await.is_err());
    execute(&store, "ALTER TABLE elsewhere RENAME TO mirrors").await;
    store.flush().await.unwrap();
    assert_eq!(mirrors(&store).await, vec![bare("0")]);
}
