//! What one git may take of this machine while others work beside it: threads, and memory where it is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::speed::Speed;

const MIB: u64 = 1 << 20;

/// The machine, divided among the jobs at work.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    cores: usize,
    /// Bytes for one git.
    memory: Option<u64>,
    working: Arc<AtomicUsize>,
    /// Of what comes and goes over our own connections.
    pub(super) speed: Speed,
}

/// One job at work; it counts until it is dropped.
#[derive(Debug)]
pub struct Share(Arc<AtomicUsize>);

impl Resources {
    /// Of this machine's cores, and of `memory` bytes that `at_once` jobs share.
    pub fn new(memory: Option<u64>, at_once: usize) -> Self {
        // Knows of CPU sets and of the quota of a container.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let memory = memory.map(|bytes| bytes / at_once.max(1) as u64);
        Resources { cores, memory, ..Resources::default() }
    }

    /// The same, with a bound on the bytes that are moved in a second.
    pub fn bounded(self, speed: Speed) -> Self {
        Resources { speed, ..self }
    }

    /// Counts one more job at work.
    pub fn share(&self) -> Share {
        self.working.fetch_add(1, Ordering::Relaxed);
        Share(self.working.clone())
    }

    /// The settings that a git which is started now gets.
    pub(super) fn settings(&self) -> Vec<(&'static str, u64)> {
        let threads = threads(self.cores, self.working.load(Ordering::Relaxed));
        let mut settings: Vec<_> = threads.map(|threads| ("pack.threads", threads as u64)).into_iter().collect();
        if let Some(bytes) = self.memory {
            settings.extend(bounds(bytes, threads.unwrap_or(self.cores).max(1) as u64));
        }
        settings
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many threads index-pack and pack-objects may use; `None` leaves that to git, which knows best when it is alone.
fn threads(cores: usize, working: usize) -> Option<usize> {
    (working > 1 && cores > 0).then(|| (cores / working).max(1))
}

/// What keeps a git of so many threads within about `bytes`, as far as git can be told (git-config(1)): a quarter each for
/// packs mapped into memory, for whole files, for delta bases (index-pack) or the delta window (pack-objects, which has
/// no use for the one before), and for deltas that wait to be written. No value is above git's own default.
fn bounds(bytes: u64, threads: u64) -> [(&'static str, u64); 6] {
    let quarter = bytes / 4;
    let each = quarter / threads;
    [
        // Larger files are streamed, and not compared with others.
        ("core.bigFileThreshold", each.clamp(MIB, 512 * MIB)),
        ("core.deltaBaseCacheLimit", each.clamp(MIB, 96 * MIB)),
        ("pack.windowMemory", each.max(MIB)),
        ("pack.deltaCacheSize", quarter.clamp(MIB, 256 * MIB)),
        ("core.packedGitLimit", quarter.max(4 * MIB)),
        // One window is mapped whatever the limit, and is 1 GiB by default.
        ("core.packedGitWindowSize", (quarter / 4).clamp(MIB, 1024 * MIB)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cores_are_divided_among_what_works() {
        assert_eq!([1, 2, 5, 16].map(|working| threads(8, working)), [None, Some(4), Some(1), Some(1)]);
        assert_eq!(threads(2, 0), None, "git knows best when it is alone");
    }

    #[test]
    fn a_job_counts_as_long_as_it_works() {
        let resources = Resources { cores: 8, ..Resources::default() };
        let first = resources.share();
        assert_eq!(resources.settings(), []);
        let second = resources.clone().share();
        assert_eq!(resources.settings(), [("pack.threads", 4)]);
        drop((first, second));
        assert_eq!(resources.settings(), []);
    }

    #[test]
    fn memory_is_divided_among_jobs_and_threads() {
        let resources = Resources { cores: 4, memory: Some(256 * MIB), ..Resources::default() };
        let settings = |name: &str| resources.settings().into_iter().find(|(key, _)| *key == name).map(|found| found.1);
        assert_eq!(settings("core.packedGitLimit"), Some(64 * MIB));
        assert_eq!(settings("pack.windowMemory"), Some(16 * MIB), "of each of four threads");
        let _two = [resources.share(), resources.share()];
        assert_eq!(settings("pack.windowMemory"), Some(32 * MIB), "of each of two");
        // However little there is, git can work.
        assert!(bounds(0, 64).iter().all(|(_, bytes)| *bytes >= MIB));
    }
}
