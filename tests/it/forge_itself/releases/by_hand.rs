//! What a test does to releases by hand, and reads back.

use super::{forge_with_tag, get};
use crate::support::{Dialect, ReleaseHandle, ReleaseSeen};

fn names(seen: &ReleaseSeen) -> Vec<&str> {
    seen.assets.iter().map(|asset| asset.name.as_str()).collect()
}

fn filled(release: ReleaseHandle) -> ReleaseHandle {
    release.title("One").notes("First.").asset("a", b"a").asset("b", b"b").link("docs", "https://docs.example/")
}

#[tokio::test]
async fn a_release_is_made_with_its_tag_and_read_back_alike() {
    let (_forge, alpha) = forge_with_tag().await;
    let beta = filled(alpha.release("v2").prerelease()).repo();
    let seen = beta.seen_release("v2");
    assert_eq!((seen.tag.as_str(), seen.title.as_str(), seen.notes.as_str()), ("v2", "One", "First."));
    assert_eq!((seen.draft, seen.prerelease, seen.latest), (false, true, false));
    assert_eq!((names(&seen), seen.links.len()), (vec!["a", "b"], 1));
    assert_eq!(alpha.tip("refs/tags/v2"), alpha.tip("main"));
}

#[tokio::test]
async fn every_change_by_hand_shows() {
    let (forge, alpha) = forge_with_tag().await;
    filled(alpha.release("v1").prerelease());
    let ids = alpha.release_ids("v1");
    alpha.edit_release("v1", |release| {
        release.stable().notes("Better.").rename_asset("a", "c").replace_asset("b", b"B").remove_link("docs")
    });
    let seen = alpha.seen_release("v1");
    assert_eq!((seen.notes.as_str(), seen.prerelease, seen.latest, seen.links.len()), ("Better.", false, true, 0));
    assert_eq!(names(&seen), ["c", "b"]);
    let now = alpha.release_ids("v1");
    assert_eq!(now[..2], ids[..2], "a renamed asset is the same");
    assert_ne!(now[2], ids[2], "a replaced one is another");
    assert_eq!(alpha.asset_bytes("v1", "b"), b"B");

    alpha.edit_release("v1", |release| release.remove_asset("c").draft());
    assert_eq!(names(&alpha.seen_release("v1")), ["b"]);
    assert!(alpha.seen_release("v1").draft);
    alpha.remove_release("v1");
    assert_eq!(alpha.releases(), []);
    get(&format!("{}/repos/acme/alpha/releases/{}", forge.github_api(), ids[0]), &forge.token()).await.expect(404);
}

#[tokio::test]
async fn what_a_test_sees_does_not_depend_on_the_dialect() {
    let (forge, alpha) = forge_with_tag().await;
    filled(alpha.release("v1"));
    let before = alpha.releases();
    for dialect in [Dialect::Gitlab, Dialect::Gitea, Dialect::Github] {
        forge.speak(dialect);
        // An edit in GitLab's form makes packages and links of the assets.
        let url = format!("{}/projects/acme%2Falpha/releases/v1", forge.gitlab_api());
        super::send("PUT", &url, &forge.token(), serde_json::json!({"name": "One"})).await.expect(200);
        assert_eq!(alpha.releases(), before);
    }
}

#[tokio::test]
async fn a_renamed_repository_is_found_under_its_old_name_as_each_forge_does_it() {
    let (forge, alpha) = forge_with_tag().await;
    filled(alpha.release("v1"));
    alpha.rename("acme/beta");
    let (github, gitea) = (forge.github_api(), forge.gitea_api());
    let releases = [
        (format!("{github}/repos/acme/alpha/releases"), 301),
        (format!("{gitea}/repos/acme/alpha/releases"), 307),
        (format!("{}/projects/acme%2Falpha/releases", forge.gitlab_api()), 301),
    ];
    for (url, status) in &releases {
        let moved = get(url, &forge.token()).await.expect(*status);
        let found = get(moved.header("location"), &forge.token()).await.expect(200).json();
        assert_eq!(found[0]["tag_name"], "v1", "{url}");
    }
    let new = serde_json::json!({"tag_name": "v2", "ref": "main"});
    let mut statuses = Vec::new();
    for (url, _) in &releases {
        statuses.push(super::send("POST", url, &forge.token(), new.clone()).await.status);
    }
    assert_eq!(statuses, [307, 307, 405], "GitLab wants the new name");
    let moved = super::send("POST", &releases[0].0, &forge.token(), new.clone()).await;
    super::send("POST", moved.header("location"), &forge.token(), new).await.expect(201);
    assert_eq!(alpha.releases().len(), 2);
}
