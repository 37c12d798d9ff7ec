//! What the listings of a cycle lack.

use crate::base::failure::Failure;

/// What is missing in an inventory, and what a person should know about it.
#[derive(Debug, Default)]
pub struct Gaps {
    /// Sources that could not be listed: nothing behind them is touched.
    pub failures: Vec<SourceFailure>,
    pub refused: Vec<RefusedPart>,
    /// What was asked for and matched nothing.
    pub unmatched: Vec<Unmatched>,
    /// What a person should know about the listings.
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

/// Something that was asked for and matched nothing: a source without repositories, a pattern without a match.
#[derive(Debug, Clone, PartialEq)]
pub struct Unmatched {
    /// What it is about: a source, a setting with its pattern.
    pub what: String,
    pub failure: Failure,
}
