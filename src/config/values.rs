//! Values with a spelling of their own, read alike from flags, environment and file: durations, days to keep, sizes,
//! lists in one variable.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::Keep;
use super::destination::RefScope;

/// A duration whose bare number counts `UNIT` seconds; a suffix (`s`, `m`, `h`, `d`, `w`) says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<const UNIT: u64>(pub Duration);

/// A duration whose bare number counts seconds.
pub type Seconds = Span<1>;
/// A duration whose bare number counts minutes.
pub type Minutes = Span<60>;
/// A duration whose bare number counts hours.
pub type Hours = Span<3600>;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Nothing here is meant to last longer; it also keeps arithmetic on times from overflowing.
const LONGEST: u64 = 100 * 365 * DAY;

const SPAN_FORM: &str = "a duration such as `90s`, `10m`, `24h` or `7d`";

impl<const UNIT: u64> FromStr for Span<UNIT> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let unit = match unit.trim() {
            "" => UNIT,
            "s" => 1,
            "m" | "min" => MINUTE,
            "h" => HOUR,
            "d" => DAY,
            "w" => 7 * DAY,
            _ => return Err(format!("it is not {SPAN_FORM}")),
        };
        if number.is_empty() {
            return Err(format!("it is not {SPAN_FORM}"));
        }
        let seconds = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
        match seconds.filter(|seconds| *seconds <= LONGEST) {
            Some(seconds) => Ok(Span(Duration::from_secs(seconds))),
            None => Err("it is longer than a hundred years".to_owned()),
        }
    }
}

/// Writes a duration as it can be read back: `90s`, `10m`, `24h`, `7d`.
pub(crate) fn span_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    for (unit, letter) in [(DAY, 'd'), (HOUR, 'h'), (MINUTE, 'm')] {
        // A single day or hour reads better in the smaller unit: 24h, 60m.
        if seconds.is_multiple_of(unit) && seconds > unit {
            return format!("{}{letter}", seconds / unit);
        }
    }
    format!("{seconds}s")
}

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.eq_ignore_ascii_case("forever") {
            return Ok(Keep::Forever);
        }
        let days = text.strip_suffix("days").or(text.strip_suffix('d')).unwrap_or(text).trim_end();
        days.parse().map(Keep::Days).map_err(|_| format!("it is not {KEEP_FORM}"))
    }
}

const KEEP_FORM: &str = "a number of days (`90`), `forever` or `0`";

/// How [`Keep`] is written in the file and shown.
impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keep::Forever => f.write_str("forever"),
            Keep::Days(days) => write!(f, "{days}"),
        }
    }
}

/// A number of bytes: `500MB`, `2GiB`, or a bare number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub u64);

const SIZE_FORM: &str = "a size such as `500MB` or `2GiB`";

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = text.trim().parse::<bytesize::ByteSize>();
        size.map(|size| Size(size.as_u64())).map_err(|_| format!("it is not {SIZE_FORM}"))
    }
}

/// Reads a number or a text through `FromStr`: both are natural in YAML.
struct NumberOrText<T> {
    form: &'static str,
    made: std::marker::PhantomData<T>,
}

impl<T: FromStr<Err = String>> Visitor<'_> for NumberOrText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.form)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|why: String| match why.strip_prefix("it is not ") {
            Some(_) => E::invalid_value(de::Unexpected::Str(text), &self.form),
            None => E::custom(why),
        })
    }
}

fn number_or_text<'de, T, D>(deserializer: D, form: &'static str) -> Result<T, D::Error>
where
    T: FromStr<Err = String>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_any(NumberOrText { form, made: std::marker::PhantomData })
}

fn number_or_text_schema(description: &str, pattern: &str) -> Schema {
    json_schema!({ "type": ["integer", "string"], "minimum": 0, "pattern": pattern, "description": description })
}

impl<'de, const UNIT: u64> Deserialize<'de> for Span<UNIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number_or_text(deserializer, SPAN_FORM)
    }
}

impl<'de> Deserialize<'de> for Keep {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number_or_text(deserializer, KEEP_FORM)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        number_or_text(deserializer, SIZE_FORM)
    }
}

impl<const UNIT: u64> JsonSchema for Span<UNIT> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        number_or_text_schema(SPAN_FORM, r"^\s*[0-9]+\s*(s|m|min|h|d|w)?\s*$")
    }
}

impl JsonSchema for Keep {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Keep".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        number_or_text_schema(KEEP_FORM, r"^\s*([Ff][Oo][Rr][Ee][Vv][Ee][Rr]|[0-9]+\s*(d|days)?)\s*$")
    }
}

impl JsonSchema for Size {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        number_or_text_schema(SIZE_FORM, r"^\s*[0-9]+(\.[0-9]*)?\s*([kKmMgGtTpPeE][iI]?)?[bB]?\s*$")
    }
}

/// A kind of refs, as `refs` lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum RefKind {
    Heads,
    Tags,
    Notes,
}

const REFS_FORM: &str = "a list of `heads`, `tags` and `notes`, or `all`";

impl<'de> Deserialize<'de> for RefScope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RefScopeVisitor)
    }
}

struct RefScopeVisitor;

impl<'de> Visitor<'de> for RefScopeVisitor {
    type Value = RefScope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REFS_FORM)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<RefScope, E> {
        match text {
            "all" => Ok(RefScope::All),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &REFS_FORM)),
        }
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<RefScope, A::Error> {
        let mut kinds = Vec::new();
        while let Some(kind) = items.next_element::<RefKind>()? {
            kinds.push(kind);
        }
        let has = |kind| kinds.contains(&kind);
        Ok(RefScope::Some { heads: has(RefKind::Heads), tags: has(RefKind::Tags), notes: has(RefKind::Notes) })
    }
}

/// How [`RefScope`] is written in the file and shown.
impl fmt::Display for RefScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RefScope::Some { heads, tags, notes } = *self else { return f.write_str("all") };
        let kinds = [("heads", heads), ("tags", tags), ("notes", notes)];
        let kinds: Vec<&str> = kinds.into_iter().filter(|(_, wanted)| *wanted).map(|(name, _)| name).collect();
        write!(f, "[{}]", kinds.join(", "))
    }
}

impl JsonSchema for RefScope {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Refs".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let list = generator.subschema_for::<Vec<RefKind>>();
        json_schema!({ "anyOf": [list, { "type": "string", "const": "all" }], "description": REFS_FORM })
    }
}

/// Reads a switch from the environment; `None` for anything that is neither yes nor no.
///
/// The Python Holocron took `true`, `1` and `yes`, and everything else, typing errors too, for no.
pub(crate) fn switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" | "" => Some(false),
        _ => None,
    }
}

/// Takes a list in one variable apart: at commas and white space, but not inside a glob's `{a,b}` or `[ab]`.
pub(crate) fn list(text: &str) -> Vec<String> {
    let mut depth = 0_i32;
    let parts = text.split(|c: char| {
        match c {
            '{' | '[' => depth += 1,
            '}' | ']' => depth -= 1,
            _ => {}
        }
        depth <= 0 && (c == ',' || c.is_whitespace())
    });
    parts.filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// A class of disk priority, by the names of ionice(1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum IoNice {
    /// The last of the usual class.
    BestEffort,
    /// Only when nobody else wants the disk.
    Idle,
}

impl IoNice {
    /// The word for the file and the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            IoNice::BestEffort => "best-effort",
            IoNice::Idle => "idle",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds<const UNIT: u64>(text: &str) -> Result<u64, String> {
        text.parse::<Span<UNIT>>().map(|span| span.0.as_secs())
    }

    #[test]
    fn a_bare_number_counts_the_settings_own_unit() {
        assert_eq!(seconds::<1>("90"), Ok(90));
        assert_eq!(seconds::<60>("90"), Ok(5400));
        assert_eq!(seconds::<3600>("24"), Ok(86400));
        assert_eq!(seconds::<3600>("90m"), Ok(5400));
        assert_eq!(seconds::<1>("7d"), Ok(604_800));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "h", "-1", "1.5h", "10 parsecs", "99999999999999999999", "200w5"] {
            assert!(seconds::<1>(text).is_err(), "{text}");
        }
        assert!(seconds::<1>("99999d").is_err());
    }

    #[test]
    fn a_duration_is_shown_as_it_can_be_read_back() {
        for text in ["0s", "45s", "60s", "90s", "10m", "24h", "7d"] {
            let span: Seconds = text.parse().unwrap();
            assert_eq!(span_text(span.0), text);
        }
    }

    #[test]
    fn keep_is_days_forever_or_nothing() {
        assert_eq!("forever".parse(), Ok(Keep::Forever));
        assert_eq!("0".parse(), Ok(Keep::Days(0)));
        assert_eq!("90d".parse(), Ok(Keep::Days(90)));
        assert!("a while".parse::<Keep>().is_err());
    }

    #[test]
    fn sizes_know_decimal_and_binary_units() {
        assert_eq!("500MB".parse(), Ok(Size(500_000_000)));
        assert_eq!("2GiB".parse(), Ok(Size(2 << 30)));
        assert!("big".parse::<Size>().is_err());
    }

    #[test]
    fn a_list_splits_outside_of_globs_only() {
        assert_eq!(list("a, b  c/{d,e}*,[x,y]"), ["a", "b", "c/{d,e}*", "[x,y]"]);
        assert!(list(" , ").is_empty());
    }

    #[test]
    fn a_switch_is_yes_or_no_and_nothing_else() {
        assert_eq!([switch("TRUE"), switch("1"), switch("on"), switch("yes")], [Some(true); 4]);
        assert_eq!([switch("false"), switch("0"), switch(""), switch("Off")], [Some(false); 4]);
        assert_eq!(switch("ture"), None);
    }
}
