//! What a run came to: outcomes, JSON document and exit code.
//!
//! Everything here is pure but [`Report::write`]. `docs/report.md` describes what is rendered, field by field.

pub(super) mod document;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::base::error::Error;
use crate::base::failure::{Failure, Reason};
use crate::cycle::gaps::{Gaps, RefusedPart, SourceFailure, Unmatched};
use crate::cycle::scope::Scope;
use crate::git::{Fetches, Looks};
use crate::model::destination::{DestinationOutcome, PushVerdict};
use crate::model::projection::ReleasesOutcome;
use crate::model::{Outcome, Status};
use crate::progress::{destinations, releases};

pub use document::schema;

/// The version of the JSON report; it grows when a field or one of its words goes or changes its meaning, not when one is
/// added.
pub const SCHEMA_VERSION: u32 = 1;

/// One run, finished.
#[derive(Debug, Clone)]
pub struct Report {
    pub started: Timestamp,
    pub duration: Duration,
    /// Nothing was written; the outcomes say what could be found out without writing.
    pub dry_run: bool,
    /// Holocron's own version.
    pub version: &'static str,
    /// The storage root.
    pub storage: PathBuf,
    pub outcomes: Vec<Outcome>,
    /// How often remotes were asked for their refs.
    pub looks: Looks,
    /// How often objects were brought from them.
    pub fetches: Fetches,
    /// Sources that could not be listed: nothing behind them was touched.
    pub source_failures: Vec<SourceFailure>,
    /// Parts of listings that were refused for themselves.
    pub refused: Vec<RefusedPart>,
    /// What was asked for and matched nothing.
    pub unmatched: Vec<Unmatched>,
    pub interrupted: Option<Interrupt>,
    /// Mirrors without an outcome: a second signal ended the run before they had one.
    pub unfinished: usize,
    /// What a person should know about the run as a whole.
    pub warnings: Vec<String>,
}

/// What ended a run early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// SIGINT: someone pressed Ctrl-C.
    Int,
    /// SIGTERM: the system wants us gone.
    Term,
    /// Someone cancelled this cycle; the next one comes in its time.
    Cancel,
}

impl Interrupt {
    /// The signal's name, or `cancel`.
    pub fn as_str(self) -> &'static str {
        match self {
            Interrupt::Int => "SIGINT",
            Interrupt::Term => "SIGTERM",
            Interrupt::Cancel => "cancel",
        }
    }
}

impl Report {
    /// A report in which nothing has happened yet.
    pub fn new(started: Timestamp, storage: impl Into<PathBuf>) -> Self {
        Report {
            started,
            duration: Duration::ZERO,
            dry_run: false,
            version: env!("CARGO_PKG_VERSION"),
            storage: storage.into(),
            looks: Looks::default(),
            fetches: Fetches::default(),
            outcomes: Vec::new(),
            source_failures: Vec::new(),
            refused: Vec::new(),
            unmatched: Vec::new(),
            interrupted: None,
            unfinished: 0,
            warnings: Vec::new(),
        }
    }

    /// Takes over what the listings lack.
    pub fn add(&mut self, gaps: Gaps) {
        self.source_failures.extend(gaps.failures);
        self.refused.extend(gaps.refused);
        self.unmatched.extend(gaps.unmatched);
        self.warnings.extend(gaps.warnings);
    }

    /// Notes when a part of the mirrors was asked for and none is of it.
    pub fn note_nothing_of(&mut self, scope: &Scope) {
        if *scope != Scope::All && self.outcomes.is_empty() {
            let failure = Failure::new(Reason::NothingMatched, "no mirror is of that name");
            self.unmatched.push(Unmatched { what: format!("the mirrors that were asked for ({scope})"), failure });
        }
    }

    /// Returns the exit code: 130 after SIGINT, 3 when something needs a person, else 0.
    ///
    /// A person is needed for a mirror that failed, is held or degraded, a destination of it that is behind, a source that
    /// could not be listed (also when none could: the run did run), a refused part of a listing, and a selection that
    /// matches nothing. What SIGTERM left untried is no failure: a service manager that stops us gets 0 when all that was tried went well.
    pub fn exit_code(&self) -> u8 {
        if self.interrupted == Some(Interrupt::Int) {
            return 130;
        }
        let failed = self.outcomes.iter().any(|outcome| self.needs_attention(outcome))
            || self.source_failures.iter().any(|source| !self.is_interruption(&source.failure))
            || self.refused.iter().any(|part| !self.is_interruption(&part.failure))
            || !self.unmatched.is_empty();
        if failed { 3 } else { 0 }
    }

    /// Whether anything happened that is worth a word; trouble that lasts is [`Report::troubles`].
    pub fn is_news(&self) -> bool {
        let told = |outcome: &Outcome| {
            let there = outcome.destinations.iter().any(destinations::is_changed);
            let released = outcome.releases.iter().any(releases::is_changed);
            there || released || outcome.refs.changed() > 0 || !outcome.notes.is_empty()
        };
        self.interrupted.is_some() || !self.warnings.is_empty() || self.outcomes.iter().any(told)
    }

    /// What needs a person, and for which reason: a mirror that waits for its next try is in the trouble of the last.
    ///
    /// Under `--watch` it is told when it changes, not in every cycle that it lasts.
    pub fn troubles(&self) -> BTreeSet<(String, Reason)> {
        let mirrors = self.outcomes.iter().filter(|outcome| self.is_troubled(outcome)).map(|outcome| {
            let reason = outcome.failure.as_ref().map_or(Reason::Unknown, |failure| failure.reason());
            (outcome.mirror.display().to_string(), reason)
        });
        let sources = self.source_failures.iter().map(|failed| (failed.source.clone(), failed.failure.reason()));
        let refused = self.refused.iter().map(|part| (format!("{} {}", part.source, part.what), part.failure.reason()));
        let behind = self.outcomes.iter().flat_map(|outcome| {
            let behind = outcome.destinations.iter().filter(|one| self.is_behind(one));
            behind.flat_map(move |one| {
                let what = format!("{} → {}", outcome.mirror.display(), one.destination);
                reasons(one).into_iter().map(move |reason| (what.clone(), reason))
            })
        });
        let unreleased = self.outcomes.iter().flat_map(|outcome| {
            let behind = outcome.releases.iter().filter(|one| self.lacks_releases(one));
            behind.flat_map(move |one| {
                let what = format!("{} {}", outcome.mirror.display(), releases::place(one));
                releases::troubles(one).map(move |(_, failure)| (what.clone(), failure.reason())).collect::<Vec<_>>()
            })
        });
        let unmatched = self.unmatched.iter().map(|idle| (idle.what.clone(), idle.failure.reason()));
        mirrors.chain(behind).chain(unreleased).chain(sources).chain(refused).chain(unmatched).collect()
    }

    /// Returns the JSON document, indented, on lines of its own.
    pub fn json(&self) -> String {
        document::text(&document::Document::of(self))
    }

    /// Returns the `totals` of the JSON document, for the history of runs.
    pub fn totals(&self) -> serde_json::Value {
        document::totals(self)
    }

    /// Writes the JSON document to `path`: whole or not at all.
    ///
    /// It is written beside `path` and renamed into place. A new file gets the mode that the umask leaves, an existing
    /// one keeps its own: the report holds no secrets, and whoever names a file says who may read it. A link stays and its
    /// target is replaced; what is no regular file (`/dev/stdout`, a FIFO) is written to directly.
    ///
    /// # Errors
    /// `disk_full` or `local_failed`, naming the file.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        replace(path, self.json().as_bytes())
            .map_err(|error| Failure::local(format!("cannot write the report to {}", path.display()), &error))
    }

    /// Whether [`Report::write`] can write to `path`, as far as that can be told before there is anything to write.
    ///
    /// # Errors
    /// A directory that is missing or cannot be written to, or a `path` that is one.
    pub fn check_path(path: &Path) -> Result<(), Error> {
        let refuse = |why: &str, hint: &str| {
            Err(Error::usage(format!("the report cannot be written to {}: {why}", path.display())).hint(hint))
        };
        if path.is_dir() {
            return refuse("it is a directory", "name a file in it.");
        }
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if fs::metadata(&path).is_ok_and(|known| !known.is_file()) {
            return Ok(());
        }
        let folder = folder_of(&path);
        if !folder.is_dir() {
            return refuse(&format!("there is no directory {}", folder.display()), "make it, or name another file.");
        }
        match rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK) {
            Ok(()) => Ok(()),
            Err(error) => refuse(&format!("{}: {error}", folder.display()), "name a file that can be written."),
        }
    }

    /// Whether a person has to look at this mirror or at one of its destinations.
    fn needs_attention(&self, outcome: &Outcome) -> bool {
        self.is_troubled(outcome)
            || outcome.destinations.iter().any(|one| self.is_behind(one))
            || outcome.releases.iter().any(|one| self.lacks_releases(one))
    }

    /// Whether a person has to look at this mirror for something else than a destination.
    pub fn is_troubled(&self, outcome: &Outcome) -> bool {
        match &outcome.failure {
            _ if destinations::is_degraded_itself(outcome) => true,
            Some(failure) => !self.is_interruption(failure),
            None => outcome.verdict.status() == Status::Failed,
        }
    }

    /// Whether a destination is not in step, our own stopping excepted.
    fn is_behind(&self, outcome: &DestinationOutcome) -> bool {
        let stopped = outcome.failure.as_ref().is_some_and(|failure| self.is_interruption(failure));
        !outcome.verdict.in_step() && !stopped
    }

    /// Whether a place has not got the releases that it should, our own stopping excepted.
    fn lacks_releases(&self, outcome: &ReleasesOutcome) -> bool {
        let stopped = outcome.failure.as_ref().is_some_and(|failure| self.is_interruption(failure));
        !outcome.verdict.in_step() && !stopped
    }

    /// Whether this is nothing but our own stopping.
    pub fn is_interruption(&self, failure: &Failure) -> bool {
        self.interrupted.is_some() && failure.reason() == Reason::Cancelled
    }

    /// The outcomes in the order in which they are shown; equal names of two sources stay apart by their place.
    pub fn sorted(&self) -> Vec<&Outcome> {
        let mut outcomes: Vec<&Outcome> = self.outcomes.iter().collect();
        outcomes.sort_by(|a, b| a.path.cmp(&b.path).then_with(|| a.mirror.cmp(&b.mirror)));
        outcomes
    }
}

/// Why a destination is behind.
fn reasons(outcome: &DestinationOutcome) -> BTreeSet<Reason> {
    let whole = outcome.failure.iter().map(|failure| failure.reason());
    let mut reasons: BTreeSet<Reason> = whole.chain(outcome.refused.iter().map(|refused| refused.reason)).collect();
    if reasons.is_empty() {
        reasons.insert(match outcome.verdict {
            PushVerdict::Diverged => Reason::Diverged,
            PushVerdict::Held => Reason::Held,
            PushVerdict::Refused => Reason::PushRejected,
            _ => Reason::Unknown,
        });
    }
    reasons
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // Follows links, so that the link is kept.
    let path = match fs::canonicalize(path) {
        Ok(existing) => existing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error),
    };
    let existing = fs::metadata(&path).ok();
    if existing.as_ref().is_some_and(|metadata| !metadata.is_file()) {
        return fs::OpenOptions::new().write(true).open(&path)?.write_all(bytes);
    }
    let folder = folder_of(&path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".holocron-report-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    if let Some(existing) = existing {
        file.as_file().set_permissions(existing.permissions())?;
    }
    file.write_all(bytes)?;
    // The name must not outlive the content in a power cut.
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
