//! What can be typed: `holocron [mirror]` with its flags, and the commands beside it.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueHint};

use crate::config::{ColorChoice, PUSH_WITHOUT_VARIABLE, variable};
pub use crate::config::{MirrorArgs, PushArgs};
use crate::error::exit;
use crate::secret::redact;

/// Keeps a faithful copy of every git repository you own.
#[derive(Debug, Parser)]
#[command(name = "holocron", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub mirror: MirrorArgs,
}

/// The commands; without one it is `mirror`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring every mirror up to date (this is what holocron does without a command)
    #[command(after_help = EXAMPLES)]
    Mirror(Box<MirrorArgs>),
    /// Mirror one repository, that of this checkout's origin, to other forges (made for CI)
    #[command(after_help = PUSH_EXAMPLES)]
    Push(Box<PushArgs>),
    /// Bring releases in step, of what is mirrored already; `mirror` does this, too, where `releases` is on
    Release {
        #[command(subcommand)]
        action: ReleaseAction,
    },
    /// Tell what the store knows: per mirror its last success, freshness, size, last failure and kept refs
    Status(StatusArgs),
    /// Check the configuration, show what applies, or print the file's JSON schema
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
    /// Print the manual page in roff format
    Man,
}

/// What to do with the configuration; the flags are those of `mirror`, as they take part in it.
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Check that a run has what it needs: values, variables, files, commands; print all that is wrong
    Check(Box<CheckArgs>),
    /// Print the values that apply, each with where it was set
    Show(Box<MirrorArgs>),
    /// Print the JSON schema of holocron.yaml, for editors
    Schema,
}

/// The flags of `config check`.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct CheckArgs {
    /// Ask the forges too: sources for their lists, destinations for the user of the token
    #[arg(long)]
    pub online: bool,

    #[command(flatten)]
    pub mirror: MirrorArgs,
}

/// What to do with releases.
#[derive(Debug, Subcommand)]
pub enum ReleaseAction {
    /// Say what `sync` would do, and do nothing
    Plan(Box<ReleaseArgs>),
    /// Make the releases of every place as they are at the source
    Sync(Box<ReleaseArgs>),
}

/// What `release` is about; the flags of `mirror` take part in it.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct ReleaseArgs {
    /// Only repositories whose `namespace/name` matches [default: all]
    #[arg(value_name = "REPO")]
    pub repos: Vec<String>,

    /// Only releases whose tag matches (repeatable)
    #[arg(long, value_name = "GLOB")]
    pub tag: Vec<String>,

    #[command(flatten)]
    pub mirror: MirrorArgs,
}

/// The flags of `status`.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct StatusArgs {
    /// Print one JSON document on stdout instead of the table
    #[arg(long)]
    pub json: bool,

    /// The directory that holds the mirrors [default: ./mirror-data]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub storage: Option<PathBuf>,

    /// The configuration file [default: ./holocron.yaml, else ~/.config/holocron/holocron.yaml, else none]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,

    /// When to use colour [default: auto]
    #[arg(long, value_name = "WHEN")]
    pub color: Option<ColorChoice>,
}

impl From<StatusArgs> for MirrorArgs {
    fn from(args: StatusArgs) -> Self {
        let StatusArgs { json, storage, config, color } = args;
        MirrorArgs { json, storage, config, color, ..MirrorArgs::default() }
    }
}

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

/// The flags of `config` and `release` alone, which no variable stands for.
const WITHOUT_VARIABLE: [&str; 2] = ["tag", "online"];

/// What `--credits` prints.
pub fn credits() -> String {
    format!(
        "Holocron {}: keeps a faithful copy of every git repository you own.\n\
         After the Holocron in Python by Wouter Bloeyaert.\nLicense: MIT\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// Something to print instead of running: help, the version, or wrong usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// What to print, secrets masked; it may have colours, so print it through `anstream`.
    pub text: String,
    /// 0 for what was asked for (to stdout), 2 for wrong usage (to stderr).
    pub exit_code: u8,
}

/// Reads the command line; the first word is the program's name.
///
/// # Errors
/// Help, version and wrong usage come as [`Stop`].
pub fn parse<I, T>(words: I) -> Result<Cli, Stop>
where
    I: IntoIterator<Item = T>,
    T: Into<OsString> + Clone,
{
    let parsed = command().try_get_matches_from(words).and_then(|found| Cli::from_arg_matches(&found));
    parsed.map_err(|error| {
        let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        // clap repeats what was typed, which may be a URL with a password.
        let text = redact(&error.render().ansi().to_string());
        Stop { text, exit_code: if asked_for { exit::OK } else { exit::USAGE } }
    })
}

/// The whole command line; every flag's help names its environment variable.
pub fn command() -> clap::Command {
    let command = Cli::command().bin_name("holocron").mut_args(name_variable);
    command.mut_subcommands(|sub| {
        let sub = match sub.get_name() {
            "config" | "release" => sub.mut_subcommands(|action| {
                action.mut_args(|arg| match arg.get_long() {
                    Some(flag) if WITHOUT_VARIABLE.contains(&flag) => arg,
                    _ => name_variable(arg),
                })
            }),
            _ => sub,
        };
        let is_push = sub.get_name() == "push";
        sub.mut_args(|arg| match arg.get_long() {
            Some(flag) if is_push && PUSH_WITHOUT_VARIABLE.contains(&flag) => arg,
            _ => name_variable(arg),
        })
    })
}

fn name_variable(arg: clap::Arg) -> clap::Arg {
    match (arg.get_long(), arg.get_help()) {
        (Some("gitlab-namespace"), Some(help)) => {
            // The name it had before every flag had a variable.
            let help = format!("{help} [env: HOLOCRON_GITLAB_NAMESPACE, GITLAB_NAMESPACE]");
            arg.help(help)
        }
        (Some(flag), Some(help)) if !matches!(flag, "help" | "version") => {
            let help = format!("{help} [env: {}]", variable(flag));
            arg.help(help)
        }
        _ => arg,
    }
}

/// The completion script for a shell.
pub fn completions(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "holocron", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page, in roff.
///
/// # Errors
/// Only what writing to memory can meet.
pub fn manual() -> std::io::Result<String> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command()).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirror(words: &[&str]) -> MirrorArgs {
        let cli = parse(["holocron"].iter().chain(words)).map_err(|stop| stop.text).unwrap();
        match cli.command {
            None => cli.mirror,
            Some(Command::Mirror(args)) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn clap_finds_nothing_wrong_with_the_definition() {
        command().debug_assert();
    }

    #[test]
    fn mirror_is_what_happens_without_a_command() {
        let flags = ["--backup-only", "--source", "github,gitlab", "--source=dir", "-v", "--keep", "forever"];
        let without = mirror(&flags);
        assert_eq!(without, mirror(&[&["mirror"], flags.as_slice()].concat()));
        assert_eq!(without.source, ["github", "gitlab", "dir"]);
        assert!(without.backup_only && without.verbose);
    }

    #[test]
    fn flags_before_another_command_are_refused_rather_than_lost() {
        let stop = parse(["holocron", "--storage", "x", "status"]).unwrap_err();
        assert_eq!(stop.exit_code, exit::USAGE);
    }

    #[test]
    fn wrong_usage_ends_with_2_and_shows_no_password() {
        let stop = parse(["holocron", "--concurrency", "https://u:hunter2@h/x"]).unwrap_err();
        assert_eq!(stop.exit_code, exit::USAGE);
        assert!(!stop.text.contains("hunter2"), "{}", stop.text);
        assert_eq!(parse(["holocron", "--quiet", "--verbose"]).unwrap_err().exit_code, exit::USAGE);
    }

    #[test]
    fn help_names_the_variable_and_the_default_of_each_flag() {
        let stop = parse(["holocron", "--help"]).unwrap_err();
        assert_eq!(stop.exit_code, exit::OK);
        let help: String = stop.text.split_whitespace().collect::<Vec<_>>().join(" ");
        for expected in [
            "[env: HOLOCRON_BACKUP_ONLY]",
            "[default: 60] [env: HOLOCRON_INTERVAL]",
            "[default: 5] [env: HOLOCRON_CONCURRENCY]",
            "Examples:",
        ] {
            assert!(help.contains(expected), "{expected} is not in {help}");
        }
    }

    #[test]
    fn completions_and_manual_know_every_flag() {
        let (script, page) = (completions(clap_complete::Shell::Bash), manual().unwrap());
        for arg in command().get_arguments().filter_map(|arg| arg.get_long()) {
            assert!(script.contains(&format!("--{arg}")), "{arg}");
            assert!(page.contains(&arg.replace('-', "\\-")), "{arg}");
        }
    }
}
