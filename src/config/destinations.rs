//! Which destinations a run pushes to, and what each is: the file's, selected by flags, or made of flags and
//! environment alone. Every destination of the file is checked, chosen or not.

use std::collections::BTreeMap;

use super::destination::DestinationConfig;
use super::entry::{Draft, List, RawServer, check_id};
use super::file::ConfigFile;
use super::flags::{MirrorArgs, variable};
use super::layers::{Layers, SetBy};
use super::problem::{Problem, nearest};
use super::raw::{RawDestination, RawDestinationKind, RawKind};
use super::server::prefix;
use super::tree::Step;
use super::{Purpose, SourceConfig, naming};
use crate::model::destination::DestinationKind;

mod check;
mod place;
mod template;

pub(super) use place::outside_of_storage;

/// A destination before it is checked.
pub(super) type DestinationDraft = Draft<RawDestination>;

/// Names that mean something else: `--destination local`, and `SOURCE_TOKEN` of `holocron push`.
const RESERVED: [&str; 2] = ["local", "source"];

/// What the layers say about where to push.
pub(super) enum Choice {
    /// Nowhere: the mirrors stay on this machine.
    Local,
    /// All destinations of the file.
    File,
    /// Those that are named, by id or kind.
    Named(Vec<String>, SetBy),
    /// Nobody said anything.
    Usual,
}

/// What `holocron` pushes to: `--backup-only`, `--destination`, the file, and gitlab when nobody says anything.
pub(super) fn choice(layers: &mut Layers<'_>) -> Choice {
    let flags = layers.flags;
    let local_only = layers.switch("backup_only", flags.backup_only, None);
    let by_variable = matches!(layers.origins.get("backup_only"), SetBy::Variable { .. });
    let elsewhere = flags.destination.iter().find(|name| !name.eq_ignore_ascii_case("local"));
    if let Some(elsewhere) = elsewhere.filter(|_| flags.backup_only) {
        layers.problems.push(
            Problem::new("--backup-only", format!("nothing is pushed with it, and --destination names {elsewhere}"))
                .hint("leave one of the two out; the mirrors lie on this machine in either case"),
        );
    }
    // What is typed wins over the environment.
    if local_only && (!by_variable || flags.destination.is_empty()) {
        return Choice::Local;
    }
    let names = match named(layers, "destination") {
        Some(names) => names,
        None => {
            let raw = layers.file.map(|file| &file.raw);
            let says = raw.is_some_and(|raw| raw.destinations.is_some() || raw.sources.iter().flatten().count() > 0);
            return if says { Choice::File } else { Choice::Usual };
        }
    };
    let Choice::Named(mut names, set_by) = names else { return names };
    // Mirrors always lie on this machine too, so beside others the word adds nothing.
    names.retain(|name| !name.eq_ignore_ascii_case("local"));
    if names.is_empty() { Choice::Local } else { Choice::Named(names, set_by) }
}

/// What a flag, or else its variable, names.
pub(super) fn named(layers: &Layers<'_>, flag: &str) -> Option<Choice> {
    let (flags, env) = (&layers.flags.destination, &layers.environment.args.destination);
    match (flags.is_empty(), env.is_empty()) {
        (false, _) => Some(Choice::Named(flags.clone(), SetBy::Flag(format!("--{flag}")))),
        (true, false) => Some(Choice::Named(env.clone(), layers.set_by_variable(&super::variable(flag)))),
        (true, true) => None,
    }
}

/// Returns the checked destinations of this run; what is wrong goes to the problems.
pub(super) fn resolve(
    layers: &mut Layers<'_>,
    choice: &Choice,
    sources: &[SourceConfig],
    purpose: Purpose,
) -> Vec<DestinationConfig> {
    let before = layers.problems.len();
    let from_file = file_drafts(layers);
    let (chosen, made) = match choice {
        Choice::Local => (Vec::new(), Vec::new()),
        Choice::File => (from_file.iter().map(|draft| draft.id.clone()).collect(), Vec::new()),
        Choice::Usual => (Vec::new(), made(layers, &["gitlab".to_owned()], &SetBy::Default, sources)),
        Choice::Named(names, set_by) if from_file.is_empty() => (Vec::new(), made(layers, names, set_by, sources)),
        Choice::Named(names, set_by) => (select(layers, &from_file, names, set_by), Vec::new()),
    };
    if layers.problems.len() == before && made.is_empty() && layers.flags.destination_namespace.is_some() {
        layers.problems.push(
            Problem::new("--destination-namespace", "none of the chosen destinations reads it")
                .hint("it goes with `--destination KIND`; a destination of the file has a `namespace` of its own"),
        );
    }
    let mut checked = Vec::new();
    for draft in from_file.into_iter().chain(made) {
        let is_chosen = draft.at.is_none() || chosen.contains(&draft.id);
        let purpose = if is_chosen { purpose } else { Purpose::Look };
        checked.extend(check::check(layers, draft, purpose).map(|destination| (destination, is_chosen)));
    }
    place::each_its_own(layers, &checked.iter().map(|(destination, _)| destination).collect::<Vec<_>>());
    let destinations: Vec<_> =
        checked.into_iter().filter_map(|(destination, is_chosen)| is_chosen.then_some(destination)).collect();
    if purpose == Purpose::Mirror {
        place::not_the_source(layers, &destinations, sources);
    }
    destinations
}

/// The file's destinations, each with an id of its own, that no source has either.
fn file_drafts(layers: &mut Layers<'_>) -> Vec<DestinationDraft> {
    let Some(file) = layers.file else { return Vec::new() };
    // Each taken id in lower case, with what has it and where.
    let mut taken: BTreeMap<String, (&str, String)> = source_ids(file);
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut drafts = Vec::new();
    for (index, raw) in file.raw.destinations.iter().flatten().enumerate() {
        let at = |key: &str| [Step::Key("destinations".into()), Step::Item(index), Step::Key(key.into())];
        let Some(kind) = raw.kind else {
            layers.problems.push(
                Problem::new(file.place(&at("kind")), format!("`destinations[{index}]` has no `kind`"))
                    .hint(format!("write one of: {}", RawDestinationKind::NAMES.join(", "))),
            );
            continue;
        };
        let id = raw.id.clone().unwrap_or_else(|| kind.as_str().to_owned());
        let place = file.place(&at("id"));
        check_id(layers, &place, &format!("destinations[{index}].id"), &id);
        let key = id.to_ascii_lowercase();
        let mut problem = |message: String, hint: &str| {
            layers.problems.push(Problem::new(&place, message).hint(hint));
        };
        if RESERVED.contains(&key.as_str()) {
            problem(
                format!("a destination cannot be called `{id}`: the word means something else"),
                "write another `id`",
            );
        } else if let Some((noun, first)) = taken.get(&key) {
            problem(
                format!("a second entry has the id `{id}`; the first is the {noun} at {first}"),
                "give each source and destination an `id` of its own",
            );
        } else if let Some(other) = variables.get(&prefix(&id)) {
            problem(
                format!("`{id}` and `{other}` would read their tokens from the same variable {}_TOKEN", prefix(&id)),
                "change one `id`",
            );
        }
        taken.entry(key).or_insert_with(|| ("destination", place.clone()));
        variables.entry(prefix(&id)).or_insert_with(|| id.clone());
        drafts.push(draft(raw.clone(), kind, id, Some(index), SetBy::Default));
    }
    drafts
}

fn source_ids(file: &ConfigFile) -> BTreeMap<String, (&'static str, String)> {
    let sources = file.raw.sources.iter().flatten().enumerate();
    let ids = sources.filter_map(|(index, raw)| {
        let id = naming::source_id(&file.raw, raw)?;
        let path = [Step::Key("sources".into()), Step::Item(index), Step::Key("id".into())];
        Some((id.to_ascii_lowercase(), ("source", file.place(&path))))
    });
    ids.collect()
}

fn draft(
    raw: RawDestination,
    kind: RawDestinationKind,
    id: String,
    at: Option<usize>,
    set_by: SetBy,
) -> DestinationDraft {
    let RawDestination { host, api_url, token, user, proxy, .. } = raw.clone();
    let server = RawServer { host, api_url, token, user, proxy };
    let raw = RawDestination { kind: Some(kind), ..raw };
    Draft { raw, server, list: List::Destinations, kind: kind.server(), id, former_id: None, at, set_by }
}

/// Destinations that the file does not have, one for each kind that is named.
fn made(layers: &mut Layers<'_>, names: &[String], set_by: &SetBy, sources: &[SourceConfig]) -> Vec<DestinationDraft> {
    const MADE: [&str; 5] = ["github", "gitlab", "gitea", "forgejo", "codeberg"];
    let mut drafts: Vec<DestinationDraft> = Vec::new();
    for name in names {
        let kind = match RawDestinationKind::of(name) {
            Some(RawDestinationKind::Git) => {
                layers.problems.push(
                    Problem::new(set_by, "a destination of kind `git` needs a `url`")
                        .hint("describe it in the configuration file, under `destinations`"),
                );
                continue;
            }
            Some(kind) => kind,
            None => {
                layers.problems.push(unknown(name, &MADE, set_by));
                continue;
            }
        };
        if drafts.iter().any(|draft| draft.raw.kind == Some(kind)) {
            continue;
        }
        let mut id = kind.as_str().to_owned();
        while sources.iter().any(|source| source.id.eq_ignore_ascii_case(&id)) {
            id.push_str("-mirror");
        }
        let namespace = destination_namespace(layers, &id, kind.kind());
        let raw = RawDestination { namespace, ..RawDestination::default() };
        drafts.push(draft(raw, kind, id, None, set_by.clone()));
    }
    drafts
}

/// The ids of the file's destinations that are named, by id or kind.
fn select(layers: &mut Layers<'_>, drafts: &[DestinationDraft], names: &[String], set_by: &SetBy) -> Vec<String> {
    let known: Vec<(&str, RawKind)> = drafts.iter().map(|draft| (draft.id.as_str(), draft.kind)).collect();
    let means = |draft: &DestinationDraft, name: &str| {
        let kind = RawDestinationKind::of(name).map(RawDestinationKind::server);
        naming::means(&known, (&draft.id, draft.kind), name, kind)
    };
    let mut ids = Vec::new();
    for name in names {
        let found = ids.len();
        ids.extend(drafts.iter().filter(|draft| means(draft, name)).map(|draft| draft.id.clone()));
        if ids.len() == found {
            let known: Vec<&str> = drafts.iter().map(|draft| draft.id.as_str()).collect();
            layers.problems.push(unknown(name, &known, set_by));
        }
    }
    ids
}

fn unknown(name: &str, known: &[&str], set_by: &SetBy) -> Problem {
    let problem = Problem::new(set_by, format!("there is no destination `{name}`"));
    match nearest(name, known.iter().copied()) {
        Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
        None => problem.hint(format!("write one of: {}", known.join(", "))),
    }
}

/// The key of a destination's value among the origins.
pub(super) fn origin_key(id: &str, key: &str) -> String {
    format!("destinations.{id}.{key}")
}

/// The namespace of a destination that the file does not have: for GitLab `--gitlab-namespace`, for all kinds
/// `--destination-namespace`, then their variables, then `GITLAB_NAMESPACE` as in the Python Holocron.
fn destination_namespace(layers: &mut Layers<'_>, id: &str, kind: DestinationKind) -> Option<String> {
    let of = |args: &MirrorArgs| {
        let gitlab = args.gitlab_namespace.clone().filter(|_| kind == DestinationKind::Gitlab);
        let any = args.destination_namespace.clone();
        gitlab.map(|name| ("gitlab-namespace", name)).or(any.map(|name| ("destination-namespace", name)))
    };
    let typed = of(layers.flags).map(|(flag, name)| (SetBy::Flag(format!("--{flag}")), name));
    let set = || of(&layers.environment.args).map(|(flag, name)| (layers.set_by_variable(&variable(flag)), name));
    let plain = || {
        let name = layers.env.var("GITLAB_NAMESPACE").filter(|_| kind == DestinationKind::Gitlab)?;
        Some((layers.set_by_variable("GITLAB_NAMESPACE"), name)).filter(|(_, name)| !name.trim().is_empty())
    };
    let (set_by, name) = typed.or_else(set).or_else(plain)?;
    layers.origins.set(origin_key(id, "namespace"), set_by);
    Some(name)
}
