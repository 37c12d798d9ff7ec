//! Globs as every setting reads them: on repositories (`namespace/name`), and on names of refs and tags.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Globs on `namespace/name`, without regard to case; `*` stays within one part, `**` does not.
pub fn of_repositories(patterns: &[String]) -> GlobSet {
    set(patterns, true)
}

/// Globs on names of refs and tags, where case counts and `*` stands for anything.
pub fn of_refs(patterns: &[String]) -> GlobSet {
    set(patterns, false)
}

/// The patterns on repositories that none of these names matches.
pub fn unmatched<'p>(patterns: &'p [String], names: &[String]) -> Vec<&'p str> {
    let idle = |pattern: &&String| {
        let set = of_repositories(std::slice::from_ref(*pattern));
        !names.iter().any(|name| set.is_match(name))
    };
    patterns.iter().filter(idle).map(String::as_str).collect()
}

/// The patterns were checked with the configuration.
fn set(patterns: &[String], repositories: bool) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        match GlobBuilder::new(pattern).case_insensitive(repositories).literal_separator(repositories).build() {
            Ok(glob) => {
                set.add(glob);
            }
            Err(error) => tracing::error!("the pattern `{pattern}` matches nothing: {error}"),
        }
    }
    set.build().unwrap_or_else(|error| {
        tracing::error!("the patterns match nothing: {error}");
        GlobSet::empty()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_star_stays_within_one_part_of_a_repositorys_name_and_case_does_not_count() {
        for (pattern, name, fits) in [
            ("acme/*", "Acme/Alpha", true),
            ("acme/*", "acme/tools/beta", false),
            ("acme/**", "acme/tools/beta", true),
            ("*", "acme/alpha", false),
            ("**", "acme/alpha", true),
        ] {
            assert_eq!(of_repositories(&texts(&[pattern])).is_match(name), fits, "{pattern} {name}");
        }
        assert!(of_refs(&texts(&["ci*"])).is_match("ci/a/b"));
        assert!(!of_refs(&texts(&["CI/*"])).is_match("ci/a"));
    }

    #[test]
    fn patterns_that_nothing_matches_are_named() {
        let patterns = texts(&["acme/*", "other/*", "ACME/alpha"]);
        assert_eq!(unmatched(&patterns, &texts(&["acme/alpha"])), ["other/*"]);
        assert_eq!(unmatched(&patterns, &[]).len(), 3);
    }
}
