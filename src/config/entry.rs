//! One entry of `sources` or `destinations`, checked: what both have. `server.rs` checks the server and its token.

use std::path::{Path, PathBuf};

use super::absolute;
use super::interpolate::is_name;
use super::layers::{Layers, SetBy};
use super::problem::Problem;
use super::raw::{RawKind, RawToken};
use super::tree::Step;
use crate::base::secret::SecretSource;
use crate::model::ForgeKind;

/// The list that an entry stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Sources,
    Destinations,
}

impl List {
    /// Its key in the file.
    pub fn key(self) -> &'static str {
        match self {
            List::Sources => "sources",
            List::Destinations => "destinations",
        }
    }

    /// One of its entries; also the flag that names them.
    pub fn noun(self) -> &'static str {
        match self {
            List::Sources => "source",
            List::Destinations => "destination",
        }
    }
}

/// An entry before it is checked.
#[derive(Debug, Clone)]
pub(super) struct Draft<R> {
    pub raw: R,
    pub server: RawServer,
    pub list: List,
    /// What stands behind it; plain git is [`RawKind::Urls`]: a server without an API.
    pub kind: RawKind,
    pub id: String,
    /// The id that it had before its kind's own name became the usual one; records of older runs have it.
    pub former_id: Option<String>,
    /// Its place in the file's list; `None` when flags and environment made it.
    pub at: Option<usize>,
    /// Who asked for it, when it is not the file's.
    pub set_by: SetBy,
}

/// What sources and destinations alike say about their server.
#[derive(Debug, Clone, Default)]
pub(super) struct RawServer {
    pub host: Option<String>,
    pub api_url: Option<String>,
    pub token: Option<RawToken>,
    pub user: Option<String>,
    pub proxy: Option<String>,
}

/// What has to be known of an entry to check it.
pub(super) struct Checker<'l, 'a, R> {
    pub layers: &'l mut Layers<'a>,
    pub draft: Draft<R>,
    /// What the keys of its origins begin with, such as `sources[0]`.
    prefix: String,
    /// Relative paths of the file start here.
    pub base: PathBuf,
}

/// Letters, digits, `.`, `_` and `-` only: an id stands in reports, in the store and in names of variables.
pub(super) fn check_id(layers: &mut Layers<'_>, place: &str, key: &str, id: &str) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if id.is_empty() || !id.chars().all(allowed) {
        layers.problems.push(
            Problem::new(place, format!("`{key}` cannot be `{id}`"))
                .hint("write letters, digits, `.`, `_` and `-` only"),
        );
    }
}

impl<'l, 'a, R> Checker<'l, 'a, R> {
    pub fn new(layers: &'l mut Layers<'a>, draft: Draft<R>, prefix: String) -> Self {
        let base = match (draft.at, layers.file) {
            (Some(_), Some(file)) => file.directory.clone(),
            _ => layers.env.directory().to_owned(),
        };
        Checker { layers, draft, prefix, base }
    }

    pub fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    /// The way to a key (`ssh.passphrase`) in the file, when the entry stands there.
    pub fn in_file(&self, key: &str) -> Option<Vec<Step>> {
        let entry = [Step::Key(self.draft.list.key().into()), Step::Item(self.draft.at?)];
        Some(entry.into_iter().chain(key.split('.').map(|part| Step::Key(part.into()))).collect())
    }

    /// Where a key of this entry stands, for messages.
    pub fn place(&self, key: &str) -> String {
        if let typed @ (SetBy::Flag(_) | SetBy::Variable { .. }) = self.layers.origins.get(&self.key(key)) {
            return typed.to_string();
        }
        match (self.in_file(key), self.layers.file, &self.draft.set_by) {
            (Some(path), Some(file), _) => file.place(&path),
            (_, _, SetBy::Default) => String::new(),
            (_, _, set_by) => set_by.to_string(),
        }
    }

    pub fn problem(&mut self, key: &str, message: impl AsRef<str>, hint: impl AsRef<str>) {
        let problem = Problem::new(self.place(key), message).hint(hint);
        self.layers.problems.push(problem);
    }

    pub fn absolute(&self, path: &Path) -> PathBuf {
        absolute(path, &self.base, self.layers.env)
    }

    pub fn origin(&mut self, key: &str, set_by: SetBy) {
        self.layers.origins.set(self.key(key), set_by);
    }

    /// Notes that a key's value is the file's, when it is.
    pub fn value<T>(&mut self, key: &str, value: Option<T>) -> Option<T> {
        if value.is_some()
            && let Some(path) = self.in_file(key)
        {
            let set_by = self.layers.set_by_file(&path);
            self.origin(key, set_by);
        }
        value
    }

    /// A list that a flag or a variable replaces in every source.
    pub fn list<T: Clone>(&mut self, key: &str, flag: &str, typed: [&[T]; 2], own: Option<Vec<T>>) -> Option<Vec<T>> {
        let [flags, env] = typed;
        if !flags.is_empty() {
            self.origin(key, SetBy::Flag(format!("--{flag}")));
            return Some(flags.to_vec());
        }
        if !env.is_empty() {
            let set_by = self.layers.set_by_variable(&crate::config::variable(flag));
            self.origin(key, set_by);
            return Some(env.to_vec());
        }
        self.value(key, own)
    }

    /// The user name that goes with the token: as the entry says, the variable's `variable`, or the kind's.
    pub fn user(&mut self, variable: Option<(String, String)>) -> String {
        let given = self.draft.server.user.clone();
        if let Some(user) = self.value("user", given) {
            if user.is_empty() || user.contains(':') {
                self.problem("user", format!("`user` cannot be `{user}`"), "write the user name only");
            }
            return user;
        }
        if let Some((name, user)) = variable {
            let set_by = self.layers.set_by_variable(&name);
            self.origin("user", set_by);
            return user;
        }
        match self.draft.kind.forge() {
            ForgeKind::Github => "x-access-token",
            ForgeKind::Gitlab => "oauth2",
            ForgeKind::Gitea | ForgeKind::Dir | ForgeKind::Urls => "git",
        }
        .to_owned()
    }

    /// The proxy for API and git.
    pub fn proxy(&mut self) -> Option<url::Url> {
        let text = self.value("proxy", self.draft.server.proxy.clone())?;
        let hint = "write `http://host:port` or `socks5://host:port`";
        match url::Url::parse(&text) {
            Ok(url) if url.password().is_some() || !url.username().is_empty() => {
                self.problem(
                    "proxy",
                    "`proxy` has a user or password in it",
                    "leave `proxy` out and set HTTPS_PROXY in the environment: API and git read it",
                );
                None
            }
            Ok(url) if matches!(url.scheme(), "http" | "https" | "socks5" | "socks5h") && url.has_host() => Some(url),
            Ok(_) => {
                self.problem("proxy", "`proxy` is not the URL of a proxy", hint);
                None
            }
            Err(error) => {
                self.problem("proxy", format!("`proxy` is not a URL: {error}"), hint);
                None
            }
        }
    }

    /// Where a secret is read from.
    pub fn secret(&mut self, key: &str, raw: RawToken) -> Option<SecretSource> {
        let base = &self.base;
        let given: Vec<SecretSource> = [
            raw.env.map(SecretSource::Env),
            raw.file.map(|path| SecretSource::File(absolute(&path, base, self.layers.env))),
            raw.command.map(SecretSource::Command),
        ]
        .into_iter()
        .flatten()
        .collect();
        let hint = format!("write `{}: {{env: NAME}}`", key.rsplit('.').next().unwrap_or(key));
        match <[_; 1]>::try_from(given) {
            Ok([SecretSource::Env(name)]) if !is_name(&name) => {
                // It may be the token itself: it is not shown.
                self.problem(key, format!("`{key}.env` is not the name of a variable"), hint);
                None
            }
            Ok([source]) => Some(source),
            Err(_) => {
                self.problem(key, format!("`{key}` needs exactly one of `env`, `file` and `command`"), hint);
                None
            }
        }
    }
}
