//! The settings that are not about one source: each is one line, flag over variable over file over default.

use std::path::Path;
use std::time::Duration;

use super::destination::{DestinationConfig, RunFrom};
use super::layers::{Layers, SetBy};
use super::raw::RawConfig;
use super::releases::Releases;
use super::values::Size;
use super::{Cliff, ColorChoice, Config, Keep, Output, SourceConfig, limits, server};
use crate::git::GitTransport;

const STORAGE: &str = "mirror-data";
const CONCURRENCY: u32 = 5;
const INTERVAL: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_secs(60 * 60);
const FULL_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
const STALE_AFTER: Duration = Duration::from_secs(48 * 60 * 60);
const TIMEOUT: Duration = Duration::from_secs(300);

/// Twice the largest file that GitHub takes.
const ASSET_TMP_MAX: u64 = 4 << 30;

/// More than this at once helps nobody: each mirror is two or three processes.
const MOST_AT_ONCE: u64 = 1000;

/// Puts the configuration together and checks the ranges of its numbers.
pub(crate) fn resolve(
    layers: &mut Layers<'_>,
    sources: Vec<SourceConfig>,
    destinations: Vec<DestinationConfig>,
    run_from: Option<RunFrom>,
) -> Config {
    let none = RawConfig::default();
    let file = layers.file.map_or(&none, |file| &file.raw);
    let (flags, env) = (layers.flags, &layers.environment.args);

    let storage = layers.path("storage", [flags.storage.as_deref(), env.storage.as_deref(), file.storage.as_deref()]);
    let concurrency = layers.pick("concurrency", [flags.concurrency, env.concurrency, file.concurrency], CONCURRENCY);
    let per_host = layers.pick("per_host", [flags.per_host, env.per_host, file.per_host], concurrency);
    let limits = limits::resolve(layers, file);
    let interval = [flags.interval, env.interval, file.interval].map(|span| span.map(|span| span.0));
    let interval = layers.pick("interval", interval, INTERVAL);
    let window = [flags.window, env.window, file.window].map(|span| span.map(|span| span.0));
    let window = layers.pick("window", window, WINDOW);
    let full_every = [flags.full_every, env.full_every, file.full_every].map(|span| span.map(|span| span.0));
    let full_every = layers.pick("full_every", full_every, FULL_EVERY);
    let stale_after = [flags.stale_after, env.stale_after, file.stale_after].map(|span| span.map(|span| span.0));
    // A mirror that nothing happens to is compared once in `full_every`: one comparison may fail.
    let stale_after = layers.pick("stale_after", stale_after, STALE_AFTER.max(full_every.saturating_mul(2)));
    let timeout = [flags.timeout, env.timeout, file.timeout].map(|span| span.map(|span| span.0));
    let timeout = layers.pick("timeout", timeout, TIMEOUT);
    let time_limit = layers.pick("time_limit", [None, None, file.time_limit.map(|span| Some(span.0))], None);
    let transport = [flags.transport, env.transport, file.transport];
    let transport = layers.pick("transport", transport, GitTransport::default());
    let keep = layers.pick("keep", [flags.keep, env.keep, file.keep], Keep::default());

    let standard = Cliff::default();
    let percent = layers.pick("cliff.percent", [None, None, file.cliff.percent], u32::from(standard.percent));
    layers.within("cliff.percent", u64::from(percent), 0..=100);
    let percent = u8::try_from(percent).unwrap_or(standard.percent);
    let min_refs = file.cliff.min_refs.map(|refs| refs as usize);
    let min_refs = layers.pick("cliff.min_refs", [None, None, min_refs], standard.min_refs);
    let accept_deletions = [Some(&flags.accept_deletions), Some(&env.accept_deletions), file.accept_deletions.as_ref()]
        .map(|globs| globs.filter(|globs| !globs.is_empty()).cloned());
    let accept_deletions = layers.pick("accept_deletions", accept_deletions, Vec::new());

    let typed = flags.releases.clone().or_else(|| env.releases.clone());
    // What is typed is about the places that a run goes to; the disk is one when there is no other.
    let typed = typed.filter(|_| destinations.is_empty());
    let releases = layers.pick("releases", [typed, None, file.releases.clone()], Releases::default());
    let asset_tmp_max = [flags.asset_tmp_max, env.asset_tmp_max, file.asset_tmp_max];
    let asset_tmp_max = layers.pick("asset_tmp_max", asset_tmp_max, Size(ASSET_TMP_MAX));

    let config = Config {
        releases: releases.0,
        only_releases: None,
        asset_tmp_max: asset_tmp_max.0,
        hidden: hidden(file, &destinations),
        sources,
        destinations,
        run_from,
        storage: storage.unwrap_or_else(|| layers.env.directory().join(STORAGE)),
        concurrency: concurrency as usize,
        per_host: per_host as usize,
        limits,
        watch: layers.switch("watch", flags.watch, None),
        interval,
        window,
        full_every,
        stale_after,
        full: layers.switch("full", flags.full, None),
        checkout: layers.switch("checkout", flags.checkout, file.checkout),
        dry_run: layers.switch("dry_run", flags.dry_run, None),
        push: true,
        wait: layers.switch("wait", flags.wait, None),
        accept_deletions,
        cliff: Cliff { percent, min_refs },
        keep,
        timeout,
        time_limit,
        transport,
        output: output(layers, file),
    };
    check(layers, &config);
    config
}

/// The variables that the file or the destinations' names say hold a secret: whoever the run does not use them for must
/// not see them either.
fn hidden(file: &RawConfig, destinations: &[DestinationConfig]) -> Vec<String> {
    let raw = || file.destinations.iter().flatten();
    let of_sources = file.sources.iter().flatten().filter_map(|source| source.token.as_ref());
    let passphrases = raw().filter_map(|one| one.ssh.as_ref()?.passphrase.as_ref());
    let tokens = of_sources.chain(raw().filter_map(|one| one.token.as_ref())).chain(passphrases);
    let named = raw().filter_map(|one| one.id.as_deref().or_else(|| one.kind.map(|kind| kind.as_str())));
    let named = named.chain(destinations.iter().map(|one| one.id.as_str()));
    let by_name = named.flat_map(|id| server::names_of_tokens(&server::prefix(id)));
    tokens.filter_map(|token| token.env.clone()).chain(by_name).collect()
}

fn output(layers: &mut Layers<'_>, file: &RawConfig) -> Output {
    let (flags, env) = (layers.flags, &layers.environment.args);
    // Only one of the two can be typed; what is typed puts the other's variable aside.
    let quiet = layers.switch("quiet", flags.quiet, (flags.verbose > 0).then_some(false)) && flags.verbose == 0;
    let verbose = layers.switch("verbose", flags.verbose > 0, None) && !flags.quiet;
    if quiet && verbose {
        layers.problem("quiet", "HOLOCRON_QUIET and HOLOCRON_VERBOSE are both set", "set one of the two");
    }
    Output {
        json: layers.switch("json", flags.json, None),
        report: layers.path("report", [flags.report.as_deref(), env.report.as_deref(), file.report.as_deref()]),
        quiet,
        verbose,
        log: flags.verbose > 1,
        color: layers.pick("color", [flags.color, env.color, file.color], ColorChoice::default()),
    }
}

fn check(layers: &mut Layers<'_>, config: &Config) {
    layers.within("concurrency", config.concurrency as u64, 1..=MOST_AT_ONCE);
    if layers.origins.get("per_host") != &SetBy::Default {
        layers.within("per_host", config.per_host as u64, 1..=MOST_AT_ONCE);
    }
    let spans = [("interval", config.interval), ("timeout", config.timeout), ("stale_after", config.stale_after)];
    let limit = config.time_limit.map(|limit| ("time_limit", limit));
    for (key, span) in spans.into_iter().chain(limit) {
        if span.is_zero() {
            layers.problem(key, format!("`{key}` cannot be 0"), "write at least one second");
        }
    }
    layers.check_globs("accept_deletions", &config.accept_deletions);
    if let Some(scope) = &config.releases {
        layers.check_globs("releases", &scope.tags);
    }
    if config.asset_tmp_max == 0 {
        layers.problem("asset_tmp_max", "`asset_tmp_max` cannot be 0", "write a size such as `4GiB`");
    }
    if config.storage == Path::new("/") {
        layers.problem("storage", "`storage` cannot be the root directory", "write a directory of its own");
    }
}
