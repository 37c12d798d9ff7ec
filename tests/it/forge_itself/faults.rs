//! Each fault does what it says, to the requests it names and to no other.

use serde_json::{Value, json};

use crate::support::{Fault, Forge, Repo, Service, TestEnv, noise};

struct Day {
    env: TestEnv,
    forge: Forge,
    alpha: Repo,
}

impl Day {
    async fn new() -> Self {
        let forge = Forge::start().await;
        let alpha = forge.repo("acme/alpha").branch("main").commit_file("main", "big", &noise(300_000));
        Day { env: TestEnv::new(), forge, alpha }
    }

    /// Runs git on the repository with a fault; returns its exit code and stderr.
    async fn git(&self, fault: Fault, args: &[&str]) -> (i32, String) {
        self.forge.heal();
        self.forge.fault(fault);
        let run = self.env.git(args.iter().copied()).arg(self.alpha.url()).run().await;
        (run.code, run.stderr)
    }
}

#[track_caller]
fn assert_failed(result: (i32, String), wanted: &str) {
    assert!(result.0 != 0 && result.1.contains(wanted), "exit {}, no {wanted:?} in: {}", result.0, result.1);
}

#[tokio::test]
async fn a_status_reaches_git_with_its_text() {
    let day = Day::new().await;
    for status in [403, 429, 500, 503] {
        let fault = Fault::status(status).header("retry-after", "7").body("come back later\n").on_git("acme/alpha");
        let (code, stderr) = day.git(fault, &["ls-remote"]).await;
        assert_eq!(code, 128);
        assert!(stderr.contains(&format!("The requested URL returned error: {status}")), "{stderr}");
        assert!(stderr.contains("remote: come back later"), "{stderr}");
    }
    assert_failed(day.git(Fault::status(404).on_any_git(), &["ls-remote"]).await, "not found");
    let login = Fault::status(401).header("www-authenticate", "Basic realm=x").on_any_git();
    assert_failed(day.git(login, &["ls-remote"]).await, "could not read Username");
    // Within the protocol, at the request for the pack:
    let late = Fault::status(503).on_git("acme/alpha").service(Service::FetchPack);
    assert_failed(day.git(late, &["clone", "--mirror"]).await, "RPC failed; HTTP 503");
}

#[tokio::test]
async fn git_takes_three_answers_for_a_repository_without_refs() {
    let day = Day::new().await;
    for fault in [Fault::empty_body(), Fault::html_line(), Fault::zero_refs()] {
        let shown = format!("{fault:?}");
        day.forge.heal();
        day.forge.fault(fault.on_git("acme/alpha"));
        let run = day.env.git(["ls-remote", &day.alpha.url()]).run().await;
        assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{shown}: {run}");
    }
    // What calls itself an advertisement must be one.
    let empty = Fault::empty_body().with_git_type().on_git("acme/alpha");
    assert_failed(day.git(empty, &["ls-remote"]).await, "hung up unexpectedly");
    let html = Fault::html_line().with_git_type().on_git("acme/alpha");
    assert_failed(day.git(html, &["ls-remote"]).await, "bad line length character: <htm");
}

#[tokio::test]
async fn a_connection_is_cut_where_the_fault_says() {
    let day = Day::new().await;
    let at_once = Fault::cut_after(0).on_git("acme/alpha");
    assert_failed(day.git(at_once, &["ls-remote"]).await, "Empty reply from server");

    let in_pack = Fault::cut_in_body(100_000).on_git("acme/alpha").service(Service::FetchPack);
    assert_failed(day.git(in_pack, &["clone", "--mirror"]).await, "early EOF");

    let reset = Fault::reset_after(0).on_git("acme/alpha");
    assert_failed(day.git(reset, &["ls-remote"]).await, "Connection reset by peer");

    // One of the traps: git believes headers without an end, and finds no refs behind them.
    let (code, stderr) = day.git(Fault::cut_in_headers().on_git("acme/alpha"), &["ls-remote"]).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
}

#[tokio::test]
async fn tls_connections_are_cut_too() {
    let (env, forge) = (TestEnv::new(), Forge::start_tls().await);
    let alpha = forge.repo("acme/alpha").branch("main").commit_file("main", "big", &noise(300_000));
    forge.fault(Fault::cut_in_body(100_000).on_git("acme/alpha").service(Service::FetchPack).once());
    let clone = || {
        let clone = env.git(["clone", "-q", "--mirror", &alpha.url(), "alpha.git"]);
        clone.env("GIT_SSL_CAINFO", forge.ca_file()).run()
    };
    let cut = clone().await;
    assert!(cut.assert_code(128).stderr.contains("early EOF"), "{cut}");
    clone().await.assert_code(0);
}

#[tokio::test]
async fn a_hanging_answer_hangs_until_the_client_goes() {
    let Day { env, forge, alpha } = Day::new().await;
    forge.fault(Fault::hang().on_git("acme/alpha"));
    let running = env.git(["ls-remote", &alpha.url()]).spawn();
    let request = forge.until(|request| request.path.ends_with("/info/refs")).await;
    assert_eq!(request.status, None);
    running.signal_group(rustix::process::Signal::TERM);
    assert_eq!(running.wait().await.code, -15);

    // In the middle of a pack: git's own limit ends it.
    forge.heal();
    forge.fault(Fault::stall_in_body(100_000).service(Service::FetchPack).on_git("acme/alpha"));
    let limit = ["-c", "http.lowSpeedLimit=1000000", "-c", "http.lowSpeedTime=1"];
    let stalled = env.git(limit).args(["clone", "--mirror", &alpha.url(), "stalled.git"]).run().await;
    assert!(stalled.assert_code(128).stderr.contains("Operation too slow"), "{stalled}");
}

#[tokio::test]
async fn a_redirect_to_another_host_shows_what_arrives_there() {
    let (day, evil) = (Day::new().await, Forge::start().await);
    day.forge.fault(Fault::redirect_host(evil.url()).on_git("acme/alpha"));
    day.env.git(["ls-remote", &day.alpha.url_with(&day.forge.token())]).run().await.assert_code(128);
    let arrived = evil.requests();
    assert_eq!(arrived[0].path, "/acme/alpha.git/info/refs");
    assert_eq!(arrived[0].query, "service=git-upload-pack");
    assert_eq!(arrived[0].authorization(), None);

    let elsewhere = format!("{}/login", evil.url());
    let (code, _) = day.git(Fault::redirect(&elsewhere).on_git("acme/alpha"), &["ls-remote"]).await;
    assert_eq!(code, 128);
    assert_eq!(evil.requests().last().unwrap().path, "/login");
}

#[tokio::test]
async fn a_fault_counts_the_requests_that_fit_and_ends() {
    let forge = Forge::start().await;
    forge.repo("acme/alpha").branch("main");
    forge.fault(Fault::status(503).on_api("/user/repos").after(1).times(2));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut seen = Vec::new();
    for path in ["/user/repos", "/user/repos", "/user", "/user/repos", "/user/repos"] {
        let request = client.get(forge.github_api() + path).bearer_auth(forge.token());
        seen.push(request.send().await.unwrap().status().as_u16());
    }
    assert_eq!(seen, [200, 503, 200, 503, 200]);
    let logged: Vec<_> = forge.api_requests().iter().filter_map(|request| request.status).collect();
    assert_eq!(logged, seen);
}

#[tokio::test]
async fn one_page_of_a_listing_fails_alone() {
    let forge = Forge::start().await;
    for number in 0..3 {
        forge.repo(&format!("acme/r{number}"));
    }
    forge.page_size(1);
    forge.fault(Fault::status(502).json(&json!({"message": "Server Error"})).on_api("/user/repos").page(2));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let page =
        |number: u32| client.get(format!("{}/user/repos?page={number}", forge.github_api())).bearer_auth(forge.token());
    assert_eq!(page(1).send().await.unwrap().status(), 200);
    let failed = page(2).send().await.unwrap();
    assert_eq!(failed.status(), 502);
    assert_eq!(failed.json::<Value>().await.unwrap()["message"], "Server Error");
    assert_eq!(page(3).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_links_of_a_listing_can_lead_to_another_host() {
    let (forge, evil) = (Forge::start().await, Forge::start().await);
    forge.repo("acme/one");
    forge.repo("acme/two");
    forge.page_size(1);
    forge.fault(Fault::links_to_host(evil.url()).on_api(""));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = client.get(forge.gitea_api() + "/user/repos").bearer_auth(forge.token()).send().await.unwrap();
    let link = response.headers()["link"].to_str().unwrap();
    assert!(link.starts_with(&format!("<{}/user/repos?", evil.gitea_api())), "{link}");
}
