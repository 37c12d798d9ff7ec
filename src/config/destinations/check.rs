//! One destination, checked.

use super::DestinationDraft;
use super::template::{TemplateError, fill};
use crate::base::url::RemoteUrl;
use crate::config::destination::{DestinationConfig, DestinationVisibility, RefScope, SshConfig};
use crate::config::entry::Checker;
use crate::config::layers::Layers;
use crate::config::raw::{RawDestination, RawDestinationKind};
use crate::config::releases::{ReleaseScope, Releases};
use crate::config::{Purpose, SetBy, Transport, server};
use crate::model::destination::DestinationKind;

/// Checks a destination; `None` when it is of no use, and then there is a problem that says why.
pub(super) fn check(layers: &mut Layers<'_>, draft: DestinationDraft, purpose: Purpose) -> Option<DestinationConfig> {
    let prefix = format!("destinations.{}", draft.id);
    let kind = draft.raw.kind.map(RawDestinationKind::kind)?;
    let mut checker = Checker::new(layers, draft, prefix);
    let raw = checker.draft.raw.clone();
    let id = checker.draft.id.clone();
    checker.value("kind", raw.kind);
    checker.refuse_other_kinds_keys(kind);
    let api_url = checker.api_url();
    let token = checker.token(api_url.as_ref());
    if let Some(api) = &api_url
        && purpose == Purpose::Mirror
        && token.is_none()
        && !checker.says_token()
    {
        checker.missing_token(api);
    }
    let url = if kind == DestinationKind::Git { Some(checker.url(raw.url)?) } else { None };
    let transport = match &url {
        // What the URL is filled with changes nothing about its scheme.
        Some(url) => match fill(url, "a", "b").ok().and_then(|url| RemoteUrl::parse(&url).ok()) {
            Some(url) if url.is_http() => Transport::Https,
            _ => Transport::Ssh,
        },
        None => checker.value("transport", raw.transport).unwrap_or_default(),
    };
    if kind != DestinationKind::Git && api_url.is_none() {
        return None;
    }
    let (namespace, name) = match kind {
        DestinationKind::Git => ("{namespace}".to_owned(), "{name}".to_owned()),
        _ => (checker.namespace(kind, raw.namespace), checker.name(raw.name)),
    };
    let user = checker.user(server::user_variable(checker.layers.env, &server::prefix(&id)));
    Some(DestinationConfig {
        kind,
        api_url,
        token,
        user,
        namespace,
        name,
        visibility: checker.visibility(kind, raw.visibility),
        create: checker.value("create", raw.create).unwrap_or(true),
        refs: checker.refs(raw.refs),
        divergence: checker.value("divergence", raw.divergence).unwrap_or_default(),
        protect: checker.globs("protect", raw.protect),
        rolling: checker.globs("rolling", raw.rolling).unwrap_or_default(),
        prune: checker.value("prune", raw.prune).unwrap_or(true),
        protected_branches: checker.value("protected_branches", raw.protected_branches).unwrap_or_default(),
        releases: checker.releases(raw.releases),
        include: checker.globs("include", raw.include).unwrap_or_default(),
        exclude: checker.globs("exclude", raw.exclude).unwrap_or_default(),
        ca_file: checker.value("ca_file", raw.ca_file).map(|path| checker.absolute(&path)),
        proxy: checker.proxy(),
        ssh: checker.ssh(transport, url.as_deref()),
        transport,
        url,
        id,
    })
}

impl Checker<'_, '_, RawDestination> {
    /// Keys that would do nothing are refused.
    fn refuse_other_kinds_keys(&mut self, kind: DestinationKind) {
        let raw = &self.draft.raw;
        let forge = [
            ("host", raw.host.is_some()),
            ("api_url", raw.api_url.is_some()),
            ("namespace", raw.namespace.is_some()),
            ("name", raw.name.is_some()),
            ("visibility", raw.visibility.is_some()),
            ("protected_branches", raw.protected_branches.is_some()),
            ("transport", raw.transport.is_some()),
        ];
        let git = [("url", raw.url.is_some())];
        let foreign = if kind == DestinationKind::Git { &forge[..] } else { &git };
        for (key, _) in foreign.iter().filter(|(_, given)| *given) {
            self.problem(
                key,
                format!("a destination of kind `{kind}` has no `{key}`"),
                "take the key out, or correct the `kind`",
            );
        }
    }

    /// What the file says, else what was typed for all destinations.
    fn releases(&mut self, own: Option<Releases>) -> Option<ReleaseScope> {
        let own = self.value("releases", own);
        let typed = self.layers.flags.releases.clone().map(|it| (it, SetBy::Flag("--releases".to_owned())));
        let set = || {
            let set_by = self.layers.set_by_variable(&crate::config::variable("releases"));
            self.layers.environment.args.releases.clone().map(|it| (it, set_by))
        };
        let scope = match (own, typed.or_else(set)) {
            (Some(own), _) => own.0?,
            (None, Some((releases, set_by))) => {
                let key = self.key("releases");
                self.layers.origins.set(key, set_by);
                releases.0?
            }
            (None, None) => return None,
        };
        for glob in &scope.tags {
            if let Err(error) = globset::Glob::new(glob) {
                self.problem(
                    "releases",
                    format!("`{glob}` is not a glob: {}", error.kind()),
                    "`*` stands for anything, `{a,b}` for either, `[ab]` for one of the letters",
                );
            }
        }
        Some(scope)
    }

    fn missing_token(&mut self, api: &url::Url) {
        let id = self.draft.id.clone();
        let env = self.layers.env;
        let own = format!("{}_TOKEN", server::prefix(&id));
        let of_kind = server::token_names(env, self.draft.kind, api).first().copied();
        if self.draft.at.is_some() {
            let hint = match (of_kind, server::is_set(env, &own)) {
                // GITHUB_TOKEN and its like, set for another server.
                (None, true) => "add `token: {env: NAME}`: the variable of that name belongs to another server".into(),
                (Some(variable), _) => format!("set {variable}, or add `token: {{env: NAME}}`"),
                (None, false) => format!("set {own}, or add `token: {{env: NAME}}`"),
            };
            self.problem(
                "kind",
                format!("the destination `{id}` has no token, and nothing can be pushed without one"),
                hint,
            );
            return;
        }
        let variable = of_kind.unwrap_or(&own);
        let why = match &self.draft.set_by {
            SetBy::Default => format!("{variable} is not set: nothing can be pushed to {id}, the usual destination"),
            _ => format!("{variable} is not set: nothing can be pushed to {id}"),
        };
        let hint = match self.draft.set_by.to_string().as_str() {
            "--to" | "HOLOCRON_TO" | "HOLOCRON_TO in .env" => format!("set {variable}"),
            _ => format!("set {variable}, or add `--backup-only` to keep the mirrors on this machine only"),
        };
        self.problem("kind", why, hint);
    }

    /// Where a key stands; of a destination that was made, where its value was set.
    fn set_at(&self, key: &str) -> String {
        match self.layers.origins.get(&self.key(key)) {
            SetBy::Default => self.place(key),
            set_by => set_by.to_string(),
        }
    }

    fn refuse(&mut self, key: &str, message: impl AsRef<str>, hint: impl AsRef<str>) {
        let place = self.set_at(key);
        self.layers.problems.push(crate::config::problem::Problem::new(place, message).hint(hint));
    }

    /// Whether a text is a template; if not, that was told.
    fn is_template(&mut self, key: &str, text: &str) -> bool {
        let hint = "`{namespace}` and `{name}` stand for those of the source";
        match fill(text, "a", "b") {
            Ok(_) => true,
            Err(TemplateError::Unknown(name)) => {
                self.refuse(key, format!("`{key}` has an unknown `{{{name}}}` in it"), hint);
                false
            }
            Err(TemplateError::Brace) => {
                self.refuse(key, format!("`{key}` has a single brace in it"), hint);
                false
            }
        }
    }

    fn namespace(&mut self, kind: DestinationKind, given: Option<String>) -> String {
        let Some(text) = self.value("namespace", given) else { return String::new() };
        let namespace = text.trim_matches('/').to_owned();
        if !self.is_template("namespace", &namespace) {
            return namespace;
        }
        if namespace.is_empty() || namespace.contains("://") || namespace.contains("//") || namespace.contains(' ') {
            self.refuse(
                "namespace",
                format!("`namespace` cannot be `{text}`"),
                "write the name of a user, organisation or group; leave it out for the token's own user",
            );
        } else if kind != DestinationKind::Gitlab && namespace.contains('/') {
            self.refuse(
                "namespace",
                format!("`namespace` cannot be `{text}`: only GitLab has groups within groups"),
                "write the name of one user or organisation",
            );
        }
        namespace
    }

    fn name(&mut self, given: Option<String>) -> String {
        let Some(name) = self.value("name", given) else { return "{name}".to_owned() };
        if self.is_template("name", &name) && (name.is_empty() || name.contains(['/', ' '])) {
            self.refuse(
                "name",
                format!("`name` cannot be `{name}`"),
                "write a name, such as `{name}` or `{namespace}-{name}`",
            );
        }
        name
    }

    /// The URL or directory of plain git.
    fn url(&mut self, given: Option<String>) -> Option<String> {
        // A user before the host would be masked in what is printed.
        let example = "`ssh://host/srv/{namespace}/{name}.git` or `/srv/mirrors/{namespace}/{name}.git`";
        let Some(text) = self.value("url", given) else {
            self.problem("kind", "a destination of kind `git` needs a `url`", format!("write {example}"));
            return None;
        };
        if !self.is_template("url", &text) {
            return None;
        }
        if !text.contains("{name}") {
            self.problem(
                "url",
                "`url` has no `{name}` in it: all repositories would land in one place",
                format!("write {example}"),
            );
            return None;
        }
        let text = match text.starts_with("~/") {
            true => self.absolute(std::path::Path::new(&text)).display().to_string(),
            false => text,
        };
        let parse = |namespace: &str, name: &str| {
            RemoteUrl::parse_with_secret(&fill(&text, namespace, name).unwrap_or_default())
        };
        match (parse("a", "b"), parse("c", "d")) {
            (Ok((_, Some(_))), _) => {
                self.problem(
                    "url",
                    "`url` has a password or token in it",
                    "take it out, and say where the token is read from with `token`",
                );
                None
            }
            // A token or key would go wherever the name of a repository leads.
            (Ok((one, _)), Ok((other, _))) if one.host() != other.host() || one.origin() != other.origin() => {
                self.problem("url", "`url` has a template in its host", format!("write {example}"));
                None
            }
            (Ok(_), _) => Some(text),
            (Err(error), _) => {
                self.problem("url", format!("`url` cannot be pushed to: {error}"), format!("write {example}"));
                None
            }
        }
    }

    fn visibility(&mut self, kind: DestinationKind, given: Option<DestinationVisibility>) -> DestinationVisibility {
        let visibility = self.value("visibility", given).unwrap_or_default();
        if kind == DestinationKind::Gitea && visibility == DestinationVisibility::Internal {
            self.problem(
                "visibility",
                "Gitea and Forgejo have no internal repositories",
                "write `private`, `public` or `same`",
            );
        }
        visibility
    }

    fn refs(&mut self, given: Option<RefScope>) -> RefScope {
        let refs = self.value("refs", given).unwrap_or_default();
        if refs == (RefScope::Some { heads: false, tags: false, notes: false }) {
            self.problem("refs", "`refs` is empty: nothing would be pushed", "write `[heads, tags]`, or `all`");
        }
        refs
    }

    fn globs(&mut self, key: &str, given: Option<Vec<String>>) -> Option<Vec<String>> {
        let globs = self.value(key, given)?;
        let origin = self.key(key);
        self.layers.check_globs(&origin, &globs);
        Some(globs)
    }

    fn ssh(&mut self, transport: Transport, url: Option<&str>) -> SshConfig {
        let Some(raw) = self.draft.raw.ssh.clone() else { return SshConfig::default() };
        let is_directory = url.is_some_and(|url| url.starts_with('/') || url.starts_with("file:"));
        if transport == Transport::Https || is_directory {
            let hint = if url.is_some() { "take it out" } else { "add `transport: ssh`, or take it out" };
            self.problem("ssh", "`ssh` does nothing for a destination that is not reached by ssh", hint);
        } else if raw.passphrase.is_some() && raw.key_file.is_none() {
            let hint = "name the private key that it opens";
            self.problem("ssh.key_file", "`ssh.passphrase` needs `ssh.key_file`", hint);
        }
        let passphrase = self.value("ssh.passphrase", raw.passphrase);
        SshConfig {
            known_hosts: self.value("ssh.known_hosts", raw.known_hosts).unwrap_or_default(),
            key_file: self.value("ssh.key_file", raw.key_file).map(|path| self.absolute(&path)),
            passphrase: passphrase.and_then(|raw| self.secret("ssh.passphrase", raw)),
        }
    }
}
