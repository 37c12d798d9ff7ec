//! A YAML file as a tree that keeps what typed reading loses: both of two equal keys, and the line of each key.
//!
//! There is one parser, yaml_serde's. It tells a position only with an error, so [`line`] follows a path through the
//! file with a seed that ends in an error exactly there, and reads the position from it.

use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// One value of the file, its text not interpolated yet.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// Null, a boolean or a number.
    Plain(serde_json::Value),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file, equal keys included.
    Map(Vec<(String, Node)>),
}

/// One step from a value to one inside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Key(String),
    /// The second, third … of equal keys, counted from 0.
    Repeated(String, usize),
    Item(usize),
}

/// The way from the top of the file to a value.
pub(crate) type Path = Vec<Step>;

/// Writes a path as people do: `sources[1].token.env`.
pub(crate) fn path_text(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) | Step::Repeated(key, _) if text.is_empty() => text.push_str(key),
            Step::Key(key) | Step::Repeated(key, _) => text.extend([".", key]),
            Step::Item(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// Parses a file; an empty one is an empty map.
///
/// # Errors
/// What is not YAML, as yaml_serde says it, with its position.
pub(crate) fn parse(text: &str) -> Result<Node, serde_yaml::Error> {
    match serde_yaml::from_str::<Node>(text)? {
        Node::Plain(serde_json::Value::Null) => Ok(Node::Map(Vec::new())),
        node => Ok(node),
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

/// Stands in the parser's error about a tag.
pub(crate) const NO_TAG: &str = "a value without a YAML tag";

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NO_TAG)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Plain(serde_json::Value::Null))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Plain(serde_json::Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Node::Map(map))
    }
}

/// Returns the line, counted from 1, of the key or list item at the end of a path; `None` when it is not in the file.
pub(crate) fn line(text: &str, path: &[Step]) -> Option<usize> {
    let found = Follow(path).deserialize(serde_yaml::Deserializer::from_str(text));
    found.err().filter(|error| error.to_string().contains(HERE))?.location().map(|location| location.line())
}

/// Marks our own error among those of the parser.
const HERE: &str = "the end of the path";

/// Walks along the path; at its end it fails, so that the parser adds the position.
struct Follow<'a>(&'a [Step]);

impl<'de> DeserializeSeed<'de> for Follow<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Follow<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { HERE } else { "something with more inside" })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Some((Step::Item(wanted), rest)) = self.0.split_first() else {
            return Err(de::Error::custom(HERE));
        };
        for _ in 0..*wanted {
            if items.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        items.next_element_seed(Follow(rest)).map(drop)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let (wanted, nth, rest) = match self.0.split_first() {
            Some((Step::Key(key), rest)) => (key, 0, rest),
            Some((Step::Repeated(key, nth), rest)) => (key, *nth, rest),
            Some((Step::Item(_), _)) | None => return Err(de::Error::custom(HERE)),
        };
        let mut before = 0;
        loop {
            let stop = rest.is_empty() && before == nth;
            let Some(key) = entries.next_key_seed(KeyIs { wanted, stop })? else { return Ok(()) };
            if key && before == nth {
                return entries.next_value_seed(Follow(rest));
            }
            before += usize::from(key);
            entries.next_value::<IgnoredAny>()?;
        }
    }
}

/// Tells whether a key is the wanted one; fails there when it is the end of the path.
struct KeyIs<'a> {
    wanted: &'a str,
    stop: bool,
}

impl<'de> DeserializeSeed<'de> for KeyIs<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyIs<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: de::Error>(self, key: &str) -> Result<bool, E> {
        match key == self.wanted {
            true if self.stop => Err(E::custom(HERE)),
            is => Ok(is),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# comment\nstorage: x\nsources:\n  - kind: dir\n    dirs:\n      - a\n      - b\n  - { kind: urls,\n      token: { env: X } }\nstorage: y\nlist: [a,\n  2]\n";

    fn key(text: &str) -> Step {
        Step::Key(text.into())
    }

    #[test]
    fn every_key_and_item_has_its_line() {
        for (path, expected) in [
            (vec![key("storage")], Some(2)),
            (vec![Step::Repeated("storage".into(), 1)], Some(10)),
            (vec![key("sources")], Some(3)),
            (vec![key("sources"), Step::Item(0), key("dirs")], Some(5)),
            (vec![key("sources"), Step::Item(0), key("dirs"), Step::Item(1)], Some(7)),
            (vec![key("sources"), Step::Item(1)], Some(8)),
            (vec![key("sources"), Step::Item(1), key("token"), key("env")], Some(9)),
            (vec![key("list"), Step::Item(1)], Some(12)),
            (vec![key("absent")], None),
            (vec![key("storage"), key("deeper")], None),
            (vec![key("sources"), Step::Item(7)], None),
        ] {
            assert_eq!(line(FILE, &path), expected, "{}", path_text(&path));
        }
    }

    #[test]
    fn equal_keys_are_both_kept() {
        let Node::Map(entries) = parse("a: 1\na: 2\n").unwrap() else { panic!("a map") };
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn an_empty_file_is_an_empty_map() {
        assert_eq!(parse("# nothing yet\n").unwrap(), Node::Map(Vec::new()));
        assert_eq!(parse("").unwrap(), Node::Map(Vec::new()));
    }

    #[test]
    fn windows_line_ends_change_nothing() {
        let text = "storage: x\r\nkeep: 1\r\n";
        assert_eq!(parse(text).unwrap(), parse("storage: x\nkeep: 1\n").unwrap());
        assert_eq!(line(text, &[key("keep")]), Some(2));
    }
}
