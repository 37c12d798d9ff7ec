//! How a body comes: compressed, with lengths that lie, with more behind it.

use std::io::Write;
use std::process::{Command, Stdio};

use holocron::base::failure::Reason;

use super::{Both, packet, remote};
use crate::support::{Fault, Forge, Service};

/// Two refs in protocol version 0.
fn two_refs() -> String {
    let [a, b] = ["a", "b"].map(|digit| digit.repeat(40));
    let refs = packet(&format!("{a} refs/heads/a\0agent=x\n")) + &packet(&format!("{b} refs/heads/b\n"));
    packet("# service=git-upload-pack\n") + "0000" + &refs + "0000"
}

fn answer(body: impl Into<Vec<u8>>) -> Fault {
    Fault::status(200).with_git_type().body(body).service(Service::Advertisement)
}

fn gzip(text: &str) -> Vec<u8> {
    let mut gzip = Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    gzip.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    gzip.wait_with_output().unwrap().stdout
}

#[tokio::test]
async fn a_compressed_list_is_read_and_half_of_one_is_none() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha");
    let body = gzip(&two_refs());
    forge.fault(answer(body.clone()).header("content-encoding", "gzip"));
    assert_eq!(Both::same(both.ask(&remote(&alpha)).await).refs.len(), 2);
    assert!(forge.requests()[0].header("accept-encoding").unwrap().contains("gzip"));
    for length in 0..body.len() {
        forge.heal();
        forge.fault(answer(&body[..length]).header("content-encoding", "gzip"));
        let cut = both.auto.ls_remote(&remote(&alpha)).await;
        assert_eq!(cut.as_ref().map_err(|failure| failure.reason()), Err(Reason::NetworkFailed), "{length}: {cut:?}");
    }
}

#[tokio::test]
async fn a_list_that_ends_early_however_it_says_so_is_none() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha");
    let body = two_refs();
    // With a length that is right for what comes, so that HTTP finds nothing wrong.
    for length in 0..body.len() {
        forge.heal();
        forge.fault(answer(&body.as_bytes()[..length]));
        let cut = both.auto.ls_remote(&remote(&alpha)).await;
        assert_eq!(cut.as_ref().map_err(|failure| failure.reason()), Err(Reason::NetworkFailed), "{length}: {cut:?}");
    }
}

#[tokio::test]
async fn what_follows_a_list_changes_nothing_in_it() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha");
    let more = packet(&format!("{} refs/heads/c\n", "c".repeat(40)));
    for behind in [more.clone(), "garbage".to_owned(), more.repeat(10_000)] {
        forge.heal();
        forge.fault(answer(two_refs() + &behind));
        assert_eq!(both.auto.ls_remote(&remote(&alpha)).await.unwrap().refs.len(), 2);
    }
}
