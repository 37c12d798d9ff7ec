//! The configuration as text: effective values with their origin, what a check found, and the JSON schema.

use std::fmt::{Display, Write as _};
use std::path::Path;

use super::destination::{DestinationConfig, SshConfig};
use super::destinations::origin_key;
use super::environment::Environment;
use super::releases::Releases;
use super::values::span_text;
use super::{CloneUrls, ColorChoice, Loaded, SetBy, SourceConfig, Transport};
use crate::base::redact::redact;
use crate::base::secret::SecretSource;

/// The JSON schema of `holocron.yaml`, for editors.
pub fn schema() -> String {
    format!("{:#}\n", super::schema::published())
}

/// What a configuration without problems contains, in a few lines.
pub fn check(loaded: &Loaded, env: &dyn Environment) -> String {
    let mut text = match &loaded.file {
        Some(file) => format!("ok: {}\n", file.display()),
        None => "ok: no configuration file, only flags and environment\n".to_owned(),
    };
    line(&mut text, format!("storage: {}", loaded.config.storage.display()));
    line(&mut text, format!("sources: {}", loaded.config.sources.len()));
    for source in &loaded.config.sources {
        let place = match (&source.api_url, source.dirs.len(), source.urls.len()) {
            (Some(api), _, _) => api.to_string(),
            (None, 0, urls) => format!("{urls} URLs"),
            (None, dirs, _) => format!("{dirs} directories"),
        };
        let token = match &source.token {
            Some(token) => format!(", token from {}", token_text(token, env)),
            None if source.kind.is_forge() => ", without a token: public repositories only".to_owned(),
            None => String::new(),
        };
        line(&mut text, format!("  {}: {} {place}{token}", source.id, source.kind));
    }
    match loaded.config.destinations.len() {
        0 => line(&mut text, "destinations: none, the mirrors stay on this machine"),
        count => line(&mut text, format!("destinations: {count}")),
    }
    for destination in &loaded.config.destinations {
        let place = destination.api_url.as_ref().map(url::Url::as_str).or(destination.url.as_deref());
        let namespace = match destination.namespace.as_str() {
            _ if destination.url.is_some() => String::new(),
            "" => ", the token's own user".to_owned(),
            namespace => format!(", {namespace}"),
        };
        let token = destination.token.as_ref().map(|token| format!(", token from {}", token_text(token, env)));
        let (id, kind) = (&destination.id, destination.kind);
        let (place, token) = (place.unwrap_or_default(), token.unwrap_or_default());
        line(&mut text, format!("  {id}: {kind} {place}{namespace}{token}"));
    }
    redact(&text)
}

/// The effective values as a configuration file, each with its origin in a comment.
///
/// No secret is read for it. What is shown can be read back, except that a token's command is masked, for it may have
/// the token in it.
pub fn show(loaded: &Loaded, env: &dyn Environment) -> String {
    let config = &loaded.config;
    let mut text = String::new();
    if let Some(file) = &loaded.file {
        line(&mut text, format!("# file: {}", file.display()));
    }
    let mut top = Lines { loaded, prefix: "", indent: "", text: &mut text };
    top.value("storage", path(&config.storage));
    top.value("concurrency", config.concurrency);
    top.value("per_host", config.per_host);
    let limits = &config.limits;
    top.value("memory", limits.memory.map_or("null".to_owned(), |bytes| bytes.to_string()));
    top.value("bytes_per_second", limits.bytes_per_second.map_or("null".to_owned(), |bytes| bytes.to_string()));
    top.value("requests_per_second", limits.requests_per_second.map_or("null".to_owned(), |rate| rate.to_string()));
    top.value("nice", limits.nice.map_or("null".to_owned(), |nice| nice.to_string()));
    top.value("ionice", limits.ionice.map_or("null", super::IoNice::as_str));
    top.value("maintenance", span_text(limits.maintenance));
    top.value("interval", span_text(config.interval));
    top.value("window", span_text(config.window));
    top.value("full_every", span_text(config.full_every));
    top.value("stale_after", span_text(config.stale_after));
    top.value("keep", config.keep);
    top.value("checkout", config.checkout);
    top.value("releases", Releases(config.releases.clone()));
    top.value("asset_tmp_max", config.asset_tmp_max);
    top.value("timeout", span_text(config.timeout));
    top.value("time_limit", config.time_limit.map_or("null".to_owned(), span_text));
    top.value("transport", word(config.transport));
    top.value("report", config.output.report.as_deref().map_or("null".to_owned(), path));
    top.value("color", color(config.output.color));
    top.value("accept_deletions", list(&config.accept_deletions));
    line(&mut text, "cliff:");
    let mut cliff = Lines { loaded, prefix: "cliff.", indent: "  ", text: &mut text };
    cliff.value("percent", config.cliff.percent);
    cliff.value("min_refs", config.cliff.min_refs);
    line(&mut text, if config.sources.is_empty() { "sources: []" } else { "sources:" });
    for (index, one) in config.sources.iter().enumerate() {
        source(&mut text, loaded, index, one, env);
    }
    line(&mut text, if config.destinations.is_empty() { "destinations: []" } else { "destinations:" });
    for one in &config.destinations {
        destination(&mut text, loaded, one, env);
    }
    if let Some(run_from) = &config.run_from {
        line(&mut text, "run_from:");
        let mut lines = Lines { loaded, prefix: "run_from.", indent: "  ", text: &mut text };
        lines.value("forge", scalar(&run_from.forge));
        lines.value("otherwise", word(run_from.otherwise));
    }
    run_settings(&mut text, loaded);
    redact(&text)
}

fn source(text: &mut String, loaded: &Loaded, index: usize, source: &SourceConfig, env: &dyn Environment) {
    line(text, format!("  - id: {}", scalar(&source.id)));
    let prefix = format!("sources[{index}].");
    let mut lines = Lines { loaded, prefix: &prefix, indent: "    ", text };
    lines.plain("kind", source.kind);
    if let Some(api) = &source.api_url {
        lines.value("api_url", scalar(api.as_str()));
    }
    if source.kind != crate::model::ForgeKind::Dir {
        lines.secret("token", source.token.as_ref(), env);
        lines.value("user", scalar(&source.user));
    }
    if source.kind.is_forge() {
        lines.value("owners", list(&source.owners));
        lines.value("transport", if source.transport == Transport::Ssh { "ssh" } else { "https" });
        lines.value("clone_urls", if source.clone_urls == CloneUrls::ApiHost { "api-host" } else { "listed" });
    }
    lines.value("include", list(&source.filters.include));
    lines.value("exclude", list(&source.filters.exclude));
    if source.kind.is_forge() {
        lines.value("forks", source.filters.forks);
        lines.value("archived", source.filters.archived);
        let names = source.filters.visibility.iter().map(|visibility| format!("{visibility:?}").to_lowercase());
        lines.value("visibility", list(&names.collect::<Vec<_>>()));
        lines.value("topics", list(&source.filters.topics));
        lines.value("max_size", source.filters.max_size_kib.map_or("null".to_owned(), size));
    }
    if let Some(file) = &source.ca_file {
        lines.value("ca_file", path(file));
    }
    if let Some(proxy) = &source.proxy {
        lines.value("proxy", scalar(proxy.as_str()));
    }
    if !source.dirs.is_empty() {
        lines.value("dirs", list(&source.dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>()));
    }
    if !source.urls.is_empty() {
        lines.value("urls", list(&source.urls.iter().map(ToString::to_string).collect::<Vec<_>>()));
    }
}

fn destination(text: &mut String, loaded: &Loaded, destination: &DestinationConfig, env: &dyn Environment) {
    line(text, format!("  - id: {}", scalar(&destination.id)));
    let prefix = origin_key(&destination.id, "");
    let mut lines = Lines { loaded, prefix: &prefix, indent: "    ", text };
    lines.value("kind", destination.kind);
    if let Some(api) = &destination.api_url {
        lines.value("api_url", scalar(api.as_str()));
    }
    if let Some(url) = &destination.url {
        lines.value("url", scalar(url));
    }
    lines.secret("token", destination.token.as_ref(), env);
    lines.value("user", scalar(&destination.user));
    if destination.url.is_none() {
        match destination.namespace.as_str() {
            "" => lines.value("namespace", "null"),
            namespace => lines.value("namespace", scalar(namespace)),
        }
        lines.value("name", scalar(&destination.name));
        lines.value("visibility", word(destination.visibility));
        lines.value("protected_branches", word(destination.protected_branches));
        lines.value("transport", if destination.transport == Transport::Ssh { "ssh" } else { "https" });
    }
    lines.value("create", destination.create);
    lines.value("refs", destination.refs);
    lines.value("divergence", word(destination.divergence));
    lines.value("protect", destination.protect.as_deref().map_or("null".to_owned(), list));
    lines.value("rolling", list(&destination.rolling));
    lines.value("prune", destination.prune);
    lines.value("releases", Releases(destination.releases.clone()));
    lines.value("include", list(&destination.include));
    lines.value("exclude", list(&destination.exclude));
    if let Some(file) = &destination.ca_file {
        lines.value("ca_file", path(file));
    }
    if let Some(proxy) = &destination.proxy {
        lines.value("proxy", scalar(proxy.as_str()));
    }
    if destination.ssh != SshConfig::default() {
        line(lines.text, "    ssh:");
        let prefix = origin_key(&destination.id, "ssh.");
        let mut lines = Lines { loaded, prefix: &prefix, indent: "      ", text: lines.text };
        lines.value("known_hosts", word(destination.ssh.known_hosts));
        if let Some(file) = &destination.ssh.key_file {
            lines.value("key_file", path(file));
        }
        lines.secret("passphrase", destination.ssh.passphrase.as_ref(), env);
    }
}

/// What only flags and environment can say; it has no place in a file and is shown as comments.
fn run_settings(text: &mut String, loaded: &Loaded) {
    let config = &loaded.config;
    line(text, "# this run:");
    let mut lines = Lines { loaded, prefix: "", indent: "#   ", text };
    lines.value("watch", config.watch);
    lines.value("full", config.full);
    lines.value("dry_run", config.dry_run);
    lines.value("wait", config.wait);
    lines.value("json", config.output.json);
    lines.value("quiet", config.output.quiet);
    lines.value("verbose", config.output.verbose);
}

/// Writes `key: value  # origin` lines of one map.
struct Lines<'a> {
    loaded: &'a Loaded,
    prefix: &'a str,
    indent: &'a str,
    text: &'a mut String,
}

impl Lines<'_> {
    fn value(&mut self, key: &str, value: impl Display) {
        let set_by: &SetBy = self.loaded.origins.get(&format!("{}{key}", self.prefix));
        self.commented(key, &value.to_string(), set_by);
    }

    /// Where a secret is read from; a command is masked, for it may have the secret in it.
    fn secret(&mut self, key: &str, secret: Option<&SecretSource>, env: &dyn Environment) {
        let Some(secret) = secret else { return };
        let masked = match secret {
            SecretSource::Env(name) => format!("{{env: {name}}}"),
            SecretSource::File(file) => format!("{{file: {}}}", path(file)),
            SecretSource::Command(_) => "{command: \"***\"}".to_owned(),
            // No file, flag or variable makes one.
            SecretSource::Given(_) => "***".to_owned(),
        };
        let set_by = self.loaded.origins.get(&format!("{}{key}", self.prefix));
        self.commented(key, &masked, format!("{set_by}; {}", token_text(secret, env)));
    }

    fn commented(&mut self, key: &str, value: &str, comment: impl Display) {
        let start = format!("{}{key}: {value}", self.indent);
        line(self.text, format!("{start:<40}  # {comment}"));
    }

    fn plain(&mut self, key: &str, value: impl Display) {
        line(self.text, format!("{}{key}: {value}", self.indent));
    }
}

fn line(text: &mut String, line: impl Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

fn token_text(token: &SecretSource, env: &dyn Environment) -> String {
    match token {
        SecretSource::Env(name) => {
            let set = env.var(name).is_some_and(|value| !value.trim().is_empty());
            format!("{token} ({})", if set { "set" } else { "not set" })
        }
        SecretSource::File(_) | SecretSource::Command(_) | SecretSource::Given(_) => token.to_string(),
    }
}

/// A choice as it is written in the file.
fn word(choice: impl serde::Serialize) -> String {
    match serde_json::to_value(choice) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(_) | Err(_) => "null".to_owned(),
    }
}

fn color(choice: ColorChoice) -> &'static str {
    match choice {
        ColorChoice::Auto => "auto",
        ColorChoice::Always => "always",
        ColorChoice::Never => "never",
    }
}

fn path(path: &Path) -> String {
    scalar(&path.display().to_string())
}

fn list(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| scalar(value)).collect();
    format!("[{}]", values.join(", "))
}

fn size(kib: u64) -> String {
    match kib {
        kib if kib > 0 && kib.is_multiple_of(1 << 20) => format!("{}GiB", kib >> 20),
        kib if kib > 0 && kib.is_multiple_of(1 << 10) => format!("{}MiB", kib >> 10),
        kib => format!("{kib}KiB"),
    }
}

/// A text as YAML: plain where it cannot be misread, else in JSON's quotes, which YAML understands.
fn scalar(text: &str) -> String {
    let text = text.replace("${", "$${");
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-@+".contains(c))
        && !["true", "false", "null", "y", "n", "yes", "no", "on", "off"].contains(&text.to_ascii_lowercase().as_str());
    if is_plain { text } else { serde_json::Value::String(text).to_string() }
}
