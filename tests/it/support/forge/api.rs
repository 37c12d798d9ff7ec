//! What the three APIs share: who asks, paging, ETags.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;

use super::log::Request;
use super::model::{Model, Record};

/// A request on its way through one API.
pub(super) struct Ask<'a> {
    pub(super) request: &'a Request,
    pub(super) model: &'a Model,
    /// `http://host:port` of the forge.
    pub(super) base: &'a str,
    /// Who asks; `None` for anybody.
    pub(super) viewer: Option<String>,
    /// The decoded parts of the path behind the API's root.
    pub(super) segments: Vec<String>,
}

/// An answer of an API.
pub(super) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
    /// A page in place of the JSON.
    html: Option<String>,
}

impl Reply {
    pub(super) fn new(status: u16, body: Value) -> Self {
        Reply { status, headers: Vec::new(), body, html: None }
    }

    pub(super) fn ok(body: Value) -> Self {
        Self::new(200, body)
    }

    /// A page for people, as some servers send when they fail.
    pub(super) fn html(status: u16, page: &str) -> Self {
        Reply { html: Some(page.to_owned()), ..Self::new(status, Value::Null) }
    }

    /// The same answer with another status.
    pub(super) fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    pub(super) fn header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// Adds the ETag of the body, and leaves the body out when the client has it already.
    pub(super) fn tagged(mut self, request: &Request) -> Self {
        if self.status != 200 {
            return self;
        }
        let mut hasher = DefaultHasher::new();
        self.body.to_string().hash(&mut hasher);
        let tag = format!("W/\"{:016x}\"", hasher.finish());
        if request.header("if-none-match") == Some(&tag) {
            self.status = 304;
        }
        self.header("etag", tag)
    }

    pub(super) fn response(self) -> Response<Body> {
        let kind = if self.html.is_some() { "text/html; charset=utf-8" } else { "application/json; charset=utf-8" };
        let body = match self.html {
            _ if matches!(self.status, 204 | 304) => Body::empty(),
            Some(page) => Body::from(page),
            None => Body::from(self.body.to_string()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status.try_into().expect("a real status");
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static(kind));
        for (name, value) in self.headers {
            headers.insert(name, HeaderValue::try_from(value).expect("a real header value"));
        }
        response
    }
}

/// The token that came with a request, in any of the ways that forges and git know.
pub(super) fn token(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(token) = text("private-token") {
        return Some(token.to_owned());
    }
    let (scheme, rest) = text("authorization")?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Some(rest.to_owned());
    }
    let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    // A token may stand alone, as user.
    Some(if password.is_empty() || password == "x-oauth-basic" { user } else { password }.to_owned())
}

/// The user behind a request; `Err` for a token that nobody has.
pub(super) fn viewer(model: &Model, headers: &HeaderMap) -> Result<Option<String>, ()> {
    match token(headers) {
        None => Ok(None),
        Some(token) => model.tokens.get(&token).map(|user| Some(user.clone())).ok_or(()),
    }
}

/// The parts of a path behind `root`, each decoded by itself: GitLab's `acme%2Falpha` is one part.
pub(super) fn segments(path: &str, root: &str) -> Vec<String> {
    let rest = path.strip_prefix(root).unwrap_or_default().trim_matches('/');
    let parts = rest.split('/').filter(|part| !part.is_empty());
    parts.map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect()
}

/// One object of several, because `json!` takes only so many fields at once.
pub(super) fn merged(parts: impl IntoIterator<Item = Value>) -> Value {
    let fields = parts.into_iter().filter_map(|part| match part {
        Value::Object(fields) => Some(fields),
        _ => None,
    });
    Value::Object(fields.flatten().collect())
}

/// What is left alone in the path of a URL.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

pub(super) fn encode_path(path: &str) -> String {
    utf8_percent_encode(path, PATH).to_string()
}

/// The part of a listing that was asked for.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) number: usize,
    pub(super) size: usize,
    pub(super) total: usize,
}

impl<T> Page<T> {
    pub(super) fn last(&self) -> usize {
        self.total.div_ceil(self.size).max(1)
    }
}

impl<'a> Ask<'a> {
    /// A number in the query.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.request.parameter(name).and_then(|text| text.parse().ok())
    }

    /// Whether a parameter of the query is `true`.
    pub(super) fn flag(&self, name: &str) -> bool {
        matches!(self.request.parameter(name).as_deref(), Some("true" | "1"))
    }

    /// The size of a page: as asked, or the forge's default, and never more than its most (or the test's).
    pub(super) fn page_size(&self, parameter: &str, default: usize, most: usize) -> usize {
        let mut most = self.model.page_size.unwrap_or(most);
        if self.segments.iter().any(|segment| segment == "releases") {
            most = self.model.terms.release_page.unwrap_or(most).min(most);
        }
        self.number(parameter).filter(|size| *size > 0).unwrap_or(default).min(most)
    }

    /// Cuts the page out of a listing that the query's `page` names.
    pub(super) fn page<T>(&self, all: Vec<T>, size: usize) -> Page<T> {
        let number = self.number("page").filter(|page| *page > 0).unwrap_or(1);
        let total = all.len();
        Page { items: all.into_iter().skip((number - 1) * size).take(size).collect(), number, size, total }
    }

    /// The absolute URL of this request, with one parameter set to another value.
    pub(super) fn url_with(&self, name: &str, value: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (key, old) in url::form_urlencoded::parse(self.request.query.as_bytes()) {
            if key != name {
                query.append_pair(&key, &old);
            }
        }
        query.append_pair(name, value);
        format!("{}{}?{}", self.base, self.request.path, query.finish())
    }

    /// The `Link` header of a page in GitHub's order, entries joined by `separator`; `None` when there is one page only.
    pub(super) fn links<T>(&self, page: &Page<T>, order: &[&str], separator: &str) -> Option<String> {
        let (number, last) = (page.number, page.last());
        let target = |relation: &str| match relation {
            "prev" | "first" if number == 1 => None,
            "next" | "last" if number >= last => None,
            "prev" => Some(number - 1),
            "next" => Some(number + 1),
            "first" => Some(1),
            _ => Some(last),
        };
        let link = |relation: &&str| {
            let page = target(relation)?.to_string();
            Some(format!("<{}>; rel=\"{relation}\"", self.url_with("page", &page)))
        };
        let links: Vec<String> = order.iter().filter_map(link).collect();
        (!links.is_empty()).then(|| links.join(separator))
    }

    /// Whether the viewer, with the token he came with, may push to a repository.
    pub(super) fn may_push(&self, record: &Record) -> bool {
        let token = token(&self.request.headers);
        self.viewer.as_deref().is_some_and(|user| self.model.may_push(record, user, token.as_deref()))
    }

    /// The repositories that the viewer may see and `wanted` accepts, in order of their ids.
    pub(super) fn visible(&self, wanted: impl Fn(&Record) -> bool) -> Vec<&'a Record> {
        let viewer = self.viewer.as_deref();
        self.model.repos.iter().filter(|record| self.model.can_see(record, viewer) && wanted(record)).collect()
    }

    /// The repository of this name, if the viewer may see it.
    pub(super) fn find(&self, full_name: &str) -> Option<&'a Record> {
        self.model.find(full_name).filter(|record| self.model.can_see(record, self.viewer.as_deref()))
    }

    /// The repository with this id, if the viewer may see it.
    pub(super) fn find_id(&self, id: &str) -> Option<&'a Record> {
        let record = self.model.record(id.parse().ok()?)?;
        self.model.can_see(record, self.viewer.as_deref()).then_some(record)
    }

    /// Where a request for a part of a renamed repository is sent: `parts` of its path below the root become `to`.
    pub(super) fn moved_to(&self, root: &str, parts: usize, to: &str) -> String {
        let rest = self.request.path.strip_prefix(root).unwrap_or_default().trim_start_matches('/');
        let rest: Vec<&str> = rest.split('/').skip(parts).collect();
        let query = if self.request.query.is_empty() { String::new() } else { format!("?{}", self.request.query) };
        format!("{}{root}/{to}/{}{query}", self.base, rest.join("/"))
    }

    /// The visible repository that once had this name.
    pub(super) fn find_moved(&self, full_name: &str) -> Option<&'a Record> {
        self.model.find_moved(full_name).filter(|record| self.model.can_see(record, self.viewer.as_deref()))
    }

    pub(super) fn clone_url(&self, record: &Record) -> String {
        let made = || format!("{}/{}.git", self.base, encode_path(&record.full_name()));
        record.clone_url.clone().unwrap_or_else(made)
    }

    pub(super) fn web_url(&self, record: &Record) -> String {
        format!("{}/{}", self.base, encode_path(&record.full_name()))
    }

    /// The URL for ssh: of the test's sshd when there is one, as the forges write it otherwise.
    pub(super) fn ssh_url(&self, record: &Record) -> String {
        match &self.model.ssh {
            Some(ssh) => format!("{ssh}{}", record.git_dir.display()),
            None => format!("git@localhost:{}.git", record.full_name()),
        }
    }
}
