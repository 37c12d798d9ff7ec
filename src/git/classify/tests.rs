use std::collections::HashSet;
use std::path::Path;

use proptest::prelude::*;

use super::*;

/// One file of `testdata/git-stderr`.
struct Sample {
    /// The folder it is filed under: a reason, `ok` or `trap`.
    folder: String,
    case: String,
    stdout: String,
    stderr: String,
}

fn samples() -> Vec<Sample> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/git-stderr");
    let mut samples = Vec::new();
    for folder in std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for file in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let text = std::fs::read_to_string(&file).unwrap();
            let (mut stdout, mut stderr) = (String::new(), String::new());
            let mut section = None;
            for line in text.split_inclusive('\n') {
                match line.trim_end() {
                    "--- stdout ---" => section = Some(&mut stdout),
                    "--- stderr ---" | "--- terminal ---" => section = Some(&mut stderr),
                    other if other.starts_with("--- ") => section = None,
                    _ => {
                        if let Some(section) = &mut section {
                            section.push_str(line);
                        }
                    }
                }
            }
            samples.push(Sample {
                folder: folder.file_name().unwrap().to_str().unwrap().to_owned(),
                case: file.file_stem().unwrap().to_str().unwrap().to_owned(),
                stdout,
                stderr,
            });
        }
    }
    samples
}

/// Lines no sample holds, each with the rule's reason and where the words were found.
const QUOTED: &[(&str, Reason, &str)] = &[
    (
        "fatal: unable to access 'http://h/x.git/': The requested URL returned error: 301",
        Reason::RemoteNotFound,
        "git 2.47 with http.followRedirects=false",
    ),
    (
        "fatal: unable to access 'http://h/x.git/': transfer closed with outstanding read data remaining",
        Reason::NetworkFailed,
        "git 2.47 with curl 7.88, cut in a chunked answer",
    ),
    (
        "fatal: unable to access 'http://h/x.git/': transfer closed with 12 bytes remaining to read",
        Reason::NetworkFailed,
        "git 2.47 with curl 7.88, cut in an answer with its length",
    ),
    ("fatal: expected 'packfile', received 'ERR x'", Reason::ServerError, "git 2.47, fetch-pack.c"),
    ("fatal: expected 'acknowledgments'", Reason::NetworkFailed, "git 2.47, cut within the headers"),
    ("fatal: expected 'packfile'", Reason::NetworkFailed, "git 2.47, cut within the headers"),
    ("fatal: unable to write loose object file: Disk quota exceeded", Reason::DiskFull, "glibc, strerror(EDQUOT)"),
    ("fatal: write error: File too large", Reason::DiskFull, "glibc, strerror(EFBIG)"),
    (
        "fatal: gc is already running on machine 'h' pid 7 (use --force if not)",
        Reason::LocalLock,
        "git 2.47, builtin/gc.c",
    ),
    (
        "error: insufficient permission for adding an object to repository database objects",
        Reason::LocalFailed,
        "git 2.47, object-file.c",
    ),
    ("error: index-pack died of signal 9\nfatal: early EOF", Reason::LocalFailed, "git 2.47, run-command.c"),
    (
        "error: pack-objects died of signal 9\nerror: failed to push some refs to 'https://h/x.git'",
        Reason::LocalFailed,
        "git 2.47, run-command.c",
    ),
    (
        "error: RPC failed; curl 56 OpenSSL SSL_read: OpenSSL/3.2.4: error:0A000126:SSL routines::unexpected eof while reading, errno 0",
        Reason::NetworkFailed,
        "yonggekkk/Cloudflare-vless-trojan#358",
    ),
    (
        "fatal: unable to access 'https://h/x.git/': The requested URL returned error: 401",
        Reason::AuthFailed,
        "git 2.47, http.c, a 401 where no login is tried",
    ),
    (
        "fatal: unable to access 'https://h/x.git/': Received HTTP code 407 from proxy after CONNECT",
        Reason::AuthFailed,
        "curl before 7.87",
    ),
    (
        "fatal: unable to update url base from redirection:\n  asked for: https://h/o/r.git/info/refs?service=git-upload-pack\n   redirect: https://h/user/login",
        Reason::AuthFailed,
        "Gitea's login page; git 2.47, http.c",
    ),
    (
        "fatal: unable to update url base from redirection:\n  asked for: https://h/o/r.git/info/refs?service=git-upload-pack\n   redirect: https://h/moved",
        Reason::RemoteNotFound,
        "git 2.47, http.c",
    ),
    ("Timeout, server github.com not responding.", Reason::TimedOut, "OpenSSH, clientloop.c"),
    (
        "fatal: unable to access 'https://h/x.git/': Failed to connect to h port 443 after 300000 ms: Timeout was reached",
        Reason::TimedOut,
        "curl, CURLE_OPERATION_TIMEDOUT",
    ),
    ("ssh: connect to host h port 22: Connection refused", Reason::NetworkFailed, "OpenSSH, sshconnect.c"),
    ("kex_exchange_identification: Connection closed by remote host", Reason::NetworkFailed, "OpenSSH, kex.c"),
    ("error: unable to delete 'travis': remote ref does not exist", Reason::RefRace, "git 2.47, remote.c"),
    (
        "error: cannot lock ref 'refs/pull/1/merge': is at 1111111 but expected 2222222",
        Reason::RefRace,
        "go-gitea, mirror_pull_test.go; git 2.47, refs/files-backend.c",
    ),
    (
        "error: cannot lock ref 'refs/heads/a': reference is missing but expected 2222222",
        Reason::RefRace,
        "git 2.47, refs/files-backend.c",
    ),
    (
        "error: cannot lock ref 'refs/heads/a': reference already exists",
        Reason::RefRace,
        "git 2.47, refs/files-backend.c",
    ),
    (" ! [rejected]        main -> main (stale info)", Reason::RefRace, "git 2.47, transport.c"),
    (" ! [rejected]        main -> main (remote ref updated since checkout)", Reason::RefRace, "git 2.47, transport.c"),
    (
        "error: cannot lock ref 'refs/pull/1/head': unable to resolve reference 'refs/pull/1/head'",
        Reason::RefRace,
        "go-gitea, mirror_pull_test.go",
    ),
    ("fatal: bad tree object 4b825dc642cb6eb9a060e54bf8d69288fbee4904", Reason::Corrupt, "git 2.47, list-objects.c"),
    ("fatal: object 4b825dc642cb6eb9a060e54bf8d69288fbee4904 not found", Reason::Corrupt, "git 2.47"),
    ("error: object file .git/objects/4b/825dc6 is empty", Reason::Corrupt, "git 2.47, object-file.c"),
    (
        "fatal: loose object 4b825dc (stored in ./objects/4b/825dc6) is corrupt",
        Reason::Corrupt,
        "git 2.47, object-file.c",
    ),
    (" ! [rejected]        gh-pages -> gh-pages (fetch first)", Reason::Diverged, "hub-mirror-action#178"),
    (" ! [rejected]        v1 -> v1 (needs force)", Reason::Diverged, "git 2.47, transport.c"),
    (" ! [rejected]        v1 -> v1 (already exists)", Reason::Diverged, "git 2.47, transport.c"),
    (
        " ! [remote rejected] master (refusing to delete the current branch: refs/heads/master)",
        Reason::ProtectedRefRejected,
        "git-filter-repo#236",
    ),
    (
        " ! [remote rejected] main -> main (refusing to allow a Personal Access Token to create or update workflow `.github/workflows/x.yml` without `workflow` scope)",
        Reason::Forbidden,
        "categraf#34",
    ),
    (
        " ! [remote rejected] refs/pull/5/head -> refs/pull/5/head (The current action can only be performed by the system.)",
        Reason::ProtectedRefRejected,
        "swellaby#25",
    ),
    (
        "remote: error: GH013: Repository rule violations found for refs/heads/main.\nremote: - Push cannot contain secrets\n ! [remote rejected] main -> main (push declined due to repository rule violations)",
        Reason::SecretBlocked,
        "poster-design#140",
    ),
    (
        "remote: PUSH BLOCKED: Secrets detected in code changes\n ! [remote rejected] main -> main (pre-receive hook declined)",
        Reason::SecretBlocked,
        "GitLab's documentation, secret push protection",
    ),
    (
        "remote: error: GH001: Large files detected. You may want to try Git Large File Storage - https://git-lfs.github.com.",
        Reason::TooLarge,
        "swellaby#129",
    ),
    (
        "remote: GitLab: Your push has been rejected, because this repository has exceeded its size limit of 10 GB by 2.9 TB.",
        Reason::TooLarge,
        "gitlab-foss#26767",
    ),
    (
        "remote: error: GH008: Your push referenced at least 40 unknown Git LFS objects:\n ! [remote rejected] main -> main (pre-receive hook declined)",
        Reason::PushRejected,
        "git-lfs#3231",
    ),
    ("remote: fatal: fsck error in packed object", Reason::Corrupt, "git 2.47, without the line above it"),
    (
        "remote: error: GH003: Sorry, force-pushing to main is not allowed.",
        Reason::ProtectedRefRejected,
        "renovate#44819",
    ),
    (
        "remote: GitLab: You are not allowed to push code to protected branches on this project.",
        Reason::ProtectedRefRejected,
        "GitLab, Checks::BranchCheck",
    ),
    ("remote: GitLab: You are not allowed to access some of the refs!", Reason::ProtectedRefRejected, "gitlabhq#8361"),
    (
        "remote: PermissionDenied: branch:refs/github-services/pull/1/head is illegal\n ! [remote rejected] main -> main (pre-receive hook declined)",
        Reason::ProtectedRefRejected,
        "wearerequired/git-mirror-action#28",
    ),
    (
        "ERROR: This repository was archived so it is read-only.\nfatal: Could not read from remote repository.",
        Reason::Archived,
        "nextcloud/docker-ci#859",
    ),
    (
        "remote: This repo is archived. You can view files and clone it, but cannot push or open issues/pull-requests.\nfatal: unable to access 'https://h/x.git/': The requested URL returned error: 403",
        Reason::Archived,
        "Gitea, routers/web/repo/githttp.go",
    ),
    (
        "remote: Repository unavailable due to DMCA takedown.\nfatal: unable to access 'https://h/x.git/': The requested URL returned error: 403",
        Reason::Blocked,
        "ttrpg-convert-cli#538",
    ),
    (
        "ERROR: Repository not found.\nfatal: Could not read from remote repository.",
        Reason::RemoteNotFound,
        "GitHub over ssh",
    ),
    (
        "ERROR: The project you were looking for could not be found or you don't have permission to view it.",
        Reason::RemoteNotFound,
        "GitUp#860",
    ),
    ("remote: A repository for this project does not exist yet.", Reason::RemoteNotFound, "GitLab, Gitlab::GitAccess"),
    ("ERROR: Permission to o/r.git denied to u.", Reason::Forbidden, "GitHub over ssh"),
    (
        "remote: The `adeo' organization has enabled or enforced SAML SSO. To access\nfatal: unable to access 'https://h/x.git/': The requested URL returned error: 403",
        Reason::Forbidden,
        "desktop#9055",
    ),
    (
        "remote: Write access to repository not granted.\nfatal: unable to access 'https://h/x.git/': The requested URL returned error: 403",
        Reason::Forbidden,
        "GitHub, a fine-grained token",
    ),
    ("remote: You are not allowed to download code from this project.", Reason::Forbidden, "GitLab, Gitlab::GitAccess"),
    (
        "remote: HTTP Basic: Access denied\nfatal: unable to access 'https://h/x.git/': The requested URL returned error: 403",
        Reason::AuthFailed,
        "GitLab",
    ),
    (
        "remote: This request was rate-limited due to too many requests. Reduce the frequency of your requests or try again later.",
        Reason::RateLimited,
        "TheRock#6431",
    ),
    ("error: pack-objects died of signal 9\nfatal: early EOF", Reason::ServerError, "grav-git-sync#121"),
    (
        "remote: error: cannot lock ref 'refs/heads/main': is at 1111111 but expected 2222222\n ! [remote rejected] main -> main (failed to update ref)",
        Reason::RefRace,
        "git 2.47, receive-pack",
    ),
    (
        "remote: error: cannot lock ref 'refs/heads/a/b': 'refs/heads/a' exists; cannot create 'refs/heads/a/b'\n ! [remote rejected] a/b -> a/b (failed to update ref)",
        Reason::RefRace,
        "git 2.47, receive-pack",
    ),
    (
        "remote: error: cannot lock ref 'refs/heads/main': Unable to create './refs/heads/main.lock': File exists.\n ! [remote rejected] main -> main (failed to update ref)",
        Reason::ServerError,
        "git 2.47, receive-pack",
    ),
    ("remote: Internal Server Error\nEverything up-to-date", Reason::ServerError, "isaacs/github#1993"),
    (" ! [remote rejected] main -> main (unpacker error)", Reason::ServerError, "git 2.47, receive-pack"),
    (
        " ! [remote rejected] main -> main (push declined due to repository rule violations)",
        Reason::ProtectedRefRejected,
        "vscode-sync-settings#91",
    ),
    (
        " ! [rejected]        main -> main (something new)",
        Reason::PushRejected,
        "git 2.47, transport.c, for what comes",
    ),
    (
        "fatal: unable to access 'https://h/x.git/': CONNECT tunnel failed, response 502",
        Reason::NetworkFailed,
        "curl 7.88",
    ),
    ("Connection closed by 140.82.121.4 port 22", Reason::NetworkFailed, "OpenSSH, packet.c"),
    ("client_loop: send disconnect: Broken pipe", Reason::NetworkFailed, "OpenSSH, clientloop.c"),
    (
        "fatal: unable to access 'https://h/x.git/': OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to h:443",
        Reason::NetworkFailed,
        "curl with OpenSSL",
    ),
    (
        "fatal: unable to access 'https://h/x.git/': GnuTLS recv error (-54): Error in the pull function.",
        Reason::NetworkFailed,
        "curl with GnuTLS",
    ),
    (
        "fatal: unable to access 'https://h/x.git/': gnutls_handshake() failed: The TLS connection was non-properly terminated.",
        Reason::NetworkFailed,
        "curl with GnuTLS",
    ),
    (
        "fatal: unable to access 'https://h/x.git/': HTTP/2 stream 1 was not closed cleanly before end of the underlying stream",
        Reason::NetworkFailed,
        "curl, lib/http2.c",
    ),
    ("error: 2200 bytes of body are still expected", Reason::NetworkFailed, "go-gitea#31814"),
    ("fatal: repository '/nowhere.git' does not exist", Reason::RemoteNotFound, "git 2.47, builtin/clone.c"),
    (
        " ! [remote rejected] main -> main (protected branch hook declined)",
        Reason::ProtectedRefRejected,
        "renovate#44819",
    ),
    (
        "error: https://h/x.git did not send all necessary objects",
        Reason::Corrupt,
        "git 2.47, builtin/fetch.c, where the line above it is missing",
    ),
    (
        "fatal: pack has bad object at offset 12: inflate returned -3",
        Reason::Corrupt,
        "git 2.47, index-pack.c, where the line above it is missing",
    ),
    ("fetch-pack: unexpected disconnect while reading sideband packet", Reason::NetworkFailed, "git 2.47, sideband.c"),
    ("fatal: early EOF", Reason::NetworkFailed, "git 2.47, index-pack.c"),
    ("fatal: expected flush after capabilities", Reason::NetworkFailed, "git 2.47, connect.c"),
    ("fatal: git fetch-pack: expected response end packet", Reason::NetworkFailed, "git 2.47, fetch-pack.c"),
    ("fatal: expected response end packet after ref listing", Reason::NetworkFailed, "git 2.47, connect.c"),
    ("fatal: remote error: repository not exported: /srv/x.git", Reason::Forbidden, "git 2.47, daemon.c"),
    (
        "fatal: unable to access 'https://h/x.git/': unable to set private key file: '/k.pem' type PEM",
        Reason::AuthFailed,
        "curl 7.88 with OpenSSL, an encrypted key",
    ),
    (
        "fatal: unable to access 'https://h/x.git/': could not load PEM client certificate from /c.pem, OpenSSL error",
        Reason::AuthFailed,
        "curl 8.5 with OpenSSL",
    ),
    (
        "fatal: unable to access 'https://h/x.git/': error reading X.509 key or certificate file: Decryption has failed.",
        Reason::AuthFailed,
        "curl 7.88 with GnuTLS, an encrypted key",
    ),
    (
        "remote: error: insufficient permission for adding an object to repository database ./objects",
        Reason::ServerError,
        "git 2.47, object-file.c, at the server",
    ),
    ("fatal: expected flush after ref listing", Reason::ServerError, "git 2.47, connect.c"),
    ("Username for 'https://h': ", Reason::AuthFailed, "git 2.47, credential.c"),
];

/// A refusal of `testdata/refusals.tsv`.
struct Refusal {
    reason: String,
    words: String,
}

fn refusals() -> Vec<Refusal> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/refusals.tsv");
    let text = std::fs::read_to_string(path).unwrap();
    let read = |line: &str| {
        let [_, reason, words, _] = line.split('\t').collect::<Vec<_>>()[..] else { panic!("{line}") };
        Refusal { reason: reason.to_owned(), words: words.to_owned() }
    };
    text.lines().filter(|line| !line.starts_with('#')).map(read).collect()
}

/// What `git fsck` prints on stdout.
const QUOTED_STDOUT: &[&str] = &[
    "broken link from    tree 56f119ad5173c30513e72dd883abf06a42d507e0\n              to    blob 8cc5a99d1ee20347d20ed870bc108cf8ff48d451",
    "missing blob 8cc5a99d1ee20347d20ed870bc108cf8ff48d451",
    "missing tree 56f119ad5173c30513e72dd883abf06a42d507e0",
    "missing commit 3397f61441ea5a5b6180b3c2f808438ab2f66848",
];

#[test]
fn every_sample_has_the_reason_it_is_filed_under() {
    let mut wrong = Vec::new();
    for Sample { folder, case, stdout, stderr } in samples() {
        let (reason, line) = classify(&stdout, &stderr);
        let expected = if matches!(folder.as_str(), "ok" | "trap") { "unknown" } else { folder.as_str() };
        if reason.as_str() != expected {
            wrong.push(format!("{folder}/{case}: {reason} by {line:?}"));
        }
        match line {
            Some(line) => {
                assert!(!line.trim().is_empty(), "{case}");
                assert!(stdout.contains(line) || stderr.contains(line), "{case}: {line}");
            }
            // A git that was killed, or that worked, may have said nothing.
            None => assert!(reason == Reason::Unknown && telling(&stdout, &stderr).is_empty(), "{case}"),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_refusal_of_a_server_has_its_reason() {
    for Refusal { reason, words } in refusals() {
        assert_eq!(classify("", &words).0.as_str(), reason, "{words}");
    }
    assert!(refusals().len() > 250);
}

#[test]
fn what_a_hook_says_is_the_reason_of_the_ref_it_declined() {
    for Refusal { reason, words } in refusals().iter().filter(|refusal| refusal.words.starts_with("remote: ")) {
        let (told, line) =
            Rejections::read(words).why("refs/heads/main", "[remote rejected] (pre-receive hook declined)");
        assert_eq!((told.as_str(), line), (reason.as_str(), words.trim()), "{words}");
    }
}

#[test]
fn a_summary_of_the_server_is_the_reason_of_its_ref() {
    for Refusal { reason, words } in &refusals() {
        let Some(why) = words.strip_prefix(" ! [remote rejected] main -> main ") else { continue };
        let summary = format!("[remote rejected] {why}");
        assert_eq!(Rejections::read("").why("refs/heads/main", &summary).0.as_str(), reason, "{words}");
    }
}

#[test]
fn each_refs_own_words_stand_below_the_line_that_names_it() {
    let stderr = "remote: error: GH013: Repository rule violations found for refs/heads/a.        \n\
        remote: - Changes must be made through a pull request.        \n\
        remote: error: GH013: Repository rule violations found for refs/heads/b.        \n\
        remote: - GITHUB PUSH PROTECTION        \n\
        remote:     - Push cannot contain secrets        \n";
    let read = Rejections::read(stderr);
    let reason = |name| read.why(name, "[remote rejected] (push declined due to repository rule violations)").0;
    assert_eq!(reason("refs/heads/a"), Reason::ProtectedRefRejected);
    assert_eq!(reason("refs/heads/b"), Reason::SecretBlocked);
}

#[test]
fn a_damaged_source_is_known_by_the_servers_own_words_and_they_are_kept() {
    let tail = "remote: fatal: packed object 8cc5a99 (stored in ./objects/pack/x.pack) is corrupt\n\
        remote: aborting due to possible repository corruption on the remote side.\n";
    for git in
        ["fatal: early EOF\nfatal: fetch-pack: invalid index-pack output\n", "fatal: protocol error: bad pack header\n"]
    {
        let (reason, shown) = explain("", &format!("remote: Enumerating objects: 3, done.\n{tail}{git}"));
        assert_eq!(reason, Reason::Corrupt);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines.len() == 2 && lines[0].contains("aborting") && lines[1].contains("8cc5a99"), "{shown}");
    }
}

#[test]
fn the_last_word_of_a_server_is_kept_where_git_only_says_that_it_ended() {
    let (reason, shown) = explain("", "remote: Welcome\nremote: out of patience\nfatal: early EOF\n");
    assert_eq!((reason, shown.as_str()), (Reason::NetworkFailed, "fatal: early EOF\nremote: out of patience"));
    // git's own exact word needs no company.
    let refused = "remote: Welcome\nfatal: Authentication failed for 'https://h/x.git/'\n";
    assert_eq!(explain("", refused).1, "fatal: Authentication failed for 'https://h/x.git/'");
}

#[test]
fn words_for_people_are_the_servers_last_twenty_without_progress() {
    let mut stderr = String::from("remote: Resolving deltas: 100% (1/1), done.\nremote: \nTo https://h/x.git\n");
    (0..30).for_each(|n| stderr.push_str(&format!("remote: line {n}        \n")));
    let words = server_words(&stderr);
    assert_eq!((words.len(), words[0], words[19]), (20, "remote: line 10", "remote: line 29"));
}

#[test]
fn no_sample_is_lost() {
    assert_eq!(samples().len(), 234);
}

#[test]
fn only_a_failure_tells_of_damage_but_for_one() {
    let well: Vec<_> = samples().into_iter().filter(|s| matches!(s.folder.as_str(), "ok" | "trap")).collect();
    assert!(well.len() > 30);
    assert!(well.iter().all(|sample| damage(&sample.stderr).is_none()));
    // Ended with 0.
    let truncated = samples().into_iter().find(|s| s.case == "corrupt-client-pack-truncated-fetch").unwrap();
    assert!(damage(&truncated.stderr).unwrap().ends_with("does not match index"));
}

#[test]
fn what_no_sample_holds_is_quoted_and_every_rule_decides_something() {
    let mut deciding: HashSet<*const Rule> = HashSet::new();
    for Sample { stdout, stderr, .. } in samples() {
        deciding.extend(decide(&telling(&stdout, &stderr)).map(|(rule, _)| std::ptr::from_ref(rule)));
    }
    for (text, reason, source) in QUOTED {
        assert_eq!(classify("", text).0, *reason, "{text} ({source})");
        let (rule, _) = decide(&telling("", text)).unwrap();
        deciding.insert(std::ptr::from_ref(rule));
    }
    let refusals = refusals();
    deciding.extend(refusals.iter().map(|refusal| {
        let (rule, _) = decide(&telling("", &refusal.words)).unwrap();
        std::ptr::from_ref(rule)
    }));
    for text in QUOTED_STDOUT {
        let (rule, _) = decide(&telling(text, "")).unwrap();
        assert_eq!(rule.reason, Reason::Corrupt);
        deciding.insert(std::ptr::from_ref(rule));
    }
    let idle: Vec<_> = [LOCAL, SERVER, VAGUE]
        .into_iter()
        .flatten()
        .filter(|rule| !deciding.contains(&std::ptr::from_ref(*rule)))
        .collect();
    assert!(idle.is_empty(), "{idle:#?}");
}

#[test]
fn progress_and_hints_alone_tell_nothing() {
    let stderr = "Cloning into bare repository 'x.git'...\n\
        remote: Enumerating objects: 5, done.\nremote: Counting objects: 100% (5/5), done.\x1b[K\n\
        remote: Total 5 (delta 0), reused 0 (delta 0), pack-reused 0\n\
        Receiving objects:  40% (2/5), 1.20 MiB | 3.00 MiB/s\rReceiving objects: 100% (5/5), 2.20 MiB | 3.00 MiB/s, done.\n\
        hint: Updates were rejected because a pushed branch tip is behind [rejected] (non-fast-forward)\n\
        From http://h/x\n   1111111..2222222  main -> main\n - [deleted]         (none)     -> old\nEverything up-to-date\n";
    assert_eq!(classify("", stderr), (Reason::Unknown, None));
}

#[test]
fn the_line_of_ssh_that_tells_nothing_is_shown_only_alone() {
    let tail = "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\n";
    assert_eq!(classify("", tail), (Reason::Unknown, Some("fatal: Could not read from remote repository.")));
    let told = format!("bash: git-upload-pack: command not found\n{tail}");
    assert_eq!(classify("", &told), (Reason::Unknown, Some("bash: git-upload-pack: command not found")));
}

#[test]
fn words_of_the_server_do_not_pass_for_words_of_git() {
    for text in [
        "remote: error: packfile x does not match index",
        "remote: fatal: Authentication failed for 'x'",
        "remote: fatal: bad object refs/heads/main",
        "remote: Host key verification failed.",
    ] {
        assert_eq!(classify("", text), (Reason::Unknown, Some(text)));
        assert_eq!(damage(text), None);
    }
}

#[test]
fn a_message_right_behind_a_progress_line_is_found() {
    let stderr = "Receiving objects:  11% (1/9), 1.95 MiB | 1.20 MiB/s\rerror: RPC failed; curl 18 transfer closed with outstanding read data remaining\nfatal: early EOF\n";
    let (reason, line) = classify("", stderr);
    assert_eq!(reason, Reason::NetworkFailed);
    assert_eq!(line, Some("error: RPC failed; curl 18 transfer closed with outstanding read data remaining"));
}

#[test]
fn each_refused_ref_gets_its_own_reason() {
    let stderr = "remote: error: cannot lock ref 'refs/heads/b': is at 1111111 but expected 2222222        \n\
        remote: error: hook declined to update refs/heads/c        \n\
        error: failed to push some refs to 'https://h/x.git'\n";
    for (reference, summary, reason) in [
        ("refs/pull/1/head", "[remote rejected] (deny updating a hidden ref)", Reason::ProtectedRefRejected),
        ("refs/heads/b", "[remote rejected] (failed to update ref)", Reason::RefRace),
        ("refs/heads/bb", "[remote rejected] (failed to update ref)", Reason::PushRejected),
        ("refs/heads/c", "[remote rejected] (hook declined)", Reason::PushRejected),
        ("refs/heads/d", "[rejected] (non-fast-forward)", Reason::Diverged),
        ("refs/heads/e", "[no match]", Reason::PushRejected),
    ] {
        assert_eq!(Rejections::read(stderr).why(reference, summary).0, reason, "{reference} {summary}");
    }
}

#[test]
fn a_verdict_over_the_whole_push_explains_every_ref() {
    let line = "remote: PermissionDenied: branch:refs/github-services/pull/1/head is illegal";
    for reference in ["refs/heads/main", "refs/github-services/pull/1/head"] {
        assert_eq!(
            Rejections::read(line).why(reference, "[remote rejected] (pre-receive hook declined)"),
            (Reason::ProtectedRefRejected, line)
        );
    }
}

/// Every refused ref in the samples' porcelain output agrees with its sample.
#[test]
fn refused_refs_in_porcelain_output_have_the_reason_of_their_sample() {
    let mut seen = 0;
    for Sample { folder, case, stdout, stderr } in samples() {
        for line in stdout.lines().filter_map(|line| line.strip_prefix("!\t")) {
            let (refs, summary) = line.split_once('\t').unwrap();
            let (_, reference) = refs.split_once(':').unwrap();
            assert_eq!(Rejections::read(&stderr).why(reference, summary).0.as_str(), folder, "{case}: {line}");
            seen += 1;
        }
    }
    assert_eq!(seen, 3);
}

/// The human form of a refused push, `! [remote rejected] a -> b (why)`, holds the same summary.
#[test]
fn refused_refs_in_plain_output_have_the_reason_of_their_sample() {
    let mut seen = 0;
    for Sample { folder, case, stderr, .. } in samples() {
        for line in stderr.lines().map(str::trim).filter(|line| line.starts_with("! [remote rejected]")) {
            let target = line.split_once(" (").unwrap().0.rsplit(' ').next().unwrap();
            let reference =
                if target.starts_with("refs/") { target.to_owned() } else { format!("refs/heads/{target}") };
            let summary = format!("[remote rejected] {}", &line[line.find('(').unwrap()..]);
            assert_eq!(Rejections::read(&stderr).why(&reference, &summary).0.as_str(), folder, "{case}: {line}");
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_the_line_is_of_the_text(
        stdout in "(\\PC|[\r\n\t!]|missing )*",
        stderr in "(\\PC|[\r\n\x1b]|remote: |fatal: |' not found|cannot lock ref '|refs/heads/ä|\\[remote rejected\\])*",
    ) {
        if let (_, Some(line)) = classify(&stdout, &stderr) {
            prop_assert!(!line.trim().is_empty());
            prop_assert!(stdout.contains(line) || stderr.contains(line));
            prop_assert!(!line.contains(['\n', '\r']));
        }
        let read = Rejections::read(&stderr);
        let (_, line) = read.why("refs/heads/ä", &stdout);
        prop_assert!(stdout.contains(line) || stderr.contains(line));
        prop_assert!(damage(&stderr).is_none_or(|line| stderr.contains(line)));
    }
}
