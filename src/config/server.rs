//! The server of a source or destination: the URL of its API, and the token that belongs to it.

use super::entry::{Checker, List};
use super::environment::Environment;
use super::problem::Problem;
use super::raw::RawKind;
use crate::base::secret::SecretSource;
use crate::model::ForgeKind;

pub(super) const CODEBERG: &str = "https://codeberg.org/api/v1";

/// The variables whose tokens belong to the server of their kind, whatever an entry is called.
const TOKENS_OF_KINDS: [&str; 5] = ["GITHUB_TOKEN", "GITLAB_TOKEN", "GITEA_TOKEN", "FORGEJO_TOKEN", CODEBERG_TOKEN];

const CODEBERG_TOKEN: &str = "CODEBERG_TOKEN";

impl<R> Checker<'_, '_, R> {
    /// The API's URL: given, made from `host`, or the one of its kind.
    pub fn api_url(&mut self) -> Option<url::Url> {
        let kind = self.draft.kind.forge();
        if !kind.is_forge() {
            return None;
        }
        let (host, api_url) = (self.draft.server.host.clone(), self.draft.server.api_url.clone());
        if host.is_some() && api_url.is_some() {
            self.problem("api_url", "both `host` and `api_url` are given", "keep one of the two");
        }
        if let Some(text) = self.value("api_url", api_url) {
            return self.parse_api(&text, "api_url", self.place("api_url"));
        }
        if let Some(host) = self.value("host", host) {
            self.layers.origins.set(self.key("api_url"), self.layers.origins.get(&self.key("host")).clone());
            if host.contains('/') || host.contains('@') {
                self.problem("host", format!("`{host}` is not a host name"), "write a full URL as `api_url` instead");
                return None;
            }
            return self.parse_api(&api_of_host(kind, &host), "host", self.place("host"));
        }
        if self.draft.kind == RawKind::Codeberg {
            return self.parse_api(CODEBERG, "kind", String::new());
        }
        if let Some((name, text)) = api_variable(self.layers.env, kind) {
            let set_by = self.layers.set_by_variable(name);
            self.origin("api_url", set_by.clone());
            // Runners of Forgejo Actions set GITHUB_API_URL to their own server.
            if kind == ForgeKind::Github && text.trim_end_matches('/').ends_with("/api/v1") {
                self.layers.problems.push(
                    Problem::new(set_by, format!("`{text}` is the API of a Gitea or Forgejo, not of GitHub"))
                        .hint("write `host: github.com` in the configuration file, or set GITHUB_API_URL"),
                );
                return None;
            }
            return self.parse_api(&text, name, set_by.to_string());
        }
        match kind {
            ForgeKind::Github | ForgeKind::Gitlab => self.parse_api(home_api(kind), "api_url", String::new()),
            _ => {
                let hint = match self.draft.at {
                    Some(_) => "add `host: git.example.org`, or write `kind: codeberg`".to_owned(),
                    None => format!(
                        "set GITEA_API_URL, for example to {CODEBERG}, or write `--{} codeberg`",
                        self.draft.list.noun()
                    ),
                };
                self.problem("kind", "it is not known which Gitea or Forgejo is meant", hint);
                None
            }
        }
    }

    fn parse_api(&mut self, text: &str, key: &str, place: String) -> Option<url::Url> {
        let refuse = |message: String, hint: &str| Some(Problem::new(&place, message).hint(hint));
        let wrong = match url::Url::parse(text) {
            Err(error) => refuse(format!("`{key}` is not a URL: {error}"), "write `https://host/path`"),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => {
                refuse(format!("`{key}` has the scheme `{}`", url.scheme()), "write an `https://` URL")
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => refuse(
                format!("`{key}` has a user or password in it"),
                "take it out, and say where the token is read from with `token`",
            ),
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                refuse(format!("`{key}` has a `?` or `#` in it"), "write the base URL of the API only")
            }
            Ok(mut url) => {
                let path = url.path().trim_end_matches('/').to_owned();
                url.set_path(&path);
                return Some(url);
            }
        };
        self.layers.problems.extend(wrong);
        None
    }

    /// Where the token is read from: as the entry says; else, of a destination, the variable of its name; else the
    /// variable of its kind if that belongs to this host.
    pub fn token(&mut self, api: Option<&url::Url>) -> Option<SecretSource> {
        if let Some(token) = self.value("token", self.draft.server.token.clone()) {
            return self.secret("token", token);
        }
        let (env, kind) = (self.layers.env, self.draft.kind);
        let prefix = prefix(&self.draft.id);
        let named = match self.draft.list {
            // The file says that it is Codeberg, wherever that may be.
            List::Destinations if kind == RawKind::Codeberg && prefix == "CODEBERG" && is_set(env, CODEBERG_TOKEN) => {
                Some(CODEBERG_TOKEN.to_owned())
            }
            List::Destinations => token_variable(env, &prefix),
            List::Sources => None,
        };
        let name = named.or_else(|| token_of_server(env, kind, api?).map(str::to_owned))?;
        let set_by = self.layers.set_by_variable(&name);
        self.origin("token", set_by);
        Some(SecretSource::Env(name))
    }

    /// Whether the entry has a token of its own; if it cannot be used, that was told.
    pub fn says_token(&self) -> bool {
        self.draft.server.token.is_some()
    }
}

/// What the variables of an id begin with: `my-lab` has `MY_LAB_TOKEN`.
pub(super) fn prefix(id: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    id.chars().map(letter).collect()
}

/// The variables that an entry's name can give it a token by.
pub(super) fn names_of_tokens(prefix: &str) -> [String; 3] {
    ["TOKEN", "PASS", "PASSWORD"].map(|end| format!("{prefix}_{end}"))
}

/// The first of `<PREFIX>_TOKEN`, `_PASS` and `_PASSWORD` that is set.
///
/// `GITHUB_TOKEN` and its like are left out: an entry that is called `github` may be another server than theirs.
pub(super) fn token_variable(env: &dyn Environment, prefix: &str) -> Option<String> {
    names_of_tokens(prefix).into_iter().find(|name| !TOKENS_OF_KINDS.contains(&name.as_str()) && is_set(env, name))
}

/// `<PREFIX>_USER` and its value.
pub(super) fn user_variable(env: &dyn Environment, prefix: &str) -> Option<(String, String)> {
    let name = format!("{prefix}_USER");
    let user = env.var(&name)?.trim().to_owned();
    (!user.is_empty() && !user.contains(':')).then_some((name, user))
}

/// The variable that has the token of this API's server: the first that is set.
pub(super) fn token_of_server(env: &dyn Environment, kind: RawKind, api: &url::Url) -> Option<&'static str> {
    token_names(env, kind, api).into_iter().find(|name| is_set(env, name))
}

/// The API of Codeberg.
pub(super) fn codeberg() -> Option<url::Url> {
    url::Url::parse(CODEBERG).ok()
}

/// The API that the variables of a kind belong to: that of `…_API_URL`, else the kind's public server.
pub(super) fn home(env: &dyn Environment, kind: ForgeKind) -> Option<url::Url> {
    if !kind.is_forge() {
        return None;
    }
    let text = api_variable(env, kind).map_or(home_api(kind).to_owned(), |(_, text)| text);
    url::Url::parse(&text).ok()
}

/// The variables that may have the token of this API's server, the nearest first.
///
/// A token belongs to one host: the kind's own server, that of `…_API_URL`, or Codeberg. Another server of the same kind
/// must say which token is its own.
pub(super) fn token_names(env: &dyn Environment, kind: RawKind, api: &url::Url) -> Vec<&'static str> {
    let is_here = |home: Option<url::Url>| home.is_some_and(|home| home.origin() == api.origin());
    let of_kind: &[&str] = match kind {
        RawKind::Github => &["GITHUB_TOKEN"],
        RawKind::Gitlab => &["GITLAB_TOKEN"],
        RawKind::Forgejo => &["FORGEJO_TOKEN", "GITEA_TOKEN"],
        RawKind::Gitea | RawKind::Codeberg => &["GITEA_TOKEN", "FORGEJO_TOKEN"],
        RawKind::Dir | RawKind::Urls => &[],
    };
    let own = (kind.forge() == ForgeKind::Gitea && is_here(codeberg())).then_some(CODEBERG_TOKEN);
    let of_kind = of_kind.iter().copied().filter(|_| is_here(home(env, kind.forge())));
    own.into_iter().chain(of_kind).collect()
}

pub(super) fn is_set(env: &dyn Environment, name: &str) -> bool {
    env.var(name).is_some_and(|value| !value.trim().is_empty())
}

fn home_api(kind: ForgeKind) -> &'static str {
    match kind {
        ForgeKind::Github => "https://api.github.com",
        ForgeKind::Gitlab => "https://gitlab.com/api/v4",
        _ => CODEBERG,
    }
}

/// The variable that sets the API's URL of a kind, with its value.
fn api_variable(env: &dyn Environment, kind: ForgeKind) -> Option<(&'static str, String)> {
    let name = match kind {
        ForgeKind::Github => "GITHUB_API_URL",
        ForgeKind::Gitlab => "GITLAB_API_URL",
        ForgeKind::Gitea => "GITEA_API_URL",
        ForgeKind::Dir | ForgeKind::Urls => return None,
    };
    env.var(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).map(|text| (name, text))
}

/// Where a forge has its API: GitHub.com on a host of its own, all others below a path.
fn api_of_host(kind: ForgeKind, host: &str) -> String {
    match kind {
        ForgeKind::Github if matches!(host, "github.com" | "www.github.com" | "api.github.com") => {
            "https://api.github.com".to_owned()
        }
        ForgeKind::Github => format!("https://{host}/api/v3"),
        ForgeKind::Gitlab => format!("https://{host}/api/v4"),
        _ => format!("https://{host}/api/v1"),
    }
}
