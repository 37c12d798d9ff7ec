//! What becomes of each ref is the same, whoever pushes.

use std::time::Duration;

use holocron::base::failure::Reason;
use holocron::git::{GitTransport, RefResult, Remote};

use super::super::with_token;
use super::{Day, edit, refused};
use crate::support::{Access, Dialect, Fault, Forge, Protection, Service, noise};

#[tokio::test]
async fn a_first_push_an_update_a_forced_one_and_a_deletion_arrive() {
    let day = Day::new().await;
    assert_eq!(refused(&Day::agreed(day.push().await)), [""; 0]);
    day.assert_arrived();
    day.source.batch(|b| b.commit("main", "more").force("dev").delete("old").branch("new").tag("v2"));
    assert_eq!(Day::agreed(day.push().await).len(), 5);
    day.assert_arrived();
    // What is there already under another name needs no object.
    day.source.batch(|b| b.point("again", "main").point("dev", "main").delete("new"));
    assert_eq!(Day::agreed(day.push().await).len(), 3);
    day.assert_arrived();
    day.source.batch(|b| b.delete("again"));
    Day::agreed(day.push().await);
    day.assert_arrived();
}

#[tokio::test]
async fn five_thousand_refs_arrive_and_go_again() {
    let day = Day::new().await;
    day.source.many_refs(5_000);
    // They are a while in the making, of which nothing is heard.
    let patient = super::super::door(&day.both.env, GitTransport::Auto, &[], Duration::from_secs(60));
    let pushed = day.one(&patient, &day.ours, &day.edits(&day.ours)).await.unwrap();
    assert!(pushed.results.len() > 5_000 && pushed.results.iter().all(|(_, result)| *result == RefResult::Accepted));
    day.both.env.assert_pushed(&day.source, &day.ours);
    day.source.batch(|b| (1..=4_990).fold(b, |b, number| b.delete(&format!("many/{number:05}"))));
    day.one(&patient, &day.ours, &day.edits(&day.ours)).await.unwrap();
    day.both.env.assert_pushed(&day.source, &day.ours);
}

#[tokio::test]
async fn names_that_git_confuses_and_names_that_are_no_text_go_where_they_belong() {
    let day = Day::new().await;
    let odd = "refs/heads/refs/heads/main";
    day.source.batch(|b| b.point(odd, "dev").tag("main").branch("tags/v1").branch("HEAD").branch("schön/日本"));
    let edits = day.edits(&day.ours);
    let pushed = day.one(&day.both.auto, &day.ours, &edits).await.unwrap();
    assert!(pushed.results.iter().all(|(_, result)| *result == RefResult::Accepted), "{pushed:?}");
    day.both.env.assert_pushed(&day.source, &day.ours);
    // At once, which git cannot.
    day.source.batch(|b| b.commit("main", "more").point(odd, "main"));
    day.one(&day.both.auto, &day.ours, &day.edits(&day.ours)).await.unwrap();
    day.both.env.assert_pushed(&day.source, &day.ours);
}

#[tokio::test]
async fn a_large_push_goes_in_chunks_and_arrives() {
    let day = Day::new().await;
    for number in 0..3_usize {
        day.source.commit_file("main", &format!("file-{number}"), &noise(1_500_000 + number));
    }
    Day::agreed(day.push().await);
    day.assert_arrived();
    let push = |to: &str| {
        let mut requests = day.forge.git_requests(to);
        requests.retain(|request| request.path.ends_with("/git-receive-pack"));
        requests.pop().unwrap()
    };
    assert_eq!(push("acme/ours").header("transfer-encoding"), Some("chunked"));
    day.source.commit("main", "small");
    Day::agreed(day.push().await);
    assert!(push("acme/ours").header("content-length").is_some());
    day.assert_arrived();
}

#[tokio::test]
async fn over_tls_a_large_push_and_its_refusal_arrive_as_well() {
    let (day, tls) = (Day::new().await, Forge::start_tls().await);
    let target = tls.repo("acme/ours");
    let remote = Remote { ca_file: Some(tls.ca_file()), ..with_token(&target, &tls) };
    let push = async || {
        let edits = day.edits(&target);
        day.both.auto.push(day.source.git_dir(), &remote, &edits, &mut |_, _, _| ()).await
    };
    push().await.unwrap();
    day.source.commit_file("main", "large", &noise(4_000_000));
    tls.fault(Fault::status(413).service(Service::Push));
    assert_eq!(push().await.unwrap_err().reason(), Reason::TooLarge);
    tls.heal();
    push().await.unwrap();
    day.both.env.assert_pushed(&day.source, &target);
    assert_eq!(day.verbs(), ["pack-objects"; 3]);
}

#[tokio::test]
async fn a_ref_that_moved_since_it_was_seen_is_not_overwritten_and_the_others_arrive() {
    let day = Day::new().await;
    Day::agreed(day.push().await);
    day.source.batch(|b| b.commit("main", "more").commit("dev", "more").delete("old"));
    let edits = [day.edits(&day.ours), day.edits(&day.gits)];
    day.there(|there| drop(there.commit("main", "theirs").commit("old", "theirs")));
    let fates = Day::agreed(day.push_these(&edits).await);
    assert_eq!(refused(&fates), ["refs/heads/main ref_race", "refs/heads/old ref_race"]);
    day.there(|there| assert_eq!(there.tip("dev"), day.source.tip("dev")));
    // Both are where another writer put them, and one of them is where it shall be.
    day.there(|there| drop(there.delete("old")));
    let at = |name: &str| day.ours.refs().get(name).cloned();
    let (main, dev) = (at("refs/heads/main"), at("refs/heads/dev"));
    let done = [edit("refs/heads/dev", main.as_ref(), dev.as_ref())];
    let fates = Day::agreed(day.push_these(&[done.to_vec(), done.to_vec()]).await);
    assert_eq!(refused(&fates), [""; 0]);
}

#[tokio::test]
async fn a_ref_that_moves_between_the_question_and_the_push_is_the_servers_to_refuse() {
    let day = Day::new().await;
    Day::agreed(day.push().await);
    day.source.batch(|b| b.commit("main", "more").commit("dev", "more").branch("new"));
    let edits = [day.edits(&day.ours), day.edits(&day.gits)];
    for repo in [&day.ours, &day.gits] {
        let act = |there: &crate::support::Repo| drop(there.commit("main", "theirs").branch("new").commit("new", "x"));
        day.forge.before(repo, Service::Push, act);
        let git = if repo.path() == day.ours.path() { &day.both.auto } else { &day.both.git };
        let which = usize::from(repo.path() != day.ours.path());
        let pushed = day.one(git, repo, &edits[which]).await.unwrap();
        let refused = refused(&super::fates(&pushed));
        assert_eq!(refused, ["refs/heads/main ref_race", "refs/heads/new push_rejected"], "{which}");
        assert_eq!(repo.tip("dev"), day.source.tip("dev"));
    }
}

#[tokio::test]
async fn a_ref_to_be_deleted_that_is_gone_already_was_moved_by_somebody_else() {
    let day = Day::new().await;
    let gone = edit("refs/heads/gone", Some(&day.source.tip("main")), None);
    let edits = |there| [vec![gone.clone()], day.edits(there)].concat();
    let fates = Day::agreed(day.push_these(&[edits(&day.ours), edits(&day.gits)]).await);
    assert_eq!(refused(&fates), ["refs/heads/gone ref_race"]);
    day.assert_arrived();
}

#[tokio::test]
async fn what_settings_and_hooks_of_the_receiver_refuse_is_told_ref_by_ref() {
    let day = Day::new().await;
    Day::agreed(day.push().await);
    day.there(|there| {
        there.receive("denyDeletes", "true").receive("denyNonFastForwards", "true");
        there.receive("hideRefs", "refs/heads/secret");
        there.hook("update", "#!/bin/sh\n[ $1 != refs/heads/shut ] || { echo \"closed: $1\" >&2; exit 1; }\n");
    });
    day.source.batch(|b| b.commit("main", "more").force("dev").delete("old").branch("secret/x").branch("shut"));
    let fates = Day::agreed(day.push().await);
    assert_eq!(
        refused(&fates),
        [
            "refs/heads/dev protected_ref_rejected",
            "refs/heads/old protected_ref_rejected",
            "refs/heads/secret/x protected_ref_rejected",
            "refs/heads/shut push_rejected",
        ]
    );
    day.there(|there| assert_eq!(there.tip("main"), day.source.tip("main")));
}

#[tokio::test]
async fn a_hook_that_declines_everything_is_heard() {
    let day = Day::new().await;
    day.there(|there| {
        there.hook(
            "pre-receive",
            "#!/bin/sh\necho 'GitLab: You are not allowed to push code to this project.' >&2\nexit 1\n",
        );
    });
    let fates = Day::agreed(day.push().await);
    assert_eq!(fates.len(), 4);
    for why in fates.values() {
        let (reason, words) = why.clone().unwrap();
        assert_eq!(
            (reason, words.as_str()),
            (Reason::Forbidden, "remote: GitLab: You are not allowed to push code to this project.")
        );
    }
    day.there(|there| assert!(there.refs().is_empty()));
}

#[tokio::test]
async fn branch_rules_refuse_in_their_forges_words() {
    for kind in [Dialect::Github, Dialect::Gitlab, Dialect::Gitea] {
        let day = Day::new().await;
        day.forge.speak(kind);
        Day::agreed(day.push().await);
        let rule = Protection { push: Access::developers(), ..Protection::default() };
        day.there(|there| drop(there.protect("main", rule.clone())));
        day.source.batch(|b| b.force("main").commit("dev", "more"));
        let fates = Day::agreed(day.push().await);
        assert!(refused(&fates).contains(&"refs/heads/main protected_ref_rejected".to_owned()), "{kind:?}: {fates:?}");
    }
}

#[tokio::test]
async fn a_pack_that_the_receiver_does_not_take_is_told_with_its_words() {
    for size in [300_000, 3_000_000] {
        let day = Day::new().await;
        day.there(|there| drop(there.receive("maxInputSize", "100000")));
        day.source.commit_file("main", "huge", &noise(size));
        let [ours, gits] = day.push().await;
        // A server that hangs up while it is still spoken to may not be heard any more.
        let is_told = |reason: Reason| [Reason::TooLarge, Reason::NetworkFailed].contains(&reason);
        assert!(is_told(ours.as_ref().unwrap_err().reason()), "{size}: {ours:?}");
        match gits {
            Err(gits) => assert!(is_told(gits.reason()), "{size}: {gits:?}"),
            Ok(gits) => {
                let fates = super::fates(&gits);
                assert!(fates.values().all(|why| why.as_ref().is_some_and(|why| is_told(why.0))), "{fates:?}");
            }
        }
        day.there(|there| assert!(there.refs().is_empty()));
    }
}

#[tokio::test]
async fn a_repository_that_has_lost_an_object_fails_here_and_moves_nothing_there() {
    let day = Day::new().await;
    let missing = "1234567890123456789012345678901234567890".to_owned();
    let edits = vec![edit("refs/heads/main", None, Some(&missing))];
    let [ours, gits] = day.push_these(&[edits.clone(), edits]).await.map(Result::unwrap_err);
    assert_eq!(ours.reason(), Reason::Corrupt, "{ours}\n{gits}");
    assert_eq!(day.forge.git_requests("acme/ours").len(), 1, "only the question");
    assert!(day.ours.refs().is_empty());
}
