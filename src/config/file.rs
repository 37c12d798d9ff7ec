//! Finds and reads `holocron.yaml`: its shape is checked against the schema, and everything that is wrong is told at
//! once.

use std::path::{Path as FilePath, PathBuf};

use serde_json::Value;

use super::environment::Environment;
use super::interpolate::interpolate;
use super::problem::{ConfigError, Problem, nearest};
use super::raw::{RawConfig, items, properties, schema};
use super::tree::{self, Node, Path, Step, path_text};
use crate::base::redact::redact;

/// A file that was read and has the right shape.
#[derive(Debug, Clone)]
pub(crate) struct ConfigFile {
    /// As it is shown.
    pub path: PathBuf,
    /// What paths in it are relative to; absolute.
    pub directory: PathBuf,
    pub raw: RawConfig,
    text: String,
}

impl ConfigFile {
    /// Whether the file has this text in it, such as the name of a variable.
    pub fn mentions(&self, text: &str) -> bool {
        self.text.contains(text)
    }

    /// `holocron.yaml:12`: where a key stands.
    pub fn place(&self, path: &[Step]) -> String {
        place(&self.path, &self.text, path)
    }

    /// The line of a key, counted from 1; `None` when the file does not have it.
    pub fn line(&self, path: &[Step]) -> Option<usize> {
        tree::line(&self.text, path)
    }
}

fn place(file: &FilePath, text: &str, path: &[Step]) -> String {
    // A value inside a key that is written on one line has the key's line.
    let line = (1..=path.len()).rev().find_map(|length| tree::line(text, &path[..length]));
    match line {
        Some(line) => format!("{}:{line}", file.display()),
        None => file.display().to_string(),
    }
}

/// The configuration file that applies: the flag's, `HOLOCRON_CONFIG`'s, the working directory's, the user's, or none.
///
/// A file that was named and is not there is an error when it is read.
pub(crate) fn find(flag: Option<&FilePath>, variable: Option<&FilePath>, env: &dyn Environment) -> Option<PathBuf> {
    if let Some(named) = flag.or(variable) {
        return Some(named.to_owned());
    }
    let here = PathBuf::from("holocron.yaml");
    if env.directory().join(&here).exists() {
        return Some(here);
    }
    let set = |name| env.var(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user = set("XDG_CONFIG_HOME").or_else(|| set("HOME").map(|home| home.join(".config")))?;
    Some(user.join("holocron/holocron.yaml")).filter(|path| path.exists())
}

/// Reads a configuration file and checks its shape.
///
/// # Errors
/// Every unknown or repeated key, wrong type, unset `${VARIABLE}` and secret in it, all at once.
pub(crate) fn read(path: &FilePath, env: &dyn Environment) -> Result<ConfigFile, ConfigError> {
    let absolute = env.directory().join(path);
    let text = std::fs::read_to_string(&absolute)
        .map_err(|error| Problem::new(path.display(), format!("the configuration cannot be read: {error}")))?;
    // Editors on Windows begin files with a byte order mark; the parser would take it for a document of its own.
    let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
    let tree = tree::parse(&text).map_err(|error| syntax_problem(path, &error))?;
    if !matches!(tree, Node::Map(_)) {
        return Err(Problem::new(format!("{}:1", path.display()), "the configuration is not a map of keys")
            .hint("write keys such as `storage:` and `sources:` at the beginning of lines")
            .into());
    }
    let mut shape =
        Shape { file: path, text: &text, env, problems: Vec::new(), interpolated: Vec::new(), unset: Vec::new() };
    let value = shape.check(&tree, &schema(), &mut Vec::new());
    let raw = shape.typed(value);
    if !shape.problems.is_empty() {
        return Err(ConfigError::new(shape.problems));
    }
    let directory = absolute.parent().unwrap_or(FilePath::new("/")).to_owned();
    Ok(ConfigFile { path: path.to_owned(), directory, raw, text })
}

fn syntax_problem(path: &FilePath, error: &serde_yaml::Error) -> Problem {
    let place = match error.location() {
        Some(location) => format!("{}:{}", path.display(), location.line()),
        None => path.display().to_string(),
    };
    let words = error.to_string();
    if words.contains("more than one document") {
        return Problem::new(place, "it has more than one YAML document in it").hint("take out the lines `---`");
    }
    if words.contains(tree::NO_TAG) {
        return Problem::new(place, "it has a YAML tag (`!…`) in it").hint("put a text that begins with `!` in quotes");
    }
    Problem::new(place, format!("it is not YAML: {error}")).hint("look at the indentation and quotes of this line")
}

/// The walk over the file that finds what is wrong with its shape.
struct Shape<'a> {
    file: &'a FilePath,
    text: &'a str,
    env: &'a dyn Environment,
    problems: Vec<Problem>,
    /// Texts that came out of `${VARIABLE}`: they may be meant as a number or a switch.
    interpolated: Vec<String>,
    /// What was said about variables that are not set.
    unset: Vec<String>,
}

impl Shape<'_> {
    fn problem(&mut self, path: &[Step], message: impl AsRef<str>, hint: Option<String>) {
        let mut problem = Problem::new(place(self.file, self.text, path), message);
        problem.hint = hint.map(redact_owned);
        self.problems.push(problem);
    }

    /// Returns the value of a node, without what is wrong in it.
    fn check(&mut self, node: &Node, schema: &Value, path: &mut Path) -> Value {
        match node {
            Node::Plain(value) if is_secret(path) && !value.is_null() => {
                self.literal_token("", path);
                Value::Null
            }
            Node::Plain(value) => value.clone(),
            Node::Text(text) => self.text_value(text, path),
            Node::List(nodes) => {
                let schema = items(schema).unwrap_or(&Value::Null);
                let mut list = Vec::new();
                for (index, node) in nodes.iter().enumerate() {
                    path.push(Step::Item(index));
                    list.push(self.check(node, schema, path));
                    path.pop();
                }
                Value::Array(list)
            }
            Node::Map(entries) => self.map(entries, schema, path),
        }
    }

    fn map(&mut self, entries: &[(String, Node)], schema: &Value, path: &mut Path) -> Value {
        let known = properties(schema);
        let mut map = serde_json::Map::new();
        for (index, (key, node)) in entries.iter().enumerate() {
            let before = entries[..index].iter().filter(|(earlier, _)| earlier == key).count();
            if before > 0 {
                let first = self.line_of(path, Step::Key(key.clone()));
                path.push(Step::Repeated(key.clone(), before));
                let message = format!("`{}` is given twice; the first is on line {first}", path_text(path));
                self.problem(path, message, Some("keep one of the two".to_owned()));
                path.pop();
                continue;
            }
            path.push(Step::Key(key.clone()));
            match known.map(|known| (known, known.get(key))) {
                Some((_, Some(schema))) => {
                    let value = self.check(node, schema, path);
                    map.insert(key.clone(), value);
                }
                Some((known, None)) => self.unknown(key, known.keys().map(String::as_str).collect(), path),
                // Not a map by the schema: the typed reading says so.
                None => drop(map.insert(key.clone(), Value::Null)),
            }
            path.pop();
        }
        Value::Object(map)
    }

    fn line_of(&self, path: &[Step], key: Step) -> usize {
        let path: Path = path.iter().cloned().chain([key]).collect();
        tree::line(self.text, &path).unwrap_or_default()
    }

    fn unknown(&mut self, key: &str, known: Vec<&str>, path: &[Step]) {
        let hint = match nearest(key, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("known here are: {}", known.join(", ")),
        };
        self.problem(path, format!("`{}` is not a key of the configuration", path_text(path)), Some(hint));
    }

    fn text_value(&mut self, text: &str, path: &[Step]) -> Value {
        if is_secret(path) {
            self.literal_token(text, path);
            return Value::Null;
        }
        // URLs have a check of their own, that tells the user of ssh from a password.
        if !text.contains("://") && redact(text) != text {
            let message = format!("`{}` has a secret written in it", path_text(path));
            self.problem(path, message, Some(secret_hint(path)));
            return Value::Null;
        }
        match interpolate(text, self.env) {
            Ok(value) => {
                if value != text {
                    self.interpolated.push(value.clone());
                }
                Value::String(value)
            }
            // One variable may stand in many places.
            Err(problem) if self.unset.contains(&problem.message) => Value::Null,
            Err(problem) => {
                if problem.message.starts_with("the variable ") {
                    self.unset.push(problem.message.clone());
                }
                self.problem(path, format!("`{}`: {}", path_text(path), problem.message), problem.hint);
                Value::Null
            }
        }
    }

    /// A token that is a text: itself, or taken from a variable by `${NAME}`. Either way it must not be read here.
    fn literal_token(&mut self, text: &str, path: &[Step]) {
        let variable = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        match variable.filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')) {
            Some(name) => self.problem(
                path,
                format!("`{}` must say where the {} is read from", path_text(path), secret_name(path)),
                Some(format!("write `{}: {{env: {name}}}`", secret_name(path))),
            ),
            None => self.problem(
                path,
                format!("`{}` is written in the file itself", path_text(path)),
                Some(secret_hint(path)),
            ),
        }
    }

    /// Reads the value into its type; each wrong one is told, taken out, and the rest is tried again.
    fn typed(&mut self, mut value: Value) -> RawConfig {
        loop {
            let error = match serde_path_to_error::deserialize::<_, RawConfig>(value.clone()) {
                Ok(raw) => return raw,
                Err(error) => error,
            };
            let mut path: Path = Vec::new();
            for segment in error.path().iter() {
                match segment {
                    serde_path_to_error::Segment::Map { key } => path.push(Step::Key(key.clone())),
                    serde_path_to_error::Segment::Seq { index } => path.push(Step::Item(*index)),
                    _ => {}
                }
            }
            let message = error.inner().to_string();
            if let Some(retyped) = self.retyped(&mut value, &path) {
                *retyped.0 = retyped.1;
                continue;
            }
            let (message, hint) = type_message(&path, &message);
            self.problem(&path, message, hint);
            // Taking an item out of a list would move the others away from their lines: take the whole list.
            while matches!(path.last(), Some(Step::Item(_))) {
                path.pop();
            }
            match take(&mut value, &path) {
                true => {}
                false => return RawConfig::default(),
            }
        }
    }

    /// The text at a path, when it came out of `${VARIABLE}`, as the number or switch that it looks like.
    fn retyped<'v>(&mut self, value: &'v mut Value, path: &[Step]) -> Option<(&'v mut Value, Value)> {
        let at = lookup(value, path)?;
        let text = at.as_str()?;
        self.interpolated.iter().find(|known| *known == text)?;
        let plain = serde_yaml::from_str::<Value>(text).ok().filter(|plain| plain.is_number() || plain.is_boolean())?;
        Some((at, plain))
    }
}

/// The keys that say where a secret is read from; none of them is ever a text.
const SECRETS: [&str; 2] = ["token", "passphrase"];

fn is_secret(path: &[Step]) -> bool {
    matches!(path.last(), Some(Step::Key(key)) if SECRETS.contains(&key.as_str()))
}

/// The key of the secret that a path leads to or into; elsewhere it is a token that is meant.
fn secret_name(path: &[Step]) -> &str {
    let mut keys = path.iter().rev().filter_map(|step| match step {
        Step::Key(key) | Step::Repeated(key, _) => Some(key.as_str()),
        Step::Item(_) => None,
    });
    keys.find(|key| SECRETS.contains(key)).unwrap_or("token")
}

fn secret_hint(path: &[Step]) -> String {
    let key = secret_name(path);
    format!("say where it is read from: `{key}: {{env: NAME}}`, `{key}: {{file: PATH}}` or `{key}: {{command: CMD}}`")
}

fn redact_owned(text: String) -> String {
    redact(&text)
}

fn lookup<'v>(value: &'v mut Value, path: &[Step]) -> Option<&'v mut Value> {
    path.iter().try_fold(value, |value, step| match step {
        Step::Key(key) | Step::Repeated(key, _) => value.get_mut(key),
        Step::Item(index) => value.get_mut(index),
    })
}

/// Takes the key at the end of a path out; false when there is none.
fn take(value: &mut Value, path: &[Step]) -> bool {
    let Some((Step::Key(key), parent)) = path.split_last() else { return false };
    let parent = lookup(value, parent).and_then(Value::as_object_mut);
    parent.is_some_and(|parent| parent.remove(key).is_some())
}

/// Turns serde's words for a wrong type into ours, with what to write.
fn type_message(path: &[Step], message: &str) -> (String, Option<String>) {
    let key = match path {
        [] => "the configuration".to_owned(),
        path => format!("`{}`", path_text(path)),
    };
    let mismatch = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    if let Some((found, expected)) = mismatch.and_then(|rest| rest.rsplit_once(", expected ")) {
        let (wanted, hint) = wanted(expected);
        let found = match found.split_once(' ') {
            // Within a token it may be the token itself.
            Some((kind, _)) if SECRETS.iter().any(|key| path.contains(&Step::Key((*key).into()))) => {
                (if kind == "string" { "a text" } else { "a number" }).to_owned()
            }
            Some(("string", text)) => format!("the text {text}"),
            Some(("integer" | "floating", number)) => format!("the number {}", number.replace("point ", "")),
            Some(("boolean", value)) => value.to_owned(),
            _ if found == "sequence" => "a list".to_owned(),
            _ => format!("a {found}"),
        };
        // `namespace: {namespace}` is a map to YAML.
        let hint = if found == "a map" && expected == "a string" { Some("put it in quotes") } else { hint };
        return (format!("{key} takes {wanted}, not {found}"), hint.map(str::to_owned));
    }
    if let Some((found, known)) =
        message.strip_prefix("unknown variant ").and_then(|rest| rest.split_once(", expected "))
    {
        let names: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let hint = match nearest(found.trim_matches('`'), names.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("write one of: {}", names.join(", ")),
        };
        return (format!("{key} cannot be {found}"), Some(hint));
    }
    (format!("{key}: {message}"), None)
}

/// What serde expected, in the words of the file, and how to write it.
fn wanted(expected: &str) -> (&str, Option<&'static str>) {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => ("a whole number that is not negative", None),
        "a boolean" => ("true or false", Some("write `true` or `false`, without quotes")),
        "a string" | "path string" => ("text", Some("put it in quotes when it looks like a number or a switch")),
        "a sequence" => ("a list", Some("write `[one, two]`, or each on a line of its own after `- `")),
        _ if expected.starts_with("struct ") => {
            ("a map of keys", Some("write its keys indented, or as `{key: value}`"))
        }
        "string or map" => ("one word", None),
        other => (other, None),
    }
}
