//! GitHub's habits.

use serde_json::json;

use super::{Answer, call, forge_with_tag, get, send};
use crate::support::Forge;

fn releases(forge: &Forge) -> String {
    format!("{}/repos/acme/alpha/releases", forge.github_api())
}

async fn upload(forge: &Forge, release: u64, query: &str, bytes: &[u8]) -> Answer {
    let url = format!("{}/api/uploads/repos/acme/alpha/releases/{release}/assets?{query}", forge.url());
    call("POST", &url, &forge.token(), &[("content-type", "application/zip")], bytes.to_vec()).await
}

#[tokio::test]
async fn drafts_are_listed_for_those_who_push_and_never_found_by_tag() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1");
    alpha.draft_release("v2");
    alpha.reader("bob");
    let (alice, bob) = (forge.token(), forge.user("bob"));
    let count = |answer: Answer| answer.json().as_array().unwrap().len();
    assert_eq!(count(get(&releases(&forge), &alice).await), 2);
    assert_eq!(count(get(&releases(&forge), &bob).await), 1);
    assert_eq!(count(get(&releases(&forge), "").await), 1);
    get(&format!("{}/tags/v2", releases(&forge)), &alice).await.expect(404);
    get(&format!("{}/tags/v1", releases(&forge)), &alice).await.expect(200);
}

#[tokio::test]
async fn publishing_makes_a_missing_tag_at_the_head_of_the_default_branch_and_a_draft_does_not() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.commit("main", "more");
    let draft = send("POST", &releases(&forge), &forge.token(), json!({"tag_name": "v2", "draft": true})).await;
    let draft = draft.expect(201).json();
    assert!(!alpha.refs().contains_key("refs/tags/v2"));
    assert_eq!(draft["published_at"], json!(null));
    let url = format!("{}/{}", releases(&forge), draft["id"]);
    send("PATCH", &url, &forge.token(), json!({"draft": false})).await.expect(200);
    assert_eq!(alpha.tip("refs/tags/v2"), alpha.tip("main"));
    let bad = json!({"tag_name": "v3", "target_commitish": "nowhere"});
    send("POST", &releases(&forge), &forge.token(), bad).await.expect(422);
}

#[tokio::test]
async fn a_tag_has_one_published_release() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1");
    let again = send("POST", &releases(&forge), &forge.token(), json!({"tag_name": "v1"})).await.expect(422);
    assert_eq!(again.json()["errors"][0]["code"], "already_exists");
    // Drafts of one tag may be many.
    for _ in 0..2 {
        send("POST", &releases(&forge), &forge.token(), json!({"tag_name": "v1", "draft": true})).await.expect(201);
    }
}

#[tokio::test]
async fn the_latest_is_the_newest_that_is_no_prerelease_or_the_one_that_was_made_it() {
    let (forge, alpha) = forge_with_tag().await;
    let url = releases(&forge);
    let latest = async || get(&format!("{url}/latest"), &forge.token()).await;
    latest().await.expect(404);
    let release = |tag: &str, latest: &str| json!({"tag_name": tag, "make_latest": latest});
    let post = async |body| send("POST", &url, &forge.token(), body).await;
    post(json!({"tag_name": "v1"})).await.expect(201);
    post(json!({"tag_name": "v2-rc", "prerelease": true})).await.expect(201);
    post(release("v0.9", "false")).await.expect(201);
    assert_eq!(latest().await.json()["tag_name"], "v1");
    post(release("v2", "true")).await.expect(201);
    assert_eq!(latest().await.json()["tag_name"], "v2");
    alpha.edit_release("v1", |release| release.latest());
    assert_eq!(latest().await.json()["tag_name"], "v1");
    assert!(alpha.seen_release("v1").latest && !alpha.seen_release("v2").latest);
    post(json!({"tag_name": "v3", "draft": true, "make_latest": "true"})).await.expect(422);
}

#[tokio::test]
async fn asset_names_are_made_safe_and_a_label_keeps_the_name() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1");
    let id = alpha.release_ids("v1")[0];
    let asset = upload(&forge, id, "name=n%C3%A4me%20(1)%2B.zip&label=n%C3%A4me%20(1)%2B.zip", b"bytes").await;
    let asset = asset.expect(201).json();
    assert_eq!((&asset["name"], &asset["label"]), (&json!("n.me..1.+.zip"), &json!("näme (1)+.zip")));
    assert_eq!((&asset["size"], &asset["state"]), (&json!(5), &json!("uploaded")));
    let seen = alpha.seen_release("v1").assets.remove(0);
    assert_eq!((seen.name.as_str(), seen.stored.as_str()), ("näme (1)+.zip", "n.me..1.+.zip"));
    assert_eq!(asset["digest"], format!("sha256:{}", seen.sha256));

    let again = upload(&forge, id, "name=n.me..1.%2B.zip", b"other").await.expect(422);
    assert_eq!(again.json()["errors"][0]["code"], "already_exists");
    assert_eq!(alpha.asset_bytes("v1", "näme (1)+.zip"), b"bytes");
    let asset = format!("{}/assets/{}", releases(&forge), alpha.release_ids("v1")[1]);
    send("PATCH", &asset, &forge.token(), json!({"name": "new.zip"})).await.expect(200);
    assert_eq!(alpha.seen_release("v1").assets[0].stored, "new.zip");
    call("DELETE", &asset, &forge.token(), &[], Vec::new()).await.expect(204);
    call("DELETE", &asset, &forge.token(), &[], Vec::new()).await.expect(404);
}

#[tokio::test]
async fn an_asset_without_a_byte_is_refused_unless_the_test_wants_it() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1");
    let id = alpha.release_ids("v1")[0];
    let url = format!("{}/api/uploads/repos/acme/alpha/releases/{id}/assets?name=empty", forge.url());
    let refused = call("POST", &url, &forge.token(), &[("content-length", "0")], Vec::new()).await.expect(422).json();
    assert_eq!(refused["errors"][0]["message"], "size must be greater than or equal to 1");
    // Without the header it does not get so far.
    let refused = upload(&forge, id, "name=empty", b"").await.expect(400).json();
    assert_eq!(refused["message"], "Bad Content-Length: ");
    forge.takes_empty_assets();
    upload(&forge, id, "name=empty", b"").await.expect(201);
}

#[tokio::test]
async fn a_stub_is_listed_as_starter_and_holds_its_name() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1").starter("a.zip");
    let ids = alpha.release_ids("v1");
    let asset = format!("{}/assets/{}", releases(&forge), ids[1]);
    assert_eq!(get(&asset, &forge.token()).await.json()["state"], "starter");
    call("GET", &asset, &forge.token(), &[("accept", "application/octet-stream")], Vec::new()).await.expect(404);
    upload(&forge, ids[0], "name=a.zip", b"bytes").await.expect(422);
}

#[tokio::test]
async fn releases_come_in_pages_and_a_tag_is_found_as_a_reference() {
    let (forge, alpha) = forge_with_tag().await;
    for tag in ["v1", "v2", "v3"] {
        alpha.release(tag);
    }
    forge.release_page_cap(2);
    let page = get(&format!("{}?per_page=100", releases(&forge)), &forge.token()).await;
    assert_eq!(page.json().as_array().unwrap().len(), 2);
    assert!(page.header("link").contains("page=2>; rel=\"next\""), "{}", page.header("link"));
    alpha.annotated_tag("a/b");
    let reference = format!("{}/repos/acme/alpha/git/ref/tags", forge.github_api());
    let found = get(&format!("{reference}/a/b"), &forge.token()).await.expect(200).json();
    assert_eq!((&found["ref"], &found["object"]["type"]), (&json!("refs/tags/a/b"), &json!("tag")));
    get(&format!("{reference}/a"), &forge.token()).await.expect(404);
}

#[tokio::test]
async fn who_may_not_push_writes_nothing_and_old_servers_tell_no_digest() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1").asset("a", b"a");
    alpha.reader("bob");
    let bob = forge.user("bob");
    send("POST", &releases(&forge), &bob, json!({"tag_name": "v2"})).await.expect(403);
    forge.without_digests();
    let shown = get(&format!("{}/tags/v1", releases(&forge)), &bob).await.json();
    assert_eq!(shown["assets"][0].get("digest"), None);
    let url = format!("{}/{}", releases(&forge), shown["id"]);
    call("DELETE", &url, &bob, &[], Vec::new()).await.expect(403);
    call("DELETE", &url, &forge.token(), &[], Vec::new()).await.expect(204);
    assert_eq!(alpha.releases(), []);
    assert!(alpha.refs().contains_key("refs/tags/v1"), "the tag stays");
}

#[tokio::test]
async fn a_release_whose_tag_is_deleted_becomes_a_draft() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1");
    alpha.delete("refs/tags/v1");
    get(&format!("{}/tags/v1", releases(&forge)), &forge.token()).await.expect(404);
    assert_eq!(get(&releases(&forge), &forge.token()).await.json()[0]["draft"], true);
}
