//! What a run needs of this machine beside a right configuration: secrets that can be read, files, directories.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::destination::DestinationConfig;
use super::destinations::origin_key;
use super::environment::Environment;
use super::layers::SetBy;
use super::problem::Problem;
use super::{Loaded, SourceConfig, token_variables};
use crate::base::client;
use crate::base::failure::Failure;
use crate::base::secret::SecretSource;

/// Returns what a run would miss, in the order of the configuration; commands that print tokens are run for it.
pub async fn needs(loaded: &Loaded, env: &dyn Environment) -> Vec<Problem> {
    let withheld = token_variables(&loaded.config);
    let mut looker = Looker { loaded, env, withheld, seen: Vec::new(), problems: Vec::new() };
    looker.writable("storage", "`storage`", &loaded.config.storage);
    for (index, source) in loaded.config.sources.iter().enumerate() {
        looker.source(index, source).await;
    }
    for destination in &loaded.config.destinations {
        looker.destination(destination).await;
    }
    looker.problems
}

/// Something that is looked at once, however many entries name it.
#[derive(PartialEq)]
enum Thing {
    Secret(SecretSource),
    File(PathBuf),
}

struct Looker<'a> {
    loaded: &'a Loaded,
    env: &'a dyn Environment,
    /// What a command that prints one token does not get, as in a run.
    withheld: Vec<String>,
    seen: Vec<Thing>,
    problems: Vec<Problem>,
}

impl Looker<'_> {
    async fn source(&mut self, index: usize, source: &SourceConfig) {
        let key = |key: &str| format!("sources[{index}].{key}");
        self.secret(&key("token"), source.token.as_ref()).await;
        self.ca_file(&key("ca_file"), source.ca_file.as_deref());
        for dir in source.dirs.iter().filter(|dir| !dir.is_dir()) {
            let why = if dir.exists() { "is no directory" } else { "is not there" };
            let message = format!("the directory {} of the source `{}` {why}", dir.display(), source.id);
            self.problem(&key("dirs"), message, "correct its name, or mount it");
        }
    }

    async fn destination(&mut self, destination: &DestinationConfig) {
        let key = |key: &str| origin_key(&destination.id, key);
        self.secret(&key("token"), destination.token.as_ref()).await;
        self.ca_file(&key("ca_file"), destination.ca_file.as_deref());
        self.secret(&key("ssh.passphrase"), destination.ssh.passphrase.as_ref()).await;
        if let Some(path) = &destination.ssh.key_file {
            self.key_file(&key("ssh.key_file"), path);
        }
        let directory = destination.url.as_deref().map(|url| url.strip_prefix("file://").unwrap_or(url));
        if let Some(directory) = directory.filter(|url| url.starts_with('/')) {
            // What stands before the first template is there for all repositories.
            let fixed = directory.split('{').next().unwrap_or_default();
            let fixed = fixed.rsplit_once('/').map_or("", |(folder, _)| folder);
            let what = format!("`url` of the destination `{}`", destination.id);
            self.writable(&key("url"), &what, Path::new(if fixed.is_empty() { "/" } else { fixed }));
        }
    }

    async fn secret(&mut self, key: &str, secret: Option<&SecretSource>) {
        let Some(secret) = secret.filter(|secret| self.is_new(Thing::Secret((*secret).clone()))) else { return };
        if let Err(failure) = secret.read(|name| self.env.var(name), &self.withheld).await {
            let hint = match secret {
                SecretSource::Env(name) => format!("set {name}"),
                SecretSource::File(_) => "write the token into the first line of that file".to_owned(),
                SecretSource::Command(_) => "run the command yourself: its first line must be the token".to_owned(),
                SecretSource::Given(_) => return,
            };
            self.failure(key, &failure, &hint);
        }
    }

    fn ca_file(&mut self, key: &str, path: Option<&Path>) {
        let Some(path) = path.filter(|path| self.is_new(Thing::File(path.to_path_buf()))) else { return };
        if let Err(failure) = client::check_ca_file(path) {
            self.failure(key, &failure, "name a file with certificates in the PEM form");
        }
    }

    fn key_file(&mut self, key: &str, path: &Path) {
        if !self.is_new(Thing::File(path.to_path_buf())) {
            return;
        }
        match std::fs::read(path) {
            Err(error) => {
                let failure = Failure::local(format!("cannot read the key {}", path.display()), &error);
                self.failure(key, &failure, "name the file of a private ssh key");
            }
            Ok(bytes) if !String::from_utf8_lossy(&bytes).contains("PRIVATE KEY-----") => {
                let message = format!("{} is not a private ssh key", path.display());
                self.problem(key, message, "name the private key: the file without `.pub`");
            }
            Ok(_) => {}
        }
    }

    /// A directory that is there and can be written to, or that can be made.
    fn writable(&mut self, key: &str, what: &str, path: &Path) {
        let nearest = path.ancestors().find(|path| path.symlink_metadata().is_ok()).unwrap_or(Path::new("/"));
        if !nearest.is_dir() {
            let message = format!("{what} cannot be {}: {} is no directory", path.display(), nearest.display());
            self.problem(key, message, "name a directory");
        } else if let Err(error) = access(nearest, Access::WRITE_OK | Access::EXEC_OK) {
            let message = format!("{what} cannot be {}: {} cannot be written to", path.display(), nearest.display());
            let error = std::io::Error::from(error);
            self.problem(
                key,
                format!("{message}: {error}"),
                "give this user the right to write there, or name another",
            );
        }
    }

    fn is_new(&mut self, thing: Thing) -> bool {
        let is_new = !self.seen.contains(&thing);
        self.seen.extend(is_new.then_some(thing));
        is_new
    }

    fn failure(&mut self, key: &str, failure: &Failure, hint: &str) {
        let why = failure.evidence().map(|evidence| format!(": {evidence}")).unwrap_or_default();
        self.problem(key, format!("{}{why}", failure.message()), hint);
    }

    fn problem(&mut self, key: &str, message: String, hint: &str) {
        let place = match self.loaded.origins.get(key) {
            SetBy::Default => String::new(),
            set_by => set_by.to_string(),
        };
        self.problems.push(Problem::new(place, message).hint(hint));
    }
}
