//! Bad days of releases: faults find their requests, and leave behind what a real forge would have.

use reqwest::Client;
use serde_json::json;

use super::{Answer, attach, call, forge_with_tag, get, send};
use crate::support::{AssetSeen, Fault, Forge, Repo, noise};

async fn upload(forge: &Forge, alpha: &Repo, name: &str) -> u16 {
    let id = alpha.release_ids("v1")[0];
    let url = format!("{}/api/uploads/repos/acme/alpha/releases/{id}/assets?name={name}", forge.url());
    call("POST", &url, &forge.token(), &[], b"bytes".to_vec()).await.status
}

/// Names, and whether they are complete.
fn assets(alpha: &Repo) -> Vec<(String, bool)> {
    alpha.seen_release("v1").assets.into_iter().map(|AssetSeen { name, complete, .. }| (name, complete)).collect()
}

fn some(assets: &[(&str, bool)]) -> Vec<(String, bool)> {
    assets.iter().map(|(name, complete)| ((*name).to_owned(), *complete)).collect()
}

#[tokio::test]
async fn the_second_of_three_uploads_fails_and_leaves_nothing() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1");
    forge.fault(Fault::status(500).on_upload("b").once());
    let mut statuses = Vec::new();
    for name in ["a", "b", "c"] {
        statuses.push(upload(&forge, &alpha, name).await);
    }
    assert_eq!(statuses, [201, 500, 201]);
    assert_eq!(assets(&alpha), some(&[("a", true), ("c", true)]));
}

#[tokio::test]
async fn a_lost_upload_leaves_a_stub_on_github_and_nothing_on_gitea() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1");
    forge.fault(Fault::lost(502).on_upload("").after(1).times(2));
    assert_eq!(upload(&forge, &alpha, "a").await, 201);
    assert_eq!(upload(&forge, &alpha, "b").await, 502);
    assert_eq!(assets(&alpha), some(&[("a", true), ("b", false)]));
    assert_eq!(forge.uploads()[1].sent.as_ref().unwrap().bytes, b"bytes", "they were taken");
    let url = format!("{}/repos/acme/alpha/releases/{}/assets?name=c", forge.gitea_api(), alpha.release_ids("v1")[0]);
    attach(&url, &forge.token(), b"bytes").await.expect(502);
    assert_eq!(assets(&alpha).len(), 2);
}

#[tokio::test]
async fn an_upload_that_is_cut_leaves_a_stub_too() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1");
    forge.fault(Fault::cut_in_upload(100_000).on_upload("a").once());
    let id = alpha.release_ids("v1")[0];
    let url = format!("{}/api/uploads/repos/acme/alpha/releases/{id}/assets?name=a", forge.url());
    let client = Client::builder().no_proxy().build().unwrap();
    let sent = client.post(url).bearer_auth(forge.token()).body(noise(300_000)).send().await;
    assert!(sent.is_err());
    assert_eq!(assets(&alpha), some(&[("a", false)]));
}

#[tokio::test]
async fn a_release_is_made_and_the_answer_lost() {
    let (forge, alpha) = forge_with_tag().await;
    forge.fault(Fault::done_but(502).on_api("/releases").method("POST").once());
    let url = format!("{}/repos/acme/alpha/releases", forge.github_api());
    let listed = async || get(&url, &forge.token()).await.expect(200).json().as_array().unwrap().len();
    assert_eq!(listed().await, 0, "another method is not meant");
    send("POST", &url, &forge.token(), json!({"tag_name": "v1"})).await.expect(502);
    assert_eq!((listed().await, alpha.releases().len()), (1, 1));
    send("POST", &url, &forge.token(), json!({"tag_name": "v1"})).await.expect(422);
}

/// The bytes of the asset `a`, through GitHub's redirect.
async fn download(forge: &Forge, alpha: &Repo) -> Answer {
    let id = alpha.release_ids("v1")[1];
    let url = format!("{}/repos/acme/alpha/releases/assets/{id}", forge.github_api());
    let accept = [("accept", "application/octet-stream")];
    let redirect = call("GET", &url, &forge.token(), &accept, Vec::new()).await.expect(302);
    get(redirect.header("location"), "").await
}

#[tokio::test]
async fn a_download_is_cut_spoilt_or_short_and_then_whole() {
    let (forge, alpha) = forge_with_tag().await;
    let bytes = noise(200_000);
    alpha.release("v1").asset("a", &bytes).asset("b", b"b");
    forge.fault(Fault::cut_in_body(70_000).on_download("a").once());
    forge.fault(Fault::wrong_bytes().on_download("a").once());
    forge.fault(Fault::shorter_by(10).on_download("a").once());
    let cut = download(&forge, &alpha).await.expect(200);
    assert_eq!((cut.header("content-length"), cut.bytes.as_slice()), ("200000", &bytes[..70_000]));
    let spoilt = download(&forge, &alpha).await.expect(200);
    assert!(spoilt.bytes.len() == 200_000 && spoilt.bytes != bytes);
    let short = download(&forge, &alpha).await.expect(200);
    assert_eq!((short.header("content-length"), short.bytes.as_slice()), ("199990", &bytes[..199_990]));
    assert_eq!(download(&forge, &alpha).await.expect(200).bytes, bytes);
}

#[tokio::test]
async fn an_upload_is_kept_with_other_bytes_or_fewer() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1");
    forge.fault(Fault::wrong_bytes().on_upload("a"));
    forge.fault(Fault::shorter_by(2).on_upload("b"));
    for name in ["a", "b"] {
        assert_eq!(upload(&forge, &alpha, name).await, 201);
    }
    let other = alpha.asset_bytes("v1", "a");
    assert!(other.len() == 5 && other != b"bytes", "{other:?}");
    assert_eq!(alpha.asset_bytes("v1", "b"), b"byt");
}

#[tokio::test]
async fn a_fault_finds_one_release_by_its_path() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1");
    let url = format!("{}/repos/acme/alpha/releases", forge.github_api());
    let mut ids = Vec::new();
    for tag in ["v2", "v3"] {
        let made = send("POST", &url, &forge.token(), json!({"tag_name": tag})).await.expect(201).json();
        ids.push(made["id"].to_string());
    }
    forge.fault(Fault::status(503).within(&format!("/releases/{}", ids[0])).method("PATCH"));
    let patch = async |id: &str| send("PATCH", &format!("{url}/{id}"), &forge.token(), json!({"name": "x"})).await;
    patch(&ids[0]).await.expect(503);
    patch(&ids[1]).await.expect(200);
    assert_eq!(forge.writes().last().unwrap().json(), json!({"name": "x"}));
    assert_eq!(forge.writes()[2].json(), json!({"name": "x"}), "what is refused is written down as well");
}
