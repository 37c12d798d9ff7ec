//! Executable scripts that can be run at once.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes a script and makes it executable.
pub(super) fn install(path: &Path, text: &str) {
    // By another process: were it written here, a child that another test forks at this moment would hold it open
    // for writing, and it could not be executed (ETXTBSY).
    let mut install = Command::new("install");
    let installing = install.args(["-m", "755", "/dev/stdin"]).arg(path).stdin(Stdio::piped()).spawn();
    let mut installing = installing.expect("install is part of coreutils");
    let mut stdin = installing.stdin.take().expect("it is piped");
    stdin.write_all(text.as_bytes()).expect("a script fits into a pipe");
    drop(stdin);
    assert!(installing.wait().expect("our own child").success(), "{} could not be installed", path.display());
}
