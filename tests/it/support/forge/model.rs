//! What the forge knows: accounts, repositories, tokens, and who may see what. The three APIs are faces of this.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::releases::Shelf;
use super::settings::Settings;
use super::terms::Terms;
use crate::support::repo;

/// The user whose token [`super::Forge::token`] is; a member of every organisation that a test does not describe.
pub(super) const DEFAULT_USER: &str = "alice";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AccountKind {
    User,
    Organisation,
}

/// A user, an organisation, or a group (whose path may have several parts).
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) id: u64,
    pub(super) path: String,
    pub(super) kind: AccountKind,
    pub(super) members: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Visibility {
    Public,
    Internal,
    Private,
}

impl Visibility {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Visibility::Public => "public",
            Visibility::Internal => "internal",
            Visibility::Private => "private",
        }
    }
}

/// How a repository belongs to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Affiliation {
    Owner,
    Collaborator,
    Member,
}

/// A repository, without its git data.
#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) id: u64,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) visibility: Visibility,
    pub(super) fork: bool,
    pub(super) archived: bool,
    pub(super) disabled: bool,
    pub(super) blocked: bool,
    pub(super) topics: Vec<String>,
    pub(super) collaborators: BTreeSet<String>,
    pub(super) size_kb: u64,
    pub(super) created: u64,
    pub(super) pushed: u64,
    pub(super) clone_url: Option<String>,
    pub(super) git_dir: PathBuf,
    pub(super) settings: Settings,
    pub(super) releases: Shelf,
}

impl Record {
    pub(super) fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// Whether it has no ref at all; looks at the disk, because a push changes it too.
    pub(super) fn is_empty(&self) -> bool {
        fn has_file(dir: &Path) -> bool {
            std::fs::read_dir(dir).is_ok_and(|mut entries| {
                entries.any(|entry| entry.is_ok_and(|entry| entry.path().is_file() || has_file(&entry.path())))
            })
        }
        !self.git_dir.join("packed-refs").exists() && !has_file(&self.git_dir.join("refs"))
    }

    /// What the forge says is the default branch. Gitea remembers it beside git's HEAD, and the two can differ; once HEAD was
    /// changed by hand, that counts.
    pub(super) fn default_branch(&self) -> String {
        let head = repo::head_of(&self.git_dir);
        let remembered = std::fs::read_to_string(self.git_dir.join("forge-default")).unwrap_or_default();
        if let Some((said, _)) = remembered.trim().split_once('\n').filter(|(_, seen)| *seen == head) {
            return said.to_owned();
        }
        head.strip_prefix("refs/heads/").unwrap_or(&head).to_owned()
    }
}

#[derive(Default)]
pub(super) struct Model {
    pub(super) accounts: Vec<Account>,
    pub(super) repos: Vec<Record>,
    /// Token to user.
    pub(super) tokens: BTreeMap<String, String>,
    /// Old full name (lower case) to repository id.
    pub(super) moved: BTreeMap<String, u64>,
    /// The most repositories in one page, when a test wants small pages.
    pub(super) page_size: Option<usize>,
    /// `ssh://user@host:port`.
    pub(super) ssh: Option<String>,
    /// `http://host:port` of the second host, where the bytes of assets lie.
    pub(super) storage: String,
    /// How it treats those who write.
    pub(super) terms: Terms,
    clock: u64,
    ids: u64,
}

impl Model {
    /// A new id: users, organisations and repositories count together.
    pub(super) fn next_id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// A new moment, one minute after the last.
    pub(super) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// The account with this path, made as an organisation (with its parents) when it is new.
    pub(super) fn account(&mut self, path: &str) -> &mut Account {
        if let Some(index) = self.accounts.iter().position(|account| account.path == path) {
            return &mut self.accounts[index];
        }
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.account(parent);
        }
        let members = if path.contains('/') { BTreeSet::new() } else { BTreeSet::from([DEFAULT_USER.to_owned()]) };
        self.add_account(path, AccountKind::Organisation, members)
    }

    pub(super) fn add_account(&mut self, path: &str, kind: AccountKind, members: BTreeSet<String>) -> &mut Account {
        let id = self.next_id();
        self.accounts.push(Account { id, path: path.to_owned(), kind, members });
        self.accounts.last_mut().expect("just pushed")
    }

    pub(super) fn find_account(&self, path: &str) -> Option<&Account> {
        self.accounts.iter().find(|account| account.path.eq_ignore_ascii_case(path))
    }

    pub(super) fn record(&self, id: u64) -> Option<&Record> {
        self.repos.iter().find(|record| record.id == id)
    }

    pub(super) fn record_mut(&mut self, id: u64) -> Option<&mut Record> {
        self.repos.iter_mut().find(|record| record.id == id)
    }

    /// The repository of this name; spelled exactly so, or else in other letter case.
    pub(super) fn find(&self, full_name: &str) -> Option<&Record> {
        let exact = self.repos.iter().find(|record| record.full_name() == full_name);
        exact.or_else(|| self.repos.iter().find(|record| record.full_name().eq_ignore_ascii_case(full_name)))
    }

    /// The repository that once had this name, when no other has it now.
    pub(super) fn find_moved(&self, full_name: &str) -> Option<&Record> {
        self.moved.get(&full_name.to_lowercase()).and_then(|id| self.record(*id))
    }

    /// How a repository belongs to a user; groups pass their members on to their subgroups.
    pub(super) fn affiliation(&self, record: &Record, user: &str) -> Option<Affiliation> {
        if record.namespace.eq_ignore_ascii_case(user) {
            return Some(Affiliation::Owner);
        }
        if record.collaborators.contains(user) {
            return Some(Affiliation::Collaborator);
        }
        self.is_member(&record.namespace, user).then_some(Affiliation::Member)
    }

    pub(super) fn is_member(&self, namespace: &str, user: &str) -> bool {
        self.accounts.iter().any(|account| {
            let within = namespace
                .strip_prefix(account.path.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            within && account.members.contains(user)
        })
    }

    pub(super) fn can_see(&self, record: &Record, viewer: Option<&str>) -> bool {
        match (record.visibility, viewer) {
            (Visibility::Public, _) | (Visibility::Internal, Some(_)) => true,
            (_, None) => false,
            (Visibility::Private, Some(user)) => self.affiliation(record, user).is_some(),
        }
    }
}

/// A moment of the forge's clock as the APIs write it.
pub(super) fn time(tick: u64) -> String {
    let seconds = 1_767_225_600 + 60 * i64::try_from(tick).expect("a test has few moments");
    Timestamp::from_second(seconds).expect("a moment of our time").to_string()
}
