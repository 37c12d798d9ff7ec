//! How foreign texts become harmless and how amounts, times and names become readable.
//!
//! Names, messages and git's own lines come from servers. Before any of them reaches a terminal it passes [`clean`]:
//! secrets are masked, and what a terminal would obey or hide (escape sequences, line breaks, bidirectional and
//! invisible characters) is written out as `\u{1b}`.

use std::time::Duration;

use bytesize::ByteSize;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::base::redact::redact;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// What changed and what needs attention.
    #[default]
    Changes,
    /// What stayed as it was, too.
    Everything,
}

/// Whether words may be coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Paint {
    #[default]
    Plain,
    Colored,
}

/// What a colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    Neutral,
    Good,
    Warning,
    Bad,
    Faint,
}

impl Paint {
    /// Returns `text` in the colour of `tone`, or as it is.
    pub fn dress(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if self == Paint::Plain => return text.to_owned(),
            Tone::Neutral => return text.to_owned(),
            Tone::Good => 32,
            Tone::Warning => 33,
            Tone::Bad => 31,
            Tone::Faint => 2,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Returns `text` without secrets and without anything a terminal would obey or hide, on one line.
pub fn clean(text: &str) -> String {
    // Masks first: a secret with an odd character in it is known by its raw form.
    printable(redact(text).trim_end())
}

/// Returns `text` with tabs as spaces and every unprintable character written out as `\n` or `\u{…}`.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => shown.push(' '),
            _ if is_unprintable(c) => shown.extend(c.escape_default()),
            _ => shown.push(c),
        }
    }
    shown
}

/// Whether a terminal or an editor would obey `c` or show nothing for it.
///
/// Control characters (U+009B starts an escape sequence as ESC does), line and paragraph separators, the bidirectional
/// marks with which a text can be shown in another order than it has (CVE-2021-42574), and characters without a shape.
/// The joiners U+200C and U+200D stay: scripts and emoji need them.
pub fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// Returns `text` with a period at its end, unless it ends as a sentence already.
pub fn sentence(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with(['.', '!', '?', '…']) { text.to_owned() } else { format!("{text}.") }
}

/// Returns `1 mirror`, `2 mirrors`; a noun in `y` gets `ies`.
pub fn count(number: usize, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if number == 1 => format!("1 {noun}"),
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {noun}s"),
    }
}

/// Returns at most so many names: `a, b, c and 197 more`.
pub fn list(names: &[&str], most: usize) -> String {
    let shown = names.iter().take(most).copied().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Returns 16 hex digits that no other text has (64 bits of its SHA-256): the same in every version of this program.
pub fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns an amount of bytes in binary units: `12.3 MiB`.
pub fn bytes(amount: u64) -> String {
    ByteSize(amount).display().iec().to_string()
}

/// Returns a span in at most two units: `0.4 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`.
pub fn duration(span: Duration) -> String {
    let tenths = (span.as_millis() + 50) / 100;
    if tenths < 600 {
        return format!("{}.{} s", tenths / 10, tenths % 10);
    }
    let seconds = tenths / 10;
    let (large, small) = match seconds {
        0..3_600 => ((seconds / 60, "min"), (seconds % 60, "s")),
        3_600..86_400 => ((seconds / 3_600, "h"), (seconds % 3_600 / 60, "min")),
        _ => ((seconds / 86_400, "d"), (seconds % 86_400 / 3_600, "h")),
    };
    match small.0 {
        0 => format!("{} {}", large.0, large.1),
        rest => format!("{} {} {rest} {}", large.0, large.1, small.1),
    }
}

/// Returns how long ago `then` was, in one unit: `2 h ago`; a time yet to come (a wrong clock) as its date and time.
pub fn ago(then: Timestamp, now: Timestamp) -> String {
    match now.as_second().saturating_sub(then.as_second()) {
        ..=-61 => then.strftime("%Y-%m-%d %H:%M UTC").to_string(),
        -60..1 => "just now".to_owned(),
        seconds @ 1..60 => format!("{seconds} s ago"),
        seconds @ 60..3_600 => format!("{} min ago", seconds / 60),
        seconds @ 3_600..86_400 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

/// Returns `text` in at most `columns` columns of a terminal; what does not fit is left out of the middle.
pub fn shorten(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(1);
    let head: String = fitting(text.chars(), room / 2).collect();
    let tail: Vec<char> = fitting(text.chars().rev(), room - room / 2).collect();
    format!("{head}…{}", tail.iter().rev().collect::<String>())
}

/// The characters from the start that fit into `columns`.
fn fitting(chars: impl Iterator<Item = char>, columns: usize) -> impl Iterator<Item = char> {
    chars.scan(0, move |used, c| {
        *used += c.width().unwrap_or(0);
        (*used <= columns).then_some(c)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escape_sequences_and_hidden_characters_are_written_out() {
        assert_eq!(clean("\x1b[31mred\x1b[0m"), r"\u{1b}[31mred\u{1b}[0m");
        assert_eq!(clean("8-bit \u{9b}2J"), r"8-bit \u{9b}2J");
        assert_eq!(clean("gpj.\u{202e}exe\u{200b}"), r"gpj.\u{202e}exe\u{200b}");
        assert_eq!(clean("two\nlines\r\n"), r"two\nlines");
        assert_eq!(clean("! [rejected]\tmain"), "! [rejected] main");
    }

    #[test]
    fn other_scripts_and_emoji_stay_as_they_are() {
        for text in ["Ünï/日本語", "עברית", "U\u{308}", "👩\u{200d}💻"] {
            assert_eq!(clean(text), text);
        }
    }

    #[test]
    fn spans_are_rounded_and_have_at_most_two_units() {
        let shown = |millis| duration(Duration::from_millis(millis));
        assert_eq!(
            [0, 44, 4_200, 59_949, 59_950, 192_000, 7_500_000, 273_600_000, 172_800_000].map(shown),
            ["0.0 s", "0.0 s", "4.2 s", "59.9 s", "1 min", "3 min 12 s", "2 h 5 min", "3 d 4 h", "2 d"]
        );
    }

    #[test]
    fn ages_have_one_unit_and_a_wrong_clock_is_not_hidden() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let age = |then: &str| ago(then.parse().unwrap(), now);
        assert_eq!(age("2026-11-20T12:00:00Z"), "just now");
        assert_eq!(age("2026-11-20T11:59:18Z"), "42 s ago");
        assert_eq!(age("2026-11-20T11:01:00Z"), "59 min ago");
        assert_eq!(age("2026-11-20T09:59:00Z"), "2 h ago");
        assert_eq!(age("2026-08-20T12:00:00Z"), "92 d ago");
        assert_eq!(age("2027-01-01T00:00:00Z"), "2027-01-01 00:00 UTC");
    }

    #[test]
    fn amounts_read_as_people_write_them() {
        assert_eq!([0, 1_000, 12_900_000].map(bytes), ["0 B", "1000 B", "12.3 MiB"]);
        assert_eq!(
            [count(1, "mirror"), count(0, "mirror"), count(2, "repository")],
            ["1 mirror", "0 mirrors", "2 repositories"]
        );
        assert_eq!([sentence("ends"), sentence("ends."), sentence("ends…")], ["ends.", "ends.", "ends…"]);
    }

    #[test]
    fn a_long_name_loses_its_middle() {
        assert_eq!(shorten("organisation/repository", 11), "organ…itory");
        assert_eq!(shorten("日本語日本語", 7), "日…語");
        assert_eq!(shorten("fits", 4), "fits");
    }

    proptest! {
        #[test]
        fn nothing_unprintable_is_left(text in any::<String>()) {
            prop_assert!(!clean(&text).chars().any(is_unprintable));
        }

        #[test]
        fn a_shortened_text_fits(text in "\\PC*", columns in 1_usize..40) {
            prop_assert!(shorten(&text, columns).width() <= columns);
        }
    }
}
