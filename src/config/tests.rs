//! The configuration as a whole: layers, example, test data, documentation.

mod destinations;
mod push;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};

use super::environment::Fake;
use super::*;

/// The flags of the main job as they are typed.
#[derive(clap::Parser)]
struct MirrorLine {
    #[command(flatten)]
    args: MirrorArgs,
}

/// Those of `holocron push`.
#[derive(clap::Parser)]
struct PushLine {
    #[command(flatten)]
    args: PushArgs,
}

fn args(words: &[&str]) -> MirrorArgs {
    MirrorLine::try_parse_from(["holocron"].iter().chain(words)).map_err(|error| error.to_string()).unwrap().args
}

fn load_in(directory: &Path, words: &[&str], variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let mut env = Fake::new(variables);
    env.directory = directory.to_owned();
    load(&args(words), &env)
}

/// Loads without a file.
fn plain(words: &[&str], variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    load_in(Path::new("/nowhere"), words, variables)
}

fn with_file(file: &str, words: &[&str], variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("holocron.yaml"), file).unwrap();
    load_in(directory.path(), words, variables)
}

fn message(result: Result<Loaded, ConfigError>) -> String {
    result.unwrap_err().to_string()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "concurrency: 2\nkeep: 7\ninterval: 10m\nwindow: 5\nsources: [{kind: dir}]\n";
    let variables = [("HOLOCRON_CONCURRENCY", "3"), ("HOLOCRON_KEEP", "8"), ("HOLOCRON_CHECKOUT", "true")];
    let loaded = with_file(file, &["--concurrency", "4"], &variables).unwrap();
    let config = &loaded.config;
    assert_eq!((config.concurrency, config.keep, config.checkout), (4, Keep::Days(8), true));
    assert_eq!((config.interval, config.window), (Duration::from_secs(600), Duration::from_secs(300)));
    assert_eq!(config.full_every, Duration::from_secs(86400));
    let origin = |key: &str| loaded.origins.get(key).to_string();
    assert_eq!(
        ["concurrency", "keep", "interval", "full_every"].map(origin),
        ["--concurrency", "HOLOCRON_KEEP", "holocron.yaml:3", "default"]
    );
}

#[test]
fn a_switch_in_the_environment_can_turn_the_files_off() {
    let file = "checkout: true\nsources: [{kind: dir}]\n";
    assert!(with_file(file, &[], &[]).unwrap().config.checkout);
    assert!(!with_file(file, &[], &[("HOLOCRON_CHECKOUT", "no")]).unwrap().config.checkout);
    assert!(with_file(file, &["--checkout"], &[("HOLOCRON_CHECKOUT", "no")]).unwrap().config.checkout);
}

#[test]
fn what_is_typed_about_talking_puts_the_other_variable_aside() {
    let output = plain(&["--backup-only", "--dir", "x", "-v"], &[("HOLOCRON_QUIET", "1")]).unwrap().config.output;
    assert!(output.verbose && !output.quiet);
    let both = [("HOLOCRON_QUIET", "1"), ("HOLOCRON_VERBOSE", "1")];
    assert!(message(plain(&["--backup-only", "--dir", "x"], &both)).contains("are both set"));
}

#[test]
fn without_a_file_github_is_read_with_its_token() {
    let loaded = plain(&["--backup-only"], &[("GITHUB_TOKEN", "x")]).unwrap();
    let [source] = loaded.config.sources.as_slice() else { panic!("one source") };
    assert_eq!(
        (source.id.as_str(), source.kind, source.user.as_str()),
        ("github", ForgeKind::Github, "x-access-token")
    );
    assert_eq!(source.api_url.as_ref().unwrap().as_str(), "https://api.github.com/");
    assert_eq!(source.token, Some(SecretSource::Env("GITHUB_TOKEN".into())));
    assert_eq!(loaded.config.storage, Path::new("/nowhere/mirror-data"));
}

#[test]
fn without_a_token_an_owner_must_be_named() {
    let error = message(plain(&["--backup-only"], &[("GITHUB_TOKEN", "")]));
    assert!(error.contains("GITHUB_TOKEN is not set") && error.contains("--owner NAME"), "{error}");
    let loaded = plain(&["--backup-only", "--owner", "acme"], &[]).unwrap();
    assert_eq!(loaded.config.sources[0].token, None);
    assert_eq!(loaded.config.sources[0].owners, ["acme"]);
    assert!(message(plain(&["--backup-only", "--source", "gitlab"], &[])).contains("GITLAB_TOKEN is not set"));
}

#[test]
fn the_environment_names_servers_and_their_tokens() {
    let variables = [
        ("GITHUB_API_URL", "https://ghe.example.com/api/v3/"),
        ("GITHUB_TOKEN", "a"),
        ("GITLAB_API_URL", "http://gitlab.local/api/v4"),
        ("GITLAB_TOKEN", "b"),
        ("GITEA_API_URL", "https://git.example.org/api/v1"),
        ("FORGEJO_TOKEN", "c"),
    ];
    let loaded = plain(&["--backup-only", "--source", "github,gitlab", "--source", "forgejo"], &variables).unwrap();
    let found: Vec<_> =
        loaded.config.sources.iter().map(|s| (s.api_url.as_ref().unwrap().as_str(), s.token.clone())).collect();
    let from = |name: &str| Some(SecretSource::Env(name.into()));
    assert_eq!(
        found,
        [
            ("https://ghe.example.com/api/v3", from("GITHUB_TOKEN")),
            ("http://gitlab.local/api/v4", from("GITLAB_TOKEN")),
            ("https://git.example.org/api/v1", from("FORGEJO_TOKEN")),
        ]
    );
}

#[test]
fn gitea_must_say_which_and_codeberg_has_said_it() {
    let error = message(plain(&["--backup-only", "--source", "gitea"], &[("GITEA_TOKEN", "x")]));
    assert!(error.contains("GITEA_API_URL") && error.contains("codeberg.org"), "{error}");
    let loaded = plain(&["--backup-only", "--source", "codeberg"], &[("GITEA_TOKEN", "x")]).unwrap();
    assert_eq!(loaded.config.sources[0].api_url.as_ref().unwrap().as_str(), "https://codeberg.org/api/v1");
    assert!(loaded.config.sources[0].token.is_some());
}

#[test]
fn the_token_of_codeberg_goes_to_codeberg_alone() {
    let tokens = |file: &str, variables: &[(&str, &str)]| -> Vec<Option<SecretSource>> {
        let sources = with_file(file, &["--backup-only"], variables).unwrap().config.sources;
        sources.into_iter().map(|source| source.token).collect()
    };
    let from = |name: &str| Some(SecretSource::Env(name.into()));
    let file = "sources:\n  - {kind: codeberg, owners: [x]}\n  - {id: b, kind: gitea, host: codeberg.org, owners: [x]}\n  - {id: c, kind: forgejo, host: h, owners: [x]}\n";
    let codeberg = ("CODEBERG_TOKEN", "x");
    let own = || from("CODEBERG_TOKEN");
    assert_eq!(tokens(file, &[codeberg, ("GITEA_TOKEN", "y")]), [own(), own(), None]);
    assert_eq!(tokens(file, &[("GITEA_TOKEN", "y")]), [from("GITEA_TOKEN"), from("GITEA_TOKEN"), None]);
    let here = ("GITEA_API_URL", "https://h/api/v1");
    assert_eq!(tokens(file, &[here, ("GITEA_TOKEN", "y"), codeberg]), [own(), own(), from("GITEA_TOKEN")]);
    // Neither is one called codeberg that is another server.
    let file = "sources: [{kind: dir}]\ndestinations: [{id: codeberg, kind: gitea, host: h}]\n";
    let error = message(with_file(file, &[], &[codeberg]));
    assert!(error.contains("belongs to another server"), "{error}");
}

#[test]
fn sources_are_called_as_their_kinds_are() {
    let ids = |file: &str, words: &[&str]| -> Vec<(String, Option<String>)> {
        let words = [&["--backup-only", "--owner", "x"], words].concat();
        let sources = with_file(file, &words, &[("GITEA_API_URL", "https://h/api/v1")]).unwrap().config.sources;
        sources.into_iter().map(|source| (source.id, source.former_id)).collect()
    };
    let called = |id: &str, former: Option<&str>| (id.to_owned(), former.map(str::to_owned));
    let both = [called("codeberg", Some("gitea")), called("forgejo", Some("gitea"))];
    assert_eq!(ids("sources: [{kind: codeberg}, {kind: forgejo, host: h}]\n", &[]), both);
    assert_eq!(ids("keep: 3\n", &["--source", "codeberg,forgejo"]), both);
    // Records of `gitea` are those of the source that is called so now.
    let file = "sources: [{kind: codeberg}, {kind: gitea, host: h}]\n";
    assert_eq!(ids(file, &[]), [called("codeberg", None), called("gitea", None)]);
    // A file that older versions took is not refused because of the new name.
    let file = "sources: [{kind: forgejo, host: a}]\ndestinations: [{kind: forgejo, host: b, token: {env: B}}]\n";
    assert_eq!(ids(file, &[]), [called("gitea", None)]);
    let loaded = with_file("sources: [{kind: codeberg, owners: [x]}]\nrun_from: {forge: gitea}\n", &[], &[]).unwrap();
    assert_eq!(loaded.config.run_from.unwrap().host, "codeberg.org");
}

#[test]
fn codeberg_and_forgejo_mean_no_other_gitea_where_one_is_called_so() {
    let file = "sources:\n  - {kind: codeberg, owners: [x]}\n  - {kind: forgejo, host: h, owners: [x]}\n  - {id: lab, kind: gitea, host: l, owners: [x]}\n";
    let ids = |words: &[&str]| -> Vec<String> {
        with_file(file, words, &[]).unwrap().config.sources.into_iter().map(|source| source.id).collect()
    };
    assert_eq!(ids(&["--source", "codeberg"]), ["codeberg"]);
    assert_eq!(ids(&["--source", "forgejo"]), ["forgejo"]);
    assert_eq!(ids(&["--source", "gitea"]), ["codeberg", "forgejo", "lab"]);
}

#[test]
fn a_token_of_the_environment_goes_to_no_other_host() {
    let file = "sources: [{id: a, kind: github}, {id: b, kind: github, host: ghe.example.com, owners: [x]}]\n";
    let sources = with_file(file, &[], &[("GITHUB_TOKEN", "x")]).unwrap().config.sources;
    assert_eq!(sources[0].token, Some(SecretSource::Env("GITHUB_TOKEN".into())));
    assert_eq!(sources[1].token, None);
    assert_eq!(sources[1].api_url.as_ref().unwrap().as_str(), "https://ghe.example.com/api/v3");
}

#[test]
fn a_directory_or_url_implies_its_source() {
    let sources = plain(&["--backup-only", "--dir", "a", "--dir=/b"], &[]).unwrap().config.sources;
    assert_eq!((sources.len(), sources[0].kind), (1, ForgeKind::Dir));
    assert_eq!(sources[0].dirs, [Path::new("/nowhere/a"), Path::new("/b")]);
    let url = "https://github.com/acme/api.git";
    let sources = plain(&["--backup-only", "--url", url], &[("HOLOCRON_SOURCE", "github")]).unwrap().config.sources;
    assert_eq!((sources.len(), sources[0].kind), (1, ForgeKind::Urls));
    assert_eq!(sources[0].urls[0].to_string(), url);
    let sources = plain(&["--backup-only", "--source", "dir"], &[]).unwrap().config.sources;
    assert_eq!(sources[0].dirs, [Path::new("/nowhere")]);
}

#[test]
fn a_list_of_urls_has_comments_and_its_errors_have_lines() {
    let directory = tempfile::tempdir().unwrap();
    let list = directory.path().join("urls.txt");
    std::fs::write(&list, "# mine\nhttps://h/a  # the first\n\nssh://git@h/b#c\n").unwrap();
    let loaded = load_in(directory.path(), &["--backup-only", "--urls-file", "urls.txt"], &[]).unwrap();
    let urls: Vec<String> = loaded.config.sources[0].urls.iter().map(ToString::to_string).collect();
    assert_eq!(urls[0], "https://h/a");
    assert_eq!(urls.len(), 2);
    std::fs::write(&list, "https://h/a\nhttps://me:hunter2@h/b\nftp://h/c\n").unwrap();
    let error = message(load_in(directory.path(), &["--backup-only", "--urls-file", "urls.txt"], &[]));
    assert!(error.contains("urls.txt:2: a URL has a password") && error.contains("urls.txt:3: "), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn source_selects_among_the_files_by_id_or_kind() {
    let file = "sources:\n  - {id: a, kind: codeberg, owners: [x]}\n  - {id: b, kind: gitea, host: h, owners: [x]}\n  - {id: c, kind: dir}\n";
    let ids = |words: &[&str]| -> Vec<String> {
        with_file(file, words, &[]).unwrap().config.sources.into_iter().map(|source| source.id).collect()
    };
    assert_eq!(ids(&[]), ["a", "b", "c"]);
    assert_eq!(ids(&["--source", "b"]), ["b"]);
    assert_eq!(ids(&["--source", "gitea,c"]), ["a", "b", "c"]);
    assert_eq!(ids(&["--url", "https://h/x"]), ["urls"]);
    assert_eq!(ids(&["--source", "a,urls", "--url", "https://h/x"]), ["a", "urls"]);
    let error = message(with_file(file, &["--source", "github"], &[]));
    assert!(error.contains("--source: there is no source `github`; write one of: a, b, c"), "{error}");
}

#[test]
fn filters_and_owners_that_are_typed_replace_those_of_every_source() {
    let file = "filters: {include: [z/*], forks: false}\nsources:\n  - {id: a, kind: codeberg, owners: [x], exclude: [q]}\n  - {id: b, kind: gitlab, owners: [y], forks: true}\n";
    let loaded = with_file(file, &["--owner", "acme", "--exclude", "acme/old"], &[]).unwrap();
    for source in &loaded.config.sources {
        assert_eq!((source.owners[0].as_str(), source.filters.include[0].as_str()), ("acme", "z/*"));
        assert_eq!(source.filters.exclude, ["acme/old"]);
    }
    assert_eq!(loaded.config.sources.iter().map(|s| s.filters.forks).collect::<Vec<_>>(), [false, true]);
    assert_eq!(loaded.origins.get("sources[0].forks").to_string(), "holocron.yaml:1");
    assert_eq!(loaded.origins.get("sources[1].forks").to_string(), "holocron.yaml:4");
    assert_eq!(loaded.origins.get("sources[1].exclude").to_string(), "--exclude");
}

#[test]
fn a_flag_that_would_do_nothing_is_refused() {
    let error = message(plain(&["--backup-only", "--source", "github", "--dir", "x"], &[("GITHUB_TOKEN", "x")]));
    assert!(error.starts_with("--dir: none of the chosen sources reads it"), "{error}");
    let error = message(plain(&["--backup-only", "--source", "githab"], &[]));
    assert_eq!(error, "--source: there is no source `githab`; did you mean `github`?");
}

#[test]
fn paths_of_the_file_start_at_the_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("etc")).unwrap();
    let file = "storage: ./data\nsources: [{kind: dir, dirs: [src, ~/x]}]\n";
    std::fs::write(directory.path().join("etc/h.yaml"), file).unwrap();
    let loaded = load_in(directory.path(), &["--config", "etc/h.yaml"], &[("HOME", "/home/me")]).unwrap();
    assert_eq!(loaded.config.storage, directory.path().join("etc/data"));
    assert_eq!(loaded.config.sources[0].dirs, [directory.path().join("etc/src"), PathBuf::from("/home/me/x")]);
    let loaded = load_in(directory.path(), &["--config", "etc/h.yaml", "--storage", "data"], &[]).unwrap();
    assert_eq!(loaded.config.storage, directory.path().join("data"));
}

#[test]
fn the_file_is_found_by_flag_variable_directory_and_home() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "sources: [{kind: dir}]\n").unwrap();
        path
    };
    let (flag, variable, home) = (at("flag.yaml"), at("variable.yaml"), at("home/.config/holocron/holocron.yaml"));
    let xdg = at("xdg/holocron/holocron.yaml");
    let text = |path: &Path| path.display().to_string();
    let home_variable = text(&directory.path().join("home"));
    let xdg_variable = text(&directory.path().join("xdg"));
    let found = |words: &[&str], variables: &[(&str, &str)]| {
        let variables = [variables, &[("HOME", home_variable.as_str())]].concat();
        load_in(directory.path(), words, &variables).unwrap().file.unwrap()
    };
    assert_eq!(found(&[], &[]), home);
    assert_eq!(found(&[], &[("XDG_CONFIG_HOME", &xdg_variable)]), xdg);
    at("holocron.yaml");
    assert_eq!(found(&[], &[]), Path::new("holocron.yaml"));
    assert_eq!(found(&[], &[("HOLOCRON_CONFIG", &text(&variable))]), variable);
    assert_eq!(found(&["--config", &text(&flag)], &[("HOLOCRON_CONFIG", &text(&variable))]), flag);
    assert!(message(plain(&["--config", "absent.yaml"], &[])).starts_with("absent.yaml: the configuration cannot be"));
}

#[test]
fn what_is_shown_can_be_read_back_and_says_where_it_came_from() {
    let file = "keep: forever\nsources:\n  - {id: lab, kind: gitlab, token: {env: LAB_TOKEN}, max_size: 2GiB, include: ['a/{b,c}']}\n  - {kind: dir, dirs: ['/a b']}\n";
    let loaded = with_file(file, &["--concurrency", "9"], &[]).unwrap();
    let env = Fake::new(&[("LAB_TOKEN", "canary-canary")]);
    let shown = show(&loaded, &env);
    assert!(shown.contains("concurrency: 9                            # --concurrency\n"), "{shown}");
    assert!(shown.contains("# holocron.yaml:1\n"), "{shown}");
    assert!(shown.contains("the environment variable LAB_TOKEN (set)"), "{shown}");
    assert!(!shown.contains("canary"), "{shown}");
    assert_eq!(with_file(&shown, &[], &[]).unwrap().config.sources, loaded.config.sources);
    assert_eq!(with_file(&shown, &[], &[]).unwrap().config.keep, Keep::Forever);
}

#[test]
fn the_command_that_prints_a_token_is_not_shown() {
    let file = "sources: [{kind: github, token: {command: echo canary-canary}}]\n";
    let loaded = with_file(file, &[], &[]).unwrap();
    let env = Fake::new(&[]);
    assert!(!show(&loaded, &env).contains("canary"), "{}", show(&loaded, &env));
    assert!(!check(&loaded, &env).contains("canary"));
}

#[test]
fn a_check_says_which_tokens_are_not_there() {
    let loaded = with_file("sources: [{id: lab, kind: gitlab, token: {env: LAB_TOKEN}}]\n", &[], &[]).unwrap();
    let text = check(&loaded, &Fake::new(&[]));
    assert!(text.starts_with("ok: holocron.yaml\n"), "{text}");
    assert!(
        text.contains(
            "  lab: gitlab https://gitlab.com/api/v4, token from the environment variable LAB_TOKEN (not set)"
        )
    );
}

#[test]
fn looking_needs_neither_destination_nor_token() {
    let loaded = load_for(&args(&["--storage", "x"]), &Fake::new(&[]), Purpose::Look).unwrap();
    assert_eq!(loaded.config.storage, Path::new("/nowhere/x"));
}

#[test]
fn the_example_is_valid_and_uses_every_key() {
    let example = root().join("holocron.example.yaml");
    let variables = [("HOME", "/home/me"), ("GITHUB_TOKEN", "x")];
    let loaded = load_in(root(), &["--config", example.to_str().unwrap()], &variables);
    let loaded = loaded.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((loaded.config.sources.len(), loaded.config.destinations.len()), (6, 4));
    let text = std::fs::read_to_string(example).unwrap();
    for key in keys(&raw::schema()) {
        let written = |line: &str| line.trim_start_matches([' ', '-', '#']).starts_with(&format!("{key}:"));
        assert!(text.lines().any(written), "`{key}` is not in the example");
    }
}

#[test]
fn the_values_at_the_top_of_the_example_are_the_defaults_it_says_they_are() {
    let example = root().join("holocron.example.yaml");
    let words = ["--config", example.to_str().unwrap()];
    let given = load_in(root(), &words, &[("HOME", "/h"), ("GITHUB_TOKEN", "x")]).unwrap().config;
    let standard = plain(&["--backup-only"], &[("GITHUB_TOKEN", "x")]).unwrap().config;
    let values = |config: &Config| {
        let spans = [config.interval, config.window, config.full_every, config.timeout];
        let own = (config.checkout, config.cliff, config.transport, config.output.color);
        (config.concurrency, config.per_host, spans, config.keep, own)
    };
    assert_eq!(values(&given), values(&standard));
}

#[test]
fn every_valid_file_is_accepted() {
    for file in files("valid") {
        let words = ["--config", file.to_str().unwrap(), "--backup-only"];
        let result = load_in(root(), &words, &[("GITHUB_TOKEN", "x")]);
        assert!(result.is_ok(), "{}: {}", file.display(), result.unwrap_err());
    }
}

#[test]
fn a_byte_order_mark_changes_nothing() {
    assert_eq!(with_file("\u{feff}keep: 3\nsources: [{kind: dir}]\n", &[], &[]).unwrap().config.keep, Keep::Days(3));
}

#[test]
fn every_invalid_file_is_refused_in_the_words_beside_it() {
    for file in files("invalid") {
        let directory = file.parent().unwrap();
        let words = ["--config", file.file_name().unwrap().to_str().unwrap(), "--backup-only"];
        let error = message(load_in(directory, &words, &[("GITLAB_TOKEN", "canary-canary")]));
        let error = error.replace(&format!("{}/", directory.display()), "");
        let expected = std::fs::read_to_string(file.with_extension("txt")).unwrap_or_default();
        assert_eq!(error.trim(), expected.trim(), "{}", file.display());
        for secret in ["hunter2", "canary", "correct-horse", "ghp_abc", "4242"] {
            assert!(!error.contains(secret), "{error}");
        }
    }
}

#[test]
fn the_documentation_names_every_flag_variable_and_key() {
    let text = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let (command, push) = (MirrorLine::command(), PushLine::command());
    let flags = command.get_arguments().chain(push.get_arguments()).filter_map(|arg| arg.get_long());
    for flag in flags.filter(|flag| *flag != "help") {
        assert!(text.contains(&format!("`--{flag}")), "--{flag} is not in docs/configuration.md");
        let variable = variable(flag);
        assert!(
            flag == "version" || text.contains(&format!("`{variable}`")),
            "{variable} is not in docs/configuration.md"
        );
    }
    for key in keys(&raw::schema()) {
        assert!(text.contains(&format!("`{key}`")), "`{key}` is not in docs/configuration.md");
    }
}

/// The names of all keys in the schema.
fn keys(schema: &serde_json::Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, inner) in raw::properties(schema).into_iter().flatten() {
        found.insert(key.clone());
        found.extend(keys(inner));
        found.extend(raw::items(inner).into_iter().flat_map(keys));
    }
    found
}

fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("testdata/config").join(folder)).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(files.len() >= 5, "{folder} has {} files", files.len());
    files
}
