//! What `holocron push` is told.

use super::*;
use crate::config::destination::Otherwise;

const FILE: &str = "storage: /srv/mirrors\ntimeout: 7\nsources:\n  - {id: lab, kind: gitlab, host: lab.example.org, token: {env: LAB}}\ndestinations:\n  - {id: one, kind: codeberg}\n  - {id: two, kind: git, url: '/srv/two/{name}.git'}\nrun_from: {forge: lab, otherwise: exit}\n";

fn push(file: Option<&str>, words: &[&str], variables: &[(&str, &str)]) -> Result<PushLoaded, ConfigError> {
    let args = PushLine::try_parse_from(["push"].iter().chain(words)).map_err(|error| error.to_string()).unwrap().args;
    let directory = tempfile::tempdir().unwrap();
    if let Some(file) = file {
        std::fs::write(directory.path().join("holocron.yaml"), file).unwrap();
    }
    let mut env = Fake::new(variables);
    env.directory = directory.path().to_owned();
    load_push(&args, &env)
}

fn ids(loaded: &PushLoaded) -> Vec<&str> {
    loaded.destinations.iter().map(|destination| destination.id.as_str()).collect()
}

#[test]
fn it_goes_to_all_destinations_of_the_file_or_to_those_that_are_named() {
    let token = [("ONE_TOKEN", "x")];
    let loaded = push(Some(FILE), &[], &token).unwrap();
    assert_eq!(ids(&loaded), ["one", "two"]);
    assert_eq!(loaded.destinations[0].token, Some(SecretSource::Env("ONE_TOKEN".into())));
    assert_eq!(loaded.timeout, Duration::from_secs(7));
    assert_eq!(loaded.run_from.map(|it| (it.host, it.otherwise)), Some(("lab.example.org".into(), Otherwise::Exit)));
    assert_eq!(ids(&push(Some(FILE), &["--to", "two"], &[]).unwrap()), ["two"]);
    assert_eq!(ids(&push(Some(FILE), &["--to", "two", "--to", "one"], &token).unwrap()), ["one", "two"]);
    assert_eq!(ids(&push(Some(FILE), &[], &[("HOLOCRON_TO", "two")]).unwrap()), ["two"]);
    let error = push(Some(FILE), &["--to", "tow"], &token).unwrap_err().to_string();
    assert_eq!(error, "--to: there is no destination `tow`; did you mean `two`?");
}

#[test]
fn the_main_jobs_wishes_are_not_its_own() {
    let variables =
        [("HOLOCRON_BACKUP_ONLY", "yes"), ("HOLOCRON_DESTINATION", "x"), ("HOLOCRON_ACCEPT_DELETIONS", "*")];
    let loaded = push(Some(FILE), &["--to", "two"], &variables).unwrap();
    assert_eq!((ids(&loaded), &loaded.storage, loaded.accept_deletions), (vec!["two"], &None, false));
}

#[test]
fn without_a_file_a_kind_is_named() {
    let words = ["--to", "gitlab", "--destination-namespace", "team"];
    let loaded = push(None, &words, &[("GITLAB_TOKEN", "x")]).unwrap();
    assert_eq!((ids(&loaded), loaded.destinations[0].namespace.as_str()), (vec!["gitlab"], "team"));
    assert_eq!(
        push(None, &words, &[]).unwrap_err().to_string(),
        "--to: GITLAB_TOKEN is not set: nothing can be pushed to gitlab; set GITLAB_TOKEN"
    );
    let error = push(None, &[], &[]).unwrap_err().to_string();
    assert!(error.starts_with("there is no destination to push to; "), "{error}");
}

#[test]
fn paths_are_absolute_and_a_url_has_no_password() {
    let words = [
        "--to=two",
        "-C",
        "/w/checkout",
        "--storage",
        "/var/cache/h",
        "--source-url",
        "https://h/a/b.git",
        "--accept-deletions",
    ];
    let loaded = push(Some(FILE), &words, &[]).unwrap();
    assert_eq!(
        (loaded.directory.as_path(), loaded.storage.as_deref()),
        (Path::new("/w/checkout"), Some(Path::new("/var/cache/h")))
    );
    assert_eq!(loaded.source_url.unwrap().to_string(), "https://h/a/b.git");
    assert!(loaded.accept_deletions);
    let error = push(Some(FILE), &["--to=two", "--source-url", "https://me:hunter2@h/a"], &[]).unwrap_err().to_string();
    assert!(error.contains("set SOURCE_TOKEN") && !error.contains("hunter2"), "{error}");
    let error = push(Some(FILE), &["--to=two", "--storage", "/srv"], &[]).unwrap_err().to_string();
    assert!(error.contains("lies within the storage"), "{error}");
}

#[test]
fn the_source_gets_the_token_of_its_own_server_only() {
    let found = |url: &str, variables: &[(&str, &str)]| {
        let loaded = push(Some(FILE), &["--to", "two"], variables).unwrap();
        let found = loaded.source_credential(&RemoteUrl::parse(url).unwrap());
        found.map(|(token, user)| format!("{user} by {token}"))
    };
    let all = [("GITHUB_TOKEN", "a"), ("CI_JOB_TOKEN", "b"), ("CI_SERVER_URL", "https://ci.example.org")];
    let by = |user: &str, name: &str| Some(format!("{user} by the environment variable {name}"));
    assert_eq!(found("https://lab.example.org/a/b", &all), by("oauth2", "LAB"));
    assert_eq!(found("https://github.com/a/b", &all), by("x-access-token", "GITHUB_TOKEN"));
    assert_eq!(found("https://ci.example.org/a/b", &all), by("gitlab-ci-token", "CI_JOB_TOKEN"));
    for url in ["https://github.com.evil.test/a", "http://github.com/a/b", "ssh://git@github.com/a/b", "/srv/a"] {
        assert_eq!(found(url, &all), None, "{url}");
    }
    let own = [&all[..], &[("SOURCE_TOKEN", "c")]].concat();
    assert_eq!(found("https://gitlab.example.net/a/b", &own), by("oauth2", "SOURCE_TOKEN"));
    assert_eq!(
        found("https://github.com/a/b", &[("SOURCE_PASS", "c"), ("SOURCE_USER", "me")]),
        by("me", "SOURCE_PASS")
    );
}
