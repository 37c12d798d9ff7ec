//! The mark that we leave in the notes of a release that we made: two comments around our text, which no forge shows.
//!
//! It says whose releases these are when the store is lost. What stands outside of it is a person's, and stays.

/// Notes with our part in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked<'a> {
    /// A person's text above and below our part.
    pub before: &'a str,
    pub after: &'a str,
    /// Which repository the release was made from.
    pub source: String,
    /// What was projected, as [`super::state`] tells it.
    pub state: &'a str,
    /// Our text.
    pub inner: &'a str,
}

const BEGIN: &str = "<!-- holocron:begin source=";
const STATE: &str = " state=";
const CLOSE: &str = " -->";
const END: &str = "<!-- holocron:end -->";

/// Finds our part in the notes of a release.
pub fn find(notes: &str) -> Option<Marked<'_>> {
    let begin = notes.find(BEGIN)?;
    let (line, rest) = notes[begin + BEGIN.len()..].split_once('\n')?;
    let (source, state) = line.trim_end().strip_suffix(CLOSE)?.split_once(STATE)?;
    let (inner, after) = rest.rsplit_once(END)?;
    Some(Marked {
        before: &notes[..begin],
        after,
        source: decode(source),
        state,
        inner: inner.strip_suffix('\n').unwrap_or(inner),
    })
}

/// Our part, made of our text.
pub fn wrap(source: &str, state: &str, inner: &str) -> String {
    format!("{BEGIN}{}{STATE}{state}{CLOSE}\n{inner}\n{END}", encode(source))
}

/// Notes without the marks of any mirror that they came through.
pub fn strip(notes: &str) -> String {
    let is_mark = |line: &&str| (line.starts_with(BEGIN) && line.trim_end().ends_with(CLOSE)) || line.trim_end() == END;
    let text = normal(notes);
    let kept: Vec<&str> = text.split('\n').filter(|line| !is_mark(line)).collect();
    normal(&kept.join("\n"))
}

/// Notes as they are compared: forges differ in line ends and in blank lines at the end.
pub fn normal(notes: &str) -> String {
    notes.replace("\r\n", "\n").trim_end().to_owned()
}

/// The source in a form that can end no comment.
fn encode(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/:@".contains(c);
    let mut safe = String::new();
    for c in text.chars() {
        match plain(c) {
            true => safe.push(c),
            false => c.to_string().bytes().for_each(|byte| safe.push_str(&format!("%{byte:02X}"))),
        }
    }
    safe
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_a_person_adds_around_it_is_told_apart() {
        let part = wrap("github.com/acme/a--b -->", "0123456789abcdef", "# New\n\n- this\n");
        let notes = format!("Mind this!\n\n{part}\nSee also below.");
        let found = find(&notes).unwrap();
        assert_eq!((found.before, found.after), ("Mind this!\n\n", "\nSee also below."));
        assert_eq!((found.source.as_str(), found.state), ("github.com/acme/a--b -->", "0123456789abcdef"));
        assert_eq!(found.inner, "# New\n\n- this\n");
        assert!(!part.lines().next().unwrap()[4..].trim_end_matches("-->").contains("--"), "{part}");
    }

    #[test]
    fn notes_without_it_are_nobodys() {
        for notes in ["", "text", "<!-- holocron:begin source=x", "<!-- holocron:begin source=x state=y -->\nno end"] {
            assert_eq!(find(notes), None, "{notes}");
        }
    }

    #[test]
    fn a_mirror_of_a_mirror_hands_on_the_text_alone() {
        let notes = format!("above\r\n{}\nbelow\n", wrap("h/a", "s", "inner"));
        assert_eq!(strip(&notes), "above\ninner\nbelow");
        assert_eq!(strip("plain\n\n"), "plain");
    }

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_was(source in "\\PC*", inner in "[^\r]*") {
            let part = wrap(&source, "00", &inner);
            let found = find(&part).unwrap();
            prop_assert_eq!((found.source.as_str(), found.inner, found.before, found.after), (source.as_str(), inner.as_str(), "", ""));
        }
    }
}
