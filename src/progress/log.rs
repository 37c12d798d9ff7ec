//! The log on stderr: for whoever looks for the cause, redacted line by line and kept out of the bars.

use std::io;

use tracing::Subscriber;
use tracing::subscriber::SetGlobalDefaultError;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::{Manner, Screen, Style};
use crate::base::text::clean;

/// Starts the log for the whole process.
///
/// Tells warnings; where the style says so also our own debug messages; with [`Manner::Silent`] errors only.
/// `HOLOCRON_LOG`, else `RUST_LOG`, as `env` finds them, say otherwise in tracing's words (`debug`, `holocron=trace`).
///
/// # Errors
/// When a log was started before.
pub fn start(style: Style, screen: &Screen, env: impl Fn(&str) -> Option<String>) -> Result<(), SetGlobalDefaultError> {
    let (filter, complaint) = filter(style, env);
    tracing::subscriber::set_global_default(subscriber(filter, style, screen))?;
    if let Some(complaint) = complaint {
        tracing::warn!("{complaint}");
    }
    Ok(())
}

/// Returns what is logged, and what to say about a variable that makes no sense.
fn filter(style: Style, env: impl Fn(&str) -> Option<String>) -> (EnvFilter, Option<String>) {
    let own = match style.manner {
        Manner::Silent => "error",
        // Libraries' debug messages are about bytes and sockets: ask for them by name.
        _ if style.log => "warn,holocron=debug",
        _ => "warn",
    };
    let wish = ["HOLOCRON_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|name| env(name).filter(|value| !value.trim().is_empty()).map(|value| (name, value)));
    match wish {
        Some((name, value)) => match EnvFilter::builder().parse(&value) {
            Ok(filter) => (filter, None),
            Err(error) => (
                EnvFilter::new(own),
                Some(format!("{name} is not understood ({error}); write something like {name}=holocron=debug")),
            ),
        },
        None => (EnvFilter::new(own), None),
    }
}

fn subscriber(filter: EnvFilter, style: Style, screen: &Screen) -> impl Subscriber + Send + Sync + use<> {
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Writer(screen.clone()))
        // Lines are cleaned as a whole, which would write the escapes of colours out.
        .with_ansi(false)
        .with_target(style.log)
        .finish()
}

struct Writer(Screen);

impl<'a> MakeWriter<'a> for Writer {
    type Writer = Message;

    fn make_writer(&'a self) -> Message {
        Message { screen: self.0.clone(), text: Vec::new() }
    }
}

/// One log message, shown when it is complete: a secret must not slip through between two writes.
struct Message {
    screen: Screen,
    text: Vec<u8>,
}

impl io::Write for Message {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        for line in String::from_utf8_lossy(&self.text).lines() {
            self.screen.line(&clean(line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::screen::Paper;
    use super::*;
    use crate::base::secret::Secret;
    use crate::base::text::{Detail, Paint};

    const PLAIN: Style = Style { manner: Manner::Lines(Detail::Changes, Paint::Plain), log: false };
    /// `-v` is lines for people; `-vv` is the log.
    const VERBOSE: Style = Style { manner: Manner::Lines(Detail::Everything, Paint::Plain), log: false };
    const LOG: Style = Style { log: true, ..VERBOSE };
    const SILENT: Style = Style { manner: Manner::Silent, log: false };

    /// What is logged of an error, a warning and two debug messages.
    fn levels(style: Style, variables: &[(&str, &str)]) -> String {
        let env = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let paper = Paper::default();
        let subscriber = subscriber(filter(style, env).0, style, &Screen::stream(paper.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "holocron", "E");
            tracing::warn!(target: "holocron", "W");
            tracing::debug!(target: "holocron", "D");
            tracing::debug!(target: "hyper", "H");
        });
        paper.text().lines().filter_map(|line| line.chars().last()).collect()
    }

    #[test]
    fn the_style_sets_the_level_and_the_environment_overrules_it() {
        assert_eq!(levels(PLAIN, &[]), "EW");
        assert_eq!(levels(VERBOSE, &[]), "EW");
        assert_eq!(levels(LOG, &[]), "EWD");
        assert_eq!(levels(SILENT, &[]), "E");
        assert_eq!(levels(PLAIN, &[("RUST_LOG", "hyper=debug")]), "H");
        assert_eq!(levels(LOG, &[("HOLOCRON_LOG", "error"), ("RUST_LOG", "debug")]), "E");
        assert_eq!(levels(PLAIN, &[("HOLOCRON_LOG", ""), ("RUST_LOG", " ")]), "EW");
    }

    #[test]
    fn a_filter_that_makes_no_sense_is_told_and_not_obeyed() {
        let (_, complaint) = filter(PLAIN, |name| (name == "RUST_LOG").then(|| "holocron=loud".to_owned()));
        let complaint = complaint.unwrap();
        assert!(complaint.starts_with("RUST_LOG is not understood"), "{complaint}");
        assert_eq!(levels(PLAIN, &[("RUST_LOG", "holocron=loud")]), "EW");
    }

    #[test]
    fn a_message_is_redacted_and_cannot_steer_the_terminal() {
        let secret = Secret::new("log-canary-1");
        let paper = Paper::default();
        let subscriber = subscriber(EnvFilter::new("warn"), PLAIN, &Screen::stream(paper.clone()));
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(header = secret.expose(), "git said: \u{1b}[2J{}\u{202e}", secret.expose());
        });
        let text = paper.text();
        assert!(text.contains("git said:") && text.contains("***"), "{text}");
        assert!(!text.contains("canary") && !text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
    }
}
