//! A server that is known is asked for the list at once; whatever a repository of its is like comes out as if it were not.

use holocron::base::failure::Reason;
use holocron::git::Remote;
use holocron::git::refs::Advertisement;

use super::{Both, remote, with_token};
use crate::support::{Fault, Forge, Repo, Service};

/// Both ways, of which ours has seen one repository of the forge.
async fn acquainted(forge: &Forge) -> Both {
    let both = Both::new();
    let known = forge.repo("acme/known").branch("main");
    Both::same(both.ask(&remote(&known)).await);
    forge.reset_log();
    both
}

fn services(forge: &Forge) -> [usize; 2] {
    [Service::Advertisement, Service::ListRefs].map(|service| forge.git_count(service))
}

/// What ours says, and that it is what git says.
async fn agreed(both: &Both, repo: &Repo) -> Result<Advertisement, Reason> {
    agreed_on(both, &remote(repo)).await
}

async fn agreed_on(both: &Both, remote: &Remote) -> Result<Advertisement, Reason> {
    let [ours, gits] = both.ask(remote).await.map(super::essence);
    assert_eq!(ours, gits);
    ours
}

#[tokio::test]
async fn one_request_lists_the_refs_of_every_further_repository() {
    let forge = Forge::start().await;
    let both = acquainted(&forge).await;
    for name in ["acme/one", "acme/two"] {
        let repo = forge.repo(name).branch("trunk").annotated_tag("v1");
        forge.reset_log();
        let ours = both.auto.ls_remote(&remote(&repo)).await.unwrap();
        assert_eq!(services(&forge), [0, 1]);
        assert_eq!(ours, both.git.ls_remote(&remote(&repo)).await.unwrap());
    }
    let empty = forge.repo("acme/empty");
    assert!(agreed(&both, &empty).await.unwrap().refs.is_empty());
}

#[tokio::test]
async fn a_repository_that_is_not_there_or_not_shown_is_told_apart_from_others() {
    let forge = Forge::start().await;
    let both = acquainted(&forge).await;
    let gone = forge.repo("acme/gone").branch("main");
    let place = with_token(&gone, &forge);
    gone.remove();
    assert_eq!(agreed_on(&both, &place).await, Err(Reason::RemoteNotFound));
    let private = forge.repo("acme/private").private().branch("main");
    assert_eq!(agreed(&both, &private).await, Err(Reason::AuthFailed));
    let with_token = with_token(&private, &forge);
    assert_eq!(Both::same(both.ask(&with_token).await).refs.len(), 1);
    forge.revoke(&forge.token());
    assert_eq!(agreed_on(&both, &with_token).await, Err(Reason::AuthFailed));
}

#[tokio::test]
async fn a_repository_of_another_hash_or_an_older_protocol_is_asked_step_by_step() {
    let forge = Forge::start().await;
    let both = acquainted(&forge).await;
    let other = super::lists::sha_256(&forge, "acme/other");
    assert_eq!(agreed(&both, &other).await.unwrap().head_oid.unwrap().to_string().len(), 64);
    let old = forge.repo("acme/old").branch("main").annotated_tag("v1");
    let now = agreed(&both, &old).await;
    forge.fault(super::lists::old_answer(&old, 0).on_git("acme/old"));
    assert_eq!(agreed(&both, &old).await, now);
}

#[tokio::test]
async fn a_list_that_is_cut_anywhere_is_asked_for_again_and_never_taken_for_whole() {
    let forge = Forge::start().await;
    let both = acquainted(&forge).await;
    let alpha = forge.repo("acme/alpha").branch("main").branch("dev").annotated_tag("v1");
    let whole = both.git.ls_remote(&remote(&alpha)).await.unwrap();
    for bytes in 0..300 {
        for fault in [Fault::cut_after(bytes), Fault::reset_after(bytes)] {
            forge.heal();
            forge.fault(fault.clone().on_git("acme/alpha").once());
            assert_eq!(both.auto.ls_remote(&remote(&alpha)).await.as_ref(), Ok(&whole), "{fault:?}");
            forge.heal();
            forge.fault(fault.clone().on_git("acme/alpha"));
            let failure = both.auto.ls_remote(&remote(&alpha)).await.unwrap_err();
            assert_eq!(failure.reason(), Reason::NetworkFailed, "{fault:?}: {failure}");
        }
    }
}

#[tokio::test]
async fn a_server_that_wants_to_be_left_alone_is_not_asked_twice() {
    let forge = Forge::start().await;
    let both = acquainted(&forge).await;
    let alpha = forge.repo("acme/alpha").branch("main");
    forge.fault(Fault::status(429).header("retry-after", "9").on_git("acme/alpha"));
    forge.reset_log();
    let failure = both.auto.ls_remote(&remote(&alpha)).await.unwrap_err();
    assert_eq!((failure.reason(), failure.retry_after().unwrap().as_secs()), (Reason::RateLimited, 9));
    assert_eq!(forge.git_requests("acme/alpha").len(), 1);
}

#[tokio::test]
async fn a_repository_that_has_moved_keeps_the_token_where_it_is() {
    let (forge, other) = (Forge::start().await, Forge::start().await);
    let both = acquainted(&forge).await;
    let alpha = forge.repo("acme/alpha").branch("main");
    other.repo("acme/alpha").branch("moved");
    other.accept_token("alice", &forge.token());
    forge.fault(Fault::redirect_host(other.url()).on_git("acme/alpha"));
    let [ours, gits] = both.ask(&with_token(&alpha, &forge)).await.map(super::essence);
    assert!(ours.is_err() && ours == gits, "{ours:?} {gits:?}");
    assert_eq!(other.requests().len(), 0);
}
