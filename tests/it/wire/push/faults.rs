//! Servers on a bad day: what git would have called it, and nothing that was not said by the server.

use std::time::Duration;

use holocron::base::failure::Reason;
use holocron::git::GitTransport;

use super::{Day, edit, fates, refused as refused_refs};
use crate::support::{Fault, Forge, Service, noise};

/// A packet of a side band.
fn band(number: u8, text: &str) -> String {
    format!("{:04x}{}{text}", text.len() + 5, char::from(number))
}

/// Asserts that both ways fail alike. Of an answer that ends early git (2.47) sometimes says nothing that tells why; to us
/// it is as broken as any other.
async fn assert_same_failure(day: &Day, what: &str) -> Reason {
    let [ours, gits] = day.push().await.map(Result::unwrap_err);
    match (ours.reason(), gits.reason()) {
        (Reason::NetworkFailed, Reason::Unknown) => {}
        (ours_reason, gits_reason) => {
            assert_eq!(ours_reason, gits_reason, "{what}\nours: {ours:?}\ngit's: {gits:?}");
        }
    }
    day.there(|there| assert!(there.refs().is_empty(), "{what}"));
    ours.reason()
}

#[tokio::test]
async fn a_refusal_by_status_has_the_reason_that_it_has_with_git() {
    let day = Day::new().await;
    for service in [Service::PushAdvertisement, Service::Push] {
        for status in [401, 403, 404, 410, 413, 429, 451, 500, 502, 503] {
            day.forge.heal();
            day.forge.fault(Fault::status(status).service(service));
            assert_same_failure(&day, &format!("{service:?} {status}")).await;
        }
    }
    // The server's words count, of the first request.
    day.forge.heal();
    let words = "The project you were looking for could not be found\n";
    day.forge.fault(Fault::status(403).body(words).service(Service::PushAdvertisement));
    assert_eq!(assert_same_failure(&day, words).await, Reason::RemoteNotFound);
}

#[tokio::test]
async fn a_server_says_when_it_wants_to_be_asked_again() {
    let day = Day::new().await;
    for service in [Service::PushAdvertisement, Service::Push] {
        day.forge.heal();
        day.forge.fault(Fault::status(429).header("retry-after", "7").service(service));
        let failure = day.one(&day.both.auto, &day.ours, &day.edits(&day.ours)).await.unwrap_err();
        assert_eq!((failure.reason(), failure.retry_after()), (Reason::RateLimited, Some(Duration::from_secs(7))));
    }
}

#[tokio::test]
async fn answers_that_are_no_reports_have_the_reasons_that_they_have_with_git() {
    let day = Day::new().await;
    let answer = |body: &str| {
        Fault::status(200).header("content-type", "application/x-git-receive-pack-result").body(body.as_bytes())
    };
    for fault in [
        answer(""),
        answer("0000"),
        answer("<html>"),
        answer(&(band(1, "000eunpack ok\n") + "0000")),
        answer(&(band(1, "0000") + "0000")),
        answer(&(band(1, "000dno report") + "0000")),
        answer(&(band(3, "out of memory\n") + "0000")),
        answer(&(band(2, "No space left on device\n") + "0000")),
        Fault::empty_body(),
        Fault::html_line(),
    ] {
        day.forge.heal();
        day.forge.fault(fault.clone().service(Service::Push));
        let [ours, gits] = day.push().await.map(Result::unwrap_err);
        let (one, other) = (ours.reason(), gits.reason());
        // git has no word for some of them; none of them is a success.
        assert!(one == other || other == Reason::Unknown, "{fault:?}\nours: {ours:?}\ngit's: {gits:?}");
    }
}

#[tokio::test]
async fn a_pack_that_is_not_taken_for_its_size_is_too_large_whole_as_the_report_is() {
    let day = Day::new().await;
    let refused = "0024unpack index-pack abnormal exit\n0026ng refs/heads/main unpacker error\n0000";
    for (words, reason) in [("fatal: pack exceeds maximum allowed size\n", Some(Reason::TooLarge)), ("oh\n", None)] {
        day.forge.heal();
        let body = band(2, words) + &band(1, refused) + "0000";
        let kind = "application/x-git-receive-pack-result";
        let fault = Fault::status(200).header("content-type", kind).body(body);
        day.forge.fault(fault.service(Service::Push));
        let main = edit("refs/heads/main", None, Some(&day.source.tip("main")));
        let pushed = day.one(&day.both.auto, &day.ours, &[main]).await;
        match reason {
            Some(reason) => assert_eq!(pushed.unwrap_err().reason(), reason),
            None => assert_eq!(refused_refs(&fates(&pushed.unwrap())), ["refs/heads/main server_error"]),
        }
    }
}

#[tokio::test]
async fn a_connection_cut_anywhere_is_no_success_and_what_arrived_is_seen_afterwards() {
    let day = Day::new().await;
    for service in [Service::PushAdvertisement, Service::Push] {
        for bytes in [0, 1, 30, 100, 200, 250] {
            for fault in [Fault::cut_after(bytes), Fault::reset_after(bytes)] {
                day.forge.heal();
                day.forge.fault(fault.clone().service(service));
                day.source.commit("main", "more");
                let cut = day.one(&day.both.auto, &day.ours, &day.edits(&day.ours)).await;
                // The report may be whole where it is short, and the cut behind it.
                match cut {
                    Err(failure) => assert_eq!(failure.reason(), Reason::NetworkFailed, "{service:?} {fault:?}"),
                    Ok(pushed) if refused_refs(&fates(&pushed)).is_empty() => {
                        assert_eq!(day.ours.refs(), day.source.refs(), "{service:?} {fault:?}");
                    }
                    // The server was still at work on the push before, whose answer was cut.
                    Ok(_) => {}
                }
            }
        }
    }
    day.forge.heal();
    for _ in 0..50 {
        let edits = day.edits(&day.ours);
        if edits.is_empty() {
            break;
        }
        day.one(&day.both.auto, &day.ours, &edits).await.unwrap();
    }
    day.both.env.assert_pushed(&day.source, &day.ours);
}

#[tokio::test]
async fn a_large_push_that_is_cut_or_refused_in_its_middle_leaves_nothing_behind() {
    let day = Day::new().await;
    day.source.commit_file("main", "large", &noise(6_000_000));
    day.forge.fault(Fault::cut_in_upload(500_000).service(Service::Push));
    let failure = day.one(&day.both.auto, &day.ours, &day.edits(&day.ours)).await.unwrap_err();
    assert_eq!(failure.reason(), Reason::NetworkFailed, "{failure}");
    assert!(day.ours.refs().is_empty());
    day.forge.heal();
    day.one(&day.both.auto, &day.ours, &day.edits(&day.ours)).await.unwrap();
    day.both.env.assert_pushed(&day.source, &day.ours);
}

#[tokio::test]
async fn a_large_push_that_is_refused_before_it_was_heard_is_refused_for_that_reason() {
    let day = Day::new().await;
    day.source.commit_file("main", "large", &noise(12_000_000));
    // On a busy machine its compression may take a while.
    let patient = super::super::door(&day.both.env, GitTransport::Auto, &[], Duration::from_secs(60));
    for (status, reason) in [(413, Reason::TooLarge), (403, Reason::Forbidden), (500, Reason::ServerError)] {
        day.forge.heal();
        day.forge.fault(Fault::status(status).service(Service::Push));
        let failure = day.one(&patient, &day.ours, &day.edits(&day.ours)).await.unwrap_err();
        assert_eq!(failure.reason(), reason, "{status}: {failure}");
    }
}

#[tokio::test]
async fn silence_ends_after_the_time_that_was_given_and_a_stop_at_once() {
    let day = Day::new().await;
    let short = super::super::door(&day.both.env, GitTransport::Auto, &[], Duration::from_millis(400));
    for fault in [Fault::hang(), Fault::stall_in_body(10)] {
        for service in [Service::PushAdvertisement, Service::Push] {
            day.forge.heal();
            day.forge.fault(fault.clone().service(service));
            day.source.commit("main", "more");
            let failure = day.one(&short, &day.ours, &day.edits(&day.ours)).await.unwrap_err();
            assert_eq!(failure.reason(), Reason::TimedOut, "{service:?} {fault:?}: {failure}");
        }
    }
}

#[tokio::test]
async fn a_token_goes_to_no_other_host_whatever_answers() {
    let (day, evil) = (Day::new().await, Forge::start().await);
    evil.repo("acme/ours");
    evil.repo("acme/gits");
    evil.accept_token("alice", &day.forge.token());
    for service in [Service::PushAdvertisement, Service::Push] {
        day.forge.heal();
        day.forge.fault(Fault::redirect_host(evil.url()).service(service));
        let reason = assert_same_failure(&day, &format!("{service:?}")).await;
        assert_eq!(reason, Reason::RemoteNotFound, "{service:?}");
        assert_eq!(evil.requests().len(), 0, "{service:?}");
    }
    // A credential for another place than the URL's is given to nobody.
    day.forge.heal();
    day.forge.reset_log();
    let mut remote = day.remote(&day.ours);
    remote.credential.as_mut().unwrap().origin.port = Some(1);
    let edits = day.edits(&day.ours);
    let failure = day.both.auto.push(day.source.git_dir(), &remote, &edits, &mut |_, _, _| ()).await.unwrap_err();
    assert_eq!(failure.reason(), Reason::AuthFailed);
    assert!(day.forge.requests().iter().all(|request| request.authorization().is_none()));
}
