//! GitLab's protected branches: which rules stand in the way, how little has to be opened, and how they are put back.
//!
//! Where several rules match, a push needs one of them to let it through, and a forced one needs one that allows force. Git
//! never deletes a protected branch: for that, every rule that matches is taken away. `allow_force_push` is changed in
//! place (GitLab 15.6 on); who may push can be changed in place in Premium only, so the rule is made anew everywhere.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use crate::base::failure::{Failure, Reason};
use crate::forge::destination::{Need, Undo};
use crate::forge::gitlab::destination::GitlabDestination;
use crate::forge::gitlab::levels::{Level, ask};
use crate::forge::http::{Ask, Refusal};
use crate::model::destination::Target;

/// A rule: all that it says, without the ids that GitLab gives anew each time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ProtectedBranch {
    name: String,
    #[serde(default)]
    push_access_levels: Vec<Level>,
    #[serde(default)]
    merge_access_levels: Vec<Level>,
    #[serde(default)]
    unprotect_access_levels: Vec<Level>,
    #[serde(default)]
    allow_force_push: Option<bool>,
    /// Premium: changes to files that have owners need a merge request.
    #[serde(default)]
    code_owner_approval_required: Option<bool>,
    /// Of a group above the project.
    #[serde(default, skip_serializing)]
    inherited: Option<bool>,
}

impl ProtectedBranch {
    fn plain(mut self) -> Self {
        for levels in [&mut self.push_access_levels, &mut self.merge_access_levels, &mut self.unprotect_access_levels] {
            let set: BTreeSet<Level> = levels.drain(..).map(Level::plain).collect();
            levels.extend(set);
        }
        self
    }

    fn matches(&self, branch: &str) -> bool {
        matches(&self.name, branch)
    }

    fn is_inherited(&self) -> bool {
        self.inherited == Some(true)
    }

    /// Whether it lets the maintainer with this user id through by itself.
    fn lets(&self, need: Need, user: u64) -> bool {
        self.push_access_levels.iter().any(|level| level.admits(user))
            && self.code_owner_approval_required != Some(true)
            && (need != Need::Force || self.allow_force_push == Some(true))
    }

    /// It, opened as little as will do.
    fn opened(&self, need: Need, user: u64) -> ProtectedBranch {
        let mut after = self.clone();
        if !self.push_access_levels.iter().any(|level| level.admits(user)) {
            // "No one" beside a role would be refused by newer servers.
            after.push_access_levels = vec![Level::maintainers()];
        }
        if self.code_owner_approval_required == Some(true) {
            after.code_owner_approval_required = Some(false);
        }
        if need == Need::Force {
            after.allow_force_push = Some(true);
        }
        after
    }

    /// It, with the people, groups and keys left out that may be gone.
    fn with_roles_only(&self) -> ProtectedBranch {
        let mut narrow = self.clone();
        for levels in [&mut narrow.push_access_levels, &mut narrow.merge_access_levels] {
            levels.retain(Level::is_role);
        }
        narrow.unprotect_access_levels.clear();
        narrow.code_owner_approval_required = None;
        narrow
    }

    /// The body of the POST that makes it.
    fn body(&self) -> Value {
        let mut body = Map::new();
        body.insert("name".to_owned(), json!(self.name));
        ask(&mut body, "push", &self.push_access_levels);
        ask(&mut body, "merge", &self.merge_access_levels);
        ask(&mut body, "unprotect", &self.unprotect_access_levels);
        if let Some(allow) = self.allow_force_push {
            body.insert("allow_force_push".to_owned(), json!(allow));
        }
        // The free edition shows false or nothing, and does not take it.
        if self.code_owner_approval_required == Some(true) {
            body.insert("code_owner_approval_required".to_owned(), json!(true));
        }
        Value::Object(body)
    }

    /// The switches that are not those of `other`, if nothing else differs.
    fn switches_unlike(&self, other: &ProtectedBranch) -> Option<Value> {
        let mut alike = other.clone();
        alike.allow_force_push = self.allow_force_push;
        alike.code_owner_approval_required = self.code_owner_approval_required;
        if self.first_difference(&alike).is_some() {
            return None;
        }
        let mut body = Map::new();
        if self.allow_force_push != other.allow_force_push {
            body.insert("allow_force_push".to_owned(), json!(self.allow_force_push.unwrap_or(false)));
        }
        if self.code_owner_approval_required != other.code_owner_approval_required {
            let required = self.code_owner_approval_required.unwrap_or(false);
            body.insert("code_owner_approval_required".to_owned(), json!(required));
        }
        Some(Value::Object(body))
    }

    fn first_difference(&self, other: &ProtectedBranch) -> Option<&'static str> {
        let on = |switch: Option<bool>| switch.unwrap_or(false);
        [
            ("push_access_levels", self.push_access_levels == other.push_access_levels),
            ("merge_access_levels", self.merge_access_levels == other.merge_access_levels),
            ("unprotect_access_levels", self.unprotect_access_levels == other.unprotect_access_levels),
            ("allow_force_push", on(self.allow_force_push) == on(other.allow_force_push)),
            (
                "code_owner_approval_required",
                on(self.code_owner_approval_required) == on(other.code_owner_approval_required),
            ),
        ]
        .into_iter()
        .find_map(|(field, same)| (!same).then_some(field))
    }
}

/// Whether a rule's name, where `*` stands for any characters (slashes too), is about a branch.
fn matches(name: &str, branch: &str) -> bool {
    match name.split_once('*') {
        None => name == branch,
        Some((head, tail)) => branch.strip_prefix(head).is_some_and(|rest| {
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(tail, &rest[at..]))
        }),
    }
}

impl GitlabDestination {
    /// The rules that would have to be opened so that `branch` takes `need`.
    pub(in crate::forge) async fn protections(
        &self,
        target: &Target,
        branch: &str,
        need: Need,
    ) -> Result<Vec<Undo>, Failure> {
        let shown = self.site.all(&["projects", &target.id, "protected_branches"]).await?.ok_or_else(|| {
            let text = format!("the token may not see the branch rules of {}", target.path);
            Failure::new(Reason::Forbidden, text).with_hint("its user needs the role of a maintainer in the project.")
        })?;
        let rules = shown.into_iter().map(read_rule).collect::<Result<Vec<_>, _>>()?;
        let matching: Vec<ProtectedBranch> = rules.into_iter().filter(|rule| rule.matches(branch)).collect();
        let by_group = matching.iter().find(|rule| rule.is_inherited()).map(|rule| rule.name.clone());
        let in_the_way = match need {
            Need::Delete => match by_group {
                Some(name) => return Err(self.of_a_group(branch, &name)),
                None => matching,
            },
            Need::Push | Need::Force => {
                let user = self.site.me().await?.id;
                let is_open = matching.is_empty() || matching.iter().any(|rule| rule.lets(need, user));
                // The one that is about the fewest branches: its own, else the longest pattern.
                let of_project = matching.into_iter().filter(|rule| !rule.is_inherited());
                match of_project.max_by_key(|rule| (rule.name == branch, rule.name.len())) {
                    _ if is_open => Vec::new(),
                    Some(rule) if need == Need::Push || by_group.is_none() => vec![rule],
                    _ => return Err(self.of_a_group(branch, &by_group.unwrap_or_default())),
                }
            }
        };
        let undo = |rule: ProtectedBranch| {
            let before = serde_json::to_value(&rule).map_err(|error| unreadable(&error))?;
            Ok(Undo { target: target.id.clone(), path: target.path.clone(), rule: rule.name, before })
        };
        in_the_way.into_iter().map(undo).collect()
    }

    /// Opens one rule that [`GitlabDestination::protections`] named.
    pub(in crate::forge) async fn open_protection(&self, undo: &Undo, need: Need) -> Result<(), Failure> {
        let before = read(undo)?;
        if need == Need::Delete {
            return Ok(self.unprotect(undo).await?);
        }
        let after = before.opened(need, self.site.me().await?.id);
        Ok(self.write(undo, &before, &after).await?)
    }

    /// Puts one rule back, and looks whether it is what it was.
    pub(in crate::forge) async fn restore_protection(&self, undo: &Undo) -> Result<(), Failure> {
        let before = read(undo)?;
        let written = match self.now(undo).await? {
            Some(now) if before.first_difference(&now).is_none() => return Ok(()),
            Some(now) => self.write(undo, &now, &before).await,
            None => self.protect(undo, &before).await,
        };
        if let Err(refusal) = written {
            if !refusal.status.is_some_and(|status| status.is_client_error()) {
                return Err(refusal.failure);
            }
            // Better with its roles only than not protected at all.
            self.protect(undo, &before.with_roles_only()).await?;
            return Err(self.site.not_put_back(&undo.rule, refusal));
        }
        let field = match self.now(undo).await? {
            Some(now) => before.first_difference(&now),
            None => Some("name"),
        };
        match field {
            None => Ok(()),
            Some(field) => {
                let why = format!("its rule could not be put back exactly: `{field}` differs");
                Err(self.site.closed(&undo.rule, why))
            }
        }
    }

    /// Makes the rule that is `now` into `wanted`: in place where that is possible.
    async fn write(&self, undo: &Undo, now: &ProtectedBranch, wanted: &ProtectedBranch) -> Result<(), Refusal> {
        if let Some(switches) = wanted.switches_unlike(now) {
            match self.site.change(Method::PATCH, self.endpoint(undo, Some(&undo.rule)), Some(&switches)).await {
                Ok(_) => return Ok(()),
                // Servers before 15.6 have no such request.
                Err(refusal)
                    if matches!(refusal.status, Some(StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        self.unprotect(undo).await?;
        self.protect(undo, wanted).await
    }

    async fn unprotect(&self, undo: &Undo) -> Result<(), Refusal> {
        match self.site.change(Method::DELETE, self.endpoint(undo, Some(&undo.rule)), None).await {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.is_missing() => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    async fn protect(&self, undo: &Undo, rule: &ProtectedBranch) -> Result<(), Refusal> {
        let body = rule.body();
        let ask = Ask::change(Method::POST, self.endpoint(undo, None), Some(&body)).repeatable();
        match self.site.api.attempt(&ask).await {
            Ok(_) => Ok(()),
            // A try that broke off had done its work.
            Err(refusal) if refusal.status == Some(StatusCode::CONFLICT) => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    async fn now(&self, undo: &Undo) -> Result<Option<ProtectedBranch>, Failure> {
        match self.site.look(self.endpoint(undo, Some(&undo.rule))).await? {
            Some(answer) => read_rule(answer.json()?).map(Some),
            None => Ok(None),
        }
    }

    fn endpoint(&self, undo: &Undo, rule: Option<&str>) -> Url {
        let segments = ["projects", &undo.target, "protected_branches"];
        match rule {
            Some(rule) => self.site.api.url(&[&segments[..], &[rule]].concat(), &[]),
            None => self.site.api.url(&segments, &[]),
        }
    }

    fn of_a_group(&self, branch: &str, rule: &str) -> Failure {
        self.site.closed(branch, format!("the rule {rule} belongs to a group above the project and is not opened"))
    }
}

fn read_rule(shown: Value) -> Result<ProtectedBranch, Failure> {
    serde_json::from_value::<ProtectedBranch>(shown).map(ProtectedBranch::plain).map_err(|error| {
        Failure::new(Reason::ServerError, "GitLab shows a branch rule in another shape than its API promises")
            .with_evidence(error.to_string())
    })
}

fn read(undo: &Undo) -> Result<ProtectedBranch, Failure> {
    serde_json::from_value::<ProtectedBranch>(undo.before.clone())
        .map(ProtectedBranch::plain)
        .map_err(|error| unreadable(&error))
}

fn unreadable(error: &serde_json::Error) -> Failure {
    Failure::new(Reason::Unknown, "what is recorded about a branch rule cannot be read")
        .with_evidence(error.to_string())
}

#[cfg(test)]
mod tests;
