//! One source, checked: what is common to all kinds. `forge.rs` and `plain.rs` check what is not.

use std::path::{Path, PathBuf};

use super::Draft;
use crate::config::layers::{Layers, SetBy};
use crate::config::problem::Problem;
use crate::config::raw::RawFilters;
use crate::config::settings::check_globs;
use crate::config::tree::Step;
use crate::config::{Filters, Purpose, SourceConfig, absolute};
use crate::model::ForgeKind;

/// What has to be known of a source to check it.
pub(super) struct Checker<'l, 'a> {
    pub layers: &'l mut Layers<'a>,
    pub draft: Draft,
    /// The place in the list of this run's sources, for the keys of the origins.
    index: usize,
    /// Relative paths of the file start here.
    pub base: PathBuf,
}

/// Checks a source; `None` when it is of no use, and then there is a problem that says why.
pub(super) fn check(layers: &mut Layers<'_>, draft: Draft, index: usize, purpose: Purpose) -> Option<SourceConfig> {
    let base = match (draft.at, layers.file) {
        (Some(_), Some(file)) => file.directory.clone(),
        _ => layers.env.directory().to_owned(),
    };
    let mut checker = Checker { layers, draft, index, base };
    checker.refuse_other_kinds_keys();
    let kind = checker.draft.kind.forge();
    let api = checker.api_url();
    let token = checker.token(api.as_ref());
    let owners = checker.owners(kind);
    let urls = if kind == ForgeKind::Urls { checker.urls() } else { Vec::new() };
    if purpose == Purpose::Mirror
        && kind.is_forge()
        && api.is_some()
        && !checker.says_token()
        && token.is_none()
        && owners.is_empty()
    {
        checker.missing_token();
    }
    if kind.is_forge() && api.is_none() {
        return None;
    }
    Some(SourceConfig {
        id: checker.draft.id.clone(),
        kind,
        api_url: api,
        user: checker.user(kind),
        owners,
        filters: checker.filters(),
        transport: checker.value("transport", checker.draft.raw.transport).unwrap_or_default(),
        ca_file: checker.value("ca_file", checker.draft.raw.ca_file.clone()).map(|path| checker.absolute(&path)),
        proxy: checker.proxy(),
        dirs: if kind == ForgeKind::Dir { checker.dirs() } else { Vec::new() },
        token: checker.one_host(token, &urls),
        urls,
    })
}

impl Checker<'_, '_> {
    pub fn key(&self, key: &str) -> String {
        format!("sources[{}].{key}", self.index)
    }

    pub fn in_file(&self, key: &str) -> Option<Vec<Step>> {
        Some(vec![Step::Key("sources".into()), Step::Item(self.draft.at?), Step::Key(key.into())])
    }

    /// Where a key of this source stands, for messages.
    pub fn place(&self, key: &str) -> String {
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

    /// Keys that belong to another kind of source would do nothing: they are refused.
    fn refuse_other_kinds_keys(&mut self) {
        let raw = &self.draft.raw;
        let forge = [
            ("host", raw.host.is_some()),
            ("api_url", raw.api_url.is_some()),
            ("owners", raw.owners.is_some()),
            ("forks", raw.forks.is_some()),
            ("archived", raw.archived.is_some()),
            ("visibility", raw.visibility.is_some()),
            ("topics", raw.topics.is_some()),
            ("max_size", raw.max_size.is_some()),
            ("transport", raw.transport.is_some()),
        ];
        let network = [
            ("token", raw.token.is_some()),
            ("user", raw.user.is_some()),
            ("ca_file", raw.ca_file.is_some()),
            ("proxy", raw.proxy.is_some()),
        ];
        let dirs = [("dirs", raw.dirs.is_some())];
        let urls = [("urls", raw.urls.is_some()), ("urls_file", raw.urls_file.is_some())];
        let kind = self.draft.kind.forge();
        let foreign: Vec<(&str, bool)> = match kind {
            ForgeKind::Dir => [&forge[..], &network, &urls].concat(),
            ForgeKind::Urls => [&forge[..], &dirs].concat(),
            _ => [&dirs[..], &urls].concat(),
        };
        for (key, _) in foreign.into_iter().filter(|(_, given)| *given) {
            self.problem(
                key,
                format!("a source of kind `{kind}` has no `{key}`"),
                "take the key out, or correct the `kind`",
            );
        }
    }

    fn user(&mut self, kind: ForgeKind) -> String {
        if let Some(user) = self.value("user", self.draft.raw.user.clone()) {
            if user.is_empty() || user.contains(':') {
                self.problem("user", format!("`user` cannot be `{user}`"), "write the user name only");
            }
            return user;
        }
        match kind {
            ForgeKind::Github => "x-access-token",
            ForgeKind::Gitlab => "oauth2",
            ForgeKind::Gitea | ForgeKind::Dir | ForgeKind::Urls => "git",
        }
        .to_owned()
    }

    fn owners(&mut self, kind: ForgeKind) -> Vec<String> {
        if !kind.is_forge() {
            return Vec::new();
        }
        let typed = [self.layers.flags.owner.as_slice(), self.layers.environment.args.owner.as_slice()];
        let own = self.draft.raw.owners.clone();
        let owners = self.list("owners", "owner", typed, own).unwrap_or_default();
        for owner in &owners {
            if owner.trim_matches('/').is_empty() || owner.contains("://") {
                self.problem("owners", format!("`{owner}` is not the name of an owner"), "write its name only");
            }
        }
        owners.iter().map(|owner| owner.trim_matches('/').to_owned()).collect()
    }

    fn filters(&mut self) -> Filters {
        let shared = self.layers.file.map(|file| file.raw.filters.clone()).unwrap_or_default();
        let shared: RawFilters = self.note_shared(shared);
        let raw = self.draft.raw.clone();
        let (flags, env) = (self.layers.flags, &self.layers.environment.args);
        let include = self.list("include", "include", [&flags.include, &env.include], raw.include);
        let exclude = self.list("exclude", "exclude", [&flags.exclude, &env.exclude], raw.exclude);
        let standard = Filters::default();
        let max_size = self.value("max_size", raw.max_size).or(shared.max_size);
        let filters = Filters {
            include: include.or(shared.include).unwrap_or_default(),
            exclude: exclude.or(shared.exclude).unwrap_or_default(),
            forks: self.value("forks", raw.forks).or(shared.forks).unwrap_or(standard.forks),
            archived: self.value("archived", raw.archived).or(shared.archived).unwrap_or(standard.archived),
            visibility: self.value("visibility", raw.visibility).or(shared.visibility).unwrap_or_default(),
            topics: self.value("topics", raw.topics).or(shared.topics).unwrap_or_default(),
            max_size_kib: max_size.map(|size| size.0.div_ceil(1024)),
        };
        let (include, exclude) = (self.key("include"), self.key("exclude"));
        check_globs(self.layers, &include, &filters.include);
        check_globs(self.layers, &exclude, &filters.exclude);
        filters
    }

    /// Notes which filters come from the file's `filters`; a source's own overwrite the note.
    fn note_shared(&mut self, shared: RawFilters) -> RawFilters {
        let given = [
            ("include", shared.include.is_some()),
            ("exclude", shared.exclude.is_some()),
            ("forks", shared.forks.is_some()),
            ("archived", shared.archived.is_some()),
            ("visibility", shared.visibility.is_some()),
            ("topics", shared.topics.is_some()),
            ("max_size", shared.max_size.is_some()),
        ];
        for (key, _) in given.into_iter().filter(|(_, given)| *given) {
            let set_by = self.layers.set_by_file(&[Step::Key("filters".into()), Step::Key(key.into())]);
            self.origin(key, set_by);
        }
        shared
    }

    fn proxy(&mut self) -> Option<url::Url> {
        let text = self.value("proxy", self.draft.raw.proxy.clone())?;
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
}
