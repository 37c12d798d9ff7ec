//! Three APIs over one model: who sees what, paging, redirects, ETags.

use reqwest::{Client, Response};
use serde_json::Value;

use crate::support::Forge;

fn client() -> Client {
    Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

async fn get(url: &str, token: &str) -> Response {
    client().get(url).bearer_auth(token).send().await.unwrap()
}

async fn json(url: &str, token: &str) -> Value {
    let response = get(url, token).await;
    assert_eq!(response.status(), 200, "{url}");
    response.json().await.unwrap()
}

/// The target of `rel="next"`.
fn next(response: &Response) -> Option<String> {
    let link = response.headers().get("link")?.to_str().unwrap();
    let entry = link.split(',').find(|entry| entry.contains("rel=\"next\""))?;
    Some(entry.split(['<', '>']).nth(1).unwrap().to_owned())
}

/// Follows `rel="next"` to the end; returns one field of all items, and the number of pages.
async fn all_pages(url: String, token: &str, field: &str) -> (Vec<String>, usize) {
    let (mut names, mut pages, mut url) = (Vec::new(), 0, Some(url));
    while let Some(here) = url {
        let response = get(&here, token).await;
        assert_eq!(response.status(), 200, "{here}");
        url = next(&response);
        let items: Vec<Value> = response.json().await.unwrap();
        names.extend(items.iter().map(|item| item[field].as_str().unwrap().to_owned()));
        pages += 1;
    }
    (names, pages)
}

/// Five repositories of alice's own and of her organisation, one private of somebody else.
async fn five_and_a_stranger() -> Forge {
    let forge = Forge::start().await;
    forge.user("bob");
    for name in ["alice/a", "acme/b", "acme/c", "acme/tools/d", "bob/shared"] {
        forge.repo(name).private().collaborator("alice");
    }
    forge.repo("bob/secret").private();
    forge
}

const FIVE: [&str; 5] = ["alice/a", "acme/b", "acme/c", "acme/tools/d", "bob/shared"];

#[tokio::test]
async fn github_pages_by_link_and_caps_the_page() {
    let forge = five_and_a_stranger().await;
    forge.page_size(2);
    let url = format!("{}/user/repos?per_page=100", forge.github_api());
    assert_eq!(all_pages(url, &forge.token(), "full_name").await, (FIVE.map(str::to_owned).to_vec(), 3));
    let links = get(&format!("{}/user/repos?page=2", forge.github_api()), &forge.token()).await;
    let links = links.headers()["link"].to_str().unwrap().to_owned();
    let relations: Vec<_> = links.split(", ").map(|link| link.rsplit(' ').next().unwrap()).collect();
    assert_eq!(relations, ["rel=\"prev\"", "rel=\"next\"", "rel=\"last\"", "rel=\"first\""]);
}

#[tokio::test]
async fn gitlab_pages_by_keyset_and_by_number() {
    let forge = five_and_a_stranger().await;
    forge.page_size(2);
    let projects = format!("{}/projects?membership=true&order_by=id&sort=asc", forge.gitlab_api());
    let wanted = (FIVE.map(str::to_owned).to_vec(), 3);
    assert_eq!(all_pages(projects.clone(), &forge.token(), "path_with_namespace").await, wanted);
    assert_eq!(all_pages(projects.clone() + "&pagination=keyset", &forge.token(), "path_with_namespace").await, wanted);

    let second = get(&(projects + "&page=2"), &forge.token()).await;
    for (name, value) in [("x-next-page", "3"), ("x-prev-page", "1"), ("x-total", "5"), ("x-total-pages", "3")] {
        assert_eq!(second.headers()[name], value, "{name}");
    }
}

#[tokio::test]
async fn gitea_pages_by_link_and_counts_the_total() {
    let forge = five_and_a_stranger().await;
    let url = format!("{}/user/repos?limit=100", forge.gitea_api());
    let whole = get(&url, &forge.token()).await;
    assert_eq!(whole.headers()["x-total-count"], "5");
    assert!(next(&whole).is_none());
    forge.page_size(2);
    assert_eq!(all_pages(url, &forge.token(), "full_name").await, (FIVE.map(str::to_owned).to_vec(), 3));
}

#[tokio::test]
async fn each_viewer_sees_what_is_his() {
    let forge = five_and_a_stranger().await;
    forge.repo("acme/open");
    forge.organisation("closed", &["bob"]);
    forge.repo("closed/inner").private();
    let (alice, bob) = (forge.token(), forge.user("bob"));
    let count = |value: Value| value.as_array().unwrap().len();
    let github = forge.github_api();
    assert_eq!(count(json(&format!("{github}/user/repos?affiliation=owner"), &alice).await), 1);
    assert_eq!(count(json(&format!("{github}/user/repos?affiliation=organization_member"), &alice).await), 1);
    assert_eq!(count(json(&format!("{github}/user/repos?visibility=public"), &alice).await), 1);
    assert_eq!(count(json(&format!("{github}/user/repos"), &bob).await), 3);
    assert_eq!(count(json(&format!("{github}/orgs/acme/repos"), &bob).await), 1);
    assert_eq!(count(json(&format!("{github}/users/bob/repos"), &bob).await), 0);
    assert_eq!(json(&format!("{github}/user/orgs"), &alice).await[0]["login"], "acme");
    assert_eq!(json(&format!("{github}/user/orgs"), &bob).await[0]["login"], "closed");
    assert_eq!(count(json(&format!("{github}/orgs/closed/repos"), &alice).await), 0);
    assert_eq!(get(&format!("{github}/repos/bob/secret"), &alice).await.status(), 404);

    let group = format!("{}/groups/acme/projects", forge.gitlab_api());
    assert_eq!(count(json(&group, &alice).await), 3);
    assert_eq!(count(json(&format!("{group}?include_subgroups=true"), &alice).await), 4);
    let deeper = format!("{}/groups/acme%2Ftools/projects", forge.gitlab_api());
    assert_eq!(count(json(&deeper, &alice).await), 1);
    assert_eq!(count(json(&format!("{}/users/bob/repos", forge.gitea_api()), &bob).await), 2);

    let anonymous = client().get(format!("{github}/orgs/acme/repos")).send().await.unwrap();
    assert_eq!(count(anonymous.json().await.unwrap()), 1);
}

#[tokio::test]
async fn every_api_refuses_an_unknown_token_and_a_missing_one_where_it_matters() {
    let forge = Forge::start().await;
    for api in [forge.github_api(), forge.gitlab_api(), forge.gitea_api()] {
        assert_eq!(get(&format!("{api}/user"), "wrong").await.status(), 401, "{api}");
        assert_eq!(client().get(format!("{api}/user")).send().await.unwrap().status(), 401, "{api}");
        assert_eq!(get(&format!("{api}/user"), &forge.token()).await.status(), 200, "{api}");
    }
    let private_token = client().get(forge.gitlab_api() + "/user").header("PRIVATE-TOKEN", forge.token());
    assert_eq!(private_token.send().await.unwrap().json::<Value>().await.unwrap()["username"], "alice");
    let token = client().get(forge.gitea_api() + "/user").header("Authorization", format!("token {}", forge.token()));
    assert_eq!(token.send().await.unwrap().json::<Value>().await.unwrap()["login"], "alice");

    forge.accept_token("alice", "canary-token");
    assert_eq!(get(&(forge.github_api() + "/user"), "canary-token").await.status(), 200);
    forge.revoke("canary-token");
    assert_eq!(get(&(forge.github_api() + "/user"), "canary-token").await.status(), 401);
}

#[tokio::test]
async fn what_is_told_about_a_repository_follows_the_handle() {
    let forge = Forge::start().await;
    let repo = forge.repo("acme/a b").topics(&["x"]).size_kb(7);
    let github = format!("{}/repos/acme/a%20b", forge.github_api());
    assert_eq!(json(&github, &forge.token()).await["size"], 0);
    assert_eq!(
        json(&format!("{}/projects/{}", forge.gitlab_api(), repo.id()), "").await["default_branch"],
        Value::Null
    );

    repo.branch("trunk").internal().fork().archived().disabled();
    let told = json(&github, &forge.token()).await;
    assert_eq!(told["clone_url"], repo.url());
    assert_eq!(told["pushed_at"], repo.pushed_at());
    for (field, value) in [("private", true), ("fork", true), ("archived", true), ("disabled", true)] {
        assert_eq!(told[field], value, "{field}");
    }
    assert_eq!((&told["size"], &told["default_branch"], &told["topics"][0]), (&7.into(), &"trunk".into(), &"x".into()));
    let gitea = json(&format!("{}/repositories/{}", forge.gitea_api(), repo.id()), &forge.token()).await;
    assert_eq!((&gitea["empty"], &gitea["internal"], &gitea["archived"]), (&false.into(), &true.into(), &true.into()));

    repo.public().reported_as("..").clone_url("ext::sh -c id");
    let told = json(&format!("{}/repositories/{}", forge.github_api(), repo.id()), &forge.token()).await;
    assert_eq!((&told["name"], &told["clone_url"]), (&"..".into(), &"ext::sh -c id".into()));
}

#[tokio::test]
async fn pushed_at_moves_with_a_change_unless_it_is_silent() {
    let forge = Forge::start().await;
    let repo = forge.repo("acme/alpha").branch("main");
    let before = repo.pushed_at();
    repo.silently().commit("main", "unseen");
    assert_eq!(repo.pushed_at(), before);
    repo.commit("main", "seen");
    assert!(repo.pushed_at() > before);
}

#[tokio::test]
async fn a_renamed_repository_redirects_and_a_blocked_or_removed_one_is_refused() {
    let forge = Forge::start().await;
    let repo = forge.repo("acme/old").branch("main");
    repo.rename("acme/new");
    let moved = [
        (
            format!("{}/repos/acme/old", forge.github_api()),
            301,
            format!("{}/repositories/{}", forge.github_api(), repo.id()),
        ),
        (
            format!("{}/projects/acme%2Fold", forge.gitlab_api()),
            301,
            format!("{}/projects/{}", forge.gitlab_api(), repo.id()),
        ),
        (format!("{}/repos/acme/old", forge.gitea_api()), 307, format!("{}/repos/acme/new", forge.gitea_api())),
    ];
    for (old, status, new) in moved {
        let response = get(&old, &forge.token()).await;
        assert_eq!(
            (response.status().as_u16(), response.headers()["location"].to_str().unwrap()),
            (status, new.as_str())
        );
        assert_eq!(get(&new, &forge.token()).await.status(), 200);
    }
    let github = format!("{}/repositories/{}", forge.github_api(), repo.id());
    repo.blocked();
    assert_eq!(get(&github, &forge.token()).await.status(), 451);
    repo.remove();
    assert_eq!(get(&github, &forge.token()).await.status(), 404);
}

#[tokio::test]
async fn an_unchanged_listing_is_not_sent_again() {
    let forge = Forge::start().await;
    let repo = forge.repo("acme/alpha").branch("main");
    for url in [forge.github_api() + "/user/repos", forge.gitlab_api() + "/projects?membership=true"] {
        let first = get(&url, &forge.token()).await;
        let again =
            || client().get(&url).bearer_auth(forge.token()).header("If-None-Match", first.headers()["etag"].clone());
        let second = again().send().await.unwrap();
        assert_eq!(second.status(), 304);
        assert_eq!(second.headers()["etag"], first.headers()["etag"]);
        assert_eq!(second.text().await.unwrap(), "");
        repo.commit("main", "more");
        assert_eq!(again().send().await.unwrap().status(), 200);
    }
    let limits = get(&(forge.github_api() + "/user"), &forge.token()).await;
    assert_eq!(limits.headers()["x-ratelimit-remaining"], "4999");
}
