//! How this program speaks on the terminal that it finds: colour, width, and what goes to stdout.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};

use crate::base::error::Error;
use crate::base::text::{Detail, Paint};
use crate::config::{ColorChoice, Output};
use crate::progress::{Ending, Manner, Style};

/// How a table is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct View {
    /// The terminal's columns; `None` (a pipe, a file) cuts nothing.
    pub width: Option<u16>,
    pub detail: Detail,
    pub paint: Paint,
}

/// Prints an error that does not end the command by itself.
pub(super) fn complain(error: &Error) {
    anstream::eprintln!("{error}");
}

/// Prints to stdout as it is; a reader that went away (`| head`) is no error of ours.
///
/// Whether there is colour in it was decided before: on a pipe `--color always` means what it says.
pub(super) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// How a run speaks; a single one ends with a table.
pub(super) fn style(output: &Output, single: bool) -> Style {
    let detail = if output.verbose { Detail::Everything } else { Detail::Changes };
    let stderr = std::io::stderr();
    let paint = paint(output.color, stderr.is_terminal());
    let manner = match stderr.is_terminal() {
        _ if output.quiet => Manner::Silent,
        true if single && !output.json && std::io::stdout().is_terminal() => Manner::Bars(detail, paint, Ending::Table),
        true => Manner::Bars(detail, paint, Ending::Elsewhere),
        false => Manner::Lines(detail, paint),
    };
    Style { manner, log: output.log }
}

pub(super) fn view(detail: Detail, color: ColorChoice) -> View {
    let stdout = std::io::stdout();
    let width = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| size.ws_col).filter(|columns| *columns > 0);
    View { width, detail, paint: paint(color, stdout.is_terminal()) }
}

fn paint(color: ColorChoice, is_terminal: bool) -> Paint {
    let wanted = match color {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => is_terminal && shows_colour(|name| std::env::var_os(name)),
    };
    if wanted { Paint::Colored } else { Paint::Plain }
}

/// Whether the variables of a terminal allow colour on it.
fn shows_colour(env: impl Fn(&str) -> Option<OsString>) -> bool {
    // https://no-color.org: set and not empty.
    let refused = env("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && env("TERM").is_none_or(|value| value != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dumb_terminal_and_whoever_wants_none_get_no_colour() {
        let with = |name: &'static str, value: &'static str| {
            shows_colour(move |asked| (asked == name).then(|| OsString::from(value)))
        };
        assert!(!with("TERM", "dumb") && !with("NO_COLOR", "1"));
        assert!(with("TERM", "xterm") && with("NO_COLOR", "") && with("LANG", "C"));
    }
}
