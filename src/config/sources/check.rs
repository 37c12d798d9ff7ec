//! One source, checked: what is common to all kinds. `plain.rs` checks what is not.

use super::SourceDraft;
use crate::config::entry::Checker;
use crate::config::layers::Layers;
use crate::config::raw::{RawFilters, RawKind, RawSource};
use crate::config::tree::Step;
use crate::config::{Filters, Purpose, SourceConfig};
use crate::model::ForgeKind;

/// Checks a source; `None` when it is of no use, and then there is a problem that says why.
pub(super) fn check(
    layers: &mut Layers<'_>,
    draft: SourceDraft,
    index: usize,
    purpose: Purpose,
) -> Option<SourceConfig> {
    let mut checker = Checker::new(layers, draft, format!("sources[{index}]"));
    checker.value("kind", checker.draft.raw.kind);
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
        forge: None,
        id: checker.draft.id.clone(),
        former_id: checker.draft.former_id.clone(),
        kind,
        api_url: api,
        user: checker.user(None),
        owners,
        filters: checker.filters(),
        transport: checker.value("transport", checker.draft.raw.transport).unwrap_or_default(),
        clone_urls: checker.value("clone_urls", checker.draft.raw.clone_urls).unwrap_or_default(),
        ca_file: checker.value("ca_file", checker.draft.raw.ca_file.clone()).map(|path| checker.absolute(&path)),
        proxy: checker.proxy(),
        dirs: if kind == ForgeKind::Dir { checker.dirs() } else { Vec::new() },
        token: checker.one_host(token, &urls),
        urls,
    })
}

impl Checker<'_, '_, RawSource> {
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
            ("clone_urls", raw.clone_urls.is_some()),
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
            // Whatever is wrong with its value does not matter any more.
            match key {
                "token" => self.draft.server.token = None,
                "user" => self.draft.server.user = None,
                "proxy" => self.draft.server.proxy = None,
                _ => {}
            }
        }
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
        self.layers.check_globs(&include, &filters.include);
        self.layers.check_globs(&exclude, &filters.exclude);
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

    fn missing_token(&mut self) {
        let variable = match self.draft.kind {
            RawKind::Gitlab => "GITLAB_TOKEN",
            RawKind::Gitea => "GITEA_TOKEN",
            RawKind::Forgejo => "FORGEJO_TOKEN",
            RawKind::Codeberg => "CODEBERG_TOKEN",
            RawKind::Github | RawKind::Dir | RawKind::Urls => "GITHUB_TOKEN",
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
