//! What can be typed: `holocron [mirror]` with its flags, and the commands beside it.

mod complete;
mod help;
mod manual;
mod meant;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueHint};

pub use self::complete::{answer_if_asked, script};
pub use self::manual::{page, pages};
use crate::base::error::exit;
use crate::base::redact::redact;
use crate::config::{ColorChoice, Hours};
pub use crate::config::{MirrorArgs, PushArgs};

/// Keeps a faithful copy of every git repository you own.
#[derive(Debug, Parser)]
#[command(name = "holocron", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub mirror: MirrorArgs,
}

/// The commands; without one it is `mirror`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Update every mirror (the default command)
    ///
    /// Updates every mirror. `holocron` without a command does the same.
    Mirror(Box<MirrorArgs>),
    /// Mirror this checkout's repository to other forges (for CI)
    Push(Box<PushArgs>),
    /// Sync the releases of repositories that are already mirrored
    ///
    /// Syncs the releases of repositories that are already mirrored. `mirror` does this too where `releases` is on.
    Release {
        #[command(subcommand)]
        action: ReleaseAction,
    },
    /// Show the state of every mirror
    ///
    /// Shows for every mirror its last success, its size, its last failure and its kept refs. Nothing is asked over
    /// the network.
    Status(StatusArgs),
    /// Check or show the configuration, or print its JSON schema
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
    /// Print a completion script for a shell
    ///
    /// The script asks this program what can follow, so it need not be made again after an update.
    Completions { shell: clap_complete::Shell },
    /// Print the manual page of a command, or write all of them
    Man(ManArgs),
}

/// What to do with the configuration; the flags are those of `mirror`, as they take part in it.
#[derive(Debug, Subcommand)]
pub enum ConfigAction {
    /// Check that a run has what it needs
    ///
    /// Checks that a run has what it needs: values, variables, files, commands. Prints all that is wrong.
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

/// What `man` prints.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub struct ManArgs {
    /// The command whose page is printed, such as `status` or `config check` [default: holocron itself]
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,

    /// Write the pages of all commands into this directory instead
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "command")]
    pub out: Option<PathBuf>,
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

    /// For monitors: print only what needs attention, and exit with 3 when something does
    #[arg(long)]
    pub check: bool,

    /// How long a mirror may be without a success before it is late, in hours or as `2d` [default: 48]
    #[arg(long, value_name = "HOURS")]
    pub stale_after: Option<Hours>,

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
        let StatusArgs { json, check: _, stale_after, storage, config, color } = args;
        MirrorArgs { json, stale_after, storage, config, color, ..MirrorArgs::default() }
    }
}

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
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    let parsed = command().try_get_matches_from(&words).and_then(|found| {
        meant::refuse_unread(&found)?;
        Cli::from_arg_matches(&found)
    });
    parsed.map_err(|error| {
        let asked_for = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        let text = match asked_for {
            true => error.render().ansi().to_string(),
            false => meant::text(&error, &words),
        };
        // What was typed is repeated, and may be a URL with a password.
        Stop { text: redact(&text), exit_code: if asked_for { exit::OK } else { exit::USAGE } }
    })
}

/// The whole command line, with the help texts and completions of every flag.
pub fn command() -> clap::Command {
    let command = Cli::command().bin_name("holocron");
    complete::with_values(help::with_texts(meant::hide_unread(command)))
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
        assert!(without.backup_only && without.verbose == 1);
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

    fn help_text() -> String {
        parse(["holocron", "--help"]).unwrap_err().text
    }

    #[test]
    fn help_and_manual_know_every_flag() {
        let (help, page) = (help_text(), page(&[]).unwrap().unwrap());
        for arg in command().get_arguments().filter(|arg| !arg.is_hide_set()).filter_map(|arg| arg.get_long()) {
            assert!(help.contains(&format!("--{arg}")), "{arg}");
            assert!(page.contains(&arg.replace('-', "\\-")), "{arg}");
        }
    }
}
