//! What entries are called: the ids that kinds imply, and which entries a name on the command line means.

use super::raw::{RawConfig, RawKind, RawSource};

/// The id of a source of the file: as it is written, else the name of its kind; `None` when it has neither.
pub(super) fn source_id(file: &RawConfig, source: &RawSource) -> Option<String> {
    if let Some(id) = &source.id {
        return Some(id.clone());
    }
    let written = file.sources.iter().flatten().filter_map(|source| source.id.as_deref());
    let destinations = file.destinations.iter().flatten();
    let destinations = destinations.filter_map(|one| one.id.as_deref().or_else(|| one.kind.map(|kind| kind.as_str())));
    Some(implied(source.kind?, written.chain(destinations)).to_owned())
}

/// The id that a kind implies: its own name.
///
/// Where something else has that name already, `codeberg` and `forgejo` are called `gitea` as in older versions, so that
/// their files go on working.
pub(super) fn implied<'t>(kind: RawKind, mut taken: impl Iterator<Item = &'t str>) -> &'static str {
    let family = match kind {
        RawKind::Codeberg | RawKind::Forgejo => RawKind::Gitea,
        kind => kind,
    };
    let is_taken = family != kind && taken.any(|name| name.eq_ignore_ascii_case(kind.as_str()));
    if is_taken { family.as_str() } else { kind.as_str() }
}

/// Whether a name, which may be that of a kind, means one of the `known` entries: by its id or its kind.
///
/// `codeberg` and `forgejo` mean entries of the Gitea family in general only where nothing is called so.
pub(super) fn means(
    known: &[(&str, RawKind)],
    (id, kind): (&str, RawKind),
    name: &str,
    named: Option<RawKind>,
) -> bool {
    if id.eq_ignore_ascii_case(name) {
        return true;
    }
    let Some(named) = named else { return false };
    let is_special = matches!(named, RawKind::Codeberg | RawKind::Forgejo);
    let exact = is_special && known.iter().any(|(id, kind)| *kind == named || id.eq_ignore_ascii_case(name));
    if exact { kind == named } else { kind.forge() == named.forge() }
}
