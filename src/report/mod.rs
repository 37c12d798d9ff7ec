//! What a run came to: table, JSON document and exit code.
//!
//! Everything here is pure but [`Report::write`]. `docs/report.md` describes what is rendered, field by field.

mod document;
mod failures;
pub mod status;
mod table;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::failure::{Failure, Reason};
use crate::model::{Outcome, Status};
use crate::text::{Detail, Paint};

pub use document::schema;

/// The version of the JSON documents; it grows when a field goes or changes its meaning, not when one is added.
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
    /// Sources that could not be listed: nothing behind them was touched.
    pub source_failures: Vec<SourceFailure>,
    /// Parts of listings that were refused for themselves.
    pub refused: Vec<RefusedPart>,
    pub interrupted: Option<Interrupt>,
    /// What a person should know about the run as a whole.
    pub warnings: Vec<String>,
}

/// A source that could not be listed.
#[derive(Debug, Clone, PartialEq)]
pub struct SourceFailure {
    /// The source's id.
    pub source: String,
    pub failure: Failure,
}

/// A part of a source's listing that was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedPart {
    /// The source's id.
    pub source: String,
    /// What it is about: an organisation, a repository.
    pub what: String,
    pub failure: Failure,
}

/// The signal that ended a run early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// SIGINT: someone pressed Ctrl-C.
    Int,
    /// SIGTERM: the system wants us gone.
    Term,
}

impl Interrupt {
    /// The signal's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Interrupt::Int => "SIGINT",
            Interrupt::Term => "SIGTERM",
        }
    }
}

/// How a table is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct View {
    /// The terminal's columns; `None` (a pipe, a file) cuts nothing.
    pub width: Option<u16>,
    pub detail: Detail,
    pub paint: Paint,
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
            outcomes: Vec::new(),
            source_failures: Vec::new(),
            refused: Vec::new(),
            interrupted: None,
            warnings: Vec::new(),
        }
    }

    /// Returns the exit code: 130 after SIGINT, 3 when something needs a person, else 0.
    ///
    /// A person is needed for a mirror that failed, is held or degraded, a source that could not be listed (also when
    /// none could: the run did run), and a refused part of a listing. Mirrors that SIGTERM left untried are no
    /// failures: a service manager that stops us gets 0 when all that was tried went well.
    pub fn exit_code(&self) -> u8 {
        if self.interrupted == Some(Interrupt::Int) {
            return 130;
        }
        let failed = self.outcomes.iter().any(|outcome| self.needs_attention(outcome))
            || self.source_failures.iter().any(|source| !self.is_interruption(&source.failure))
            || self.refused.iter().any(|part| !self.is_interruption(&part.failure));
        if failed { 3 } else { 0 }
    }

    /// Whether anything happened that is worth a word; trouble that lasts is [`Report::troubles`].
    pub fn is_news(&self) -> bool {
        let told = |outcome: &Outcome| outcome.refs.changed() > 0 || !outcome.notes.is_empty();
        self.interrupted.is_some() || !self.warnings.is_empty() || self.outcomes.iter().any(told)
    }

    /// What needs a person, and for which reason: a mirror that waits for its next try is in the trouble of the last.
    ///
    /// Under `--watch` it is told when it changes, not in every cycle that it lasts.
    pub fn troubles(&self) -> BTreeSet<(String, Reason)> {
        let mirrors = self.outcomes.iter().filter(|outcome| self.needs_attention(outcome)).map(|outcome| {
            let reason = outcome.failure.as_ref().map_or(Reason::Unknown, |failure| failure.reason);
            (outcome.mirror.display().to_string(), reason)
        });
        let sources = self.source_failures.iter().map(|failed| (failed.source.clone(), failed.failure.reason));
        let refused = self.refused.iter().map(|part| (format!("{} {}", part.source, part.what), part.failure.reason));
        mirrors.chain(sources).chain(refused).collect()
    }

    /// Returns the table for people: rows for what changed or needs attention, failures with their way out, and a
    /// summary; one line when nothing happened. Ends with a line break; mirrors are sorted by name.
    pub fn table(&self, view: View) -> String {
        table::render(self, view)
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

    /// Whether a person has to look at this mirror.
    fn needs_attention(&self, outcome: &Outcome) -> bool {
        match &outcome.failure {
            _ if outcome.degraded => true,
            Some(failure) => !self.is_interruption(failure),
            None => outcome.verdict.status() == Status::Failed,
        }
    }

    /// Whether this is nothing but our own stopping.
    fn is_interruption(&self, failure: &Failure) -> bool {
        self.interrupted.is_some() && failure.reason == Reason::Cancelled
    }

    /// The outcomes in the order in which they are shown; equal names of two sources stay apart by their place.
    fn sorted(&self) -> Vec<&Outcome> {
        let mut outcomes: Vec<&Outcome> = self.outcomes.iter().collect();
        outcomes.sort_by(|a, b| a.path.cmp(&b.path).then_with(|| a.mirror.cmp(&b.mirror)));
        outcomes
    }
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
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
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
pub(crate) mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::model::{MirrorKey, RefCounts, RepoPath, Verdict};

    /// A report of a run that began on 20 November 2026 and took 4.2 s.
    pub(in crate::report) fn report(outcomes: Vec<Outcome>) -> Report {
        Report {
            duration: Duration::from_millis(4_200),
            version: "0.0.0",
            outcomes,
            ..Report::new("2026-11-20T12:00:00Z".parse().unwrap(), "/mirrors")
        }
    }

    /// The outcome of `full` (`namespace/name`), after 400 ms.
    pub(in crate::report) fn outcome(full: &str, verdict: Verdict) -> Outcome {
        let path = RepoPath::parse(full).unwrap();
        Outcome {
            mirror: path.mirror_path("h"),
            path,
            source: "github".into(),
            key: MirrorKey { folder: "h".into(), id: full.into() },
            verdict,
            degraded: false,
            duration: Duration::from_millis(400),
            refs: RefCounts::default(),
            received: 0,
            size: None,
            kept: None,
            failure: None,
            notes: Vec::new(),
            destinations: Vec::new(),
        }
    }

    /// The outcome of `full` with this failure.
    pub(in crate::report) fn failed(full: &str, verdict: Verdict, failure: Failure) -> Outcome {
        Outcome { failure: Some(failure), ..outcome(full, verdict) }
    }

    fn code(change: impl FnOnce(&mut Report)) -> u8 {
        let mut report = report(vec![outcome("ns/a", Verdict::Current)]);
        change(&mut report);
        report.exit_code()
    }

    #[test]
    fn a_run_without_trouble_exits_with_0() {
        assert_eq!(code(|_| ()), 0);
        for verdict in [Verdict::Cloned, Verdict::Updated, Verdict::Empty, Verdict::Gone, Verdict::Unavailable] {
            assert_eq!(code(|report| report.outcomes.push(outcome("ns/b", verdict))), 0, "{verdict:?}");
        }
    }

    #[test]
    fn whatever_needs_a_person_exits_with_3() {
        let failure = || Failure::new(Reason::AuthFailed, "x");
        assert_eq!(code(|report| report.outcomes.push(failed("ns/b", Verdict::Failed, failure()))), 3);
        assert_eq!(code(|report| report.outcomes.push(failed("ns/b", Verdict::Skipped, failure()))), 3);
        assert_eq!(code(|report| report.outcomes.push(outcome("ns/b", Verdict::Held))), 3);
        assert_eq!(code(|report| report.outcomes[0].degraded = true), 3);
        let source = SourceFailure { source: "github".into(), failure: failure() };
        assert_eq!(code(|report| *report = Report { source_failures: vec![source], ..self::report(vec![]) }), 3);
        let part = RefusedPart { source: "github".into(), what: "acme".into(), failure: failure() };
        assert_eq!(code(|report| report.refused = vec![part]), 3);
    }

    #[test]
    fn lasting_trouble_is_the_same_while_a_mirror_waits_for_its_next_try() {
        let failure = || Failure::new(Reason::NetworkFailed, "x");
        let tried = report(vec![failed("ns/a", Verdict::Failed, failure())]);
        let waiting = report(vec![failed("ns/a", Verdict::Skipped, failure())]);
        assert!(!tried.is_news() && !tried.troubles().is_empty());
        assert_eq!(tried.troubles(), waiting.troubles());
        let other = report(vec![failed("ns/a", Verdict::Failed, Failure::new(Reason::DiskFull, "x"))]);
        assert_ne!(tried.troubles(), other.troubles());
        assert!(report(vec![outcome("ns/a", Verdict::Current)]).troubles().is_empty());
    }

    #[test]
    fn ctrl_c_exits_with_130_and_sigterm_with_what_the_outcomes_give() {
        let untried = || failed("ns/b", Verdict::Skipped, Failure::new(Reason::Cancelled, "not tried"));
        let broken = || failed("ns/c", Verdict::Failed, Failure::new(Reason::Corrupt, "x"));
        let stopped = |interrupt, outcomes: Vec<Outcome>| Report { interrupted: Some(interrupt), ..report(outcomes) };
        assert_eq!(stopped(Interrupt::Int, vec![]).exit_code(), 130);
        assert_eq!(stopped(Interrupt::Int, vec![broken()]).exit_code(), 130);
        assert_eq!(stopped(Interrupt::Term, vec![untried()]).exit_code(), 0);
        assert_eq!(stopped(Interrupt::Term, vec![untried(), broken()]).exit_code(), 3);
    }

    #[test]
    fn the_written_report_is_the_json_document_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let report = report(vec![outcome("ns/a", Verdict::Current)]);
        report.write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), report.json());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_existing_report_is_replaced_and_keeps_its_mode_and_its_link() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("report.json"), folder.path().join("latest"));
        fs::write(&path, "an older and much longer text".repeat(1_000)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("report.json", &link).unwrap();
        let report = report(vec![]);
        report.write(&link).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), report.json());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        report(vec![]).write(Path::new("/dev/null")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_report_that_cannot_be_written_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/report.json");
        let failure = report(vec![]).write(&path).unwrap_err();
        assert_eq!(failure.reason, Reason::LocalFailed);
        assert!(failure.message.ends_with("missing/report.json"), "{failure}");
    }
}
