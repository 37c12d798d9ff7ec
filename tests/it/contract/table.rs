//! The table of everything that Holocron may ask a forge for, `endpoints.json`, and requests held against it.
//!
//! By forge and `METHOD /path`. In a path `{name}` is one segment, and `{name*}` all that follow. Of a request:
//!
//! - `query` and `body`: fields by name to types. `name!` must be there, `name?` may be null. A type is `string`,
//!   `integer`, `boolean`, `time` (RFC 3339) or `object` (of any fields), with `=one|other` one of these values only; an
//!   object of fields; or an array with the type of its entries.
//! - `file`: the body is a file, of this media `type` (`*/*`: of its own), in the `field` of a form.
//!
//! What the forges' own descriptions say is held against the same table by `scripts/contract`, and the rest is for it:
//! `absent` is why a description lacks the endpoint, `unlike` why something is not as it says, and a body that
//! `echoes` what the server itself has shown must have room for all of it. `unseen` is why no day of `day.rs` asks for a
//! field, or for the endpoint at all (an empty name).

use std::collections::BTreeSet;

use axum::http::Method;
use serde_json::{Map, Value};

use crate::support::Request;

/// The forges' roots on the test forge, and their names in the table; the longest stands first.
const ROOTS: [(&str, &str, &str); 5] = [
    ("/api/uploads", "github", ""),
    ("/api/graphql", "github", "/graphql"),
    ("/api/v3", "github", ""),
    ("/api/v4", "gitlab", ""),
    ("/api/v1", "gitea", ""),
];

/// A request, as far as the table speaks of it.
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub content_type: Option<String>,
    /// Null when it carried nothing.
    pub body: Value,
    pub has_body: bool,
}

impl From<&Request> for Asked {
    fn from(request: &Request) -> Self {
        Asked {
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            content_type: request.header("content-type").map(str::to_owned),
            body: request.json(),
            has_body: request.sent.as_ref().is_some_and(|sent| sent.size > 0),
        }
    }
}

/// The table.
pub struct Table(Value);

impl Table {
    pub fn read() -> Self {
        Table(serde_json::from_str(include_str!("endpoints.json")).expect("the table is JSON"))
    }

    /// All that one forge may be asked for: `GET /user/repos`, and `GET /user/repos query.page` for each field.
    pub fn lines(&self, forge: &str) -> BTreeSet<String> {
        let mut lines = BTreeSet::new();
        for (endpoint, entry) in self.of(forge) {
            lines.insert(endpoint.clone());
            for place in ["query", "body"] {
                add_fields(&entry[place], &format!("{endpoint} {place}"), &mut lines);
            }
        }
        lines
    }

    /// Those of them that no day has, for a reason.
    pub fn unseen(&self, forge: &str) -> BTreeSet<String> {
        let lines = self.lines(forge);
        let mut unseen = BTreeSet::new();
        for (endpoint, entry) in self.of(forge) {
            for place in entry["unseen"].as_object().into_iter().flat_map(Map::keys) {
                // A field with all that lies in it; without a name the whole endpoint.
                let begin = format!("{endpoint} {place}");
                let is_end = |rest: &str| rest.is_empty() || rest.starts_with([' ', '.', '[']);
                let is_it = |line: &&String| line.strip_prefix(begin.trim_end()).is_some_and(is_end);
                unseen.extend(lines.iter().filter(is_it).cloned());
            }
        }
        unseen
    }

    fn of(&self, forge: &str) -> &Map<String, Value> {
        self.0[forge].as_object().expect("a table of this forge")
    }

    /// The forge that a request is for, and the lines of [`Table::lines`] that it is made of.
    ///
    /// # Errors
    /// Everything about it that does not stand in the table.
    pub fn check(&self, asked: &Asked) -> Result<(String, BTreeSet<String>), Vec<String>> {
        let called = format!("{} {}", asked.method, asked.path);
        let unknown = || vec![format!("{called}: no such endpoint in the table")];
        let is_below =
            |root: &str| asked.path.strip_prefix(root).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let found = ROOTS.iter().find_map(|(root, forge, then)| Some((is_below(root)?, *forge, *then)));
        let (rest, forge, then) = found.ok_or_else(unknown)?;
        let path = format!("{then}{rest}");
        let fits = |endpoint: &&String| {
            endpoint
                .split_once(' ')
                .is_some_and(|(method, template)| method == asked.method.as_str() && matches(template, &path))
        };
        // `/releases/latest` is closer than `/releases/{release_id}`.
        let closest = self.of(forge).keys().filter(fits).min_by_key(|endpoint| endpoint.matches('{').count());
        let endpoint = closest.ok_or_else(unknown)?;
        let look = Look::at(&self.of(forge)[endpoint], asked);
        match look.problems.is_empty() {
            true => {
                let places = look.places.into_iter().map(|place| format!("{endpoint} {place}"));
                Ok((forge.to_owned(), places.chain([endpoint.clone()]).collect()))
            }
            false => Err(look.problems.into_iter().map(|problem| format!("{called}: {problem}")).collect()),
        }
    }
}

fn add_fields(kind: &Value, place: &str, lines: &mut BTreeSet<String>) {
    match kind {
        Value::Object(fields) => {
            for (key, kind) in fields {
                let place = format!("{place}.{}", name(key));
                add_fields(kind, &place, lines);
                lines.insert(place);
            }
        }
        Value::Array(kinds) => add_fields(&kinds[0], &format!("{place}[]"), lines),
        _ => {}
    }
}

/// The name of a field without the marks of the table.
fn name(key: &str) -> &str {
    key.trim_end_matches(['!', '?'])
}

/// Whether a path on the wire is one of a template.
fn matches(template: &str, path: &str) -> bool {
    let (mut templates, mut parts) = (template.split('/'), path.split('/'));
    loop {
        match (templates.next(), parts.next()) {
            (None, None) => return true,
            (Some(template), Some(part)) if template.ends_with("*}") => return !part.is_empty(),
            (Some(template), Some(part)) if template.starts_with('{') && !part.is_empty() => {}
            (Some(template), Some(part)) if template == part => {}
            _ => return false,
        }
    }
}

/// A request held against an entry.
#[derive(Default)]
struct Look {
    /// The fields that it has, of the table's.
    places: BTreeSet<String>,
    problems: Vec<String>,
}

impl Look {
    fn at(entry: &Value, asked: &Asked) -> Self {
        let (mut look, none) = (Look::default(), Map::new());
        let pairs = url::form_urlencoded::parse(asked.query.as_bytes());
        // What stands in a query is text, whatever its type.
        let query: Map<String, Value> = pairs.map(|(key, value)| (key.into_owned(), value.into())).collect();
        look.fields(entry["query"].as_object().unwrap_or(&none), &query, "query", true);
        let media = asked.content_type.as_deref().map(|text| text.split(';').next().unwrap_or_default().trim());
        match (&entry["file"], entry["body"].as_object()) {
            (Value::Object(file), _) => {
                let wanted = file["type"].as_str().expect("a media type");
                if media.is_none() || (wanted != "*/*" && media != Some(wanted)) {
                    look.problems.push(format!("the file is sent as {media:?}, not as {wanted}"));
                }
            }
            (_, Some(fields)) => {
                if media != Some("application/json") {
                    look.problems.push(format!("the body is sent as {media:?}, not as application/json"));
                }
                match asked.body.as_object() {
                    Some(body) => look.fields(fields, body, "body", false),
                    None => look.problems.push(format!("the body is {}, not an object", asked.body)),
                }
            }
            _ if asked.has_body => look.problems.push("it has a body".to_owned()),
            _ => {}
        }
        look
    }

    fn fields(&mut self, fields: &Map<String, Value>, given: &Map<String, Value>, place: &str, is_text: bool) {
        for (field, value) in given {
            let place = format!("{place}.{field}");
            let Some((key, kind)) = fields.iter().find(|(key, _)| name(key) == field) else {
                self.problems.push(format!("{place} does not stand in the table"));
                continue;
            };
            if !(value.is_null() && key.ends_with('?')) {
                self.value(kind, value, &place, is_text);
            }
            self.places.insert(place);
        }
        let required = fields.keys().filter(|key| key.trim_end_matches('?').ends_with('!'));
        let missing = required.map(|key| name(key)).filter(|field| !given.contains_key(*field));
        self.problems.extend(missing.map(|field| format!("{place}.{field} is missing")));
    }

    fn value(&mut self, kind: &Value, value: &Value, place: &str, is_text: bool) {
        match (kind, value) {
            (Value::Object(fields), Value::Object(given)) => self.fields(fields, given, place, is_text),
            (Value::Array(kinds), Value::Array(values)) => {
                values.iter().for_each(|value| self.value(&kinds[0], value, &format!("{place}[]"), is_text));
            }
            (Value::String(kind), value) if is_it(kind, value, is_text) => {}
            (Value::String(kind), value) => self.problems.push(format!("{place} is {value}, not {kind}")),
            (kind, value) => self.problems.push(format!("{place} is {value}, not {kind}")),
        }
    }
}

/// Whether a value is of a plain type, and one of its values where it names them.
fn is_it(kind: &str, value: &Value, is_text: bool) -> bool {
    let (kind, values) = kind.split_once('=').map_or((kind, None), |(kind, values)| (kind, Some(values)));
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let is_kind = match kind {
        "string" => value.is_string(),
        "time" => value.is_string() && text.parse::<jiff::Timestamp>().is_ok(),
        "integer" => (value.is_i64() || is_text) && text.parse::<i64>().is_ok(),
        "boolean" => (value.is_boolean() || is_text) && (text == "true" || text == "false"),
        "object" => value.is_object(),
        other => panic!("the table has the type {other}"),
    };
    is_kind && values.is_none_or(|values| values.split('|').any(|one| one == text))
}
