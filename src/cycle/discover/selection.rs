//! Pure: which of the listed repositories are wanted.

use globset::GlobSet;

use crate::config::{Filters, globs};
use crate::model::Repo;

/// Which of the listed repositories are wanted.
#[derive(Debug)]
pub struct Selection<'a> {
    filters: &'a Filters,
    include: GlobSet,
    exclude: GlobSet,
}

impl<'a> Selection<'a> {
    /// The selection that `filters` describes; its globs were checked with the configuration.
    pub fn of(filters: &'a Filters) -> Self {
        Selection {
            filters,
            include: globs::of_repositories(&filters.include),
            exclude: globs::of_repositories(&filters.exclude),
        }
    }

    /// Whether the repository of this name is left out by `exclude`.
    pub fn excludes(&self, name: &str) -> bool {
        self.exclude.is_match(name)
    }

    /// Whether this repository is wanted.
    pub fn wants(&self, repo: &Repo) -> bool {
        let filters = self.filters;
        let name = repo.path.to_string();
        (filters.include.is_empty() || self.include.is_match(&name))
            && !self.excludes(&name)
            && (filters.forks || !repo.fork)
            && (filters.archived || !repo.archived)
            && (filters.visibility.is_empty() || filters.visibility.contains(&repo.visibility))
            && (filters.topics.is_empty() || filters.topics.iter().any(|topic| repo.topics.contains(topic)))
            && filters.max_size_kib.is_none_or(|limit| repo.size_kib.unwrap_or(0) <= limit)
    }
}
