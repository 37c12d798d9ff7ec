//! Two repositories for one place: neither is pushed there, and both are named.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::open::{Opened, Place};
use super::way::Way;
use crate::base::failure::{Failure, Reason};
use crate::model::{MirrorKey, Repo};

/// A repository that is to go to a place.
struct Claim {
    /// The destination, by its index.
    way: usize,
    key: MirrorKey,
    /// Its name at the source.
    name: String,
}

/// The places of all repositories.
#[derive(Default)]
pub(super) struct Claims {
    taken: HashSet<String>,
    /// Those that can turn out to be equal only when the token's user is known, by the repository's name there.
    by_name: HashMap<String, Vec<Claim>>,
}

/// Refuses the places that several repositories would share, on whichever destinations, as far as that is known without
/// asking any.
pub(super) fn refuse_shared(ways: &mut [Way], repos: &[Repo]) -> Claims {
    let mut claims: HashMap<String, Vec<Claim>> = HashMap::new();
    let mut by_name: HashMap<String, Vec<Claim>> = HashMap::new();
    let has_unsettled = ways.iter().flat_map(|way| way.places.values()).flatten().any(Place::is_unsettled);
    for (index, way) in ways.iter().enumerate() {
        for repo in repos {
            let (Ok(opened), Some(Ok(place))) = (&way.opened, way.places.get(&repo.key())) else { continue };
            let claim = || Claim { way: index, key: repo.key(), name: repo.path.to_string() };
            claims.entry(address(index, opened, place)).or_default().push(claim());
            if let Some(name) = place.name_there().filter(|_| has_unsettled) {
                by_name.entry(name.to_lowercase()).or_default().push(claim());
            }
        }
    }
    for shared in claims.values() {
        let keys: BTreeSet<&MirrorKey> = shared.iter().map(|claim| &claim.key).collect();
        if keys.len() < 2 {
            continue;
        }
        let names: BTreeSet<&str> = shared.iter().map(|claim| claim.name.as_str()).collect();
        for claim in shared {
            let Some(place) = ways[claim.way].places.get_mut(&claim.key) else { continue };
            if let Ok(found) = place {
                *place = Err(failure(found, &names));
            }
        }
    }
    Claims { taken: claims.into_keys().collect(), by_name }
}

impl Claims {
    /// Whether a repository goes to this place on the destination.
    pub(super) fn is_taken(&self, opened: &Opened, place: &str) -> bool {
        self.taken.contains(&spelled("", opened, place))
    }

    /// Refuses the place that `key` settled at, when another repository turns out to go there.
    pub(super) async fn check(&self, ways: &[Way], opened: &Opened, repo: &Repo, place: &Place) -> Result<(), Failure> {
        let name = place.name_there().map(str::to_lowercase);
        let Some(all) = name.and_then(|name| self.by_name.get(&name)) else { return Ok(()) };
        let mut names = BTreeSet::new();
        for claim in all.iter().filter(|claim| claim.key != repo.key()) {
            let way = &ways[claim.way];
            let (Ok(other), Some(Ok(spot))) = (&way.opened, way.places.get(&claim.key)) else { continue };
            // A forge that does not tell whose namespace it is gets nothing pushed there either.
            let Ok(settled) = other.place_with_owner(spot).await else { continue };
            if address(0, other, &settled) == address(0, opened, place) {
                names.insert(claim.name.as_str());
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        let own = repo.path.to_string();
        names.insert(&own);
        Err(failure(place, &names))
    }
}

/// A text that is the same for places that are the same. A place without a namespace is its own destination's until the
/// token's user is known.
fn address(way: usize, opened: &Opened, place: &Place) -> String {
    let own = if place.is_unsettled() { way.to_string() } else { String::new() };
    spelled(&own, opened, &place.to_string())
}

fn spelled(own: &str, opened: &Opened, place: &str) -> String {
    format!("{own} {} {place}", opened.server()).to_lowercase()
}

fn failure(place: &Place, names: &BTreeSet<&str>) -> Failure {
    let names: Vec<&str> = names.iter().copied().collect();
    let message = match names.as_slice() {
        // The same name in two sources.
        [one] => format!("two repositories called {one} would land in {place}: neither was pushed there"),
        [one, other] => format!("{one} and {other} would both land in {place}: neither was pushed there"),
        all => format!("{} would all land in {place}: none was pushed there", all.join(", ")),
    };
    let hint = "put `{namespace}` into the destination's namespace or name, or exclude one of them.";
    Failure::new(Reason::Held, message).with_hint(hint)
}
