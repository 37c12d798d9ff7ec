//! `holocron status`: what the store knows of every mirror.

mod table;

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::args::StatusArgs;
use super::runtime;
use super::terminal::{print, view};
use crate::base::error::{Error, exit};
use crate::base::text::Detail;
use crate::config::{self, MirrorArgs, ProcessEnvironment, Purpose};
use crate::cycle::session::Session;
use crate::cycle::status::{self, DestinationStatus, StatusRow};
use crate::mirror::storage::Storage;
use crate::model::{MirrorKey, RepoPath};
use crate::push::open::Choice;
use crate::store::MirrorRecord;

pub(super) fn show(args: StatusArgs) -> Result<u8, Error> {
    let env = ProcessEnvironment::read()?;
    let check = args.check;
    let args = MirrorArgs::from(args);
    let config::Loaded { config, origins, .. } = config::load_for(&args, &env, Purpose::Look)?;
    let storage = Storage::at(&config.storage);
    // Destinations that are only typed are known to whoever typed them.
    let named = origins.destinations_of_file();
    let choices: HashMap<&str, Choice> =
        config.destinations.iter().map(|one| (one.id.as_str(), Choice::of(one))).collect();
    let is_configured = |id: &str, path: Option<&RepoPath>| {
        let is_wanted = || path.zip(choices.get(id)).is_none_or(|(path, choice)| choice.wants(path));
        named.is_empty() || named.contains(id) && is_wanted()
    };
    let (records, mut destinations, runs) = runtime()?.block_on(async {
        let Some(store) = Session::look(&storage).await? else {
            if !storage.root().is_dir() {
                let error = Error::usage(format!("there is no storage directory {}", storage.root().display()));
                return Err(error.hint("name it with --storage, or make it with a first run."));
            }
            return Ok(Default::default());
        };
        let (records, pushed) = (store.mirrors().await?, store.destinations().await?);
        let runs = store.recent_runs(status::RUNS).await?;
        records.ignored.iter().chain(&pushed.ignored).chain(&runs.ignored).for_each(|row| tracing::warn!("{row}"));
        let paths: HashMap<&MirrorKey, &RepoPath> =
            records.rows.iter().map(|record| (&record.key, &record.path)).collect();
        let mut destinations: HashMap<MirrorKey, Vec<DestinationStatus>> = HashMap::new();
        for record in pushed.rows {
            let (key, configured) =
                (record.key.clone(), is_configured(&record.destination, paths.get(&record.key).copied()));
            let status = DestinationStatus { configured, ..record.into() };
            destinations.entry(key).or_default().push(status);
        }
        Ok((records.rows, destinations, runs.rows))
    })?;
    let now = Timestamp::now();
    let limit = SignedDuration::try_from(config.stale_after).unwrap_or(SignedDuration::MAX);
    let is_recent = |last: Option<Timestamp>| last.is_some_and(|last| now.duration_since(last) <= limit);
    for status in destinations.values_mut().flatten() {
        status.late = !is_recent(status.last_success);
    }
    let row = |record: MirrorRecord| {
        let destinations = destinations.remove(&record.key).unwrap_or_default();
        let fresh = is_recent(record.last_success);
        StatusRow { destinations, fresh, ..StatusRow::of(record, &storage) }
    };
    let rows: Vec<_> = records.into_iter().map(row).collect();
    let color = config.output.color;
    let ok = status::is_ok(&rows);
    if config.output.json {
        print(&status::json(&rows, &runs, now));
    } else if !check {
        print(&table::table(&rows, &runs, now, view(Detail::Everything, color)));
    } else if !ok {
        let bad: Vec<_> = rows.into_iter().filter(StatusRow::needs_attention).collect();
        print(&table::table(&bad, &[], now, view(Detail::Everything, color)));
    }
    Ok(if check && !ok { exit::SOME_FAILED } else { exit::OK })
}
