//! The JSON schema as editors get it: that of the shape, and what the program accepts beside it: `${NAME}` where a
//! scalar stands, and a file without anything in it.

use serde_json::{Map, Value, json};

use super::raw;

/// What names the schema; it is no place to download it from.
const ID: &str = "urn:holocron:config";

/// The schema that `holocron config schema` prints.
pub(super) fn published() -> Value {
    let mut schema = raw::schema();
    loosen(&mut schema);
    schema["$id"] = ID.into();
    // An empty file is null to YAML.
    schema["type"] = json!(["object", "null"]);
    schema
}

/// Lets a variable stand for every scalar below a part of the schema.
fn loosen(part: &mut Value) {
    let Some(map) = part.as_object_mut() else { return };
    if is_scalar(map) {
        let kept: Map<String, Value> = ["description", "default"]
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), map.get(*key)?.clone())))
            .collect();
        let own = std::mem::take(map);
        *map = kept;
        map.insert("anyOf".to_owned(), json!([own, {"type": "string", "pattern": "\\$\\{"}]));
        return;
    }
    // A variable would match every alternative.
    if let Some(alternatives) = map.remove("oneOf") {
        map.insert("anyOf".to_owned(), alternatives);
    }
    for (key, value) in map {
        match (key.as_str(), value) {
            ("properties", Value::Object(properties)) => properties.values_mut().for_each(loosen),
            ("anyOf", Value::Array(parts)) => parts.iter_mut().for_each(loosen),
            ("items", items) => loosen(items),
            _ => {}
        }
    }
}

fn is_scalar(map: &Map<String, Value>) -> bool {
    let is_word = |word: &Value| ["string", "integer", "number", "boolean"].iter().any(|scalar| word == scalar);
    let has_scalar_type = match map.get("type") {
        Some(Value::Array(types)) => types.iter().any(is_word),
        Some(word) => is_word(word),
        None => false,
    };
    has_scalar_type || map.contains_key("const") || map.contains_key("enum")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// What this schema does not say: texts with rules of their own (globs, URLs, places), keys that depend on others
    /// (kinds, tokens), values that must differ, variables that must be set.
    const BEYOND: &[&str] = &[
        "destinations",
        "destinations-in-one-place",
        "duplicate-keys",
        "equal-ids",
        "globs",
        "kinds",
        "places",
        "secrets-in-urls",
        "token-of-two-kinds",
        "unset-variable",
        "urls",
    ];

    fn accepts(text: &str) -> Result<(), String> {
        let value: Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        let mut schemas = boon::Schemas::new();
        let mut compiler = boon::Compiler::new();
        compiler.add_resource(ID, published()).unwrap();
        let index = compiler.compile(ID, &mut schemas).unwrap();
        schemas.validate(&value, index).map_err(|error| error.to_string())
    }

    fn files(folder: &str) -> Vec<(String, String)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/config").join(folder);
        let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let yaml = paths.filter(|path| path.extension().is_some_and(|ending| ending == "yaml"));
        let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
        let mut found: Vec<_> = yaml.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect();
        found.sort();
        found
    }

    #[test]
    fn the_schema_accepts_what_the_program_accepts() {
        let example = ("example".to_owned(), include_str!("../../holocron.example.yaml").to_owned());
        let variables =
            ("variables".to_owned(), "concurrency: ${N}\nkeep: ${K:-7}\ncheckout: ${C}\ncolor: ${X}\n".to_owned());
        for (name, text) in files("valid").into_iter().chain([example, variables]) {
            assert_eq!(accepts(&text), Ok(()), "{name}");
        }
    }

    #[test]
    fn the_schema_refuses_what_the_program_refuses() {
        let accepted: Vec<String> =
            files("invalid").into_iter().filter(|(_, text)| accepts(text).is_ok()).map(|(name, _)| name).collect();
        assert_eq!(accepted, BEYOND);
        for text in ["interval: soon", "interval: -5", "keep: a while", "memory: big", "concurrency: '5'"] {
            assert!(accepts(text).is_err(), "{text}");
        }
    }
}
