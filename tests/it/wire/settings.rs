//! What only git knows how to honour is left to git.

use super::{Both, recorded, remote};
use crate::support::{Forge, RecordingGit, Repo};

/// How often git itself listed refs when both ways were asked.
async fn asked(both: &Both, calls: &RecordingGit, alpha: &Repo) -> usize {
    let before = super::looks(calls);
    Both::same(both.ask(&remote(alpha)).await);
    super::looks(calls) - before
}

#[tokio::test]
async fn a_setting_about_http_is_left_to_git_and_any_other_is_not() {
    let forge = Forge::start().await;
    let alpha = forge.repo("acme/alpha").branch("main");
    for (text, times) in [
        ("", 1),
        ("[user]\n\tname = x\n", 1),
        ("[http]\n\tpostBuffer = 524288000\n", 1),
        ("[url \"https://elsewhere.invalid/\"]\n\tinsteadOf = http://127.0.0.1\n", 1),
        ("[credential]\n\thelper = store\n", 1),
        ("[http]\n\textraHeader = x: y\n", 2),
        ("[http \"http://127.0.0.1\"]\n\textraHeader = x: y\n", 2),
        ("[http]\n\tfollowRedirects = true\n", 2),
        ("[http \"http://elsewhere.invalid\"]\n\tproxy = http://127.0.0.1:1\n", 2),
        ("[http]\n\tsslCAInfo = /etc/none.pem\n", 2),
        ("[remote \"http://elsewhere.invalid/x\"]\n\tproxy = http://127.0.0.1:1\n", 2),
        ("[http]\n\tsslVerify = false\n", 2),
        ("[http \"http://127.0.0.1\"]\n\tuserAgent = x\n", 2),
        ("[protocol]\n\tversion = 0\n", 2),
        ("[include]\n\tpath = more\n", 2),
    ] {
        let (both, calls) = recorded(&[]);
        std::fs::write(both.env.home().join("more"), "[http]\n\tcookieFile = /x\n").unwrap();
        both.env.global_git_config(text);
        assert_eq!(asked(&both, &calls, &alpha).await, times, "{text}");
        assert_eq!(asked(&both, &calls, &alpha).await, times, "{text}");
        let config = calls.calls().iter().filter(|call| call.args.iter().any(|arg| arg == "config")).count();
        assert!(config <= 1, "{text}: asked {config} times");
    }
}

#[tokio::test]
async fn a_variable_or_file_that_curl_obeys_is_left_to_git() {
    let forge = Forge::start().await;
    let alpha = forge.repo("acme/alpha").branch("main");
    for variables in [
        [("GIT_SSL_CAINFO", "/etc/none.pem")],
        [("GIT_SSL_CAINFO", "")],
        [("GIT_SSL_CAPATH", "/etc/ssl/certs")],
        [("GIT_HTTP_USER_AGENT", "git/x")],
        // The loopback is excepted, so that git gets there.
        [("https_proxy", "http://127.0.0.1:1")],
    ] {
        let (both, calls) = recorded(&variables);
        assert_eq!(asked(&both, &calls, &alpha).await, 2, "{variables:?}");
    }
    let (both, calls) = recorded(&[]);
    std::fs::write(both.env.home().join(".netrc"), "machine h login l password p\n").unwrap();
    assert_eq!(asked(&both, &calls, &alpha).await, 2);
}

#[tokio::test]
async fn a_configuration_that_is_broken_is_gits_to_complain_of() {
    let forge = Forge::start().await;
    let alpha = forge.repo("acme/alpha").branch("main");
    let both = Both::new();
    both.env.global_git_config("[http\n");
    let [ours, gits] = both.ask(&remote(&alpha)).await;
    assert_eq!(ours.unwrap_err(), gits.unwrap_err());
}
