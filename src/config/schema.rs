//! The JSON schema as editors get it: that of the shape, and what the program accepts beside it: `${NAME}` where a
//! scalar stands, and a file without anything in it; what it refuses by the `kind` of an entry, too.

use serde_json::{Map, Value, json};

use super::raw;

/// What names the schema; it is no place to download it from.
const ID: &str = "urn:holocron:config";

/// A variable; the name may have a default.
const VARIABLE: &str = r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}";

/// Keys of a source or destination that its kinds do not have.
const FOREIGN: [(&str, &[&str], &[&str]); 6] = [
    ("sources", &["dir", "urls"], &SOURCE_ON_A_FORGE),
    ("sources", &["dir"], &["token", "user", "ca_file", "proxy", "urls", "urls_file"]),
    ("sources", &["urls"], &["dirs"]),
    ("sources", &["github", "gitlab", "gitea", "forgejo", "codeberg"], &["dirs", "urls", "urls_file"]),
    ("destinations", &["git"], &DESTINATION_ON_A_FORGE),
    ("destinations", &["github", "gitlab", "gitea", "forgejo", "codeberg"], &["url"]),
];
const SOURCE_ON_A_FORGE: [&str; 10] =
    ["host", "api_url", "owners", "forks", "archived", "visibility", "topics", "max_size", "transport", "clone_urls"];
const DESTINATION_ON_A_FORGE: [&str; 7] =
    ["host", "api_url", "namespace", "name", "visibility", "protected_branches", "transport"];

/// The places of secrets, each read from exactly one of `env`, `file` and `command`.
const SECRETS: [&str; 3] = [
    "/properties/sources/items/properties/token",
    "/properties/destinations/items/properties/token",
    "/properties/destinations/items/properties/ssh/properties/passphrase",
];

/// The schema that `holocron config schema` prints.
pub(super) fn published() -> Value {
    let mut schema = raw::schema();
    loosen(&mut schema);
    tighten(&mut schema);
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
        map.insert("anyOf".to_owned(), json!([own, {"type": "string", "pattern": VARIABLE}]));
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

/// Adds what hangs on several keys at once. A key without a value is as one that is not there.
fn tighten(schema: &mut Value) {
    for place in SECRETS {
        let one = |key: &str| json!({"required": [key], "properties": {key: {"not": {"type": "null"}}}});
        schema.pointer_mut(place).into_iter().for_each(|secret| {
            secret["if"] = json!({"type": "object"});
            secret["then"] = json!({"oneOf": (["env", "file", "command"].map(one))});
        });
    }
    if let Some(run_from) = schema.pointer_mut("/properties/run_from") {
        run_from["required"] = json!(["forge"]);
    }
    for list in ["sources", "destinations"] {
        let rule = |kinds: &[&str], keys: &[&str]| {
            let none: Map<String, Value> =
                keys.iter().map(|key| ((*key).to_owned(), json!({"type": "null"}))).collect();
            json!({"if": {"required": ["kind"], "properties": {"kind": {"enum": kinds}}}, "then": {"properties": none}})
        };
        let of_list = FOREIGN.iter().filter(|(of, ..)| *of == list);
        let rules: Vec<Value> = of_list.map(|(_, kinds, keys)| rule(kinds, keys)).collect();
        if let Some(entry) = schema.pointer_mut(&format!("/properties/{list}/items")) {
            entry["required"] = json!(["kind"]);
            entry["allOf"] = rules.into();
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
    use crate::base::url::RemoteUrl;
    use crate::config::environment::Fake;

    /// What this schema does not refuse, each with the reason.
    const BEYOND: [(&str, &str); 5] = [
        ("destinations-in-one-place", "entries are compared with each other"),
        ("duplicate-keys", "a reader of JSON sees one of the two"),
        ("equal-ids", "entries are compared with each other"),
        ("globs", "a glob has brackets within brackets, which no pattern counts"),
        ("unset-variable", "the environment is not in the file"),
    ];

    /// The schema, ready to judge texts.
    struct Judge(boon::Schemas, boon::SchemaIndex);

    impl Judge {
        fn new() -> Self {
            let mut schemas = boon::Schemas::new();
            let mut compiler = boon::Compiler::new();
            compiler.add_resource(ID, published()).unwrap();
            let index = compiler.compile(ID, &mut schemas).unwrap();
            Judge(schemas, index)
        }

        fn accepts(&self, text: &str) -> Result<(), String> {
            let value: Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
            self.0.validate(&value, self.1).map_err(|error| error.to_string())
        }
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
        let judge = Judge::new();
        let example = ("example".to_owned(), include_str!("../../holocron.example.yaml").to_owned());
        let variables =
            ("variables".to_owned(), "concurrency: ${N}\nkeep: ${K:-7}\ncheckout: ${C}\ncolor: ${X}\n".to_owned());
        for (name, text) in files("valid").into_iter().chain([example, variables]) {
            assert_eq!(judge.accepts(&text), Ok(()), "{name}");
        }
    }

    #[test]
    fn the_schema_refuses_what_the_program_refuses() {
        let judge = Judge::new();
        let accepted: Vec<String> = files("invalid")
            .into_iter()
            .filter(|(_, text)| judge.accepts(text).is_ok())
            .map(|(name, _)| name)
            .collect();
        assert_eq!(accepted, BEYOND.map(|(name, _)| name));
        for text in [
            "interval: soon",
            "interval: -5",
            "keep: a while",
            "memory: big",
            "concurrency: '5'",
            "concurrency: ${N",
            "concurrency: ${N M}",
            "run_from: {otherwise: exit}",
        ] {
            assert!(judge.accepts(text).is_err(), "{text}");
        }
    }

    #[test]
    fn each_kind_has_the_keys_that_the_program_takes() {
        let judge = Judge::new();
        let directory = tempfile::tempdir().unwrap();
        let mut env = Fake::new(&[]);
        env.directory = directory.path().to_owned();
        let shape = raw::schema();
        for (list, kinds) in [("sources", &raw::RawKind::NAMES[..]), ("destinations", &raw::RawDestinationKind::NAMES)]
        {
            let entry = raw::items(&shape["properties"][list]).unwrap();
            for (kind, key) in
                kinds.iter().flat_map(|kind| raw::properties(entry).unwrap().keys().map(move |key| (kind, key)))
            {
                let value = match key.as_str() {
                    "kind" | "id" => continue,
                    "token" => "{env: T}",
                    "owners" | "include" | "exclude" | "topics" | "dirs" | "protect" | "rolling" => "[a]",
                    "urls" => "[https://h/x]",
                    "url" => "'https://h/{name}'",
                    "api_url" | "proxy" => "https://h",
                    "forks" | "archived" | "create" | "prune" => "true",
                    "visibility" => {
                        if list == "sources" {
                            "[public]"
                        } else {
                            "public"
                        }
                    }
                    "max_size" => "1MB",
                    "transport" => "ssh",
                    "clone_urls" => "listed",
                    "refs" | "releases" => "all",
                    "divergence" => "keep",
                    "protected_branches" => "fail",
                    "ssh" => "{known_hosts: strict}",
                    _ => "x",
                };
                let text = format!("{list}: [{{kind: {kind}, {key}: {value}}}]");
                std::fs::write(directory.path().join("holocron.yaml"), &text).unwrap();
                let told = crate::config::load(&Default::default(), &env)
                    .map_or_else(|error| error.to_string(), |_| String::new());
                let foreign = told.contains(&format!(" has no `{key}`"));
                assert_eq!(judge.accepts(&text).is_err(), foreign, "{text}: {told}");
            }
        }
    }

    #[test]
    fn urls_without_passwords_are_as_the_program_takes_them() {
        let judge = Judge::new();
        for (key, value, right) in [
            ("api_url", "https://h:8443/api/v4", true),
            ("api_url", "https://${HOST}/api", true),
            ("api_url", "https://me@h/api", false),
            ("api_url", "https://h/api?x", false),
            ("proxy", "socks5://h:1080", true),
            ("proxy", "ftp://h", false),
            ("host", "git.example.org:8443", true),
            ("host", "https://h", false),
        ] {
            let text = format!("sources: [{{kind: gitlab, {key}: '{value}'}}]");
            assert_eq!(judge.accepts(&text).is_ok(), right, "{text}");
        }
        for (url, right) in [
            ("https://h/a@b:c", true),
            ("https://me@h/a", true),
            ("HTTP://h:80/a", true),
            ("ssh://git@h:22/a", true),
            ("ssh://[::1]:22/a", true),
            ("file:///srv/a", true),
            ("git@h:a/b", true),
            ("h:/srv/a", true),
            ("git@[::1]:a", true),
            ("/srv/a b", true),
            ("https://me:hunter2@h/a", false),
            ("ssh://me:hunter2@h/a", false),
            ("-oProxyCommand=x", false),
            ("ext::sh -c id", false),
            ("./a", false),
            ("a/b", false),
        ] {
            let text = format!("sources: [{{kind: urls, urls: ['{url}']}}]");
            assert_eq!(judge.accepts(&text).is_ok(), right, "{text}");
            assert_eq!(matches!(RemoteUrl::parse_with_secret(url), Ok((_, None))), right, "{url}");
        }
    }
}
