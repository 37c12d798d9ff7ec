//! GitLab's releases, against a project that keeps links and packages as GitLab does.

use std::sync::{Arc, Mutex};

use sha2::Digest;

use crate::forge::gitlab::releases::*;
use crate::forge::release::testing::{Local, destination, fields, read, release, repo};
use crate::forge::testing::{Asked, Reply, Server, connection, not_found};
use crate::model::destination::DestinationKind::Gitlab as KIND;
use crate::model::release::Sha256;

const PROJECT: &str = "/projects/acme%2Ftool";
const TAG: &str = "rel/1.0";
const RELEASE: &str = "/projects/acme%2Ftool/releases/rel%2F1.0";

/// A project with one release.
#[derive(Default)]
struct Project {
    links: Vec<Value>,
    /// Package name and version; its id is its place.
    packages: Vec<(String, String)>,
    /// Package id, file.
    files: Vec<(u64, Value)>,
    next: u64,
    /// Answers of uploads and links before those that work.
    broken_puts: Vec<Reply>,
    broken_links: Vec<Reply>,
    /// Says "201 Created" only, as old servers do.
    old: bool,
    no_packages: bool,
}

impl Project {
    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn release(&self) -> Value {
        json!({"tag_name": TAG, "name": "First", "description": "What\r\nis new.", "upcoming_release": false,
            "created_at": "2026-05-01T00:00:00.123Z", "released_at": "2026-05-02T00:00:00.000+02:00",
            "author": {"username": "ann"}, "_links": {"self": "https://h/acme/tool/-/releases/rel%2F1.0"},
            "assets": {"count": 4, "sources": [], "links": self.links}})
    }

    fn put_file(&mut self, name: &str, version: &str, file: &str, bytes: &[u8]) -> Value {
        let package = (name.to_owned(), version.to_owned());
        if !self.packages.contains(&package) {
            self.packages.push(package.clone());
        }
        let package = self.packages.iter().position(|there| *there == package).unwrap() as u64;
        let json = json!({"id": self.id(), "package_id": package, "file_name": file, "size": bytes.len(),
            "created_at": "2026-05-03T00:00:00Z",
            "file_sha256": Sha256::new(sha2::Sha256::digest(bytes).into()).to_string()});
        self.files.push((package, json.clone()));
        json
    }

    fn put_link(&mut self, body: &Value, id: Option<u64>) -> Reply {
        let others = self.links.iter().filter(|link| link["id"].as_u64() != id);
        let taken = |key: &str| others.clone().any(|link| link[key] == body[key]);
        if taken("name") || taken("url") {
            return Reply::new(400, r#"{"message":{"name":["has already been taken"]}}"#);
        }
        let mut link = body.clone();
        link["id"] = json!(id.unwrap_or_else(|| self.id()));
        self.links.retain(|there| there["id"] != link["id"]);
        self.links.push(link.clone());
        Reply::json(&link)
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        let path = asked.path().strip_prefix(PROJECT).or(asked.path().strip_prefix("/projects/42"));
        let parts: Vec<&str> = path.unwrap_or("?").split('/').skip(1).collect();
        let number = |text: &str| text.parse::<u64>().ok();
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", _) if asked.page() > 1 => Reply::json(&json!([])),
            ("GET", []) => Reply::json(&json!({"id": 42})),
            ("GET", ["packages", "generic", ..]) => Reply::new(200, "bytes"),
            ("GET", ["packages", ..]) if self.no_packages => Reply::new(403, r#"{"message":"403 Forbidden"}"#),
            ("GET", ["releases"]) => Reply::json(&json!([self.release()])),
            ("GET" | "PUT", ["releases", "rel%2F1.0"]) => Reply::json(&self.release()),
            ("GET", ["releases", _, "assets", "links"]) => Reply::json(&json!(self.links)),
            ("POST", ["releases", _, "assets", "links"]) if !self.broken_links.is_empty() => {
                // Made, but nobody hears of it.
                self.put_link(&asked.body, None);
                self.broken_links.remove(0)
            }
            ("POST", ["releases", _, "assets", "links"]) => self.put_link(&asked.body, None),
            ("PUT", ["releases", _, "assets", "links", id]) => self.put_link(&asked.body, number(id)),
            ("DELETE", ["releases", _, "assets", "links", id]) => {
                let id = number(id);
                self.links.retain(|link| link["id"].as_u64() != id);
                Reply::new(204, "")
            }
            ("GET", ["packages"]) => {
                assert_eq!(asked.query("package_type").as_deref(), Some("generic"));
                let name = asked.query("package_name").unwrap();
                let all = self.packages.iter().enumerate().filter(|(_, (there, _))| there.contains(&name));
                let all = all.map(|(id, (name, version))| json!({"id": id, "name": name, "version": version}));
                Reply::json(&all.collect())
            }
            ("GET", ["packages", id, "package_files"]) => {
                let files = self.files.iter().filter(|(package, _)| Some(*package) == number(id));
                Reply::json(&files.map(|(_, json)| json.clone()).collect())
            }
            ("DELETE", ["packages", _, "package_files", id]) => {
                let id = number(id);
                self.files.retain(|(_, json)| json["id"].as_u64() != id);
                Reply::new(204, "")
            }
            ("PUT", ["packages", "generic", name, version, file]) => {
                if !self.broken_puts.is_empty() {
                    return self.broken_puts.remove(0);
                }
                let json = self.put_file(name, version, file, &asked.bytes);
                match self.old {
                    true => Reply::new(201, r#"{"message":"201 Created"}"#),
                    false => Reply::json(&json),
                }
            }
            ("DELETE", _) => Reply::new(204, ""),
            _ => not_found(),
        }
    }
}

async fn gitlab(project: Project) -> (Server, Arc<Mutex<Project>>) {
    let project = Arc::new(Mutex::new(project));
    let state = project.clone();
    let server = Server::start(move |asked| state.lock().unwrap().answer(asked)).await;
    (server, project)
}

fn link(name: &str, url: &str) -> Link {
    Link { id: String::new(), name: name.to_owned(), url: Url::parse(url).unwrap(), kind: None }
}

#[tokio::test]
async fn links_into_the_projects_own_packages_are_assets_and_others_links() {
    let (server, project) = gitlab(Project::default()).await;
    {
        let mut project = project.lock().unwrap();
        project.put_file("app", "1.0", "a b.zip", b"old");
        project.put_file("app", "1.0", "a b.zip", b"bytes");
        project.put_file("app-extra", "1.0", "other", b"x");
        let base = server.url.as_str();
        for (name, url) in [
            ("By path", format!("{base}projects/acme%2Ftool/packages/generic/app/1.0/a%20b.zip")),
            ("By id", format!("{base}projects/42/packages/generic/app/1.0/gone.zip")),
            ("Hidden", format!("{base}projects/42/packages/generic/hidden/1.0/x.zip")),
            ("Another project's", format!("{base}projects/43/packages/generic/app/1.0/a%20b.zip")),
            ("Another host's", "https://h.test/projects/42/packages/generic/app/1.0/a".to_owned()),
            ("Manual", "https://docs.example.org/".to_owned()),
        ] {
            project.put_link(&json!({"name": name, "url": url, "link_type": "other"}), None);
        }
    }
    let all = destination(KIND, &server).releases(&repo()).await.unwrap();
    let [release] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((release.id.as_str(), release.tag.as_str(), release.notes.as_str()), (TAG, TAG, "What\nis new."));
    assert_eq!(release.published_at, Some("2026-05-01T22:00:00Z".parse().unwrap()));
    assert!(release.latest && release.page.is_some() && release.author.as_deref() == Some("ann"));
    // Listed as GitLab does it, the newest first; read as they were made.
    let [hidden, by_id, by_path] = release.assets.as_slice() else { panic!("{release:?}") };
    assert_eq!((by_path.name.as_str(), by_path.stored_as.as_str(), by_path.size), ("By path", "a b.zip", Some(5)));
    assert_eq!(by_path.digest, Some(Local::new(b"bytes").digest), "of two equal names the newest is served");
    assert!(by_path.complete && !by_id.complete);
    assert_eq!((hidden.complete, hidden.size), (true, None), "a hidden package is not listed");
    let links: Vec<&str> = release.links.iter().map(|link| link.name.as_str()).collect();
    assert_eq!(links, ["Manual", "Another host's", "Another project's"]);
}

#[tokio::test]
async fn packages_that_cannot_be_seen_leave_size_and_digest_open_and_a_broken_page_fails_all() {
    let (server, project) = gitlab(Project { no_packages: true, ..Project::default() }).await;
    let url = format!("{}projects/42/packages/generic/app/1.0/a.zip", server.url);
    project.lock().unwrap().put_link(&json!({"name": "a.zip", "url": url, "link_type": "other"}), None);
    let gitlab = destination(KIND, &server);
    let all = gitlab.releases(&repo()).await.unwrap();
    let asset = &all[0].assets[0];
    assert_eq!((asset.size, asset.digest, asset.complete), (None, None, true));
    assert_eq!(read(gitlab.download(asset, 0, None).await.unwrap()).await.unwrap(), b"bytes");
    assert!(server.asked().last().unwrap().header("private-token").is_some());

    let server = Server::start(move |asked| match asked.path() {
        "/projects/acme%2Ftool/packages" => Reply::new(500, "{}"),
        "/projects/acme%2Ftool" => Reply::json(&json!({"id": 42})),
        _ if asked.page() > 1 => Reply::json(&json!([])),
        _ => {
            let url = format!("{}/projects/42/packages/generic/app/1.0/a.zip", asked.base);
            Reply::json(&json!([{"tag_name": "v1", "assets": {"links": [{"id": 1, "name": "a", "url": url}]}}]))
        }
    })
    .await;
    assert!(destination(KIND, &server).releases(&repo()).await.is_err());
}

#[tokio::test]
async fn a_file_goes_into_the_package_of_its_tag_and_is_linked_by_its_own_name() {
    let file = Local::new(b"bytes");
    for old in [false, true] {
        let (server, _) = gitlab(Project { old, ..Project::default() }).await;
        let gitlab = destination(KIND, &server);
        let name = "My App (x64).zip";
        let asset = gitlab.upload(&repo(), &release(TAG, TAG), &file.upload(name)).await.unwrap();
        let (version, stored) = (safe(TAG), safe(name));
        let path = format!("/projects/42/packages/generic/holocron-release/{version}/{stored}");
        assert_eq!((asset.name.as_str(), asset.stored_as.as_str(), asset.size), (name, stored.as_str(), Some(5)));
        assert_eq!((asset.digest, asset.url.path()), (Some(file.digest), path.as_str()));
        assert_eq!(server.changes(), [format!("PUT {path}"), format!("POST {RELEASE}/assets/links")]);
        let asked = server.asked();
        let put = asked.iter().find(|asked| asked.method == "PUT").unwrap();
        assert_eq!((put.bytes.as_slice(), put.header("content-length")), (b"bytes".as_slice(), Some("5")));
        let body = json!({"name": name, "url": server.url.join(&path).unwrap(), "link_type": "package"});
        assert_eq!(asked.last().unwrap().body, body);
        // It is found again as it was made, and goes without a trace.
        let all = gitlab.releases(&repo()).await.unwrap();
        assert_eq!(all[0].assets, std::slice::from_ref(&asset));
        gitlab.delete_asset(&repo(), &all[0], &asset).await.unwrap();
        assert!(gitlab.releases(&repo()).await.unwrap()[0].assets.is_empty());
    }
}

#[tokio::test]
async fn what_a_broken_upload_left_is_used_when_it_is_whole_and_removed_when_not() {
    let file = Local::new(b"bytes");
    let (server, project) = gitlab(Project::default()).await;
    {
        let mut project = project.lock().unwrap();
        let (version, stored) = (safe(TAG), safe("a.zip"));
        project.put_file("holocron-release", &version, &stored, b"older");
        project.put_file("holocron-release", &version, &stored, b"bytes");
        project.put_file("holocron-release", &version, "b.zip", b"another's");
    }
    let gitlab = destination(KIND, &server);
    let asset = gitlab.upload(&repo(), &release(TAG, TAG), &file.upload("a.zip")).await.unwrap();
    assert_eq!(asset.digest, Some(file.digest));
    let links = format!("POST {RELEASE}/assets/links");
    assert_eq!(server.changes(), [format!("DELETE {PROJECT}/packages/0/package_files/1"), links]);
    assert_eq!(project.lock().unwrap().files.len(), 2);
}

#[tokio::test]
async fn an_upload_is_tried_again_after_a_failure_and_a_link_whose_answer_was_lost_is_taken_as_it_is() {
    let file = Local::new(b"bytes");
    let broken_puts = vec![Reply::new(502, "<html>")];
    let broken_links = vec![Reply::new(502, "<html>")];
    let (server, project) = gitlab(Project { broken_puts, broken_links, ..Project::default() }).await;
    destination(KIND, &server).upload(&repo(), &release(TAG, TAG), &file.upload("a.zip")).await.unwrap();
    let project = project.lock().unwrap();
    assert_eq!((project.files.len(), project.links.len()), (1, 1));
    let changes: Vec<String> =
        server.changes().iter().map(|change| change.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(changes, ["PUT", "PUT", "POST", "POST"]);
}

#[tokio::test]
async fn a_link_that_somebody_made_is_not_taken_over_by_an_upload() {
    let file = Local::new(b"bytes");
    let (server, project) = gitlab(Project::default()).await;
    let theirs = json!({"name": "a.zip", "url": "https://h.test/a.zip", "link_type": "other"});
    project.lock().unwrap().put_link(&theirs, None);
    let upload = file.upload("a.zip");
    let failure = destination(KIND, &server).upload(&repo(), &release(TAG, TAG), &upload).await.unwrap_err();
    assert_eq!(failure.reason(), Reason::PushRejected);
    assert_eq!(project.lock().unwrap().links[0]["url"], theirs["url"]);
}

#[tokio::test]
async fn a_link_is_made_changed_by_its_name_and_deleted() {
    let (server, project) = gitlab(Project::default()).await;
    let gitlab = destination(KIND, &server);
    let release = release(TAG, TAG);
    gitlab.put_link(&repo(), &release, &link("Manual", "https://h.test/1")).await.unwrap();
    gitlab.put_link(&repo(), &release, &link("Manual", "https://h.test/1")).await.unwrap();
    let runbook = Link { kind: Some("runbook".to_owned()), ..link("Manual", "https://h.test/2") };
    gitlab.put_link(&repo(), &release, &runbook).await.unwrap();
    assert_eq!(
        project.lock().unwrap().links,
        [json!({"id": 1, "name": "Manual", "url": "https://h.test/2", "link_type": "runbook"})]
    );
    // The address is another link's, which nobody asked us to change.
    assert!(gitlab.put_link(&repo(), &release, &link("Handbook", "https://h.test/2")).await.is_err());
    let all = gitlab.releases(&repo()).await.unwrap();
    gitlab.delete_link(&repo(), &release, &all[0].links[0]).await.unwrap();
    assert!(project.lock().unwrap().links.is_empty());
    let links = format!("{RELEASE}/assets/links");
    let (post, put) = (format!("POST {links}"), format!("PUT {links}/1"));
    assert_eq!(server.changes(), [post.clone(), post.clone(), post.clone(), put, post, format!("DELETE {links}/1")]);
}

#[tokio::test]
async fn a_release_is_made_with_its_date_and_never_as_a_draft() {
    let (server, _) = gitlab(Project::default()).await;
    let gitlab = destination(KIND, &server);
    let untitled = ReleaseFields { title: String::new(), published_at: None, ..fields(TAG) };
    gitlab.edit(&repo(), TAG, &untitled).await.unwrap();
    let asked = server.asked().pop().unwrap();
    assert_eq!((asked.method.as_str(), asked.path()), ("PUT", RELEASE));
    assert_eq!(asked.body, json!({"name": TAG, "description": "What is new."}));
    let draft = ReleaseFields { draft: true, ..fields(TAG) };
    assert!(gitlab.create(&repo(), &draft).await.is_err() && gitlab.edit(&repo(), TAG, &draft).await.is_err());
    assert_eq!(server.changes().len(), 1, "nothing that is a draft elsewhere is published");

    for (status, made) in [(201, true), (409, false), (500, true)] {
        let notes = if status == 500 { "What is new." } else { "Theirs." };
        let json = json!({"tag_name": "v1", "name": "First", "description": notes, "assets": {"links": []}});
        let server = Server::start(move |asked| match (asked.method.as_str(), asked.page()) {
            ("POST", _) if status == 201 => Reply::json(&json),
            ("POST", _) => Reply::new(status, r#"{"message":"Release already exists"}"#),
            (_, 1) => Reply::json(&json!([json])),
            _ => Reply::json(&json!([])),
        })
        .await;
        let created = destination(KIND, &server).create(&repo(), &fields("v1")).await.unwrap();
        assert_eq!(matches!(created, Created::Made(_)), made, "{status}");
        assert_eq!(server.changes(), [format!("POST {PROJECT}/releases")]);
        let body = json!({"tag_name": "v1", "name": "First", "description": "What is new.",
            "released_at": "2026-05-04T03:02:01Z"});
        assert_eq!(server.asked()[0].body, body, "no `ref`: it would make a tag");
    }
}

#[tokio::test]
async fn a_deleted_release_takes_its_files_with_it_and_leaves_those_of_others() {
    let (server, project) = gitlab(Project::default()).await;
    let gitlab = destination(KIND, &server);
    let file = Local::new(b"bytes");
    gitlab.upload(&repo(), &release(TAG, TAG), &file.upload("a.zip")).await.unwrap();
    {
        let mut project = project.lock().unwrap();
        project.put_file("app", "1.0", "b.zip", b"theirs");
        let url = format!("{}projects/42/packages/generic/app/1.0/b.zip", server.url);
        project.put_link(&json!({"name": "b.zip", "url": url, "link_type": "other"}), None);
    }
    let all = gitlab.releases(&repo()).await.unwrap();
    assert_eq!(all[0].assets.len(), 2);
    let before = server.changes().len();
    gitlab.delete(&repo(), &all[0]).await.unwrap();
    assert_eq!(
        server.changes()[before..],
        [
            format!("DELETE {PROJECT}/packages/0/package_files/1"),
            format!("DELETE {PROJECT}/packages/0"),
            format!("DELETE {RELEASE}")
        ]
    );
    assert_eq!(project.lock().unwrap().files.len(), 1);
}

#[tokio::test]
async fn uploads_into_one_package_take_turns() {
    let (server, _) = gitlab(Project::default()).await;
    let gitlab = destination(KIND, &server);
    let (one, two) = (Local::new(b"one"), Local::new(b"two"));
    let (repo, release) = (repo(), release(TAG, TAG));
    let (one, two) = (one.upload("one.zip"), two.upload("two.zip"));
    let both = tokio::join!(gitlab.upload(&repo, &release, &one), gitlab.upload(&repo, &release, &two));
    both.0.unwrap();
    both.1.unwrap();
    // The second looks into the package only after the first has put its file there.
    let asked = server.asked().into_iter().filter(|asked| asked.path().contains("/packages"));
    let methods: Vec<String> = asked.filter(|asked| asked.page() == 1).map(|asked| asked.method).collect();
    assert_eq!(methods, ["GET", "PUT", "GET", "GET", "PUT"]);
}

#[tokio::test]
async fn a_tag_is_there_missing_or_unknown_and_limits_are_told_where_they_are_known() {
    let server = Server::start(|asked| match asked.path() {
        "/projects/acme%2Ftool/repository/tags/rel%2F1.0" => Reply::json(&json!({"name": TAG})),
        "/projects/acme%2Ftool/repository/tags/proxy" => Reply::new(404, "<html>"),
        _ => Reply::new(404, r#"{"message":"404 Tag Not Found"}"#),
    })
    .await;
    let gitlab = destination(KIND, &server);
    assert!(gitlab.has_tag(&repo(), TAG).await.unwrap());
    assert!(!gitlab.has_tag(&repo(), "v9").await.unwrap());
    assert!(gitlab.has_tag(&repo(), "proxy").await.is_err());
    assert_eq!(gitlab.features().largest_asset, None);
    let com = connection(&Url::parse("https://gitlab.com/api/v4").unwrap());
    assert_eq!(GitlabReleases::open(&com).unwrap().features().largest_asset, Some(5 << 30));
}
