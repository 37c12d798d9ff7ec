//! Shell completion: the script of a shell asks this program what can follow the words typed so far.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{Bash, CompleteEnv, Elvish, EnvCompleter, Fish, Powershell, Shells, Zsh};

use super::command;
use crate::config::{ProcessEnvironment, ids};

/// Set by the scripts when they ask; its value is the shell's name.
const VARIABLE: &str = "HOLOCRON_COMPLETE";

const SHELLS: Shells<'static> = Shells(&[&JoinedBash, &Elvish, &Fish, &Powershell, &Zsh]);

/// Answers a completion script, when one asks; else returns `false`.
///
/// # Errors
/// A shell that is unknown, a standard output that cannot be written.
pub fn answer_if_asked() -> Result<bool, clap::Error> {
    if std::env::var_os(VARIABLE).is_none_or(|shell| shell.is_empty() || shell == "0") {
        return Ok(false);
    }
    let here = std::env::current_dir().ok();
    let asked = CompleteEnv::with_factory(command).var(VARIABLE).shells(SHELLS);
    asked.try_complete(std::env::args_os(), here.as_deref())
}

/// The completion script for a shell.
///
/// # Errors
/// Only what writing to memory can meet.
pub fn script(shell: clap_complete::Shell) -> io::Result<String> {
    let mut script = Vec::new();
    if let Some(completer) = SHELLS.completer(&shell.to_string()) {
        completer.write_registration(VARIABLE, "holocron", "holocron", "holocron", &mut script)?;
    }
    Ok(String::from_utf8_lossy(&script).into_owned())
}

/// Gives the flags whose values are no paths and no fixed set what can follow them.
pub(super) fn with_values(command: Command) -> Command {
    let command = values(command);
    command.mut_subcommands(|sub| values(sub.mut_subcommands(values)))
}

fn values(command: Command) -> Command {
    command.mut_args(|arg| match arg.get_long() {
        Some("source") => arg.add(ArgValueCandidates::new(|| named(&SOURCES, ids::Of::Sources))),
        Some("destination") => arg.add(ArgValueCandidates::new(|| named(&DESTINATIONS, ids::Of::Destinations))),
        Some("to") => arg.add(ArgValueCandidates::new(|| named(&[], ids::Of::Destinations))),
        Some("releases") => arg.add(ArgValueCandidates::new(|| candidates(["all", "latest", "off"]))),
        Some("keep") => arg.add(ArgValueCandidates::new(|| candidates(["forever", "90", "0"]))),
        None if arg.get_id() == "command" => arg.add(ArgValueCandidates::new(commands)),
        _ => arg,
    })
}

const SOURCES: [&str; 7] = ["github", "gitlab", "gitea", "forgejo", "codeberg", "dir", "urls"];
const DESTINATIONS: [&str; 6] = ["github", "gitlab", "gitea", "forgejo", "codeberg", "local"];

fn candidates<T: Into<OsString>>(words: impl IntoIterator<Item = T>) -> Vec<CompletionCandidate> {
    words.into_iter().map(CompletionCandidate::new).collect()
}

/// The kinds, then the ids of the configuration file that applies; without a readable file the kinds alone.
fn named(kinds: &[&str], of: ids::Of) -> Vec<CompletionCandidate> {
    let of_file = ProcessEnvironment::read().map(|env| ids::of_file(&env, of)).unwrap_or_default();
    let more = of_file.into_iter().filter(|id| !kinds.contains(&id.as_str()));
    candidates(kinds.iter().map(|kind| (*kind).to_owned()).chain(more))
}

/// The commands that have a page of their own.
fn commands() -> Vec<CompletionCandidate> {
    candidates(command().get_subcommands().map(|sub| sub.get_name().to_owned()).collect::<Vec<_>>())
}

/// Bash, which splits the word under the cursor at `=`: put together again, so that `--releases=<TAB>` finds values.
struct JoinedBash;

const BASH: &str = r#"_clap_complete_holocron() {
    local IFS=$'\013' word prefix= index=0 i
    local words=()
    for (( i = 0; i <= COMP_CWORD; i++ )); do
        word=${COMP_WORDS[i]}
        if (( i > 0 )) && [[ ${words[index]} == --* && ( $word == "=" || ${words[index]} == *= ) ]]; then
            words[index]+=$word
        else
            (( i > 0 )) && (( ++index ))
            words[index]=$word
        fi
    done
    if [[ ${words[index]} == --*=* && $COMP_WORDBREAKS == *=* ]]; then
        prefix="${words[index]%%=*}="
    fi
    COMPREPLY=( $( \
        _CLAP_IFS="$IFS" \
        _CLAP_COMPLETE_INDEX="$index" \
        VARIABLE="bash" \
        holocron -- "${words[@]}" 2>/dev/null \
    ) )
    for i in "${!COMPREPLY[@]}"; do
        word=${COMPREPLY[i]#"$prefix"}
        # A path with a blank in it is one word.
        [[ $word == *[[:space:]]* ]] && printf -v word %q "$word"
        COMPREPLY[i]=$word
    done
    if [[ ${COMPREPLY-} =~ [=/:]$ ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o bashdefault -F _clap_complete_holocron holocron"#;

impl EnvCompleter for JoinedBash {
    fn name(&self) -> &'static str {
        Bash.name()
    }

    fn is(&self, name: &str) -> bool {
        Bash.is(name)
    }

    fn write_registration(&self, var: &str, _: &str, _: &str, _: &str, buf: &mut dyn Write) -> io::Result<()> {
        writeln!(buf, "{}", BASH.replace("VARIABLE", var))
    }

    fn write_complete(
        &self,
        cmd: &mut Command,
        args: Vec<OsString>,
        current_dir: Option<&Path>,
        buf: &mut dyn Write,
    ) -> io::Result<()> {
        Bash.write_complete(cmd, args, current_dir, buf)
    }
}
