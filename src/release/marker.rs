//! The mark that we leave in the notes of a release that we made: two comments around our text, which no forge shows.
//!
//! It says whose releases these are when the store is lost. What stands outside of it is a person's, and stays.

/// Notes with our part in them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marked<'a> {
    /// A person's text above and below our part.
    pub before: &'a str,
    pub after: &'a str,
    /// What was projected, as [`super::state`] tells it.
    pub state: &'a str,
    /// Our text.
    pub inner: &'a str,
}

const OURS: &str = "<!-- holocron:";
const BEGIN: &str = "<!-- holocron:begin source=";
const TAG: &str = " tag=";
const STATE: &str = " state=";
const CLOSE: &str = " -->";
const END: &str = "<!-- holocron:end -->";

/// Finds our part in the notes of the release of `tag` that was made from `source`; without one, from any.
///
/// The mark of another release is a person's text: who writes notes by hand often begins with a copy of older ones, and
/// the mark cannot be seen in them. So is one that was damaged, which stands above the one that replaced it.
pub fn find<'a>(notes: &'a str, source: Option<&str>, tag: &str) -> Option<Marked<'a>> {
    let (source, middle) = (source.map(encode), format!("{TAG}{}{STATE}", encode(tag)));
    notes.rmatch_indices(BEGIN).find_map(|(begin, _)| {
        let (line, rest) = notes[begin + BEGIN.len()..].split_once('\n')?;
        let (from, state) = line.trim_end().strip_suffix(CLOSE)?.split_once(&middle)?;
        if source.as_ref().is_some_and(|source| source != from) {
            return None;
        }
        let (inner, after) = rest.split_once(END)?;
        Some(Marked { before: &notes[..begin], after, state, inner: inner.strip_suffix('\n').unwrap_or(inner) })
    })
}

/// Our part, made of our text, in which no mark may be (see [`strip`]).
pub fn wrap(source: &str, tag: &str, state: &str, inner: &str) -> String {
    format!("{BEGIN}{}{TAG}{}{STATE}{state}{CLOSE}\n{inner}\n{END}", encode(source), encode(tag))
}

/// Notes without the marks of any mirror that they came through; what is left of one within a line marks nothing.
pub fn strip(notes: &str) -> String {
    let is_mark = |line: &&str| (line.starts_with(BEGIN) && line.trim_end().ends_with(CLOSE)) || line.trim_end() == END;
    let text = normal(notes);
    let kept: Vec<&str> = text.split('\n').filter(|line| !is_mark(line)).collect();
    normal(&kept.join("\n").replace(OURS, "<!-- holocron :"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SOURCE: &str = "github.com/acme/a--b -->";

    #[test]
    fn what_a_person_adds_around_it_is_told_apart() {
        let part = wrap(SOURCE, "v 1", "0123456789abcdef", "# New\n\n- this\n");
        let notes = format!("Mind this!\n\n{part}\nSee also below.");
        let found = find(&notes, Some(SOURCE), "v 1").unwrap();
        assert_eq!((found.before, found.after), ("Mind this!\n\n", "\nSee also below."));
        assert_eq!((found.state, found.inner), ("0123456789abcdef", "# New\n\n- this\n"));
        assert!(!part.lines().next().unwrap()[4..].trim_end_matches("-->").contains("--"), "{part}");
    }

    #[test]
    fn notes_without_it_are_nobodys() {
        for notes in
            ["", "text", "<!-- holocron:begin source=x", "<!-- holocron:begin source=x tag=v state=y -->\nno end"]
        {
            assert_eq!(find(notes, Some("x"), "v"), None, "{notes}");
        }
        let part = wrap("x", "v1", "s", "inner");
        assert!(find(&part, Some("x"), "v1").is_some());
        assert_eq!(
            (find(&part, Some("x"), "v2"), find(&part, Some("xx"), "v1"), find(&part, Some("x"), "v")),
            (None, None, None)
        );
        // The source may have another name since.
        assert!(find(&part, None, "v1").is_some() && find(&part, None, "v").is_none());
    }

    #[test]
    fn a_copy_of_another_releases_mark_and_a_damaged_one_are_a_persons_text() {
        let (ours, other) = (wrap("x", "v2", "s", "ours"), wrap("x", "v1", "s", "other"));
        let damaged = ours.replace(END, "");
        for (notes, before, after) in [
            (format!("{other}\n{ours}"), format!("{other}\n"), ""),
            (format!("{ours}\n{other}"), String::new(), other.as_str()),
            (format!("{damaged}by hand\n\n{ours}"), format!("{damaged}by hand\n\n"), ""),
        ] {
            let found = find(&notes, Some("x"), "v2").unwrap();
            assert_eq!((found.before, found.inner, found.after.trim()), (before.as_str(), "ours", after), "{notes}");
        }
    }

    #[test]
    fn a_mirror_of_a_mirror_hands_on_the_text_alone() {
        let notes = format!("above\r\n{}\nbelow\n", wrap("h/a", "v1", "s", "inner"));
        assert_eq!(strip(&notes), "above\ninner\nbelow");
        assert_eq!(strip("plain\n\n"), "plain");
    }

    #[test]
    fn a_mark_that_the_notes_speak_of_ends_no_part() {
        for notes in [format!("The line `{END}` ends it."), format!("{END} and more"), format!("`{BEGIN}x`")] {
            let inner = strip(&notes);
            let part = wrap("x", "v1", "s", &inner);
            assert_eq!(find(&part, Some("x"), "v1").unwrap().inner, inner, "{notes}");
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_was(source in "\\PC*", tag in "\\PC*", inner in "[^\r]*") {
            let part = wrap(&source, &tag, "00", &inner);
            let found = find(&part, Some(&source), &tag).unwrap();
            prop_assert_eq!((found.inner, found.before, found.after), (inner.as_str(), "", ""));
        }
    }
}
