//! A forge that is written to: what a test sets up before a push, and looks at after it.

use std::path::Path;

use serde_json::Value;

use super::dialect::Dialect;
use super::log::{Kind, Service};
use super::protection::Protection;
use super::settings::Ruleset;
use super::{Forge, Place, Shared};
use crate::support::{Repo, until};

/// What a test does at a step of git's protocol.
pub(super) struct Interlude {
    repo: Repo,
    service: Service,
    act: Box<dyn FnOnce(&Repo) + Send>,
}

impl Shared {
    /// Lets the test act before git answers.
    pub(super) fn interlude(&self, git_dir: &Path, service: Service) {
        loop {
            let due = {
                let mut all = self.interludes.lock().expect("no holder panics");
                let is_due = |due: &Interlude| due.service == service && due.repo.git_dir() == git_dir;
                all.iter().position(is_due).map(|index| all.remove(index))
            };
            let Some(due) = due else { return };
            (due.act)(&due.repo);
        }
    }
}

/// Methods for a forge that is a destination.
impl Forge {
    /// Chooses whose words git hears; see [`Dialect`].
    pub fn speak(&self, dialect: Dialect) {
        let mut model = self.shared.model();
        model.terms.dialect = dialect;
        let ids: Vec<u64> = model.repos.iter().map(|record| record.id).collect();
        ids.into_iter().for_each(|id| self.shared.publish(&mut model, id));
    }

    /// Makes a token of a user that has only these scopes (`repo`; `api`, `read_api`, `write_repository`;
    /// `write:repository`, `write:user`, `write:organization`; …) and returns it. All other tokens have all scopes.
    pub fn token_with_scopes(&self, user: &str, scopes: &[&str]) -> String {
        self.user(user);
        let token = format!("limited-token-of-{user}-{}-9e8d7c6b", scopes.join("-").replace(':', "-"));
        self.accept_token(user, &token);
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self.shared.model().terms.scopes.insert(token.clone(), scopes);
        token
    }

    /// The most repositories that one account may have; creation is refused beyond.
    pub fn quota(&self, most: usize) {
        self.shared.model().terms.quota = Some(most);
    }

    /// A name that no repository may have.
    pub fn reserve(&self, name: &str) {
        self.shared.model().terms.reserved.insert(name.to_lowercase());
    }

    /// GitLab before 15.6: `PATCH` of a protected branch is answered with this status, 404 or 405.
    pub fn gitlab_without_patch(&self, status: u16) {
        self.shared.model().terms.gitlab_patch = Some(status);
    }

    /// The version of Gitea, 1.21.0 at first. From 1.23 its rules can allow forced pushes; before 1.19 they are for
    /// branches that are there only.
    pub fn gitea_version(&self, version: &str) {
        let dialect = {
            let mut model = self.shared.model();
            model.terms.gitea_version = version.to_owned();
            model.terms.dialect
        };
        // What holds for pushes may be something else now.
        self.speak(dialect);
    }

    /// The repository of this name, also one that was made through an API; `None` when there is none.
    pub fn find(&self, full_name: &str) -> Option<Repo> {
        let model = self.shared.model();
        let record = model.find(full_name)?;
        let mut repo = Repo::existing(&record.git_dir);
        repo.place = Some(Place { forge: self.shared.clone(), id: record.id });
        Some(repo)
    }

    /// The full names of all repositories, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.shared.model().repos.iter().map(super::model::Record::full_name).collect();
        names.sort();
        names
    }

    /// Acts once when git asks for this step, before it is answered; nothing of the answer has been made then.
    pub fn before(&self, repo: &Repo, service: Service, act: impl FnOnce(&Repo) + Send + 'static) {
        let interlude = Interlude { repo: repo.clone(), service, act: Box::new(act) };
        self.shared.interludes.lock().expect("no holder panics").push(interlude);
    }

    /// Acts once after the client has seen the refs and before its push is received: another writer was faster.
    pub fn between_advertisement_and_push(&self, repo: &Repo, act: impl FnOnce(&Repo) + Send + 'static) {
        self.before(repo, Service::Push, act);
    }

    /// How many of git's requests were of this kind, for all repositories.
    pub fn git_count(&self, service: Service) -> usize {
        let fits = |kind: &Kind| matches!(kind, Kind::Git { service: known, .. } if *known == service);
        self.requests().iter().filter(|request| fits(&request.kind)).count()
    }

    /// Ends the server: from now on connections are refused. Handles of repositories still work.
    pub async fn stop(&self) {
        for (server, stop) in &self.servers {
            stop.shutdown();
            server.abort();
            until("the server is down", || server.is_finished()).await;
        }
    }
}

/// Methods for a repository on a forge that is a destination.
impl Repo {
    /// Sets a branch rule, for a branch or a pattern (`rel/*`); it holds at once.
    pub fn protect(&self, name: &str, protection: Protection) -> Self {
        let place = self.place();
        let mut model = place.forge.model();
        model.set_rule(place.id, name, protection);
        place.forge.publish(&mut model, place.id);
        drop(model);
        self.clone()
    }

    /// Protects a tag, or those of a pattern, from everybody (GitLab and Gitea).
    pub fn protect_tag(&self, name: &str) -> Self {
        self.change(|record| record.settings.tag_rules.push(name.to_owned()))
    }

    /// Removes a branch rule.
    pub fn unprotect(&self, name: &str) -> Self {
        self.change(|record| record.settings.rules.retain(|rule| rule.name != name))
    }

    /// The rule of exactly this name; `None` when there is none.
    pub fn protection(&self, name: &str) -> Option<Protection> {
        self.look(|record| record.rule(name).map(|rule| rule.protection.clone()))
    }

    /// The names of all branch rules, sorted.
    pub fn protected(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.look(|record| record.settings.rules.iter().map(|rule| rule.name.clone()).collect());
        names.sort();
        names
    }

    /// Adds a GitHub ruleset for a branch or pattern: `repo.ruleset("guard", "main", &["non_fast_forward", "deletion"])`.
    pub fn ruleset(&self, name: &str, branch: &str, types: &[&str]) -> Self {
        let id = self.place().forge.model().next_id();
        let types = types.iter().map(|kind| (*kind).to_owned()).collect();
        let set = Ruleset { id, name: name.to_owned(), branch: branch.to_owned(), types };
        self.change(|record| record.settings.rulesets.push(set))
    }

    /// It pulls from somewhere else: shown by GitLab and Gitea, and Gitea refuses pushes to it.
    pub fn pull_mirror(&self) -> Self {
        self.change(|record| record.settings.pull_mirror = true)
    }

    /// Gives a user access to read only.
    pub fn reader(&self, user: &str) -> Self {
        self.collaborator(user).change(|record| {
            record.settings.readers.insert(user.to_owned());
        })
    }

    /// Sets one of its settings by hand, by its name in the forge's API: `has_releases`, `releases_access_level`.
    pub fn set(&self, name: &str, value: Value) -> Self {
        self.change(|record| {
            record.settings.said.insert(name.to_owned(), value);
        })
    }

    /// What a client set through an API, by the API's name for it (`has_wiki`, `wiki_access_level`); null when it did not.
    pub fn setting(&self, name: &str) -> Value {
        self.look(|record| match name {
            "description" => record.settings.description.clone().into(),
            _ => record.settings.said.get(name).cloned().unwrap_or(Value::Null),
        })
    }

    /// `public`, `internal` or `private`.
    pub fn visibility(&self) -> String {
        self.look(|record| record.visibility.as_str().to_owned())
    }

    /// What the forge calls the default branch, which need not be git's HEAD; `None` for a repository on no forge.
    pub fn said_default_branch(&self) -> Option<String> {
        let place = self.place.as_ref()?;
        let model = place.forge.model();
        let record = model.record(place.id)?;
        Some(match model.dialect(record) {
            Dialect::Gitlab => super::gitlab::default_branch(record),
            _ => record.default_branch(),
        })
    }

    /// Lets a Gitea call a branch the default one without changing git's HEAD.
    pub fn gitea_calls_default(&self, branch: &str) -> Self {
        let head = crate::support::repo::head_of(self.git_dir());
        super::replace(&self.git_dir().join("forge-default"), &format!("{branch}\n{head}\n"));
        self.clone()
    }

    /// Whether it is archived.
    pub fn is_archived(&self) -> bool {
        self.look(|record| record.archived)
    }

    /// No longer archived.
    pub fn unarchived(&self) -> Self {
        self.change(|record| record.archived = false)
    }

    pub(in crate::support) fn runs_own_pre_receive(&self) {
        self.change(|record| record.settings.own_pre_receive = true);
    }
}
