//! Texts with `{namespace}` and `{name}` in them, which stand for the source's.

const KNOWN: [&str; 2] = ["namespace", "name"];

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TemplateError {
    /// A name that stands for nothing.
    Unknown(String),
    /// A brace without its partner.
    Brace,
}

/// Puts values into a template.
///
/// # Errors
/// Names other than `{namespace}` and `{name}`, and single braces.
pub(super) fn fill(template: &str, namespace: &str, name: &str) -> Result<String, TemplateError> {
    let mut done = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        done.push_str(&rest[..at]);
        let inside = rest[at..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let Some((inside, after)) = inside else { return Err(TemplateError::Brace) };
        match inside {
            _ if inside == KNOWN[0] => done.push_str(namespace),
            _ if inside == KNOWN[1] => done.push_str(name),
            _ => return Err(TemplateError::Unknown(inside.to_owned())),
        }
        rest = after;
    }
    done.push_str(rest);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_source_are_put_in() {
        assert_eq!(fill("backup/{namespace}/x-{name}", "a/b", "c").unwrap(), "backup/a/b/x-c");
        assert_eq!(fill("fixed", "a", "b").unwrap(), "fixed");
    }

    #[test]
    fn anything_else_in_braces_is_refused() {
        assert_eq!(fill("{owner}/{name}", "a", "b"), Err(TemplateError::Unknown("owner".into())));
        assert_eq!(fill("{}", "a", "b"), Err(TemplateError::Unknown(String::new())));
        for text in ["{name", "name}", "}{name}"] {
            assert_eq!(fill(text, "a", "b"), Err(TemplateError::Brace), "{text}");
        }
    }
}
