//! Repositories and groups made, set up and deleted through the three APIs.

use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::support::{Forge, TestEnv};

/// Sends one request; returns status and body.
pub(super) async fn send(method: Method, url: String, token: &str, body: Value) -> (u16, Value) {
    let client = Client::builder().no_proxy().build().unwrap();
    let mut request = client.request(method, url).bearer_auth(token);
    if !body.is_null() {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null))
}

async fn post(forge: &Forge, url: String, body: Value) -> (u16, Value) {
    send(Method::POST, url, &forge.token(), body).await
}

#[tokio::test]
async fn github_makes_repositories_of_a_user_and_an_organisation() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.organisation("acme", &["alice"]);
    let api = forge.github_api();
    let wish = json!({"name": "alpha", "private": true, "description": "d", "has_wiki": false, "has_issues": false});
    let (status, made) = post(&forge, format!("{api}/user/repos"), wish.clone()).await;
    assert_eq!((status, &made["full_name"], &made["private"]), (201, &json!("alice/alpha"), &json!(true)));
    assert_eq!((&made["description"], &made["has_wiki"], &made["size"]), (&json!("d"), &json!(false), &json!(0)));
    assert_eq!(made["permissions"]["admin"], true);
    assert_eq!(post(&forge, format!("{api}/orgs/acme/repos"), wish.clone()).await.1["full_name"], "acme/alpha");

    let (status, again) = post(&forge, format!("{api}/user/repos"), wish.clone()).await;
    assert_eq!((status, &again["errors"][0]["message"]), (422, &json!("name already exists on this account")));
    assert_eq!(post(&forge, format!("{api}/orgs/nope/repos"), wish.clone()).await.0, 404);
    forge.organisation("closed", &["bob"]);
    assert_eq!(post(&forge, format!("{api}/orgs/closed/repos"), wish).await.0, 403);

    // What was made can be pushed to, and is found by the test.
    let alpha = forge.find("acme/alpha").unwrap();
    let source = env.bare_repo("source.git").branch("main");
    let push = ["-C", "source.git", "push", "-q", &alpha.url_with(&forge.token()), "main"];
    env.git(push).run().await.assert_code(0);
    assert_eq!(alpha.tip("main"), source.tip("main"));
    assert_eq!((alpha.visibility(), alpha.setting("has_wiki")), ("private".to_owned(), json!(false)));
    assert_eq!(forge.names(), ["acme/alpha", "alice/alpha"]);
}

#[tokio::test]
async fn gitlab_makes_projects_in_namespaces_and_groups_in_groups() {
    let forge = Forge::start().await;
    forge.organisation("acme", &["alice"]);
    let api = forge.gitlab_api();
    let get = |path: &str| send(Method::GET, format!("{api}{path}"), "", Value::Null);
    let token = forge.token();
    let find = |path: &str| send(Method::GET, format!("{api}{path}"), &token, Value::Null);
    assert_eq!(get("/namespaces/acme").await.0, 401);
    let (status, namespace) = find("/namespaces/acme").await;
    assert_eq!((status, &namespace["kind"]), (200, &json!("group")));
    assert_eq!(find("/namespaces/nope").await, (404, json!({"message": "404 Namespace Not Found"})));
    assert_eq!(find("/namespaces/alice").await.1["kind"], "user");

    let group = json!({"name": "tools", "path": "tools", "parent_id": namespace["id"]});
    let (status, group_made) = post(&forge, format!("{api}/groups"), group.clone()).await;
    assert_eq!((status, &group_made["full_path"]), (201, &json!("acme/tools")));
    assert_eq!(find("/groups/acme%2Ftools").await.1["id"], group_made["id"]);
    assert_eq!(post(&forge, format!("{api}/groups"), group).await.0, 400);

    let wish = json!({"path": "alpha", "namespace_id": group_made["id"], "visibility": "private",
        "default_branch": "trunk", "issues_access_level": "disabled", "builds_access_level": "disabled"});
    let (status, made) = post(&forge, format!("{api}/projects"), wish.clone()).await;
    assert_eq!((status, &made["path_with_namespace"]), (201, &json!("acme/tools/alpha")));
    assert_eq!((&made["issues_access_level"], &made["jobs_enabled"]), (&json!("disabled"), &json!(false)));
    let alpha = forge.find("acme/tools/alpha").unwrap();
    // `default_branch` counts only together with a README.
    assert_eq!((alpha.default_branch(), alpha.visibility()), ("main".to_owned(), "private".to_owned()));
    // GitLab protects the default branch by itself.
    assert_eq!(alpha.protected(), ["trunk"]);

    let (status, again) = post(&forge, format!("{api}/projects"), wish).await;
    assert_eq!((status, &again["message"]["path"][0]), (400, &json!("has already been taken")));
    let nowhere = json!({"path": "x", "namespace_id": 999_999});
    let invalid = json!({"message": {"namespace": ["is not valid"]}});
    assert_eq!(post(&forge, format!("{api}/projects"), nowhere).await, (400, invalid));
}

#[tokio::test]
async fn gitea_makes_repositories_with_the_answers_of_a_real_one() {
    let forge = Forge::start().await;
    forge.organisation("acme", &["alice"]);
    let url = format!("{}/user/repos", forge.gitea_api());
    let swagger = format!("{}/api/swagger", forge.url());
    let wish = json!({"name": "alpha", "private": true, "description": "d", "default_branch": "trunk"});
    let (status, made) = post(&forge, url.clone(), wish.clone()).await;
    assert_eq!((status, &made["empty"], &made["default_branch"]), (201, &json!(true), &json!("trunk")));
    for (body, status, text) in [
        (wish, 409, "The repository with the same name already exists."),
        (json!({"name": "bad name"}), 422, "[Name]: AlphaDashDot"),
        (json!({"name": "x.git"}), 422, "name pattern is not allowed [pattern: *.git]"),
    ] {
        assert_eq!(post(&forge, url.clone(), body).await, (status, json!({"message": text, "url": swagger})));
    }
    let organisation = |name: &str| format!("{}/orgs/{name}/repos", forge.gitea_api());
    assert_eq!(post(&forge, organisation("acme"), json!({"name": "x"})).await.1["full_name"], "acme/x");
    let missing = post(&forge, organisation("nope"), json!({"name": "x"})).await;
    assert_eq!((missing.0, &missing.1["message"]), (404, &json!("GetOrgByName")));
    let stranger = send(Method::POST, organisation("acme"), &forge.user("bob"), json!({"name": "y"})).await;
    assert_eq!(stranger.1["message"], "Given user is not allowed to create repository in organization.");
}

#[tokio::test]
async fn a_limited_token_a_reserved_name_and_a_full_account_are_refused() {
    let forge = Forge::start().await;
    forge.reserve("api");
    let reads = forge.token_with_scopes("alice", &["read_api", "read:repository", "read:user"]);
    let made = |name: &'static str| json!({"name": name, "path": name});
    let roots = [
        (format!("{}/user/repos", forge.github_api()), 422, 422),
        (format!("{}/projects", forge.gitlab_api()), 400, 400),
        (format!("{}/user/repos", forge.gitea_api()), 422, 403),
    ];
    for (url, reserved, _) in &roots {
        assert_eq!(send(Method::POST, url.clone(), &reads, made("a")).await.0, 403, "{url}");
        assert_eq!(post(&forge, url.clone(), made("API")).await.0, *reserved, "{url}");
        assert_eq!(send(Method::POST, url.clone(), "wrong", made("a")).await.0, 401, "{url}");
    }
    assert_eq!(forge.names(), [""; 0]);
    let scope = send(Method::POST, roots[2].0.clone(), &reads, made("a")).await.1;
    assert_eq!(scope["message"], "token does not have at least one of required scope(s): [write:user]");

    forge.quota(1);
    assert_eq!(post(&forge, roots[0].0.clone(), made("first")).await.0, 201);
    for (url, _, full) in roots {
        assert_eq!(post(&forge, url.clone(), made("second")).await.0, full, "{url}");
    }
}

#[tokio::test]
async fn settings_are_changed_and_shown_and_the_default_branch_is_a_real_one() {
    let forge = Forge::start().await;
    let token = forge.token();
    let repo = forge.repo("acme/alpha").branch("main").branch("dev");
    let github = format!("{}/repos/acme/alpha", forge.github_api());
    let gitlab = format!("{}/projects/acme%2Falpha", forge.gitlab_api());
    let gitea = format!("{}/repos/acme/alpha", forge.gitea_api());
    for (method, url, missing) in
        [(Method::PATCH, &github, 422), (Method::PUT, &gitlab, 400), (Method::PATCH, &gitea, 200)]
    {
        let set = |branch: &str| send(method.clone(), url.clone(), &token, json!({"default_branch": branch}));
        assert_eq!(set("nope").await.0, missing, "{url}");
        assert_eq!(repo.default_branch(), "main", "{url}");
        let (status, shown) = set("dev").await;
        assert_eq!((status, &shown["default_branch"]), (200, &json!("dev")), "{url}");
        assert_eq!(repo.default_branch(), "dev");
        repo.head("main");
        let (_, shown) = send(method, url.clone(), &token, json!({"visibility": "private", "private": true})).await;
        assert!(shown["private"] == true || shown["visibility"] == "private", "{shown}");
        repo.public();
    }
    let stranger = forge.user("bob");
    assert_eq!(send(Method::PATCH, github.clone(), &stranger, json!({"description": "x"})).await.0, 403);

    assert_eq!(send(Method::PATCH, github.clone(), &token, json!({"archived": true})).await.1["archived"], true);
    assert_eq!(send(Method::PATCH, github.clone(), &token, json!({"has_wiki": false})).await.0, 403);
    assert_eq!(send(Method::POST, format!("{gitlab}/unarchive"), &token, Value::Null).await.0, 201);
    assert!(!repo.is_archived());
    assert_eq!(send(Method::PATCH, gitea.clone(), &token, json!({"archived": true})).await.1["archived"], true);
    assert!(repo.is_archived());
    repo.unarchived().pull_mirror();
    assert_eq!(send(Method::GET, gitea.clone(), &token, Value::Null).await.1["mirror"], true);
    assert_eq!(send(Method::GET, gitlab, &token, Value::Null).await.1["mirror"], true);

    let actions = format!("{github}/actions/permissions");
    assert_eq!(send(Method::PUT, actions.clone(), &token, json!({"enabled": false})).await.0, 204);
    assert_eq!(send(Method::GET, actions, &token, Value::Null).await.1["enabled"], false);

    assert_eq!(send(Method::DELETE, gitea.clone(), &token, Value::Null).await.0, 204);
    assert_eq!(send(Method::DELETE, gitea, &token, Value::Null).await.0, 404);
    assert!(forge.find("acme/alpha").is_none());
}
