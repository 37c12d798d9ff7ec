//! What the destinations have in common: looking up without mistaking a failure for an absence, checking what the forge
//! says about a repository, and saying why one could not be made.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use url::Url;

use crate::base::failure::{Failure, Reason};
use crate::base::url::Origin;
use crate::forge::gather::{Home, Raw, shown};
use crate::forge::http::{Answer, Api, Ask, Auth, Refusal};
use crate::forge::{Connection, web_origin};
use crate::model::destination::Target;
use crate::model::{RepoPath, Visibility};

/// The user behind a token.
#[derive(Debug, Clone)]
pub(in crate::forge) struct Me {
    pub(in crate::forge) id: u64,
    pub(in crate::forge) login: String,
}

/// One forge that is written to.
pub(in crate::forge) struct Site {
    pub(in crate::forge) api: Api,
    /// The forge's name, for messages.
    pub(in crate::forge) forge: &'static str,
    home: Home,
    web: Origin,
    ssh: bool,
    me: OnceCell<Me>,
    /// Where our own repositories are, in lower case.
    ours: Mutex<HashSet<String>>,
}

impl Site {
    /// The forge behind `connection`; nothing is sent yet.
    pub(in crate::forge) fn open(connection: &Connection, auth: Auth, forge: &'static str) -> Result<Self, Failure> {
        let web = web_origin(&connection.api_url);
        if connection.token.is_none() {
            let text = format!("there is no token for the destination {web}");
            return Err(Failure::new(Reason::AuthFailed, text).with_hint("give this destination a token."));
        }
        let api = Api::new(connection, auth)?;
        let home = Home::of(connection);
        Ok(Site { api, forge, home, web, ssh: connection.transport_ssh, me: OnceCell::new(), ours: Mutex::default() })
    }

    /// Remembers where our own repositories are.
    pub(in crate::forge) fn know(&self, ours: &[RepoPath]) {
        let ours = ours.iter().map(|path| path.to_string().to_lowercase());
        self.ours.lock().unwrap_or_else(PoisonError::into_inner).extend(ours);
    }

    /// Whether what answers is another repository of ours, which had the name `asked` before: a forge redirects from an old
    /// name until it is given away again.
    pub(in crate::forge) fn has_left(&self, asked: &RepoPath, answer: &Answer) -> bool {
        let Ok(json) = answer.json::<Value>() else { return false };
        let name = json["full_name"].as_str().or_else(|| json["path_with_namespace"].as_str()).unwrap_or_default();
        let name = name.to_lowercase();
        name != asked.to_string().to_lowercase()
            && self.ours.lock().unwrap_or_else(PoisonError::into_inner).contains(&name)
    }

    /// The user behind the token, asked for once.
    pub(in crate::forge) async fn me(&self) -> Result<&Me, Failure> {
        let ask = || async {
            let user: Value = self.api.get(self.api.url(&["user"], &[])).await?;
            let login = user.get("login").or_else(|| user.get("username")).and_then(Value::as_str);
            let login = login.filter(|login| !login.is_empty()).ok_or_else(|| {
                Failure::new(Reason::ServerError, format!("{} does not say who the token belongs to", self.web))
            })?;
            Ok(Me { id: user.get("id").and_then(Value::as_u64).unwrap_or(0), login: login.to_owned() })
        };
        self.me.get_or_try_init(ask).await
    }

    /// As [`Site::me`]; `None` for a token that may not ask who it belongs to, or that belongs to an app.
    pub(in crate::forge) async fn user(&self) -> Result<Option<&Me>, Failure> {
        match self.me().await {
            Ok(me) => Ok(Some(me)),
            Err(failure) if failure.reason() == Reason::Forbidden => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Whether `namespace` is that of the token's user.
    pub(in crate::forge) async fn is_own(&self, namespace: &str) -> Result<bool, Failure> {
        Ok(self.user().await?.is_some_and(|me| me.login.eq_ignore_ascii_case(namespace)))
    }

    /// A GET; `None` when the API itself says that there is no such thing.
    ///
    /// # Errors
    /// Every other answer: it leaves the question open. A 404 that is not the API's own counts as one of them.
    pub(in crate::forge) async fn look(&self, url: Url) -> Result<Option<Answer>, Failure> {
        self.api.look(url).await
    }

    /// A request that changes something.
    pub(in crate::forge) async fn change(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Answer, Refusal> {
        self.api.attempt(&Ask::change(method, url, body)).await
    }

    /// Makes `branch` the default one, and sees that it is. Gitea answers with success and changes nothing while it does not
    /// know the branch (Gitea 1.21, routers/api/v1/repo/repo.go).
    pub(in crate::forge) async fn change_default_branch(
        &self,
        method: Method,
        url: Url,
        branch: &str,
    ) -> Result<(), Failure> {
        let answer = self.change(method, url, Some(&json!({"default_branch": branch}))).await?;
        let now: Value = answer.json()?;
        match now["default_branch"].as_str() {
            Some(now) if now == branch => Ok(()),
            now => {
                let text = format!("{} did not make {branch} the default branch", self.web);
                Err(Failure::new(Reason::ServerError, text)
                    .with_evidence(format!("it is {}", now.unwrap_or("unknown"))))
            }
        }
    }

    /// All entries of a list that comes in pages of 100 and that has no more of them after a shorter one.
    pub(in crate::forge) async fn all(&self, segments: &[&str]) -> Result<Option<Vec<Value>>, Failure> {
        const MOST_PAGES: usize = 100;
        let mut all = Vec::new();
        for page in 1..=MOST_PAGES {
            let url = self.api.url(segments, &[("per_page", "100"), ("page", &page.to_string())]);
            let Some(answer) = self.look(url).await? else { return Ok(None) };
            let entries: Vec<Value> = answer.json()?;
            let last = entries.len() < 100;
            all.extend(entries);
            if last {
                return Ok(Some(all));
            }
        }
        let text = format!("{}: more than {MOST_PAGES} pages of {}", self.web, segments.join("/"));
        Err(Failure::new(Reason::ServerError, text))
    }

    /// The repository that was asked for as `asked`, checked: a renamed one is another, and git is sent to this forge only.
    pub(in crate::forge) fn target(&self, asked: &RepoPath, raw: Raw, pull_mirror: bool) -> Result<Target, Failure> {
        let visibility = raw.visibility;
        let repo = self.home.entry(raw).into_repo()?;
        if !repo.path.to_string().eq_ignore_ascii_case(&asked.to_string()) {
            let text = format!("{asked} on {} is now {}: it was renamed or moved", self.web, repo.path);
            return Err(Failure::new(Reason::Held, text).with_hint(format!(
                "nothing was created or pushed; rename {} back, or mirror to its new name.",
                repo.path
            )));
        }
        if !self.ssh && repo.url.origin() != Some(&self.web) {
            let text = format!("{} gives {} as the URL of {asked}: another origin, not used", self.web, repo.url);
            return Err(Failure::new(Reason::Held, text)
                .with_hint("if that is the same forge, give the address it uses for itself as `api_url`."));
        }
        Ok(Target {
            id: repo.id,
            path: repo.path,
            url: repo.url,
            default_branch: repo.default_branch,
            archived: repo.archived,
            pull_mirror,
            visibility,
        })
    }

    /// The namespace of `path`, for forges without nested ones.
    pub(in crate::forge) fn flat_namespace(&self, path: &RepoPath) -> Result<String, Failure> {
        let namespace = path.namespace();
        if namespace.is_empty() || namespace.contains('/') {
            let text = format!("{path} has no place on {}: it needs exactly one user or organisation", self.forge);
            let hint = "set this destination's `namespace` to one user or organisation.";
            return Err(Failure::new(Reason::PushRejected, text).with_hint(hint));
        }
        Ok(namespace)
    }

    /// The failure of a repository that was said to exist and cannot be seen.
    pub(in crate::forge) fn hidden(&self, path: &RepoPath) -> Failure {
        let text = format!("{path} exists on {}, but the token may not see it", self.web);
        Failure::new(Reason::Forbidden, text).with_hint("give the token access to this repository.")
    }

    /// Why `path` was not created, in words that lead to a way out; `scope` is what the token needs for it.
    ///
    /// Sources of the texts: Gitea's `models/user` and `models/repo` errors and its `[Name]: AlphaDashDot`, GitLab's
    /// `app/models/project.rs` and `NamespacePathValidator`, GitHub's "Validation Failed" answers.
    pub(in crate::forge) fn not_created(&self, path: &RepoPath, refusal: Refusal, scope: &str) -> Failure {
        let said = |parts: &[&str]| parts.iter().any(|part| refusal.says(part));
        let status = refusal.status.map_or(0, |status| status.as_u16());
        let namespace = path.namespace();
        let (reason, why, hint) = match status {
            400 | 403 | 409 | 413 | 422 | 500
                if said(&[
                    "quota",
                    "limit_reached",
                    "project limit",
                    "limit of repositories",
                    "maximum number",
                    // GitHub: "Visibility can't be private. Please upgrade your subscription to create a new private
                    // repository."
                    "upgrade your",
                ]) =>
            {
                let hint = "delete repositories there, raise the limit, or mirror fewer.".to_owned();
                (Reason::Forbidden, "a quota is used up", hint)
            }
            400 | 422 if said(&["visibility"]) => {
                let hint = "set this destination's `visibility` to `private`.".to_owned();
                (Reason::PushRejected, "this visibility is not allowed there", hint)
            }
            400 | 422
                if said(&["reserved", "pattern is not allowed", "alphadashdot", "can contain only", "name is"]) =>
            {
                let hint = format!("the name is reserved or not allowed on {}: map or exclude it.", self.forge);
                (Reason::PushRejected, "the name may not be used", hint)
            }
            403 => {
                let hint = format!("the token needs {scope}, and its user the right to create in {namespace}.");
                (Reason::Forbidden, "the token may not create it", hint)
            }
            404 => {
                let hint = format!("create {namespace} first, or correct this destination's `namespace`.");
                (Reason::RemoteNotFound, "its namespace is not there, or the token may not see it", hint)
            }
            400 | 409 | 422 => {
                let hint = "see what the forge says; then map or exclude the repository.".to_owned();
                (Reason::PushRejected, "the forge refuses it", hint)
            }
            _ => return refusal.failure,
        };
        // Single sign-on and its like name their way out themselves.
        let hint = refusal.failure.hint().map_or(hint, str::to_owned);
        Failure::new(reason, format!("cannot create {path} on {}: {why} ({status})", self.web))
            .with_evidence(refusal.failure.evidence().unwrap_or_default())
            .with_hint(hint)
    }

    /// Says once that a repository is private although more was wished for.
    pub(in crate::forge) fn warn_private(&self, path: &RepoPath) {
        tracing::warn!("{path} is private on {}: it has no internal repositories there.", self.web);
    }

    /// A rule that was put back tighter than it was, because it could not be put back as it was.
    pub(in crate::forge) fn not_put_back(&self, rule: &str, refusal: Refusal) -> Failure {
        let text = format!("the rule {} on {} could not be put back as it was", shown(rule), self.web);
        Failure::new(refusal.failure.reason(), format!("{text}: {}", refusal.failure.message()))
            .with_evidence(refusal.failure.evidence().unwrap_or_default())
            .with_hint(
                "somebody it names may be gone; it is closed as far as the forge allows: set it up again by hand.",
            )
    }

    /// A rule that stands in the way and that we cannot open.
    pub(in crate::forge) fn closed(&self, branch: &str, why: impl AsRef<str>) -> Failure {
        let text = format!("{} is protected on {}: {}", shown(branch), self.web, why.as_ref());
        Failure::new(Reason::ProtectedRefRejected, text)
            .with_hint("change the rule on the forge, or let the destination's `protect` leave this branch alone.")
    }
}

/// A description as every forge takes it: one line without control characters, at most `longest` characters.
pub(in crate::forge) fn description(text: Option<&str>, longest: usize) -> String {
    let words = text.unwrap_or_default().split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(longest) {
        None => line,
        Some(_) => line.chars().take(longest.saturating_sub(1)).chain(['…']).collect(),
    }
}

/// Whether everybody may see it.
pub(in crate::forge) fn is_private(visibility: Visibility) -> bool {
    visibility != Visibility::Public
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_becomes_one_harmless_line_that_fits() {
        assert_eq!(description(Some(" a\n\tb\u{1b}[2J \u{0}c "), 350), "a b [2J c");
        assert_eq!(description(None, 350), "");
        let long = description(Some(&"ü".repeat(400)), 350);
        assert_eq!((long.chars().count(), long.ends_with('…')), (350, true));
        assert_eq!(description(Some(&"ü".repeat(350)), 350), "ü".repeat(350));
    }
}
