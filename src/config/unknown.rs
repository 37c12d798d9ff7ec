//! Variables that look like ours and are nobody's: `HOLOCRON_STORGE` would otherwise be ignored without a word.

use clap::Args as _;

use super::environment::Environment;
use super::file::ConfigFile;
use super::flags::{MirrorArgs, variable};
use super::problem::{Problem, nearest};
use super::push::PushArgs;

/// Variables that are read elsewhere than by a flag; `docs/ci.md` has pipelines that set the last one.
const OTHERS: [&str; 3] = ["HOLOCRON_LOG", "HOLOCRON_ASKPASS", "HOLOCRON_REPOSITORY"];

/// What a person may call a token or a login of their own.
const CREDENTIALS: [&str; 4] = ["_TOKEN", "_USER", "_PASS", "_PASSWORD"];

/// Adds a problem for each variable `HOLOCRON_…` that no flag has and that the file does not name.
pub(super) fn variables(env: &dyn Environment, file: Option<&ConfigFile>, problems: &mut Vec<Problem>) {
    let commands = [MirrorArgs::augment_args(clap::Command::new("")), PushArgs::augment_args(clap::Command::new(""))];
    let flags = commands.iter().flat_map(clap::Command::get_arguments).filter_map(|arg| arg.get_long());
    let known: Vec<String> = flags.map(variable).chain(OTHERS.map(str::to_owned)).collect();
    for name in env.names().into_iter().filter(|name| name.starts_with("HOLOCRON_")) {
        let is_credential = CREDENTIALS.iter().any(|end| name.ends_with(end));
        let is_named = file.is_some_and(|file| file.mentions(&name));
        if is_credential || is_named || known.contains(&name) {
            continue;
        }
        let problem = Problem::new(&name, "there is no such variable");
        let lower: Vec<String> = known.iter().map(|name| name.to_lowercase()).collect();
        problems.push(match nearest(&name, lower.iter().map(String::as_str)) {
            Some(meant) => problem.hint(format!("did you mean `{}`?", meant.to_uppercase())),
            None => problem.hint("`holocron --help` names the variable of each flag; unset this one"),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::environment::Fake;

    fn said(variables: &[(&str, &str)]) -> Vec<String> {
        let mut problems = Vec::new();
        super::variables(&Fake::new(variables), None, &mut problems);
        problems.iter().map(|problem| format!("{problem} {}", problem.hint.as_deref().unwrap_or_default())).collect()
    }

    #[test]
    fn a_variable_that_no_flag_has_is_a_problem_and_the_nearest_is_named() {
        let said = said(&[("HOLOCRON_STORGE", "/x"), ("HOLOCRON_STORAGE", "/x"), ("HOLOCRON_XYZZY", "1")]);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("HOLOCRON_STORGE") && said[0].contains("HOLOCRON_STORAGE"), "{said:?}");
    }

    #[test]
    fn the_variables_of_every_command_and_logins_of_ones_own_are_known() {
        let known =
            ["HOLOCRON_TO", "HOLOCRON_SOURCE_URL", "HOLOCRON_LOG", "HOLOCRON_ACME_TOKEN", "HOLOCRON_KEEP", "GITHUB_X"];
        assert_eq!(said(&known.map(|name| (name, "x"))), [""; 0]);
    }
}
