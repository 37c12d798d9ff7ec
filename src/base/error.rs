//! How the user sees that something ended badly, and the exit code that says it to scripts.

use std::fmt;
use std::process::ExitCode;

use crate::base::failure::Failure;
use crate::base::redact::redact;

/// The exit codes; they are an interface, listed in the README.
pub mod exit {
    /// All mirrors are current or were updated.
    pub const OK: u8 = 0;
    /// The run could not go on: no git, an unusable store, an unwritable storage.
    pub const RUN: u8 = 1;
    /// Wrong usage or configuration; nothing was run.
    pub const USAGE: u8 = 2;
    /// It ran, and some mirrors or listings failed, are held or are degraded.
    pub const SOME_FAILED: u8 = 3;
    /// Interrupted from the keyboard (128 + SIGINT).
    pub const INTERRUPTED: u8 = 130;
}

/// What sort of bad end it is; it decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line asks for something that does not exist.
    Usage,
    /// The configuration (file, environment, flags) is wrong.
    Config,
    /// The run could not go on.
    Run,
    /// The user interrupted it.
    Interrupted,
}

/// One bad end, ready to be shown: every text in it is redacted when it is made.
///
/// ```text
/// error: cannot list the repositories of `acme` on <https://git.example.org>
///   caused by: the server refused the token (401)
/// hint: the token comes from HOLOCRON_ACME_TOKEN and needs the scope `read:repository`
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: ErrorKind,
    /// The thing that did not work, one line.
    pub message: String,
    /// Why, from near to far.
    pub causes: Vec<String>,
    /// What is wrong independently of each other, shown with numbers.
    pub problems: Vec<String>,
    /// The ways out.
    pub hints: Vec<String>,
}

impl Error {
    /// An error with its message.
    pub fn new(kind: ErrorKind, message: impl AsRef<str>) -> Self {
        Error { kind, message: redact(message.as_ref()), causes: Vec::new(), problems: Vec::new(), hints: Vec::new() }
    }

    /// Wrong usage of the command line.
    pub fn usage(message: impl AsRef<str>) -> Self {
        Error::new(ErrorKind::Usage, message)
    }

    /// Something that stops the whole run.
    pub fn run(message: impl AsRef<str>) -> Self {
        Error::new(ErrorKind::Run, message)
    }

    /// Adds a cause below those that are there.
    pub fn caused_by(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(redact(&cause.to_string()));
        self
    }

    /// Adds what is wrong independently of each other, each with its way out.
    pub fn with_problems(mut self, problems: impl IntoIterator<Item = String>) -> Self {
        self.problems.extend(problems.into_iter().map(|problem| redact(&problem)));
        self
    }

    /// Adds a way out.
    pub fn hint(mut self, hint: impl AsRef<str>) -> Self {
        self.hints.push(redact(hint.as_ref()));
        self
    }

    /// Puts what was tried above this error, which becomes its first cause.
    pub fn context(mut self, message: impl AsRef<str>) -> Self {
        let inner = std::mem::replace(&mut self.message, redact(message.as_ref()));
        self.causes.insert(0, inner);
        self
    }

    /// The exit code of the process (see [`exit`]).
    pub fn exit_code(&self) -> u8 {
        match self.kind {
            ErrorKind::Usage | ErrorKind::Config => exit::USAGE,
            ErrorKind::Run => exit::RUN,
            ErrorKind::Interrupted => exit::INTERRUPTED,
        }
    }
}

/// `error: …`, its causes indented, then the numbered problems, its hints last; no line break at the end.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for cause in &self.causes {
            write!(f, "\n  caused by: {cause}")?;
        }
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "\n  {}. {problem}", index + 1)?;
        }
        for hint in &self.hints {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<Error> for ExitCode {
    fn from(error: Error) -> Self {
        ExitCode::from(error.exit_code())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let way_out = failure.way_out().map(str::to_owned);
        let mut error = Error::run(failure.message());
        error.causes.extend(failure.evidence().map(str::to_owned));
        error.hints.extend(way_out);
        error
    }
}

/// What is only shown: its words, and those of its causes below. A run that meets one of these cannot go on.
impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        error.chain().skip(1).fold(Error::run(error.to_string()), Error::caused_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::Reason;

    #[test]
    fn an_error_names_the_thing_the_cause_and_the_way_out() {
        let error = Error::run("the server refused the token (401)")
            .context("cannot list the repositories of `acme`")
            .hint("the token comes from HOLOCRON_ACME_TOKEN");
        assert_eq!(
            error.to_string(),
            "error: cannot list the repositories of `acme`\n  caused by: the server refused the token (401)\n\
             hint: the token comes from HOLOCRON_ACME_TOKEN"
        );
    }

    #[test]
    fn no_text_of_an_error_shows_a_secret() {
        let url = "https://user:hunter2@h/x";
        let shown = Error::run(url).caused_by(url).hint(url).context(url).to_string();
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_failure_keeps_its_evidence_and_its_reasons_hint() {
        let error = Error::from(Failure::new(Reason::DiskFull, "cannot write the store").with_evidence("ENOSPC"));
        assert_eq!(error.exit_code(), exit::RUN);
        assert_eq!(error.causes, ["ENOSPC"]);
        assert_eq!(error.hints.len(), 1);
    }
}
