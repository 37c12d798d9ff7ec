//! GitLab's habits.

use serde_json::json;

use super::{Answer, call, forge_with_tag, get, send};
use crate::support::{Forge, Repo};

fn project(forge: &Forge) -> String {
    format!("{}/projects/acme%2Falpha", forge.gitlab_api())
}

async fn put_file(forge: &Forge, path: &str, bytes: &[u8]) -> Answer {
    let url = format!("{}/packages/generic/{path}", project(forge));
    call("PUT", &url, &forge.token(), &[], bytes.to_vec()).await
}

async fn release(forge: &Forge, alpha: &Repo) -> String {
    let body = json!({"tag_name": "v1", "name": "One", "description": "First.", "released_at": "2024-05-01T00:00:00Z"});
    send("POST", &format!("{}/releases", project(forge)), &forge.token(), body).await.expect(201);
    assert_eq!(alpha.seen_release("v1").title, "One");
    format!("{}/releases/v1", project(forge))
}

#[tokio::test]
async fn a_release_needs_its_tag_or_a_ref_to_make_it_from() {
    let (forge, alpha) = forge_with_tag().await;
    let post = async |body| send("POST", &format!("{}/releases", project(&forge)), &forge.token(), body).await;
    let refused = post(json!({"tag_name": "v2"})).await.expect(422);
    assert_eq!(refused.json()["message"], "Ref is not specified");
    assert!(!alpha.refs().contains_key("refs/tags/v2"));
    post(json!({"tag_name": "v2", "ref": "main"})).await.expect(201);
    assert_eq!(alpha.tip("refs/tags/v2"), alpha.tip("main"));
    assert_eq!(post(json!({"tag_name": "v2"})).await.expect(409).json()["message"], "Release already exists");
    post(json!({})).await.expect(400);
}

#[tokio::test]
async fn a_release_is_addressed_by_its_tag_with_slashes_encoded() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("rel/1.0").title("Slash").published_at("2099-01-01T00:00:00Z");
    let url = format!("{}/releases/rel%2F1.0", project(&forge));
    let shown = get(&url, &forge.token()).await.expect(200).json();
    assert_eq!((&shown["name"], &shown["upcoming_release"]), (&json!("Slash"), &json!(true)));
    let changed = send("PUT", &url, &forge.token(), json!({"description": "new"})).await.expect(200).json();
    assert_eq!((&changed["name"], &changed["description"]), (&json!("Slash"), &json!("new")));
    get(&format!("{}/repository/tags/rel%2F1.0", project(&forge)), &forge.token()).await.expect(200);
    get(&format!("{}/repository/tags/none", project(&forge)), &forge.token()).await.expect(404);
    call("DELETE", &url, &forge.token(), &[], Vec::new()).await.expect(200);
    get(&url, &forge.token()).await.expect(404);
    assert!(alpha.refs().contains_key("refs/tags/rel/1.0"), "the tag stays");
}

#[tokio::test]
async fn links_are_unique_by_name_and_by_url() {
    let (forge, alpha) = forge_with_tag().await;
    let links = format!("{}/assets/links", release(&forge, &alpha).await);
    let post =
        async |name: &str, url: &str| send("POST", &links, &forge.token(), json!({"name": name, "url": url})).await;
    let docs = post("docs", "https://docs.example/").await.expect(201).json();
    let taken = json!(["has already been taken"]);
    assert_eq!(post("docs", "https://other.example/").await.expect(400).json()["message"]["name"], taken);
    assert_eq!(post("other", "https://docs.example/").await.expect(400).json()["message"]["url"], taken);
    post("file", "file:///etc/passwd").await.expect(400);
    let one = format!("{links}/{}", docs["id"]);
    send("PUT", &one, &forge.token(), json!({"name": "guide"})).await.expect(200);
    assert_eq!(alpha.seen_release("v1").links, [("guide".to_owned(), "https://docs.example/".to_owned())]);
    call("DELETE", &one, &forge.token(), &[], Vec::new()).await.expect(200);
    get(&one, &forge.token()).await.expect(404);
    forge.links_forbidden();
    post("docs", "https://docs.example/").await.expect(403);
}

#[tokio::test]
async fn a_file_in_a_package_with_a_link_is_an_asset() {
    let (forge, alpha) = forge_with_tag().await;
    let release = release(&forge, &alpha).await;
    let file = put_file(&forge, "releases/1.0.0/a.zip?select=package_file", b"bytes").await.expect(201).json();
    assert_eq!((&file["file_name"], &file["size"]), (&json!("a.zip"), &json!(5)));
    let url = format!("{}/packages/generic/releases/1.0.0/a.zip", project(&forge));
    let link = json!({"name": "ä (1).zip", "url": url, "direct_asset_path": "/bin/a", "link_type": "package"});
    let link = send("POST", &format!("{release}/assets/links"), &forge.token(), link).await;
    let link = link.expect(201).json();
    let seen = alpha.seen_release("v1");
    let names: Vec<_> = seen.assets.iter().map(|asset| (asset.name.as_str(), asset.stored.as_str())).collect();
    assert_eq!((names, seen.links.len()), (vec![("ä (1).zip", "a.zip")], 0));
    assert_eq!(file["file_sha256"], json!(seen.assets[0].sha256));
    assert_eq!(get(&url, &forge.token()).await.bytes, b"bytes");
    assert!(link["direct_asset_url"].as_str().unwrap().ends_with("/-/releases/v1/downloads/bin/a"));
}

#[tokio::test]
async fn packages_keep_equal_names_beside_each_other_and_refuse_odd_ones() {
    let (forge, alpha) = forge_with_tag().await;
    for bytes in [b"old", b"new"] {
        put_file(&forge, "releases/1.0.0/a.zip", bytes).await.expect(201);
    }
    let packages = format!("{}/packages", project(&forge));
    let search = format!("{packages}?package_name=releases&package_version=1.0.0&package_type=generic");
    let found = get(&search, &forge.token()).await.json();
    assert_eq!(found.as_array().unwrap().len(), 1);
    assert_eq!(get(&format!("{packages}?package_version=2"), &forge.token()).await.json(), json!([]));
    let files = format!("{packages}/{}/package_files", found[0]["id"]);
    let list = get(&files, &forge.token()).await.json();
    assert_eq!(list.as_array().unwrap().len(), 2);
    let url = format!("{packages}/generic/releases/1.0.0/a.zip");
    assert_eq!(get(&url, &forge.token()).await.text(), "new");
    call("DELETE", &format!("{files}/{}", list[1]["id"]), &forge.token(), &[], Vec::new()).await.expect(204);
    assert_eq!(get(&url, &forge.token()).await.text(), "old");
    assert_eq!(alpha.package_files(), [("releases".to_owned(), "1.0.0".to_owned(), "a.zip".to_owned())]);
    call("DELETE", &format!("{packages}/{}", found[0]["id"]), &forge.token(), &[], Vec::new()).await.expect(204);
    get(&url, &forge.token()).await.expect(404);
    for odd in ["releases/1.0.0/a%20b.zip", "releases/1%2F0/a.zip", "releases/1.0.0/%C3%A4.zip"] {
        put_file(&forge, odd, b"x").await.expect(400);
    }
}

#[tokio::test]
async fn what_another_api_made_is_shown_as_packages_and_links_and_can_be_changed() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1").prerelease().asset("ä.zip", b"bytes").link("docs", "https://docs.example/");
    alpha.draft_release("v2");
    let list = get(&format!("{}/releases", project(&forge)), &forge.token()).await.json();
    assert_eq!(list.as_array().unwrap().len(), 1, "it knows no drafts");
    let links = list[0]["assets"]["links"].as_array().unwrap();
    assert_eq!(links.len(), 2);
    let file = links.iter().find(|link| link["name"] == "ä.zip").unwrap();
    assert_eq!(get(file["url"].as_str().unwrap(), &forge.token()).await.bytes, b"bytes");
    let before = alpha.releases();
    let url = format!("{}/releases/v1/assets/links/{}", project(&forge), file["id"]);
    send("PUT", &url, &forge.token(), json!({"name": "b.zip"})).await.expect(200);
    assert_eq!(alpha.seen_release("v1").assets[0].name, "b.zip");
    assert_eq!(alpha.seen_release("v1").assets[0].sha256, before[0].assets[0].sha256);
    assert!(alpha.seen_release("v1").prerelease && alpha.seen_release("v2").draft, "what it does not know stays");
}

#[tokio::test]
async fn a_deleted_tag_takes_its_release_along() {
    let (forge, alpha) = forge_with_tag().await;
    let url = release(&forge, &alpha).await;
    alpha.delete("refs/tags/v1");
    get(&url, &forge.token()).await.expect(404);
}
