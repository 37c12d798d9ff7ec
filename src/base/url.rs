//! Remote URLs as git understands them: parsed once, compared safely, printed without user info.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The storage folder of repositories of this machine, in place of a host's.
pub const LOCAL: &str = "local";

/// Scheme, host and port: what a credential belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Origin {
    pub scheme: String,
    pub host: String,
    /// `None` when it is the scheme's own.
    pub port: Option<u16>,
}

impl Origin {
    /// An origin in its normal form: lower case, the scheme's own port left out.
    pub fn new(scheme: &str, host: &str, port: Option<u16>) -> Self {
        let scheme = scheme.to_ascii_lowercase();
        let port = port.filter(|port| Some(*port) != default_port(&scheme));
        Origin { scheme, host: host.to_ascii_lowercase(), port }
    }

    /// The origin of an HTTP URL.
    pub fn of(url: &url::Url) -> Option<Self> {
        Some(Origin::new(url.scheme(), url.host_str()?, url.port()))
    }

    /// The name of this host's folder in the storage: `host`, or `host_port` when the port is not the scheme's own.
    pub fn folder(&self) -> String {
        // An IPv6 address keeps its digits, without brackets and colons, which file systems and URLs dislike.
        let host = self.host.trim_matches(['[', ']']).replace(':', "-");
        match self.port {
            Some(port) => format!("{host}_{port}"),
            None => host,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Refuses what cannot be a host and would be something else as the name of a folder: `..` leads out of the storage, and
/// `.holocron` is our own place in it.
fn check_host(host: &str) -> Result<(), UrlError> {
    if host.is_empty() {
        return Err(UrlError::NoHost);
    }
    if host.starts_with('.') || host.contains(['/', '\\']) {
        return Err(UrlError::Host(host.to_owned()));
    }
    Ok(())
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "https" => Some(443),
        "http" => Some(80),
        "ssh" => Some(22),
        "git" => Some(9418),
        _ => None,
    }
}

/// Why a text is not a URL that may be handed to git.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("it is empty")]
    Empty,
    #[error("it begins with `-`, which git would read as an option")]
    Option,
    #[error("it has a control character or a line break")]
    Control,
    #[error("the transport `{0}` is not allowed (allowed: https, http, ssh, git, file)")]
    Transport(String),
    #[error("it has no host")]
    NoHost,
    #[error("`{0}` is no name of a host")]
    Host(String),
    #[error("it is not a URL: {0}")]
    Malformed(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Form {
    /// `scheme://[user@]host[:port]/path`, user info already taken apart. Over HTTP the user is not printed.
    Net { origin: Origin, user: Option<String>, path: String },
    /// `[user@]host:path`, ssh's short form.
    Scp { host: String, user: Option<String>, path: String },
    /// A local repository.
    File(PathBuf),
}

/// The URL of a git repository that is safe to hand to git and to print.
///
/// A password in it is dropped when it is parsed (see [`RemoteUrl::parse_with_login`]), and so is a user that looks like a
/// token. Any other user stays; over HTTP it is not printed, as it is no part of what names the repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RemoteUrl(Form);

impl RemoteUrl {
    /// Parses `https://`, `http://`, `ssh://`, `git://`, `file://`, scp-like `user@host:path`, and absolute paths.
    ///
    /// # Errors
    /// Refuses what git would take for an option (`-…`), helper transports (`ext::…`), control characters and unknown
    /// schemes.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        Self::parse_with_secret(text).map(|(url, _)| url)
    }

    /// As [`RemoteUrl::parse`], and returns the password that stood in the URL, if any.
    ///
    /// # Errors
    /// As [`RemoteUrl::parse`].
    pub fn parse_with_secret(text: &str) -> Result<(Self, Option<String>), UrlError> {
        Self::parse_with_login(text).map(|(url, login)| (url, login.map(|login| login.secret)))
    }

    /// As [`RemoteUrl::parse`], and returns the user and password that stood in the URL, if there was a password or token.
    ///
    /// # Errors
    /// As [`RemoteUrl::parse`].
    pub fn parse_with_login(text: &str) -> Result<(Self, Option<UrlLogin>), UrlError> {
        if text.is_empty() {
            return Err(UrlError::Empty);
        }
        if text.starts_with('-') {
            return Err(UrlError::Option);
        }
        if text.chars().any(char::is_control) {
            return Err(UrlError::Control);
        }
        if let Some((helper, _)) = text.split_once("::")
            && !helper.contains(['/', '[', '@'])
        {
            return Err(UrlError::Transport(helper.to_owned()));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Self::net(text, &scheme.to_ascii_lowercase());
        }
        if text.starts_with('/') {
            return Ok((RemoteUrl(Form::File(PathBuf::from(text))), None));
        }
        // As git reads it: a colon before the first slash makes it ssh.
        match text.split_once(':') {
            Some((authority, path)) if !authority.contains('/') => {
                let (user, host) = match authority.rsplit_once('@') {
                    Some((user, host)) => (Some(user.to_owned()), host),
                    None => (None, authority),
                };
                // A host or path that begins with a dash would reach ssh as an option.
                if host.starts_with('-') || path.starts_with('-') || user.as_deref().is_some_and(|u| u.starts_with('-'))
                {
                    return Err(UrlError::Option);
                }
                check_host(host)?;
                let form = Form::Scp { host: host.to_ascii_lowercase(), user, path: path.to_owned() };
                Ok((RemoteUrl(form), None))
            }
            _ => Err(UrlError::Malformed("give a URL with a scheme, user@host:path, or an absolute path".into())),
        }
    }

    fn net(text: &str, scheme: &str) -> Result<(Self, Option<UrlLogin>), UrlError> {
        if scheme == "file" {
            let path = url::Url::parse(text)
                .map_err(|e| UrlError::Malformed(e.to_string()))?
                .to_file_path()
                .map_err(|()| UrlError::Malformed("a file URL needs an absolute path".into()))?;
            return Ok((RemoteUrl(Form::File(path)), None));
        }
        if default_port(scheme).is_none() {
            return Err(UrlError::Transport(scheme.to_owned()));
        }
        let parsed = url::Url::parse(text).map_err(|e| UrlError::Malformed(e.to_string()))?;
        let host = parsed.host_str().filter(|host| !host.is_empty()).ok_or(UrlError::NoHost)?;
        if host.starts_with('-') || parsed.username().starts_with('-') {
            return Err(UrlError::Option);
        }
        check_host(host)?;
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = Some(parsed.username()).filter(|user| !user.is_empty()).map(decode);
        // Over HTTP the "user" may itself be a token.
        let (user, login) = match (scheme, parsed.password()) {
            ("ssh", password) => {
                let login = |secret| UrlLogin { user: user.clone(), secret: decode(secret) };
                let login = password.map(login);
                (user, login)
            }
            (_, Some(password)) if !password.is_empty() => (None, Some(UrlLogin { user, secret: decode(password) })),
            _ => match user {
                Some(token) if looks_like_a_token(&token) => (None, Some(UrlLogin { user: None, secret: token })),
                user => (user, None),
            },
        };
        let mut path = parsed.path().to_owned();
        if let Some(query) = parsed.query() {
            path.push('?');
            path.push_str(query);
        }
        let form = Form::Net { origin: Origin::new(scheme, host, parsed.port()), user, path };
        Ok((RemoteUrl(form), login))
    }

    /// The same path on another server; only for HTTP, other URLs stay as they are.
    pub fn at(self, origin: &Origin) -> Self {
        match self.0 {
            Form::Net { origin: own, user, path } if own.scheme.starts_with("http") => {
                RemoteUrl(Form::Net { origin: origin.clone(), user, path })
            }
            form => RemoteUrl(form),
        }
    }

    /// The URL of a local repository.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        RemoteUrl(Form::File(path.into()))
    }

    /// Where a credential for this URL must belong; `None` for ssh's short form and local paths.
    pub fn origin(&self) -> Option<&Origin> {
        match &self.0 {
            Form::Net { origin, .. } => Some(origin),
            _ => None,
        }
    }

    /// The user in the URL: the login name of ssh, or the one that a password or token over HTTP goes with.
    pub fn user(&self) -> Option<&str> {
        match &self.0 {
            Form::Net { user, .. } | Form::Scp { user, .. } => user.as_deref(),
            Form::File(_) => None,
        }
    }

    /// The same without the user that an HTTP URL names.
    pub fn without_user(self) -> Self {
        match self.0 {
            Form::Net { origin, path, .. } if origin.scheme != "ssh" => {
                RemoteUrl(Form::Net { origin, user: None, path })
            }
            form => RemoteUrl(form),
        }
    }

    /// The local path, when it is one.
    pub fn as_file(&self) -> Option<&Path> {
        match &self.0 {
            Form::File(path) => Some(path),
            _ => None,
        }
    }

    /// The host, lower case; `None` for local paths.
    pub fn host(&self) -> Option<&str> {
        match &self.0 {
            Form::Net { origin, .. } => Some(&origin.host),
            Form::Scp { host, .. } => Some(host),
            Form::File(_) => None,
        }
    }

    /// The storage folder of the host (see [`Origin::folder`]); `local` for local paths.
    pub fn folder(&self) -> String {
        match &self.0 {
            Form::Net { origin, .. } => origin.folder(),
            Form::Scp { host, .. } => Origin::new("ssh", host, None).folder(),
            Form::File(_) => LOCAL.to_owned(),
        }
    }

    /// Whether it is fetched over HTTP or HTTPS.
    pub fn is_http(&self) -> bool {
        matches!(&self.0, Form::Net { origin, .. } if origin.scheme.starts_with("http"))
    }

    /// The path without leading slashes and a trailing `.git`, percent-decoded: `namespace/name`.
    pub fn repo_path(&self) -> String {
        let raw = match &self.0 {
            Form::Net { path, .. } => percent_encoding::percent_decode_str(path.split('?').next().unwrap_or_default())
                .decode_utf8_lossy()
                .into_owned(),
            Form::Scp { path, .. } => path.clone(),
            Form::File(path) => path.to_string_lossy().into_owned(),
        };
        let trimmed = raw.trim_matches('/');
        let trimmed = trimmed.strip_prefix("~").map_or(trimmed, |rest| rest.trim_start_matches('/'));
        trimmed.strip_suffix(".git").unwrap_or(trimmed).trim_end_matches('/').to_owned()
    }

    /// Whether both name the same repository: host and path alike, whatever the scheme, user or `.git` ending.
    ///
    /// Two HTTP ports of one host are two forges; its ssh port says nothing about which of them.
    pub fn same_repo(&self, other: &RemoteUrl) -> bool {
        let ports = |url: &RemoteUrl| url.origin().filter(|_| url.is_http()).map(|origin| origin.port);
        let apart = matches!((ports(self), ports(other)), (Some(one), Some(other)) if one != other);
        !apart && self.host() == other.host() && self.repo_path().eq_ignore_ascii_case(&other.repo_path())
    }
}

/// The text for git's command line and for people: never with a password.
impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Net { origin, user, path } => {
                let user = user
                    .as_ref()
                    .filter(|_| origin.scheme == "ssh")
                    .map(|user| format!("{}@", utf8(user)))
                    .unwrap_or_default();
                write!(f, "{}://{user}{}", origin.scheme, origin.host)?;
                if let Some(port) = origin.port {
                    write!(f, ":{port}")?;
                }
                f.write_str(path)
            }
            Form::Scp { host, user: Some(user), path } => write!(f, "{user}@{host}:{path}"),
            Form::Scp { host, user: None, path } => write!(f, "{host}:{path}"),
            Form::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A user and password that stood in a URL.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlLogin {
    /// `None` when a token stood alone.
    pub user: Option<String>,
    pub secret: String,
}

/// As a `Secret` prints itself.
impl fmt::Debug for UrlLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UrlLogin").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Whether a user without a password is a token rather than a name: by the beginnings that forges give theirs, or because it
/// is a long word with digits in it and none of the signs that divide names.
fn looks_like_a_token(user: &str) -> bool {
    const STARTS: &[&str] =
        &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "gldt-", "glcbt-", "glptt-"];
    let is_word = user.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let has_digit = user.bytes().any(|byte| byte.is_ascii_digit());
    STARTS.iter().any(|start| user.starts_with(start)) || user.len() >= 20 && is_word && has_digit
}

fn utf8(user: &str) -> percent_encoding::PercentEncode<'_> {
    percent_encoding::utf8_percent_encode(user, percent_encoding::NON_ALPHANUMERIC)
}

impl Serialize for RemoteUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RemoteUrl {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        RemoteUrl::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> RemoteUrl {
        RemoteUrl::parse(text).unwrap()
    }

    #[test]
    fn a_password_never_survives_parsing() {
        let (url, secret) = RemoteUrl::parse_with_secret("https://u:p%40ss@H.example/ns/x.git").unwrap();
        assert_eq!(url.to_string(), "https://h.example/ns/x.git");
        assert_eq!(secret.as_deref(), Some("p@ss"));
        for token in ["ghp_token", "glpat-x", "0123456789abcdef0123456789abcdef01234567"] {
            let (url, secret) = RemoteUrl::parse_with_secret(&format!("https://{token}@h/x")).unwrap();
            assert_eq!((url.to_string().as_str(), url.user()), ("https://h/x", None));
            assert_eq!(secret.as_deref(), Some(token));
        }
        assert_eq!(parse("ssh://git@h:2222/ns/x.git").to_string(), "ssh://git@h:2222/ns/x.git");
    }

    #[test]
    fn a_user_is_a_user_and_a_login_is_both() {
        for lone in ["https://jdoe@h/ns/x.git", "https://jdoe:@h/ns/x.git"] {
            let (url, login) = RemoteUrl::parse_with_login(lone).unwrap();
            assert_eq!((url.user(), login), (Some("jdoe"), None));
            assert_eq!(url.to_string(), "https://h/ns/x.git");
        }
        let (url, login) = RemoteUrl::parse_with_login("https://alice:pw@h/ns/x.git").unwrap();
        assert_eq!((url.user(), url.to_string().as_str()), (None, "https://h/ns/x.git"));
        let login = login.unwrap();
        assert_eq!((login.user.as_deref(), login.secret.as_str()), (Some("alice"), "pw"));
        assert!(!format!("{login:?}").contains("pw"));
        assert_eq!(parse("ssh://git@h/x").user(), Some("git"));
    }

    #[test]
    fn what_git_would_take_for_an_option_or_a_helper_is_refused() {
        assert_eq!(RemoteUrl::parse("-oProxyCommand=x"), Err(UrlError::Option));
        assert_eq!(RemoteUrl::parse("ssh://-oProxyCommand=x/y"), Err(UrlError::Option));
        assert_eq!(RemoteUrl::parse("-h:path"), Err(UrlError::Option));
        assert_eq!(RemoteUrl::parse("ext::sh -c id"), Err(UrlError::Transport("ext".into())));
        for text in ["git@..:x/y", "ssh://git@../x", "git@.:x", "ssh://.holocron/x", "https://../x"] {
            assert!(RemoteUrl::parse(text).is_err(), "{text}");
        }
        assert_eq!(RemoteUrl::parse("ftp://h/x"), Err(UrlError::Transport("ftp".into())));
        assert_eq!(RemoteUrl::parse("https://h/x\ny"), Err(UrlError::Control));
    }

    #[test]
    fn the_origin_and_folder_leave_out_the_schemes_own_port() {
        assert_eq!(parse("https://H:443/x").folder(), "h");
        assert_eq!(parse("https://h:8443/x").folder(), "h_8443");
        assert_eq!(parse("https://h:8443/x").origin().unwrap().to_string(), "https://h:8443");
        assert_eq!(parse("git@h:ns/x.git").folder(), "h");
        assert_eq!(parse("/srv/x").folder(), "local");
        assert_eq!(parse("http://[::1]:80/x").folder(), "--1");
    }

    #[test]
    fn two_spellings_of_one_repository_are_the_same() {
        assert!(parse("https://h/ns/x.git").same_repo(&parse("git@h:ns/X")));
        assert!(parse("ssh://git@h:22/ns/x").same_repo(&parse("https://u:p@h/ns/x.git/")));
        assert!(parse("http://h/ns/x").same_repo(&parse("https://h/ns/x")));
        assert!(parse("https://h:8443/ns/x").same_repo(&parse("ssh://git@h:2222/ns/x")));
        assert!(!parse("https://h:8443/ns/x").same_repo(&parse("https://h/ns/x")));
        assert!(!parse("https://h/ns/x").same_repo(&parse("https://h.evil/ns/x")));
        assert!(!parse("https://h/ns/x").same_repo(&parse("https://h/other/x")));
    }
}
