//! The bytes of assets: uploads on disk, downloads whole and in part, and the second host.

use std::time::Instant;

use super::{Answer, attach, call, forge_with_tag, get};
use crate::support::{Forge, Kind, Repo, Sent, noise};

const OCTETS: (&str, &str) = ("accept", "application/octet-stream");

/// Where GitHub sends a client that wants the bytes of the first asset of `v1`.
async fn location(forge: &Forge, alpha: &Repo) -> String {
    let id = alpha.release_ids("v1")[1];
    let url = format!("{}/repos/acme/alpha/releases/assets/{id}", forge.github_api());
    call("GET", &url, &forge.token(), &[OCTETS], Vec::new()).await.expect(302).header("location").to_owned()
}

async fn part(url: &str, headers: &[(&str, &str)]) -> Answer {
    call("GET", url, "", headers, Vec::new()).await
}

#[tokio::test]
async fn github_sends_to_a_second_host_which_wants_no_credential() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.private().release("v1").asset("a.zip", b"0123456789");
    let url = location(&forge, &alpha).await;
    assert!(url.starts_with(&forge.storage_url()) && !url.starts_with(forge.url()), "{url}");
    assert_eq!(part(&url, &[]).await.expect(200).text(), "0123456789");
    assert_eq!(forge.storage_leaks().len(), 0);
    get(&url, &forge.token()).await.expect(400);
    assert_eq!(forge.storage_leaks().len(), 1);
    forge.expire_storage_links();
    part(&url, &[]).await.expect(403);
    let kinds: Vec<_> = forge.downloads().into_iter().map(|request| (request.kind, request.asset)).collect();
    assert_eq!(kinds, vec![(Kind::Storage, Some("a.zip".to_owned())); 3]);
}

#[tokio::test]
async fn a_part_of_a_file_can_be_asked_for_while_it_is_the_same() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1").asset("a.zip", b"0123456789");
    let url = location(&forge, &alpha).await;
    let whole = part(&url, &[]).await.expect(200);
    let etag = whole.header("etag").to_owned();
    let rest = part(&url, &[("range", "bytes=4-"), ("if-range", &etag)]).await.expect(206);
    assert_eq!((rest.text().as_str(), rest.header("content-range")), ("456789", "bytes 4-9/10"));
    assert_eq!(part(&url, &[("range", "bytes=2-3")]).await.expect(206).text(), "23");
    assert_eq!(part(&url, &[("range", "bytes=4-"), ("if-range", "\"old\"")]).await.expect(200).bytes, whole.bytes);
    assert_eq!(part(&url, &[("range", "bytes=10-")]).await.expect(416).header("content-range"), "bytes */10");

    alpha.edit_release("v1", |release| release.replace_asset("a.zip", b"abcdefghij"));
    let other = location(&forge, &alpha).await;
    let other = part(&other, &[("range", "bytes=4-"), ("if-range", &etag)]).await.expect(200);
    assert_eq!(other.text(), "abcdefghij");
    forge.without_ranges();
    assert_eq!(part(&location(&forge, &alpha).await, &[("range", "bytes=4-")]).await.expect(200).text(), "abcdefghij");
}

#[tokio::test]
async fn gitea_gives_the_bytes_itself_and_of_private_repositories_to_those_who_see_them() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.private().release("v1").asset("ä.zip", b"bytes");
    let url = format!("{}/repos/acme/alpha/releases/tags/v1", forge.gitea_api());
    let shown = get(&url, &forge.token()).await.json();
    let url = shown["assets"][0]["browser_download_url"].as_str().unwrap();
    assert_eq!(get(url, &forge.token()).await.expect(200).text(), "bytes");
    get(url, "").await.expect(404);
    assert_eq!(forge.downloads()[0].asset.as_deref(), Some("ä.zip"));
    assert_eq!(forge.downloads()[0].kind, Kind::Download);
    forge.object_storage();
    let sent = get(url, &forge.token()).await.expect(302);
    assert!(sent.header("location").starts_with(&forge.storage_url()));
}

#[tokio::test]
async fn web_addresses_of_assets_work_too() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1").asset("a b.zip", b"bytes");
    let web = format!("{}/acme/alpha/releases/download/v1/a.b.zip", forge.url());
    let url = get(&web, "").await.expect(302).header("location").to_owned();
    assert_eq!(get(&url, "").await.expect(200).text(), "bytes");
    get(&format!("{web}x"), "").await.expect(404);
    let links = format!("{}/projects/acme%2Falpha/releases/v1/assets/links", forge.gitlab_api());
    let body = serde_json::json!({"name": "x", "url": "https://x.example/", "direct_asset_path": "/x"});
    let link = super::send("POST", &links, &forge.token(), body).await.json();
    let link = get(link["direct_asset_url"].as_str().unwrap(), "").await.expect(302);
    assert_eq!(link.header("location"), "https://x.example/");
}

#[tokio::test]
async fn uploads_are_logged_with_their_digest_and_writes_with_their_bodies() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1");
    let id = alpha.release_ids("v1")[0];
    let bytes = noise(2_500_000);
    let url = format!("{}/repos/acme/alpha/releases/{id}", forge.gitea_api());
    attach(&format!("{url}/assets?name=big.bin"), &forge.token(), &bytes).await.expect(201);
    super::send("PATCH", &url, &forge.token(), serde_json::json!({"name": "One"})).await.expect(200);
    let [upload, edit] = forge.writes().try_into().unwrap();
    let Sent { size, bytes: kept, sha256 } = upload.sent.unwrap();
    assert_eq!((size, kept.len()), (2_500_000, 0), "what is large is not kept");
    assert_eq!(sha256, alpha.seen_release("v1").assets[0].sha256);
    assert_eq!((upload.kind, upload.asset.as_deref(), upload.status), (Kind::Upload, Some("big.bin"), Some(201)));
    assert_eq!(edit.json(), serde_json::json!({"name": "One"}));
    assert_eq!(alpha.asset_bytes("v1", "big.bin"), bytes);
    assert_eq!(forge.uploads().len(), 1);
}

#[tokio::test]
async fn a_gibibyte_takes_neither_memory_nor_time_to_make() {
    let (forge, alpha) = forge_with_tag().await;
    let before = Instant::now();
    alpha.release("v1").asset_of_size("big", 1 << 30);
    assert!(before.elapsed().as_secs() < 10, "{:?}", before.elapsed());
    let url = location(&forge, &alpha).await;
    // No two MiB are alike: a part put in the wrong place shows.
    let third = part(&url, &[("range", "bytes=3145728-3145735")]).await.expect(206);
    assert_eq!(
        (third.bytes, third.headers["content-range"].to_str().unwrap()),
        (4_u64.to_le_bytes().to_vec(), "bytes 3145728-3145735/1073741824")
    );
}

#[tokio::test]
async fn the_second_host_speaks_tls_when_the_forge_does() {
    let forge = Forge::start_tls().await;
    assert!(forge.storage_url().starts_with("https://localhost:"), "{}", forge.storage_url());
    let ca = std::fs::read(forge.ca_file()).unwrap();
    let ca = reqwest::Certificate::from_pem(&ca).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).build().unwrap();
    assert_eq!(client.get(forge.storage_url()).send().await.unwrap().status(), 403);
}
