//! From the command line to the exit code: each command has a file.

mod args;
mod check;
mod failures;
mod mirror;
mod push;
mod release;
mod status;
mod table;
mod terminal;

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

pub use self::args::{Cli, Command, Printed, command, page, pages, parse, script};
use self::args::{ConfigAction, ManArgs};
use self::terminal::print;
use crate::base::error::{Error, exit};
use crate::config::{self, ProcessEnvironment, Purpose};
use crate::cycle::priority;
use crate::git::{self, askpass};

/// Does what the command line asks for and returns the process's exit code.
pub fn main() -> ExitCode {
    if let Some(answered) = askpass::answer_if_asked() {
        return answered;
    }
    if let Some(failed) = git::leave_terminal_if_asked() {
        return failed;
    }
    priority::forbid_core_dumps();
    match args::answer_if_asked() {
        Ok(false) => {}
        Ok(true) => return ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprint!("{error}");
            return ExitCode::from(exit::USAGE);
        }
    }
    let cli = match parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(stop) if stop.exit_code == exit::OK => {
            let _ = anstream::stdout().write_all(stop.text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Err(stop) => {
            anstream::eprint!("{}", stop.text);
            return ExitCode::from(stop.exit_code);
        }
    };
    match dispatch(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            anstream::eprintln!("{error}");
            error.into()
        }
    }
}

fn dispatch(cli: Cli) -> Result<u8, Error> {
    match cli.command.unwrap_or(Command::Mirror(Box::new(cli.mirror))) {
        Command::Mirror(args) => mirror::mirror(*args, |_| Ok(())),
        Command::Push(args) => push::push(&args),
        Command::Release { action } => release::release(action),
        Command::Status(args) => status::show(args),
        Command::Config { action } => show_config(&action),
        Command::Completions { shell } => {
            print(&script(shell).context("cannot make the script")?);
            Ok(exit::OK)
        }
        Command::Man(args) => manual(&args),
    }
}

fn manual(args: &ManArgs) -> Result<u8, Error> {
    if let Some(directory) = &args.out {
        pages(directory).with_context(|| format!("cannot write into {}", directory.display()))?;
        return Ok(exit::OK);
    }
    match page(&args.command).context("cannot make the manual page")? {
        Some(page) => print(&page),
        None => {
            let error = Error::usage(format!("there is no command `{}`", args.command.join(" ")));
            return Err(error.hint("`holocron --help` lists the commands."));
        }
    }
    Ok(exit::OK)
}

fn show_config(action: &ConfigAction) -> Result<u8, Error> {
    match action {
        ConfigAction::Check(args) => return check::check(args),
        ConfigAction::Show(args) => {
            let env = ProcessEnvironment::read()?;
            let loaded = config::load_for(args, &env, Purpose::Look)?;
            print(&config::show(&loaded, &env));
        }
        ConfigAction::Schema => print(&config::schema()),
    }
    Ok(exit::OK)
}

fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    // The work is done by git; we mostly wait. One thread hands pieces of packs on without waking another for each.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    Ok(runtime.context("cannot start")?)
}
