//! GitHub's branch protection: read whole, opened as little as will do, put back field by field.
//!
//! The REST API speaks of branches: a PUT replaces the whole protection, and a branch that is gone has none, although its
//! rule is still there. So rules with a pattern, and those of a deleted branch, are changed by GraphQL, field by field.

use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::base::failure::{Failure, Reason};
use crate::forge::destination::{Need, Undo};
use crate::forge::github::destination::GithubDestination;
use crate::forge::github::graphql::{Rule, Switches};
use crate::forge::http::{Ask, Refusal};
use crate::model::RepoPath;
use crate::model::destination::Target;

/// What stands in [`Undo::before`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Before {
    branch: String,
    /// The id and the pattern of the rule, where GraphQL told.
    rule: Option<Rule>,
    /// The body of the PUT that makes the protection what it was.
    protection: Value,
    /// Whether signed commits are required; it has an endpoint of its own.
    signatures: bool,
    /// Whether the token is an app's, which no rule exempts as it does administrators.
    app: bool,
}

/// What the protection endpoint said about a branch.
enum Found {
    Protected(Value),
    Open,
    NoBranch,
}

impl GithubDestination {
    /// The protection of `branch`, if it would have to be opened for `need`.
    pub(in crate::forge) async fn protection(
        &self,
        target: &Target,
        branch: &str,
        need: Need,
    ) -> Result<Vec<Undo>, Failure> {
        let found = self.found(&target.path, branch).await?;
        self.check_rulesets(&target.path, branch, need, matches!(found, Found::NoBranch)).await?;
        let rule = match found {
            Found::NoBranch => None,
            Found::Protected(_) | Found::Open => self.rule(&target.path, branch).await?,
        };
        let (protection, signatures) = match (found, &rule) {
            (_, Some((rule, switches))) if rule.pattern != branch => (switches.clone(), false),
            (Found::Protected(shown), _) => (as_put(&shown), enabled(&shown, "required_signatures")),
            (Found::Open | Found::NoBranch, _) => return Ok(Vec::new()),
        };
        let app = self.site.user().await?.is_none();
        let rule = rule.map(|(rule, _)| rule);
        let before = Before { branch: branch.to_owned(), rule, protection, signatures, app };
        if opened(&before, need) == before {
            return Ok(Vec::new());
        }
        if need == Need::Delete && before.rule.is_none() {
            let why = "its rule could not be put back once the branch is gone, as GraphQL does not name it";
            return Err(self.site.closed(branch, why));
        }
        let by_pattern = before.rule.as_ref().filter(|rule| rule.pattern != branch);
        if let (Some(rule), true) = (by_pattern, app) {
            let why = format!("an app cannot open the rule with the pattern {} for itself", rule.pattern);
            return Err(self.site.closed(branch, why));
        }
        Ok(vec![Undo {
            target: target.id.clone(),
            path: target.path.clone(),
            rule: by_pattern.map_or(branch, |rule| rule.pattern.as_str()).to_owned(),
            before: serde_json::to_value(&before).map_err(|error| unreadable(&error))?,
        }])
    }

    /// Opens what [`GithubDestination::protection`] found.
    pub(in crate::forge) async fn open_protection(&self, undo: &Undo, need: Need) -> Result<(), Failure> {
        let before = read(undo)?;
        let after = opened(&before, need);
        if let Some(rule) = before.rule.as_ref().filter(|rule| rule.pattern != before.branch) {
            return self.switch(rule, &Switches::of(&after.protection)).await;
        }
        self.put(&undo.path, &before.branch, &after.protection).await?;
        if after.signatures != before.signatures {
            self.require_signatures(&undo.path, &before.branch, after.signatures).await?;
        }
        Ok(())
    }

    /// Puts back what [`GithubDestination::protection`] found.
    pub(in crate::forge) async fn restore_protection(&self, undo: &Undo) -> Result<(), Failure> {
        let before = read(undo)?;
        if let Some(rule) = before.rule.as_ref().filter(|rule| rule.pattern != before.branch) {
            return self.switch(rule, &Switches::of(&before.protection)).await;
        }
        match self.put(&undo.path, &before.branch, &before.protection).await {
            Ok(()) => {}
            // The branch is deleted; its rule waits for the next of that name.
            Err(refusal) if refusal.is_missing() => {
                let rule = before.rule.as_ref().ok_or_else(|| self.unreachable(undo, refusal.failure))?;
                return self.switch(rule, &Switches::of(&before.protection)).await;
            }
            // Better without its switches open than as it is now.
            Err(refusal) if is_refused(&refusal) => {
                if let Some(rule) = &before.rule {
                    self.switch(rule, &Switches::of(&before.protection)).await?;
                }
                return Err(self.site.not_put_back(&undo.rule, refusal));
            }
            Err(refusal) => return Err(refusal.failure),
        }
        let Found::Protected(now) = self.found(&undo.path, &before.branch).await? else {
            return Err(self.site.closed(&before.branch, "its rule was put back, and is not there"));
        };
        if enabled(&now, "required_signatures") != before.signatures {
            self.require_signatures(&undo.path, &before.branch, before.signatures).await?;
        }
        match first_difference(&before.protection, &as_put(&now)) {
            None => Ok(()),
            Some(field) => {
                let why = format!("its rule could not be put back exactly: `{field}` differs");
                Err(self.site.closed(&before.branch, why))
            }
        }
    }

    fn unreachable(&self, undo: &Undo, failure: Failure) -> Failure {
        let why = format!("the rule {} cannot be put back while there is no such branch", undo.rule);
        self.site.closed(&undo.rule, why).with_evidence(failure.evidence().unwrap_or_default())
    }

    fn endpoint(&self, path: &RepoPath, branch: &str, more: &[&str]) -> url::Url {
        let (namespace, name) = (path.namespace(), path.name());
        let segments = [&["repos", &namespace, name, "branches", branch, "protection"], more].concat();
        self.site.api.url(&segments, &[])
    }

    async fn found(&self, path: &RepoPath, branch: &str) -> Result<Found, Failure> {
        match self.site.api.attempt(&Ask::get(self.endpoint(path, branch, &[]))).await {
            Ok(answer) => Ok(Found::Protected(answer.json()?)),
            Err(refusal) if refusal.is_missing() && refusal.says("branch not found") => Ok(Found::NoBranch),
            Err(refusal) if refusal.is_missing() && refusal.says("not protected") => Ok(Found::Open),
            // "Upgrade to GitHub Pro or make this repository public to enable this feature."
            Err(refusal) if refusal.status == Some(StatusCode::FORBIDDEN) && refusal.says("upgrade to github") => {
                Ok(Found::Open)
            }
            // The protection of a branch is shown to administrators only; others get "Not Found".
            Err(refusal) if matches!(refusal.failure.reason(), Reason::Forbidden | Reason::RemoteNotFound) => {
                let hint = "the token needs the scope `repo` or the permission `Administration: write`, and its user the \
                            role of an administrator in this repository.";
                let text = format!("the token may not read the protection of {branch} in {path}");
                let evidence = refusal.failure.evidence().unwrap_or_default();
                Err(Failure::new(Reason::Forbidden, text).with_evidence(evidence).with_hint(hint))
            }
            Err(refusal) => Err(refusal.failure),
        }
    }

    async fn put(&self, path: &RepoPath, branch: &str, protection: &Value) -> Result<(), Refusal> {
        self.site.change(Method::PUT, self.endpoint(path, branch, &[]), Some(protection)).await.map(|_| ())
    }

    async fn require_signatures(&self, path: &RepoPath, branch: &str, required: bool) -> Result<(), Failure> {
        let url = self.endpoint(path, branch, &["required_signatures"]);
        let method = if required { Method::POST } else { Method::DELETE };
        match self.site.api.attempt(&Ask::change(method, url, None).repeatable()).await {
            Ok(_) => Ok(()),
            // Off already.
            Err(refusal) if !required && refusal.is_missing() => Ok(()),
            Err(refusal) => Err(refusal.failure),
        }
    }
}

/// Whether the server does not want it as it is.
fn is_refused(refusal: &Refusal) -> bool {
    refusal.status == Some(StatusCode::UNPROCESSABLE_ENTITY)
}

fn read(undo: &Undo) -> Result<Before, Failure> {
    serde_json::from_value(undo.before.clone()).map_err(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::new(Reason::Unknown, "what is recorded about a branch protection cannot be read")
        .with_evidence(error.to_string())
}

/// The least that lets `need` through.
///
/// Administrators, and only they may change a protection, are exempt from reviews, checks, signatures and restrictions once
/// `enforce_admins` is off; nobody is exempt from the bans on forced pushes, deletions and pushes to a locked branch.
fn opened(before: &Before, need: Need) -> Before {
    let mut after = before.clone();
    let set = &mut after.protection;
    set["lock_branch"] = json!(false);
    if need == Need::Delete {
        set["allow_deletions"] = json!(true);
        return after;
    }
    if need == Need::Force {
        set["allow_force_pushes"] = json!(true);
    }
    if before.signatures || binds_administrators(set) {
        set["enforce_admins"] = json!(false);
    }
    if before.app {
        for field in ["required_status_checks", "required_pull_request_reviews", "restrictions"] {
            set[field] = Value::Null;
        }
        for field in ["required_linear_history", "block_creations", "required_conversation_resolution"] {
            set[field] = json!(false);
        }
        after.signatures = false;
    }
    after
}

/// Whether anything in a protection would keep an administrator's push away while `enforce_admins` is on; what is not told
/// counts as there.
fn binds_administrators(protection: &Value) -> bool {
    let fields = ["required_status_checks", "required_pull_request_reviews", "restrictions", "required_linear_history"];
    fields.iter().any(|field| !matches!(protection.get(field), Some(Value::Null | Value::Bool(false))))
}

/// What a GET shows of a protection, as the PUT that makes it.
fn as_put(shown: &Value) -> Value {
    let mut body = Map::new();
    for field in [
        "enforce_admins",
        "required_linear_history",
        "allow_force_pushes",
        "allow_deletions",
        "block_creations",
        "required_conversation_resolution",
        "lock_branch",
        "allow_fork_syncing",
    ] {
        body.insert(field.to_owned(), json!(enabled(shown, field)));
    }
    let part = |field: &str, convert: &dyn Fn(&Value) -> Value| {
        shown.get(field).filter(|value| value.is_object()).map_or(Value::Null, convert)
    };
    let reviewed = part("required_pull_request_reviews", &reviews);
    body.insert("required_status_checks".to_owned(), part("required_status_checks", &checks));
    body.insert("required_pull_request_reviews".to_owned(), reviewed);
    body.insert("restrictions".to_owned(), part("restrictions", &actors));
    Value::Object(body)
}

fn enabled(shown: &Value, field: &str) -> bool {
    shown.get(field).and_then(|value| value.get("enabled")).and_then(Value::as_bool).unwrap_or(false)
}

fn checks(shown: &Value) -> Value {
    let strict = shown.get("strict").and_then(Value::as_bool).unwrap_or(false);
    let check = |check: &Value| {
        // Shown as null, any app may set the status; left out, GitHub would pick the one that last did.
        let app = check.get("app_id").and_then(Value::as_i64).unwrap_or(-1);
        json!({"context": check["context"], "app_id": app})
    };
    match shown.get("checks").and_then(Value::as_array) {
        // One of the two only: `contexts` is the older form of the same.
        Some(checks) => json!({"strict": strict, "checks": checks.iter().map(check).collect::<Vec<_>>()}),
        None => json!({"strict": strict, "contexts": shown.get("contexts").cloned().unwrap_or(json!([]))}),
    }
}

fn reviews(shown: &Value) -> Value {
    let flag = |field: &str| shown.get(field).and_then(Value::as_bool).unwrap_or(false);
    let mut body = json!({
        "dismiss_stale_reviews": flag("dismiss_stale_reviews"),
        "require_code_owner_reviews": flag("require_code_owner_reviews"),
        "required_approving_review_count": shown.get("required_approving_review_count").cloned().unwrap_or(json!(0)),
        "require_last_push_approval": flag("require_last_push_approval"),
    });
    // Personal repositories have neither, and refuse a PUT that names them.
    for field in ["dismissal_restrictions", "bypass_pull_request_allowances"] {
        if let Some(shown) = shown.get(field).filter(|value| value.is_object()) {
            body[field] = actors(shown);
        }
    }
    body
}

/// Users, teams and apps by the names that a PUT takes.
fn actors(shown: &Value) -> Value {
    let names = |field: &str, name: &str| -> Vec<Value> {
        let list = shown.get(field).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(|actor| actor.get(name).cloned()).collect()
    };
    json!({"users": names("users", "login"), "teams": names("teams", "slug"), "apps": names("apps", "slug")})
}

/// The first field in which two protections differ; the order within their lists means nothing.
fn first_difference(before: &Value, now: &Value) -> Option<String> {
    let (before, now) = (sorted(before), sorted(now));
    let fields = before.as_object()?;
    fields.iter().find(|(field, value)| now.get(field.as_str()) != Some(*value)).map(|(field, _)| field.clone())
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(values) => {
            let mut values: Vec<Value> = values.iter().map(sorted).collect();
            values.sort_by_key(Value::to_string);
            Value::Array(values)
        }
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), sorted(value))).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests;
