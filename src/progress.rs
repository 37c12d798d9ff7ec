//! What a run tells while it works, and who listens.

use std::time::Duration;

use crate::failure::Failure;
use crate::model::{Outcome, RepoPath};

/// One thing worth telling.
#[derive(Debug, Clone)]
pub enum Event<'a> {
    /// A source is being listed.
    Listing { source: &'a str },
    /// More of a source's listing has arrived.
    Listed { source: &'a str, repos: usize },
    /// The plan stands: how many mirrors there are and how many of them need git.
    Planned { mirrors: usize, to_do: usize },
    /// Work on a mirror begins.
    Started { path: &'a RepoPath },
    /// Git's own progress: its phase (`Receiving objects`) and percentage.
    Phase { path: &'a RepoPath, phase: &'a str, percent: Option<u8> },
    /// Something transient will be tried again after `wait`.
    Retrying { what: &'a str, failure: &'a Failure, wait: Duration },
    /// A mirror is done.
    Finished { outcome: &'a Outcome },
    /// A person should know this now.
    Warning { text: &'a str },
}

/// Who is told. Implementations redact nothing: texts come redacted.
pub trait Sink: Send + Sync {
    /// Takes one event; it must not block.
    fn tell(&self, event: &Event<'_>);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Sink for Silent {
    fn tell(&self, _: &Event<'_>) {}
}
