//! Asks the sources what should exist, and the storage what does: the inventory that a plan is made from.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt, stream};

use crate::base::failure::{Failure, Reason};
use crate::base::secret::{Credential, Secret};
use crate::base::url::{LOCAL, RemoteUrl};
use crate::config::{CloneUrls, Config, SourceConfig, Transport};
use crate::cycle::gaps::{Gaps, RefusedPart, SourceFailure};
use crate::forge::{self, Connection, DirTree, Listing, PageCache, Source, UrlList};
use crate::mirror::access::Access;
use crate::mirror::tools::{Api, Tools};
use crate::mirror::{self, adopt};
use crate::model::{ForgeKind, MirrorKey, Repo};
use crate::progress::{Event, Sink};
use crate::store::MirrorRecord;

mod absent;
mod matches;
mod seen;
mod selection;

use absent::{Absent, absent};
use matches::Tally;
use seen::Seen;
pub use selection::Selection;

/// Lookups of single repositories under way at once.
const LOOKUPS: usize = 4;

/// What exists: at the sources and in the storage.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The repositories that are wanted, each once.
    pub repos: Vec<Repo>,
    /// Mirrors whose repositories a whole listing no longer shows and whose forge says that they are no more.
    pub gone: Vec<MirrorKey>,
    /// Mirrors whose repositories are no longer listed and are not known to be gone: nobody brings them up to date.
    pub unlisted: Vec<(MirrorKey, Failure)>,
    /// The file system of the storage takes `A` and `a` for one name.
    pub folds_case: bool,
    /// Relative paths that exist, of all those a mirror may have or had.
    pub present: BTreeSet<PathBuf>,
    /// Those of them that do not look whole from outside.
    pub damaged: BTreeSet<PathBuf>,
    /// Repositories in the storage that the store knows nothing of, and the URLs they came from.
    pub unrecorded: BTreeMap<PathBuf, Option<RemoteUrl>>,
    /// Mirrors that some destination has not got as it should.
    pub behind: HashSet<MirrorKey>,
    /// How to reach the repositories of each source.
    pub access: HashMap<String, Access>,
}

/// Takes the inventory. Never fails as a whole: what could not be listed is among the gaps.
pub async fn discover(
    config: &Config,
    tools: &Tools,
    records: &[MirrorRecord],
    cache: &Arc<PageCache>,
    sink: &Arc<dyn Sink>,
) -> (Inventory, Gaps) {
    let mut listings = stream::iter(&config.sources)
        .map(|source| async move { (source, list(source, config, tools, records, cache, sink).await) })
        .buffered(LOOKUPS)
        .collect::<Vec<_>>()
        .await;
    // What a list has too is its forge's, whichever was written first.
    listings.sort_by_key(|(source, _)| !source.kind.is_forge());
    let (mut inventory, mut gaps) = (Inventory::default(), Gaps::default());
    let mut seen = Seen::default();
    let mut tallies = Vec::new();
    for (source, result) in listings {
        match result {
            Ok(found) => tallies.push(inventory.add(&mut gaps, source, found, &mut seen, records)),
            Err(failure) => gaps.failures.push(SourceFailure { source: source.id.clone(), failure }),
        }
    }
    let known: Vec<String> = records.iter().map(|record| record.path.to_string()).collect();
    let (unmatched, warnings) = matches::idle(config, &tallies, &known);
    gaps.unmatched = unmatched;
    gaps.warnings.extend(warnings);
    inventory.look_at_storage(tools, records).await;
    (inventory, gaps)
}

/// What one source answered.
struct Found {
    listing: Listing,
    absent: Absent,
    access: Access,
}

impl Inventory {
    fn add<'s>(
        &mut self,
        gaps: &mut Gaps,
        source: &'s SourceConfig,
        found: Found,
        seen: &mut Seen,
        records: &[MirrorRecord],
    ) -> Tally<'s> {
        let listed: Vec<String> = found.listing.repos.iter().map(|repo| repo.path.to_string()).collect();
        let refused_names = found.listing.refused.iter().map(|refused| refused.what.clone());
        let own = records.iter().filter(|record| record.source == source.id).map(|record| record.path.to_string());
        let known = refused_names.chain(own).collect();
        let selection = Selection::of(&source.filters);
        let part = |refused: forge::Refused| RefusedPart {
            source: source.id.clone(),
            what: refused.what,
            failure: refused.failure,
        };
        // Who excludes a repository with an unusable name has settled the matter.
        let refused = found.listing.refused.into_iter().filter(|refused| !selection.excludes(&refused.what));
        let before = gaps.refused.len();
        gaps.refused.extend(refused.map(part));
        let has_more =
            gaps.refused.len() > before || !found.absent.gone.is_empty() || !found.absent.unlisted.is_empty();
        let warning = |text: String| format!("source {}: {text}", source.id);
        gaps.warnings.extend(found.listing.warnings.into_iter().map(warning));
        self.gone.extend(found.absent.gone);
        self.unlisted.extend(found.absent.unlisted);
        self.access.insert(source.id.clone(), found.access);
        let wanted: Vec<Repo> = found.listing.repos.into_iter().filter(|repo| selection.wants(repo)).collect();
        let tally = Tally { source, listed, known, wanted: wanted.len(), has_more };
        self.repos.extend(wanted.into_iter().filter(|repo| seen.is_new(source.kind, repo)));
        tally
    }

    async fn look_at_storage(&mut self, tools: &Tools, records: &[MirrorRecord]) {
        let storage = &tools.storage;
        self.folds_case = storage.folds_case();
        let recorded: BTreeSet<&Path> = records.iter().map(|record| record.mirror.as_path()).collect();
        let expected = self.repos.iter().map(Repo::mirror_path);
        let staged = self.repos.iter().map(|repo| storage.staging_place(&repo.key()));
        let places = expected.chain(staged).chain(recorded.iter().map(|path| path.to_path_buf()));
        self.present = places.filter(|place| storage.has_mirror(place)).collect();
        let with_refs = records.iter().filter(|record| record.refs > 0 && self.present.contains(&record.mirror));
        let damaged = with_refs.filter(|record| !mirror::looks_whole(&storage.path(&record.mirror)));
        self.damaged = damaged.map(|record| record.mirror.clone()).collect();
        let strangers = self.present.iter().filter(|place| !recorded.contains(place.as_path())).cloned();
        for place in strangers.chain(adopt::legacy_mirrors(storage.root())) {
            let url = adopt::origin_of(&tools.git, &storage.path(&place)).await;
            self.unrecorded.insert(place, url);
        }
    }
}

/// How many repositories a source lists, and how many of them are wanted; for `config check --online`.
///
/// # Errors
/// What keeps the source from being listed.
pub async fn count(
    source: &SourceConfig,
    config: &Config,
    tools: &Tools,
    cache: &Arc<PageCache>,
    sink: &Arc<dyn Sink>,
) -> Result<(usize, usize), Failure> {
    let found = list(source, config, tools, &[], cache, sink).await?;
    let selection = Selection::of(&source.filters);
    let wanted = found.listing.repos.iter().filter(|repo| selection.wants(repo)).count();
    Ok((found.listing.repos.len(), wanted))
}

async fn list(
    source: &SourceConfig,
    config: &Config,
    tools: &Tools,
    records: &[MirrorRecord],
    cache: &Arc<PageCache>,
    sink: &Arc<dyn Sink>,
) -> Result<Found, Failure> {
    sink.tell(&Event::Listing { source: &source.id });
    let token = match &source.token {
        Some(token) => Some(tools.secret(token).await?),
        None => None,
    };
    let access = Access {
        credential: token.as_ref().and_then(|token| credential(source, token)),
        ca_file: source.ca_file.clone(),
        proxy: source.proxy.clone(),
        web: source.api_url.as_ref().map(forge::web_origin),
    };
    let open = open(source, config, tools, token, records, cache, sink)?;
    let listing = open.list(&|repos| sink.tell(&Event::Listed { source: &source.id, repos })).await?;
    let absent = absent(source, config, open.as_ref(), &listing, records).await?;
    Ok(Found { listing, absent, access })
}

fn open(
    source: &SourceConfig,
    config: &Config,
    tools: &Tools,
    token: Option<Secret>,
    records: &[MirrorRecord],
    cache: &Arc<PageCache>,
    sink: &Arc<dyn Sink>,
) -> Result<Box<dyn Source>, Failure> {
    let Some(api_url) = source.api_url.clone() else {
        return match source.kind {
            ForgeKind::Dir => {
                let here = records.iter().filter(|record| record.key.folder == LOCAL && record.gone_since.is_none());
                let names = here.map(|record| (record.key.id.clone(), record.path.clone())).collect();
                let tree = DirTree::new(&source.id, source.dirs.clone(), &config.storage, tools.stop.clone());
                Ok(Box::new(tree.with_names(names)))
            }
            ForgeKind::Urls => Ok(Box::new(UrlList::new(&source.id, source.urls.clone()))),
            kind => Err(Failure::new(Reason::Unknown, format!("a source of kind {kind} needs an API URL"))),
        };
    };
    let api = Api { id: &source.id, url: &api_url, token, ca_file: &source.ca_file, proxy: &source.proxy };
    let connection = Connection {
        owners: source.owners.clone(),
        transport_ssh: source.transport == Transport::Ssh,
        api_host: source.clone_urls == CloneUrls::ApiHost,
        cache: cache.clone(),
        ..tools.connection(api, sink)
    };
    forge::open::source(source.kind, connection)
}

/// The credential for the git side of a source: bound to the origin that the configuration names, never to one that
/// an answer names.
fn credential(source: &SourceConfig, token: &Secret) -> Option<Credential> {
    let origin = match &source.api_url {
        Some(api) => forge::web_origin(api),
        None => source.urls.first()?.origin()?.clone(),
    };
    Some(Credential { origin, user: source.user.clone(), secret: token.clone() })
}
