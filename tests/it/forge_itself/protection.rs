//! Branch rules: seen and changed through the APIs, and held by real hooks in the words of each forge.

use reqwest::Method;
use serde_json::{Value, json};

use super::creation::send;
use crate::support::{Access, Dialect, Forge, Protection, Repo, Role, Run, Sshd, TestEnv};

struct Day {
    env: TestEnv,
    forge: Forge,
    source: Repo,
    target: Repo,
}

impl Day {
    /// A destination whose `main` the source can only reach by force, and whose `old` the source does not have.
    async fn new(dialect: Dialect) -> Self {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        forge.speak(dialect);
        let target = forge.repo("acme/target").branch("main").branch("dev").branch("old").head("dev");
        let source = env.bare_repo("source.git").branch("main").branch("dev").force("main").commit("dev", "more");
        Day { env, forge, source, target }
    }

    async fn push_as(&self, token: &str, refspecs: &[&str]) -> Run {
        let push = self.env.git(["-C", "source.git", "push", "--porcelain", &self.target.url_with(token)]);
        push.args(refspecs.iter().copied()).run().await
    }

    async fn push(&self, refspecs: &[&str]) -> Run {
        self.push_as(&self.forge.token(), refspecs).await
    }

    async fn api(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        send(method, format!("{}{path}", self.forge.url()), &self.forge.token(), body).await
    }
}

#[track_caller]
fn assert_said(run: &Run, wanted: &[&str]) {
    for text in wanted {
        assert!(run.stdout.contains(text) || run.stderr.contains(text), "no {text:?} in: {run}");
    }
    assert_eq!(run.code, 1, "{run}");
}

const GITLAB: &str = "/api/v4/projects/acme%2Ftarget/protected_branches";
const GITHUB: &str = "/api/v3/repos/acme/target/branches/main/protection";
const GITEA: &str = "/api/v1/repos/acme/target/branch_protections";

#[tokio::test]
async fn gitlab_declines_the_whole_push_until_force_is_allowed() {
    let day = Day::new(Dialect::Gitlab).await;
    day.target.protect("main", Protection::default());
    let before = day.target.protection("main");
    let words = "remote: GitLab: You are not allowed to force push code to a protected branch on this project.";
    let refused = day.push(&["+main", "dev"]).await;
    assert_said(&refused, &[words, "refs/heads/dev:refs/heads/dev\t[remote rejected] (pre-receive hook declined)"]);

    let rule = format!("{GITLAB}/main");
    let (status, shown) = day.api(Method::PATCH, &rule, json!({"allow_force_push": true})).await;
    assert_eq!((status, &shown["allow_force_push"]), (200, &json!(true)));
    assert_ne!(day.target.protection("main"), before);
    day.push(&["+main", "dev"]).await.assert_code(0);
    assert_eq!(day.target.tip("main"), day.source.tip("main"));

    day.api(Method::PATCH, &rule, json!({"allow_force_push": false})).await;
    assert_eq!(day.target.protection("main"), before);
    let words = "remote: GitLab: You can only delete protected branches using the web interface.";
    assert_said(&day.push(&[":main"]).await, &[words]);
    assert_eq!(day.api(Method::DELETE, &rule, Value::Null).await.0, 204);
    day.push(&[":main"]).await.assert_code(0);
}

#[tokio::test]
async fn gitlab_rules_have_levels_users_and_wildcards() {
    let day = Day::new(Dialect::Gitlab).await;
    let bob = day.forge.user("bob");
    day.target.collaborator("bob").protect("de*", Protection { push: Access::nobody(), ..Protection::default() });
    let words = "remote: GitLab: You are not allowed to push code to protected branches on this project.";
    assert_said(&day.push(&["dev"]).await, &[words]);

    // The most permissive of the rules that fit counts.
    let new = json!({"name": "dev", "push_access_level": 40, "merge_access_level": 30});
    let (status, shown) = day.api(Method::POST, GITLAB, new.clone()).await;
    assert_eq!((status, &shown["push_access_levels"][0]["access_level"]), (201, &json!(40)));
    assert_eq!(shown["merge_access_levels"][0]["access_level_description"], "Developers + Maintainers");
    assert_eq!(day.api(Method::POST, GITLAB, new).await.0, 409);
    assert_said(&day.push_as(&bob, &["dev"]).await, &[words]);

    // A level is removed by its id, a user added by his.
    let bob_id = day.api(Method::GET, "/api/v4/users?username=bob", Value::Null).await.1[0]["id"].clone();
    let level = shown["push_access_levels"][0]["id"].clone();
    let changes = json!({"allowed_to_push": [{"id": level, "_destroy": true}, {"user_id": bob_id}]});
    let (_, shown) = day.api(Method::PATCH, &format!("{GITLAB}/dev"), changes).await;
    assert_eq!(shown["push_access_levels"].as_array().unwrap().len(), 1);
    assert_eq!(day.target.protection("dev").unwrap().push, Access::users(&["bob"]));
    assert_eq!(day.target.protection("dev").unwrap().merge.role, Role::Developers);
    assert_said(&day.push(&["dev"]).await, &[words]);
    day.push_as(&bob, &["dev"]).await.assert_code(0);

    let listed = day.api(Method::GET, GITLAB, Value::Null).await.1;
    assert_eq!(listed.as_array().unwrap().iter().map(|rule| &rule["name"]).collect::<Vec<_>>(), ["de*", "dev"]);
    assert_eq!(day.target.protected(), ["de*", "dev"]);
    let branch = "/api/v4/projects/acme%2Ftarget/repository/branches/dev";
    assert_eq!(day.api(Method::GET, branch, Value::Null).await.1["protected"], true);
    assert_eq!(day.api(Method::GET, &format!("{GITLAB}/nope"), Value::Null).await.0, 404);
}

#[tokio::test]
async fn an_old_gitlab_has_no_patch_but_unprotects_and_protects() {
    let day = Day::new(Dialect::Gitlab).await;
    day.target.protect("rel/*", Protection::default());
    day.forge.gitlab_without_patch(405);
    let rule = format!("{GITLAB}/rel%2F%2A");
    assert_eq!(day.api(Method::GET, &rule, Value::Null).await.1["name"], "rel/*");
    assert_eq!(day.api(Method::PATCH, &rule, json!({"allow_force_push": true})).await.0, 405);
    assert_eq!(day.api(Method::DELETE, &rule, Value::Null).await.0, 204);
    assert_eq!(day.api(Method::POST, GITLAB, json!({"name": "rel/*", "allow_force_push": true})).await.0, 201);
    assert!(day.target.protection("rel/*").unwrap().force);
}

#[tokio::test]
async fn github_refuses_single_refs_and_takes_the_others() {
    let day = Day::new(Dialect::Github).await;
    day.target.protect("main", Protection::default()).protect("old", Protection::default());
    let refused = day.push(&["+main", "dev", ":old"]).await;
    let words = [
        "remote: error: GH006: Protected branch update failed for refs/heads/main.",
        "remote: error: Cannot force-push to this branch",
        "refs/heads/main:refs/heads/main\t[remote rejected] (protected branch hook declined)",
        "remote: error: Cannot delete this branch",
        ":refs/heads/old\t[remote rejected] (protected branch hook declined)",
    ];
    assert_said(&refused, &words);
    assert_eq!(day.target.tip("dev"), day.source.tip("dev"));
    assert_ne!(day.target.tip("main"), day.source.tip("main"));

    // Settings that only GitHub has hold as well.
    let locked = Protection { push: Access::developers(), ..Protection::with(json!({"lock_branch": true})) };
    day.source.commit("dev", "again");
    day.target.protect("dev", locked);
    assert_said(&day.push(&["dev"]).await, &["remote: error: Cannot change this locked branch"]);

    // A protected branch still takes what the rule allows, and new branches are not its business.
    day.target.protect("old", Protection { delete: true, ..Protection::default() });
    day.target.unprotect("dev");
    day.push(&[":old", "dev:new"]).await.assert_code(0);
    day.target.unprotect("main");
    day.push(&["+main"]).await.assert_code(0);
}

#[tokio::test]
async fn github_protection_is_sent_in_one_shape_and_shown_in_another() {
    let day = Day::new(Dialect::Github).await;
    let bob = day.forge.user("bob");
    day.target.collaborator("bob");
    assert_eq!(day.api(Method::GET, GITHUB, Value::Null).await.1["message"], "Branch not protected");
    let rule = json!({
        "required_status_checks": {"strict": true, "contexts": [],
            "checks": [{"context": "ci"}, {"context": "lint", "app_id": 7}]},
        "enforce_admins": null,
        "required_pull_request_reviews": {"required_approving_review_count": 2, "require_code_owner_reviews": true,
            "dismissal_restrictions": {"users": ["alice"], "teams": ["core"]}},
        "restrictions": {"users": ["alice"], "teams": [], "apps": []},
        "required_linear_history": true, "allow_force_pushes": false, "lock_branch": false,
    });
    let (status, shown) = day.api(Method::PUT, GITHUB, rule.clone()).await;
    assert_eq!(status, 200, "{shown}");
    assert_eq!(shown, day.api(Method::GET, GITHUB, Value::Null).await.1);
    assert_eq!(shown["required_status_checks"]["contexts"], json!(["ci", "lint"]));
    assert_eq!(shown["required_status_checks"]["checks"][0], json!({"context": "ci", "app_id": null}));
    let reviews = &shown["required_pull_request_reviews"];
    assert_eq!(
        (&reviews["required_approving_review_count"], &reviews["dismiss_stale_reviews"]),
        (&json!(2), &json!(false))
    );
    assert_eq!(reviews["dismissal_restrictions"]["teams"][0]["slug"], "core");
    assert_eq!(shown["restrictions"]["users"][0]["login"], "alice");
    assert_eq!(shown["required_linear_history"], json!({"enabled": true}));
    assert_eq!(shown["allow_force_pushes"], json!({"enabled": false}));

    // An administrator passes, a collaborator does not.
    day.source.point("main", "refs/heads/dev").delete("dev").branch("dev");
    let refused = day.push_as(&bob, &["+main"]).await;
    assert_said(&refused, &["remote: error: GH006", "(protected branch hook declined)"]);

    let signatures = format!("{GITHUB}/required_signatures");
    assert_eq!(day.api(Method::GET, &signatures, Value::Null).await.1["enabled"], false);
    assert_eq!(day.api(Method::POST, &signatures, Value::Null).await.1["enabled"], true);
    let before = day.target.protection("main").unwrap();
    assert!(before.settings.contains_key("required_signatures"));

    // The same PUT again leaves all as it is, signatures too.
    day.api(Method::PUT, GITHUB, rule.clone()).await;
    assert_eq!(day.target.protection("main").unwrap(), before);
    assert_eq!(day.api(Method::DELETE, &signatures, Value::Null).await.0, 204);
    assert_eq!(day.api(Method::DELETE, GITHUB, Value::Null).await.0, 204);
    assert_eq!(day.target.protection("main"), None);

    // What is shown is not what may be sent.
    for (name, wrong) in
        [("restrictions", &shown["restrictions"]), ("required_linear_history", &json!({"enabled": true}))]
    {
        let mut rule = rule.clone();
        rule[name] = wrong.clone();
        assert_eq!(day.api(Method::PUT, GITHUB, rule).await.0, 422, "{name}");
    }
    assert_eq!(day.api(Method::PUT, GITHUB, json!({"enforce_admins": true})).await.0, 422);
}

#[tokio::test]
async fn github_rulesets_are_shown_and_hold() {
    let day = Day::new(Dialect::Github).await;
    day.target.ruleset("guard", "main", &["non_fast_forward", "deletion"]);
    let words = [
        "remote: error: GH013: Repository rule violations found for refs/heads/main.",
        "remote: - Cannot force-push to this branch",
        "[remote rejected] (push declined due to repository rule violations)",
    ];
    assert_said(&day.push(&["+main", "dev"]).await, &words);
    assert_eq!(day.target.tip("dev"), day.source.tip("dev"));
    let rules = day.api(Method::GET, "/api/v3/repos/acme/target/rules/branches/main", Value::Null).await.1;
    assert_eq!(
        rules.as_array().unwrap().iter().map(|rule| &rule["type"]).collect::<Vec<_>>(),
        ["non_fast_forward", "deletion"]
    );
    let other = day.api(Method::GET, "/api/v3/repos/acme/target/rules/branches/dev", Value::Null).await;
    assert_eq!(other, (200, json!([])));
    assert_eq!(day.api(Method::GET, "/api/v3/repos/acme/target/rulesets", Value::Null).await.1[0]["name"], "guard");
}

#[tokio::test]
async fn gitea_rules_refuse_force_and_deletion_while_they_stand() {
    let day = Day::new(Dialect::Gitea).await;
    let (status, shown) = day.api(Method::POST, GITEA, json!({"rule_name": "main", "enable_push": true})).await;
    assert_eq!((status, &shown["enable_push"], &shown["branch_name"]), (201, &json!(true), &json!("main")));
    assert!(shown.get("enable_force_push").is_none());
    let again = day.api(Method::POST, GITEA, json!({"rule_name": "main"})).await;
    assert_eq!((again.0, &again.1["message"]), (403, &json!("Branch protection already exist")));

    assert_said(
        &day.push(&["+main"]).await,
        &["remote: Gitea: branch main is protected from force push", "(pre-receive hook declined)"],
    );
    assert_said(&day.push(&[":main"]).await, &["remote: Gitea: branch main is protected from deletion"]);

    day.forge.gitea_version("1.23.0");
    let rule = format!("{GITEA}/main");
    let (_, shown) = day.api(Method::PATCH, &rule, json!({"enable_force_push": true})).await;
    assert_eq!((&shown["enable_force_push"], &shown["enable_push"]), (&json!(true), &json!(true)));
    day.push(&["+main"]).await.assert_code(0);
    assert_eq!(day.api(Method::DELETE, &rule, Value::Null).await.0, 204);
    assert_eq!(day.api(Method::GET, &rule, Value::Null).await.0, 404);
    day.push(&[":main"]).await.assert_code(0);
}

#[tokio::test]
async fn gitea_whitelists_are_as_in_a_real_gitea() {
    let day = Day::new(Dialect::Gitea).await;
    let bob = day.forge.user("bob");
    day.target.collaborator("bob");
    let wish = json!({"rule_name": "de*", "enable_push": true, "enable_push_whitelist": true,
        "push_whitelist_usernames": ["alice"], "required_approvals": 1});
    let (_, shown) = day.api(Method::POST, GITEA, wish).await;
    let mut keys: Vec<&String> = shown.as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys.len(), 25);
    assert_eq!((&shown["required_approvals"], &shown["branch_name"]), (&json!(1), &json!("")));
    let words = "remote: Gitea: Not allowed to push to protected branch dev";
    assert_said(&day.push_as(&bob, &["dev"]).await, &[words]);

    let before = day.target.protection("de*");
    let rule = format!("{GITEA}/de%2A");
    let (_, closed) = day.api(Method::PATCH, &rule, json!({"enable_push": false})).await;
    assert_eq!(
        (&closed["enable_push_whitelist"], &closed["push_whitelist_usernames"]),
        (&json!(false), &json!(["alice"]))
    );
    assert_said(&day.push(&["dev"]).await, &[words]);
    day.api(Method::PATCH, &rule, json!({"enable_push": true, "enable_push_whitelist": true})).await;
    assert_eq!(day.target.protection("de*"), before);
    day.push(&["dev"]).await.assert_code(0);
}

#[tokio::test]
async fn rules_hold_over_ssh_too() {
    for (dialect, words) in [
        (Dialect::Gitlab, "remote: GitLab: You are not allowed to force push"),
        (Dialect::Github, "remote: error: GH006"),
        (Dialect::Gitea, "remote: Gitea: branch main is protected from force push"),
    ] {
        let day = Day::new(dialect).await;
        day.target.protect("main", Protection::default());
        let sshd = Sshd::start(&day.forge).await;
        sshd.trust(&day.env);
        let push = |what: &'static str| day.env.git(["-C", "source.git", "push", &sshd.url(&day.target), what]).run();
        assert_said(&push("+main").await, &[words]);
        push("dev").await.assert_code(0);
    }
}
