//! What goes wrong has the reason that it has with git.

use std::time::Duration;

use holocron::base::failure::{Failure, Reason};
use holocron::git::refs::Advertisement;
use holocron::git::{GitTransport, Remote};

use super::{Both, door, essence, packet, remote, with_token};
use crate::support::{Fault, Forge, Nowhere, Service, TestEnv};

/// An answer in git's type, in protocol version 0.
fn answer(lines: &[String]) -> Fault {
    let body = packet("# service=git-upload-pack\n") + "0000" + &lines.concat();
    Fault::status(200).with_git_type().body(body)
}

fn refusals() -> Vec<Fault> {
    let codes = [400, 402, 403, 404, 405, 410, 413, 418, 429, 451, 500, 502, 503, 504];
    let mut faults: Vec<Fault> = codes.map(Fault::status).to_vec();
    let texts = [
        (403, "Repository unavailable due to DMCA takedown."),
        (403, "HTTP Basic: Access denied"),
        (404, "Repository not found"),
        (503, "No space left on device"),
    ];
    faults.extend(texts.map(|(code, text)| Fault::status(code).body(format!("first\n{text}\n"))));
    faults.push(
        Fault::status(403).header("content-type", "text/html").body("Repository unavailable due to DMCA takedown."),
    );
    faults.push(Fault::status(401).header("www-authenticate", "Basic realm=x"));
    faults.push(Fault::status(401));
    faults
}

#[tokio::test]
async fn a_refusal_has_the_reason_that_it_has_with_git() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    for service in [Service::Advertisement, Service::ListRefs] {
        for fault in refusals() {
            forge.heal();
            forge.fault(fault.clone().service(service));
            for remote in [remote(&alpha), with_token(&alpha, &forge)] {
                let [ours, gits] = both.ask(&remote).await;
                let [ours, gits] = [ours.unwrap_err(), gits.unwrap_err()];
                assert_eq!(ours.reason(), gits.reason(), "{service:?} {fault:?}\nours: {ours}\ngit's: {gits}");
                assert!(ours.evidence().is_some());
            }
        }
    }
}

#[tokio::test]
async fn the_time_that_a_server_wants_to_be_left_alone_is_heard() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    forge.fault(Fault::status(429).header("retry-after", "7"));
    let failure = both.auto.ls_remote(&remote(&alpha)).await.unwrap_err();
    assert_eq!(failure.retry_after(), Some(Duration::from_secs(7)));
}

/// Asserts that both say the same. Of an answer that ends early git (2.47) sometimes says nothing that tells why; to us it
/// is as broken as any other.
#[track_caller]
fn assert_agreed(ours: Result<Advertisement, Failure>, gits: Result<Advertisement, Failure>, what: &str) {
    let shown = format!("{what}\nours: {ours:?}\ngit's: {gits:?}");
    match (essence(ours), essence(gits)) {
        (Err(Reason::NetworkFailed), Err(Reason::Unknown)) => {}
        (ours, gits) => assert_eq!(ours, gits, "{shown}"),
    }
}

#[tokio::test]
async fn an_answer_that_is_none_comes_to_the_same_as_with_git() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let oid = "1234567890123456789012345678901234567890";
    let first = packet(&format!("{oid} refs/heads/main\0agent=x\n"));
    let faults = [
        Fault::empty_body(),
        Fault::empty_body().with_git_type(),
        Fault::html_line(),
        Fault::html_line().with_git_type(),
        Fault::zero_refs(),
        answer(&[]),
        answer(std::slice::from_ref(&first)),
        answer(&[first.clone(), "00".into()]),
        answer(&[first.clone(), "0040123".into()]),
        answer(&[first.clone(), "zzzz".into()]),
        answer(&[first.clone(), packet(&format!("{oid} shallow\n")), "0000".into()]),
        answer(&[first.clone(), packet("no ref\n"), "0000".into()]),
        answer(&[first, packet(&format!("shallow {oid}\n")), "0000".into()]),
        answer(&[packet("ERR access denied or repository not exported: /x\n")]),
        answer(&[packet("ERR upload-pack: not allowed\n")]),
        answer(&[packet("version 2\n"), packet("agent=x\n"), "0000".into()]),
        answer(&[packet("version 9\n"), "0000".into()]),
        Fault::status(200).with_git_type().body(packet("# service=git-receive-pack\n") + "0000"),
        Fault::status(204),
    ];
    for fault in faults {
        forge.heal();
        forge.fault(fault.clone().service(Service::Advertisement));
        let [ours, gits] = both.ask(&remote(&alpha)).await;
        assert_agreed(ours, gits, &format!("{fault:?}"));
    }
    let result =
        |body: String| Fault::status(200).header("content-type", "application/x-git-upload-pack-result").body(body);
    let line = packet(&format!("{oid} refs/heads/main\n"));
    let faults = [
        Fault::empty_body(),
        Fault::html_line(),
        result(String::new()),
        result("0000".into()),
        result(line.clone()),
        result(line.clone() + "00"),
        result(line.clone() + "0040123"),
        result(line.clone() + "zzzz"),
        result(line.clone() + &packet("no ref\n") + "0000"),
        result(line.clone() + &packet(&format!("{oid} config\n")) + "0000"),
        result(packet("ERR access denied or repository not exported: /x\n")),
        result(line + "0000"),
    ];
    for fault in faults {
        forge.heal();
        forge.fault(fault.clone().service(Service::ListRefs));
        let [ours, gits] = both.ask(&remote(&alpha)).await;
        assert_agreed(ours, gits, &format!("{fault:?}"));
    }
}

#[tokio::test]
async fn a_connection_cut_anywhere_is_never_a_list_of_refs() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").branch("dev").annotated_tag("v1");
    for service in [Service::Advertisement, Service::ListRefs] {
        for bytes in 0..300 {
            for fault in [Fault::cut_after(bytes), Fault::reset_after(bytes)] {
                forge.heal();
                forge.fault(fault.clone().service(service));
                let cut = both.auto.ls_remote(&remote(&alpha)).await;
                let shown = format!("{service:?} {fault:?}: {cut:?}");
                assert_eq!(cut.unwrap_err().reason(), Reason::NetworkFailed, "{shown}");
            }
        }
    }
    forge.heal();
    Both::same(both.ask(&remote(&alpha)).await);
}

#[tokio::test]
async fn a_cut_body_has_the_reason_that_it_has_with_git() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").branch("dev");
    for service in [Service::Advertisement, Service::ListRefs] {
        for fault in [1, 10, 34, 80, 120].map(Fault::cut_in_body) {
            forge.heal();
            forge.fault(fault.clone().service(service));
            let [ours, gits] = both.ask(&remote(&alpha)).await;
            assert_agreed(ours, gits, &format!("{service:?} {fault:?}"));
        }
    }
}

#[tokio::test]
async fn silence_ends_after_the_time_that_was_given() {
    let env = TestEnv::new();
    let auto = &door(&env, GitTransport::Auto, &[], Duration::from_secs(2));
    let faults = [Fault::hang(), Fault::stall_in_body(20)];
    let all =
        faults.iter().flat_map(|fault| [Service::Advertisement, Service::ListRefs].map(|service| (fault, service)));
    // Side by side: each waits as long as it may be silent, which is longer than a busy machine needs to answer.
    let looks = all.map(async |(fault, service)| {
        let forge = Forge::start().await;
        let alpha = forge.repo("acme/alpha").branch("main");
        forge.fault(fault.clone().service(service));
        let failure = auto.ls_remote(&remote(&alpha)).await.unwrap_err();
        assert_eq!(failure.reason(), Reason::TimedOut, "{service:?} {fault:?}: {failure}");
    });
    futures_util::future::join_all(looks).await;
    assert_eq!(auto.take_looks().git, 0, "nothing was left to git");
}

#[tokio::test]
async fn nobody_at_the_other_end_is_no_connection_and_a_stranger_is_no_tls() {
    let both = Both::new();
    let nowhere = Nowhere::take();
    let strangers = Forge::start_tls().await;
    let plain = Forge::start().await;
    let urls = [
        format!("{}/acme/alpha.git", nowhere.url()),
        // No label is so long (RFC 1035): a resolver says so without a question to anybody.
        format!("http://{}.invalid/acme/alpha.git", "x".repeat(64)),
        strangers.repo("acme/alpha").branch("main").url(),
        plain.repo("acme/alpha").url().replacen("http://", "https://", 1),
    ];
    for url in urls {
        let [ours, gits] = both.ask(&Remote::plain(super::RemoteUrl::parse(&url).unwrap())).await;
        let [ours, gits] = [ours.unwrap_err(), gits.unwrap_err()];
        assert_eq!(ours.reason(), gits.reason(), "{url}\nours: {ours}\ngit's: {gits}");
    }
    let alpha = strangers.find("acme/alpha").unwrap();
    let known = Remote { ca_file: Some(strangers.ca_file()), ..remote(&alpha) };
    assert_eq!(Both::same(both.ask(&known).await).refs.len(), 1);
}

#[tokio::test]
async fn a_token_stays_with_its_host_whatever_answers() {
    let (both, forge, evil) = (Both::new(), Forge::start().await, Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    evil.repo("acme/alpha").branch("evil");
    evil.accept_token("alice", &forge.token());
    for service in [Service::Advertisement, Service::ListRefs] {
        forge.heal();
        forge.fault(Fault::redirect_host(evil.url()).service(service));
        let failure = both.auto.ls_remote(&with_token(&alpha, &forge)).await.unwrap_err();
        let gits = both.git.ls_remote(&with_token(&alpha, &forge)).await.unwrap_err();
        assert_eq!(failure.reason(), gits.reason(), "{service:?}\nours: {failure}\ngit's: {gits}");
        assert_eq!(evil.requests().len(), 0, "{service:?}");
    }
    // A credential for another place than the URL's is given to nobody.
    forge.heal();
    forge.reset_log();
    let mut remote = with_token(&alpha, &forge);
    remote.credential.as_mut().unwrap().origin.port = Some(1);
    both.auto.ls_remote(&remote).await.unwrap();
    assert!(forge.requests().iter().all(|request| request.authorization().is_none()));
}

#[tokio::test]
async fn without_a_token_a_redirect_is_followed_as_git_follows_it() {
    let (both, forge, other) = (Both::new(), Forge::start().await, Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    other.repo("acme/alpha").branch("moved");
    forge.fault(Fault::redirect_host(other.url()).service(Service::Advertisement));
    let found = Both::same(both.ask(&remote(&alpha)).await);
    assert!(found.refs.contains_key(bstr::BStr::new("refs/heads/moved")));
}

#[tokio::test]
async fn a_list_of_refs_without_an_end_is_a_failure_and_fills_no_memory() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    // So much takes its time on a busy machine.
    let auto = door(&env, GitTransport::Auto, &[], Duration::from_secs(120));
    let alpha = forge.repo("acme/alpha").branch("main");
    // 300 MiB of one ref again and again, in packets as long as they may be.
    let line = packet(&format!("{} refs/heads/{}\n", "1".repeat(40), "x".repeat(60_000)));
    let body = line.repeat((300 << 20) / line.len());
    let answer = Fault::status(200).header("content-type", "application/x-git-upload-pack-result").body(body);
    forge.fault(answer.service(Service::ListRefs));
    let failure = auto.ls_remote(&remote(&alpha)).await.unwrap_err();
    assert_eq!(failure.reason(), Reason::TooLarge, "{failure}");
    assert!(failure.message().contains("longer than 256 MiB"), "{failure}");
}
