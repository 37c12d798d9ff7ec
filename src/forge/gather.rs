//! From what a forge sends to the model: checked names and URLs, and one listing out of many pages.

use std::collections::{BTreeSet, HashSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::base::failure::{Failure, Reason};
use crate::base::url::{Origin, RemoteUrl};
use crate::forge::http::paging::{Item, PageFailed};
use crate::forge::http::status::quote;
use crate::forge::{Connection, Listing, Refused, web_origin};
use crate::model::{Repo, RepoPath, RepoState, Visibility};

/// What all repositories of one source have in common.
#[derive(Debug, Clone)]
pub(in crate::forge) struct Home {
    source: String,
    folder: String,
    ssh: bool,
    web: Option<Origin>,
}

/// A repository as a forge's JSON names it, before anything was checked.
#[derive(Debug, Default)]
pub(in crate::forge) struct Raw {
    pub(in crate::forge) id: u64,
    /// `namespace/name`.
    pub(in crate::forge) full_name: String,
    pub(in crate::forge) http_url: Option<String>,
    pub(in crate::forge) ssh_url: Option<String>,
    pub(in crate::forge) default_branch: Option<String>,
    pub(in crate::forge) pushed_at: Option<Timestamp>,
    pub(in crate::forge) size_kib: Option<u64>,
    pub(in crate::forge) visibility: Option<Visibility>,
    pub(in crate::forge) fork: bool,
    pub(in crate::forge) archived: bool,
    pub(in crate::forge) state: Option<RepoState>,
    pub(in crate::forge) topics: Vec<String>,
    pub(in crate::forge) description: Option<String>,
    /// The listing says that releases are switched off.
    pub(in crate::forge) releases_off: bool,
}

/// A repository of a listing, or why it cannot be one of ours.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::forge) enum Entry {
    Repo(Box<Repo>),
    Refused { id: String, what: String, failure: Failure },
}

impl Item for Entry {
    fn id(&self) -> &str {
        match self {
            Entry::Repo(repo) => &repo.id,
            Entry::Refused { id, .. } => id,
        }
    }
}

impl Entry {
    /// Whether it lies directly in this namespace.
    pub(in crate::forge) fn is_of(&self, owner: &str) -> bool {
        match self {
            Entry::Repo(repo) => repo.path.namespace().eq_ignore_ascii_case(owner),
            Entry::Refused { what, .. } => {
                what.split_once('/').is_some_and(|(first, _)| first.eq_ignore_ascii_case(owner))
            }
        }
    }

    /// The repository, or the failure that stands for it.
    pub(in crate::forge) fn into_repo(self) -> Result<Repo, Failure> {
        match self {
            Entry::Repo(repo) => Ok(*repo),
            Entry::Refused { failure, .. } => Err(failure),
        }
    }
}

impl Home {
    /// The home of what `connection` lists.
    pub(in crate::forge) fn of(connection: &Connection) -> Self {
        Home {
            source: connection.source_id.clone(),
            folder: web_origin(&connection.api_url).folder(),
            ssh: connection.transport_ssh,
            web: connection.api_host.then(|| web_origin(&connection.api_url)),
        }
    }

    /// Checks name and URL of a repository; both come from a server and are used as a path and by git.
    pub(in crate::forge) fn entry(&self, raw: Raw) -> Entry {
        let id = raw.id.to_string();
        let url = if self.ssh { &raw.ssh_url } else { &raw.http_url };
        let checked = RepoPath::parse(&raw.full_name)
            .map_err(|error| refuse_name(&raw.full_name, &error.to_string()))
            .and_then(|path| Ok((path, self.clone_url(&raw.full_name, url.as_deref())?)));
        let (path, url) = match checked {
            Ok(checked) => checked,
            Err(failure) => return Entry::Refused { id, what: shown(&raw.full_name), failure },
        };
        Entry::Repo(Box::new(Repo {
            source: self.source.clone(),
            folder: self.folder.clone(),
            id,
            path,
            url,
            default_branch: raw.default_branch.filter(|branch| !branch.is_empty()),
            pushed_at: raw.pushed_at,
            size_kib: raw.size_kib,
            visibility: raw.visibility.unwrap_or(Visibility::Private),
            fork: raw.fork,
            archived: raw.archived,
            state: raw.state.unwrap_or(RepoState::Ready),
            topics: raw.topics.into_iter().collect::<BTreeSet<_>>(),
            description: raw.description.filter(|text| !text.is_empty()),
            releases_off: raw.releases_off,
        }))
    }

    /// A clone URL that goes over the network: a server must not make git read this machine's own files.
    fn clone_url(&self, full_name: &str, text: Option<&str>) -> Result<RemoteUrl, Failure> {
        let transport = if self.ssh { "ssh" } else { "https" };
        let refuse = |why: &str| {
            Failure::new(Reason::Held, format!("the {transport} URL of {} is not used: {why}", shown(full_name)))
                .with_evidence(quote(text.unwrap_or_default().as_bytes()))
        };
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return Err(refuse("the forge gives none").with_hint("try the other `transport` (https or ssh)."));
        };
        let url = RemoteUrl::parse(text).map_err(|error| refuse(&error.to_string()))?;
        let is_ssh = url.host().is_some() && url.origin().is_none_or(|origin| origin.scheme == "ssh");
        let fits = if self.ssh { is_ssh } else { url.is_http() };
        if let Some(web) = self.web.as_ref().filter(|_| fits && !self.ssh) {
            return Ok(url.at(web));
        }
        if fits { Ok(url) } else { Err(refuse("it is of another kind").with_hint("tell the forge's operator.")) }
    }
}

/// The failure of a repository whose name may not become a path.
pub(in crate::forge) fn refuse_name(name: &str, why: &str) -> Failure {
    Failure::new(Reason::Held, format!("the name {} cannot become a path: {why}", shown(name)))
        .with_hint("rename the repository at its source.")
}

/// A name from outside, as it may be shown.
pub(in crate::forge) fn shown(name: &str) -> String {
    quote(name.escape_debug().to_string().as_bytes())
}

/// A time as forges write it; Gitea writes the year 1 for never.
pub(in crate::forge) fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok().filter(|time: &Timestamp| *time > Timestamp::UNIX_EPOCH)
}

/// `visibility` as GitHub and GitLab write it.
pub(in crate::forge) fn visibility(text: Option<&str>) -> Option<Visibility> {
    match text? {
        "public" => Some(Visibility::Public),
        "internal" => Some(Visibility::Internal),
        "private" => Some(Visibility::Private),
        _ => None,
    }
}

/// One listing in the making: what comes twice (a repository that moved while we paged, or that is both ours and an
/// organisation's) counts once.
pub(in crate::forge) struct Gathering<'a> {
    listing: Listing,
    ids: HashSet<String>,
    seen: &'a (dyn Fn(usize) + Send + Sync),
}

impl<'a> Gathering<'a> {
    /// An empty one; `seen` is told how many repositories there are after each page.
    pub(in crate::forge) fn new(seen: &'a (dyn Fn(usize) + Send + Sync)) -> Self {
        Gathering { listing: Listing::default(), ids: HashSet::new(), seen }
    }

    /// Adds a page.
    pub(in crate::forge) fn take(&mut self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            if !self.ids.insert(entry.id().to_owned()) {
                continue;
            }
            match entry {
                Entry::Repo(repo) => self.listing.repos.push(*repo),
                Entry::Refused { what, failure, .. } => self.listing.refused.push(Refused { what, failure }),
            }
        }
        (self.seen)(self.listing.repos.len());
    }

    /// The owners that can be asked for; a name like `..` would turn the URL into another one, and is refused.
    pub(in crate::forge) fn owners<'o>(&mut self, owners: &'o [String]) -> Vec<&'o str> {
        let mut fit = Vec::new();
        for owner in owners {
            match RepoPath::parse(owner) {
                Ok(_) => fit.push(owner.as_str()),
                Err(error) => {
                    let text = format!("{} is no name of an owner: {error}", shown(owner));
                    self.refuse(owner, Failure::new(Reason::RemoteNotFound, text).with_hint("check `owners`."));
                }
            }
        }
        fit
    }

    /// Notes what a person should know and what makes no part of the listing untrue.
    pub(in crate::forge) fn warn(&mut self, text: String) {
        self.listing.warnings.push(text);
    }

    /// Notes that the organisations of the token's user may not be listed; `scope` is what the token lacks.
    pub(in crate::forge) fn lacks_organisations(&mut self, failure: &Failure, scope: &str) {
        self.warn(format!(
            "the token lacks the scope {scope}, so that repositories of organisations may be missing in which its user is \
             on no team: give the token that scope, or name the organisations with `owners` ({})",
            failure.message()
        ));
    }

    /// Notes a part that was refused for itself.
    pub(in crate::forge) fn refuse(&mut self, what: &str, failure: Failure) {
        self.listing.refused.push(Refused { what: shown(what), failure });
    }

    /// Notes a refusal of the part `what`, and lets every other failure through.
    pub(in crate::forge) fn refuse_or_fail(&mut self, what: &str, failed: PageFailed) -> Result<(), Failure> {
        if !failed.is_refusal() {
            return Err(failed.into());
        }
        self.refuse(what, of_owner(failed.failure));
        Ok(())
    }

    /// The listing.
    pub(in crate::forge) fn done(self) -> Listing {
        self.listing
    }
}

/// The refusal of what an owner has, with a way out that speaks of owners and not of one repository.
fn of_owner(failure: Failure) -> Failure {
    let hint = match failure.reason() {
        _ if failure.hint().is_some() => return failure,
        Reason::Forbidden => "give the token access to this owner's repositories, or leave the owner out.",
        Reason::RemoteNotFound => "check the name: the token sees no such owner.",
        Reason::Blocked => "the forge has blocked this owner; its mirrors on disk are kept.",
        _ => return failure,
    };
    failure.with_hint(hint)
}

/// The failure of the very first listing: what a wrong address or an unfit token look like.
pub(in crate::forge) fn at_the_entrance(failed: PageFailed) -> Failure {
    let failure = Failure::from(failed);
    match failure.reason() {
        Reason::RemoteNotFound => failure.with_hint("check `api_url`: there is no such API at this address."),
        Reason::Forbidden if failure.hint().is_none() => {
            failure.with_hint("this token may not list repositories: give it that right, or name `owners`.")
        }
        _ => failure,
    }
}

/// Refuses a source that would list nothing, or a whole forge's public repositories.
pub(in crate::forge) fn check_scope(connection: &Connection) -> Result<(), Failure> {
    if connection.token.is_some() || !connection.owners.is_empty() {
        return Ok(());
    }
    let text = format!("there is neither a token nor an owner for {}", web_origin(&connection.api_url));
    Err(Failure::new(Reason::AuthFailed, text).with_hint("give a token, or name owners with public repositories."))
}

/// Refuses what cannot be an id of a forge before it becomes part of a URL.
pub(in crate::forge) fn check_id(id: &str) -> Result<(), Failure> {
    if !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    Err(Failure::new(Reason::Unknown, format!("{} is no repository id of a forge", shown(id))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(ssh: bool) -> Home {
        Home { source: "s".into(), folder: "h".into(), ssh, web: None }
    }

    fn entry(ssh: bool, full_name: &str, url: &str) -> Entry {
        let url = Some(url.to_owned());
        home(ssh).entry(Raw {
            id: 7,
            full_name: full_name.into(),
            http_url: url.clone(),
            ssh_url: url,
            ..Raw::default()
        })
    }

    fn refusal(entry: Entry) -> (String, Failure) {
        match entry {
            Entry::Refused { what, failure, .. } => (what, failure),
            Entry::Repo(repo) => panic!("not refused: {repo:?}"),
        }
    }

    #[test]
    fn a_hostile_name_is_refused_by_name_and_shown_harmlessly() {
        for name in ["ns/..", "../x", "ns/a\\b", "ns/\u{1b}[2J", "", "ns/", &format!("ns/{}", "x".repeat(300))] {
            let (what, failure) = refusal(entry(false, name, "https://h/ns/x.git"));
            assert_eq!(failure.reason(), Reason::Held, "{name}");
            assert!(!what.contains('\u{1b}') && !failure.message().contains('\u{1b}'), "{what}");
        }
        for name in ["ns/-oProxyCommand=x", "ns/a b", "ns/Ünï"] {
            assert!(entry(false, name, "https://h/ns/x.git").into_repo().is_ok(), "{name}");
        }
    }

    #[test]
    fn a_server_cannot_make_git_read_local_files_or_run_helpers() {
        for url in ["/etc", "file:///srv/x", "ext::sh -c id", "--upload-pack=x", "git://h/x", "git@h:x", ""] {
            refusal(entry(false, "ns/x", url));
        }
        for url in ["/etc", "file:///srv/x", "ssh://-oProxyCommand=x/y", "git://h/x", "https://h/x", "-h:x"] {
            refusal(entry(true, "ns/x", url));
        }
        for url in ["git@h:ns/x.git", "ssh://git@h:2222/ns/x.git"] {
            assert_eq!(entry(true, "ns/x", url).into_repo().unwrap().url.to_string(), url);
        }
    }

    #[test]
    fn a_clone_url_loses_its_password_and_keeps_its_host() {
        let repo = entry(false, "ns/x", "https://u:hunter2@elsewhere.example/ns/x.git").into_repo().unwrap();
        assert_eq!(repo.url.to_string(), "https://elsewhere.example/ns/x.git");
        assert_eq!(repo.folder, "h");
    }

    #[test]
    fn the_host_of_the_api_takes_the_place_of_a_wrong_one_when_that_is_asked_for() {
        let web = Some(Origin::new("https", "git.example.org", Some(8443)));
        let raw = || Raw {
            id: 7,
            full_name: "ns/x".into(),
            http_url: Some("http://localhost:3000/ns/x.git".into()),
            ssh_url: Some("git@localhost:ns/x.git".into()),
            ..Raw::default()
        };
        let home = Home { web, ..home(false) };
        assert_eq!(home.entry(raw()).into_repo().unwrap().url.to_string(), "https://git.example.org:8443/ns/x.git");
        let home = Home { ssh: true, ..home };
        assert_eq!(home.entry(raw()).into_repo().unwrap().url.to_string(), "git@localhost:ns/x.git");
    }

    #[test]
    fn the_year_one_is_no_time() {
        assert_eq!(time(Some("0001-01-01T00:00:00Z")), None);
        assert_eq!(time(Some("2026-11-20T23:26:47+01:00")), time(Some("2026-11-20T22:26:47Z")));
        assert!(time(Some("2026-11-20T22:26:47.123Z")).is_some());
    }
}
