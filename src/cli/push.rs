//! `holocron push`: the one repository of a pipeline, from its origin to the destinations.
//!
//! The source is the checkout's `origin`, never its work tree, which in CI is shallow, detached and somebody else's. It
//! is mirrored as any other repository is, into a storage of its own, and goes on from there.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::mirror::{carry_out, listen, open_screen, tools};
use crate::base::error::{Error, exit};
use crate::base::scratch::Scratch;
use crate::base::secret::{Secret, SecretSource};
use crate::base::url::{RemoteUrl, UrlLogin};
use crate::config::destination::Otherwise;
use crate::config::{
    self, CloneUrls, Config, Environment as _, Filters, Keep, ProcessEnvironment, PushArgs, PushLoaded, SourceConfig,
    Transport,
};
use crate::cycle::service::Setup;
use crate::cycle::signals::Hangup;
use crate::git::{CheckoutOrigin, Git};
use crate::model::ForgeKind;
use crate::progress::Screen;

/// The user that goes with a token that stands alone in the URL of an origin: GitLab takes its job tokens with this name only,
/// the others take any.
const JOB_USER: &str = "gitlab-ci-token";

/// Mirrors the origin of a checkout to its destinations and returns the exit code.
pub(super) fn push(args: &PushArgs) -> Result<u8, Error> {
    let env = ProcessEnvironment::read()?;
    let loaded = config::load_push(args, &env)?;
    // Gone with us, whatever happens.
    let temporary = match loaded.storage {
        Some(_) => None,
        None => Some(temporary()?),
    };
    let storage = loaded.storage.clone().or_else(|| temporary.as_ref().map(|folder| folder.path().to_owned()));
    let mut config = config(&loaded, storage.unwrap_or_default());
    let (sink, screen) = open_screen(&config, |name| env.var(name));
    super::runtime()?.block_on(async {
        let signals = listen(Hangup::Terminate)?;
        let mut tools = tools(&config, Arc::new(env), &signals)?;
        tools.token_variables.extend(secret_variables(&loaded));
        tools.git = tools.git.without(&tools.token_variables);
        let (url, login) = match &loaded.source_url {
            Some(url) => (url.clone(), None),
            None => origin(&tools.git, &loaded.directory).await?,
        };
        if let Some(code) = elsewhere(&loaded, &url, &mut config, &screen) {
            return Ok(code);
        }
        config.sources.push(source(&loaded, url, login));
        let setup = Setup { config, tools, lasting: Vec::new() };
        let never = || Err(Error::run("a single push reads its configuration once"));
        carry_out(setup, never, (sink, screen), &signals).await
    })
}

/// The variables that may hold the source's token; those of the destinations are known by the configuration.
fn secret_variables(loaded: &PushLoaded) -> Vec<String> {
    let named = loaded.source_credentials.iter().filter_map(|credential| match &credential.token {
        SecretSource::Env(name) => Some(name.clone()),
        _ => None,
    });
    named.collect()
}

fn temporary() -> Result<Scratch, Error> {
    Ok(Scratch::make().context("cannot make a temporary directory")?)
}

/// The checkout's `origin`, with the user and password that CI left for it in the URL or in a header.
async fn origin(git: &Git, directory: &Path) -> Result<(RemoteUrl, Option<Login>), Error> {
    let shown = directory.display();
    let Some(CheckoutOrigin { url: text, root }) = git.origin_of_checkout(directory).await? else {
        let error = Error::usage(format!("{shown} has no remote called origin"));
        return Err(error.hint("run it in a checkout, name one with -C, or give the repository with --source-url."));
    };
    let text = match text.starts_with('.') {
        // A path with `..` in it names no place in a storage.
        true => std::fs::canonicalize(root.join(&text)).unwrap_or(root.join(&text)).display().to_string(),
        false => text,
    };
    let (url, login) = RemoteUrl::parse_with_login(&text)
        .map_err(|error| Error::usage(format!("the origin of {shown} cannot be used: {error}")))?;
    let in_url = login.map(|UrlLogin { user, secret }| Login {
        user: user.unwrap_or_else(|| JOB_USER.to_owned()),
        secret: Secret::new(secret),
    });
    let header = git.header_of_checkout(directory, &url).await?;
    Ok((url, in_url.or_else(|| Login::of_header(&header?))))
}

/// What CI left in the checkout so that its origin can be read.
struct Login {
    user: String,
    secret: Secret,
}

impl Login {
    /// Reads `AUTHORIZATION: basic <base64>`, as GitHub's checkout action writes it; anything else is no login.
    fn of_header(header: &str) -> Option<Self> {
        let (name, value) = header.split_once(':')?;
        let (scheme, coded) = value.trim().split_once(' ')?;
        if !name.trim().eq_ignore_ascii_case("authorization") || !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(coded.trim()).ok()?).ok()?;
        let (user, secret) = text.split_once(':')?;
        Some(Login { user: user.to_owned(), secret: Secret::new(secret) })
    }
}

/// What a pipeline does that does not run on the primary forge: only look, or end.
fn elsewhere(loaded: &PushLoaded, url: &RemoteUrl, config: &mut Config, screen: &Screen) -> Option<u8> {
    let run_from = loaded.run_from.as_ref()?;
    let here = url.host().unwrap_or("this machine");
    if here == run_from.host {
        return None;
    }
    let place = format!("this repository is on {here}, and `run_from` names {}", run_from.forge);
    match run_from.otherwise {
        Otherwise::Ignore => None,
        Otherwise::Exit => {
            screen.line(&format!("{place}: nothing is done."));
            Some(exit::OK)
        }
        Otherwise::ReadOnly => {
            screen.line(&format!("{place}: nothing is pushed."));
            config.push = false;
            None
        }
    }
}

fn source(loaded: &PushLoaded, url: RemoteUrl, login: Option<Login>) -> SourceConfig {
    let found = loaded.source_credential(&url);
    // What CI left in the checkout serves when nothing else is said.
    let given = login.map(|Login { user, secret }| (SecretSource::Given(secret), user));
    let (token, user) = found.or(given).map_or((None, String::new()), |(token, user)| (Some(token), user));
    SourceConfig {
        id: "origin".to_owned(),
        former_id: None,
        kind: ForgeKind::Urls,
        api_url: None,
        forge: loaded.forge_of(&url),
        token,
        user,
        owners: Vec::new(),
        filters: Filters::default(),
        transport: Transport::Https,
        clone_urls: CloneUrls::default(),
        ca_file: None,
        proxy: None,
        dirs: Vec::new(),
        // Whose user it was is settled.
        urls: vec![url.without_user()],
    }
}

fn config(loaded: &PushLoaded, storage: PathBuf) -> Config {
    Config {
        sources: Vec::new(),
        destinations: loaded.destinations.clone(),
        run_from: None,
        storage,
        concurrency: 1,
        per_host: 1,
        limits: loaded.limits.clone(),
        watch: false,
        interval: Duration::from_secs(60),
        window: Duration::ZERO,
        full_every: Duration::ZERO,
        stale_after: Duration::ZERO,
        // A pipeline runs because something was pushed, and other pipelines push to the same destinations.
        full: true,
        checkout: false,
        releases: None,
        only_releases: None,
        asset_tmp_max: loaded.asset_tmp_max,
        dry_run: loaded.dry_run,
        push: true,
        // The pipeline before this one may still be at work in a storage that is kept.
        wait: true,
        accept_deletions: if loaded.accept_deletions { vec!["**".to_owned()] } else { Vec::new() },
        cliff: loaded.cliff,
        keep: Keep::default(),
        timeout: loaded.timeout,
        time_limit: loaded.time_limit,
        transport: loaded.transport,
        output: loaded.output.clone(),
        hidden: loaded.hidden.clone(),
    }
}
