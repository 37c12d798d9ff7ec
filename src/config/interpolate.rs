//! `${NAME}` and `${NAME:-default}` in the texts of the file.

use super::environment::Environment;
use super::problem::Problem;

/// Puts the values of variables into a text; `$${` stands for a literal `${`.
///
/// A variable that is set but empty takes the default, as in a shell.
///
/// # Errors
/// An unset variable without a default, a name that is none, a brace that is never closed; the problem has no place.
pub(crate) fn interpolate(text: &str, env: &dyn Environment) -> Result<String, Problem> {
    let mut done = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, after) = (&rest[..start], &rest[start + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            done.extend([before, "${"]);
            rest = after;
            continue;
        }
        done.push_str(before);
        let Some(end) = after.find('}') else {
            return Err(Problem::new("", "`${` is never closed").hint("write `${NAME}`, or `$${` for the two signs"));
        };
        let (inside, default) = match after[..end].split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (&after[..end], None),
        };
        if !is_name(inside) {
            return Err(Problem::new("", format!("`${{{inside}}}` does not name a variable"))
                .hint("write `${NAME}` or `${NAME:-default}`, or `$${` for the two signs"));
        }
        match (env.var(inside).filter(|value| !value.is_empty()), default) {
            (Some(value), _) => done.push_str(&value),
            (None, Some(default)) => done.push_str(default),
            (None, None) => {
                return Err(Problem::new("", format!("the variable {inside} is not set"))
                    .hint(format!("set {inside}, or give a default: `${{{inside}:-…}}`")));
            }
        }
        rest = &after[end + 1..];
    }
    done.push_str(rest);
    Ok(done)
}

/// Whether a text can be the name of an environment variable.
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment::Fake;

    fn put(text: &str) -> Result<String, String> {
        let env = Fake::new(&[("HOST", "git.example.org"), ("EMPTY", "")]);
        interpolate(text, &env).map_err(|problem| problem.message)
    }

    #[test]
    fn variables_and_defaults_are_put_in() {
        assert_eq!(put("https://${HOST}/api/${VERSION:-v4}${EMPTY:-}").unwrap(), "https://git.example.org/api/v4");
        assert_eq!(put("${EMPTY:-x}").unwrap(), "x");
    }

    #[test]
    fn a_doubled_dollar_is_literal() {
        assert_eq!(put("$${HOST} costs 5$").unwrap(), "${HOST} costs 5$");
    }

    #[test]
    fn what_cannot_be_resolved_is_refused() {
        assert_eq!(put("${NOPE}").unwrap_err(), "the variable NOPE is not set");
        assert_eq!(put("${EMPTY}").unwrap_err(), "the variable EMPTY is not set");
        assert_eq!(put("${HO ST}").unwrap_err(), "`${HO ST}` does not name a variable");
        assert_eq!(put("x ${HOST").unwrap_err(), "`${` is never closed");
    }
}
