//! Looks at refs without git: the same answers, the same failures, and no process.

mod bodies;
mod costs;
mod endless;
mod faults;
mod fetch;
mod fetch_faults;
mod known;
mod lists;
mod push;
mod routes;
mod settings;

use std::time::Duration;

use holocron::base::failure::{Failure, Reason};
use holocron::base::secret::{Credential, Secret};
use holocron::base::url::RemoteUrl;
use holocron::git::refs::Advertisement;
use holocron::git::{Git, GitTransport, Remote};

use crate::support::{Forge, RecordingGit, Repo, TestEnv};

/// Both ways to look at a remote.
struct Both {
    env: TestEnv,
    auto: Git,
    git: Git,
}

impl Both {
    fn new() -> Self {
        Both::with(&[])
    }

    /// With more variables in the environment.
    fn with(variables: &[(&str, &str)]) -> Self {
        let env = TestEnv::new();
        let git = |transport| door(&env, transport, variables, Duration::from_secs(2));
        Both { auto: git(GitTransport::Auto), git: git(GitTransport::Git), env }
    }

    /// The answers of both, ours first.
    async fn ask(&self, remote: &Remote) -> [Result<Advertisement, Failure>; 2] {
        [self.auto.ls_remote(remote).await, self.git.ls_remote(remote).await]
    }

    /// Asserts that both give the same refs, and returns them.
    #[track_caller]
    fn same([ours, gits]: [Result<Advertisement, Failure>; 2]) -> Advertisement {
        let (ours, gits) = (ours.expect("we have refs"), gits.expect("git has refs"));
        assert_eq!(ours, gits);
        ours
    }
}

/// Both ways, behind a git that writes down what it is asked.
fn recorded(variables: &[(&str, &str)]) -> (Both, RecordingGit) {
    let mut both = Both::with(variables);
    let calls = RecordingGit::install(&both.env);
    let open = |transport| door(&both.env, transport, variables, Duration::from_secs(2));
    (both.auto, both.git) = (open(GitTransport::Auto), open(GitTransport::Git));
    (both, calls)
}

/// How often git was asked for the refs of a remote.
fn looks(calls: &RecordingGit) -> usize {
    calls.calls().iter().filter(|call| call.args.iter().any(|arg| arg == "ls-remote")).count()
}

/// A git in the surroundings of a test.
fn door(env: &TestEnv, transport: GitTransport, variables: &[(&str, &str)], idle: Duration) -> Git {
    env.door(transport, variables.iter().map(|(name, value)| (*name, value.into())), idle)
}

/// One of git's packet lines.
fn packet(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

fn remote(repo: &Repo) -> Remote {
    Remote::plain(RemoteUrl::parse(&repo.url()).expect("a forge gives URLs"))
}

/// The same with alice's token.
fn with_token(repo: &Repo, forge: &Forge) -> Remote {
    let remote = remote(repo);
    let origin = remote.url.origin().expect("an HTTP URL").clone();
    let credential = Credential { origin, user: "alice".into(), secret: Secret::new(forge.token()) };
    Remote { credential: Some(credential), ..remote }
}

/// What came of it, as far as both ways must agree.
fn essence(result: Result<Advertisement, Failure>) -> Result<Advertisement, Reason> {
    result.map_err(|failure| failure.reason())
}
