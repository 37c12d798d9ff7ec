//! What can be typed, set and written: commands as the README has them, and every layer of the configuration.

use std::fs;

use crate::support::{Forge, RecordingGit, Run, TestEnv};

/// The names of the mirrors in a JSON report.
#[track_caller]
fn names(run: &Run) -> Vec<String> {
    let report = run.json();
    let mirrors = report["mirrors"].as_array().expect("a list of mirrors");
    mirrors.iter().map(|mirror| mirror["name"].as_str().expect("a name").to_owned()).collect()
}

/// A forge with a public repository of alice's, one of an organisation, and one that only members see.
async fn small_forge() -> Forge {
    let forge = Forge::start().await;
    forge.repo("alice/notes").branch("main");
    forge.repo("acme/alpha").branch("main").branch("dev").tag("v1");
    forge.repo("acme/secret").branch("main").private();
    forge
}

#[tokio::test]
async fn a_token_is_all_it_takes() {
    let (env, forge) = (TestEnv::new(), small_forge().await);
    let program = env.holocron(["--backup-only", "--json"]).env("GITHUB_TOKEN", forge.token());
    let run = program.env("GITHUB_API_URL", forge.github_api()).run().await;
    run.assert_code(0);
    assert_eq!(names(&run), ["acme/alpha", "acme/secret", "alice/notes"]);
    let folder = forge.url().trim_start_matches("http://").replace(':', "_");
    assert!(env.storage().join(folder).join("acme/secret.git/HEAD").is_file());
}

#[tokio::test]
async fn an_owners_public_repositories_need_no_token() {
    let (env, forge) = (TestEnv::new(), small_forge().await);
    let program = env.holocron(["mirror", "--backup-only", "--owner", "acme", "--json"]);
    let run = program.env("GITHUB_API_URL", forge.github_api()).run().await;
    run.assert_code(0);
    assert_eq!(names(&run), ["acme/alpha"]);
    assert!(forge.requests().iter().all(|request| request.authorization().is_none()));
}

#[tokio::test]
async fn gitlab_and_gitea_are_sources_like_github_and_several_go_together() {
    let (env, forge) = (TestEnv::new(), small_forge().await);
    env.holocron(["--backup-only"]).gitlab(&forge).run().await.assert_code(0);
    env.holocron(["--backup-only"]).gitea(&forge).run().await.assert_code(0);
    let more = Forge::start().await;
    more.repo("other/omega").branch("main");
    let both = env.holocron(["--backup-only", "--json", "--source", "gitea"]).gitlab(&more);
    let both = both.env("GITEA_API_URL", forge.gitea_api()).env("FORGEJO_TOKEN", forge.token()).run().await;
    both.assert_code(0);
    assert_eq!(names(&both), ["acme/alpha", "acme/secret", "alice/notes", "other/omega"]);
}

#[tokio::test]
async fn the_repositories_of_a_directory_need_no_account() {
    let env = TestEnv::new();
    let tree = env.working_tree("src/tool").branch("main").tag("v1");
    let bare = env.bare_repo("src/deep/bare.git").branch("main");
    let run = env.holocron(["--backup-only", "--json", "--dir", "src"]).run().await;
    run.assert_code(0);
    for repo in [&tree, &bare] {
        let name = repo.path().file_stem().unwrap().to_str().unwrap();
        let report = run.json();
        let mirrors = report["mirrors"].as_array().unwrap();
        let mirror = mirrors.iter().find(|mirror| mirror["name"].as_str().unwrap().ends_with(name)).unwrap();
        env.assert_same_refs(repo, mirror["path"].as_str().unwrap());
    }
    // Where the reader stands: the checkout itself, and not our own mirrors below it.
    let here = env.holocron(["--backup-only", "--source", "dir", "--json"]).cwd(tree.path()).run().await;
    here.assert_code(0);
    assert_eq!(names(&here).len(), 1, "{here}");
    let again = env.holocron(["--backup-only", "--source", "dir", "--json"]).cwd(tree.path()).run().await;
    assert_eq!(names(&again).len(), 1, "{again}");
}

#[tokio::test]
async fn urls_and_a_file_of_urls_are_mirrored() {
    let (env, forge) = (TestEnv::new(), small_forge().await);
    let bare = env.bare_repo("far/beta.git").branch("main");
    // As an editor on Windows writes it.
    let list =
        format!("\u{feff}# mine\n{}/acme/alpha.git  # public\n\nfile://{}\n", forge.url(), bare.path().display());
    env.file("urls.txt", list);
    let run = env.holocron(["--backup-only", "--json", "--urls-file", "urls.txt"]).run().await;
    run.assert_code(0);
    assert_eq!(run.json()["totals"]["cloned"], 2, "{run}");
    // A user in a URL is no password.
    let alone = format!("{}/alice/notes.git", forge.url().replace("http://", "http://jdoe@"));
    let run = env.holocron(["--backup-only", "--json", "--url", &alone]).run().await;
    assert_eq!(names(run.assert_code(0)), ["alice/notes"]);
}

#[tokio::test]
async fn what_a_source_covers_no_longer_is_not_gone() {
    let (env, forge) = (TestEnv::new(), small_forge().await);
    env.working_tree("src/tool").branch("main");
    env.working_tree("other/thing").branch("main");
    let first = env.holocron(["--backup-only", "--dir", "src", "--source", "dir"]).github(&forge);
    first.run().await.assert_code(0);
    let more = Forge::start().await;
    more.repo("other/omega").branch("main");
    for (program, expected) in [
        (
            env.holocron(["--backup-only", "--json", "--owner", "acme"]).github(&forge),
            vec!["acme/alpha", "acme/secret"],
        ),
        (env.holocron(["--backup-only", "--json", "--include", "alice/*"]).github(&forge), vec!["alice/notes"]),
        (env.holocron(["--backup-only", "--json"]).github(&more), vec!["other/omega"]),
        (env.holocron(["--backup-only", "--json", "--dir", "other"]), vec!["thing"]),
    ] {
        forge.reset_log();
        let run = program.run().await;
        run.assert_code(0);
        let names = names(&run);
        let short: Vec<&str> = names.iter().map(|name| if name.ends_with("thing") { "thing" } else { name }).collect();
        assert_eq!(short, expected, "{run}");
        let asked = forge.api_requests().iter().filter(|request| request.path.contains("/repositories/")).count();
        assert_eq!(asked, 0, "nobody asks for what is not meant");
    }
}

#[tokio::test]
async fn include_and_exclude_choose_by_name() {
    let (env, forge) = (TestEnv::new(), small_forge().await);
    let program = env.holocron(["--backup-only", "--json", "--include", "ACME/*", "--exclude", "*/sec*"]);
    assert_eq!(names(&program.github(&forge).run().await), ["acme/alpha"]);
}

#[tokio::test]
async fn a_dry_run_tells_and_writes_nothing() {
    let (env, forge) = (TestEnv::new(), small_forge().await);
    let run = env.holocron(["--backup-only", "--dry-run"]).github(&forge).run().await;
    run.assert_code(0);
    assert!(run.stdout.contains("acme/alpha: would be cloned with 3 refs."), "{run}");
    assert!(!env.storage().exists());
}

#[tokio::test]
async fn every_flag_can_be_set_by_its_variable() {
    let env = TestEnv::new();
    let values = [
        ("ACCEPT_DELETIONS", "acme/*"),
        ("ASSET_TMP_MAX", "1GiB"),
        ("CHECKOUT", "yes"),
        ("COLOR", "never"),
        ("CONCURRENCY", "3"),
        ("DRY_RUN", "1"),
        ("EXCLUDE", "b/*"),
        ("FULL", "true"),
        ("FULL_EVERY", "2"),
        ("GITLAB_NAMESPACE", "group"),
        ("INCLUDE", "a/*"),
        ("INTERVAL", "90"),
        ("JSON", "on"),
        ("BYTES_PER_SECOND", "2MiB"),
        ("IONICE", "idle"),
        ("KEEP", "7"),
        ("MEMORY", "1GiB"),
        ("NICE", "5"),
        ("OWNER", "acme"),
        ("PER_HOST", "2"),
        ("QUIET", "TRUE"),
        ("RELEASES", "latest"),
        ("REPORT", "report.json"),
        ("REQUESTS_PER_SECOND", "2.5"),
        ("STALE_AFTER", "3d"),
        ("STORAGE", "elsewhere"),
        ("TIMEOUT", "9"),
        ("TRANSPORT", "git"),
        ("WAIT", "Yes"),
        ("WATCH", "1"),
        ("WINDOW", "5"),
    ];
    let show = values.iter().fold(env.holocron(["config", "show"]), |program, (name, value)| {
        program.env(format!("HOLOCRON_{name}"), value)
    });
    let run = show.run().await;
    run.assert_code(0);
    for (name, _) in values {
        assert!(run.stdout.contains(&format!("# HOLOCRON_{name}\n")), "{name} has no effect\n{run}");
    }
    // These choose sources, commands and files instead of being shown.
    let others = [
        "BACKUP_ONLY",
        "CONFIG",
        "CREDITS",
        "DESTINATION",
        "DESTINATION_NAMESPACE",
        "DIR",
        "SOURCE",
        "URL",
        "URLS_FILE",
        "VERBOSE",
    ];
    let help = env.holocron(["--help"]).run().await.stdout;
    let documented = help
        .split("HOLOCRON_")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_ascii_uppercase() && c != '_').next().unwrap_or_default().to_owned());
    for name in documented.filter(|name| !name.is_empty()) {
        let known = values.iter().any(|(value, _)| *value == name) || others.contains(&name.as_str());
        assert!(known, "HOLOCRON_{name} is documented and not tested here");
    }
}

#[tokio::test]
async fn a_run_can_be_set_up_by_the_environment_alone() {
    for yes in ["true", "1", "yes"] {
        let (env, forge) = (TestEnv::new(), small_forge().await);
        let urls = env.file("list", format!("{}/acme/alpha.git\n", forge.url()));
        let program = env.holocron(["mirror"]).env("HOLOCRON_BACKUP_ONLY", yes).env("HOLOCRON_JSON", yes);
        let run = program.clone().env("HOLOCRON_URLS_FILE", urls).env("HOLOCRON_VERBOSE", yes).run().await;
        assert_eq!(names(run.assert_code(0)), ["acme/alpha"]);
        assert!(run.stderr.contains("acme/alpha: started."), "{run}");
        let url = format!("{}/alice/notes.git", forge.url());
        let run = program.clone().env("HOLOCRON_URL", url).env("HOLOCRON_DESTINATION", "local").run().await;
        assert_eq!(names(run.assert_code(0)), ["alice/notes"]);
        env.working_tree("src/tool").branch("main");
        let run = program.clone().env("HOLOCRON_DIR", "src").env("HOLOCRON_SOURCE", "dir").run().await;
        assert_eq!(run.assert_code(0).json()["totals"]["cloned"], 1, "{run}");
        let credits = program.env("HOLOCRON_CREDITS", yes).run().await;
        assert!(credits.assert_code(0).stdout.contains("Wouter Bloeyaert"), "{credits}");
    }
}

#[tokio::test]
async fn a_dotenv_file_in_the_working_directory_is_read_and_kept_from_git() {
    let (env, forge) = (TestEnv::new(), small_forge().await);
    let git = RecordingGit::install(&env);
    let text =
        format!("GITHUB_TOKEN={}\nGITHUB_API_URL={}\nHOLOCRON_BACKUP_ONLY=true\n", forge.token(), forge.github_api());
    env.file(".env", text);
    env.holocron::<&str>([]).run().await.assert_code(0);
    assert!(!git.calls().is_empty());
    assert!(git.calls().iter().all(|call| !call.mentions(&forge.token())), "git's environment has no token");

    let bad = TestEnv::new();
    bad.file(".env", "GITHUB_TOKEN=two words\n");
    let run = bad.holocron(["--backup-only"]).run().await;
    assert!(run.assert_code(2).stderr.contains(".env:1"), "{run}");
    assert!(!run.stderr.contains("two words"), "{run}");
}

#[tokio::test]
async fn a_flag_beats_a_variable_that_beats_dotenv_that_beats_the_file_that_beats_the_default() {
    let env = TestEnv::new();
    env.bare_repo("src/alpha.git").branch("main");
    let stored_in = |run: &Run| run.json()["storage"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let program = env.holocron(["--backup-only", "--json", "--dir", "src"]);
    assert_eq!(stored_in(&program.clone().run().await), "mirror-data");
    env.file("holocron.yaml", "storage: by-file\n");
    assert_eq!(stored_in(&program.clone().run().await), "by-file");
    env.file(".env", "HOLOCRON_STORAGE=by-dotenv\n");
    assert_eq!(stored_in(&program.clone().run().await), "by-dotenv");
    let program = program.env("HOLOCRON_STORAGE", "by-variable");
    assert_eq!(stored_in(&program.clone().run().await), "by-variable");
    assert_eq!(stored_in(&program.args(["--storage", "by-flag"]).run().await), "by-flag");
    for storage in ["mirror-data", "by-file", "by-dotenv", "by-variable", "by-flag"] {
        assert!(env.work().join(storage).join(".holocron/state.sqlite").is_file(), "{storage}");
    }
}

type Variable = (&'static str, &'static str);

/// Wrong usage: the arguments, the variables, and what must be said.
const WRONG: &[(&[&str], &[Variable], &[&str])] = &[
    (&["--owner", "acme"], &[], &["GITLAB_TOKEN is not set", "the usual destination", "--backup-only"]),
    (&["--source", "github", "--owner", "acme", "--destination", "gitlab"], &[], &["GITLAB_TOKEN", "--backup-only"]),
    (&["--owner", "acme", "--backup-only", "--report", "none/r.json"], &[], &["there is no directory", "none"]),
    (&["--owner", "acme", "--destination", "gitea"], &[("GITEA_TOKEN", "x")], &["GITEA_API_URL"]),
    (&["--backup-only"], &[], &["GITHUB_TOKEN is not set", "--owner NAME"]),
    (&["--backup-only", "--source", "gitlab"], &[], &["GITLAB_TOKEN is not set", "--owner NAME"]),
    (&["--backup-only", "--source", "gitea"], &[("GITEA_TOKEN", "x")], &["GITEA_API_URL", "codeberg"]),
    (&["--backup-only", "--source", "bitbucket"], &[], &["bitbucket", "github"]),
    (&["--backupp-only"], &[], &["--backupp-only", "--backup-only"]),
    (&["--quiet", "--verbose"], &[], &["--quiet", "--verbose"]),
    (&["--backup-only", "--owner", "a", "--interval", "soon"], &[], &["--interval", "soon", "10m"]),
    (&["--backup-only", "--owner", "a", "--concurrency", "0"], &[], &["concurrency", "1"]),
    (&["--backup-only", "--owner", "a", "--include", "{a"], &[], &["`{a` is not a glob"]),
    (&["--backup-only", "--owner", "a"], &[("HOLOCRON_WATCH", "ture")], &["HOLOCRON_WATCH", "`true` or `false`"]),
    (&["--backup-only", "--url", "https://u:hunter2@h/x"], &[], &["password or token", "token"]),
    (&["--backup-only", "--config", "none.yaml"], &[], &["none.yaml"]),
    (&["clone"], &[], &["clone"]),
];

#[tokio::test]
async fn wrong_usage_ends_with_2_names_the_way_out_and_runs_nothing() {
    let env = TestEnv::new();
    for (args, variables, expected) in WRONG {
        let program = env.holocron(args.iter().copied());
        let run = variables.iter().fold(program, |program, (name, value)| program.env(name, value)).run().await;
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{args:?}\n{run}");
        for text in *expected {
            assert!(run.stderr.contains(text), "{text:?} is not said for {args:?}\n{run}");
        }
        assert!(!run.stderr.contains("hunter2"), "{run}");
    }
    assert_eq!(fs::read_dir(env.work()).unwrap().count(), 0, "nothing was made");
}

#[tokio::test]
async fn broken_yaml_is_named_by_file_line_and_key() {
    let env = TestEnv::new();
    let text = "keeep: 3\nkeep: soon\nsources:\n  - kind: dir\n    dirrs: [x]\nkeep: 4\nstorage: ${NOWHERE_SET}\n";
    env.file("holocron.yaml", text);
    for args in [["config", "check"].as_slice(), &["--backup-only"]] {
        let run = env.holocron(args.iter().copied()).run().await;
        run.assert_code(2);
        for said in [
            "holocron.yaml:1: `keeep` is not a key of the configuration; did you mean `keep`?",
            "holocron.yaml:2: `keep` takes a number of days",
            "holocron.yaml:5: `sources[0].dirrs` is not a key of the configuration; did you mean `dirs`?",
            "holocron.yaml:6: `keep` is given twice; the first is on line 2",
            "NOWHERE_SET",
        ] {
            assert!(run.stderr.contains(said), "{said}\n{run}");
        }
    }
    env.file("holocron.yaml", "sources:\n  - kind: dir\n   dirs: [x]\n");
    let run = env.holocron(["config", "check"]).run().await;
    assert!(run.assert_code(2).stderr.contains("holocron.yaml:3: it is not YAML"), "{run}");
}

#[tokio::test]
async fn several_forges_of_one_kind_each_with_a_token_of_its_own_in_one_file() {
    let env = TestEnv::new();
    let forges = [Forge::start().await, Forge::start().await, Forge::start().await];
    let tokens = ["canary-by-variable-1", "canary-by-file-22", "canary-by-command-333"];
    for ((forge, token), name) in forges.iter().zip(tokens).zip(["one", "two", "three"]) {
        forge.accept_token("alice", token);
        forge.repo(&format!("acme/{name}")).branch("main").private();
    }
    let text = format!(
        "sources:\n\
         - {{id: first, kind: gitea, api_url: {}, token: {{env: FIRST_TOKEN}}}}\n\
         - {{id: second, kind: forgejo, api_url: {}, token: {{file: second.token}}, include: ['acme/*']}}\n\
         - {{id: third, kind: gitea, api_url: {}, token: {{command: 'cat third.token'}}}}\n\
         - {{id: here, kind: dir, dirs: [src]}}\n",
        forges[0].gitea_api(),
        forges[1].gitea_api(),
        forges[2].gitea_api()
    );
    env.file("holocron.yaml", text);
    env.file("second.token", format!("{}\n", tokens[1]));
    env.file("third.token", format!("{}\n", tokens[2]));
    env.bare_repo("src/local.git").branch("main");
    let run = env.holocron(["--json"]).env("FIRST_TOKEN", tokens[0]).run().await;
    run.assert_code(0);
    assert_eq!(run.json()["totals"]["cloned"], 4, "{run}");
    for (forge, token) in forges.iter().zip(tokens) {
        let sent: Vec<_> = forge.api_requests().iter().filter_map(|r| r.authorization().map(str::to_owned)).collect();
        assert!(!sent.is_empty() && sent.iter().all(|header| header.contains(token)), "{sent:?}");
    }
    let one = env.holocron(["--json", "--source", "second", "--full"]).run().await;
    assert_eq!(names(one.assert_code(0)), ["acme/two"]);

    let show = env.holocron(["config", "show"]).env("FIRST_TOKEN", tokens[0]).run().await;
    show.assert_code(0);
    for shown in
        ["{env: FIRST_TOKEN}", "the environment variable FIRST_TOKEN (set)", "second.token", "command: \"***\""]
    {
        assert!(show.stdout.contains(shown), "{shown}\n{show}");
    }
    let check = env.holocron(["config", "check"]).env("FIRST_TOKEN", tokens[0]).run().await;
    assert!(check.assert_code(0).stdout.contains("sources: 4"), "{check}");
    for said in [&run, &one, &show, &check] {
        assert!(tokens.iter().all(|token| !format!("{said}").contains(token)), "{said}");
    }
}

#[tokio::test]
async fn a_token_that_cannot_be_read_fails_its_source_alone() {
    let (env, forge) = (TestEnv::new(), small_forge().await);
    let text = format!(
        "sources:\n\
         - {{id: good, kind: gitea, api_url: {0}, token: {{env: GOOD_TOKEN}}}}\n\
         - {{id: bad, kind: github, api_url: {1}, token: {{command: 'echo said on stderr >&2; exit 7'}}}}\n",
        forge.gitea_api(),
        forge.github_api()
    );
    env.file("holocron.yaml", text);
    let run = env.holocron::<&str>([]).env("GOOD_TOKEN", forge.token()).run().await;
    assert!(run.assert_code(3).stdout.contains("3 mirrors: 3 cloned; 1 source not listed"), "{run}");
    assert!(run.stdout.contains("source bad: "), "{run}");
}

#[tokio::test]
async fn the_configuration_file_is_found_where_it_may_lie() {
    let env = TestEnv::new();
    env.bare_repo("src/alpha.git").branch("main");
    let text = |storage: &str| {
        format!("storage: {storage}\nsources: [{{kind: dir, dirs: [{}]}}]\n", env.work().join("src").display())
    };
    let config = env.home().join(".config/holocron");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("holocron.yaml"), text("/nonexistent/xdg")).unwrap();
    let show =
        |run: &Run| run.assert_code(0).stdout.lines().find(|line| line.starts_with("storage:")).unwrap().to_owned();
    let program = env.holocron(["config", "show"]);
    assert!(show(&program.clone().run().await).contains("/nonexistent/xdg"));
    env.file("holocron.yaml", text("here"));
    assert!(show(&program.clone().run().await).contains("/here"));
    env.file("sub/variable.yaml", text("there"));
    let program = program.env("HOLOCRON_CONFIG", "sub/variable.yaml");
    assert!(show(&program.clone().run().await).contains("/sub/there"), "relative to the file");
    env.file("flag.yaml", text("flag"));
    assert!(show(&program.args(["--config", "flag.yaml"]).run().await).contains("/flag"));
}

#[tokio::test]
async fn the_commands_beside_the_main_job_answer_on_stdout() {
    let env = TestEnv::new();
    for (args, expected) in [
        (["--version"].as_slice(), concat!("holocron ", env!("CARGO_PKG_VERSION"))),
        (&["--credits"], "License: MIT"),
        (&["--help"], "Usage: holocron [OPTIONS]"),
        (&["mirror", "--help"], "--accept-deletions"),
        (&["man"], ".TH holocron"),
        (&["man", "config", "check"], ".TH holocron-config-check"),
        (&["completions", "bash"], "complete -o bashdefault -F _clap_complete_holocron holocron"),
        (&["completions", "zsh"], "#compdef holocron"),
        (&["completions", "fish"], "--command holocron"),
    ] {
        let run = env.holocron(args.iter().copied()).run().await;
        assert!(run.assert_code(0).stdout.contains(expected), "{args:?}\n{run}");
        assert_eq!(run.stderr, "", "{args:?}");
    }
    let schema = env.holocron(["config", "schema"]).run().await;
    assert!(schema.assert_code(0).json()["properties"]["sources"].is_object(), "{schema}");
    assert_eq!(fs::read_dir(env.work()).unwrap().count(), 0, "they make nothing");

    env.holocron(["man", "--out", "man1"]).run().await.assert_code(0);
    for page in ["holocron", "holocron-mirror", "holocron-push", "holocron-release-sync", "holocron-status"] {
        let text = fs::read_to_string(env.work().join(format!("man1/{page}.1"))).unwrap();
        assert!(text.contains(&format!(".TH {page} 1")), "{page}: {text}");
    }
    let unknown = env.holocron(["man", "statsu"]).run().await;
    assert!(unknown.assert_code(2).stderr.contains("there is no command `statsu`"), "{unknown}");
}

#[tokio::test]
async fn the_manual_and_the_completions_can_be_read_by_their_programs() {
    let env = TestEnv::new();
    let script = env.holocron(["completions", "bash"]).run().await.stdout;
    let script = env.file("completions.bash", script);
    env.program("bash").arg("-n").arg(script).run().await.assert_code(0);
    // A reader that goes away early is no error.
    let holocron = env!("CARGO_BIN_EXE_holocron");
    let pipe = format!("set -o pipefail; {holocron} man | head -n 1; {holocron} --help | head -n 1");
    let run = env.program("bash").args(["-c", &pipe]).run().await;
    assert_eq!(run.stderr, "", "{run}");
}
