//! What a repository is to its forge: visibility, names, access, and what the APIs say of it.

use std::sync::Arc;

use super::Shared;
use super::api::encode_path;
use super::model::{Record, Visibility, time};
use crate::support::Repo;

/// Where a repository belongs when it is on a forge.
#[derive(Clone)]
pub struct Place {
    pub(super) forge: Arc<Shared>,
    pub(super) id: u64,
}

/// Methods for repositories on a forge; they panic for those in a plain directory.
impl Repo {
    pub(super) fn place(&self) -> &Place {
        self.place.as_ref().expect("this repository is on no forge")
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Record)) -> Self {
        let place = self.place();
        let mut model = place.forge.model();
        change(model.record_mut(place.id).expect("this repository was removed from its forge"));
        place.forge.publish(&mut model, place.id);
        drop(model);
        self.clone()
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&Record) -> T) -> T {
        let place = self.place();
        look(place.forge.model().record(place.id).expect("this repository was removed from its forge"))
    }

    /// Tells the forge that refs changed; called by every change.
    pub(in crate::support) fn changed(&self) {
        if self.place.is_some() && !self.silent {
            self.push_now();
        }
    }

    /// Moves `pushed_at`, without any change of refs.
    pub fn push_now(&self) -> Self {
        let now = self.place().forge.model().tick();
        self.change(|record| record.pushed = now)
    }

    /// A handle whose changes leave `pushed_at` alone: `alpha.silently().commit("main", "unseen")`.
    pub fn silently(&self) -> Self {
        let mut silent = self.clone();
        silent.silent = true;
        silent
    }

    /// Only for its owner, the members of its organisation, and collaborators.
    pub fn private(&self) -> Self {
        self.change(|record| record.visibility = Visibility::Private)
    }

    /// For everybody who is logged in.
    pub fn internal(&self) -> Self {
        self.change(|record| record.visibility = Visibility::Internal)
    }

    /// For everybody, as at first.
    pub fn public(&self) -> Self {
        self.change(|record| record.visibility = Visibility::Public)
    }

    /// A fork of something elsewhere.
    pub fn fork(&self) -> Self {
        self.change(|record| record.fork = true)
    }

    /// Archived: read-only.
    pub fn archived(&self) -> Self {
        self.change(|record| record.archived = true)
    }

    /// Disabled by the forge's staff: listed, and git is answered 403.
    pub fn disabled(&self) -> Self {
        self.change(|record| record.disabled = true)
    }

    /// Blocked after a DMCA notice: listed, and GitHub's API and git are answered 451.
    pub fn blocked(&self) -> Self {
        self.change(|record| record.blocked = true)
    }

    /// Its topics.
    pub fn topics(&self, topics: &[&str]) -> Self {
        self.change(|record| record.topics = topics.iter().map(|topic| (*topic).to_owned()).collect())
    }

    /// The size that the APIs report while it is not empty, in KiB (GitLab's statistics: in bytes).
    pub fn size_kb(&self, size: u64) -> Self {
        self.change(|record| record.size_kb = size)
    }

    /// Gives a user access.
    pub fn collaborator(&self, user: &str) -> Self {
        self.change(|record| {
            record.collaborators.insert(user.to_owned());
        })
    }

    /// The APIs report this URL for cloning, wherever it leads.
    pub fn clone_url(&self, url: &str) -> Self {
        self.change(|record| record.clone_url = Some(url.to_owned()))
    }

    /// The APIs report this name, hostile as it may be: `..`, `a/b`, control characters.
    pub fn reported_as(&self, name: &str) -> Self {
        self.change(|record| record.name = name.to_owned())
    }

    /// Renames or transfers it: `alpha.rename("other/beta")`. The old path answers with a redirect, in APIs and git.
    pub fn rename(&self, full_name: &str) -> Self {
        let (namespace, name) = full_name.rsplit_once('/').expect("a full name is namespace/name");
        let place = self.place();
        let mut model = place.forge.model();
        model.account(namespace);
        let old = model.record(place.id).expect("this repository was removed from its forge").full_name();
        model.moved.insert(old.to_lowercase(), place.id);
        drop(model);
        self.change(|record| (record.namespace, record.name) = (namespace.to_owned(), name.to_owned()))
    }

    /// Deletes it from the forge. The handle still reads its git data.
    pub fn remove(&self) {
        let place = self.place();
        place.forge.model().repos.retain(|record| record.id != place.id);
    }

    /// The forge's own id.
    pub fn id(&self) -> u64 {
        self.place().id
    }

    /// `namespace/name` as the forge reports it now.
    pub fn full_name(&self) -> String {
        self.look(Record::full_name)
    }

    /// `pushed_at` as the APIs write it.
    pub fn pushed_at(&self) -> String {
        self.look(|record| time(record.pushed))
    }

    /// The URL for git over HTTP, whatever [`Repo::clone_url`] makes the APIs report.
    pub fn url(&self) -> String {
        format!("{}/{}.git", self.place().forge.base, encode_path(&self.full_name()))
    }

    /// [`Repo::url`] with a token in it, for the test's own git.
    pub fn url_with(&self, token: &str) -> String {
        self.url().replacen("://", &format!("://test:{token}@"), 1)
    }

    /// The URL for ssh; there must be an [`crate::support::Sshd`] for the forge.
    pub fn ssh_url(&self) -> String {
        let ssh = self.place().forge.model().ssh.clone().expect("start an Sshd for this forge first");
        format!("{ssh}{}", self.git_dir().display())
    }

    /// The folder of its host in a storage: `127.0.0.1_<port>`.
    pub fn forge_folder(&self) -> String {
        let base = &self.place().forge.base;
        base.rsplit('/').next().expect("it has a scheme").replace(':', "_")
    }
}
