//! Git over HTTP: the real `git http-backend`, both bodies streamed.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use futures_util::{Stream, StreamExt, stream};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::log::Request;

/// Where git keeps its helper programs.
pub(super) fn backend() -> PathBuf {
    let output = std::process::Command::new("git").arg("--exec-path").output().expect("git is installed");
    let dir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let backend = dir.join("git-http-backend");
    assert!(backend.exists(), "{} is missing: the test forge needs it", backend.display());
    backend
}

/// Lets git answer a request for the repository in `git_dir`; `action` is the path behind it (`/info/refs`).
pub(super) async fn serve(
    backend: &Path,
    git_dir: &Path,
    action: &str,
    user: Option<&str>,
    request: &Request,
    body: impl Stream<Item = Result<Bytes, axum::Error>> + Send + Unpin + 'static,
) -> Response<Body> {
    let name = git_dir.file_name().expect("a repository has a name").to_string_lossy();
    let mut command = Command::new(backend);
    command.env_clear().env("PATH", std::env::var_os("PATH").expect("PATH is set"));
    command.envs([("GIT_CONFIG_NOSYSTEM", "1"), ("GIT_CONFIG_GLOBAL", "/dev/null"), ("HOME", "/nonexistent")]);
    command.env("GIT_HTTP_EXPORT_ALL", "1").env("GIT_PROJECT_ROOT", git_dir.parent().expect("it lies somewhere"));
    command.env("PATH_INFO", format!("/{name}{action}")).env("QUERY_STRING", &request.query);
    command.env("REQUEST_METHOD", request.method.as_str()).env("REMOTE_ADDR", "127.0.0.1");
    if let Some(user) = user {
        // This also allows a push.
        command.env("REMOTE_USER", user);
    }
    for (header, variable) in [
        ("content-type", "CONTENT_TYPE"),
        ("content-length", "CONTENT_LENGTH"),
        ("content-encoding", "HTTP_CONTENT_ENCODING"),
        ("git-protocol", "GIT_PROTOCOL"),
    ] {
        if let Some(value) = request.header(header) {
            command.env(variable, value);
        }
    }
    // Its messages belong to the server's log, and we have none.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn().expect("git http-backend can be executed");
    tokio::spawn(feed(child.stdin.take().expect("it is piped"), body));
    let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
    respond(child, stdout).await
}

async fn feed(mut stdin: tokio::process::ChildStdin, mut body: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin) {
    while let Some(Ok(chunk)) = body.next().await {
        // It stops reading when it has failed, and says so in its answer.
        if stdin.write_all(&chunk).await.is_err() {
            break;
        }
    }
}

/// How upload-pack (git 2.47) begins what it says when it breaks off.
const LAST_WORD: &[u8] = b"\x03aborting due to ";

/// Makes a response of what a CGI program prints: headers, an empty line, the body.
async fn respond(child: Child, mut stdout: BufReader<ChildStdout>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let mut seen = 0;
    loop {
        let mut line = String::new();
        let read = stdout.read_line(&mut line).await.unwrap_or(0);
        let line = line.trim_end();
        if read == 0 || line.is_empty() {
            break;
        }
        seen += 1;
        let (name, value) = line.split_once(": ").expect("git http-backend prints headers");
        if name == "Status" {
            let code = value.split(' ').next().and_then(|code| code.parse().ok());
            *response.status_mut() = code.expect("git http-backend prints a status");
        } else {
            let name = HeaderName::try_from(name).expect("git prints real headers");
            response.headers_mut().append(name, HeaderValue::try_from(value).expect("git prints real headers"));
        }
    }
    if seen == 0 {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    }
    // The child lives in the stream: when the client goes, both are dropped and it is killed.
    let chunks = stream::unfold((child, stdout, false), |(mut child, mut stdout, mut explained)| async move {
        let mut chunk = vec![0; 32 * 1024];
        match stdout.read(&mut chunk).await {
            Ok(read @ 1..) => {
                chunk.truncate(read);
                // git's last word, on the error band: real servers hand it over and end their answer in order.
                explained |= chunk.windows(LAST_WORD.len()).any(|part| part == LAST_WORD);
                Some((Ok(Bytes::from(chunk)), (child, stdout, explained)))
            }
            Ok(_) => match child.wait().await {
                Ok(status) if status.success() || explained => None,
                // The body ended too early; so must the connection.
                _ => Some((Err(std::io::Error::other("git http-backend failed")), (child, stdout, explained))),
            },
            Err(error) => Some((Err(error), (child, stdout, explained))),
        }
    });
    *response.body_mut() = Body::from_stream(chunks);
    response
}

/// Reads the first part of a body, and returns it with a stream of the whole.
pub(super) async fn peek(
    mut body: BodyDataStream,
) -> (Bytes, impl Stream<Item = Result<Bytes, axum::Error>> + Send + Unpin + 'static) {
    let first = body.next().await;
    let bytes = first.as_ref().and_then(|first| first.as_ref().ok()).cloned().unwrap_or_default();
    (bytes, stream::iter(first).chain(body))
}

/// The beginning of a body: at least that many bytes, when it has so many.
pub(super) async fn take(mut body: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin, bytes: usize) -> Vec<u8> {
    let mut taken = Vec::new();
    while taken.len() < bytes {
        let Some(Ok(chunk)) = body.next().await else { break };
        taken.extend_from_slice(&chunk);
    }
    taken
}

/// Reads a body to its end for nothing.
pub(super) async fn drain(mut body: impl Stream<Item = Result<Bytes, axum::Error>> + Unpin) {
    while let Some(Ok(_)) = body.next().await {}
}
