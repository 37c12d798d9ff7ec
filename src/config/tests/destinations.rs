//! Where to push: which layer decides, whose token is used, and what is refused.

use super::*;
use crate::config::destination::{
    DestinationVisibility, Divergence, KnownHosts, Otherwise, ProtectedBranches, RefScope, SshConfig,
};
use crate::model::destination::DestinationKind;

const GITHUB: (&str, &str) = ("GITHUB_TOKEN", "x");
const GITLAB: (&str, &str) = ("GITLAB_TOKEN", "y");

fn ids(loaded: Result<Loaded, ConfigError>) -> Vec<String> {
    loaded.unwrap().config.destinations.into_iter().map(|destination| destination.id).collect()
}

fn from(name: &str) -> Option<SecretSource> {
    Some(SecretSource::Env(name.to_owned()))
}

#[test]
fn gitlab_is_the_usual_destination_and_needs_its_token() {
    let loaded = plain(&[], &[GITHUB, GITLAB]).unwrap();
    let [gitlab] = loaded.config.destinations.as_slice() else { panic!("one destination") };
    assert_eq!((gitlab.id.as_str(), gitlab.kind, gitlab.user.as_str()), ("gitlab", DestinationKind::Gitlab, "oauth2"));
    assert_eq!(gitlab.api_url.as_ref().unwrap().as_str(), "https://gitlab.com/api/v4");
    assert_eq!((gitlab.namespace.as_str(), gitlab.name.as_str()), ("", "{name}"));
    assert_eq!(gitlab.token, from("GITLAB_TOKEN"));
    let error = message(plain(&[], &[GITHUB]));
    assert!(error.contains("GITLAB_TOKEN is not set") && error.contains("`--backup-only`"), "{error}");
}

#[test]
fn backups_are_local_when_that_is_said() {
    for (words, variables) in [
        (vec!["--backup-only"], vec![GITHUB, GITLAB]),
        (vec!["--destination", "local"], vec![GITHUB]),
        (vec![], vec![GITHUB, ("HOLOCRON_BACKUP_ONLY", "yes")]),
        (vec![], vec![GITHUB, ("HOLOCRON_DESTINATION", "local")]),
    ] {
        assert_eq!(ids(plain(&words, &variables)), [""; 0], "{words:?}");
    }
    let both = message(plain(&["--destination", "gitlab", "--backup-only"], &[GITHUB]));
    assert!(both.contains("--backup-only"), "{both}");
    let typed = ["--destination", "gitlab,local"];
    assert_eq!(ids(plain(&typed, &[GITHUB, GITLAB, ("HOLOCRON_BACKUP_ONLY", "yes")])), ["gitlab"]);
}

#[test]
fn a_file_with_sources_pushes_to_its_destinations_only() {
    let sources = "sources: [{kind: dir}]\n";
    assert_eq!(ids(with_file(sources, &[], &[GITLAB])), [""; 0]);
    assert_eq!(ids(with_file("keep: 3\n", &[], &[GITHUB, GITLAB])), ["gitlab"]);
    let file = "sources: [{kind: dir}]\ndestinations:\n  - {id: a, kind: gitlab, token: {env: A}}\n  - {id: b, kind: forgejo, host: h, token: {env: B}}\n";
    assert_eq!(ids(with_file(file, &[], &[])), ["a", "b"]);
    assert_eq!(ids(with_file(file, &["--destination", "B"], &[])), ["b"]);
    assert_eq!(ids(with_file(file, &["--destination", "gitea,a"], &[])), ["a", "b"]);
    assert_eq!(ids(with_file(file, &["--destination", "a"], &[("HOLOCRON_DESTINATION", "b")])), ["a"]);
    assert_eq!(ids(with_file(file, &["--backup-only"], &[])), [""; 0]);
    let error = message(with_file(file, &["--destination", "github"], &[]));
    assert_eq!(error, "--destination: there is no destination `github`; write one of: a, b");
    assert_eq!(ids(with_file(sources, &["--destination", "gitlab"], &[GITLAB])), ["gitlab"]);
}

#[test]
fn codeberg_means_no_other_destination_of_the_gitea_family_where_one_is_called_so() {
    let file = "sources: [{kind: dir}]\ndestinations:\n  - {kind: codeberg, token: {env: A}}\n  - {kind: forgejo, host: h, token: {env: B}}\n";
    let ids = |words: &[&str]| -> Vec<String> {
        with_file(file, words, &[]).unwrap().config.destinations.into_iter().map(|it| it.id).collect()
    };
    assert_eq!(ids(&["--destination", "codeberg"]), ["codeberg"]);
    assert_eq!(ids(&["--destination", "gitea"]), ["codeberg", "forgejo"]);
    let file = "sources: [{kind: dir}]\ndestinations: [{id: backup, kind: codeberg}]\n";
    let loaded = with_file(file, &[], &[("CODEBERG_TOKEN", "x")]).unwrap();
    assert_eq!(loaded.config.destinations[0].token, from("CODEBERG_TOKEN"));
}

#[test]
fn destinations_that_are_typed_take_servers_and_tokens_from_the_environment() {
    let variables = [
        ("GITLAB_API_URL", "https://lab.example.org/api/v4"),
        GITLAB,
        ("GITEA_API_URL", "https://git.example.org/api/v1"),
        ("FORGEJO_TOKEN", "z"),
        ("CODEBERG_TOKEN", "c"),
        ("CODEBERG_USER", "me"),
    ];
    let loaded = plain(&["--dir", "x", "--destination", "gitlab,forgejo", "--destination=codeberg"], &variables);
    let found: Vec<_> = loaded.unwrap().config.destinations;
    let found: Vec<_> = found
        .iter()
        .map(|it| (it.id.as_str(), it.api_url.as_ref().unwrap().as_str(), it.token.clone(), it.user.as_str()))
        .collect();
    assert_eq!(
        found,
        [
            ("gitlab", "https://lab.example.org/api/v4", from("GITLAB_TOKEN"), "oauth2"),
            ("forgejo", "https://git.example.org/api/v1", from("FORGEJO_TOKEN"), "git"),
            ("codeberg", "https://codeberg.org/api/v1", from("CODEBERG_TOKEN"), "me"),
        ]
    );
    let error = message(plain(&["--dir", "x", "--destination", "githab,git,gitea"], &[]));
    for part in ["did you mean `github`?", "kind `git` needs a `url`", "set GITEA_API_URL", "`--destination codeberg`"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn the_namespace_is_that_of_the_nearest_layer() {
    let namespaces = |words: &[&str], variables: &[(&str, &str)]| -> Vec<String> {
        let words = [&["--dir", "x", "--destination", "gitlab,github"], words].concat();
        let variables = [variables, &[GITHUB, GITLAB]].concat();
        plain(&words, &variables).unwrap().config.destinations.into_iter().map(|it| it.namespace).collect()
    };
    assert_eq!(namespaces(&[], &[]), ["", ""]);
    assert_eq!(namespaces(&[], &[("GITLAB_NAMESPACE", "a")]), ["a", ""]);
    let b = ("HOLOCRON_DESTINATION_NAMESPACE", "b");
    assert_eq!(namespaces(&[], &[("GITLAB_NAMESPACE", "a"), b]), ["b", "b"]);
    assert_eq!(namespaces(&["--gitlab-namespace", "c/d"], &[b]), ["c/d", "b"]);
    assert_eq!(namespaces(&["--destination-namespace", "e"], &[("HOLOCRON_GITLAB_NAMESPACE", "a")]), ["e", "e"]);
    let words = ["--dir", "x", "--destination", "github", "--destination-namespace", "a/{owner}"];
    let error = message(plain(&words, &[GITHUB]));
    assert!(error.starts_with("--destination-namespace: `namespace` has an unknown `{owner}` in it; "), "{error}");
    let error = message(plain(&["--dir", "x", "--backup-only", "--destination-namespace", "a"], &[]));
    assert!(error.starts_with("--destination-namespace: none of the chosen destinations reads it"), "{error}");
}

#[test]
fn a_destination_that_is_the_source_is_refused() {
    let same = |words: &[&str]| plain(&[&["--source", "github", "--destination", "github"], words].concat(), &[GITHUB]);
    for words in
        [&[][..], &["--owner", "acme", "--destination-namespace", "Acme"], &["--destination-namespace", "{namespace}"]]
    {
        let error = message(same(words));
        assert!(error.contains("are the same place on one server") && error.contains("--destination-namespace NAME"));
    }
    let file =
        "sources: [{kind: github, owners: [x]}]\ndestinations: [{id: m, kind: github, namespace: '{namespace}'}]\n";
    let error = message(with_file(file, &[], &[GITHUB]));
    assert!(error.starts_with("holocron.yaml:2: the destination `m` and the source `github` are"), "{error}");
    let other = same(&["--owner", "acme", "--destination-namespace", "acme-mirror"]);
    assert_eq!(ids(other), ["github-mirror"]);
    let elsewhere = [GITHUB, GITLAB, ("GITLAB_API_URL", "https://lab.example.org/api/v4")];
    let file = "sources: [{id: lab, kind: gitlab, host: gitlab.com, owners: [x]}]\n";
    assert_eq!(ids(with_file(file, &["--destination", "gitlab"], &elsewhere)), ["gitlab"]);
}

#[test]
fn a_token_is_the_files_then_that_of_the_id_then_that_of_the_kind() {
    let file = |token: &str| {
        format!("sources: [{{kind: dir}}]\ndestinations: [{{id: my-lab, kind: gitlab, host: gitlab.com{token}}}]\n")
    };
    let token = |text: &str, variables: &[(&str, &str)]| {
        with_file(&file(text), &[], variables).unwrap().config.destinations.remove(0).token
    };
    let all = [GITLAB, ("MY_LAB_PASSWORD", "b"), ("MY_LAB_PASS", "c"), ("MY_LAB_TOKEN", " ")];
    assert_eq!(token(", token: {env: A}", &all), from("A"));
    assert_eq!(token("", &all), from("MY_LAB_PASS"));
    assert_eq!(token("", &[GITLAB]), from("GITLAB_TOKEN"));
    let error = message(with_file(&file(""), &[], &[]));
    assert!(error.contains("the destination `my-lab` has no token") && error.contains("set GITLAB_TOKEN"), "{error}");
}

#[test]
fn a_destinations_name_does_not_get_it_the_token_of_another_server() {
    let file = "sources: [{kind: dir}]\ndestinations: [{kind: gitlab, host: git.example.org}]\n";
    let error = message(with_file(file, &[], &[GITLAB]));
    assert!(error.contains("the variable of that name belongs to another server"), "{error}");
    let home = ("GITLAB_API_URL", "https://git.example.org/api/v4");
    assert_eq!(with_file(file, &[], &[GITLAB, home]).unwrap().config.destinations[0].token, from("GITLAB_TOKEN"));
    // Forgejo's runners hand their own server and token to jobs under GitHub's names.
    let runner = [("GITHUB_API_URL", "https://codeberg.org/api/v1"), GITHUB];
    let error = message(plain(&["--dir", "x", "--destination", "github"], &runner));
    assert!(error.contains("is the API of a Gitea or Forgejo, not of GitHub"), "{error}");
}

#[test]
fn a_destination_of_the_file_is_read_as_it_is_written() {
    let file = "sources: [{kind: dir}]\ndestinations:\n  - {id: a, kind: gitlab, token: {env: A}, namespace: 'backup/{namespace}', name: 'x-{name}', visibility: same, create: false, refs: [tags, notes], divergence: keep, protect: [], rolling: [latest], prune: false, protected_branches: allow, include: [a/*], exclude: [a/b], transport: ssh, ssh: {known_hosts: accept-new, key_file: key, passphrase: {env: P}}}\n  - {id: b, kind: git, url: '/srv/{namespace}/{name}.git', refs: all}\n";
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("holocron.yaml"), file).unwrap();
    let loaded = load_in(directory.path(), &[], &[]).unwrap();
    let [a, b] = loaded.config.destinations.as_slice() else { panic!("two destinations") };
    assert_eq!((a.namespace.as_str(), a.name.as_str()), ("backup/{namespace}", "x-{name}"));
    assert_eq!((a.visibility, a.create, a.prune), (DestinationVisibility::Same, false, false));
    assert_eq!(a.refs, RefScope::Some { heads: false, tags: true, notes: true });
    assert_eq!((a.divergence, a.protected_branches), (Divergence::Keep, ProtectedBranches::Allow));
    assert_eq!((a.protect.as_deref(), a.rolling.as_slice()), (Some(&[][..]), &["latest".to_owned()][..]));
    assert_eq!((a.include.as_slice(), a.exclude.as_slice()), (&["a/*".to_owned()][..], &["a/b".to_owned()][..]));
    let ssh = SshConfig {
        known_hosts: KnownHosts::AcceptNew,
        key_file: Some(directory.path().join("key")),
        passphrase: from("P"),
    };
    assert_eq!((a.transport, &a.ssh), (Transport::Ssh, &ssh));
    assert_eq!((b.url.as_deref(), b.refs), (Some("/srv/{namespace}/{name}.git"), RefScope::All));
    assert_eq!((b.protect.as_ref(), b.create, b.prune, b.divergence), (None, true, true, Divergence::Force));
}

#[test]
fn a_directory_within_the_storage_is_refused() {
    let file = "storage: /srv/m\nsources: [{kind: dir}]\ndestinations: [{kind: git, url: '/srv/m/x/{name}.git'}]\n";
    let error = message(with_file(file, &[], &[]));
    assert_eq!(
        error,
        "holocron.yaml:3: `/srv/m/x/{name}.git` lies within the storage /srv/m; write a directory beside it"
    );
    assert_eq!(ids(with_file(file, &["--storage", "/srv/mirrors"], &[])), ["git"]);
}

#[test]
fn run_from_names_an_entry_or_a_host() {
    let load = |forge: &str| {
        let file = format!(
            "sources: [{{id: hub, kind: github, owners: [a]}}, {{id: here, kind: dir}}]\ndestinations: [{{id: vault, kind: git, url: 'ssh://git@V.example.org/{{name}}'}}]\nrun_from: {{forge: {forge}, otherwise: exit}}\n"
        );
        with_file(&file, &[], &[]).map(|loaded| loaded.config.run_from.unwrap())
    };
    for (forge, host) in [("hub", "github.com"), ("vault", "v.example.org"), ("Git.Example.org", "git.example.org")] {
        let found = load(forge).unwrap();
        assert_eq!((found.host.as_str(), found.otherwise), (host, Otherwise::Exit), "{forge}");
    }
    for (forge, why) in
        [("here", "has no host"), ("hup", "did you mean `hub`?"), ("h.org:8443", "without scheme and port")]
    {
        let error = load(forge).unwrap_err().to_string();
        assert!(error.starts_with("holocron.yaml:3: ") && error.contains(why), "{error}");
    }
}

#[test]
fn destinations_that_are_shown_can_be_read_back() {
    let file = "sources: [{kind: dir, dirs: [/x]}]\ndestinations:\n  - {id: a, kind: codeberg, namespace: '{namespace}', refs: [heads], protect: [x], ssh: {key_file: /k, passphrase: {file: /p}}, transport: ssh}\n  - {id: b, kind: git, url: 'https://h/{name}', user: me}\nrun_from: {forge: a}\n";
    let variables = [("A_TOKEN", "canary-canary"), ("A_USER", "robot")];
    let loaded = with_file(file, &[], &variables).unwrap();
    let shown = show(&loaded, &Fake::new(&variables));
    assert!(shown.contains("# A_TOKEN; the environment variable A_TOKEN (set)"), "{shown}");
    assert!(shown.contains("# A_USER\n") && shown.contains("# holocron.yaml:3\n"), "{shown}");
    assert!(!shown.contains("canary"), "{shown}");
    let again = with_file(&shown, &[], &variables).unwrap().config;
    assert_eq!(again.destinations, loaded.config.destinations);
    assert_eq!(again.run_from, loaded.config.run_from);
    let text = check(&loaded, &Fake::new(&variables));
    assert!(
        text.contains("destinations: 2\n  a: gitea https://codeberg.org/api/v1, {namespace}, token from"),
        "{text}"
    );
}

#[test]
fn looking_needs_no_token_of_a_destination() {
    let loaded = load_for(&args(&[]), &Fake::new(&[]), Purpose::Look).unwrap();
    assert_eq!(loaded.config.destinations.len(), 1);
}
