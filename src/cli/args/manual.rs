//! The manual pages, one per command, in roff.

use std::io;
use std::path::Path;

use clap::Command;

use super::command;

/// The manual page of a command, by the words that call it; none is `holocron` itself. `None` when there is no such
/// command.
///
/// # Errors
/// Only what writing to memory can meet.
pub fn page(words: &[String]) -> io::Result<Option<String>> {
    let command = built();
    let found = words.iter().try_fold(&command, |command, word| command.find_subcommand(word));
    let Some(found) = found else { return Ok(None) };
    let mut page = Vec::new();
    clap_mangen::Man::new(found.clone()).render(&mut page)?;
    Ok(Some(String::from_utf8_lossy(&page).into_owned()))
}

/// Writes the pages of all commands into a directory, which is made when it is missing: `holocron.1`,
/// `holocron-status.1`, …
///
/// # Errors
/// The directory or a file in it cannot be written.
pub fn pages(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(command(), directory)
}

/// With the names that the pages have: `holocron-config-check`.
fn built() -> Command {
    let mut command = command().disable_help_subcommand(true);
    command.build();
    command
}
