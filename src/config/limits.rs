//! What a run may take of this machine and of the hosts it asks, beside the numbers of jobs.

use std::time::Duration;

use super::layers::Layers;
use super::raw::RawConfig;
use super::values::IoNice;
use super::values::Size;

/// Git has no use for less, however little of it each part gets.
const LEAST_MEMORY: u64 = 16 << 20;
/// Enough to roll up what a run's fetches have left, and short enough for an hourly cron job.
const MAINTENANCE: Duration = Duration::from_secs(10 * 60);
/// More is none.
const FASTEST: f64 = 10_000.0;
/// With fewer bytes in a second a piece of a transfer takes as long as others call silence.
const SLOWEST: u64 = 64 << 10;

/// The limits of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Bytes that all gits at work may take together, as far as git can be told; `None` leaves it to git.
    pub memory: Option<u64>,
    /// Requests to the API of one host in a second.
    pub requests_per_second: Option<f64>,
    /// Bytes that this process moves over the network in a second, what git moves by itself aside.
    pub bytes_per_second: Option<u64>,
    /// The CPU priority of this process and its gits, 0 to 19; the higher, the more it stands back.
    pub nice: Option<u8>,
    /// The disk priority of this process and its gits.
    pub ionice: Option<IoNice>,
    /// How long the upkeep of mirrors after a run may take; zero for none.
    pub maintenance: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let (memory, requests_per_second, bytes_per_second) = (None, None, None);
        Limits { memory, requests_per_second, bytes_per_second, nice: None, ionice: None, maintenance: MAINTENANCE }
    }
}

/// Finds the limits and checks their ranges.
pub(super) fn resolve(layers: &mut Layers<'_>, file: &RawConfig) -> Limits {
    let (flags, env) = (layers.flags, &layers.environment.args);
    let memory = [flags.memory, env.memory, file.memory].map(|size| size.map(|Size(bytes)| Some(bytes)));
    let memory = layers.pick("memory", memory, None);
    let rate =
        [flags.requests_per_second, env.requests_per_second, file.requests_per_second].map(|rate| rate.map(Some));
    let requests_per_second = layers.pick("requests_per_second", rate, None);
    let speed = [flags.bytes_per_second, env.bytes_per_second, file.bytes_per_second];
    let speed = speed.map(|size| size.map(|Size(bytes)| Some(bytes)));
    let bytes_per_second = layers.pick("bytes_per_second", speed, None);
    let nice = layers.pick("nice", [flags.nice, env.nice, file.nice].map(|nice| nice.map(Some)), None);
    let ionice = layers.pick("ionice", [flags.ionice, env.ionice, file.ionice].map(|class| class.map(Some)), None);
    let maintenance = layers.pick("maintenance", [None, None, file.maintenance.map(|span| span.0)], MAINTENANCE);

    if memory.is_some_and(|bytes| bytes < LEAST_MEMORY) {
        layers.problem("memory", "`memory` is less than git can work with", "write at least `16MiB`");
    }
    if requests_per_second.is_some_and(|rate| !(rate > 0.0 && rate <= FASTEST)) {
        let hint = format!("write a number above 0, such as `0.5` or `10`, up to {FASTEST}");
        layers.problem("requests_per_second", "`requests_per_second` is no rate", hint);
    }
    if bytes_per_second.is_some_and(|bytes| bytes < SLOWEST) {
        layers.problem(
            "bytes_per_second",
            "`bytes_per_second` is so few that servers hang up",
            "write at least `64KiB`",
        );
    }
    if let Some(nice) = nice {
        layers.within("nice", u64::from(nice), 0..=19);
    }
    if ionice.is_some() && !cfg!(target_os = "linux") {
        let hint = "take it out; `nice` works here";
        layers.problem("ionice", "`ionice` is not supported on this system, which has no such priorities", hint);
    }
    Limits { memory, requests_per_second, bytes_per_second, nice, ionice, maintenance }
}
