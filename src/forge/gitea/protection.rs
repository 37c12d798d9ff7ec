//! Gitea's branch protections: which one is in force, how little has to be opened, and how it is put back.
//!
//! The first rule that matches is the one in force, in the order of the list. Before 1.23 (and in Forgejo) a protected
//! branch takes no forced push at all, and no version lets one be deleted: there the rules that match are removed and made
//! again, each with every field it had.

use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use url::Url;

use crate::base::failure::{Failure, Reason};
use crate::forge::destination::{Need, Restored, Undo};
use crate::forge::gitea::destination::GiteaDestination;
use crate::forge::gitea::glob;
use crate::forge::http::{Ask, Refusal};
use crate::model::RepoPath;
use crate::model::destination::Target;

/// Fields that the server sets itself, and the old name of `rule_name`.
const NOT_OURS: [&str; 3] = ["created_at", "updated_at", "branch_name"];

/// A rule as the API shows it.
type Rule = Map<String, Value>;

impl GiteaDestination {
    /// The rules that would have to be opened so that `branch` takes `need`.
    pub(in crate::forge) async fn protections(
        &self,
        target: &Target,
        branch: &str,
        need: Need,
    ) -> Result<Vec<Undo>, Failure> {
        let rules: Vec<Rule> = self.site.api.get(self.endpoint(&target.path, None)).await?;
        let matching = rules.into_iter().filter(|rule| glob::matches(&name(rule), branch)).collect::<Vec<_>>();
        let in_the_way: Vec<Rule> = match matching.first() {
            None => Vec::new(),
            // Without the first the next would be in force.
            Some(first) if is_removed(first, need) => matching,
            Some(first) => {
                let login = self.site.me().await?.login.clone();
                let shut = opened(first, need, &login) != *first;
                matching.into_iter().take(usize::from(shut)).collect()
            }
        };
        let undo = |rule: Rule| Undo {
            target: target.id.clone(),
            path: target.path.clone(),
            rule: name(&rule),
            before: Value::Object(rule),
        };
        Ok(in_the_way.into_iter().map(undo).collect())
    }

    /// Opens one rule that [`GiteaDestination::protections`] named.
    pub(in crate::forge) async fn open_protection(&self, undo: &Undo, need: Need) -> Result<(), Failure> {
        let before = read(undo)?;
        let url = self.endpoint(&undo.path, Some(&undo.rule));
        if is_removed(&before, need) {
            return match self.site.change(Method::DELETE, url, None).await {
                Ok(_) => Ok(()),
                Err(refusal) if refusal.is_missing() => Ok(()),
                Err(refusal) => Err(refusal.failure),
            };
        }
        let after = opened(&before, need, &self.site.me().await?.login);
        self.site.change(Method::PATCH, url, Some(&edit(&after))).await?;
        Ok(())
    }

    /// Puts one rule back, and looks whether it is what it was.
    ///
    /// A server before 1.19 has rules for branches that are there only: what was protected and is deleted by now has none.
    pub(in crate::forge) async fn restore_protection(&self, undo: &Undo) -> Result<Restored, Failure> {
        let before = read(undo)?;
        if self.differs(undo, &before).await?.is_some() {
            if let Err(refusal) = self.write(undo, &before).await {
                if refusal.is_missing() && self.lacks_only_the_branch(undo).await? {
                    return Ok(Restored::GoneWithBranch);
                }
                if !refusal.status.is_some_and(|status| status.is_client_error()) {
                    return Err(refusal.failure);
                }
                // Better with nobody on its lists than not protected at all.
                self.write(undo, &without_names(&before)).await?;
                return Err(self.site.not_put_back(&undo.rule, refusal));
            }
            if let Some(field) = self.differs(undo, &before).await? {
                let why = format!("its rule could not be put back exactly: `{field}` differs");
                return Err(self.site.closed(&undo.rule, why));
            }
        }
        Ok(Restored::AsItWas)
    }

    /// Whether the repository is there and the branch of a rule is not. A token that sees neither tells nothing.
    async fn lacks_only_the_branch(&self, undo: &Undo) -> Result<bool, Failure> {
        let (namespace, name) = (undo.path.namespace(), undo.path.name());
        let repository = ["repos", &namespace, name];
        if self.site.look(self.site.api.url(&repository, &[])).await?.is_none() {
            return Ok(false);
        }
        let branch = [&repository[..], &["branches", &undo.rule]].concat();
        Ok(self.site.look(self.site.api.url(&branch, &[])).await?.is_none())
    }

    async fn write(&self, undo: &Undo, before: &Rule) -> Result<(), Refusal> {
        let (url, edit) = (self.endpoint(&undo.path, Some(&undo.rule)), edit(before));
        match self.site.change(Method::PATCH, url.clone(), Some(&edit)).await {
            Ok(_) => return Ok(()),
            Err(refusal) if refusal.is_missing() => {}
            Err(refusal) => return Err(refusal),
        }
        let body = body(before);
        let ask = Ask::change(Method::POST, self.endpoint(&undo.path, None), Some(&body)).repeatable();
        match self.site.api.attempt(&ask).await {
            Ok(_) => Ok(()),
            // Ours, of a try that broke off, or somebody else's of this moment: 1.21 says 403.
            Err(refusal) if refusal.says("already exist") || refusal.status == Some(StatusCode::CONFLICT) => {
                self.site.change(Method::PATCH, url, Some(&edit)).await?;
                Ok(())
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// The first field in which the rule there is not what it was; `rule_name` when there is none.
    async fn differs(&self, undo: &Undo, before: &Rule) -> Result<Option<String>, Failure> {
        let Some(answer) = self.site.look(self.endpoint(&undo.path, Some(&undo.rule))).await? else {
            return Ok(Some("rule_name".to_owned()));
        };
        let now: Rule = answer.json()?;
        let other = |field: &&String| !same(before.get(*field), now.get(*field));
        Ok(before.keys().filter(|field| !NOT_OURS.contains(&field.as_str())).find(other).cloned())
    }

    fn endpoint(&self, path: &RepoPath, rule: Option<&str>) -> Url {
        let (namespace, name) = (path.namespace(), path.name());
        let segments = ["repos", &namespace, name, "branch_protections"];
        match rule {
            Some(rule) => self.site.api.url(&[&segments[..], &[rule]].concat(), &[]),
            None => self.site.api.url(&segments, &[]),
        }
    }
}

fn read(undo: &Undo) -> Result<Rule, Failure> {
    let text = "what is recorded about a branch protection cannot be read";
    undo.before.as_object().cloned().ok_or_else(|| Failure::new(Reason::Unknown, text))
}

/// Servers before 1.19 know the name of the branch only.
fn name(rule: &Rule) -> String {
    let text = |field: &str| rule.get(field).and_then(Value::as_str).filter(|name| !name.is_empty());
    text("rule_name").or_else(|| text("branch_name")).unwrap_or_default().to_owned()
}

/// Whether only its removal lets `need` through.
fn is_removed(rule: &Rule, need: Need) -> bool {
    match need {
        Need::Push => false,
        Need::Force => !rule.contains_key("enable_force_push"),
        Need::Delete => true,
    }
}

/// The least that lets `login` push: others get no more than they had.
fn opened(before: &Rule, need: Need, login: &str) -> Rule {
    let mut after = before.clone();
    admit(&mut after, "enable_push", "push_whitelist", login);
    if need == Need::Force {
        admit(&mut after, "enable_force_push", "force_push_allowlist", login);
    }
    for (field, open) in [("require_signed_commits", json!(false)), ("protected_file_patterns", json!(""))] {
        if let Some(value) = after.get_mut(field) {
            *value = open;
        }
    }
    after
}

/// Lets `login` through a switch that has a list of those who may.
fn admit(rule: &mut Rule, switch: &str, list: &str, login: &str) {
    let on = |field: &str| rule.get(field) == Some(&json!(true));
    let (enable_list, names) = (format!("enable_{list}"), format!("{list}_usernames"));
    let (was_on, had_list) = (on(switch), on(&enable_list));
    if was_on && !had_list {
        return;
    }
    let admitted = rule.get(&names).and_then(Value::as_array).cloned().unwrap_or_default();
    let is_us = |name: &Value| name.as_str().is_some_and(|name| name.eq_ignore_ascii_case(login));
    if was_on && admitted.iter().any(is_us) {
        return;
    }
    let admitted: Vec<Value> = match was_on {
        true => admitted.into_iter().chain([json!(login)]).collect(),
        // Who stands on a list that is switched off must not be let in with us.
        false => {
            rule.insert(format!("{list}_teams"), json!([]));
            rule.insert(format!("{list}_deploy_keys"), json!(false));
            vec![json!(login)]
        }
    };
    rule.insert(switch.to_owned(), json!(true));
    rule.insert(enable_list, json!(true));
    rule.insert(names, Value::Array(admitted));
}

/// A rule whose lists have nobody on them.
fn without_names(rule: &Rule) -> Rule {
    let is_names =
        |field: &str| field.ends_with("_teams") || field.ends_with("_usernames") || field.ends_with("_username");
    let emptied = |(field, value): (&String, &Value)| match is_names(field) {
        true => (field.clone(), json!([])),
        false => (field.clone(), value.clone()),
    };
    rule.iter().map(emptied).collect()
}

/// What a PATCH takes of a rule: the rule's name stands in the URL only (`EditBranchProtectionOption`).
fn edit(rule: &Rule) -> Value {
    let mut body = body(rule);
    if let Some(fields) = body.as_object_mut() {
        fields.retain(|field, _| !["rule_name", "branch_name"].contains(&field.as_str()));
    }
    body
}

/// What a POST takes of a rule; a list that is shown as null is an empty one.
fn body(rule: &Rule) -> Value {
    let list = |field: &str, value: &Value| match value {
        Value::Null if field.ends_with('s') => json!([]),
        value => value.clone(),
    };
    let ours = rule.iter().filter(|(field, _)| !NOT_OURS.contains(&field.as_str()));
    let mut body: Map<String, Value> = ours.map(|(field, value)| (field.clone(), list(field, value))).collect();
    // Before 1.19 there are no rules, only branches.
    if !body.contains_key("rule_name") {
        body.insert("branch_name".to_owned(), json!(name(rule)));
    }
    Value::Object(body)
}

/// Whether a field has its value again: null and an empty list are one, and lists of names have no order.
fn same(before: Option<&Value>, now: Option<&Value>) -> bool {
    let plain = |value: Option<&Value>| match value {
        None | Some(Value::Null) => Value::Array(Vec::new()),
        Some(Value::Array(values)) => {
            let mut values = values.clone();
            values.sort_by_key(Value::to_string);
            Value::Array(values)
        }
        Some(value) => value.clone(),
    };
    plain(before) == plain(now)
}

#[cfg(test)]
mod tests;
