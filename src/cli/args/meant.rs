//! Wrong usage, with what was meant: a flag at a command that does not read it, a flag before the command, a value
//! without `=`, a path where a command stands.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::command;
use crate::base::error::Error;

/// The flags that a command has because it takes those of `mirror`, and that change nothing there.
const UNREAD: [(&str, &[&str]); 6] = [
    ("", &["stale-after"]),
    ("mirror", &["stale-after"]),
    ("release plan", &["watch", "interval", "window", "checkout", "keep", "credits", "stale-after"]),
    ("release sync", &["watch", "interval", "window", "checkout", "keep", "credits", "stale-after"]),
    ("config check", &["full", "wait", "json", "quiet", "verbose", "color", "credits"]),
    ("config show", &["credits"]),
];

/// Takes the flags that a command does not read out of its help, manual page and completions.
pub(super) fn hide_unread(command: Command) -> Command {
    hide(command, "").mut_subcommands(|sub| {
        let name = sub.get_name().to_owned();
        hide(sub, &name).mut_subcommands(|action| {
            let path = format!("{name} {}", action.get_name());
            hide(action, &path)
        })
    })
}

fn hide(command: Command, path: &str) -> Command {
    let unread = unread(path);
    command.mut_args(|arg| match arg.get_long() {
        Some(flag) if unread.contains(&flag) => arg.hide(true),
        _ => arg,
    })
}

fn unread(path: &str) -> &'static [&'static str] {
    UNREAD.iter().find(|(command, _)| *command == path).map_or(&[], |(_, flags)| flags)
}

/// Refuses a flag that was typed for a command that does not read it.
pub(super) fn refuse_unread(found: &ArgMatches) -> Result<(), clap::Error> {
    let (mut path, mut at) = (String::new(), found);
    while let Some((name, below)) = at.subcommand() {
        path = format!("{path} {name}").trim_start().to_owned();
        at = below;
    }
    for flag in unread(&path) {
        let id = flag.replace('-', "_");
        if at.try_contains_id(&id).is_ok() && at.value_source(&id) == Some(ValueSource::CommandLine) {
            let mut error = clap::Error::new(ErrorKind::UnknownArgument);
            error.insert(ContextKind::InvalidArg, ContextValue::String(format!("--{flag}")));
            return Err(error);
        }
    }
    Ok(())
}

/// The message for wrong usage: what was meant where that is known, else clap's own.
pub(super) fn text(error: &clap::Error, words: &[OsString]) -> String {
    let words: Vec<String> = words.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    match meant(error, &words) {
        Some(error) => format!("{error}\n"),
        None => error.render().ansi().to_string(),
    }
}

fn meant(error: &clap::Error, words: &[String]) -> Option<Error> {
    let command = command();
    if let Some(error) = value_without_equals(words) {
        return Some(error);
    }
    match error.kind() {
        ErrorKind::UnknownArgument => unknown_argument(&context(error, ContextKind::InvalidArg)?, words, &command),
        ErrorKind::ArgumentConflict => flag_before_command(words, &command),
        ErrorKind::InvalidSubcommand => no_command(&context(error, ContextKind::InvalidSubcommand)?, &command),
        _ => None,
    }
}

fn context(error: &clap::Error, kind: ContextKind) -> Option<String> {
    match error.get(kind)? {
        ContextValue::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// The command that the words call, as the words that name it.
fn called(words: &[String], command: &Command) -> Vec<String> {
    let (mut names, mut at) = (Vec::new(), command);
    for word in words {
        if let Some(below) = at.find_subcommand(word) {
            names.push(word.clone());
            at = below;
        }
    }
    names
}

fn unknown_argument(argument: &str, words: &[String], command: &Command) -> Option<Error> {
    if argument.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
        return negative(argument, words);
    }
    let flag = argument.strip_prefix("--")?.split('=').next()?;
    let path = called(words, command);
    let owners = owners(flag, command);
    let others: Vec<&String> = owners.iter().filter(|owner| **owner != path.join(" ")).collect();
    let here = ["holocron".to_owned()].into_iter().chain(path).collect::<Vec<_>>().join(" ");
    let named = |owner: &String| format!("`{}`", format!("holocron {owner}").trim_end());
    let hint = match others.as_slice() {
        [] => return None,
        [owner] => format!("the flag belongs to {}.", named(owner)),
        [first, .., last] => format!("the flag belongs to {} and {}.", named(first), named(last)),
    };
    let error = Error::usage(format!("`{here}` does not read `--{flag}`"));
    Some(error.hint(hint).hint(format!("`{here} --help` lists the flags that it reads.")))
}

/// The commands that read a flag, `mirror` under its short name.
fn owners(flag: &str, command: &Command) -> Vec<String> {
    let reads =
        |command: &Command| command.get_arguments().any(|arg| arg.get_long() == Some(flag) && !arg.is_hide_set());
    let mut found: Vec<String> = reads(command).then(String::new).into_iter().collect();
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "mirror") {
        found.extend(reads(sub).then(|| sub.get_name().to_owned()));
        let actions = sub.get_subcommands().filter(|action| reads(action));
        found.extend(actions.map(|action| format!("{} {}", sub.get_name(), action.get_name())));
    }
    // The main job is what most people mean.
    if found.first().is_some_and(String::is_empty) {
        found.truncate(1);
    }
    found
}

/// `--interval -5`: clap takes the number for a flag.
fn negative(argument: &str, words: &[String]) -> Option<Error> {
    let at = words.iter().position(|word| word.starts_with('-') && word.starts_with(argument))?;
    let flag = words.get(at.checked_sub(1)?).filter(|word| word.starts_with("--"))?;
    let error = Error::usage(format!("`{flag}` cannot be `{}`: it takes no negative number", words[at]));
    Some(error.hint(format!("write `{flag} {}`.", words[at].trim_start_matches('-'))))
}

/// `--storage S status`: a command's flags stand behind it.
fn flag_before_command(words: &[String], command: &Command) -> Option<Error> {
    let at = words.iter().position(|word| command.find_subcommand(word).is_some())?;
    let (before, after) = words.split_at(at);
    if before.is_empty() {
        return None;
    }
    let deep = after
        .iter()
        .skip(1)
        .take_while(|word| command.find_subcommand(&after[0]).is_some_and(|sub| sub.find_subcommand(word).is_some()));
    let named = 1 + deep.take(1).count();
    let (name, rest) = after.split_at(named);
    let flags = before.iter().chain(rest).map(|word| shown(word));
    let line: Vec<String> = name.iter().cloned().chain(flags).collect();
    let error = Error::usage(format!("the flags of `{}` stand behind it", name.join(" ")));
    Some(error.hint(format!("write `holocron {}`.", line.join(" "))))
}

/// `--releases latest`: the value of this flag needs an equals sign, because the flag can stand alone.
fn value_without_equals(words: &[String]) -> Option<Error> {
    let at = words.iter().position(|word| word == "--releases")?;
    let value = words.get(at + 1).filter(|word| ["off", "all", "latest"].contains(&word.as_str()))?;
    let error =
        Error::usage(format!("the value of `--releases` needs an equals sign: `{value}` was taken for a command"));
    Some(error.hint(format!("write `--releases={value}`.")))
}

/// A word where only a command can stand: a path, a URL, a kind of source or the name of a repository.
fn no_command(word: &str, command: &Command) -> Option<Error> {
    let kinds = ["github", "gitlab", "gitea", "forgejo", "codeberg", "dir", "urls"];
    let hint = if word.contains("://") || word.starts_with("git@") {
        format!("to mirror the repository at a URL write `holocron --backup-only --url {}`.", shown(word))
    } else if kinds.contains(&word) {
        format!("to read from it write `holocron --source {word}`.")
    } else if std::path::Path::new(word).exists() || word.starts_with(['/', '.', '~']) {
        format!("to mirror the repositories below a directory write `holocron --backup-only --dir {}`.", shown(word))
    } else if word.split('/').count() == 2 {
        format!("to mirror only this repository write `holocron --include {}`.", shown(word))
    } else {
        return None;
    };
    let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    let error = Error::usage(format!("`{word}` is not a command"));
    Some(error.hint(hint).hint(format!("the commands are: {}.", names.join(", "))))
}

/// A word as a shell takes it.
fn shown(word: &str) -> String {
    let is_plain = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=@,+%~".contains(c));
    if is_plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use crate::base::error::exit;
    use crate::cli::parse;

    fn refused(words: &[&str]) -> String {
        let stop = parse(["holocron"].iter().chain(words)).unwrap_err();
        assert_eq!(stop.exit_code, exit::USAGE, "{words:?}");
        stop.text
    }

    #[test]
    fn wrong_usage_names_what_was_meant() {
        for (words, expected) in [
            (["--releases", "latest"].as_slice(), "write `--releases=latest`"),
            (&["mirror", "--releases", "all"], "write `--releases=all`"),
            (&["push", "--interval", "5"], "the flag belongs to `holocron`"),
            (&["/srv/src"], "`holocron --backup-only --dir /srv/src`"),
            (&["https://h/x.git"], "--url https://h/x.git`"),
            (&["github"], "`holocron --source github`"),
            (&["acme/alpha"], "`holocron --include acme/alpha`"),
            (&["--storage", "S", "status"], "write `holocron status --storage S`"),
            (&["--storage", "a b", "config", "show", "--full"], "write `holocron config show --storage 'a b' --full`"),
            (&["--interval", "-5"], "write `--interval 5`"),
            (&["--timeout", "-5m"], "write `--timeout 5m`"),
            (&["status", "--source", "github"], "`holocron status` does not read `--source`"),
            (&["release", "sync", "--watch"], "`holocron release sync` does not read `--watch`"),
            (&["config", "check", "--json"], "`holocron config check` does not read `--json`"),
            (&["--stale-after", "2d"], "the flag belongs to `holocron status`"),
            (&["--online"], "the flag belongs to `holocron config check`"),
        ] {
            let text = refused(words);
            assert!(text.contains(expected), "{words:?}: {text}");
        }
    }

    #[test]
    fn a_typing_error_in_a_command_keeps_the_tip_for_it() {
        assert!(refused(&["statsu"]).contains("status"));
    }

    #[test]
    fn what_was_meant_shows_no_password() {
        let text = refused(&["https://u:hunter2@h/x.git"]);
        assert!(!text.contains("hunter2"), "{text}");
    }
}
