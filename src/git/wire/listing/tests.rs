//! Answers of servers, whole, broken and strange.

use super::*;
use crate::git::wire::packet::Packets;
use proptest::prelude::*;

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// `""` is a flush.
fn greet(lines: &[&str]) -> Result<Greeted, Trouble> {
    let mut greeting = Greeting::default();
    for line in lines {
        let packet = if line.is_empty() { Packet::Flush } else { Packet::Data(line.as_bytes()) };
        greeting.take(&packet)?;
    }
    assert!(greeting.is_done());
    greeting.finish()
}

fn list(lines: &[&str]) -> Result<Advertisement, Trouble> {
    let mut listing = Listing { digits: 40, unborn: false, refs: Advertisement::default(), done: false };
    lines.iter().try_for_each(|line| listing.take(&Packet::Data(line.as_bytes())))?;
    assert!(!listing.is_done());
    listing.take(&Packet::Flush)?;
    assert!(listing.is_done());
    Ok(listing.finish())
}

/// The same refs as `git ls-remote --symref` prints them.
fn printed() -> Advertisement {
    let text = format!(
        "ref: refs/heads/main\tHEAD\n{A}\tHEAD\n{A}\trefs/heads/main\n{B}\trefs/tags/v1\n{A}\trefs/tags/v1^{{}}\n"
    );
    Advertisement::parse(text.as_bytes()).unwrap()
}

#[test]
fn all_versions_tell_what_git_prints() {
    let head = format!("{A} HEAD\0multi_ack symref=HEAD:refs/heads/main object-format=sha1 agent=x\n");
    let more = [format!("{A} refs/heads/main\n"), format!("{B} refs/tags/v1\n"), format!("{A} refs/tags/v1^{{}}\n")];
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let service = ["# service=git-upload-pack\n", ""];
    let zero = [&service[..], &[&head], &more, &[""]].concat();
    assert_eq!(greet(&zero), Ok(Greeted::Refs(printed())));
    let one = [&service[..], &["version 1\n", &head], &more, &[""]].concat();
    assert_eq!(greet(&one), Ok(Greeted::Refs(printed())));
    let head = format!("{A} HEAD symref-target:refs/heads/main\n");
    let lines = [&head, &format!("{A} refs/heads/main\n"), &format!("{B} refs/tags/v1 peeled:{A}\n")];
    assert_eq!(list(&lines.map(String::as_str)), Ok(printed()));
}

#[test]
fn a_server_of_version_2_tells_its_hash_and_may_leave_out_the_service() {
    let abilities = ["version 2\n", "agent=git/2\n", "ls-refs=unborn\n", "fetch\n", "object-format=sha256\n", ""];
    let expected = Abilities { format: Some("sha256".into()), agent: true, unborn: true, fetch: true, digits: 64 };
    assert_eq!(greet(&abilities), Ok(Greeted::Abilities(expected.clone())));
    let with_service = [&["# service=git-upload-pack\n", ""], &abilities[..]].concat();
    assert_eq!(greet(&with_service), Ok(Greeted::Abilities(expected)));
    let unnamed = greet(&["version 2\n", "ls-refs\n", ""]);
    assert_eq!(
        unnamed,
        Ok(Greeted::Abilities(Abilities { format: None, agent: false, unborn: false, fetch: false, digits: 40 }))
    );
}

#[test]
fn a_repository_without_refs_has_none_and_a_detached_head_names_no_branch() {
    let line = format!("{} capabilities^{{}}\0agent=x\n", "0".repeat(40));
    let empty = greet(&["# service=git-upload-pack\n", "", &line, ""]);
    assert_eq!(empty, Ok(Greeted::Refs(Advertisement::default())));
    let detached = list(&[&format!("{A} HEAD\n"), &format!("{B} refs/heads/main\n")]).unwrap();
    assert_eq!((detached.head, detached.head_oid), (None, Oid::parse(A.as_bytes())));
}

#[test]
fn a_shallow_repositorys_last_lines_are_no_refs() {
    let first = format!("{A} refs/heads/main\0agent=x\n");
    let found = greet(&["# service=git-upload-pack\n", "", &first, &format!("shallow {B}\n"), ""]);
    let Ok(Greeted::Refs(refs)) = found else { panic!("{found:?}") };
    assert_eq!(refs.refs.len(), 1);
}

#[test]
fn a_head_that_is_not_there_names_nothing() {
    let line = format!("{A} refs/heads/x\0symref=HEAD:refs/heads/unborn\n");
    let found = greet(&["# service=git-upload-pack\n", "", &line, ""]);
    let Ok(Greeted::Refs(refs)) = found else { panic!("{found:?}") };
    assert_eq!((refs.head, refs.head_oid), (None, None));
}

#[test]
fn names_of_files_and_broken_names_are_unfit_in_every_version() {
    for name in ["shallow", "config", "../refs/x", "refs/heads/a\nrefs/heads/b"] {
        assert!(matches!(list(&[&format!("{A} {name}")]), Err(Trouble::Unfit(_))), "{name}");
        let first = format!("{A} {name}\0agent=x");
        let zero = greet(&["# service=git-upload-pack\n", "", &first, ""]);
        assert!(matches!(zero, Err(Trouble::Unfit(_))), "{name}");
    }
}

#[test]
fn the_servers_own_words_are_handed_on() {
    let words = "access denied or repository not exported: /x";
    assert_eq!(list(&[&format!("ERR {words}\n")]), Err(Trouble::Refused(words.into())));
    assert_eq!(
        greet(&["# service=git-upload-pack\n", "", &format!("ERR {words}")]),
        Err(Trouble::Refused(words.into()))
    );
}

#[test]
fn what_is_not_understood_is_strange() {
    let short = &A[..39];
    for lines in [&[short][..], &["unborn HEAD symref-target:refs/heads/x"], &["<html>"]] {
        assert!(matches!(list(lines), Err(Trouble::Strange(_))), "{lines:?}");
    }
    for lines in [
        &["# service=git-receive-pack\n", ""][..],
        &["<html>"],
        &["version 2\n", "fetch\n", ""],
        &["version 2\n", "ls-refs\n", "object-format=md5\n", ""],
        &["# service=git-upload-pack\n", "", ""],
    ] {
        assert!(matches!(greet(lines), Err(Trouble::Strange(_))), "{lines:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in "(0|1|2|3|4|a|f|g|r|e|s|/|\n| |\0|version 2|# service=git-upload-pack){0,80}") {
        let mut packets = Packets::default();
        packets.feed(bytes.into());
        let (mut greeting, mut listing) = (Greeting::default(), Listing { digits: 40, unborn: false, refs: Advertisement::default(), done: false });
        while let Ok(Some(packet)) = packets.next() {
            let _ = (greeting.take(&packet), listing.take(&packet));
        }
    }

    #[test]
    fn every_ref_is_listed_as_it_was_told(
        refs in prop::collection::btree_map("refs/(heads|tags)/[a-z/.]{1,12}", ("[0-9a-f]{40}", prop::option::of("[0-9a-f]{40}")), 0..20),
    ) {
        let line = |(name, (oid, peeled)): (&String, &(String, Option<String>))| {
            format!("{oid} {name}{}\n", peeled.as_ref().map(|oid| format!(" peeled:{oid}")).unwrap_or_default())
        };
        let lines: Vec<String> = refs.iter().map(line).collect();
        let found = list(&lines.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        prop_assert_eq!(found.refs.len(), refs.len());
        for (name, (oid, peeled)) in &refs {
            let name = BString::from(name.as_str());
            prop_assert_eq!(found.refs[&name].to_string(), oid.clone());
            prop_assert_eq!(found.peeled.get(&name).map(ToString::to_string), peeled.clone());
        }
    }
}
