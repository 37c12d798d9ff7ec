//! Days on which Holocron asks a forge for everything that it ever asks for.

use serde_json::{Value, json};

use crate::destinations::{Pair, destination};
use crate::releases::source_of;
use crate::support::{Access, Dialect, Fault, Protection, Repo, Request, Role};

/// All that two forges were asked for: the source speaks GitHub's API, unless the day is about sources.
pub async fn requests(kind: Dialect) -> Vec<Request> {
    let mut all = repositories(kind).await;
    all.extend(rules(kind).await);
    all.extend(releases(kind).await);
    all.extend(lost_answers(kind).await);
    all.extend(same_kind(kind).await);
    if kind == Dialect::Github {
        all.extend(of_github_only().await);
    }
    all
}

fn log(pair: &Pair) -> Vec<Request> {
    [pair.source.requests(), pair.there.requests()].concat()
}

/// Made in an organisation (on GitLab in groups below one) and for the user, each as visible as at the source; then with
/// another default branch, and with another name.
async fn repositories(kind: Dialect) -> Vec<Request> {
    let pair = Pair::new(kind).await;
    let namespace = if kind == Dialect::Gitlab { "copies/of/{namespace}" } else { "copies" };
    pair.configure(&[
        json!({"namespace": namespace, "visibility": "same"}),
        json!({"namespace": null, "visibility": "same"}),
    ]);
    let open = pair.source.repo("acme/open").branch("main");
    pair.source.repo("acme/middle").internal().branch("main");
    let closed = pair.source.repo("acme/closed").private().branch("main");
    pair.run(&[], 0).await;
    open.branch("trunk").head("trunk").delete("main");
    closed.rename("acme/locked");
    pair.run(&["--window", "0"], 0).await;
    log(&pair)
}

/// Branches whose rules keep a forced push away, and where we may, one that is to be deleted.
async fn rules(kind: Dialect) -> Vec<Request> {
    let mut all = Vec::new();
    for (number, rule) in rules_of(kind).into_iter().enumerate() {
        let (pair, alpha, copy) = forced(kind).await;
        if number > 0 {
            pair.there.gitea_version("1.23.0");
        }
        copy.protect("main", rule.clone()).protect("rel/1", rule.clone());
        if kind != Dialect::Github {
            copy.branch("old").protect("old", rule.clone());
        }
        let rules = || ["main", "rel/1", "old"].map(|name| copy.protection(name));
        let before = rules();
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &copy);
        assert_eq!(rules(), before, "{kind:?}");
        all.extend(log(&pair));
    }
    all
}

/// A source, and a copy whose branches somebody else has moved.
async fn forced(kind: Dialect) -> (Pair, Repo, Repo) {
    let pair = Pair::with(kind, &json!({"protected_branches": "restore"})).await;
    let alpha = pair.source.repo("acme/alpha").batch(|b| b.branch("main").branch("rel/1"));
    let copy = pair.foreign_copy().batch(|b| b.branch("main").branch("rel/1"));
    copy.commit("main", "foreign").commit("rel/1", "foreign");
    alpha.commit("main", "more").commit("rel/1", "more");
    (pair, alpha, copy)
}

fn rules_of(kind: Dialect) -> Vec<Protection> {
    let with_alice = |role| Access { role, users: ["alice".to_owned()].into() };
    match kind {
        Dialect::Github => vec![
            Protection::with(json!({
                "required_status_checks": {"strict": true, "checks": [{"context": "ci"}, {"context": "x", "app_id": 7}]},
                "enforce_admins": true,
                "required_pull_request_reviews": {"required_approving_review_count": 2,
                    "dismissal_restrictions": {"users": ["alice"], "teams": ["core"], "apps": []},
                    "bypass_pull_request_allowances": {"users": ["alice"], "teams": [], "apps": ["bot"]}},
                "restrictions": {"users": ["alice"], "teams": ["core"], "apps": ["bot"]},
                "required_linear_history": true,
            })),
            Protection::default(),
        ],
        Dialect::Gitlab => vec![
            Protection::default(),
            Protection { push: Access::nobody(), merge: with_alice(Role::Developers), ..Protection::default() },
            Protection { push: with_alice(Role::Maintainers), merge: Access::nobody(), ..Protection::default() },
            Protection::with(json!({"code_owner_approval_required": true, "unprotect_access_level": 40})),
        ],
        Dialect::Gitea => {
            let rule = Protection {
                push: Access::nobody(),
                ..Protection::with(json!({"required_approvals": 2, "enable_status_check": true,
                    "status_check_contexts": ["ci"], "protected_file_patterns": "*.lock",
                    "enable_merge_whitelist": true, "merge_whitelist_usernames": ["alice"]}))
            };
            // As 1.21 has it, and as 1.23.
            vec![rule.clone(), rule]
        }
    }
}

/// Releases made, changed and pruned.
async fn releases(kind: Dialect) -> Vec<Request> {
    // GitLab has no drafts.
    let drafts = kind != Dialect::Gitlab;
    let pair = Pair::with(kind, &json!({"releases": {"drafts": drafts, "prune": true}})).await;
    let alpha = pair.source.repo("acme/alpha").branch("main");
    let one = alpha.release("v1").title("One").notes("First.");
    one.asset("sbom.json", b"{}").content_type("application/json").asset("with space (1)+ü.zip", b"zip");
    alpha.release("lib/v2").title("Two").prerelease().asset("a", b"aaa");
    alpha.release("v3").latest();
    if drafts {
        alpha.tag("v4").draft_release("v4").title("Soon").asset("a", b"aaa");
    }
    pair.run(&[], 0).await;
    let change = |one: crate::support::ReleaseHandle| one.title("Another").replace_asset("sbom.json", b"[]");
    alpha.edit_release("v1", |one| change(one).remove_asset("with space (1)+ü.zip"));
    alpha.remove_release("lib/v2");
    pair.run(&[], 0).await;
    let tags: Vec<String> = pair.copy().releases().into_iter().map(|release| release.tag).collect();
    assert!(tags.contains(&"v1".to_owned()) && !tags.contains(&"lib/v2".to_owned()), "{tags:?}");
    log(&pair)
}

/// What came of a write is looked up when its answer was lost.
async fn lost_answers(kind: Dialect) -> Vec<Request> {
    let pair = Pair::with(kind, &json!({"releases": "all"})).await;
    let alpha = pair.source.repo("acme/alpha").branch("main");
    alpha.release("v1").title("One").notes("x").asset("a", b"aaa");
    pair.there.fault(Fault::done_but(502).on_api("/releases").method("POST").once());
    pair.there.fault(Fault::done_but(502).on_upload("a").once());
    pair.run(&[], 0).await;
    log(&pair)
}

/// From a forge to another of its kind: by what the token sees, and by owners; with links, and with a repository that is
/// gone.
async fn same_kind(kind: Dialect) -> Vec<Request> {
    let pair = Pair::new(kind).await;
    pair.source.speak(kind);
    let write = |owners: Value| {
        let (mut from, mut to) = (source_of(kind, &pair.source), destination("to", kind, &pair.there));
        from["owners"] = owners;
        to["releases"] = json!("all");
        let config = json!({"sources": [from], "destinations": [to]});
        pair.env.file("holocron.yaml", config.to_string());
    };
    write(json!([]));
    let alpha = pair.source.repo("acme/alpha").private().branch("main");
    let own = pair.source.repo("alice/own").branch("main");
    let one = alpha.release("v1").title("One").asset("a", b"aaa");
    one.link("docs", "https://docs.example.org/1").link("gone", "https://gone.example.org/");
    pair.run(&[], 0).await;
    alpha.edit_release("v1", |one| {
        one.remove_link("gone").remove_link("docs").link("docs", "https://docs.example.org/2")
    });
    pair.run(&[], 0).await;
    write(json!(["acme", "alice"]));
    pair.run(&[], 0).await;
    own.remove();
    pair.run(&[], 0).await;
    log(&pair)
}

/// A ruleset in the way, which is named, and a token of an app, for which signatures are in the way too.
async fn of_github_only() -> Vec<Request> {
    let (ruled, _, copy) = forced(Dialect::Github).await;
    copy.ruleset("guard", "main", &["non_fast_forward"]);
    ruled.run(&[], 3).await;
    let (app, alpha, copy) = forced(Dialect::Github).await;
    let refusal = json!({"message": "Resource not accessible by integration"});
    app.there.fault(Fault::status(403).json(&refusal).on_api("/user"));
    copy.protect("main", Protection::with(json!({"required_signatures": true, "enforce_admins": true})));
    let before = copy.protection("main");
    app.run(&[], 0).await;
    app.env.assert_pushed(&alpha, &copy);
    assert_eq!(copy.protection("main"), before);
    [log(&ruled), log(&app)].concat()
}
