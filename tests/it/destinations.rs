//! Forges as destinations: what a run makes, moves and deletes there, what it leaves alone, and what it says.

mod aliases;
mod command;
mod default_branch;
mod faults;
mod first;
mod formats;
mod heads;
mod moved;
mod names;
mod places;
mod plain;
mod refs;
mod refused;
mod room;
mod rules;
mod secrets;
mod several;
mod ssh;
mod unknown;
mod watched;

use serde_json::{Value, json};

use crate::net::{mirror, report};
use crate::support::{Dialect, Forge, Kind, Program, Repo, Service, TestEnv};

/// The forges whose dialects a destination can speak.
pub(crate) const KINDS: [Dialect; 3] = [Dialect::Github, Dialect::Gitlab, Dialect::Gitea];

/// One GitHub to read from, one forge of any kind to push to, into the organisation `copies`.
pub(crate) struct Pair {
    pub(crate) env: TestEnv,
    pub(crate) source: Forge,
    pub(crate) there: Forge,
    kind: Dialect,
}

impl Pair {
    pub(crate) async fn new(kind: Dialect) -> Self {
        Self::with(kind, &json!({})).await
    }

    /// With settings of the destination, by their names in the configuration.
    pub(crate) async fn with(kind: Dialect, settings: &Value) -> Self {
        let (env, source, there) = (TestEnv::new(), Forge::start().await, Forge::start().await);
        there.speak(kind);
        there.organisation("copies", &["alice"]);
        source.accept_token("alice", SOURCE_TOKEN);
        there.accept_token("alice", THERE_TOKEN);
        let pair = Pair { env, source, there, kind };
        pair.configure(std::slice::from_ref(settings));
        pair
    }

    /// Writes the configuration anew: one destination for each of the settings, `to`, `to-2` and so on.
    pub(crate) fn configure(&self, destinations: &[Value]) {
        let destinations: Vec<Value> = (1..)
            .zip(destinations)
            .map(|(number, settings)| {
                let id = if number == 1 { "to".to_owned() } else { format!("to-{number}") };
                let mut all = destination(&id, self.kind, &self.there);
                let settings = settings.as_object().expect("settings are an object");
                settings.iter().for_each(|(key, value)| all[key] = value.clone());
                all
            })
            .collect();
        self.write(&destinations);
    }

    /// Writes the configuration anew with these destinations in full.
    pub(crate) fn write(&self, destinations: &[Value]) {
        let source =
            json!({"id": "from", "kind": "github", "api_url": self.source.github_api(), "token": {"env": "FROM"}});
        // YAML takes JSON.
        let config = json!({"sources": [source], "destinations": destinations});
        self.env.file("holocron.yaml", config.to_string());
    }

    pub(crate) fn program(&self, args: &[&str]) -> Program {
        let program = self.env.holocron(["--json"]).args(args.iter().copied());
        program.env("FROM", SOURCE_TOKEN).env("TO", THERE_TOKEN)
    }

    /// Runs to the end, and returns the report.
    pub(crate) async fn run(&self, args: &[&str], code: i32) -> Value {
        report(&self.program(args).run().await, code)
    }

    /// As [`Pair::run`], for a run after which `acme/alpha` is safe here and behind there.
    async fn degraded(&self, args: &[&str]) -> Value {
        let told = self.run(args, 3).await;
        assert_eq!(mirror(&told, "acme/alpha")["degraded"], true, "{told:#}");
        told
    }

    /// The copy of `acme/alpha`.
    #[track_caller]
    pub(crate) fn copy(&self) -> Repo {
        self.there.find("copies/alpha").expect("the copy was made")
    }

    /// The copy as another writer made it, before Holocron came.
    pub(crate) fn foreign_copy(&self) -> Repo {
        self.there.repo("copies/alpha").private()
    }

    fn changes(&self) -> Vec<String> {
        changes(&self.there)
    }

    /// How many pushes a copy got.
    pub(crate) fn pushes_made(&self, name: &str) -> usize {
        let push = Kind::Git { repo: name.to_owned(), service: Service::Push };
        // A large push begins with an empty request that asks for the credential.
        self.there.requests().iter().filter(|request| request.kind == push && request.status == Some(200)).count()
    }

    fn pushes(&self) -> usize {
        self.there.git_count(Service::Push)
    }
}

pub(crate) const SOURCE_TOKEN: &str = "from+canary/1147=7411.qwertz";
pub(crate) const THERE_TOKEN: &str = "to+canary/2258=8522.asdfgh";

/// A destination's settings, without any of its own.
pub(crate) fn destination(id: &str, kind: Dialect, forge: &Forge) -> Value {
    let (name, api_url) = match kind {
        Dialect::Github => ("github", forge.github_api()),
        Dialect::Gitlab => ("gitlab", forge.gitlab_api()),
        Dialect::Gitea => ("gitea", forge.gitea_api()),
    };
    json!({"id": id, "kind": name, "api_url": api_url, "token": {"env": "TO"}, "namespace": "copies"})
}

/// The requests that changed something through an API, as `POST /api/…`.
fn changes(forge: &Forge) -> Vec<String> {
    let is_change = |request: &&crate::support::Request| request.kind == Kind::Api && request.method != "GET";
    forge.requests().iter().filter(is_change).map(|request| format!("{} {}", request.method, request.path)).collect()
}
