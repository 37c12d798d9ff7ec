//! Gitea's releases, against recorded answers as 1.21 gave them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::forge::gitea::releases::*;
use crate::forge::http::{Api, Ask};
use crate::forge::release::testing::{Local, asset as an_asset, destination, fields, read, release, repo};
use crate::forge::testing::{Asked, Reply, Server, connection, not_found, recorded, replayed, sample};
use crate::model::destination::DestinationKind::Gitea as KIND;

const RELEASES: &str = "/repos/acme/tool/releases";

#[tokio::test]
async fn a_recorded_listing_is_read_page_by_page() {
    let server = Server::start(|asked| match asked.page() {
        1 => recorded(asked, "releases-page")
            .with("link", format!("<{}{RELEASES}?limit=1&page=2>; rel=\"next\"", asked.base)),
        2 => {
            let mut page = sample("gitea/releases-page.json")["response"]["body"].clone();
            page[0]["id"] = json!(9);
            page[0]["tag_name"] = json!("v2");
            page[0]["prerelease"] = json!(false);
            page[0]["assets"] = json!([{"id": 1, "name": "manual", "type": "external", "size": 0,
                "browser_download_url": "https://docs.example.org/manual"}]);
            Reply::json(&page)
        }
        _ => Reply::json(&json!([])),
    })
    .await;
    let all = destination(KIND, &server).releases(&repo()).await.unwrap();
    let [first, second] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((first.id.as_str(), first.tag.as_str(), first.title.as_str()), ("8", "rec7055", "R"));
    assert_eq!((first.notes.as_str(), first.prerelease, first.latest), ("notes", true, false));
    assert_eq!(first.author.as_deref(), Some("tester"));
    let assets: Vec<_> = first.assets.iter().map(|asset| (asset.id.as_str(), asset.name.as_str())).collect();
    assert_eq!(assets, [("3", "a.bin"), ("4", "a.bin"), ("5", "a.exe")], "equal names are kept twice");
    assert_eq!((first.assets[0].size, first.assets[0].digest), (Some(11), None));
    assert_eq!(first.assets[0].url.path(), "/attachments/0f257d7c-d7a9-4e2b-bd09-9ebb5fc894e0");
    // A file that lies elsewhere is a link.
    assert_eq!((second.assets.len(), second.links[0].name.as_str(), second.latest), (0, "manual", true));
    assert_eq!(server.targets()[0], format!("{RELEASES}?limit=50"));
}

#[tokio::test]
async fn pages_are_read_until_one_is_empty_however_short_they_are() {
    let page = |asked: &Asked| {
        let mut body = sample("gitea/releases-page.json")["response"]["body"].clone();
        body[0]["id"] = json!(asked.page());
        body[0]["tag_name"] = json!(format!("v{}", asked.page()));
        Reply::json(&body)
    };
    let server = Server::start(move |asked| match asked.page() {
        1..=4 => page(asked),
        _ => Reply::json(&json!([])),
    })
    .await;
    assert_eq!(destination(KIND, &server).releases(&repo()).await.unwrap().len(), 4);
    let server = Server::start(move |asked| if asked.page() == 2 { Reply::new(500, "") } else { page(asked) }).await;
    assert!(destination(KIND, &server).releases(&repo()).await.is_err());
}

#[tokio::test]
async fn a_recorded_release_is_made_published_and_deleted() {
    let server = Server::start(|asked| match asked.method.as_str() {
        "POST" => recorded(asked, "release-create"),
        "PATCH" => recorded(asked, "release-edit"),
        _ => recorded(asked, "release-delete"),
    })
    .await;
    let gitea = destination(KIND, &server);
    let draft = ReleaseFields { draft: true, ..fields("rec7055") };
    let Created::Made(made) = gitea.create(&repo(), &draft).await.unwrap() else { panic!() };
    assert_eq!((made.id.as_str(), made.tag.as_str()), ("8", "rec7055"));
    let publish = ReleaseFields { title: String::new(), ..fields("rec7055") };
    assert_eq!(gitea.edit(&repo(), "8", &publish).await.unwrap().assets.len(), 2);
    gitea.delete(&repo(), &made).await.unwrap();
    let changes = [format!("POST {RELEASES}"), format!("PATCH {RELEASES}/8"), format!("DELETE {RELEASES}/8")];
    assert_eq!(server.changes(), changes);
    let asked = server.asked();
    let created = json!({"tag_name": "rec7055", "name": "First", "body": "What is new.", "draft": true,
        "prerelease": false});
    let edited = json!({"name": "rec7055", "body": "What is new.", "draft": false, "prerelease": false});
    assert_eq!((&asked[0].body, &asked[1].body), (&created, &edited));
}

#[tokio::test]
async fn a_recorded_conflict_is_found_and_a_recorded_panic_is_tried_again() {
    let listing = |asked: &Asked| match asked.page() {
        1 => recorded(asked, "releases-page"),
        _ => Reply::json(&json!([])),
    };
    let server = Server::start(move |asked| match asked.method.as_str() {
        "POST" => recorded(asked, "release-create-again"),
        _ => listing(asked),
    })
    .await;
    let created = destination(KIND, &server).create(&repo(), &fields("rec7055")).await.unwrap();
    assert!(matches!(created, Created::Found(release) if release.id == "8"));

    // As right after a push of the tag; then the server knows it.
    let turn = AtomicUsize::new(0);
    let server = Server::start(move |asked| match asked.method.as_str() {
        "POST" if turn.fetch_add(1, Ordering::SeqCst) == 0 => recorded(asked, "release-create-empty-repo"),
        "POST" => recorded(asked, "release-create-annotated-tag"),
        _ => listing(asked),
    })
    .await;
    let created = destination(KIND, &server).create(&repo(), &fields("v1.0")).await.unwrap();
    assert!(matches!(created, Created::Made(release) if release.id == "2"));
    assert_eq!(server.changes().len(), 2);

    let server = Server::start(move |asked| match asked.method.as_str() {
        "POST" => recorded(asked, "release-create-empty-repo"),
        _ => listing(asked),
    })
    .await;
    let failure = destination(KIND, &server).create(&repo(), &fields("v1.0")).await.unwrap_err();
    assert_eq!(failure.reason(), Reason::ServerError);
    assert_eq!(server.changes().len(), 3, "as often as the policy says");
}

#[tokio::test]
async fn a_file_is_sent_as_a_form_with_its_name_in_the_url() {
    let file = Local::new(b"eleven byte");
    let server = Server::start(|asked| recorded(asked, "asset-upload")).await;
    let gitea = destination(KIND, &server);
    let name = "Prüfung (1)+&.bin";
    let asset = gitea.upload(&repo(), &release("8", "v1"), &file.upload(name)).await.unwrap();
    assert_eq!((asset.id.as_str(), asset.size), ("3", Some(11)));
    let asked = server.asked().pop().unwrap();
    assert_eq!((asked.path(), asked.query("name").as_deref()), ("/repos/acme/tool/releases/8/assets", Some(name)));
    let body = String::from_utf8(asked.bytes.clone()).unwrap();
    assert!(body.contains("name=\"attachment\"") && body.contains("\r\n\r\neleven byte\r\n--"), "{body}");
    assert_eq!(asked.header("content-length"), Some(body.len().to_string().as_str()));
}

/// A release that keeps every file it gets, as Gitea does, and answers the first uploads with a failure.
async fn keeps_all(failures: usize, size: u64) -> (Server, Arc<Mutex<Vec<u64>>>) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let ids = kept.clone();
    let turn = AtomicUsize::new(0);
    let json = move |asked: &Asked, id: u64| {
        json!({"id": id, "name": "a.bin", "size": size, "created_at": "2026-05-01T00:00:00Z",
            "browser_download_url": format!("{}/attachments/{id}", asked.base)})
    };
    let server = Server::start(move |asked| {
        let mut ids = ids.lock().unwrap();
        match asked.method.as_str() {
            "POST" => {
                let id = 1 + turn.fetch_add(1, Ordering::SeqCst) as u64;
                ids.push(id);
                match id <= failures as u64 {
                    true => Reply::new(504, "<html>"),
                    false => Reply::json(&json(asked, id)),
                }
            }
            "DELETE" => {
                let id = asked.path().rsplit('/').next().unwrap().parse::<u64>().unwrap();
                ids.retain(|kept| *kept != id);
                Reply::new(204, "")
            }
            _ => Reply::json(&ids.iter().map(|id| json(asked, *id)).collect::<Value>()),
        }
    })
    .await;
    (server, kept)
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_is_there_once() {
    let file = Local::new(b"bytes");
    let (server, kept) = keeps_all(1, 5).await;
    let gitea = destination(KIND, &server);
    let asset = gitea.upload(&repo(), &release("8", "v1"), &file.upload("a.bin")).await.unwrap();
    assert_eq!((asset.id.as_str(), kept.lock().unwrap().clone()), ("1", vec![1]));
    assert_eq!(server.changes().len(), 1);

    // What is there has other bytes by its size: removed, and sent again.
    let (server, kept) = keeps_all(9, 4).await;
    let failure = destination(KIND, &server).upload(&repo(), &release("8", "v1"), &file.upload("a.bin")).await;
    assert!(failure.is_err());
    assert_eq!(kept.lock().unwrap().clone(), Vec::<u64>::new(), "nothing broken is left behind");
}

#[tokio::test]
async fn a_second_copy_of_an_upload_is_removed() {
    let file = Local::new(b"eleven byte");
    let server = Server::start(|asked| match asked.method.as_str() {
        "POST" => Reply::new(502, "<html>"),
        "DELETE" => recorded(asked, "asset-delete"),
        _ => recorded(asked, "asset-list"),
    })
    .await;
    let gitea = destination(KIND, &server);
    let asset = gitea.upload(&repo(), &release("8", "v1"), &file.upload("a.bin")).await.unwrap();
    assert_eq!(asset.id, "3");
    let assets = format!("{RELEASES}/8/assets");
    assert_eq!(server.changes(), [format!("POST {assets}"), format!("DELETE {assets}/4")]);
}

#[tokio::test]
async fn each_refusal_of_an_upload_names_its_cause() {
    let file = Local::new(b"bytes");
    for (status, body, reason) in [
        (413, "<html>nginx</html>", Reason::TooLarge),
        (400, r#"{"message":"File extension is not allowed"}"#, Reason::PushRejected),
        (403, r#"{"message":"token does not have at least one of required scope(s)"}"#, Reason::Forbidden),
    ] {
        let server = Server::start(move |_| Reply::new(status, body)).await;
        let upload = file.upload("a.exe");
        let failure = destination(KIND, &server).upload(&repo(), &release("8", "v1"), &upload).await.unwrap_err();
        assert_eq!((failure.reason(), server.asked().len()), (reason, 1), "{failure}");
        assert!(failure.way_out().is_some());
    }
}

#[tokio::test]
async fn a_tag_is_there_missing_or_unknown() {
    let server = Server::start(|asked| match asked.path() {
        "/repos/acme/tool/tags/rel/1.0" => Reply::json(&json!({"name": "rel/1.0", "id": "0123"})),
        "/repos/acme/tool/tags/proxy" => Reply::new(404, "<html>"),
        "/repos/acme/tool/tags/broken" => Reply::new(500, "<html>"),
        _ => recorded(asked, "release-by-tag-404"),
    })
    .await;
    let gitea = destination(KIND, &server);
    assert!(gitea.has_tag(&repo(), "rel/1.0").await.unwrap());
    assert!(!gitea.has_tag(&repo(), "nope").await.unwrap());
    assert!(gitea.has_tag(&repo(), "proxy").await.is_err() && gitea.has_tag(&repo(), "broken").await.is_err());
}

#[tokio::test]
async fn a_file_on_the_forges_own_origin_is_fetched_with_the_token_and_elsewhere_without() {
    let home = Server::start(|_| Reply::new(200, "bytes")).await;
    let elsewhere = Server::start(|_| Reply::new(200, "bytes")).await;
    let gitea = destination(KIND, &home);
    for server in [&home, &elsewhere] {
        let asset = an_asset("3", "a.bin", server.url.join("/attachments/1").unwrap());
        assert_eq!(read(gitea.download(&asset, 0, None).await.unwrap()).await.unwrap(), b"bytes");
    }
    assert!(home.asked()[0].header("authorization").is_some());
    assert_eq!(elsewhere.asked()[0].header("authorization"), None);
}

#[tokio::test]
async fn links_are_not_written_and_those_that_are_there_can_be_deleted() {
    let server = Server::start(|_| not_found()).await;
    let gitea = destination(KIND, &server);
    let url = Url::parse("https://docs.example.org/").unwrap();
    let link = Link { id: "1".to_owned(), name: "manual".to_owned(), url, kind: None };
    assert!(!gitea.features().links && gitea.put_link(&repo(), &release("8", "v1"), &link).await.is_err());
    gitea.delete_link(&repo(), &release("8", "v1"), &link).await.unwrap();
    assert_eq!(server.changes(), [format!("DELETE {RELEASES}/8/assets/1")]);
}

#[tokio::test]
async fn every_recorded_answer_of_a_real_gitea_is_understood() {
    let dir = format!("{}/testdata/forge/gitea", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names.len(), 66);
    for name in names {
        let recording = sample(&format!("gitea/{name}"));
        let response = recording["response"].clone();
        let server = Server::start(move |asked| replayed(asked, &recording)).await;
        let mut connection = connection(&server.url);
        connection.policy.tries = 1;
        let api = Api::new(&connection, Auth::Token).unwrap();
        let answer = api.attempt(&Ask::get(server.url.clone())).await;
        let status = response["status"].as_u64().unwrap();
        match answer {
            Ok(_) => assert!((200..300).contains(&status), "{name}"),
            Err(refusal) => {
                assert_eq!(refusal.status.map(|status| u64::from(status.as_u16())), Some(status), "{name}");
                assert_eq!(refusal.words.is_some(), response["body"].is_object(), "{name}");
                assert!(refusal.failure.evidence().is_some(), "{name}: {}", refusal.failure);
            }
        }
        let body = response["body"].clone();
        if name.starts_with("release") && status < 300 && !body.is_null() {
            let all = if body.is_array() { body } else { json!([body]) };
            let all: Vec<ReleaseJson> = serde_json::from_value(all).unwrap();
            all.into_iter().for_each(|json| assert!(!super::release(json).unwrap().tag.is_empty(), "{name}"));
        } else if name.starts_with("asset") && status < 300 && !body.is_null() {
            let all = if body.is_array() { body } else { json!([body]) };
            let all: Vec<AttachmentJson> = serde_json::from_value(all).unwrap();
            all.into_iter().for_each(|json| assert!(super::asset(json).unwrap().size.is_some(), "{name}"));
        }
    }
}
