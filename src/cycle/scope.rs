//! Pure: which mirrors a cycle is about.

use std::collections::BTreeSet;
use std::fmt;

use globset::Glob;

use crate::config::globs;
use crate::model::{MirrorKey, RepoPath};

/// Which mirrors a cycle is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    #[default]
    All,
    /// Those that one of these names, and no other.
    Part {
        /// Globs over the full names of repositories.
        names: BTreeSet<String>,
        keys: BTreeSet<MirrorKey>,
    },
}

impl Scope {
    /// The mirror with this key alone.
    pub fn one(key: MirrorKey) -> Self {
        Scope::Part { names: BTreeSet::new(), keys: BTreeSet::from([key]) }
    }

    /// The mirrors whose full names one of these globs matches.
    ///
    /// # Errors
    /// The first text that is no glob.
    pub fn matching(names: impl IntoIterator<Item = String>) -> Result<Self, globset::Error> {
        let names: BTreeSet<String> = names.into_iter().collect();
        for name in &names {
            Glob::new(name)?;
        }
        Ok(Scope::Part { names, keys: BTreeSet::new() })
    }

    /// Everything that one of the two is about.
    pub fn or(self, other: Scope) -> Scope {
        match (self, other) {
            (Scope::Part { mut names, mut keys }, Scope::Part { names: more_names, keys: more_keys }) => {
                names.extend(more_names);
                keys.extend(more_keys);
                Scope::Part { names, keys }
            }
            _ => Scope::All,
        }
    }

    /// Whether it is about the mirror of this key, whose repository has this name.
    pub fn wants(&self, key: &MirrorKey, path: &RepoPath) -> bool {
        match self {
            Scope::All => true,
            Scope::Part { names, keys } => {
                let names: Vec<String> = names.iter().cloned().collect();
                keys.contains(key) || globs::of_repositories(&names).is_match(path.to_string())
            }
        }
    }
}

/// `all`, or the names and keys in the order of the alphabet.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::All => f.write_str("all"),
            Scope::Part { names, keys } => {
                let keys = keys.iter().map(|key| format!("{}:{}", key.folder, key.id));
                f.write_str(&names.iter().cloned().chain(keys).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> MirrorKey {
        MirrorKey { folder: "h".into(), id: id.into() }
    }

    fn wants(scope: &Scope, name: &str) -> bool {
        scope.wants(&key(name), &RepoPath::parse(name).unwrap())
    }

    #[test]
    fn a_part_is_what_a_glob_or_a_key_names() {
        let part = Scope::matching(["acme/*".to_owned()]).unwrap().or(Scope::one(key("ns/tool")));
        let named = ["acme/a", "ns/tool", "ns/other"].map(|name| wants(&part, name));
        assert_eq!(named, [true, true, false]);
        assert_eq!(part.to_string(), "acme/*, h:ns/tool");
    }

    #[test]
    fn all_and_a_part_is_all() {
        for scope in [Scope::All.or(Scope::one(key("a"))), Scope::one(key("a")).or(Scope::All)] {
            assert_eq!(scope, Scope::All);
            assert!(wants(&scope, "ns/any"));
        }
    }

    #[test]
    fn what_is_no_glob_is_refused() {
        assert!(Scope::matching(["acme/[".to_owned()]).is_err());
    }
}
