//! Which branches a Gitea rule is about: its patterns are those of gobwas/glob with `/` as separator.

use regex::Regex;

/// Whether the rule called `name` is about `branch`: a name without glob characters is compared whatever its case is, one
/// that is no valid pattern as it stands (`ProtectedBranch.Match`).
pub(in crate::forge) fn matches(name: &str, branch: &str) -> bool {
    if !name.contains(['*', '?', '[', '{', '\\']) {
        return name.to_lowercase() == branch.to_lowercase();
    }
    match Regex::new(&format!("(?s)^{}$", translate(name))) {
        Ok(pattern) => pattern.is_match(branch),
        Err(_) => name == branch,
    }
}

/// The regular expression of a pattern: `*` and `?` stop at a slash, `**` does not, `[a-z]`, `[!a-z]`, `{a,b}`, `\x`.
fn translate(pattern: &str) -> String {
    let mut regex = String::new();
    let mut braces = 0;
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '*' if rest.next_if_eq(&'*').is_some() => regex.push_str(".*"),
            '*' => regex.push_str("[^/]*"),
            '?' => regex.push_str("[^/]"),
            '[' => {
                regex.push('[');
                if rest.next_if_eq(&'!').is_some() {
                    regex.push('^');
                }
                for c in rest.by_ref().take_while(|c| *c != ']') {
                    // What a class means to a regular expression only is no more than a character here.
                    if matches!(c, '[' | '\\' | '&' | '~' | '^') {
                        regex.push('\\');
                    }
                    regex.push(c);
                }
                regex.push(']');
            }
            '{' => {
                braces += 1;
                regex.push_str("(?:");
            }
            '}' if braces > 0 => {
                braces -= 1;
                regex.push(')');
            }
            ',' if braces > 0 => regex.push('|'),
            '\\' => regex.push_str(&regex::escape(&rest.next().map(String::from).unwrap_or_default())),
            c => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    regex
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_rule_is_about_the_branches_that_gitea_applies_it_to() {
        for (rule, branch, is) in [
            ("main", "main", true),
            ("Main", "mAIN", true),
            ("main", "main2", false),
            ("a.c", "abc", false),
            ("rel/*", "rel/1", true),
            ("rel/*", "rel/1/2", false),
            ("rel/**", "rel/1/2", true),
            ("**", "a/b", true),
            ("*", "a/b", false),
            ("v?", "v1", true),
            ("v?", "v/", false),
            ("v[0-9]", "v7", true),
            ("v[!0-9]", "v7", false),
            ("{main,dev*}", "develop", true),
            ("{main,dev*}", "other", false),
            ("rel/{1,2}.x", "rel/2.x", true),
            ("rel/{1,2}.x", "rel/2ax", false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("v[", "v[", true),
            ("v{", "v{", true),
        ] {
            assert_eq!(matches(rule, branch), is, "{rule} {branch}");
        }
    }
}
