//! Where destinations lie: not on a source, not on each other, not in the storage.

use std::path::Path;

use super::origin_key;
use crate::config::SourceConfig;
use crate::config::destination::DestinationConfig;
use crate::config::layers::{Layers, SetBy};
use crate::config::problem::Problem;

/// Refuses destinations whose repositories are those of a source, as far as it can be known before anything is listed.
pub(super) fn not_the_source(layers: &mut Layers<'_>, destinations: &[DestinationConfig], sources: &[SourceConfig]) {
    for destination in destinations {
        let same_server = |source: &&SourceConfig| source.api_url.is_some() && source.api_url == destination.api_url;
        for source in sources.iter().filter(same_server) {
            let own = &destination.namespace;
            let is_made = !is_of_file(layers, &destination.id);
            let meets = match own.as_str() {
                "{namespace}" => destination.name == "{name}",
                // Whose the token is cannot be known here; of the file's it is found out when repositories are planned.
                "" => is_made,
                own => is_made && source.owners.iter().any(|owner| owner.eq_ignore_ascii_case(own)),
            };
            if meets {
                let place = namespace_place(layers, destination);
                layers.problems.push(
                    Problem::new(
                        place,
                        format!(
                            "the destination `{}` and the source `{}` are the same place on one server",
                            destination.id, source.id
                        ),
                    )
                    .hint(match is_made {
                        true => "name another user, organisation or group with `--destination-namespace NAME`",
                        false => "write another `namespace`",
                    }),
                );
            }
        }
    }
}

/// Refuses two destinations that are one.
pub(super) fn each_its_own(layers: &mut Layers<'_>, destinations: &[&DestinationConfig]) {
    let same = |one: &DestinationConfig, other: &DestinationConfig| {
        let place = |it: &DestinationConfig| (it.api_url.clone(), it.url.clone(), it.name.to_ascii_lowercase());
        let repos = |it: &DestinationConfig| (it.include.clone(), it.exclude.clone());
        // That two have one id was said before.
        !one.id.eq_ignore_ascii_case(&other.id)
            && place(one) == place(other)
            && one.namespace.eq_ignore_ascii_case(&other.namespace)
            // An unnamed namespace is the token's user, and two tokens may be two users.
            && (!one.namespace.is_empty() || one.token == other.token)
            && repos(one) == repos(other)
    };
    for (index, destination) in destinations.iter().enumerate() {
        if let Some(first) = destinations[..index].iter().find(|first| same(first, destination)) {
            let place = namespace_place(layers, destination);
            layers.problems.push(
                Problem::new(
                    place,
                    format!("the destinations `{}` and `{}` are the same place", first.id, destination.id),
                )
                .hint("take one out, or give it another `namespace` or `url`"),
            );
        }
    }
}

/// Refuses directories within the storage: they would be taken for mirrors.
pub(crate) fn outside_of_storage(layers: &mut Layers<'_>, destinations: &[DestinationConfig], storage: &Path) {
    for destination in destinations {
        let Some(url) = destination.url.as_deref() else { continue };
        let directory = url.strip_prefix("file://").unwrap_or(url);
        // The part before the first template is the same for all repositories.
        let fixed = directory.split('{').next().unwrap_or_default();
        let fixed = fixed.rsplit_once('/').map_or(fixed, |(folder, _)| folder);
        if directory.starts_with('/') && !fixed.is_empty() && Path::new(fixed).starts_with(storage) {
            layers.problem(
                &origin_key(&destination.id, "url"),
                format!("`{url}` lies within the storage {}", storage.display()),
                "write a directory beside it",
            );
        }
    }
}

/// Where the namespace or URL of a destination was set, or else the destination itself.
fn namespace_place(layers: &Layers<'_>, destination: &DestinationConfig) -> String {
    let set_at = |key: &str| match layers.origins.get(&origin_key(&destination.id, key)) {
        SetBy::Default => None,
        set_by => Some(set_by.to_string()),
    };
    set_at("namespace").or_else(|| set_at("url")).or_else(|| set_at("kind")).unwrap_or_default()
}

fn is_of_file(layers: &Layers<'_>, id: &str) -> bool {
    matches!(layers.origins.get(&origin_key(id, "kind")), SetBy::File { .. })
}
