//! What of the user's applies to a git command: nothing in a mirror, and in the user's own working trees all but what
//! would ask, wait or work on behind our back.

use std::ffi::OsString;

use tokio::process::Command;

use super::{askpass, ssh};

/// Whose rules a git command follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// A mirror is ours: no hook, helper, filter or preference of the user's changes what is in it.
    Mirror,
    /// A tree is the user's: a commit in it is the one that the user's own git would make. Filters, attributes, line ends,
    /// hooks, signing, identity, credential helpers and ssh are theirs; questions, editors, pagers, the file system monitor
    /// and background maintenance do not start.
    UserTree,
}

/// Variables of git's that a user sets on purpose to reach a server, or to say where git and its configuration are. All
/// other `GIT_*` are dropped: we may have been started by a git hook, which sets `GIT_DIR` and more.
const REACH: &[&str] = &[
    "GIT_SSH",
    ssh::VARIABLE,
    "GIT_SSH_VARIANT",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
    "GIT_SSL_KEY",
    "GIT_SSL_VERSION",
    "GIT_SSL_CIPHER_LIST",
    "GIT_PROXY_SSL_CAINFO",
    "GIT_PROXY_SSL_CERT",
    "GIT_PROXY_SSL_KEY",
    "GIT_HTTP_USER_AGENT",
    "GIT_HTTP_PROXY_AUTHMETHOD",
    "GIT_EXEC_PATH",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
];

/// Who commits, and when; and what the user has decided about attributes and large files.
const IDENTITY: &[&str] = &[
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_DATE",
    "GIT_COMMITTER_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_DATE",
    "GIT_ATTR_NOSYSTEM",
    "GIT_LFS_SKIP_SMUDGE",
];

/// Where a question could be asked. gpg's agent asks on the terminal or screen that its client names; one that was started
/// on a screen may know that screen by itself, and then the time limit ends the wait.
const SCREENS: &[&str] = &["DISPLAY", "WAYLAND_DISPLAY", "GPG_TTY", "SSH_ASKPASS"];

const MIRROR_VARIABLES: &[(&str, &str)] = &[
    // Nobody is there to answer: ask our askpass or fail.
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GCM_INTERACTIVE", "never"),
    ("GIT_ASKPASS", ""),
    ("SSH_ASKPASS_REQUIRE", "never"),
    // A mirror holds what its source's commits are, not what its refs/replace/* say instead.
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    // Reading must not write: status would refresh the index of a repository that is not ours.
    ("GIT_OPTIONAL_LOCKS", "0"),
    // Pointers to large files stay pointers; their content is fetched by nobody's accident.
    ("GIT_LFS_SKIP_SMUDGE", "1"),
    // Our mirrors are read by plain means too (pack checks, HEAD), whatever the user prefers for new repositories.
    ("GIT_DEFAULT_REF_FORMAT", "files"),
    // A clone has its source's hash; nothing has the one that the user prefers for new repositories.
    ("GIT_DEFAULT_HASH", "sha1"),
];

const MIRROR_SETTINGS: &[&str] = &[
    // A helper of the user's pre-empts askpass, is handed our token, and loses its own entry after a 401.
    "credential.helper=",
    // A hook of the user's must not run in mirrors, nor one that came with a repository.
    "core.hooksPath=/dev/null",
    // Nothing may work in a mirror behind our back.
    "gc.auto=0",
    "maintenance.auto=false",
    "core.fsmonitor=false",
    // We read messages and progress.
    "color.ui=false",
    "advice.defaultBranchName=false",
    // A mirror keeps what the source has, zero-padded modes and other sins of old included.
    "transfer.fsckObjects=false",
    "fetch.fsckObjects=false",
    // Refs go by our own diff only.
    "fetch.prune=false",
    "fetch.pruneTags=false",
    "fetch.writeCommitGraph=false",
    // One pack, whose end can be checked, instead of loose objects; and only index-pack says what it received.
    "fetch.unpackLimit=1",
    // A ref is on the disk before it takes the place of the one before, so that a power cut leaves one of the two
    // (git 2.36; older ones do not know the key). Packs and their indexes are so in every git.
    "core.fsync=loose-object,reference",
    "core.fsyncMethod=fsync",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "clone.defaultRemoteName=origin",
    // `ext::` runs any command that a URL names.
    "protocol.ext.allow=never",
    // curl gives up by itself before our own watch over the pipes has to.
    "http.lowSpeedLimit=1",
];

const USER_TREE_VARIABLES: &[(&str, &str)] = &[
    // Credential helpers answer or fail; an empty askpass switches off that of the configuration too.
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GCM_INTERACTIVE", "never"),
    ("GIT_ASKPASS", ""),
    // ssh and ssh-keygen ask this program, which does not answer, and never a terminal (OpenSSH 8.4). The user's own ssh
    // command stays untouched, also where hooks and git-lfs start it.
    ("SSH_ASKPASS", "false"),
    ("SSH_ASKPASS_REQUIRE", "force"),
    // An editor that is needed is a mistake of ours: it fails, and accepts nothing unread, as `:` would.
    ("GIT_EDITOR", "false"),
    ("GIT_SEQUENCE_EDITOR", "false"),
    ("GIT_MERGE_AUTOEDIT", "no"),
    ("GIT_PAGER", "cat"),
    // Reading must not write: the user's own git must find no lock of ours.
    ("GIT_OPTIONAL_LOCKS", "0"),
    // A commit needs no network (git 2.45).
    ("GIT_NO_LAZY_FETCH", "1"),
];

const USER_TREE_SETTINGS: &[&str] = &[
    // Nothing may work on in the user's repository when the command has ended.
    "gc.auto=0",
    "gc.autoDetach=false",
    "maintenance.auto=false",
    "core.fsmonitor=false",
    // We read messages.
    "color.ui=false",
    // Who commits is the user, and never made up from the names of account and host.
    "user.useConfigOnly=true",
];

impl Policy {
    /// What of the environment `all` a git inherits.
    pub(super) fn inherited(self, all: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
        let encoding = all.iter().find(|(name, value)| name == "LC_ALL" && !value.is_empty());
        let mut kept: Vec<_> = all.iter().filter(|(name, _)| self.lets_in(&name.to_string_lossy())).cloned().collect();
        // We read messages: C is their language. LC_ALL=C would change the encoding too, so that goes on as it was.
        kept.push(("LC_MESSAGES".into(), "C".into()));
        if let Some((_, encoding)) = encoding {
            kept.retain(|(name, _)| name != "LC_CTYPE");
            kept.push(("LC_CTYPE".into(), encoding.clone()));
        }
        kept
    }

    fn lets_in(self, name: &str) -> bool {
        match name {
            "LC_ALL" | "LANGUAGE" | "LC_MESSAGES" | askpass::MARKER => false,
            _ if name.starts_with("GIT_") => {
                REACH.contains(&name) || self == Policy::UserTree && IDENTITY.contains(&name)
            }
            _ => self == Policy::Mirror || !SCREENS.contains(&name),
        }
    }

    /// Gives `git` the variables and settings that all commands of this policy share.
    pub(super) fn tell(self, git: &mut Command) {
        let (variables, settings) = match self {
            Policy::Mirror => (MIRROR_VARIABLES, MIRROR_SETTINGS),
            Policy::UserTree => (USER_TREE_VARIABLES, USER_TREE_SETTINGS),
        };
        git.envs(variables.iter().copied());
        for setting in settings {
            git.args(["-c", setting]);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::super::*;

    fn shown(command: &Command) -> String {
        let text = |text: &OsStr| text.to_string_lossy().into_owned();
        let command = command.as_std();
        let mut lines: Vec<String> = command
            .get_envs()
            .map(|(name, value)| match value {
                Some(value) => format!("{}={}", text(name), text(value)),
                None => format!("{} removed", text(name)),
            })
            .collect();
        lines.extend(command.get_current_dir().map(|dir| format!("cd {}", dir.display())));
        lines.extend(command.get_args().map(text));
        lines.join("\n").replace("-c\n", "-c ").replace(&*which::which("git").unwrap().to_string_lossy(), "git")
    }

    fn git() -> Git {
        let path = std::env::var("PATH").unwrap();
        let environment = [
            ("PATH", path.as_str()),
            ("HOME", "/home/me"),
            ("DISPLAY", ":0"),
            ("LC_ALL", "de_DE.UTF-8"),
            ("TOKEN", "t0ps3cret"),
            ("GIT_DIR", "/elsewhere"),
            ("GIT_INDEX_FILE", "/elsewhere/index"),
            ("GIT_CONFIG_PARAMETERS", "'user.name=x'"),
            ("GIT_AUTHOR_NAME", "Me"),
            ("GIT_EDITOR", "vim"),
            ("GIT_SSH_COMMAND", "ssh -i key"),
            ("SSH_ASKPASS", "ksshaskpass"),
            ("GPG_TTY", "/dev/pts/1"),
        ];
        let git = Git::find(Settings {
            environment: environment.map(|(name, value)| (name.into(), value.into())).into(),
            secrets: vec!["TOKEN".to_owned()],
            askpass: "/bin/holocron".into(),
            idle: Duration::from_secs(60),
            total: None,
            resources: Resources::default(),
            stop: CancellationToken::new(),
            transport: GitTransport::Git,
        });
        git.unwrap().without(&["PATH".to_owned()])
    }

    fn inherited(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
        let all: Vec<_> = pairs.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Policy::Mirror.inherited(&all)
    }

    fn value<'a>(environment: &'a [(OsString, OsString)], name: &str) -> Option<&'a str> {
        environment.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.to_str())
    }

    #[test]
    fn a_hooks_environment_does_not_reach_git_and_a_users_certificates_do() {
        let kept = inherited(&[("GIT_DIR", "/x"), ("GIT_TRACE", "1"), ("GIT_SSL_CAINFO", "/ca"), ("HOME", "/h")]);
        assert_eq!((value(&kept, "GIT_DIR"), value(&kept, "GIT_TRACE")), (None, None));
        assert_eq!((value(&kept, "GIT_SSL_CAINFO"), value(&kept, "HOME")), (Some("/ca"), Some("/h")));
    }

    #[test]
    fn messages_are_english_and_the_encoding_stays() {
        let kept = inherited(&[("LC_ALL", "de_DE.UTF-8"), ("LANGUAGE", "de"), ("LC_CTYPE", "C")]);
        assert_eq!((value(&kept, "LC_ALL"), value(&kept, "LANGUAGE")), (None, None));
        assert_eq!((value(&kept, "LC_MESSAGES"), value(&kept, "LC_CTYPE")), (Some("C"), Some("de_DE.UTF-8")));
    }

    #[test]
    fn nothing_of_the_users_applies_in_a_mirror() {
        insta::assert_snapshot!(shown(&git().command(Some(Path::new("/mirrors/a.git")))), @"
        DISPLAY=:0
        GCM_INTERACTIVE=never
        GIT_ASKPASS=
        GIT_DEFAULT_HASH=sha1
        GIT_DEFAULT_REF_FORMAT=files
        GIT_LFS_SKIP_SMUDGE=1
        GIT_NO_REPLACE_OBJECTS=1
        GIT_OPTIONAL_LOCKS=0
        GIT_SSH_COMMAND=ssh -i key
        GIT_TERMINAL_PROMPT=0
        GPG_TTY=/dev/pts/1
        HOME=/home/me
        LC_CTYPE=de_DE.UTF-8
        LC_MESSAGES=C
        SSH_ASKPASS=ksshaskpass
        SSH_ASKPASS_REQUIRE=never
        -c credential.helper=
        -c core.hooksPath=/dev/null
        -c gc.auto=0
        -c maintenance.auto=false
        -c core.fsmonitor=false
        -c color.ui=false
        -c advice.defaultBranchName=false
        -c transfer.fsckObjects=false
        -c fetch.fsckObjects=false
        -c fetch.prune=false
        -c fetch.pruneTags=false
        -c fetch.writeCommitGraph=false
        -c fetch.unpackLimit=1
        -c core.fsync=loose-object,reference
        -c core.fsyncMethod=fsync
        -c submodule.recurse=false
        -c fetch.recurseSubmodules=false
        -c clone.defaultRemoteName=origin
        -c protocol.ext.allow=never
        -c http.lowSpeedLimit=1
        -c http.lowSpeedTime=60
        -c safe.directory=/mirrors/a.git
        --git-dir
        /mirrors/a.git
        ");
        let outside = shown(&git().command(None));
        assert!(outside.contains("GIT_DIR=/dev/null/none") && !outside.contains("safe.directory"), "{outside}");
    }

    #[test]
    fn in_a_tree_of_the_users_only_questions_and_background_work_are_off() {
        let tree = git().user_tree(Path::new("/src/a"), Duration::from_secs(60)).with_index(Path::new("/tmp/index"));
        insta::assert_snapshot!(shown(&tree.command()), @"
        GCM_INTERACTIVE=never
        GIT_ASKPASS=
        GIT_AUTHOR_NAME=Me
        GIT_CEILING_DIRECTORIES=/src
        GIT_EDITOR=false
        GIT_INDEX_FILE=/tmp/index
        GIT_MERGE_AUTOEDIT=no
        GIT_NO_LAZY_FETCH=1
        GIT_OPTIONAL_LOCKS=0
        GIT_PAGER=cat
        GIT_SEQUENCE_EDITOR=false
        GIT_SSH_COMMAND=ssh -i key
        GIT_TERMINAL_PROMPT=0
        HOLOCRON_BECOMES=git
        HOME=/home/me
        LC_CTYPE=de_DE.UTF-8
        LC_MESSAGES=C
        SSH_ASKPASS=false
        SSH_ASKPASS_REQUIRE=force
        cd /src/a
        -c gc.auto=0
        -c gc.autoDetach=false
        -c maintenance.auto=false
        -c core.fsmonitor=false
        -c color.ui=false
        -c user.useConfigOnly=true
        ");
    }
}
