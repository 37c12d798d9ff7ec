//! Where the layers meet: for each value the first layer that sets it wins, and which one it was is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::environment::{Environment, EnvironmentLayer};
use super::file::ConfigFile;
use super::flags::{MirrorArgs, variable};
use super::problem::Problem;
use super::tree::Step;

/// Who set a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetBy {
    /// A flag, with its dashes.
    Flag(String),
    /// A variable, in the environment or in `.env`.
    Variable {
        name: String,
        dotenv: bool,
    },
    /// A key of the configuration file.
    File {
        path: PathBuf,
        line: Option<usize>,
    },
    Default,
}

impl fmt::Display for SetBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetBy::Flag(flag) => f.write_str(flag),
            SetBy::Variable { name, dotenv: false } => f.write_str(name),
            SetBy::Variable { name, dotenv: true } => write!(f, "{name} in .env"),
            SetBy::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            SetBy::File { path, line: None } => write!(f, "{}", path.display()),
            SetBy::Default => f.write_str("default"),
        }
    }
}

/// Who set each value, by its key as in the file (`keep`, `cliff.percent`, `sources[0].owners`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<String, SetBy>);

impl Origins {
    /// Who set a key; what was never set is a default.
    pub fn get(&self, key: &str) -> &SetBy {
        self.0.get(key).unwrap_or(&SetBy::Default)
    }

    /// The ids of the destinations that the file names, chosen for this run or not.
    pub fn destinations_of_file(&self) -> BTreeSet<&str> {
        let of_file = self.0.iter().filter(|(_, set_by)| matches!(set_by, SetBy::File { .. }));
        of_file.filter_map(|(key, _)| key.strip_prefix("destinations.")?.strip_suffix(".kind")).collect()
    }

    pub(crate) fn set(&mut self, key: impl Into<String>, set_by: SetBy) {
        self.0.insert(key.into(), set_by);
    }
}

/// The layers, and what came out of them so far.
pub(crate) struct Layers<'a> {
    pub flags: &'a MirrorArgs,
    pub environment: &'a EnvironmentLayer,
    pub file: Option<&'a ConfigFile>,
    pub env: &'a dyn Environment,
    pub origins: Origins,
    pub problems: Vec<Problem>,
}

impl<'a> Layers<'a> {
    pub fn new(
        flags: &'a MirrorArgs,
        environment: &'a EnvironmentLayer,
        file: Option<&'a ConfigFile>,
        env: &'a dyn Environment,
        problems: Vec<Problem>,
    ) -> Self {
        Layers { flags, environment, file, env, origins: Origins::default(), problems }
    }

    /// The value of a key: the flag's, else the variable's, else the file's, else the default.
    pub fn pick<T>(&mut self, key: &str, [flag, env, file]: [Option<T>; 3], default: T) -> T {
        let name = key.replace('_', "-");
        let (value, set_by) = match (flag, env, file) {
            (Some(value), _, _) => (value, SetBy::Flag(format!("--{name}"))),
            (None, Some(value), _) => (value, self.set_by_variable(&variable(&name))),
            (None, None, Some(value)) => {
                let path: Vec<Step> = key.split('.').map(|part| Step::Key(part.to_owned())).collect();
                (value, self.set_by_file(&path))
            }
            (None, None, None) => (default, SetBy::Default),
        };
        self.origins.set(key, set_by);
        value
    }

    /// As [`Layers::pick`] for a switch, which a flag can only turn on.
    pub fn switch(&mut self, key: &str, flag: bool, file: Option<bool>) -> bool {
        let env = self.environment.switch(&key.replace('_', "-"));
        self.pick(key, [flag.then_some(true), env, file], false)
    }

    /// As [`Layers::pick`] for a path, absolute: relative to the file when it is the file's, else to the working
    /// directory.
    pub fn path(&mut self, key: &str, paths: [Option<&Path>; 3]) -> Option<PathBuf> {
        let [flag, env, file] = paths;
        let here = self.env.directory();
        let there = self.file.map_or(here, |file| file.directory.as_path());
        let made = |path: Option<&Path>, base: &Path| path.map(|path| super::absolute(path, base, self.env));
        let paths = [made(flag, here), made(env, here), made(file, there)].map(|path| path.map(Some));
        self.pick(key, paths, None)
    }

    pub fn set_by_variable(&self, name: &str) -> SetBy {
        SetBy::Variable { name: name.to_owned(), dotenv: self.env.is_from_dotenv(name) }
    }

    pub fn set_by_file(&self, path: &[Step]) -> SetBy {
        match self.file {
            Some(file) => SetBy::File { path: file.path.clone(), line: file.line(path) },
            None => SetBy::Default,
        }
    }

    /// Adds a problem of a key, at the place where the key was set.
    pub fn problem(&mut self, key: &str, message: impl AsRef<str>, hint: impl AsRef<str>) {
        let place = match self.origins.get(key) {
            SetBy::Default => String::new(),
            set_by => set_by.to_string(),
        };
        self.problems.push(Problem::new(place, message).hint(hint));
    }

    /// Adds a problem when a number is outside of its range.
    pub fn within(&mut self, key: &str, value: u64, range: RangeInclusive<u64>) {
        if !range.contains(&value) {
            let (least, most) = (range.start(), range.end());
            self.problem(key, format!("`{key}` cannot be {value}"), format!("write a number from {least} to {most}"));
        }
    }

    /// Adds a problem for each glob that cannot be understood.
    pub fn check_globs(&mut self, key: &str, globs: &[String]) {
        for glob in globs {
            if let Err(error) = globset::Glob::new(glob) {
                self.problem(
                    key,
                    format!("`{glob}` is not a glob: {}", error.kind()),
                    "`*` stands for anything, `{a,b}` for either, `[ab]` for one of the letters",
                );
            }
        }
    }
}
