//! GitLab's groups: a namespace is looked up part by part, and what is missing below the first part is made.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use reqwest::Method;
use serde::Deserialize;
use serde_json::json;

use crate::base::failure::{Failure, Reason};
use crate::forge::destination::site::Site;
use crate::forge::gather::visibility;
use crate::forge::gitlab::{SCOPE, display_name, leaving, word};
use crate::model::{RepoPath, Visibility};

/// A group, as far as we need it.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) id: u64,
    /// `None` where GitLab does not tell.
    visibility: Option<Visibility>,
}

#[derive(Deserialize)]
struct GroupJson {
    id: u64,
    visibility: Option<String>,
    marked_for_deletion_on: Option<String>,
}

impl From<GroupJson> for Group {
    fn from(json: GroupJson) -> Self {
        Group { id: json.id, visibility: visibility(json.visibility.as_deref()) }
    }
}

/// The groups that were found or made in this run, by path.
#[derive(Default)]
pub(super) struct Groups(Mutex<HashMap<String, Group>>);

impl Groups {
    /// The group that `path` lies in, made where it is missing.
    pub(super) async fn bring_about(&self, site: &Site, path: &RepoPath, wished: Visibility) -> Result<Group, Failure> {
        let namespace = path.namespace();
        let parts: Vec<&str> = namespace.split('/').collect();
        // From the innermost outwards: most often that is there.
        let mut missing = parts.len();
        let mut group = None;
        for depth in (1..=parts.len()).rev() {
            group = self.find(site, &parts[..depth].join("/")).await?;
            if group.is_some() {
                break;
            }
            missing = depth - 1;
        }
        let Some(mut group) = group else { return Err(no_group(path, parts[0])) };
        for depth in missing + 1..=parts.len() {
            group = self.make(site, path, &parts[..depth], &group, wished).await?;
        }
        Ok(group)
    }

    async fn find(&self, site: &Site, group: &str) -> Result<Option<Group>, Failure> {
        if let Some(group) = self.known(group) {
            return Ok(Some(group));
        }
        let url = site.api.url(&["groups", group], &[("with_projects", "false")]);
        let Some(answer) = site.look(url).await? else { return Ok(None) };
        let json: GroupJson = answer.json()?;
        if json.marked_for_deletion_on.is_some() {
            return Err(leaving("group", group, json.marked_for_deletion_on.as_ref()));
        }
        let found = Group::from(json);
        self.learn(group, &found);
        Ok(Some(found))
    }

    async fn make(
        &self,
        site: &Site,
        path: &RepoPath,
        parts: &[&str],
        parent: &Group,
        wished: Visibility,
    ) -> Result<Group, Failure> {
        let full = parts.join("/");
        let name = parts.last().copied().unwrap_or_default();
        let body = json!({
            "name": display_name(name),
            "path": name,
            "parent_id": parent.id,
            // A group may not be seen by more than its parent, nor by less than what lies in it.
            "visibility": word(narrower(wished, parent.visibility.unwrap_or(Visibility::Private))),
        });
        let made = match site.change(Method::POST, site.api.url(&["groups"], &[]), Some(&body)).await {
            Ok(answer) => Group::from(answer.json::<GroupJson>()?),
            Err(refusal) if refusal.says("already been taken") => {
                let hidden = || site.hidden(path).with_hint(format!("the token may not see the group {full}."));
                return self.find(site, &full).await?.ok_or_else(hidden);
            }
            Err(refusal) => {
                let failure = site.not_created(path, refusal, SCOPE);
                let text = format!("{} (its group {full})", failure.message());
                return Err(failure.with_message(text));
            }
        };
        self.learn(&full, &made);
        Ok(made)
    }

    fn known(&self, path: &str) -> Option<Group> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&path.to_lowercase()).cloned()
    }

    fn learn(&self, path: &str, group: &Group) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_lowercase(), group.clone());
    }
}

fn no_group(path: &RepoPath, top: &str) -> Failure {
    let text = format!("cannot create {path} on GitLab: there is no group {top} that the token may see");
    Failure::new(Reason::RemoteNotFound, text)
        .with_hint("create the top-level group first (only groups below one are created), or correct `namespace`.")
}

/// The one of two that fewer may see.
fn narrower(one: Visibility, other: Visibility) -> Visibility {
    match (one, other) {
        (Visibility::Private, _) | (_, Visibility::Private) => Visibility::Private,
        (Visibility::Internal, _) | (_, Visibility::Internal) => Visibility::Internal,
        (Visibility::Public, Visibility::Public) => Visibility::Public,
    }
}
