//! Redirects with a credential: followed on the same scheme, host and port, and nowhere else.
//!
//! With a credential git must follow no redirect: git 2.47 sends the login to the other host, too. A server that only sends
//! us to another path of its own (GitLab, for a URL without `.git`; a renamed repository) is followed here. Where it sends
//! us is read from git's own trace, so that proxies and certificates are as with any other request.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::{Mutex, PoisonError};

use super::{Call, Git, Remote};
use crate::base::failure::{Failure, Reason};
use crate::base::url::{Origin, RemoteUrl};

/// How a redirect is recognised; the reason is not enough, because a 404 has the same one.
const REDIRECTED: &str = "The requested URL returned error: 30";
/// How often one repository may send us on.
const MOST: usize = 5;
/// What stands behind the URL of a repository in the first request.
const QUESTION: &str = "/info/refs?service=git-upload-pack";

/// Where the repositories are that have sent us on in this run.
#[derive(Debug, Default)]
pub(super) struct Moved(Mutex<HashMap<RemoteUrl, RemoteUrl>>);

/// What a `Location` comes to.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// The same repository at the same server.
    Here(RemoteUrl),
    /// A page where people log in.
    Login(String),
    /// Another server, or something that is no repository.
    Elsewhere(String),
}

impl Git {
    /// The remote as it is reached, after the redirects that were followed before.
    pub(super) fn followed(&self, remote: &Remote) -> Remote {
        let moved = self.moved.0.lock().unwrap_or_else(PoisonError::into_inner);
        let url = moved.get(&remote.url).unwrap_or(&remote.url).clone();
        Remote { url, ..remote.clone() }
    }

    /// Does `work` at `remote`, again where the server sends us to another path of its own.
    ///
    /// # Errors
    /// What `work` says; of a redirect that is not followed, where it leads.
    pub(super) async fn follow<T, W>(&self, remote: &Remote, mut work: impl FnMut(Remote) -> W) -> Result<T, Failure>
    where
        W: Future<Output = Result<T, Failure>>,
    {
        let mut at = self.followed(remote);
        for _ in 0..MOST {
            let failure = match work(at.clone()).await {
                Err(failure) if is_redirect(&failure) && at.credential().is_some() => failure,
                done => return done,
            };
            match Box::pin(self.ask_the_way(&at)).await {
                Some(Way::Here(url)) if url != at.url => {
                    tracing::debug!(from = %at.url, to = %url, "followed a redirect");
                    let mut moved = self.moved.0.lock().unwrap_or_else(PoisonError::into_inner);
                    moved.insert(remote.url.clone(), url.clone());
                    at.url = url;
                }
                Some(Way::Login(to)) => {
                    return Err(failure
                        .with_reason(Reason::AuthFailed)
                        .within(format!("the server sends us to its login page {to}")));
                }
                Some(Way::Elsewhere(to)) => {
                    let hint = format!(
                        "the server sends us to {to}, which gets no token; if the repository was renamed or moved there, correct its URL."
                    );
                    return Err(failure.within(format!("redirected to {to}")).with_hint(hint));
                }
                Some(Way::Here(_)) | None => return Err(failure),
            }
        }
        Err(Failure::new(Reason::ServerError, format!("{}: more than {MOST} redirects", remote.url)))
    }

    /// Asks once more, by git, and reads where the server sends us.
    async fn ask_the_way(&self, remote: &Remote) -> Option<Way> {
        let url = remote.url.to_string();
        let arguments = ["ls-remote", "--", &url].map(OsStr::new);
        let mut call = Call { remote: Some(remote), ..self.call("cannot find where the source is", None, &arguments) };
        // Headers only; git masks the credential in them (`GIT_TRACE_REDACT`, on by itself), and nothing but one of them is read.
        call.command.envs([("GIT_TRACE_CURL", "2"), ("GIT_TRACE_CURL_NO_DATA", "1"), ("GIT_TRACE_REDACT", "1")]);
        let trace = self.run(call, |_| ()).await.ok()?.stderr;
        way(&remote.url, location(&trace)?)
    }
}

fn is_redirect(failure: &Failure) -> bool {
    failure.evidence().is_some_and(|line| line.contains(REDIRECTED))
}

/// The first `Location` in a trace: git 2.47 prints `07:24:09.8 http.c:844   <= Recv header: Location: https://h/y`.
fn location(trace: &str) -> Option<&str> {
    trace.lines().find_map(|line| {
        let (name, value) = line.split_once("<= Recv header: ")?.1.split_once(':')?;
        name.eq_ignore_ascii_case("location").then_some(value.trim())
    })
}

fn way(from: &RemoteUrl, location: &str) -> Option<Way> {
    let base = from.to_string();
    let asked = url::Url::parse(&format!("{}{QUESTION}", base.trim_end_matches('/'))).ok()?;
    let to = asked.join(location).ok()?;
    let mut shown = to.clone();
    shown.set_query(None);
    // Nothing that could be a login is shown.
    let _ = (shown.set_username(""), shown.set_password(None));
    let shown = shown.to_string();
    let is_same = Origin::of(&to).as_ref() == from.origin();
    let page = to.path().trim_end_matches('/');
    if is_same && (page.ends_with("/sign_in") || page.ends_with("/login")) {
        return Some(Way::Login(shown));
    }
    let repository = to.as_str().strip_suffix(QUESTION).and_then(|text| RemoteUrl::parse(text).ok());
    Some(match repository {
        Some(url) if is_same => Way::Here(url),
        _ => Way::Elsewhere(shown),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_server_is_followed() {
        let from = RemoteUrl::parse("https://h:8443/ns/x").unwrap();
        let to = |location: &str| way(&from, location).unwrap();
        let here = |url: &str| Way::Here(RemoteUrl::parse(url).unwrap());
        assert_eq!(to("https://h:8443/ns/x.git/info/refs?service=git-upload-pack"), here("https://h:8443/ns/x.git"));
        assert_eq!(to("/ns/y.git/info/refs?service=git-upload-pack"), here("https://h:8443/ns/y.git"));
        for elsewhere in [
            "https://h/ns/x.git/info/refs?service=git-upload-pack",
            "http://h:8443/ns/x.git/info/refs?service=git-upload-pack",
            "https://evil:8443/ns/x.git/info/refs?service=git-upload-pack",
            "https://h:8443/ns/x",
        ] {
            assert!(matches!(to(elsewhere), Way::Elsewhere(_)), "{elsewhere}");
        }
        let shown = "https://evil/x?token=canary";
        assert_eq!(to("https://u:canary@evil/x?token=canary"), Way::Elsewhere("https://evil/x".into()), "{shown}");
        assert!(matches!(to("/users/sign_in"), Way::Login(_)));
    }

    #[test]
    fn the_location_is_found_in_gits_trace() {
        let trace = "07:24:09.84 http.c:844  <= Recv header, 0000000034 bytes (0x22)\n\
            07:24:09.84 http.c:856  <= Recv header: HTTP/1.1 301 Moved Permanently\n\
            07:24:09.84 http.c:856  <= Recv header: location: /ns/y.git/info/refs?service=git-upload-pack\n";
        assert_eq!(location(trace), Some("/ns/y.git/info/refs?service=git-upload-pack"));
        assert_eq!(location("07:24 http.c:856 => Send header: Location: x\n"), None);
    }
}
