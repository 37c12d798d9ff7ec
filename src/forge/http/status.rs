//! What a server's refusal means: HTTP status, headers and body to a [`Failure`].

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value;

use crate::base::failure::{Failure, Reason};
use crate::base::secret::Secret;
use crate::forge::http::limits;

/// Characters of a server's words that are worth showing.
const LONGEST_QUOTE: usize = 200;

/// The failure that an answer other than a success stands for; `what` names the request (`GET https://…`).
///
/// Sources: GitHub "Best practices" and "Rate limits for the REST API" (403 and 429, secondary limits, `block` in the
/// body of a blocked repository), GitLab "Rate limits", RFC 9110 and 7725.
pub(in crate::forge) fn failure(
    what: &str,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    token: Option<&Secret>,
) -> Failure {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let words = json.as_ref().and_then(message).unwrap_or_else(|| quote(body));
    let says = |reason, text: &str| Failure::new(reason, format!("{what}: {text} ({})", status.as_u16()));
    let failure = match status.as_u16() {
        401 if token.is_some() => says(Reason::AuthFailed, "the server refused the token"),
        401 => says(Reason::AuthFailed, "the server asks for a token"),
        403 | 429 if is_rate_limit(status, headers, &words) => {
            let wait = limits::asked_wait(headers, Timestamp::now());
            let wait = wait.or_else(|| says_secondary(&words).then_some(limits::SECONDARY_LIMIT_WAIT));
            let text = match wait {
                Some(wait) => format!("the server asks for fewer requests, {}", limits::until_reset(wait)),
                None => "the server asks for fewer requests".to_owned(),
            };
            says(Reason::RateLimited, &text).with_retry_after(wait)
        }
        403 if json.as_ref().is_some_and(|body| body.get("block").is_some()) => blocked(&says),
        403 => match single_sign_on(headers) {
            true => says(Reason::Forbidden, "the organisation wants single sign-on")
                .with_hint("authorise the token for the organisation's single sign-on in the token's settings."),
            false => says(Reason::Forbidden, "the server refuses this to the token"),
        },
        404 | 410 => says(Reason::RemoteNotFound, "the server knows nothing there"),
        407 => says(Reason::NetworkFailed, "the proxy asks for a login"),
        408 => says(Reason::TimedOut, "the server gave up waiting"),
        451 => blocked(&says),
        500..=599 => says(Reason::ServerError, "the server failed")
            .with_retry_after(limits::retry_after(headers, Timestamp::now())),
        _ => says(Reason::Unknown, "an answer that means nothing to us"),
    };
    let failure = failure.with_evidence(words);
    match token {
        Some(token) => token.refused(failure),
        None => failure,
    }
}

fn blocked(says: &dyn Fn(Reason, &str) -> Failure) -> Failure {
    says(Reason::Blocked, "the forge blocks access for legal reasons")
}

fn is_rate_limit(status: StatusCode, headers: &HeaderMap, words: &str) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || headers.contains_key(reqwest::header::RETRY_AFTER)
        || limits::used_up(headers)
        || says_secondary(words)
}

/// GitHub: "You have exceeded a secondary rate limit", before 2022 "You have triggered an abuse detection mechanism".
fn says_secondary(words: &str) -> bool {
    words.contains("secondary rate limit") || words.contains("abuse detection mechanism")
}

/// GitHub sends `X-GitHub-SSO: required; url=…` when an organisation wants single sign-on.
fn single_sign_on(headers: &HeaderMap) -> bool {
    headers.get("x-github-sso").is_some_and(|value| value.as_bytes().starts_with(b"required"))
}

/// The failure of an answer that is not what the API promises: its content type and beginning are the evidence.
pub(in crate::forge) fn nonsense(what: &str, why: &str, headers: &HeaderMap, body: &[u8]) -> Failure {
    let kind = headers.get(CONTENT_TYPE).map_or("no content type".to_owned(), |kind| quote(kind.as_bytes()));
    Failure::new(Reason::ServerError, format!("{what}: {why}"))
        .with_evidence(format!("{kind}: {}", quote(body)))
        .with_hint("see whether `api_url` is the API's base, and whether something stands between here and the server.")
}

/// The server's own words in a JSON body, on one line and short enough to be shown.
fn message(body: &Value) -> Option<String> {
    let words = gathered(body);
    (!words.is_empty()).then(|| quote(words.as_bytes()))
}

/// All that a JSON body says about an error; `None` when it is no JSON object.
pub(in crate::forge) fn words(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.is_object().then(|| gathered(&body))
}

/// `message` (all; GitLab's may be an object of lists), `error` and `error_description` (GitLab), `errors` (GitHub's are
/// objects, Gitea's and some of GitHub's are texts).
fn gathered(body: &Value) -> String {
    let main = ["message", "error_description", "error"].iter().find_map(|key| body.get(key).filter(|v| !v.is_null()));
    let mut said = Vec::new();
    main.iter().for_each(|value| texts(value, "", &mut said));
    body.get("errors").iter().for_each(|value| texts(value, "", &mut said));
    said.join("; ")
}

/// Collects the texts in `value`; those below a key are shown with it (`name has already been taken`).
fn texts(value: &Value, key: &str, said: &mut Vec<String>) {
    match value {
        Value::String(text) if key.is_empty() => said.push(text.clone()),
        Value::String(text) => said.push(format!("{key} {text}")),
        Value::Array(values) => values.iter().for_each(|value| texts(value, key, said)),
        // One of GitHub's: its text where it has one, else what is wrong with which field.
        Value::Object(error) if error.contains_key("code") => match error.get("message").and_then(Value::as_str) {
            Some(text) => said.push(text.to_owned()),
            None => {
                let part = |name| error.get(name).and_then(Value::as_str).unwrap_or_default();
                said.push(format!("{} {} {}", part("resource"), part("field"), part("code")));
            }
        },
        Value::Object(fields) => fields.iter().for_each(|(key, value)| texts(value, key, said)),
        _ => {}
    }
}

/// The beginning of a text on one line, without anything a terminal would obey.
pub(in crate::forge) fn quote(text: &[u8]) -> String {
    // A multiple of what is shown is enough to collapse white space; a body may be megabytes.
    let head = String::from_utf8_lossy(&text[..text.len().min(8 * LONGEST_QUOTE)]).into_owned();
    // Mask before cutting: a secret cut in half is no longer known.
    let head = crate::base::redact::redact(&head);
    let line = head.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn told(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Failure {
        let headers = headers
            .iter()
            .map(|(k, v)| (k.parse::<reqwest::header::HeaderName>().unwrap(), v.parse().unwrap()))
            .collect();
        failure("GET https://h/x", StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes(), None)
    }

    #[test]
    fn each_status_leads_to_its_reason() {
        for (status, reason) in [
            (400, Reason::Unknown),
            (401, Reason::AuthFailed),
            (403, Reason::Forbidden),
            (404, Reason::RemoteNotFound),
            (408, Reason::TimedOut),
            (410, Reason::RemoteNotFound),
            (429, Reason::RateLimited),
            (451, Reason::Blocked),
            (500, Reason::ServerError),
            (503, Reason::ServerError),
        ] {
            assert_eq!(told(status, &[], r#"{"message":"no"}"#).reason(), reason, "{status}");
        }
    }

    #[tokio::test]
    async fn a_refusal_says_where_its_token_was_read() {
        let token = crate::base::secret::SecretSource::Env("WORK_TOKEN".into());
        let token = token.read(|_| Some("s3cret-of-work".into()), &[]).await.unwrap();
        for (status, names_it) in [(401, true), (403, true), (404, false), (500, false)] {
            let status = StatusCode::from_u16(status).unwrap();
            let failure = failure("GET https://h/x", status, &HeaderMap::new(), b"{}", Some(&token));
            let place = "(the token is read from the environment variable WORK_TOKEN)";
            assert_eq!(failure.message().ends_with(place), names_it, "{failure}");
        }
    }

    #[test]
    fn a_used_up_limit_says_when_it_ends() {
        let limit = told(429, &[("retry-after", "5400")], "{}");
        assert!(limit.message().contains("the server asks for fewer requests, until 2"), "{limit}");
        assert!(limit.message().contains(" UTC (5400 s)"), "{limit}");
    }

    #[test]
    fn a_403_is_a_limit_a_block_or_a_refusal() {
        let limit = told(403, &[("x-ratelimit-remaining", "0"), ("ratelimit-reset", "5")], "{}");
        assert_eq!((limit.reason(), limit.retry_after()), (Reason::RateLimited, Some(Duration::from_secs(5))));
        let limit = told(403, &[("retry-after", "9")], "{}");
        assert_eq!((limit.reason(), limit.retry_after()), (Reason::RateLimited, Some(Duration::from_secs(9))));
        let limit = told(403, &[], r#"{"message":"You have exceeded a secondary rate limit. Please wait."}"#);
        assert_eq!((limit.reason(), limit.retry_after()), (Reason::RateLimited, Some(Duration::from_secs(60))));
        let block = told(403, &[], r#"{"message":"Repository access blocked","block":{"reason":"dmca"}}"#);
        assert_eq!(block.reason(), Reason::Blocked);
        let refused = told(403, &[("x-ratelimit-remaining", "41")], r#"{"message":"Must have admin rights"}"#);
        assert_eq!(refused.reason(), Reason::Forbidden);
        let sso = told(403, &[("x-github-sso", "required; url=https://github.com/orgs/a/sso?x=1")], "{}");
        assert!(sso.reason() == Reason::Forbidden && sso.hint().unwrap().contains("single sign-on"));
    }

    #[test]
    fn the_words_of_each_forge_are_found_wherever_it_puts_them() {
        for (body, words) in [
            (r#"{"message":"Not Found","documentation_url":"x"}"#, "Not Found"),
            (
                r#"{"message":"Repository creation failed.","errors":[{"resource":"Repository","code":"custom",
                    "field":"name","message":"name already exists on this account"}]}"#,
                "Repository creation failed.; name already exists on this account",
            ),
            (
                r#"{"message":"Validation Failed","errors":[{"resource":"Ref","field":"x","code":"invalid"}]}"#,
                "Validation Failed; Ref x invalid",
            ),
            (r#"{"message":"Invalid","errors":["No team"]}"#, "Invalid; No team"),
            (
                r#"{"message":{"name":["has already been taken"],"path":["is bad","is long"]}}"#,
                "name has already been taken; path is bad; path is long",
            ),
            (r#"{"error":"404 Not Found"}"#, "404 Not Found"),
            (r#"{"errors":["no org"],"message":"GetOrgByName","url":"u"}"#, "GetOrgByName; no org"),
            (r#"{"errors":null,"message":"gone"}"#, "gone"),
        ] {
            assert_eq!(super::words(body.as_bytes()).as_deref(), Some(words));
            assert_eq!(told(422, &[], body).evidence(), Some(words));
        }
        assert_eq!(super::words(b"<html>"), None);
    }

    #[test]
    fn the_servers_words_are_quoted_short_masked_and_harmless() {
        let body = format!("<html>\u{1b}[2J\n<p>token=ghp_{} </p>{}", "a".repeat(36), "x".repeat(9000));
        let failure = nonsense("GET https://h/x", "not JSON", &HeaderMap::new(), body.as_bytes());
        let evidence = failure.evidence().unwrap();
        assert!(evidence.starts_with("no content type: <html> [2J <p>token=***"), "{evidence}");
        assert!(evidence.chars().count() < 230 && !evidence.contains("aaaa"), "{evidence}");
    }
}
