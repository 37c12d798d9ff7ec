//! The forge's releases have the shape of the real ones: each answer has every field, with a value of the same kind.
//!
//! `gitea-1.21.json` was recorded from a real Gitea. The fields of GitHub and GitLab are those that their API
//! descriptions require.

use serde_json::{Value, json};

use super::{Answer, attach, call, forge_with_tag, get, send};

const GITHUB_RELEASE: &[&str] = &[
    "assets_url",
    "upload_url",
    "tarball_url",
    "zipball_url",
    "created_at",
    "published_at",
    "draft",
    "id",
    "node_id",
    "author",
    "html_url",
    "name",
    "prerelease",
    "tag_name",
    "target_commitish",
    "assets",
    "url",
];
const GITHUB_ASSET: &[&str] = &[
    "id",
    "name",
    "content_type",
    "size",
    "digest",
    "state",
    "url",
    "node_id",
    "download_count",
    "label",
    "uploader",
    "browser_download_url",
    "created_at",
    "updated_at",
];
const GITLAB_RELEASE: &[&str] = &[
    "name",
    "tag_name",
    "description",
    "created_at",
    "released_at",
    "upcoming_release",
    "author",
    "commit",
    "commit_path",
    "tag_path",
    "assets",
    "evidences",
    "_links",
];
const GITLAB_LINK: &[&str] = &["id", "name", "url", "direct_asset_url", "link_type"];
const GITLAB_FILE: &[&str] = &["id", "package_id", "created_at", "file_name", "size", "file_sha256"];

/// What a recorded answer has and ours has not, or has of another kind.
fn lacks(real: &Value, ours: &Value, at: &str, found: &mut Vec<String>) {
    match (real, ours) {
        (Value::Object(real), Value::Object(ours)) => {
            for (name, value) in real {
                match ours.get(name) {
                    Some(known) => lacks(value, known, &format!("{at}.{name}"), found),
                    None => found.push(format!("{at}.{name} is missing")),
                }
            }
        }
        (Value::Array(real), Value::Array(ours)) => match (real.first(), ours.first()) {
            (Some(real), Some(ours)) => lacks(real, ours, &format!("{at}[0]"), found),
            (Some(_), None) => found.push(format!("{at} is empty")),
            _ => {}
        },
        _ if std::mem::discriminant(real) == std::mem::discriminant(ours) => {}
        _ => found.push(format!("{at} is {ours} and not like {real}")),
    }
}

#[track_caller]
fn assert_has(ours: &Value, fields: &[&str]) {
    let missing: Vec<_> = fields.iter().filter(|field| ours.get(field).is_none()).collect();
    assert!(missing.is_empty(), "{missing:?} missing in {ours}");
}

#[test]
fn a_missing_field_and_one_of_another_kind_are_found() {
    let mut found = Vec::new();
    lacks(&json!([{"a": {"b": 1, "c": ""}, "d": 1}]), &json!([{"a": {"b": "1"}, "d": 2}]), "", &mut found);
    assert_eq!(found, ["[0].a.b is \"1\" and not like 1", "[0].a.c is missing"]);
}

/// Plays the recorded exchanges, with our ids, and compares status and shape of every answer.
#[tokio::test]
async fn gitea_answers_as_a_real_one_did() {
    let recorded: Value = serde_json::from_str(include_str!("gitea-1.21.json")).unwrap();
    let (forge, alpha) = forge_with_tag().await;
    alpha.annotated_tag("v1.0").tag("light");
    forge.repo("acme/empty");
    let repos = format!("{}/repos", forge.gitea_api());
    let (mut release, mut assets, mut seen) = (0, Vec::new(), 0);
    let mut exchanges = recorded["exchanges"].as_array().unwrap().clone();
    // A real one sorts by the date of the tag, and this one was made for an old tag.
    exchanges.sort_by_key(|exchange| exchange["name"] != "release-create-annotated-tag");
    for exchange in &exchanges {
        let name = exchange["name"].as_str().unwrap();
        let path = exchange["path"].as_str().unwrap().strip_prefix("/repos/tester/").unwrap();
        let path = path.replacen("rec7055/releases", "empty/releases", 1).replacen("r1/", "alpha/", 1);
        let path = path.replacen("/releases/8", &format!("/releases/{release}"), 1);
        let path = path.replacen("/assets/3", &format!("/assets/{}", assets.first().unwrap_or(&0)), 1);
        let url = format!("{repos}/acme/{path}");
        let body = &exchange["request"];
        let answer: Answer = match exchange["method"].as_str().unwrap() {
            "POST" if path.contains("/assets") => attach(&url, &forge.token(), b"hello asset").await,
            "GET" => get(&url, &forge.token()).await,
            "DELETE" => call("DELETE", &url, &forge.token(), &[], Vec::new()).await,
            method => send(method, &url, &forge.token(), body.clone()).await,
        };
        let status = exchange["status"].as_u64().unwrap();
        assert_eq!(u64::from(answer.status), status, "{name}: {}", answer.text());
        if let Some(total) = exchange["total"].as_str().filter(|_| path.contains("limit=")) {
            // The real one had two releases of earlier days.
            assert!(!total.is_empty() && !answer.header("x-total-count").is_empty(), "{name}");
        }
        match &exchange["body"] {
            Value::Null => assert!(answer.bytes.is_empty(), "{name}: {}", answer.text()),
            Value::String(page) => {
                assert!(page.contains("<!DOCTYPE html>") && answer.text().contains("<!DOCTYPE html>"), "{name}");
                assert!(answer.header("content-type").starts_with("text/html"), "{name}");
            }
            real => {
                let ours = answer.json();
                let mut found = Vec::new();
                lacks(real, &ours, "", &mut found);
                assert!(found.is_empty(), "{name}: {found:#?}");
                if real.get("message").is_some() {
                    assert_eq!(real["message"], ours["message"], "{name}");
                }
                match name {
                    "release-create" => release = ours["id"].as_u64().unwrap(),
                    _ if name.starts_with("asset-upload") => assets.push(ours["id"].as_u64().unwrap()),
                    _ => {}
                }
            }
        }
        seen += 1;
    }
    assert_eq!(seen, 15);
}

#[tokio::test]
async fn github_has_every_field_that_its_description_requires() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1").asset("a", b"a");
    alpha.draft_release("v2").starter("b");
    let url = format!("{}/repos/acme/alpha/releases", forge.github_api());
    let list = get(&url, &forge.token()).await.json();
    for release in list.as_array().unwrap() {
        assert_has(release, GITHUB_RELEASE);
        assert_has(&release["assets"][0], GITHUB_ASSET);
    }
    assert_eq!(list.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn gitlab_has_every_field_that_its_description_names() {
    let (forge, alpha) = forge_with_tag().await;
    alpha.release("v1").asset("a", b"a");
    let project = format!("{}/projects/acme%2Falpha", forge.gitlab_api());
    let release = get(&format!("{project}/releases/v1"), &forge.token()).await.json();
    assert_has(&release, GITLAB_RELEASE);
    assert_has(&release["assets"]["links"][0], GITLAB_LINK);
    let packages = get(&format!("{project}/packages"), &forge.token()).await.json();
    let files = format!("{project}/packages/{}/package_files", packages[0]["id"]);
    assert_has(&get(&files, &forge.token()).await.json()[0], GITLAB_FILE);
}
