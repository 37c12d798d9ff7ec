//! Git's one door: the program, its environment, and one method per verb.
//!
//! Every flag that all commands share stands in `policy.rs` with its reason. Outputs are read by pure parsers in
//! [`refs`] and [`progress`]; failures get their reason from [`classify`].
//!
//! # Failures
//!
//! A command on a repository of this machine fails with `local_failed`, `local_lock`, `disk_full` or `corrupt`, and with
//! `unknown` and git's own words where these name no reason we know. One that asks a remote can also fail with
//! `network_failed`, `tls_failed`, `host_key_failed`, `auth_failed`, `forbidden`, `remote_not_found`, `rate_limited`,
//! `blocked`, `archived`, `too_large` or `server_error`; a push with `push_rejected`, `protected_ref_rejected`,
//! `secret_blocked` or `diverged`, too. Each of them ends with `timed_out` and `cancelled` as its limits and its token to stop
//! say.

pub mod askpass;
pub mod classify;
mod disk;
mod look;
mod moved;
mod origin;
mod pack;
mod policy;
mod process;
pub mod progress;
mod push;
pub mod refs;
mod resources;
mod ssh;
mod stage;
mod trust;
mod user_tree;
mod verbs;
mod version;
mod wire;
mod worktree;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::base::failure::{Failure, Reason};
use crate::base::secret::Credential;
use crate::base::url::RemoteUrl;

pub use look::{Fetches, Looks};
pub use origin::CheckoutOrigin;
pub use pack::{Fetched, History, KEEP_MARK, Kept};
pub use policy::Policy;
pub use process::leave_terminal_if_asked;
pub use push::{PushEdit, Pushed, RefResult};
pub use resources::{Resources, Share};
pub use ssh::{HostKeys, Ssh};
pub use user_tree::{Printed, UserTree};
pub(crate) use verbs::BULK;
pub use verbs::{Depth, Progress, RefEdit, Wanted};
pub use version::{OLDEST, Version};
pub use wire::GitTransport;
pub use worktree::{PathChange, WorkTree};

/// A remote repository and what is needed to reach it.
#[derive(Debug, Clone)]
pub struct Remote {
    pub url: RemoteUrl,
    /// See [`Remote::credential`].
    pub credential: Option<Credential>,
    /// The CA that the server's certificate must come from.
    pub ca_file: Option<PathBuf>,
    pub proxy: Option<url::Url>,
    pub ssh: Ssh,
}

impl Remote {
    /// A remote that needs nothing but its URL.
    pub fn plain(url: RemoteUrl) -> Self {
        Remote { url, credential: None, ca_file: None, proxy: None, ssh: Ssh::default() }
    }

    /// The credential, when it belongs to the URL's origin; no other is ever handed over.
    pub fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref().filter(|credential| self.url.origin() == Some(&credential.origin))
    }
}

/// What a [`Git`] is made of.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The `PATH` to look for git in, and the environment git gets.
    pub environment: Vec<(OsString, OsString)>,
    /// Variables that hold tokens: git, and what it starts, has no use for them.
    pub secrets: Vec<String>,
    /// This program, which git runs as its askpass.
    pub askpass: PathBuf,
    /// How long git may stay silent.
    pub idle: Duration,
    /// How long one command may take in all.
    pub total: Option<Duration>,
    pub resources: Resources,
    pub stop: CancellationToken,
    pub transport: GitTransport,
}

/// The system git. Cheap to clone; holds no state but the directory of its askpass sockets.
#[derive(Debug, Clone)]
pub struct Git {
    program: PathBuf,
    /// Ours, with the variables that each policy lets in.
    environment: Arc<Vec<(OsString, OsString)>>,
    users_environment: Arc<Vec<(OsString, OsString)>>,
    askpass: PathBuf,
    limits: process::Limits,
    resources: Resources,
    counter: Arc<askpass::Counter>,
    /// `core.sshCommand`, asked for at most once.
    ssh_setting: Arc<OnceCell<OsString>>,
    /// Its version, asked for at most once.
    version: Arc<OnceCell<Version>>,
    /// Looks and fetches over connections of our own; `None` when git is to do everything.
    wire: Option<Arc<wire::Wire>>,
    looks: Arc<look::Counts>,
    trust: Arc<trust::Trust>,
    fetches: Arc<look::Counts>,
    moved: Arc<moved::Moved>,
}

/// One git command in the making: what it is for, its arguments, and whom it talks to.
struct Call<'a> {
    /// For messages: `fetch`, `read the refs of`.
    what: &'a str,
    command: Command,
    remote: Option<&'a Remote>,
    input: Vec<u8>,
}

impl Git {
    /// Finds git in the `PATH` of `settings`.
    ///
    /// # Errors
    /// `local_failed` when there is none.
    pub fn find(settings: Settings) -> Result<Self, Failure> {
        let path = settings.environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_os_str());
        let folder = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
        let program = which::which_in("git", path, folder).map_err(|error| {
            Failure::new(Reason::LocalFailed, "cannot find the program git")
                .with_evidence(error.to_string())
                .with_hint(format!("install git {OLDEST} or newer and see that it is in PATH."))
        })?;
        let mut environment = settings.environment;
        environment.retain(|(name, _)| !settings.secrets.iter().any(|secret| name.as_os_str() == OsStr::new(secret)));
        let limits = process::Limits { idle: settings.idle, total: settings.total, output: None, stop: settings.stop };
        let counter = Arc::new(askpass::Counter::open()?);
        Ok(Git {
            program,
            users_environment: Arc::new(Policy::UserTree.inherited(&environment)),
            environment: Arc::new(Policy::Mirror.inherited(&environment)),
            askpass: settings.askpass,
            limits,
            resources: settings.resources,
            counter,
            ssh_setting: Arc::default(),
            version: Arc::default(),
            wire: (settings.transport == GitTransport::Auto).then(Arc::default),
            looks: Arc::default(),
            trust: Arc::default(),
            fetches: Arc::default(),
            moved: Arc::default(),
        })
    }

    /// Counts a job at work for as long as what is returned lives: the machine is divided among them.
    pub fn share(&self) -> Share {
        self.resources.share()
    }

    /// The same git, which is not shown these variables.
    pub fn without(self, names: &[String]) -> Self {
        let hidden = |name: &OsString| names.iter().any(|hidden| name.as_os_str() == OsStr::new(hidden));
        let kept = |all: &[(OsString, OsString)]| all.iter().filter(|(name, _)| !hidden(name)).cloned().collect();
        let (environment, users_environment) = (kept(&self.environment), kept(&self.users_environment));
        Git { environment: Arc::new(environment), users_environment: Arc::new(users_environment), ..self }
    }

    /// The same git, whose commands get no longer than `limit`, whether they say something or not.
    pub fn within(&self, limit: Duration) -> Git {
        let limits = process::Limits { idle: limit, total: Some(limit), ..self.limits.clone() };
        Git { limits, ..self.clone() }
    }

    /// The same git, whose commands end when `stop` says so.
    pub fn stopped_by(&self, stop: &CancellationToken) -> Git {
        let limits = process::Limits { stop: stop.clone(), ..self.limits.clone() };
        Git { limits, ..self.clone() }
    }

    fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_os_str())
    }

    /// A command in a mirror, with everything that all of them share; `dir` is the repository, if there is one.
    fn command(&self, dir: Option<&Path>) -> Command {
        let mut git = Command::new(&self.program);
        git.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        Policy::Mirror.tell(&mut git);
        for (key, value) in self.resources.settings() {
            git.arg("-c").arg(format!("{key}={value}"));
        }
        git.arg("-c").arg(format!("http.lowSpeedTime={}", self.limits.idle.as_secs().max(1)));
        match dir {
            Some(dir) => {
                // A volume with another owner is usual in containers; ours is named, nothing else is trusted.
                git.arg("-c").arg(joined("safe.directory=", dir)).arg("--git-dir").arg(dir);
            }
            // Not the repository that we happen to stand in, nor its configuration.
            None => {
                git.env("GIT_DIR", "/dev/null/none");
            }
        }
        git
    }

    /// Runs a call to its end; `on_line` sees every line of stderr.
    async fn run(&self, call: Call<'_>, on_line: impl FnMut(&str)) -> Result<process::Finished, Failure> {
        self.run_within(&self.limits, call, on_line).await
    }

    /// The same within other limits.
    async fn run_within(
        &self,
        limits: &process::Limits,
        mut call: Call<'_>,
        on_line: impl FnMut(&str),
    ) -> Result<process::Finished, Failure> {
        let (mut handover, mut cheaper) = (None, None);
        if let Some(remote) = call.remote {
            // Older ones do not know how they are told where not to go.
            Box::pin(self.check_version()).await?;
            handover = self.reach(&mut call.command, remote)?;
            cheaper = Box::pin(self.cheaper_trust(remote)).await;
            cheaper.iter().for_each(|cheaper| cheaper.tell(&mut call.command));
            if let Some(open) = self.reach_by_ssh(&mut call.command, remote)? {
                handover = Some(open);
            }
            // In a box: to find the command out is a run of its own.
            if let Some(ssh) = Box::pin(self.ssh_command(remote)).await? {
                call.command.env(ssh::VARIABLE, ssh);
            }
        }
        tracing::debug!(command = ?Shown(&call.command), "git");
        let input = process::Input::Whole(call.input);
        let finished = process::run(call.command, input, limits, on_line).await;
        drop(handover);
        let mut finished = finished.map_err(|failure| failure.within(call.what))?;
        if let Some(cheaper) = cheaper {
            finished.stderr = cheaper.translate(&finished.stderr);
        }
        Ok(finished)
    }

    /// As [`Git::run`], and anything but success is a failure with its reason.
    async fn succeed(&self, call: Call<'_>, on_line: impl FnMut(&str)) -> Result<process::Finished, Failure> {
        let (what, remote) = (call.what.to_owned(), call.remote);
        let finished = self.run(call, on_line).await?;
        if finished.status.success() {
            return Ok(finished);
        }
        Err(self.failure_at(remote, &what, &finished).await)
    }

    /// The failure of a command that talked to a remote: it says which key or token was refused, as git does not.
    async fn failure_at(&self, remote: Option<&Remote>, what: &str, finished: &process::Finished) -> Failure {
        let failure = self.explain_ssh(remote, failure_of(what, finished)).await;
        match remote.and_then(Remote::credential) {
            Some(credential) => credential.secret.refused(failure),
            None => failure,
        }
    }

    /// Adds what is needed to reach `remote`, and opens the hand-over of its credential.
    fn reach(&self, command: &mut Command, remote: &Remote) -> Result<Option<askpass::Handover>, Failure> {
        let url = remote.url.to_string();
        let mut settings = vec![
            // The longest match wins: no `insteadOf` of the user's sends us (and a token) elsewhere.
            (format!("url.{url}.insteadOf"), url.clone()),
        ];
        if let Some(file) = &remote.ca_file {
            settings.push(("http.sslCAInfo".to_owned(), file.display().to_string()));
        }
        if let Some(proxy) = &remote.proxy {
            settings.push(("http.proxy".to_owned(), proxy.to_string()));
        }
        let mut handover = None;
        if let Some(credential) = remote.credential() {
            let open = self.counter.serve_login(credential)?;
            command.env("GIT_ASKPASS", &self.askpass).env(askpass::MARKER, &open.path);
            handover = Some(open);
            // One question less: askpass is asked for the password alone.
            settings.push(("credential.username".to_owned(), credential.user.clone()));
            // Git 2.46: no request is wasted on hearing 401; older ones do not know the key and ask as ever.
            settings.push(("http.proactiveAuth".to_owned(), "basic".to_owned()));
            // After a redirect to another host git 2.47 goes on there with the login of the first one: the requests after
            // the first carry our token. A redirect to the same server is followed by ourselves (`moved.rs`).
            // By URL as well: a setting of the user's for this host would win over a general one.
            for key in ["http.followRedirects".to_owned(), format!("http.{url}.followRedirects")] {
                settings.push((key, "false".to_owned()));
            }
        }
        // By environment and not by argument: a URL may have `=` in it, a proxy a password.
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (number, (key, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{number}"), key).env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        Ok(handover)
    }
}

/// The failure that a finished command tells of.
fn failure_of(what: &str, finished: &process::Finished) -> Failure {
    use std::os::unix::process::ExitStatusExt;
    let stdout = String::from_utf8_lossy(&finished.stdout);
    // Our own askpass refused: whatever git makes of that, no credential of ours was tried.
    if let Some(line) = finished.stderr.lines().find(|line| line.starts_with(askpass::REFUSAL)) {
        let hint = "the server sends git to another host, which gets no token; check the repository's URL.";
        return Failure::new(Reason::Held, what).with_evidence(line).with_hint(hint);
    }
    let (mut reason, evidence) = classify::explain(&stdout, &finished.stderr);
    if finished.status.signal().is_some() {
        // Killed from outside, most likely for want of memory: what it said until then is not why.
        reason = Reason::LocalFailed;
    }
    let how = match (finished.status.code(), finished.status.signal()) {
        (Some(code), _) => format!("git ended with exit code {code}"),
        (None, Some(signal)) => format!("git was killed by signal {signal}"),
        (None, None) => "git ended".to_owned(),
    };
    let failure = Failure::new(reason, format!("{what}: {how}")).with_evidence(&evidence);
    match classify::way_out(&evidence) {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}

fn joined(prefix: &str, path: &Path) -> OsString {
    let mut text = OsString::from(prefix);
    text.push(path);
    text
}

/// A command for the debug log, arguments only, redacted.
struct Shown<'a>(&'a Command);

impl std::fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut skip = false;
        for argument in self.0.as_std().get_args() {
            // The settings that all commands share say nothing about this one.
            if skip || argument == "-c" {
                skip = !skip;
                continue;
            }
            write!(f, "{} ", crate::base::redact::redact(&argument.to_string_lossy()))?;
        }
        Ok(())
    }
}
