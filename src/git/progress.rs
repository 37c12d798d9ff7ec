//! Reads what git tells under `--progress`, and takes it away where only messages are wanted.
//!
//! git rewrites a progress line with `\r` and ends it with `\n` when the phase is over (progress.c, 2.47):
//! `Receiving objects:  45% (450/1000), 1.20 MiB | 3.00 MiB/s`. The server's lines come as `remote: …`, padded with
//! blanks or, on a terminal, with `ESC [K`.

/// One progress line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// git's own name of the phase, without `remote:`, e.g. `Receiving objects`.
    pub phase: &'a str,
    /// How far the phase is, 0 to 100; `None` while git only counts.
    pub percent: Option<u8>,
    /// Bytes transferred so far in this phase, as exact as git's two decimals.
    pub bytes: Option<u64>,
    /// Whether this is the phase's last line.
    pub done: bool,
}

/// Reads one line, free of `\r` and `\n` inside; `None` when it is no progress.
pub fn parse(line: &str) -> Option<Progress<'_>> {
    let line = trim(line);
    let line = line.strip_prefix("remote: ").unwrap_or(line);
    let (phase, rest) = line.split_once(':')?;
    if !phase.starts_with(|c: char| c.is_ascii_uppercase())
        || !phase.chars().all(|c| c.is_ascii_alphabetic() || matches!(c, ' ' | '-'))
    {
        return None;
    }
    let rest = rest.trim_start_matches(' ');
    let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = rest.split_at_checked(number).filter(|(number, _)| !number.is_empty())?;
    let (percent, rest) = match rest.strip_prefix("% (") {
        Some(rest) => {
            let (counts, rest) = rest.split_once(')')?;
            let (count, total) = counts.split_once('/')?;
            count.parse::<u64>().ok().zip(total.parse::<u64>().ok())?;
            (Some(number.parse::<u8>().ok()?.min(100)), rest)
        }
        // Without a total it looks like any `word: number`; but git's phases are all of this form: "Counting objects".
        None if phase.split_once(' ').is_some_and(|(verb, _)| verb.ends_with("ing")) => (None, rest),
        None => return None,
    };
    let (rest, done) = ending(rest)?;
    let bytes = match rest.strip_prefix(", ") {
        Some(throughput) => Some(size(throughput.split_once(" | ")?.0)?),
        None if rest.is_empty() => None,
        None => return None,
    };
    Some(Progress { phase, percent, bytes, done })
}

/// The messages in raw stderr: trimmed, not empty, and no progress among them.
pub fn messages(stderr: &str) -> impl Iterator<Item = &str> {
    stderr.split(['\n', '\r']).map(trim).filter(|line| !line.is_empty() && *line != "remote:" && parse(line).is_none())
}

/// Cuts `, done.` or `, completed with 3 local objects.` off; what follows must be nothing.
fn ending(rest: &str) -> Option<(&str, bool)> {
    if let Some(rest) = rest.strip_suffix(", done.") {
        return Some((rest, true));
    }
    // fetch of a thin pack: stop_progress_msg() in index-pack.c
    match rest.split_once(", completed with ") {
        Some((rest, tail)) => tail.ends_with('.').then_some((rest, true)),
        None => Some((rest, false)),
    }
}

/// Bytes of `231 bytes` or `1.20 MiB`: strbuf_humanise_bytes() knows bytes, KiB, MiB and GiB.
fn size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_once(' ')?;
    let unit = match unit {
        "byte" | "bytes" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some((number * unit).round() as u64)
}

/// Takes blanks and the terminal's "erase to the end of the line" from both ends.
fn trim(line: &str) -> &str {
    const ERASE: &str = "\x1b[K";
    let mut line = line.trim();
    while let Some(rest) = line.strip_suffix(ERASE).or_else(|| line.strip_prefix(ERASE)) {
        line = rest.trim();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn progress(phase: &str, percent: Option<u8>, bytes: Option<u64>, done: bool) -> Option<Progress<'_>> {
        Some(Progress { phase, percent, bytes, done })
    }

    #[test]
    fn a_transfer_tells_its_percentage_and_its_bytes() {
        assert_eq!(
            parse("Receiving objects:  45% (450/1000), 1.20 MiB | 3.00 MiB/s"),
            progress("Receiving objects", Some(45), Some(1_258_291), false)
        );
        assert_eq!(
            parse("Receiving objects: 100% (1000/1000), 12.34 MiB | 5.00 MiB/s, done."),
            progress("Receiving objects", Some(100), Some(12_939_428), true)
        );
        assert_eq!(
            parse("Unpacking objects: 100% (3/3), 231 bytes | 231.00 KiB/s, done."),
            progress("Unpacking objects", Some(100), Some(231), true)
        );
        assert_eq!(
            parse("Writing objects:  50% (1/2), 1.50 GiB | 10.00 MiB/s"),
            progress("Writing objects", Some(50), Some(1_610_612_736), false)
        );
    }

    #[test]
    fn a_phase_without_bytes_or_without_total_is_read_too() {
        assert_eq!(parse("Resolving deltas:  50% (5/10)"), progress("Resolving deltas", Some(50), None, false));
        assert_eq!(
            parse("Resolving deltas: 100% (5/5), completed with 3 local objects."),
            progress("Resolving deltas", Some(100), None, true)
        );
        assert_eq!(parse("Checking connectivity: 12, done."), progress("Checking connectivity", None, None, true));
        assert_eq!(parse("remote: Enumerating objects: 5, done."), progress("Enumerating objects", None, None, true));
        assert_eq!(
            parse("remote: Counting objects:  33% (1/3)\x1b[K"),
            progress("Counting objects", Some(33), None, false)
        );
        assert_eq!(
            parse("remote: Compressing objects: 100% (3/3), done.        "),
            progress("Compressing objects", Some(100), None, true)
        );
    }

    #[test]
    fn a_message_with_a_number_is_no_progress() {
        for line in [
            "fatal: 5",
            "remote: error: 404",
            "remote: Error: 500",
            "Error code: 500",
            "error: 4487 bytes of body are still expected",
            "fatal: unable to access 'http://h/x.git/': The requested URL returned error: 502",
            "Receiving objects: 45 apples",
            "Receiving objects: 45% of it",
            "remote: Total 3 (delta 0), reused 0 (delta 0), pack-reused 0",
            "warning: redirecting to https://h/y.git/",
            "",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn messages_are_what_is_left_without_progress() {
        let stderr = "Cloning into bare repository 'x'...\n\
            remote: Counting objects:  50% (1/2)\x1b[K\rremote: Counting objects: 100% (2/2), done.\x1b[K\n\
            remote: \n\
            Receiving objects:  11% (1/9), 1.95 MiB | 1.20 MiB/s\rfetch-pack: unexpected disconnect while reading sideband packet\n\
            git@h: Permission denied (publickey).\r\nremote: a message        \n";
        assert_eq!(
            messages(stderr).collect::<Vec<_>>(),
            [
                "Cloning into bare repository 'x'...",
                "fetch-pack: unexpected disconnect while reading sideband packet",
                "git@h: Permission denied (publickey).",
                "remote: a message",
            ]
        );
    }

    fn git(home: &Path, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("LC_MESSAGES", "C")
            .envs([("GIT_AUTHOR_NAME", "a"), ("GIT_AUTHOR_EMAIL", "a@example.org")])
            .envs([("GIT_COMMITTER_NAME", "a"), ("GIT_COMMITTER_EMAIL", "a@example.org")])
            .current_dir(home)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "git {args:?}: {stderr}");
        stderr
    }

    fn finished(stderr: &str) -> Vec<Progress<'_>> {
        stderr.split(['\n', '\r']).filter_map(parse).filter(|progress| progress.done).collect()
    }

    #[test]
    fn what_real_git_prints_is_read() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path();
        git(home, &["init", "-q", "-b", "main", "source"]);
        std::fs::write(home.join("source/file"), "x".repeat(5000)).unwrap();
        git(home, &["-C", "source", "add", "file"]);
        git(home, &["-C", "source", "commit", "-q", "-m", "one"]);
        let url = format!("file://{}/source", home.display());

        let clone = git(home, &["clone", "--progress", "--mirror", &url, "mirror.git"]);
        let received = finished(&clone).into_iter().find(|p| p.phase == "Receiving objects").unwrap();
        assert_eq!(received.percent, Some(100), "{clone}");
        assert!(finished(&clone).iter().any(|p| p.phase == "Enumerating objects"), "{clone}");
        // Everything but "Cloning into" and the server's total is progress.
        assert!(messages(&clone).all(|l| l.starts_with("Cloning into") || l.starts_with("remote: Total")), "{clone}");

        // A pipe is no terminal: only a push tells the bytes of a transfer that took no time.
        git(home, &["init", "-q", "--bare", "destination.git"]);
        let destination = format!("file://{}/destination.git", home.display());
        let push = git(home, &["-C", "mirror.git", "push", "--progress", &destination, "main"]);
        let written = finished(&push).into_iter().find(|p| p.phase == "Writing objects").unwrap();
        assert!(written.bytes.is_some_and(|bytes| bytes > 100), "{push}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(\\PC|[\r\n\x1b%(),.:/|0-9]|remote: |Receiving objects: )*") {
            let _ = parse(&text);
            let _ = messages(&text).count();
        }
    }
}
