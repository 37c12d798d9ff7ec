//! GitHub's releases, against a server that keeps to its REST description.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::forge::github::releases::*;
use crate::forge::release::testing::{Local, asset as an_asset, destination, fields, read, release, repo};
use crate::forge::testing::{Asked, Reply, Server, connection, not_found};
use crate::model::destination::DestinationKind::Github as KIND;

const RELEASES: &str = "/repos/acme/tool/releases";

fn json(asked: &Asked, id: u64, tag: &str) -> Value {
    json!({"id": id, "tag_name": tag, "name": "First", "body": "What is new.", "draft": false, "prerelease": false,
        "created_at": "2026-05-01T00:00:00Z", "published_at": "2026-05-02T00:00:00Z", "author": {"login": "ann"},
        "html_url": format!("https://github.com/acme/tool/releases/tag/{tag}"), "assets": [],
        "upload_url": format!("{}/upload/{id}/assets{{?name,label}}", asked.base)})
}

fn asset_json(asked: &Asked, id: u64, name: &str, state: &str) -> Value {
    json!({"id": id, "name": name, "label": "", "state": state, "size": 5, "digest": null,
        "content_type": "application/zip", "updated_at": "2026-05-02T00:00:00Z",
        "url": format!("{}{RELEASES}/assets/{id}", asked.base)})
}

fn error(code: &str) -> String {
    json!({"message": "Validation Failed", "errors": [{"resource": "ReleaseAsset", "code": code, "field": "name"}]})
        .to_string()
}

#[tokio::test]
async fn a_listing_has_all_pages_with_drafts_assets_and_the_latest() {
    let server = Server::start(|asked| match (asked.path(), asked.page()) {
        (RELEASES, 1) => {
            let mut draft = json(asked, 3, "v2");
            draft["draft"] = json!(true);
            draft["published_at"] = json!(null);
            draft["body"] = json!("One.\r\nTwo.");
            draft["name"] = json!(null);
            let mut stub = asset_json(asked, 31, "My.App.exe", "starter");
            stub["label"] = json!("My App.exe");
            let mut described = asset_json(asked, 32, "setup.exe", "uploaded");
            described["label"] = json!("For Windows");
            described["digest"] = json!("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
            draft["assets"] = json!([stub, described]);
            Reply::json(&json!([draft])).with("link", format!("<{}{RELEASES}?page=2>; rel=\"next\"", asked.base))
        }
        (RELEASES, _) => {
            let link = format!("<{}{RELEASES}?page=1>; rel=\"first\"", asked.base);
            Reply::json(&json!([json(asked, 2, "v1.1"), json(asked, 1, "v1.0")])).with("link", link)
        }
        ("/repos/acme/tool/releases/latest", _) => Reply::json(&json(asked, 1, "v1.0")),
        _ => not_found(),
    })
    .await;
    let all = destination(KIND, &server).releases(&repo()).await.unwrap();
    assert_eq!(
        all.iter().map(|one| (one.tag.as_str(), one.latest)).collect::<Vec<_>>(),
        [("v2", false), ("v1.1", false), ("v1.0", true)]
    );
    let draft = &all[0];
    assert_eq!((draft.title.as_str(), draft.notes.as_str(), draft.draft), ("", "One.\nTwo.", true));
    assert_eq!((draft.published_at, draft.author.as_deref()), (None, Some("ann")));
    let [stub, described] = draft.assets.as_slice() else { panic!("{draft:?}") };
    assert_eq!((stub.name.as_str(), stub.stored_as.as_str(), stub.complete), ("My App.exe", "My.App.exe", false));
    assert_eq!((described.name.as_str(), described.complete), ("setup.exe", true), "a description is no name");
    assert!(stub.digest.is_none() && described.digest.is_some());
    assert_eq!(server.targets()[0], format!("{RELEASES}?per_page=100"));
}

#[tokio::test]
async fn a_listing_is_whole_or_a_failure() {
    for broken in ["page", "latest", "repo", "address"] {
        let server = Server::start(move |asked| match (asked.path(), asked.page()) {
            (RELEASES, _) if broken == "repo" => not_found(),
            (RELEASES, 2) => Reply::new(500, "{}"),
            (RELEASES, _) => {
                let mut json = json(asked, 1, "v1");
                if broken == "address" {
                    json["assets"] = json!([asset_json(asked, 1, "a", "uploaded")]);
                    json["assets"][0]["url"] = json!("nowhere");
                }
                let reply = Reply::json(&json!([json]));
                let more = if broken == "page" { "next" } else { "prev" };
                reply.with("link", format!("<{}{RELEASES}?page=2>; rel=\"{more}\"", asked.base))
            }
            _ => Reply::new(404, "<html>a proxy's</html>"),
        })
        .await;
        let all = destination(KIND, &server).releases(&repo()).await;
        assert!(all.is_err(), "{broken}");
    }
    // No release is the latest where all are drafts or none is.
    let server = Server::with(&[(RELEASES, json!([]))]).await;
    assert_eq!(destination(KIND, &server).releases(&repo()).await.unwrap(), []);
    assert!(!server.targets().iter().any(|target| target.contains("latest")));
}

#[tokio::test]
async fn a_public_repository_is_read_without_a_token() {
    let server = Server::with(&[(RELEASES, json!([]))]).await;
    let connection = Connection { token: None, ..connection(&server.url) };
    let source = crate::forge::open::release_source(crate::model::ForgeKind::Github, connection).unwrap();
    assert_eq!(source.releases(&repo()).await.unwrap(), []);
    assert_eq!(server.asked()[0].header("authorization"), None);
}

#[tokio::test]
async fn what_is_written_names_no_commit_and_takes_latest_only_where_it_may() {
    let server = Server::start(|asked| match asked.method.as_str() {
        "GET" => Reply::json(&json!([])),
        _ => Reply::json(&json(asked, 1, "v1")),
    })
    .await;
    let github = destination(KIND, &server);
    let made = github.create(&repo(), &fields("v1")).await.unwrap();
    assert!(matches!(made, Created::Made(release) if release.id == "1"));
    for (draft, prerelease, latest, expected) in [
        (false, false, Some(true), "true"),
        (false, false, Some(false), "false"),
        (true, false, Some(true), "false"),
        (false, true, Some(true), "false"),
    ] {
        let fields = ReleaseFields { draft, prerelease, latest, ..fields("v1") };
        github.edit(&repo(), "1", &fields).await.unwrap();
        let body = server.asked().pop().unwrap().body;
        assert_eq!((&body["make_latest"], &body["draft"]), (&json!(expected), &json!(draft)));
    }
    assert_eq!(server.changes()[..2], [format!("POST {RELEASES}"), format!("PATCH {RELEASES}/1")]);
    let body = json!({"tag_name": "v1", "name": "First", "body": "What is new.", "draft": false, "prerelease": false,
        "make_latest": "legacy"});
    assert_eq!(server.asked()[0].body, body);
}

#[tokio::test]
async fn a_release_that_exists_is_found_and_one_whose_answer_was_lost_is_ours() {
    for (status, notes, made) in [(422, "Theirs.", false), (502, "What is new.", true), (502, "Theirs.", false)] {
        let server = Server::start(move |asked| match (asked.method.as_str(), asked.path()) {
            ("POST", _) if status == 422 => Reply::new(422, error("already_exists")),
            ("POST", _) => Reply::new(502, "<html>"),
            (_, RELEASES) if asked.page() > 1 => Reply::json(&json!([])),
            (_, RELEASES) => {
                let mut json = json(asked, 7, "v1");
                json["body"] = json!(notes);
                Reply::json(&json!([json]))
            }
            _ => not_found(),
        })
        .await;
        let created = destination(KIND, &server).create(&repo(), &fields("v1")).await.unwrap();
        assert_eq!(matches!(&created, Created::Made(_)), made, "{status} {notes}");
        let (Created::Made(release) | Created::Found(release)) = created;
        assert_eq!(release.id, "7");
        assert_eq!(server.changes().len(), 1, "looked up, not made again");
    }
}

#[tokio::test]
async fn a_creation_that_came_to_nothing_is_tried_again_and_a_refused_one_is_not() {
    let turn = AtomicUsize::new(0);
    let server = Server::start(move |asked| match asked.method.as_str() {
        "POST" if turn.fetch_add(1, Ordering::SeqCst) == 0 => Reply::new(502, "<html>"),
        "POST" => Reply::json(&json(asked, 1, "v1")),
        _ => Reply::json(&json!([])),
    })
    .await;
    let github = destination(KIND, &server);
    assert!(matches!(github.create(&repo(), &fields("v1")).await.unwrap(), Created::Made(_)));
    let asked: Vec<String> = server.asked().into_iter().map(|asked| asked.method).collect();
    assert_eq!(asked, ["POST", "GET", "POST"]);

    for (status, body, reason) in [
        (403, r#"{"message":"Repository was archived so is read-only."}"#, Reason::Archived),
        (403, r#"{"message":"Resource not accessible by personal access token"}"#, Reason::Forbidden),
        (404, r#"{"message":"Not Found"}"#, Reason::RemoteNotFound),
        (422, r#"{"message":"Validation Failed"}"#, Reason::PushRejected),
        (401, r#"{"message":"Bad credentials"}"#, Reason::AuthFailed),
    ] {
        let server = Server::start(move |_| Reply::new(status, body)).await;
        let failure = destination(KIND, &server).create(&repo(), &fields("v1")).await.unwrap_err();
        assert_eq!(failure.reason(), reason, "{failure}");
        assert!(failure.way_out().is_some(), "{failure}");
        assert_eq!(server.asked().len(), 1);
    }
}

#[tokio::test]
async fn a_release_that_appears_after_a_lost_answer_is_ours_although_the_next_try_is_refused() {
    let posts = Arc::new(AtomicUsize::new(0));
    let server = Server::start(move |asked| match asked.method.as_str() {
        "POST" if posts.fetch_add(1, Ordering::SeqCst) == 0 => Reply::new(502, "<html>"),
        "POST" => Reply::new(422, error("already_exists")),
        // It takes the server a moment to have it.
        _ if asked.path().ends_with("/latest") => not_found(),
        _ if posts.load(Ordering::SeqCst) < 2 || asked.page() > 1 => Reply::json(&json!([])),
        _ => Reply::json(&json!([json(asked, 7, "v1")])),
    })
    .await;
    let created = destination(KIND, &server).create(&repo(), &fields("v1")).await.unwrap();
    assert!(matches!(created, Created::Made(release) if release.id == "7"));
}

/// Takes files at `/upload/1/assets`, answering with `replies` in turn, and lists `assets`.
async fn uploads(
    replies: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static,
    assets: impl Fn(&Asked) -> Value + Send + Sync + 'static,
) -> Server {
    let turn = AtomicUsize::new(0);
    Server::start(move |asked| match (asked.method.as_str(), asked.path()) {
        ("GET", "/repos/acme/tool/releases/1") => Reply::json(&json(asked, 1, "v1")),
        ("GET", "/repos/acme/tool/releases/1/assets") if asked.page() > 1 => Reply::json(&json!([])),
        ("GET", "/repos/acme/tool/releases/1/assets") => Reply::json(&assets(asked)),
        ("POST", "/upload/1/assets") => replies(asked, turn.fetch_add(1, Ordering::SeqCst)),
        ("DELETE", _) => Reply::new(204, ""),
        _ => not_found(),
    })
    .await
}

#[tokio::test]
async fn a_file_is_uploaded_under_a_safe_name_with_its_own_as_label() {
    let file = Local::new(b"bytes");
    let digest = file.digest;
    let taken = move |asked: &Asked, _| {
        let mut json = asset_json(asked, 9, &asked.query("name").unwrap(), "uploaded");
        json["label"] = json!(asked.query("label"));
        json["digest"] = json!(format!("sha256:{digest}"));
        Reply::json(&json)
    };
    let server = uploads(taken, |_| json!([])).await;
    let github = destination(KIND, &server);
    for name in ["tool+1.zip", "My App (x64) + ü.zip"] {
        let stored = github.stored_name(name);
        let asset = github.upload(&repo(), &release("1", "v1"), &file.upload(name)).await.unwrap();
        assert_eq!((asset.name.as_str(), asset.stored_as.as_str()), (name, stored.as_str()));
        let asked = server.asked().pop().unwrap();
        assert_eq!((asked.query("name"), asked.query("label").as_deref()), (Some(stored), Some(name)));
        assert_eq!((asked.bytes.as_slice(), asked.header("content-length")), (b"bytes".as_slice(), Some("5")));
        assert_eq!(asked.header("content-type"), Some("application/octet-stream"));
    }
    assert_eq!(github.stored_name("a b.zip"), "a.b.zip");
}

#[tokio::test]
async fn other_bytes_than_sent_are_removed_and_a_failure() {
    let file = Local::new(b"bytes");
    for (size, digest) in [(5, Some("0".repeat(64))), (4, None)] {
        let server = uploads(
            move |asked, _| {
                let mut json = asset_json(asked, 9, "a.zip", "uploaded");
                json["size"] = json!(size);
                json["digest"] = json!(digest.as_ref().map(|digest| format!("sha256:{digest}")));
                Reply::json(&json)
            },
            |_| json!([]),
        )
        .await;
        let github = destination(KIND, &server);
        let failure = github.upload(&repo(), &release("1", "v1"), &file.upload("a.zip")).await.unwrap_err();
        assert!(failure.reason() == Reason::ServerError && failure.message().contains("a.zip"), "{failure}");
        assert_eq!(server.changes().last(), Some(&format!("DELETE {RELEASES}/assets/9")));
    }
}

#[tokio::test]
async fn a_stub_of_a_broken_upload_is_removed_before_the_next_try() {
    let file = Local::new(b"bytes");
    let server = uploads(
        |asked, turn| match turn {
            0 => Reply::new(502, "<html>Bad Gateway</html>"),
            // The stub of a run before this one.
            1 => Reply::new(422, error("already_exists")),
            _ => Reply::json(&asset_json(asked, 10, "a.zip", "uploaded")),
        },
        |asked| json!([asset_json(asked, 8, "b.zip", "starter"), asset_json(asked, 9, "a.zip", "starter")]),
    )
    .await;
    let github = destination(KIND, &server);
    let asset = github.upload(&repo(), &release("1", "v1"), &file.upload("a.zip")).await.unwrap();
    assert_eq!(asset.id, "10");
    let (post, delete) = ("POST /upload/1/assets".to_owned(), format!("DELETE {RELEASES}/assets/9"));
    assert_eq!(server.changes(), [post.clone(), delete.clone(), post.clone(), delete, post]);
}

#[tokio::test]
async fn an_upload_that_arrived_although_its_answer_did_not_is_success() {
    let file = Local::new(b"bytes");
    for status in [502, 422] {
        let server = uploads(
            move |_, _| Reply::new(status, error("already_exists")),
            |asked| json!([asset_json(asked, 9, "a.zip", "uploaded")]),
        )
        .await;
        let github = destination(KIND, &server);
        let asset = github.upload(&repo(), &release("1", "v1"), &file.upload("a.zip")).await.unwrap();
        assert_eq!((asset.id.as_str(), server.changes().len()), ("9", 1));
    }
}

#[tokio::test]
async fn somebody_elses_asset_of_that_name_stays() {
    let file = Local::new(b"other bytes");
    let server = uploads(
        |_, _| Reply::new(422, error("already_exists")),
        |asked| json!([asset_json(asked, 9, "a.zip", "uploaded")]),
    )
    .await;
    let upload = file.upload("a.zip");
    let failure = destination(KIND, &server).upload(&repo(), &release("1", "v1"), &upload).await.unwrap_err();
    assert_eq!(failure.reason(), Reason::PushRejected);
    assert_eq!(server.changes(), ["POST /upload/1/assets"]);
}

#[tokio::test]
async fn files_and_token_go_to_githubs_own_hosts_only() {
    let file = Local::new(b"bytes");
    let stranger = Server::start(|_| Reply::new(201, "{}")).await;
    let away = format!("{}upload{{?name,label}}", stranger.url);
    let server = Server::start(move |asked| {
        let mut json = json(asked, 1, "v1");
        json["upload_url"] = json!(away);
        Reply::json(&json)
    })
    .await;
    let upload = file.upload("a.zip");
    let failure = destination(KIND, &server).upload(&repo(), &release("1", "v1"), &upload).await.unwrap_err();
    assert_eq!((failure.reason(), stranger.asked().len()), (Reason::Held, 0));

    for (api, uploads) in [
        ("https://api.github.com", Some("https://uploads.github.com")),
        ("https://api.acme.ghe.com", Some("https://uploads.acme.ghe.com")),
        ("http://api.github.com", None),
        ("https://api.github.com.evil.test", None),
        ("https://api.example.org", None),
        ("https://ghe.example.org/api/v3", None),
    ] {
        let origin = uploads_origin(&Url::parse(api).unwrap());
        assert_eq!(origin.map(|origin| origin.to_string()).as_deref(), uploads, "{api}");
    }
}

#[tokio::test]
async fn what_is_gone_is_deleted_and_what_is_unknown_is_not() {
    for (status, body, gone) in
        [(204, "", true), (404, r#"{"message":"Not Found"}"#, true), (404, "<html>", false), (403, "{}", false)]
    {
        let server = Server::start(move |_| Reply::new(status, body)).await;
        let github = destination(KIND, &server);
        let asset = an_asset("9", "a.zip", server.url.clone());
        assert_eq!(github.delete(&repo(), &release("1", "v1")).await.is_ok(), gone, "{status} {body}");
        assert_eq!(github.delete_asset(&repo(), &release("1", "v1"), &asset).await.is_ok(), gone);
        assert_eq!(server.changes(), [format!("DELETE {RELEASES}/1"), format!("DELETE {RELEASES}/assets/9")]);
    }
}

#[tokio::test]
async fn a_tag_is_there_missing_or_unknown() {
    let server = Server::start(|asked| match asked.path() {
        "/repos/acme/tool/git/ref/tags/rel/1.0%25" => Reply::json(&json!({"ref": "refs/tags/rel/1.0%"})),
        // What some servers answer for the beginning of a name.
        "/repos/acme/tool/git/ref/tags/rel" => Reply::json(&json!({"ref": "refs/tags/rel/1.0%"})),
        "/repos/acme/tool/git/ref/tags/list" => Reply::json(&json!([])),
        "/repos/acme/tool/git/ref/tags/proxy" => Reply::new(404, "<html>"),
        _ => not_found(),
    })
    .await;
    let github = destination(KIND, &server);
    assert!(github.has_tag(&repo(), "rel/1.0%").await.unwrap());
    assert!(!github.has_tag(&repo(), "rel").await.unwrap());
    assert!(!github.has_tag(&repo(), "v9").await.unwrap());
    for tag in ["list", "proxy"] {
        assert!(github.has_tag(&repo(), tag).await.is_err(), "{tag}");
    }
}

#[tokio::test]
async fn an_asset_is_downloaded_through_the_api() {
    let server = Server::start(|asked| match asked.header("accept") {
        Some("application/octet-stream") => Reply::new(200, "bytes"),
        _ => Reply::json(&json!({"id": 9})),
    })
    .await;
    let asset = an_asset("9", "a.zip", server.url.join("/repos/acme/tool/releases/assets/9").unwrap());
    let download = destination(KIND, &server).download(&asset, 0, None).await.unwrap();
    assert_eq!(read(download).await.unwrap(), b"bytes");
}
