//! What is wrong with the configuration, each with its place and what to write instead.

use std::fmt;

use crate::base::error::{Error, ErrorKind};
use crate::base::redact::redact;

/// One thing that is wrong, ready to be shown: its texts are redacted when it is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// `holocron.yaml:12`, `--keep` or `HOLOCRON_KEEP`; empty when it is about no one place.
    pub place: String,
    /// What is wrong, naming the key.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Problem {
    /// A problem at a place.
    pub fn new(place: impl fmt::Display, message: impl AsRef<str>) -> Self {
        Problem { place: redact(&place.to_string()), message: redact(message.as_ref()), hint: None }
    }

    /// Adds what to write instead.
    pub fn hint(mut self, hint: impl AsRef<str>) -> Self {
        self.hint = Some(redact(hint.as_ref()));
        self
    }
}

impl Problem {
    /// The problem and what to write instead, on one line.
    pub fn with_hint(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{self}; {hint}"),
            None => self.to_string(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that is wrong with the configuration; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// The problems in the order of the file's lines, after those that are not the file's; none is told twice.
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        let line = |problem: &Problem| problem.place.rsplit_once(':').and_then(|(_, line)| line.parse::<usize>().ok());
        let mut error = ConfigError { problems: Vec::with_capacity(problems.len()) };
        for problem in problems {
            if !error.problems.contains(&problem) {
                error.problems.push(problem);
            }
        }
        error.problems.sort_by_key(line);
        error
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        ConfigError { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
            if let Some(hint) = &problem.hint {
                write!(f, "; {hint}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Returns the known word that is nearest to what was typed, when it is near enough to be meant.
pub(crate) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&typed, word), word))
        // A third of the letters may be wrong; more than that is another word.
        .filter(|(distance, word)| *distance <= word.len().max(typed.len()).div_ceil(3).min(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// One problem becomes the message itself; several stand below a line that counts them, each with its hint.
impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        match <[_; 1]>::try_from(error.problems) {
            Ok([problem]) => {
                let mut error = Error::new(ErrorKind::Config, problem.to_string());
                error.hints.extend(problem.hint);
                error
            }
            Err(problems) => {
                Error::new(ErrorKind::Config, format!("the configuration has {} problems", problems.len()))
                    .with_problems(problems.iter().map(Problem::with_hint))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_finds_the_word_that_was_meant() {
        let known = ["interval", "concurrency", "keep"];
        assert_eq!(nearest("intervall", known), Some("interval"));
        assert_eq!(nearest("Concurency", known), Some("concurrency"));
        assert_eq!(nearest("database", known), None);
    }

    #[test]
    fn problems_follow_the_lines_and_are_told_once() {
        let places = ["f:10", "f:9", "--keep", "f:10"].map(|place| Problem::new(place, "x"));
        let sorted = ConfigError::new(places.to_vec()).problems;
        assert_eq!(sorted.iter().map(|problem| problem.place.as_str()).collect::<Vec<_>>(), ["--keep", "f:9", "f:10"]);
    }

    #[test]
    fn several_problems_stand_on_a_line_each() {
        let error =
            ConfigError { problems: vec![Problem::new("f:1", "one").hint("write two"), Problem::new("", "no place")] };
        assert_eq!(error.to_string(), "f:1: one; write two\nno place");
    }

    #[test]
    fn wrong_configuration_ends_with_2_and_lists_every_problem() {
        let one = Problem::new("f:1", "bad").hint("write good");
        let error = Error::from(ConfigError::from(one.clone()));
        assert_eq!((error.exit_code(), error.to_string().as_str()), (2, "error: f:1: bad\nhint: write good"));
        let error = Error::from(ConfigError { problems: vec![one, Problem::new("f:2", "worse")] });
        assert_eq!(
            error.to_string(),
            "error: the configuration has 2 problems\n  1. f:1: bad; write good\n  2. f:2: worse"
        );
    }
}
