//! A forge of a source: the URL of its API, and the token that belongs to it.

use super::check::Checker;
use crate::config::absolute;
use crate::config::interpolate::is_name;
use crate::config::layers::Layers;
use crate::config::problem::Problem;
use crate::config::raw::{RawKind, RawSource};
use crate::model::ForgeKind;
use crate::secret::SecretSource;

const CODEBERG: &str = "https://codeberg.org/api/v1";

impl Checker<'_, '_> {
    /// The API's URL: given, made from `host`, or the one of its kind.
    pub fn api_url(&mut self) -> Option<url::Url> {
        let kind = self.draft.kind.forge();
        if !kind.is_forge() {
            return None;
        }
        let RawSource { host, api_url, .. } = self.draft.raw.clone();
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
        if let Some((name, text)) = api_variable(self.layers, kind) {
            let set_by = self.layers.set_by_variable(name);
            self.origin("api_url", set_by.clone());
            return self.parse_api(&text, name, set_by.to_string());
        }
        match kind {
            ForgeKind::Github => self.parse_api("https://api.github.com", "api_url", String::new()),
            ForgeKind::Gitlab => self.parse_api("https://gitlab.com/api/v4", "api_url", String::new()),
            _ => {
                let hint = match self.draft.at {
                    Some(_) => "add `host: git.example.org`, or write `kind: codeberg`",
                    None => {
                        "set GITEA_API_URL, for example to https://codeberg.org/api/v1, or write `--source codeberg`"
                    }
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

    /// Where the token is read from: as the source says, else the variable of its kind if that belongs to this host.
    pub fn token(&mut self, api: Option<&url::Url>) -> Option<SecretSource> {
        if let Some(token) = self.value("token", self.draft.raw.token.clone()) {
            let base = &self.base;
            let given: Vec<SecretSource> = [
                token.env.map(SecretSource::Env),
                token.file.map(|path| SecretSource::File(absolute(&path, base, self.layers.env))),
                token.command.map(SecretSource::Command),
            ]
            .into_iter()
            .flatten()
            .collect();
            return match <[_; 1]>::try_from(given) {
                Ok([SecretSource::Env(name)]) if !is_name(&name) => {
                    // It may be the token itself: it is not shown.
                    self.problem("token", "`token.env` is not the name of a variable", "write `token: {env: NAME}`");
                    None
                }
                Ok([source]) => Some(source),
                Err(_) => {
                    self.problem(
                        "token",
                        "`token` needs exactly one of `env`, `file` and `command`",
                        "write `token: {env: NAME}`",
                    );
                    None
                }
            };
        }
        let api = api?;
        let (names, home): (&[&str], &str) = match self.draft.kind.forge() {
            ForgeKind::Github => (&["GITHUB_TOKEN"], "https://api.github.com"),
            ForgeKind::Gitlab => (&["GITLAB_TOKEN"], "https://gitlab.com"),
            ForgeKind::Gitea => (&["GITEA_TOKEN", "FORGEJO_TOKEN"], CODEBERG),
            _ => return None,
        };
        // A token belongs to one host; another source of the same kind must say which token is its own.
        let home = api_variable(self.layers, self.draft.kind.forge()).map_or(home.to_owned(), |(_, text)| text);
        if url::Url::parse(&home).ok()?.origin() != api.origin() {
            return None;
        }
        let set = |name: &&&str| self.layers.env.var(name).is_some_and(|value| !value.trim().is_empty());
        let name = names.iter().find(set)?;
        let set_by = self.layers.set_by_variable(name);
        self.origin("token", set_by);
        Some(SecretSource::Env((*name).to_owned()))
    }

    /// Whether the source has a token of its own; if it cannot be used, that was told.
    pub fn says_token(&self) -> bool {
        self.draft.raw.token.is_some()
    }

    pub fn missing_token(&mut self) {
        let variable = match self.draft.kind.forge() {
            ForgeKind::Gitlab => "GITLAB_TOKEN",
            ForgeKind::Gitea => "GITEA_TOKEN",
            _ => "GITHUB_TOKEN",
        };
        let id = self.draft.id.clone();
        if self.draft.at.is_some() {
            self.problem(
                "kind",
                format!("the source `{id}` has no token, and names no owner whose public repositories are meant"),
                format!("add `token: {{env: {variable}}}`, or `owners: [NAME]` (`--owner NAME`)"),
            );
        } else {
            self.problem(
                "kind",
                format!("{variable} is not set: without a token only an owner's public repositories can be listed"),
                format!("set {variable}, or name an owner with `--owner NAME`"),
            );
        }
    }
}

/// The variable that sets the API's URL of a kind, with its value.
fn api_variable(layers: &Layers<'_>, kind: ForgeKind) -> Option<(&'static str, String)> {
    let name = match kind {
        ForgeKind::Github => "GITHUB_API_URL",
        ForgeKind::Gitlab => "GITLAB_API_URL",
        ForgeKind::Gitea => "GITEA_API_URL",
        ForgeKind::Dir | ForgeKind::Urls => return None,
    };
    layers.env.var(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).map(|text| (name, text))
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
