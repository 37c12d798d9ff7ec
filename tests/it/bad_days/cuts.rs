//! Connections that end in the middle, at many places.

use serde_json::json;

use super::Day;
use crate::net::{github, mirror, on_disk, report, verdicts};
use crate::support::{Fault, Forge, Repo, Service, TestEnv, noise};

/// A forge with a repository for each fault, and that many at a time.
struct Many {
    env: TestEnv,
    forge: Forge,
    repos: Vec<(Repo, Fault)>,
}

/// Git's three requests. One at a time: what one repository learned of the server spares another the first of them.
const SERVICES: [Service; 3] = [Service::Advertisement, Service::ListRefs, Service::FetchPack];

/// Where a connection is cut: everywhere in the headers, and in the body.
fn cuts(service: Service) -> Vec<Fault> {
    let headers = [0, 12, 17, 30, 100].map(Fault::cut_after);
    let bodies = [0, 1, 4, 30, 80].map(Fault::cut_in_body);
    let mut faults: Vec<Fault> = headers.into_iter().chain(bodies).chain([Fault::reset_after(40)]).collect();
    if service == Service::FetchPack {
        faults.extend([300, 1_000, 5_000, 10_000, 19_000, 20_000].map(Fault::cut_in_body));
    }
    faults.into_iter().map(|fault| fault.service(service)).collect()
}

impl Many {
    async fn new(service: Service) -> Self {
        let (env, forge) = (TestEnv::new(), Forge::start().await);
        let repo = |(number, fault): (usize, Fault)| {
            let name = format!("acme/r{number:02}");
            let fault = fault.on_git(&name);
            (forge.repo(&name).batch(|b| b.branch("main").branch("old").tag("v1")), fault)
        };
        let repos = cuts(service).into_iter().enumerate().map(repo).collect();
        Many { env, forge, repos }
    }

    fn push(&self) {
        for (repo, _) in &self.repos {
            repo.batch(|b| b.commit_file("main", "big", &noise(20_000)).branch("new"));
        }
    }

    /// A run in which every connection is cut: no mirror may count as a success.
    async fn cut(&self) {
        self.repos.iter().for_each(|(_, fault)| self.forge.fault(fault.clone()));
        let told = report(&github(&self.env, &self.forge, ["--concurrency", "50"]).run().await, 3);
        for (repo, fault) in &self.repos {
            let mirror = mirror(&told, &repo.full_name());
            let (verdict, reason) = (&mirror["verdict"], mirror["failure"]["reason"].as_str().unwrap_or("none"));
            assert!(*verdict == "failed" || *verdict == "held", "{fault:?}: {mirror:#}");
            assert!(["network_failed", "server_error", "held"].contains(&reason), "{fault:?}: {mirror:#}");
        }
    }

    async fn heals(&self) {
        self.forge.heal();
        report(&github(&self.env, &self.forge, []).run().await, 0);
        self.repos.iter().for_each(|(repo, _)| self.env.assert_mirrored(repo));
    }
}

#[tokio::test]
async fn a_cut_anywhere_in_an_update_costs_nothing_and_the_next_run_heals() {
    for service in SERVICES {
        let many = Many::new(service).await;
        many.heals().await;
        many.push();
        let before = on_disk(&many.env);
        many.cut().await;
        assert_eq!(on_disk(&many.env), before);
        many.heals().await;
    }
}

#[tokio::test]
async fn a_cut_anywhere_in_a_first_clone_is_no_success_and_leaves_nothing() {
    for service in SERVICES {
        let many = Many::new(service).await;
        many.push();
        many.cut().await;
        assert_eq!(on_disk(&many.env).len(), 0);
        assert_eq!(std::fs::read_dir(many.env.storage().join(".holocron/tmp")).unwrap().count(), 0);
        many.heals().await;
    }
}

#[tokio::test]
async fn a_cut_once_is_tried_again_in_the_same_run_and_said() {
    let day = Day::new().await;
    let once = Fault::cut_in_body(10_000).on_git("acme/alpha").service(Service::FetchPack).once();
    day.forge.fault(once);
    let run = github(&day.env, &day.forge, []).run().await;
    assert_eq!(verdicts(&report(&run, 0)), ["acme/alpha updated"]);
    assert!(run.stderr.contains("network_failed"), "the second try is not announced: {run}");
    day.env.assert_mirrored(&day.alpha);
}

#[tokio::test]
async fn a_listing_that_is_cut_fails_its_source() {
    let cuts = [Fault::cut_after(0), Fault::cut_in_headers(), Fault::cut_in_body(100), Fault::reset_after(40)];
    let runs = cuts.map(|fault| async {
        let day = Day::new().await;
        let shown = format!("{fault:?}");
        day.forge.fault(fault.on_api(""));
        day.forge.reset_log();
        let told = report(&github(&day.env, &day.forge, []).run().await, 3);
        assert_eq!(told["source_failures"][0]["failure"]["reason"], json!("network_failed"), "{shown}: {told:#}");
        assert_eq!(told["mirrors"], json!([]), "{shown}");
        assert_eq!((on_disk(&day.env), day.forge.git_requests("acme/alpha").len()), (day.before.clone(), 0), "{shown}");
        day.heals().await;
    });
    futures_util::future::join_all(runs).await;
}
