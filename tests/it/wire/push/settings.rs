//! What only git knows how to honour is pushed by git.

use super::Day;
use crate::support::{Fault, Service};

/// How often git itself pushed when both ways were asked: once, unless ours was left to it.
async fn pushed(day: &Day) -> usize {
    day.source.commit("main", "more");
    let before = day.verbs().iter().filter(|verb| *verb == "push").count();
    Day::agreed(day.push().await);
    day.assert_arrived();
    day.verbs().iter().filter(|verb| *verb == "push").count() - before
}

#[tokio::test]
async fn a_setting_about_pushes_is_left_to_git_and_any_other_is_not() {
    for (text, times) in [
        ("[user]\n\tname = x\n[push]\n\tdefault = simple\n\tautoSetupRemote = true\n", 1),
        ("[push]\n\tgpgSign = if-asked\n", 2),
        ("[push]\n\tpushOption = ci.skip\n", 2),
        ("[http]\n\tpostBuffer = 524288000\n", 2),
        ("[url \"https://elsewhere.invalid/\"]\n\tpushInsteadOf = https://here.invalid/\n", 2),
        ("[http]\n\textraHeader = x: y\n", 2),
    ] {
        let day = Day::new().await;
        day.there(|there| drop(there.receive("advertisePushOptions", "true")));
        day.both.env.global_git_config(text);
        assert_eq!(pushed(&day).await, times, "{text}");
        assert_eq!(pushed(&day).await, times, "{text}");
        assert!(day.verbs().iter().filter(|verb| *verb == "config").count() <= 2, "{text}: {:?}", day.verbs());
    }
}

#[tokio::test]
async fn a_server_that_lacks_what_we_need_is_pushed_to_by_git() {
    let line = |text: &str| format!("{:04x}{text}", text.len() + 4);
    let null = "0".repeat(40);
    let greeting = |abilities: &str| {
        let first = line("# service=git-receive-pack\n") + "0000";
        let body = first + &line(&format!("{null} capabilities^{{}}\0{abilities}\n")) + "0000";
        Fault::status(200).header("content-type", "application/x-git-receive-pack-advertisement").body(body)
    };
    for fault in [
        greeting("delete-refs ofs-delta agent=x"),
        greeting("report-status object-format=md5"),
        greeting("report-status object-format=sha256"),
        Fault::html_line(),
    ] {
        let day = Day::new().await;
        // Once for us; git asks again and hears the truth.
        day.forge.fault(fault.clone().on_git("acme/ours").service(Service::PushAdvertisement).once());
        assert_eq!(pushed(&day).await, 2, "{fault:?}");
    }
    // And one that takes no chunks, where git tries in its turn.
    let day = Day::new().await;
    day.forge.fault(Fault::status(411).on_git("acme/ours").service(Service::Push).once());
    assert_eq!(pushed(&day).await, 2);
}

#[tokio::test]
async fn a_server_without_side_bands_or_deltas_by_offset_is_pushed_to_all_the_same() {
    let day = Day::new().await;
    let body = |abilities: &str| {
        let first = format!("{} capabilities^{{}}\0{abilities}\n", "0".repeat(40));
        format!("001f# service=git-receive-pack\n0000{:04x}{first}0000", first.len() + 4)
    };
    let fault = Fault::status(200).header("content-type", "application/x-git-receive-pack-advertisement");
    let fault = fault.body(body("report-status no-thin")).on_git("acme/ours").service(Service::PushAdvertisement);
    day.forge.fault(fault.once());
    assert_eq!(pushed(&day).await, 1);
}

#[tokio::test]
async fn a_repository_without_all_of_its_history_is_gits_to_push_from() {
    let day = Day::new().await;
    let objects = day.source.git_dir().join("objects/pack");
    std::fs::write(objects.join("pack-x.promisor"), "").unwrap();
    assert_eq!(pushed(&day).await, 2);
    std::fs::remove_file(objects.join("pack-x.promisor")).unwrap();
    assert_eq!(pushed(&day).await, 1);
}
