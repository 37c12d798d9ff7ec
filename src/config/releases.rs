//! Which releases go to a place, and what of them: `releases: off | all | latest | {…}`.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::globs;

/// The releases that a place gets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReleaseScope {
    /// Only the one that the source shows as its latest.
    pub latest: bool,
    /// Globs on tags; empty takes all.
    pub tags: Vec<String>,
    /// Drafts too, where the token sees them and the place has such.
    pub drafts: bool,
    /// Prereleases too.
    pub prereleases: bool,
    /// What becomes of the files.
    pub assets: AssetMode,
    /// Delete the releases that we made there and that the source no longer has.
    pub prune: bool,
    /// Only so many, the newest ones.
    pub max: Option<usize>,
    /// Copy files whose name says that they are private keys.
    pub private_keys: bool,
}

impl Default for ReleaseScope {
    fn default() -> Self {
        ReleaseScope {
            latest: false,
            tags: Vec::new(),
            drafts: false,
            prereleases: true,
            assets: AssetMode::default(),
            prune: false,
            max: None,
            private_keys: false,
        }
    }
}

/// What `holocron release` is about, when it is not about everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleaseFilter {
    /// Globs on `namespace/name`; empty is all repositories.
    pub repos: Vec<String>,
    /// Globs on tags; empty is all releases.
    pub tags: Vec<String>,
}

impl ReleaseFilter {
    /// Whether the repository of this name is meant.
    pub fn wants_repo(&self, name: &str) -> bool {
        self.repos.is_empty() || globs::of_repositories(&self.repos).is_match(name)
    }

    /// Whether the release of this tag is meant.
    pub fn wants_tag(&self, tag: &str) -> bool {
        self.tags.is_empty() || globs::of_refs(&self.tags).is_match(tag)
    }
}

/// What becomes of a release's files at a destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AssetMode {
    /// Their bytes are copied.
    #[default]
    Copy,
    /// They stay where they are and are linked to.
    Link,
    /// Nothing.
    Off,
}

/// The setting as it is written: nothing at all, or a scope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Releases(pub Option<ReleaseScope>);

const FORM: &str = "`off`, `all`, `latest`, or a map with `tags`, `assets`, `max` …";

impl FromStr for Releases {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "off" | "false" | "no" => Ok(Releases(None)),
            "all" | "true" | "yes" => Ok(Releases(Some(ReleaseScope::default()))),
            "latest" => Ok(Releases(Some(ReleaseScope { latest: true, ..ReleaseScope::default() }))),
            _ => Err("it is none of `off`, `all` and `latest`".to_owned()),
        }
    }
}

impl fmt::Display for Releases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(scope) = &self.0 else { return f.write_str("off") };
        let plain = ReleaseScope { latest: scope.latest, ..ReleaseScope::default() };
        match (*scope == plain, scope.latest) {
            (true, true) => f.write_str("latest"),
            (true, false) => f.write_str("all"),
            // The YAML way, on one line.
            _ => {
                let ReleaseScope { latest, tags, drafts, prereleases, assets, prune, max, private_keys } = scope;
                let assets = format!("{assets:?}").to_lowercase();
                write!(f, "{{latest: {latest}, tags: {tags:?}, drafts: {drafts}, prereleases: {prereleases}, ")?;
                write!(f, "assets: {assets}, prune: {prune}, private_keys: {private_keys}")?;
                max.map_or(Ok(()), |max| write!(f, ", max: {max}"))?;
                f.write_str("}")
            }
        }
    }
}

impl<'de> Deserialize<'de> for Releases {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = Releases;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(FORM)
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Releases, E> {
                Ok(Releases(on.then(ReleaseScope::default)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Releases, E> {
                text.parse().map_err(|why| E::custom(format!("`{text}` is not {FORM}: {why}")))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Releases, A::Error> {
                ReleaseScope::deserialize(MapAccessDeserializer::new(map)).map(|scope| Releases(Some(scope)))
            }
        }

        deserializer.deserialize_any(Form)
    }
}

impl JsonSchema for Releases {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Releases".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let scope = generator.subschema_for::<ReleaseScope>();
        json_schema!({"anyOf": [{"enum": ["off", "all", "latest", true, false]}, scope]})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<Releases, String> {
        serde_yaml::from_str(yaml).map_err(|error| error.to_string())
    }

    #[test]
    fn a_word_or_a_map_says_which_releases() {
        assert_eq!(read("off").unwrap(), Releases(None));
        assert_eq!(read("false").unwrap(), Releases(None));
        assert_eq!(read("all").unwrap(), Releases(Some(ReleaseScope::default())));
        assert!(read("latest").unwrap().0.unwrap().latest);
        let scope = read("{tags: ['v*'], assets: link, max: 5, prune: true}").unwrap().0.unwrap();
        assert_eq!((scope.assets, scope.max, scope.prune, scope.prereleases), (AssetMode::Link, Some(5), true, true));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        assert!(read("some").unwrap_err().contains("`some` is not `off`, `all`, `latest`"));
        assert!(read("{asset: copy}").unwrap_err().contains("asset"));
    }

    #[test]
    fn what_is_shown_can_be_read_back() {
        for text in ["off", "all", "latest", "{tags: ['v*', '*'], drafts: true, assets: off, max: 3}"] {
            let releases = read(text).unwrap();
            assert_eq!(read(&releases.to_string()).unwrap(), releases, "{releases}");
        }
    }
}
