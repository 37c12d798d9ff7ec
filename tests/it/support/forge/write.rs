//! Requests that change something: who asks, what they say, and the repository that is made.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::api::{self, Ask, Reply};
use super::dialect::Dialect;
use super::log::Request;
use super::model::{Affiliation, Model, Record, Visibility};
use super::releases::{self, Shelf};
use super::settings::Settings;
use super::upload::Received;
use super::{
    Place, Shared, gitea, gitea_destination, github, github_destination, gitlab, gitlab_destination, packages_gitlab,
    releases_gitea, releases_github,
};
use crate::support::Repo;

/// A request that may change the model, on its way through one API.
pub(super) struct Write<'a> {
    pub(super) request: &'a Request,
    pub(super) body: Value,
    pub(super) model: &'a mut Model,
    pub(super) forge: &'a Shared,
    pub(super) viewer: String,
    token: String,
    pub(super) segments: Vec<String>,
}

impl Shared {
    /// Answers a request with another method than GET.
    pub(super) fn answer_write(&self, request: &Request, body: &[u8]) -> Reply {
        type Face = (&'static str, fn(&mut Write) -> Reply, fn(&str) -> Reply);
        const FACES: [Face; 3] = [
            (github::ROOT, github_destination::write, |_| github::bad_credentials()),
            (gitlab::ROOT, gitlab_destination::write, |_| gitlab::unauthorized()),
            (gitea::ROOT, gitea_destination::write, gitea::bad_token),
        ];
        let Some((root, answer, refuse)) = FACES.iter().find(|(root, ..)| request.path.starts_with(root)) else {
            return Reply::new(404, json!({"message": "Not Found"}));
        };
        let body = match serde_json::from_slice(body) {
            Ok(body) => body,
            Err(_) if body.is_empty() => Value::Null,
            // GitLab takes forms as well.
            Err(_) if *root == gitlab::ROOT && !body.starts_with(b"{") => form(body),
            Err(_) if *root == gitea::ROOT => {
                return Reply::new(422, json!({"message": "[]: invalid character", "url": self.base.clone()}));
            }
            Err(_) => return Reply::new(400, json!({"message": "Problems parsing JSON"})),
        };
        let mut model = self.model();
        let Ok(Some(viewer)) = api::viewer(&model, &request.headers) else { return refuse(&self.base) };
        let token = api::token(&request.headers).unwrap_or_default();
        let segments = api::segments(&request.path, root);
        answer(&mut Write { request, body, model: &mut model, forge: self, viewer, token, segments })
    }

    /// Answers a request whose body is a file, which is on disk by now.
    pub(super) fn answer_upload(&self, request: &Request, received: Received) -> Reply {
        type Face = (&'static str, fn(&mut Write, Received) -> Reply, fn(&str) -> Reply);
        const FACES: [Face; 3] = [
            (releases_github::UPLOADS, releases_github::upload, |_| github::bad_credentials()),
            (gitlab::ROOT, packages_gitlab::upload, |_| gitlab::unauthorized()),
            (gitea::ROOT, releases_gitea::upload, gitea::bad_token),
        ];
        let Some((root, answer, refuse)) = FACES.iter().find(|(root, ..)| request.path.starts_with(root)) else {
            return Reply::new(404, json!({"message": "Not Found"}));
        };
        let mut model = self.model();
        let Ok(Some(viewer)) = api::viewer(&model, &request.headers) else { return refuse(&self.base) };
        let token = api::token(&request.headers).unwrap_or_default();
        let segments = api::segments(&request.path, root);
        let body = Value::Null;
        answer(&mut Write { request, body, model: &mut model, forge: self, viewer, token, segments }, received)
    }

    /// Makes an empty public repository of this name, whoever has it already.
    pub(super) fn add_repo(self: &Arc<Self>, model: &mut Model, namespace: &str, name: &str) -> (u64, Repo) {
        let id = self.add_record(model, namespace, name);
        let git_dir = model.record(id).expect("just made").git_dir.clone();
        let mut repo = Repo::existing(&git_dir);
        repo.place = Some(Place { forge: self.clone(), id });
        (id, repo)
    }

    fn add_record(&self, model: &mut Model, namespace: &str, name: &str) -> u64 {
        let (id, now) = (model.next_id(), model.tick());
        // By id: hostile names, renames and names that differ in letter case only need no care on disk.
        let repo = Repo::bare(&self.dir.join(format!("{id}.git")));
        model.repos.push(Record {
            id,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            visibility: Visibility::Public,
            fork: false,
            archived: false,
            disabled: false,
            blocked: false,
            topics: Vec::new(),
            collaborators: BTreeSet::new(),
            size_kb: 16,
            created: now,
            pushed: now,
            clone_url: None,
            git_dir: repo.git_dir().to_owned(),
            settings: Settings::default(),
            releases: Shelf::default(),
        });
        id
    }
}

/// Why a repository is not made.
pub(super) enum NotMade {
    Exists,
    Reserved,
    BadName,
    /// The account has as many as it may.
    Full(usize),
}

impl<'a> Write<'a> {
    /// The same request as one that only reads.
    pub(super) fn ask(&self) -> Ask<'_> {
        Ask {
            request: self.request,
            model: self.model,
            base: &self.forge.base,
            viewer: Some(self.viewer.clone()),
            segments: self.segments.clone(),
        }
    }

    pub(super) fn method(&self) -> &'a str {
        self.request.method.as_str()
    }

    /// A text of the body.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.body[name].as_str().map(str::to_owned)
    }

    /// A switch of the body; forms write it as text.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.body[name].as_bool().or_else(|| self.body[name].as_str().map(|text| text == "true"))
    }

    /// A number of the body; forms write it as text.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.body[name].as_u64().or_else(|| self.body[name].as_str().and_then(|text| text.parse().ok()))
    }

    pub(super) fn has_scope(&self, any_of: &[&str]) -> bool {
        self.model.has_scope(&self.token, any_of)
    }

    /// Whether the viewer may change a repository's settings: its owner, or a member of its namespace.
    pub(super) fn is_admin(&self, record: &Record) -> bool {
        matches!(self.model.affiliation(record, &self.viewer), Some(Affiliation::Owner | Affiliation::Member))
    }

    /// Whether the viewer may push, which is what writing releases takes.
    pub(super) fn may_push(&self, id: u64) -> bool {
        self.model.may_push(self.record(id), &self.viewer, Some(&self.token))
    }

    /// A repository's releases, as this dialect has them, to be changed.
    pub(super) fn shelf(&mut self, id: u64, dialect: Dialect) -> &mut Shelf {
        let shelf = releases::open(self.record(id), &self.forge.base, dialect);
        let record = self.record_mut(id);
        record.releases = shelf;
        &mut record.releases
    }

    /// Makes a repository; `ok_name` is the forge's own rule for names.
    pub(super) fn create(
        &mut self,
        namespace: &str,
        name: &str,
        dialect: Dialect,
        ok_name: fn(char) -> bool,
    ) -> Result<u64, NotMade> {
        if name.is_empty() || !name.chars().all(ok_name) {
            return Err(NotMade::BadName);
        }
        let reserved = &self.model.terms.reserved;
        if name.ends_with(".git") || reserved.contains(&name.to_lowercase()) {
            return Err(NotMade::Reserved);
        }
        if self.model.find(&format!("{namespace}/{name}")).is_some() {
            return Err(NotMade::Exists);
        }
        if let Some(most) = self.model.is_full(namespace) {
            return Err(NotMade::Full(most));
        }
        let id = self.forge.add_record(self.model, namespace, name);
        self.model.moved.remove(&format!("{namespace}/{name}").to_lowercase());
        let body = self.body.clone();
        if let Some(record) = self.model.record_mut(id) {
            record.settings.dialect = Some(dialect);
            record.settings.take(dialect, &body);
        }
        self.set_visibility(id);
        Ok(id)
    }

    /// Takes `visibility` or `private` from the body.
    pub(super) fn set_visibility(&mut self, id: u64) {
        let wanted = match (self.text("visibility").as_deref(), self.switch("private")) {
            (Some("private"), _) | (None, Some(true)) => Visibility::Private,
            (Some("internal"), _) => Visibility::Internal,
            (Some("public"), _) | (None, Some(false)) => Visibility::Public,
            _ => return,
        };
        if let Some(record) = self.model.record_mut(id) {
            record.visibility = wanted;
        }
    }

    /// Points a repository's HEAD at a branch.
    pub(super) fn set_head(&self, id: u64, branch: &str) {
        if let Some(record) = self.model.record(id) {
            super::replace(&record.git_dir.join("HEAD"), &format!("ref: refs/heads/{branch}\n"));
        }
    }

    /// Gives a new repository the hash that was asked for; SHA-1 where none was.
    pub(super) fn set_object_format(&self, id: u64, format: Option<String>) {
        if let (Some(record), Some("sha256")) = (self.model.record(id), format.as_deref()) {
            let file = record.git_dir.join("config");
            let config = std::fs::read_to_string(&file).expect("our own repository");
            let config = config.replace("repositoryformatversion = 0", "repositoryformatversion = 1");
            super::replace(&file, &format!("{config}[extensions]\n\tobjectFormat = sha256\n"));
        }
    }

    /// Makes a branch the default one as Gitea does: git's HEAD follows when that changes what it remembers, and once there
    /// is a branch.
    pub(super) fn set_gitea_default(&self, id: u64, branch: &str) {
        let record = self.record(id);
        if record.default_branch() == branch {
            return;
        }
        if !record.is_empty() {
            self.set_head(id, branch);
        }
        let head = crate::support::repo::head_of(&record.git_dir);
        super::replace(&record.git_dir.join("forge-default"), &format!("{branch}\n{head}\n"));
    }

    /// Gives a repository another name in its namespace; the old one answers with a redirect. Fails when it is taken.
    pub(super) fn rename(&mut self, id: u64, name: &str) -> Result<(), NotMade> {
        let (old, namespace) = (self.record(id).full_name(), self.record(id).namespace.clone());
        let new = format!("{namespace}/{name}");
        if self.model.find(&new).is_some_and(|other| other.id != id) {
            return Err(NotMade::Exists);
        }
        if old != new {
            self.model.moved.insert(old.to_lowercase(), id);
            self.model.moved.remove(&new.to_lowercase());
            self.record_mut(id).name = name.to_owned();
        }
        Ok(())
    }

    /// Deletes a repository.
    pub(super) fn remove(&mut self, id: u64) {
        self.model.repos.retain(|record| record.id != id);
    }

    /// Lets a change of a repository reach its hooks.
    pub(super) fn publish(&mut self, id: u64) {
        self.forge.publish(self.model, id);
    }

    pub(super) fn record(&self, id: u64) -> &Record {
        self.model.record(id).expect("the request found it")
    }

    pub(super) fn record_mut(&mut self, id: u64) -> &mut Record {
        self.model.record_mut(id).expect("the request found it")
    }
}

impl Record {
    /// The object id of a branch; `None` when it is not there.
    pub(super) fn tip(&self, branch: &str) -> Option<String> {
        crate::support::refs_of(&self.git_dir).remove(&format!("refs/heads/{branch}"))
    }
}

fn form(body: &[u8]) -> Value {
    let pairs = url::form_urlencoded::parse(body);
    Value::Object(pairs.map(|(name, value)| (name.into_owned(), json!(value))).collect())
}
