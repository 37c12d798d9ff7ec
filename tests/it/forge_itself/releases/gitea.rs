//! Gitea's habits; `contract.rs` compares its answers with those of a real one.

use serde_json::json;

use super::{attach, call, forge_with_tag, get, send};
use crate::support::{Forge, Repo, TestEnv};

fn releases(forge: &Forge) -> String {
    format!("{}/repos/acme/alpha/releases", forge.gitea_api())
}

fn names(alpha: &Repo) -> Vec<String> {
    alpha.seen_release("v1").assets.into_iter().map(|asset| asset.name).collect()
}

#[tokio::test]
async fn equal_names_are_stored_twice_and_any_name_is_kept() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1");
    let url = format!("{}/{}/assets", releases(&forge), alpha.release_ids("v1")[0]);
    for _ in 0..2 {
        attach(&format!("{url}?name=n%C3%A4me%20(1).zip"), &forge.token(), b"bytes").await.expect(201);
    }
    attach(&url, &forge.token(), b"").await.expect(201);
    assert_eq!(names(&alpha), ["näme (1).zip", "näme (1).zip", "of-form"]);
    assert_eq!(alpha.asset_bytes("v1", "näme (1).zip"), b"bytes");
    call("POST", &url, &forge.token(), &[], b"no form".to_vec()).await.expect(500);

    let second = alpha.release_ids("v1")[2];
    send("PATCH", &format!("{url}/{second}"), &forge.token(), json!({"name": "new.zip"})).await.expect(201);
    assert_eq!(names(&alpha), ["näme (1).zip", "new.zip", "of-form"]);
    call("DELETE", &format!("{url}/{second}"), &forge.token(), &[], Vec::new()).await.expect(204);
    assert_eq!(names(&alpha), ["näme (1).zip", "of-form"]);
}

#[tokio::test]
async fn a_missing_tag_is_made_at_the_target() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.branch("old").commit("main", "more");
    let post = async |body| send("POST", &releases(&forge), &forge.token(), body).await;
    post(json!({"tag_name": "v2", "target_commitish": "old"})).await.expect(201);
    assert_eq!(alpha.tip("refs/tags/v2"), alpha.tip("old"));
    post(json!({"tag_name": "v3"})).await.expect(201);
    assert_eq!(alpha.tip("refs/tags/v3"), alpha.tip("main"));
    post(json!({"tag_name": "v4", "draft": true})).await.expect(201);
    assert!(!alpha.refs().contains_key("refs/tags/v4"));
    post(json!({"tag_name": "v4"})).await.expect(409);
}

#[tokio::test]
async fn an_empty_text_changes_nothing() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1").title("One").notes("First.");
    let url = format!("{}/{}", releases(&forge), alpha.release_ids("v1")[0]);
    send("PATCH", &url, &forge.token(), json!({"name": "", "body": "", "draft": true})).await.expect(200);
    let seen = alpha.seen_release("v1");
    assert_eq!((seen.title.as_str(), seen.notes.as_str(), seen.draft), ("One", "First.", true));
}

#[tokio::test]
async fn pages_are_capped_and_the_total_is_told() {
    let (forge, alpha) = forge_with_tag().await;
    for tag in ["v1", "v2", "v3"] {
        alpha.release(tag);
    }
    forge.release_page_cap(2);
    let page = get(&format!("{}?limit=100", releases(&forge)), &forge.token()).await;
    assert_eq!((page.json().as_array().unwrap().len(), page.header("x-total-count")), (2, "3"));
    assert!(page.header("link").contains("rel=\"next\""));
    let one = format!("{}/repos/acme/alpha/tags/v2", forge.gitea_api());
    assert_eq!(get(&one, &forge.token()).await.json()["name"], "v2");
    get(&format!("{one}x"), &forge.token()).await.expect(404);
}

#[tokio::test]
async fn drafts_are_for_those_who_push() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1").draft();
    alpha.reader("bob");
    assert_eq!(get(&releases(&forge), &forge.user("bob")).await.json(), json!([]));
    assert_eq!(get(&releases(&forge), &forge.token()).await.json()[0]["draft"], true);
    send("POST", &releases(&forge), &forge.user("bob"), json!({"tag_name": "v1"})).await.expect(403);
    alpha.edit_release("v1", |release| release.published());
    assert_eq!(get(&format!("{}/latest", releases(&forge)), "").await.json()["tag_name"], "v1");
}

#[tokio::test]
async fn a_page_for_people_answers_the_first_posts_after_a_push() {
    let (forge, alpha) = forge_with_tag().await;
    forge.html_500_after_push(1);
    let env = TestEnv::new();
    let url = alpha.url_with(&forge.token());
    env.git(["clone", "--quiet", &url, "copy"]).run().await.assert_code(0);
    env.git(["-C", "copy", "push", "--quiet", &url, "HEAD:refs/tags/v2"]).run().await.assert_code(0);
    let post = async || send("POST", &releases(&forge), &forge.token(), json!({"tag_name": "v2"})).await;
    let failed = post().await.expect(500);
    assert!(failed.text().contains("<!DOCTYPE html>") && failed.header("content-type").starts_with("text/html"));
    assert_eq!(alpha.releases(), []);
    post().await.expect(201);
}
