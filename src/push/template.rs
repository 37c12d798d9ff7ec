//! Where a repository goes, from the template that a destination's configuration has for it.

const NAMESPACE: &str = "{namespace}";
/// What stands between a namespace and a name where both are in one part of a path.
const SEPARATORS: [char; 3] = ['-', '_', '.'];

/// Puts a repository's names into a template. A repository without a namespace leaves nothing behind where it would
/// stand: no `//`, no path that begins at the root, no name that begins or ends with a separator.
pub(super) fn fill(template: &str, namespace: &str, name: &str) -> String {
    let mut text = template.to_owned();
    if namespace.is_empty() {
        while let Some(at) = text.find(NAMESPACE) {
            let (from, to) = hole(&text, at);
            text.replace_range(from..to, "");
        }
    }
    text.replace(NAMESPACE, namespace).replace("{name}", name)
}

/// What is taken out together with a namespace at `at` that is empty.
fn hole(text: &str, at: usize) -> (usize, usize) {
    let end = at + NAMESPACE.len();
    let (before, after) = (&text[..at], &text[end..]);
    let begins = before.is_empty() || before.ends_with('/') && !before.ends_with("//") || before.ends_with(':');
    match after.chars().next() {
        Some('/') if begins => (at, end + 1),
        None if before.ends_with('/') => (at - 1, end),
        Some(next) if begins && SEPARATORS.contains(&next) && after != ".git" => (at, end + 1),
        _ if before.ends_with(SEPARATORS) => (at - 1, end),
        _ => (at, end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_in() {
        assert_eq!(fill("backup/{namespace}/x-{name}", "a/b", "c"), "backup/a/b/x-c");
        assert_eq!(fill("fixed", "a", "b"), "fixed");
    }

    #[test]
    fn an_empty_namespace_leaves_no_gap() {
        for (template, filled) in [
            ("{namespace}", ""),
            ("backup/{namespace}", "backup"),
            ("backup/{namespace}/more", "backup/more"),
            ("{namespace}-{name}", "alpha"),
            ("{name}.{namespace}", "alpha"),
            ("x-{namespace}-{name}", "x-alpha"),
            ("/srv/{namespace}/{name}.git", "/srv/alpha.git"),
            ("https://git.example.org/{namespace}/{name}.git", "https://git.example.org/alpha.git"),
            ("ssh://git@h/srv/{namespace}/{name}.git", "ssh://git@h/srv/alpha.git"),
            ("git@git.example.org:{namespace}/{name}.git", "git@git.example.org:alpha.git"),
            ("git@git.example.org:git/{namespace}/{name}.git", "git@git.example.org:git/alpha.git"),
        ] {
            assert_eq!(fill(template, "", "alpha"), filled, "{template}");
        }
    }
}
