//! Tokens of destinations: each host is told its own and no other, and none is left or shown anywhere.

use std::fs;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{KINDS, Pair, destination};
use crate::leaks::{Canaries, echoed};
use crate::net::{mirror, report};
use crate::support::{
    Access, Dialect, Fault, Forge, Kind, Program, Protection, RecordingGit, Repo, Request, Service, TestEnv,
};

/// One token for the source and for each destination, with characters that URLs encode.
const TOKENS: [&str; 5] = [
    "canary+from/4711=0815.abcdef",
    "canary+hub/1848=1918.ghijkl",
    "canary+lab/2342=1701.mnopqr",
    "canary+tea/9000=1138.stuvwx",
    "canary+raw/1815=1821.yzabcd",
];

/// Of a destination that the file names and the runs do not use.
const SPARE: &str = "canary+spare/1234=5678.efghij";

fn canaries() -> Canaries {
    Canaries::new(&[&TOKENS[..], &[SPARE]].concat())
}

/// A source and four destinations, each on a host of its own: three forges, and one that is used as a plain git server.
struct World {
    env: TestEnv,
    /// The source, `hub`, `lab`, `tea` and `raw`.
    forges: [Forge; 5],
    alpha: Repo,
    git: RecordingGit,
}

impl World {
    async fn new() -> Self {
        let env = TestEnv::new();
        let mut forges = Vec::new();
        for token in TOKENS {
            let forge = Forge::start().await;
            forge.organisation("copies", &["alice"]);
            forge.accept_token("alice", token);
            forges.push(forge);
        }
        let forges: [Forge; 5] = forges.try_into().ok().unwrap();
        let alpha = forges[0].repo("acme/alpha").private().batch(|b| b.branch("main").branch("old").tag("v1"));
        let kinds = [Dialect::Github, Dialect::Gitlab, Dialect::Gitea];
        let mut destinations: Vec<Value> = ["hub", "lab", "tea"]
            .into_iter()
            .zip(kinds)
            .zip(&forges[1..])
            .map(|((id, kind), forge)| {
                forge.speak(kind);
                destination(id, kind, forge)
            })
            .collect();
        // Each gives its token in another way: a file, a variable that the file names, one that its id names.
        let file = env.bin().join("token-of-hub");
        fs::write(&file, TOKENS[1]).unwrap();
        destinations[0]["token"] = json!({"file": file});
        destinations[1]["token"] = json!({"env": "OF_LAB"});
        destinations[2].as_object_mut().unwrap().remove("token");
        forges[4].repo("copies/alpha").private();
        let url = format!("{}/copies/{{name}}.git", forges[4].url());
        destinations.push(json!({"id": "raw", "kind": "git", "url": url, "user": "alice"}));
        destinations
            .push(json!({"id": "spare", "kind": "gitlab", "host": "spare.invalid", "token": {"env": "UNUSED"}}));
        let source = json!({"id": "from", "kind": "github", "api_url": forges[0].github_api(),
            "token": {"command": format!("printf %s '{}'", TOKENS[0])}});
        let config = json!({"sources": [source], "destinations": destinations});
        // Not in the working directory: it holds a token, and all of that is searched.
        fs::write(env.bin().join("holocron.yaml"), config.to_string()).unwrap();
        let git = RecordingGit::install(&env);
        World { env, forges, alpha, git }
    }

    fn with_tokens(&self, program: Program) -> Program {
        let program = program.env("HOLOCRON_CONFIG", self.env.bin().join("holocron.yaml"));
        let program = program.env("OF_LAB", TOKENS[2]).env("TEA_PASSWORD", TOKENS[3]).env("RAW_PASS", TOKENS[4]);
        program.env("UNUSED", SPARE).env("SPARE_TOKEN", SPARE)
    }

    fn program(&self, args: &[&str]) -> Program {
        self.with_tokens(self.env.holocron(["--destination", "hub,lab,tea,raw"]).args(args.iter().copied()))
    }

    async fn run(&self, args: &[&str], code: i32) {
        let run = self.program(args).run().await;
        canaries().assert_run(&format!("{args:?}"), &run);
        run.assert_code(code);
    }

    fn copies(&self) -> impl Iterator<Item = Repo> {
        self.forges[1..].iter().map(|forge| forge.find("copies/alpha").unwrap())
    }

    fn assert_pushed(&self) {
        self.copies().for_each(|copy| assert_eq!(copy.refs(), self.alpha.refs()));
    }

    /// Searches storage (mirrors with their settings, store, reports), home, leftovers, and what git was given.
    fn assert_clean(&self) {
        let folders = [self.env.work(), self.env.home(), self.env.tmp()];
        let files = folders.map(|folder: PathBuf| canaries().assert_folder(&folder));
        assert!(files[0] > 10, "{files:?}: the search has missed the storage");
        assert!(canaries().assert_git(&self.git) > 20);
    }
}

/// What a request says of who asks: the token in clear.
fn told(request: &Request) -> Option<String> {
    let text = request.authorization()?;
    Some(match text.strip_prefix("Basic ") {
        Some(basic) => String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap(),
        None => text.to_owned(),
    })
}

#[tokio::test]
async fn each_host_is_told_its_own_token_and_no_other_in_any_request() {
    let world = World::new().await;
    world.run(&["--json"], 0).await;
    // Rules to open, a default branch to set, something to delete, to force and to push.
    for (copy, kind) in world.copies().zip(KINDS) {
        let rule = match kind {
            Dialect::Gitea => Protection { push: Access::developers(), ..Protection::default() },
            _ => Protection::default(),
        };
        copy.protect("main", rule);
    }
    world.alpha.batch(|b| b.force("main").delete("old").branch("new"));
    world.run(&["--json"], 0).await;
    world.assert_pushed();
    world.alpha.rename_default("trunk");
    world.run(&["--json", "--full"], 3).await;
    for (forge, own) in world.forges.iter().zip(TOKENS) {
        let requests = forge.requests();
        let told: Vec<String> = requests.iter().filter_map(told).collect();
        assert!(told.len() > 5 && told.iter().all(|text| text.ends_with(own)), "{told:?}");
        let others: Vec<&str> = TOKENS.into_iter().filter(|token| *token != own).chain([SPARE]).collect();
        let all = format!("{requests:?}");
        assert_eq!(Canaries::new(&others).find(all.as_bytes()), None, "{all}");
        // The own one travels in the header for it, and nowhere else.
        let place = requests.iter().map(|request| format!("{} {}", request.path, request.query)).collect::<String>();
        assert_eq!(canaries().find(place.as_bytes()), None, "{place}");
    }
}

/// Where a destination of this kind is asked for the copy, and where it is made.
fn ends(kind: Dialect) -> [&'static str; 2] {
    match kind {
        Dialect::Github => ["repos/copies/alpha", "orgs/copies/repos"],
        Dialect::Gitlab => ["projects/copies%2Falpha", "api/v4/projects"],
        Dialect::Gitea => ["repos/copies/alpha", "orgs/copies/repos"],
    }
}

/// Another forge, which would take the destination's token and has a copy of the same name.
async fn evil() -> Forge {
    let evil = Forge::start().await;
    evil.accept_token("alice", super::THERE_TOKEN);
    evil.repo("copies/alpha").branch("evil");
    evil
}

#[tokio::test]
async fn a_redirect_of_the_api_to_another_host_gets_nothing() {
    let evil = evil().await;
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        for (end, is_creation) in ends(kind).into_iter().zip([false, true]) {
            for status in [301, 302, 307, 308] {
                let to = format!("{}/{end}", evil.url());
                pair.there.fault(Fault::status(status).header("location", &to).on_api(end));
                let told = pair.degraded(&[]).await;
                let failure = &mirror(&told, "acme/alpha")["destinations"][0]["failure"];
                // A redirect that would make a GET of a creation is not followed wherever it leads.
                let reason = if is_creation && status < 303 { "remote_not_found" } else { "held" };
                assert_eq!(failure["reason"], reason, "{kind:?} {end} {status}: {failure:#}");
                assert!(failure["message"].as_str().unwrap().contains(evil.url()) || is_creation, "{failure:#}");
                assert_eq!((evil.requests().len(), pair.pushes(), pair.there.names().len()), (0, 0, 0));
                pair.there.heal();
            }
        }
        pair.run(&[], 0).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
    }
}

#[tokio::test]
async fn a_redirect_of_git_to_another_host_gets_nothing() {
    let evil = evil().await;
    let steps = [Service::Advertisement, Service::ListRefs, Service::PushAdvertisement, Service::Push];
    let pair = Pair::new(Dialect::Gitlab).await;
    pair.env.global_git_config(&format!("[http \"{}\"]\n\tfollowRedirects = true\n", pair.there.url()));
    let alpha = pair.source.repo("acme/alpha").branch("main");
    pair.run(&[], 0).await;
    for service in steps {
        for status in [301, 307] {
            alpha.commit("main", "more");
            let before = pair.copy().refs();
            let end = match service {
                Service::Advertisement => "info/refs?service=git-upload-pack",
                Service::PushAdvertisement => "info/refs?service=git-receive-pack",
                Service::Push => "git-receive-pack",
                _ => "git-upload-pack",
            };
            let to = format!("{}/copies/alpha.git/{end}", evil.url());
            pair.there.fault(Fault::status(status).header("location", &to).on_git("copies/alpha").service(service));
            let told = pair.degraded(&[]).await;
            let failure = &mirror(&told, "acme/alpha")["destinations"][0]["failure"];
            assert_eq!(failure["reason"], "remote_not_found", "{service:?} {status}: {failure:#}");
            assert!(!failure["hint"].as_str().unwrap().contains("source"), "{failure:#}");
            assert_eq!((evil.requests().len(), pair.copy().refs()), (0, before), "{service:?} {status}");
            pair.there.heal();
        }
    }
    pair.run(&[], 0).await;
    pair.env.assert_pushed(&alpha, &pair.copy());
}

#[tokio::test]
async fn a_host_that_only_looks_like_the_destination_gets_nothing() {
    let pair = Pair::new(Dialect::Gitlab).await;
    let alpha = pair.source.repo("acme/alpha").branch("main");
    // The forge is reached under another name, as its own proxy: the host of each request can be seen.
    let mut settings = destination("to", Dialect::Gitlab, &pair.there);
    settings["api_url"] = json!("http://git.example.org/api/v4");
    settings["proxy"] = json!(pair.there.url());
    pair.write(&[settings]);
    let copy = pair.foreign_copy().clone_url("http://git.example.org/copies/alpha.git");
    pair.run(&[], 0).await;
    pair.env.assert_pushed(&alpha, &copy);

    let (home, evil) = ("http://git.example.org", "http://git.example.org.evil.test");
    let project = "api/v4/projects/copies%2Falpha";
    let to_api = |at| Fault::status(302).header("location", &format!("{evil}/{project}")).on_api(at);
    let to_git = format!("{evil}/copies/alpha.git/info/refs?service=git-upload-pack");
    for (url, fault) in [
        (format!("{evil}/copies/alpha.git"), None),
        ("http://git.example.org@evil.test/copies/alpha.git".to_owned(), None),
        ("http://git.example.org:80.evil.test/copies/alpha.git".to_owned(), None),
        (format!("{home}:8080/copies/alpha.git"), None),
        ("https://git.example.org/copies/alpha.git".to_owned(), None),
        (format!("{home}/copies/alpha.git"), Some(to_api(project))),
        (format!("{home}/copies/alpha.git"), Some(to_api(""))),
        (format!("{home}/copies/alpha.git"), Some(Fault::status(301).header("location", &to_git).on_any_git())),
    ] {
        pair.there.heal();
        copy.clone_url(&url);
        pair.there.fault(fault.unwrap_or_else(|| Fault::status(500).times(0)));
        alpha.commit("main", "more");
        let before = copy.refs();
        pair.degraded(&[]).await;
        assert_eq!(copy.refs(), before, "{url}");
    }
    let hosts: Vec<_> =
        pair.there.requests().iter().map(|request| request.header("host").unwrap().to_owned()).collect();
    assert!(hosts.len() > 10 && hosts.iter().all(|host| host == "git.example.org"), "{hosts:?}");
    pair.there.heal();
    copy.clone_url("http://git.example.org/copies/alpha.git");
    pair.run(&[], 0).await;
    pair.env.assert_pushed(&alpha, &copy);
}

#[tokio::test]
async fn no_token_is_left_anywhere_by_a_whole_life_of_pushes() {
    let world = World::new().await;
    world.run(&["-vv"], 0).await;
    world.assert_pushed();
    world.alpha.commit("main", "more");
    let trace = world.program(&["-vv", "--report", "report.json"]).env("HOLOCRON_LOG", "trace").run().await;
    canaries().assert_run("a run with the whole log", trace.assert_code(0));
    assert!(trace.stderr.contains("asking the forge"), "the log is missing: {trace}");
    world.run(&["--dry-run", "--full", "-vv"], 0).await;

    // Answers as hostile as can be: each echoes the token, in every form; a hook, a page of an error, git's own channel.
    let echo = TOKENS.map(echoed).join(" ");
    let [_, hub, lab, tea, raw] = &world.forges;
    hub.fault(Fault::status(403).json(&json!({ "message": echo })).on_api("repos/copies/alpha"));
    let page = Fault::status(500).body(format!("<html>{echo}</html>\n"));
    tea.fault(page.on_git("copies/alpha").service(Service::Push));
    let packet = |text: &str| format!("{:04x}{text}", text.len() + 4);
    let body = packet("# service=git-receive-pack\n") + "0000" + &packet(&format!("ERR {}", echoed(TOKENS[4])));
    let channel = Fault::status(200).header("content-type", "application/x-git-receive-pack-advertisement").body(body);
    raw.fault(channel.on_git("copies/alpha").service(Service::PushAdvertisement));
    let script = format!("#!/bin/sh\necho '{echo}' >&2\necho '{echo}'\nexit 1\n");
    lab.find("copies/alpha").unwrap().hook("pre-receive", &script);
    world.alpha.commit("main", "even more");
    world.run(&["-vv", "--report", "failing.json"], 3).await;
    world.run(&["--json"], 3).await;
    let reported = fs::read_to_string(world.env.work().join("failing.json")).unwrap();
    let failures = serde_json::from_str::<Value>(&reported).unwrap();
    let failures = mirror(&failures, "acme/alpha")["destinations"].as_array().unwrap().clone();
    assert_eq!(failures.len(), 4, "{failures:#?}");
    for failure in &failures {
        assert_ne!(failure["status"], "success", "{failure:#}");
    }
    assert!(reported.matches("you sent ***").count() >= 3, "{reported}");

    for forge in &world.forges {
        forge.heal();
        forge.fault(Fault::status(401).header("www-authenticate", "Basic realm=x").json(&json!({ "message": echo })));
    }
    world.run(&["-vv", "--report", "refused.json"], 3).await;
    for args in [&["status"][..], &["status", "--json"], &["config", "show"], &["config", "check"]] {
        let run = world.with_tokens(world.env.holocron(args.iter().copied())).run().await;
        canaries().assert_run(&format!("{args:?}"), &run);
    }
    world.assert_clean();
}

#[tokio::test]
async fn no_token_stands_in_the_arguments_or_environment_of_any_process_while_git_pushes() {
    let world = World::new().await;
    for forge in &world.forges[1..] {
        forge.fault(Fault::hang().on_any_git().service(Service::Push));
    }
    // With children of its own, which our own client does not need.
    let running = world.program(&["--json"]).env("HOLOCRON_TRANSPORT", "git").spawn();
    for forge in &world.forges[1..] {
        forge.until(|request| matches!(&request.kind, Kind::Git { service: Service::Push, .. })).await;
    }
    let mut seen = 0;
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        // It may have ended meanwhile.
        let Ok(line) = fs::read(path.join("cmdline")) else { continue };
        canaries().assert_absent(&path.display().to_string(), &line);
        let is_git =
            line.starts_with(b"git") || line.windows(8).any(|part| part == b"/git\0pus" || part == b"git-remo");
        if is_git && let Ok(environment) = fs::read(path.join("environ")) {
            seen += usize::from(line.windows(15).any(|part| part == b"git-remote-http"));
            canaries().assert_absent(&format!("the environment of {}", path.display()), &environment);
        }
    }
    assert!(seen >= 4, "the search has missed git's own children: {seen}");
    assert!(canaries().assert_folder(&world.env.storage()) > 0);
    running.signal_group(rustix::process::Signal::TERM);
    let run = running.wait().await;
    canaries().assert_run("a stopped run", &run);
    world.assert_clean_leftovers();
}

impl World {
    fn assert_clean_leftovers(&self) {
        let leftovers = canaries().assert_folder(&self.env.tmp());
        assert_eq!(leftovers, 0);
    }
}

#[tokio::test]
async fn a_pipelines_push_leaves_no_token_and_crosses_none() {
    let world = World::new().await;
    let checkout = world.env.work().join("checkout");
    let url = world
        .alpha
        .url_with(&percent_encoding::utf8_percent_encode(TOKENS[0], percent_encoding::NON_ALPHANUMERIC).to_string());
    let clone = world.env.git(["clone", "-q", "--depth", "1", &url]).arg(&checkout);
    clone.env("PATH", std::env::var_os("PATH").unwrap()).run().await.assert_code(0);
    let config = fs::read(checkout.join(".git/config")).unwrap();
    let push = world.env.holocron(["push", "--to", "hub,lab,tea,raw", "--json"]).cwd(&checkout);
    let run = world.with_tokens(push).run().await;
    canaries().assert_run("push", &run);
    report(&run, 0);
    world.assert_pushed();
    assert_eq!(fs::read(checkout.join(".git/config")).unwrap(), config);
    canaries().assert_git(&world.git);
    world.assert_clean_leftovers();
    for (forge, own) in world.forges.iter().zip(TOKENS) {
        assert!(forge.requests().iter().filter_map(told).all(|text| text.ends_with(own)));
    }
}
