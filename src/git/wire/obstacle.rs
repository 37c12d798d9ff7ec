//! What speaks for leaving a remote to git from the first: what only git knows how to honour.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{Unhandled, Wire};
use crate::base::failure::Failure;
use crate::git::{Git, Remote};

/// Variables that git obeys and we do not, by their beginnings.
const VARIABLES: &[&str] = &["GIT_SSL_", "GIT_PROXY_", "GIT_HTTP_"];

/// The one among them that we do obey: the CAs that servers' certificates must come from.
pub(super) const CA_FILE: &str = "GIT_SSL_CAINFO";

/// Variables that name a proxy; curl knows them in small letters, some in capitals.
const PROXIES: &[&str] = &["http_proxy", "https_proxy", "all_proxy"];

/// Words one of which stands in every configuration that has a setting of [`matters`] or [`matters_to_fetches`], be it in a
/// file it includes.
const WORDS: &[&str] =
    &["http", "protocol", "remote", "include", "sharedrepository", "logallrefupdates", "bundleuri", "uriprotocols"];

/// What the settings speak against.
#[derive(Debug, Clone, Default)]
pub(super) struct Obstacles {
    looks: Option<Unhandled>,
    fetches: Option<Unhandled>,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errand {
    Look,
    /// Objects are brought, and files written that git would write.
    Fetch,
}

/// Where a git that lies in `/usr/bin` has the system's configuration.
const SYSTEM: (&str, &str) = ("/usr/bin", "/etc/gitconfig");

impl Git {
    /// Why `remote` is left to git.
    pub(super) async fn obstacle(&self, wire: &Wire, remote: &Remote, errand: Errand) -> Option<Unhandled> {
        if let Some(why) = self.plain_obstacle(remote) {
            return Some(Unhandled(why.to_owned()));
        }
        let found = wire.settings.get_or_init(|| self.settings_obstacles()).await;
        let fetches = found.fetches.as_ref().filter(|_| errand == Errand::Fetch);
        found.looks.as_ref().or(fetches).cloned()
    }

    /// What can be told from the remote and the environment.
    fn plain_obstacle(&self, remote: &Remote) -> Option<&'static str> {
        let is_set = |name: &str| self.variable(name).is_some_and(|value| !value.is_empty());
        let either = |name: &str| is_set(name) || is_set(&name.to_ascii_uppercase());
        let proxy = remote.proxy.as_ref().map(url::Url::scheme);
        Some(match () {
            () if !remote.url.is_http() => "it is not reached over HTTP",
            () if remote.url.to_string().contains(['?', '#']) => "its URL has more than a path",
            () if self
                .environment
                .iter()
                .any(|(name, value)| begins(name, VARIABLES) && (name != CA_FILE || value.is_empty())) =>
            {
                "the environment has settings for git's HTTP"
            }
            () if proxy.is_none() && PROXIES.iter().any(|name| either(name)) => "the environment names a proxy",
            () if proxy.is_some() && either("no_proxy") => "the environment has exceptions from the proxy",
            () if proxy.is_some_and(|scheme| scheme != "http") => "its proxy speaks something else than HTTP",
            // curl looks there for a login when it is given none.
            () if remote.credential().is_none() && self.home(".netrc").is_some_and(|path| path.exists()) => {
                "there is a .netrc"
            }
            () => return None,
        })
    }

    /// Whether any configuration has a say in git's HTTP.
    pub(in crate::git) async fn is_http_configured(&self) -> bool {
        self.settings_obstacles().await.looks.is_some()
    }

    /// What the user's and the system's configuration say; without the files that could, no git is asked.
    async fn settings_obstacles(&self) -> Obstacles {
        match self.files() {
            Some(files) if files.iter().all(|file| says_nothing(file, WORDS)) => return Obstacles::default(),
            _ => {}
        }
        match self.settings().await {
            Ok(settings) => {
                let first = |matters: fn(&str, &str) -> bool| {
                    let mut found = settings.iter().filter(|(key, value)| matters(key, value));
                    found.next().map(|(key, _)| Unhandled(format!("the git configuration sets {key}")))
                };
                Obstacles { looks: first(matters), fetches: first(matters_to_fetches) }
            }
            // What it means for git, git will tell.
            Err(failure) => {
                let why = Unhandled(format!("the git configuration cannot be read: {failure}"));
                Obstacles { looks: Some(why), fetches: None }
            }
        }
    }

    /// The configuration files that git reads outside of any repository; `None` when only git knows.
    pub(super) fn files(&self) -> Option<Vec<PathBuf>> {
        let mut files = match self.variable("GIT_CONFIG_GLOBAL") {
            Some(file) => vec![file.into()],
            None => {
                let config = self.variable("XDG_CONFIG_HOME").filter(|dir| !dir.is_empty());
                let config = config.map(PathBuf::from).or_else(|| self.home(".config"));
                config.map(|dir| dir.join("git/config")).into_iter().chain(self.home(".gitconfig")).collect()
            }
        };
        if let Some(file) = self.variable("GIT_CONFIG_SYSTEM") {
            files.push(file.into());
        } else if self.variable("GIT_CONFIG_NOSYSTEM") != Some(OsStr::new("1")) {
            // Built in; other makers' gits (Apple's, Homebrew's) have it elsewhere, and a script may stand before it.
            if !cfg!(target_os = "linux") || self.program.parent() != Some(Path::new(SYSTEM.0)) {
                return None;
            }
            files.push(SYSTEM.1.into());
        }
        Some(files)
    }

    fn home(&self, path: &str) -> Option<PathBuf> {
        self.variable("HOME").map(|home| Path::new(home).join(path))
    }

    /// All settings but those that we give to each command ourselves.
    pub(super) async fn settings(&self) -> Result<Vec<(String, String)>, Failure> {
        let arguments = ["config", "--list", "-z", "--show-scope"].map(OsStr::new);
        let call = self.call("cannot read the git configuration", None, &arguments);
        let output = self.succeed(call, |_| ()).await?.stdout;
        let text = String::from_utf8_lossy(&output);
        // With --show-scope (git 2.26): `<scope>\0<key>\n<value>\0`, of a key without a value only `<key>\0`.
        let mut fields = text.split_terminator('\0');
        let mut found = Vec::new();
        while let (Some(scope), Some(entry)) = (fields.next(), fields.next()) {
            let (key, value) = entry.split_once('\n').unwrap_or((entry, ""));
            if scope != "command" {
                found.push((key.to_owned(), value.to_owned()));
            }
        }
        Ok(found)
    }
}

fn begins(name: &OsStr, starts: &[&str]) -> bool {
    name.to_str().is_some_and(|name| starts.iter().any(|start| name.starts_with(start)))
}

/// Whether a file has none of the words, or is not there.
pub(super) fn says_nothing(file: &Path, words: &[&str]) -> bool {
    match std::fs::read(file) {
        Ok(text) => {
            let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
            !words.iter().any(|word| text.contains(word))
        }
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Whether a setting may change what `git ls-remote` sends, whom it trusts or what it hears.
///
/// Rewritten URLs do not: each of ours is pinned. Credential helpers do not: git is told to know none.
fn matters(key: &str, value: &str) -> bool {
    // As git prints it: section and name in small letters, the part between as it is.
    let (section, name) = (key.split('.').next().unwrap_or_default(), key.rsplit('.').next().unwrap_or_default());
    match section {
        // How git sends what is large, and how long it waits: not about a list of refs, or set by ourselves.
        "http" => !matches!(name, "postbuffer" | "lowspeedlimit" | "lowspeedtime" | "maxrequests" | "minsessions"),
        "protocol" => match key {
            "protocol.version" => value != "2",
            _ => ["protocol.allow", "protocol.http.allow", "protocol.https.allow"].contains(&key),
        },
        // A remote that is called as its URL.
        "remote" => key.contains("://"),
        _ => false,
    }
}

/// Whether a setting may change what `git clone` and `git fetch` ask for, or the files that they write and we do.
fn matters_to_fetches(key: &str, value: &str) -> bool {
    match key {
        "core.sharedrepository" => !["umask", "false", "0"].contains(&value),
        // Where even a bare repository has a log of its refs.
        "core.logallrefupdates" => !["false", "0"].contains(&value),
        "fetch.bundleuri" | "fetch.uriprotocols" => true,
        "transfer.bundleuri" => value != "false",
        // As if it stood in each mirror.
        _ => key.starts_with("remote.origin."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_a_list_of_refs_matters_and_nothing_else() {
        for (key, value) in [
            ("http.proxy", "http://p"),
            ("http.https://h/.sslverify", "false"),
            ("http.extraheader", "x: y"),
            ("http.https://h/.extraheader", "x: y"),
            ("http.sslcert", "/x"),
            ("http.version", "HTTP/1.1"),
            ("protocol.version", "0"),
            ("protocol.https.allow", "never"),
            ("remote.https://h/x.git.proxy", "http://p"),
        ] {
            assert!(matters(key, value), "{key}");
        }
        for (key, value) in [
            ("http.postbuffer", "524288000"),
            ("protocol.version", "2"),
            ("protocol.file.allow", "always"),
            ("remote.pushdefault", "origin"),
            ("url.git@h:.insteadof", "https://h/"),
            ("credential.https://h.helper", "store"),
            ("user.name", "http"),
        ] {
            assert!(!matters(key, value), "{key}");
        }
    }

    #[test]
    fn what_changes_a_clone_matters_to_fetches() {
        for (key, value) in [
            ("core.sharedrepository", "group"),
            ("core.logallrefupdates", "always"),
            ("fetch.bundleuri", "https://h/bundle"),
            ("fetch.uriprotocols", "https"),
            ("transfer.bundleuri", "true"),
            ("remote.origin.partialclonefilter", "blob:none"),
        ] {
            assert!(matters_to_fetches(key, value) && !matters(key, value), "{key}");
            assert!(WORDS.iter().any(|word| key.contains(word)), "{key} is not looked for");
        }
        for (key, value) in [("core.sharedrepository", "umask"), ("core.autocrlf", "true"), ("fetch.parallel", "4")] {
            assert!(!matters_to_fetches(key, value), "{key}");
        }
    }

    #[test]
    fn a_file_that_may_say_something_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let path = folder.path().join("config");
            std::fs::write(&path, text).unwrap();
            says_nothing(&path, WORDS)
        };
        assert!(says_nothing(&folder.path().join("none"), WORDS));
        assert!(file("[user]\n\tname = x\n[alias]\n\tco = checkout\n"));
        for text in ["[HTTP]\n\tsslVerify = false\n", "[includeIf \"x\"]\n\tpath = y\n", "[Protocol]\n\tversion = 0\n"]
        {
            assert!(!file(text), "{text}");
        }
        assert!(!says_nothing(folder.path(), WORDS), "a directory cannot be read");
    }
}
