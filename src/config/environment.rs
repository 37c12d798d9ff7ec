//! The environment as a layer of the configuration: the process's variables, then a `.env` file, read and never changed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;

use super::flags::{MirrorArgs, variable};
use super::problem::{ConfigError, Problem};
use super::values;

/// What the configuration may ask of its surroundings; tests hand in their own.
pub trait Environment: Send + Sync {
    /// The value of a variable; `None` when it is not set.
    fn var(&self, name: &str) -> Option<String>;
    /// Where a variable's value stands, for messages.
    fn is_from_dotenv(&self, name: &str) -> bool;
    /// The names of all variables that are set.
    fn names(&self) -> Vec<String>;
    /// The working directory, absolute.
    fn directory(&self) -> &Path;
}

/// The real environment of this process over the `.env` file of its working directory.
#[derive(Debug, Clone)]
pub struct ProcessEnvironment {
    directory: PathBuf,
    dotenv: BTreeMap<String, String>,
}

impl ProcessEnvironment {
    /// Reads the working directory and its `.env` file, if there is one.
    ///
    /// # Errors
    /// A line of `.env` that cannot be understood, a variable of ours that is not UTF-8, no working directory.
    pub fn read() -> Result<Self, ConfigError> {
        let directory = std::env::current_dir()
            .map_err(|error| Problem::new("", format!("the working directory cannot be read: {error}")))?;
        for (name, value) in std::env::vars_os() {
            if name.to_str().is_some_and(is_ours) && value.to_str().is_none() {
                return Err(Problem::new(name.display(), "the value is not UTF-8").into());
            }
        }
        let dotenv = read_dotenv(&directory)?;
        Ok(ProcessEnvironment { directory, dotenv })
    }
}

fn is_ours(name: &str) -> bool {
    ["HOLOCRON_", "GITHUB_", "GITLAB_", "GITEA_", "FORGEJO_"].iter().any(|prefix| name.starts_with(prefix))
}

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().or_else(|| self.dotenv.get(name).cloned())
    }

    fn is_from_dotenv(&self, name: &str) -> bool {
        std::env::var_os(name).is_none() && self.dotenv.contains_key(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect();
        names.extend(self.dotenv.keys().filter(|name| std::env::var_os(name).is_none()).cloned());
        names.sort();
        names
    }

    fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Reads `.env` in a directory; none there is an empty one.
///
/// # Errors
/// An unreadable file, or a line that is no `NAME=value`: it is named by number and name, its value is not shown.
pub(crate) fn read_dotenv(directory: &Path) -> Result<BTreeMap<String, String>, ConfigError> {
    let text = match std::fs::read_to_string(directory.join(".env")) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Problem::new(".env", format!("it cannot be read: {error}")).into()),
    };
    let mut variables = BTreeMap::new();
    // Editors on Windows begin files with a byte order mark, which would become a part of the first name.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    for entry in dotenvy::from_read_iter(text.as_bytes()) {
        match entry {
            // The first of two wins, as in dotenvy's own loading.
            Ok((name, value)) => drop(variables.entry(name).or_insert(value)),
            Err(error) => return Err(dotenv_problem(text, &error).into()),
        }
    }
    Ok(variables)
}

fn dotenv_problem(text: &str, error: &dotenvy::Error) -> Problem {
    let hint = "write `NAME=value`, with quotes around a value that has spaces, `#` or `$` in it";
    let dotenvy::Error::LineParse(bad, _) = error else {
        return Problem::new(".env", "it cannot be read").hint(hint);
    };
    // dotenvy tells the whole line or only the value that it stumbled over.
    let first = bad.lines().next().unwrap_or_default().trim_end();
    let lines = || text.lines().enumerate();
    let found =
        lines().find(|(_, line)| line.trim_end() == first).or_else(|| lines().find(|(_, line)| line.contains(first)));
    let (place, line) = found.map_or((".env".to_owned(), first), |(index, line)| (format!(".env:{}", index + 1), line));
    // What stands right of `=` may be a token, so may a line without any `=`.
    let shown = match line.split_once('=') {
        Some((name, _)) => format!("`{}=…` cannot be understood", name.trim()),
        None => "the line has no `=`".to_owned(),
    };
    Problem::new(place, shown).hint(hint)
}

/// The flags as the environment sets them, by their variables `HOLOCRON_<FLAG>`.
#[derive(Debug, Default)]
pub(crate) struct EnvironmentLayer {
    pub args: MirrorArgs,
    switches: BTreeMap<String, bool>,
}

impl EnvironmentLayer {
    /// Reads every flag's variable through the parser of the flag itself; `without` are flags that have none.
    pub fn read<A>(env: &dyn Environment, without: &[&str], problems: &mut Vec<Problem>) -> Self
    where
        A: Args + Default + Into<MirrorArgs>,
    {
        let (args, switches) = read_flags::<A>(env, without, problems);
        EnvironmentLayer { args: args.into(), switches }
    }

    /// What the environment says about a switch; `None` when it says nothing.
    pub fn switch(&self, flag: &str) -> Option<bool> {
        self.switches.get(flag).copied()
    }
}

/// The flags of a command as their variables set them, and what these say about its switches.
pub(crate) fn read_flags<A: Args + Default>(
    env: &dyn Environment,
    without: &[&str],
    problems: &mut Vec<Problem>,
) -> (A, BTreeMap<String, bool>) {
    let command = A::augment_args(clap::Command::new("environment").no_binary_name(true));
    let mut words = Vec::new();
    let mut switches = BTreeMap::new();
    for arg in command.get_arguments() {
        let Some(flag) = arg.get_long().filter(|flag| !without.contains(flag)) else { continue };
        let name = variable(flag);
        let Some(text) = env.var(&name) else { continue };
        if !arg.get_action().takes_values() {
            match values::switch(&text) {
                Some(on) => drop(switches.insert(flag.to_owned(), on)),
                None => problems.push(
                    Problem::new(name, format!("`{text}` is neither yes nor no")).hint("write `true` or `false`"),
                ),
            }
            continue;
        }
        if text.trim().is_empty() {
            continue;
        }
        let parts = match arg.get_action() {
            clap::ArgAction::Append if flag == "dir" => {
                // Paths have spaces in them.
                text.split(',').map(|path| path.trim().to_owned()).filter(|path| !path.is_empty()).collect()
            }
            clap::ArgAction::Append => values::list(&text),
            _ => vec![text.trim().to_owned()],
        };
        let given: Vec<String> = parts.iter().map(|part| format!("--{flag}={part}")).collect();
        match command.clone().try_get_matches_from(&given) {
            Ok(_) => words.extend(given),
            Err(error) => problems.push(value_problem(&name, &text, &error)),
        }
    }
    let parsed = command.try_get_matches_from(words).and_then(|found| A::from_arg_matches(&found));
    match parsed {
        Ok(args) => (args, switches),
        Err(error) => {
            problems.push(Problem::new("environment", first_line(&error)));
            (A::default(), BTreeMap::new())
        }
    }
}

fn value_problem(name: &str, text: &str, error: &clap::Error) -> Problem {
    use clap::error::{ContextKind, ContextValue};
    use std::error::Error as _;
    let why = error.source().map(|why| format!(": {why}")).unwrap_or_default();
    let problem = Problem::new(name, format!("the value `{text}` is not accepted{why}"));
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(valid)) => problem.hint(format!("write one of: {}", valid.join(", "))),
        _ => problem,
    }
}

fn first_line(error: &clap::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned()
}

/// An environment made of literals.
#[cfg(test)]
pub(crate) struct Fake {
    pub variables: BTreeMap<String, String>,
    pub directory: PathBuf,
}

#[cfg(test)]
impl Fake {
    pub fn new(variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Fake { variables, directory: PathBuf::from("/nowhere") }
    }
}

#[cfg(test)]
impl Environment for Fake {
    fn var(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn is_from_dotenv(&self, _: &str) -> bool {
        false
    }

    fn names(&self) -> Vec<String> {
        self.variables.keys().cloned().collect()
    }

    fn directory(&self) -> &Path {
        &self.directory
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn layer(variables: &[(&str, &str)]) -> (EnvironmentLayer, Vec<Problem>) {
        let mut problems = Vec::new();
        let layer = EnvironmentLayer::read::<MirrorArgs>(&Fake::new(variables), &[], &mut problems);
        (layer, problems)
    }

    #[test]
    fn every_flag_can_be_set_by_its_variable() {
        let (layer, problems) = layer(&[
            ("HOLOCRON_INTERVAL", "90"),
            ("HOLOCRON_FULL_EVERY", "90m"),
            ("HOLOCRON_OWNER", "acme, example"),
            ("HOLOCRON_SOURCE", "github gitlab"),
            ("HOLOCRON_DIR", "/srv/my repos,/opt"),
            ("HOLOCRON_WATCH", "yes"),
            ("HOLOCRON_CHECKOUT", "off"),
            ("HOLOCRON_STORAGE", ""),
        ]);
        assert_eq!(problems, []);
        assert_eq!(layer.args.interval.map(|span| span.0), Some(Duration::from_secs(90)));
        assert_eq!(layer.args.full_every.map(|span| span.0), Some(Duration::from_secs(5400)));
        assert_eq!(layer.args.owner, ["acme", "example"]);
        assert_eq!(layer.args.source, ["github", "gitlab"]);
        assert_eq!(layer.args.dir, [Path::new("/srv/my repos"), Path::new("/opt")]);
        assert_eq!([layer.switch("watch"), layer.switch("checkout")], [Some(true), Some(false)]);
        assert_eq!(layer.args.storage, None);
    }

    #[test]
    fn every_bad_variable_is_named_with_what_to_write() {
        let (_, problems) =
            layer(&[("HOLOCRON_INTERVAL", "soon"), ("HOLOCRON_COLOR", "blue"), ("HOLOCRON_WATCH", "ture")]);
        let shown: Vec<String> = problems.iter().map(|p| ConfigError::from(p.clone()).to_string()).collect();
        assert_eq!(
            shown,
            [
                "HOLOCRON_WATCH: `ture` is neither yes nor no; write `true` or `false`",
                "HOLOCRON_INTERVAL: the value `soon` is not accepted: it is not a duration such as `90s`, `10m`, \
                 `24h` or `7d`",
                "HOLOCRON_COLOR: the value `blue` is not accepted; write one of: auto, always, never",
            ]
        );
    }

    #[test]
    fn a_dotenv_file_is_read_without_touching_the_process() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(".env"), "\u{feff}# mine\nexport HOLOCRON_T_A='x y'\nHOLOCRON_T_B=2\n")
            .unwrap();
        let variables = read_dotenv(directory.path()).unwrap();
        assert_eq!(variables["HOLOCRON_T_A"], "x y");
        assert_eq!(variables["HOLOCRON_T_B"], "2");
        assert_eq!(std::env::var_os("HOLOCRON_T_A"), None);
    }

    #[test]
    fn the_process_wins_over_its_dotenv_file() {
        let mut env = ProcessEnvironment::read().unwrap();
        env.dotenv = BTreeMap::from([("PATH", "x"), ("HOLOCRON_T_C", "y")].map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(env.var("PATH"), std::env::var("PATH").ok());
        assert_eq!(env.var("HOLOCRON_T_C").as_deref(), Some("y"));
        assert_eq!([env.is_from_dotenv("PATH"), env.is_from_dotenv("HOLOCRON_T_C")], [false, true]);
    }

    #[test]
    fn a_malformed_dotenv_line_is_named_without_its_value() {
        let directory = tempfile::tempdir().unwrap();
        for (text, expected) in [
            ("A=1\nGITHUB_TOKEN=my secret words\n", ".env:2: `GITHUB_TOKEN=…` cannot be understood"),
            ("my-secret\n", ".env:1: the line has no `=`"),
        ] {
            std::fs::write(directory.path().join(".env"), text).unwrap();
            let shown = read_dotenv(directory.path()).unwrap_err().to_string();
            assert!(shown.starts_with(expected), "{shown}");
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
