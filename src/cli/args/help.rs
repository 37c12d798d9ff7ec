//! The help texts: `-h` is a screen of the flags that most people need, `--help` has all of them with their variables.

use clap::{Arg, Command};

use crate::config::{PUSH_WITHOUT_VARIABLE, variable};

/// The flags of `config`, `release`, `status` and `man` alone, which no variable stands for.
const WITHOUT_VARIABLE: [&str; 4] = ["tag", "online", "check", "out"];

/// The flags that `-h` shows, each on one line. A command without such a list shows all.
type Short = &'static [(&'static str, &'static str)];

const MIRROR: Short = &[
    ("source", "Where to read from: a kind of forge, or an id"),
    ("owner", "List only this user, organisation or group"),
    ("include", "Only repositories whose `namespace/name` matches"),
    ("dir", "Mirror the repositories found under this directory"),
    ("backup-only", "Keep the mirrors on this machine only"),
    ("destination", "github, gitlab, gitea, …, or an id"),
    ("storage", "The directory that holds the mirrors"),
    ("releases", "Mirror releases too: off, all or latest"),
    ("dry-run", "Print what would happen; write nothing"),
    ("config", "The configuration file [default: ./holocron.yaml]"),
    ("watch", "Run for ever, one cycle after another"),
    ("json", "Print one JSON document instead of the table"),
];

const PUSH: Short = &[
    ("to", "Push only to this destination [default: all of the file]"),
    ("directory", "The checkout whose origin is mirrored [default: .]"),
    ("source-url", "Mirror this URL instead of the checkout's origin"),
    ("dry-run", "Print what would happen; push nothing"),
    ("config", "The configuration file [default: ./holocron.yaml]"),
    ("json", "Print one JSON document instead of the table"),
    ("quiet", "Print no progress, only the report"),
];

const RELEASE: Short = &[
    ("tag", "Only releases whose tag matches (repeatable)"),
    ("backup-only", "The releases on this machine; push nothing"),
    ("destination", "Only this destination"),
    ("storage", "The directory that holds the mirrors"),
    ("releases", "Which releases: all or latest"),
    ("config", "The configuration file [default: ./holocron.yaml]"),
    ("json", "Print one JSON document instead of the table"),
];

const CONFIG: Short = &[
    ("online", "Ask the forges too"),
    ("source", "Where to read from"),
    ("backup-only", "Keep the mirrors on this machine; push nothing"),
    ("destination", "Where to push"),
    ("storage", "The directory that holds the mirrors"),
    ("config", "The configuration file [default: ./holocron.yaml]"),
];

/// Gives every flag its short and its whole text, and every command its examples.
pub(super) fn with_texts(command: Command) -> Command {
    let command = texts(command, Some(MIRROR), &[]).after_help(SHORT_EXAMPLES).after_long_help(EXAMPLES);
    command.mut_subcommands(|sub| match sub.get_name() {
        "mirror" => texts(sub, Some(MIRROR), &[]).after_long_help(EXAMPLES),
        "push" => texts(sub, Some(PUSH), &PUSH_WITHOUT_VARIABLE).after_long_help(PUSH_EXAMPLES),
        "release" => sub.mut_subcommands(|action| texts(action, Some(RELEASE), &WITHOUT_VARIABLE)),
        "config" => sub.mut_subcommands(|action| match action.get_name() {
            "schema" => action,
            _ => texts(action, Some(CONFIG), &WITHOUT_VARIABLE),
        }),
        _ => texts(sub, None, &WITHOUT_VARIABLE),
    })
}

fn texts(command: Command, short: Option<Short>, without_variable: &[&str]) -> Command {
    command.mut_args(|arg| {
        let Some(flag) = arg.get_long().map(str::to_owned) else { return arg };
        let whole = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
        let arg = match without_variable.contains(&flag.as_str()) {
            true => arg.long_help(whole),
            false => arg.long_help(format!("{whole} [env: {}]", variables(&flag))),
        };
        match short {
            None => arg,
            Some(short) => in_short(arg, short.iter().find(|(name, _)| *name == flag).map(|(_, text)| *text)),
        }
    })
}

fn in_short(arg: Arg, text: Option<&'static str>) -> Arg {
    match text {
        Some(text) => arg.help(text),
        None => arg.hide_short_help(true),
    }
}

fn variables(flag: &str) -> String {
    match flag {
        // The name it had before every flag had a variable.
        "gitlab-namespace" => "HOLOCRON_GITLAB_NAMESPACE, GITLAB_NAMESPACE".to_owned(),
        _ => variable(flag),
    }
}

const SHORT_EXAMPLES: &str = "\
Example: GITHUB_TOKEN=… holocron --backup-only";

const EXAMPLES: &str = "\
Examples:
  holocron --source github --destination gitlab  GITHUB_TOKEN's repositories to GITLAB_TOKEN's user
  holocron --destination gitlab --gitlab-namespace team
                                                 the same, to a group
  GITHUB_TOKEN=… holocron --backup-only          everything the token can see, into ./mirror-data
  holocron --backup-only --owner torvalds        public repositories of an owner, no token needed
  holocron --backup-only --dir ~/src             the repositories on this machine
  holocron --backup-only --watch --interval 10m  for ever, every ten minutes
  holocron --backup-only --dry-run               what would happen
  holocron --config holocron.yaml                several forges, filters and tokens from a file

Environment (also read from ./.env):
  GITHUB_TOKEN, GITLAB_TOKEN, GITEA_TOKEN, FORGEJO_TOKEN,        the token of each kind of forge
  CODEBERG_TOKEN
  <ID>_TOKEN, <ID>_USER                                          those of the file's destination `id`
  GITHUB_API_URL, GITLAB_API_URL, GITEA_API_URL                  servers of your own
  HOLOCRON_<FLAG>                                                every flag, as named beside it

Exit codes: 0 all current or updated, 1 the run could not go on, 2 wrong usage or configuration,
3 some mirrors failed or are held, 130 interrupted.";

const PUSH_EXAMPLES: &str = "\
Examples:
  holocron push                                  this checkout's origin, to every destination of ./holocron.yaml
  holocron push --to backup --to codeberg        to two of them
  GITLAB_TOKEN=… holocron push --to gitlab --destination-namespace team
                                                 without a file
  holocron push --dry-run                        what would happen

Environment (also read from ./.env):
  <ID>_TOKEN, <ID>_PASS or <ID>_PASSWORD         the token of the destination `id`: of `my-lab` MY_LAB_TOKEN
  <ID>_USER                                      the user name that goes with it
  SOURCE_TOKEN, SOURCE_USER                      those of the origin, when it is not public
  HOLOCRON_<FLAG>                                every flag, as named beside it

Exit codes: 0 all destinations are in step, 1 the run could not go on, 2 wrong usage or configuration,
3 a destination is behind, 130 interrupted.";

#[cfg(test)]
mod tests {
    use crate::cli::command;

    /// The short help of a command at 80 columns.
    fn short_help(path: &[&str]) -> String {
        let mut command = command().term_width(80);
        command.build();
        let found = path.iter().fold(&mut command, |command, name| command.find_subcommand_mut(name).unwrap());
        found.render_help().to_string()
    }

    fn paths(command: &clap::Command, path: &[&str]) -> Vec<Vec<String>> {
        let own = path.iter().map(|name| (*name).to_owned()).collect();
        let below = command.get_subcommands().filter(|sub| sub.get_name() != "help");
        let below = below.flat_map(|sub| paths(sub, &[path, &[sub.get_name()]].concat()));
        std::iter::once(own).chain(below).collect()
    }

    #[test]
    fn the_short_help_of_every_command_fits_on_one_screen() {
        for path in paths(&command(), &[]) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let help = short_help(&path);
            let most = if matches!(path.as_slice(), [] | ["mirror"]) { 42 } else { 24 };
            assert!(help.lines().count() <= most, "{path:?} has {} lines\n{help}", help.lines().count());
            let wide = help.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "{path:?}");
        }
    }
}
