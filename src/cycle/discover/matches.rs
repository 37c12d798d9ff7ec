//! Pure: what was asked for and matched nothing. A run that did nothing by mistake must not look like a success.

use std::collections::BTreeSet;

use crate::base::failure::{Failure, Reason};
use crate::base::text::list;
use crate::config::{Config, SourceConfig, globs};
use crate::cycle::gaps::Unmatched;
use crate::model::ForgeKind;

/// Names shown of what a source lists; the rest is counted.
const NAMES: usize = 3;

/// How patterns are compared, for everybody whose pattern did not do what was meant.
const HOW: &str = "a pattern is compared with the whole `namespace/name`, without regard to case; `*` stays within one \
                   part and `**` goes across, as in `acme/*` or `**/tool`";

/// What one source listed, and what was wanted of it.
pub(super) struct Tally<'a> {
    pub(super) source: &'a SourceConfig,
    /// The names of all repositories that it lists, wanted or not.
    pub(super) listed: Vec<String>,
    /// The names of its mirrors, listed or not, and of what was refused.
    pub(super) known: Vec<String>,
    pub(super) wanted: usize,
    /// Whether the report has something of it that is not a repository listed: a refused part, a mirror that is gone.
    pub(super) has_more: bool,
}

impl Tally<'_> {
    fn is_empty(&self) -> bool {
        self.wanted == 0 && !self.has_more
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.listed.iter().chain(&self.known)
    }

    /// Its failure when nothing of it is mirrored.
    fn unmatched(&self) -> Option<Unmatched> {
        if !self.is_empty() {
            return None;
        }
        let what = format!("source {}", self.source.id);
        let failure = match self.listed.len() {
            0 => nothing("it lists no repository", "").with_hint(self.way_out()),
            all => {
                let text = format!("none of the {all} repositories that it lists is selected");
                let filters = &self.source.filters;
                let by_name = !filters.include.is_empty() || !filters.exclude.is_empty();
                let hint = if by_name {
                    HOW
                } else {
                    "see the filters of this source (`forks`, `archived`, `visibility` …)"
                };
                nothing(&text, &shown(&self.listed)).with_hint(format!("{hint}."))
            }
        };
        Some(Unmatched { what, failure })
    }

    fn way_out(&self) -> String {
        match self.source.kind {
            ForgeKind::Dir => {
                let dirs: Vec<String> = self.source.dirs.iter().map(|dir| dir.display().to_string()).collect();
                let dirs: Vec<&str> = dirs.iter().map(String::as_str).collect();
                format!("see whether {} holds repositories, and is mounted.", list(&dirs, NAMES))
            }
            ForgeKind::Urls => "write at least one URL into the list.".to_owned(),
            _ => "see whether the token may list repositories, or name `owners`; take the source out if it has none."
                .to_owned(),
        }
    }
}

/// What matched nothing, and warnings about what merely does nothing.
pub(super) fn idle(config: &Config, tallies: &[Tally<'_>], records: &[String]) -> (Vec<Unmatched>, Vec<String>) {
    let mut unmatched: Vec<Unmatched> = tallies.iter().filter_map(Tally::unmatched).collect();
    let mut warnings = Vec::new();
    for pattern in idle_patterns(config, tallies, |source| &source.filters.include) {
        // A source of which nothing is selected was named already.
        let heard = |tally: &Tally<'_>| tally.source.filters.include.contains(&pattern) && !tally.is_empty();
        if tallies.iter().any(heard) {
            unmatched.push(of_pattern("include", &pattern, &names(tallies)));
        }
    }
    for pattern in idle_patterns(config, tallies, |source| &source.filters.exclude) {
        if tallies.iter().any(|tally| !tally.listed.is_empty()) {
            warnings.push(format!("`exclude` has the pattern `{pattern}`, which matches nothing: {HOW}."));
        }
    }
    let mut everything = names(tallies);
    everything.extend(records.iter().cloned());
    if everything.is_empty() {
        return (unmatched, warnings);
    }
    let mut ask = |setting: &str, patterns: &[String]| {
        for pattern in globs::unmatched(patterns, &everything) {
            unmatched.push(of_pattern(setting, pattern, &everything));
        }
    };
    ask("accept_deletions", &config.accept_deletions);
    ask("release", config.only_releases.as_ref().map_or(&[][..], |only| &only.repos));
    // Where a source could not be listed, nobody knows what it has.
    if tallies.len() == config.sources.len() {
        for destination in &config.destinations {
            ask(&format!("include of destination {}", destination.id), &destination.include);
            for pattern in globs::unmatched(&destination.exclude, &everything) {
                let id = &destination.id;
                warnings.push(format!(
                    "`exclude` of destination {id} has the pattern `{pattern}`, which matches nothing: {HOW}."
                ));
            }
        }
    }
    (unmatched, warnings)
}

/// The patterns that match in no source that has them; one whose source could not be listed is left out.
fn idle_patterns(
    config: &Config,
    tallies: &[Tally<'_>],
    of: impl Fn(&SourceConfig) -> &Vec<String>,
) -> BTreeSet<String> {
    let all: BTreeSet<&String> = config.sources.iter().flat_map(&of).collect();
    let is_idle = |pattern: &&String| {
        let has = |source: &SourceConfig| of(source).contains(pattern);
        let heard: Vec<&Tally<'_>> = tallies.iter().filter(|tally| has(tally.source)).collect();
        let whole = heard.len() == config.sources.iter().filter(|source| has(source)).count();
        let names: Vec<String> = heard.iter().flat_map(|tally| tally.names()).cloned().collect();
        whole && !globs::unmatched(std::slice::from_ref(*pattern), &names).is_empty()
    };
    all.into_iter().filter(is_idle).cloned().collect()
}

fn names(tallies: &[Tally<'_>]) -> Vec<String> {
    tallies.iter().flat_map(Tally::names).cloned().collect()
}

fn of_pattern(setting: &str, pattern: &str, names: &[String]) -> Unmatched {
    let failure = nothing("it matches no repository", &shown(names)).with_hint(format!("{HOW}."));
    Unmatched { what: format!("{setting} `{pattern}`"), failure }
}

fn nothing(message: &str, evidence: &str) -> Failure {
    Failure::new(Reason::NothingMatched, message).with_evidence(evidence)
}

/// `there are acme/a, acme/b and 7 more`.
fn shown(names: &[String]) -> String {
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let names: Vec<&str> = names.into_iter().collect();
    format!("there are {}", list(&names, NAMES))
}
