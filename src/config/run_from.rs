//! `run_from`: which forge is the primary one, as a host that a pipeline can compare with its own.

use super::destination::RunFrom;
use super::layers::Layers;
use super::naming;
use super::problem::{Problem, nearest};
use super::raw::{RawDestination, RawRunFrom, RawSource};
use super::tree::Step;
use crate::base::url::RemoteUrl;
use crate::forge::web_origin;
use crate::model::ForgeKind;

/// Returns the file's `run_from`, checked; what is wrong goes to the problems.
pub(super) fn resolve(layers: &mut Layers<'_>) -> Option<RunFrom> {
    let file = layers.file?;
    let RawRunFrom { forge, otherwise } = file.raw.run_from.clone()?;
    let at = |key: &str| [Step::Key("run_from".into()), Step::Key(key.into())];
    let set_by = layers.set_by_file(&at("forge"));
    layers.origins.set("run_from.forge", set_by);
    if otherwise.is_some() {
        let set_by = layers.set_by_file(&at("otherwise"));
        layers.origins.set("run_from.otherwise", set_by);
    }
    let Some(forge) = forge else {
        layers.problems.push(
            Problem::new(file.place(&at("forge")), "`run_from` does not say which forge")
                .hint("add `forge:` with the `id` of a source or destination, or a host such as `github.com`"),
        );
        return None;
    };
    match host(layers, &forge) {
        Ok(host) => Some(RunFrom { forge, host, otherwise: otherwise.unwrap_or_default() }),
        Err(problem) => {
            layers.problems.push(problem);
            None
        }
    }
}

/// The host that git knows a forge by: of the entry with this id, or the text itself.
fn host(layers: &Layers<'_>, forge: &str) -> Result<String, Problem> {
    let file = layers.file.ok_or_else(|| Problem::new("", "there is no configuration file"))?;
    let place = file.place(&[Step::Key("run_from".into()), Step::Key("forge".into())]);
    let mut ids: Vec<(String, Option<String>)> = Vec::new();
    // What older versions called them: a file of theirs goes on meaning the same.
    let mut former: Vec<(String, Option<String>)> = Vec::new();
    for source in file.raw.sources.iter().flatten() {
        let (Some(kind), Some(id)) = (source.kind, naming::source_id(&file.raw, source)) else { continue };
        let RawSource { host, api_url, .. } = source.clone();
        let host = server_host(layers, kind.forge(), kind == super::raw::RawKind::Codeberg, host, api_url);
        former.extend(source.id.is_none().then(|| (kind.forge().to_string(), host.clone())));
        ids.push((id, host));
    }
    for RawDestination { id, kind, host, api_url, url, .. } in file.raw.destinations.iter().flatten().cloned() {
        let Some(kind) = kind else { continue };
        let id = id.unwrap_or_else(|| kind.as_str().to_owned());
        let server = kind.server();
        let of_url = || RemoteUrl::parse(&url?).ok()?.host().map(str::to_owned);
        let is_codeberg = server == super::raw::RawKind::Codeberg;
        ids.push((id, server_host(layers, server.forge(), is_codeberg, host, api_url).or_else(of_url)));
    }
    match ids.iter().chain(&former).find(|(id, _)| id.eq_ignore_ascii_case(forge)) {
        Some((_, Some(host))) => return Ok(host.to_ascii_lowercase()),
        Some((id, None)) => {
            return Err(Problem::new(place, format!("`{id}` has no host, so no pipeline runs on it"))
                .hint("write the `id` of a forge, or a host such as `github.com`"));
        }
        None => {}
    }
    let is_host = (forge.contains('.') || forge == "localhost")
        && forge.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
    if is_host {
        return Ok(forge.to_ascii_lowercase());
    }
    let known: Vec<&str> = ids.iter().map(|(id, _)| id.as_str()).collect();
    let problem =
        Problem::new(place, format!("`run_from.forge` cannot be `{forge}`: no entry has this id, and it is no host"));
    Err(match nearest(forge, known.iter().copied()) {
        Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
        None => problem
            .hint("write the `id` of a source or destination, or a host such as `github.com`, without scheme and port"),
    })
}

fn server_host(
    layers: &Layers<'_>,
    kind: ForgeKind,
    is_codeberg: bool,
    host: Option<String>,
    api_url: Option<String>,
) -> Option<String> {
    if !kind.is_forge() {
        return None;
    }
    if let Some(host) = host {
        let name = host.split(':').next().unwrap_or_default();
        return Some(if name == "api.github.com" || name == "www.github.com" { "github.com" } else { name }.to_owned());
    }
    let api = match api_url {
        Some(text) => url::Url::parse(&text).ok()?,
        None if is_codeberg => return Some("codeberg.org".to_owned()),
        None => super::server::home(layers.env, kind)?,
    };
    Some(web_origin(&api).host)
}
