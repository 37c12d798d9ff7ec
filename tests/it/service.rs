//! The cycle service as a server holds it: triggers, cancelling, the last report, events.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holocron::base::error::Error;
use holocron::cli;
use holocron::config::{self, Config, Environment};
use holocron::cycle::report::Report;
use holocron::cycle::scope::Scope;
use holocron::cycle::service::{Face, Handle, Service, Setup};
use holocron::cycle::signals::{Signals, Stop};
use holocron::mirror::tools::Tools;
use holocron::model::Verdict;
use holocron::progress::{Event, Silent, Sink};

use crate::support::{Fault, Forge, Kind, Request, Service as GitService, TestEnv};

/// Long enough for a cycle on a busy machine.
const HANG: Duration = Duration::from_secs(60);

/// Variables and a directory of a test's own.
struct Fixed(BTreeMap<String, String>, PathBuf);

impl Environment for Fixed {
    fn var(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    fn is_from_dotenv(&self, _: &str) -> bool {
        false
    }

    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn directory(&self) -> &Path {
        &self.1
    }
}

/// Shows nothing; an error of a cycle fails the test.
struct Nobody;

impl Face for Nobody {
    fn ended(&mut self, _: &Config, _: &Report) {}

    fn failed(&mut self, error: &Error) {
        panic!("{error}");
    }

    fn reloaded(&mut self, result: Result<(), Error>) {
        result.unwrap();
    }
}

/// The names of the mirrors that were finished.
#[derive(Default)]
struct Finished(Mutex<Vec<String>>);

impl Sink for Finished {
    fn tell(&self, event: &Event<'_>) {
        if let Event::Finished { outcome } = event {
            self.0.lock().unwrap().push(outcome.path.to_string());
        }
    }
}

/// Watches the forge, with rests longer than any test, while `test` has the handle.
async fn while_watching(env: &TestEnv, forge: &Forge, test: impl AsyncFnOnce(Handle)) {
    let (setup, signals) = setup(env, forge);
    let mut service = Service::open(setup, Arc::new(Silent), &signals).await.unwrap();
    let handle = service.handle();
    let mut nobody = Nobody;
    let watch = service.watch(&mut nobody, || Err(Error::run("this test reloads nothing")));
    let test = async {
        test(handle).await;
        signals.stop(Stop::Terminated);
    };
    let (why, ()) = tokio::join!(watch, test);
    assert_eq!(why, Stop::Terminated);
}

/// The next report that `fits`.
async fn report(handle: &Handle, fits: impl Fn(&Report) -> bool) -> Arc<Report> {
    let mut reports = handle.reports();
    let found = reports.wait_for(|report| report.as_ref().is_some_and(|report| fits(report)));
    let report = tokio::time::timeout(HANG, found).await.expect("a report in time");
    report.unwrap().clone().unwrap()
}

fn setup(env: &TestEnv, forge: &Forge) -> (Setup, Signals) {
    let line = ["holocron", "--backup-only", "--watch", "--interval", "1h", "--source", "github"];
    let args = cli::parse(line).unwrap().mirror;
    let variables = [("GITHUB_API_URL", forge.github_api()), ("GITHUB_TOKEN", forge.token().clone())];
    let variables = variables.map(|(name, value)| (name.to_owned(), value));
    let fixed = Fixed(variables.into_iter().collect(), env.work());
    let config = config::load(&args, &fixed).unwrap().config;
    let signals = Signals::default();
    let path = std::env::var_os("PATH").expect("PATH is set");
    let variables = vec![("HOME".into(), env.home().into_os_string()), ("PATH".into(), path)];
    let askpass = env!("CARGO_BIN_EXE_holocron").into();
    let tools = Tools::open(&config, Arc::new(fixed), (variables, askpass), signals.stopping()).unwrap();
    (Setup { config, tools, lasting: Vec::new() }, signals)
}

fn names(report: &Report) -> Vec<String> {
    report.sorted().iter().map(|outcome| outcome.path.to_string()).collect()
}

fn fetches(repo: &'static str) -> impl Fn(&Request) -> bool {
    move |request| matches!(&request.kind, Kind::Git { repo: asked, service: GitService::FetchPack } if asked == repo)
}

#[tokio::test]
async fn a_part_that_is_asked_for_is_all_that_is_done() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let [alpha, beta, gamma] = ["acme/alpha", "acme/beta", "ns/gamma"].map(|name| forge.repo(name).branch("main"));
    while_watching(&env, &forge, async |handle| {
        let first = report(&handle, |_| true).await;
        assert_eq!(names(&first), ["acme/alpha", "acme/beta", "ns/gamma"]);
        let finished = Arc::new(Finished::default());
        handle.listen(finished.clone());
        for repo in [&alpha, &beta, &gamma] {
            repo.commit("main", "more");
        }
        forge.reset_log();
        handle.trigger(Scope::matching(["acme/a*".to_owned()]).unwrap());
        let part = report(&handle, |report| report.started != first.started).await;
        assert_eq!(names(&part), ["acme/alpha"]);
        assert_eq!(part.outcomes[0].verdict, Verdict::Updated);
        assert_eq!(*finished.0.lock().unwrap(), ["acme/alpha"]);
        env.assert_mirrored(&alpha);
        assert!(!forge.requests().iter().any(fetches("acme/beta")), "nobody asked for it");
        let key = first.outcomes.iter().find(|outcome| outcome.path.name() == "gamma").unwrap().key.clone();
        handle.trigger(Scope::one(key));
        let one = report(&handle, |report| report.started > part.started).await;
        assert_eq!(names(&one), ["ns/gamma"]);
        env.assert_mirrored(&gamma);
        handle.trigger(Scope::All);
        let all = report(&handle, |report| report.started > one.started).await;
        assert_eq!((names(&all).len(), all.exit_code()), (3, 0));
        env.assert_mirrored(&beta);
    })
    .await;
}

#[tokio::test]
async fn a_part_that_names_no_mirror_is_reported() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    while_watching(&env, &forge, async |handle| {
        let first = report(&handle, |_| true).await;
        handle.trigger(Scope::matching(["acme/nothing".to_owned()]).unwrap());
        let part = report(&handle, |report| report.started > first.started).await;
        assert_eq!((part.outcomes.len(), part.exit_code()), (0, 3));
        assert!(part.unmatched[0].what.contains("acme/nothing"), "{:?}", part.unmatched);
    })
    .await;
}

#[tokio::test]
async fn a_cycle_that_is_cancelled_ends_and_the_service_goes_on() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    forge.fault(Fault::hang().on_git("acme/alpha").once());
    while_watching(&env, &forge, async |handle| {
        forge.until(|request| matches!(&request.kind, Kind::Git { .. })).await;
        assert!(handle.is_at_work() && handle.cancel());
        let cancelled = report(&handle, |_| true).await;
        assert_eq!(cancelled.interrupted.map(|why| why.as_str()), Some("cancel"));
        assert_eq!(cancelled.outcomes[0].verdict, Verdict::Skipped, "it was not mirrored, and the report says so");
        assert!(!handle.is_at_work() && !handle.cancel(), "nothing is at work");
        handle.trigger(Scope::All);
        let next = report(&handle, |report| report.started > cancelled.started).await;
        assert_eq!((next.interrupted, next.exit_code()), (None, 0));
        env.assert_mirrored(&alpha);
    })
    .await;
}
