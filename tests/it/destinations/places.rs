//! Where repositories land, who may see them, and which of them go there at all.

use serde_json::{Value, json};

use super::{KINDS, Pair, destination};
use crate::net::mirror;
use crate::support::{Dialect, Forge};

/// What the only destination says of a mirror.
fn there<'a>(told: &'a Value, name: &str) -> &'a Value {
    &mirror(told, name)["destinations"][0]
}

#[tokio::test]
async fn two_repositories_for_one_place_are_both_refused_whatever_the_letter_case() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        pair.source.repo("acme/alpha").branch("main");
        pair.source.repo("other/Alpha").branch("foreign");
        pair.source.repo("third/ALPHA").branch("foreign");
        let beta = pair.source.repo("acme/beta").branch("main");
        let told = pair.run(&[], 3).await;
        for name in ["acme/alpha", "other/Alpha", "third/ALPHA"] {
            assert_eq!(there(&told, name)["failure"]["reason"], "held", "{kind:?}");
            assert!(there(&told, name)["failure"]["hint"].as_str().unwrap().contains("`{namespace}`"), "{told:#}");
            let text = there(&told, name)["failure"]["message"].as_str().unwrap();
            assert!(text.contains("acme/alpha, other/Alpha, third/ALPHA would all land in"), "{text}");
            assert_eq!(mirror(&told, name)["result"], "success", "its mirror on disk is safe");
        }
        assert_eq!(pair.there.names(), ["copies/beta"], "{kind:?}");
        pair.env.assert_pushed(&beta, &pair.there.find("copies/beta").unwrap());
        // One of them left out settles it.
        pair.configure(&[json!({"exclude": ["other/*", "third/*"]})]);
        pair.run(&[], 0).await;
        assert_eq!(pair.copy().tip("main"), pair.source.find("acme/alpha").unwrap().tip("main"));
    }
}

#[tokio::test]
async fn two_sources_that_would_land_in_one_place_are_refused() {
    let pair = Pair::new(Dialect::Gitlab).await;
    let other = Forge::start().await;
    let alpha = pair.source.repo("acme/alpha").branch("main");
    other.repo("acme/alpha").branch("foreign");
    let source =
        |id: &str, forge: &Forge| json!({"id": id, "kind": "gitea", "api_url": forge.gitea_api(), "owners": ["acme"]});
    let to = destination("to", Dialect::Gitlab, &pair.there);
    let config = json!({"sources": [source("one", &pair.source), source("two", &other)], "destinations": [to]});
    pair.env.file("holocron.yaml", config.to_string());
    let told = pair.run(&[], 3).await;
    let mirrors = told["mirrors"].as_array().unwrap();
    assert_eq!(mirrors.len(), 2);
    for mirror in mirrors {
        assert_eq!(mirror["destinations"][0]["failure"]["reason"], "held", "{mirror:#}");
    }
    assert_eq!((pair.there.names().len(), pair.changes()), (0, Vec::new()));
    let config = json!({"sources": [source("one", &pair.source)], "destinations": [destination("to", Dialect::Gitlab, &pair.there)]});
    pair.env.file("holocron.yaml", config.to_string());
    pair.run(&[], 0).await;
    pair.env.assert_pushed(&alpha, &pair.copy());
}

#[tokio::test]
async fn a_template_of_the_name_keeps_owners_apart_where_there_are_no_groups() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"name": "{namespace}-{name}"})).await;
        let alpha = pair.source.repo("acme/alpha").branch("main");
        let other = pair.source.repo("other/alpha").branch("trunk").head("trunk");
        pair.run(&[], 0).await;
        assert_eq!(pair.there.names(), ["copies/acme-alpha", "copies/other-alpha"], "{kind:?}");
        pair.env.assert_pushed(&alpha, &pair.there.find("copies/acme-alpha").unwrap());
        pair.env.assert_pushed(&other, &pair.there.find("copies/other-alpha").unwrap());
    }
}

#[tokio::test]
async fn each_destination_has_a_choice_of_its_own() {
    let pair = Pair::new(Dialect::Gitea).await;
    pair.configure(&[
        json!({"include": ["acme/*"], "exclude": ["*/secret-*"]}),
        json!({"namespace": "more", "include": ["*/secret-*"]}),
    ]);
    pair.there.organisation("more", &["alice"]);
    for name in ["acme/alpha", "acme/secret-a", "other/beta"] {
        pair.source.repo(name).branch("main");
    }
    let told = pair.run(&[], 0).await;
    assert_eq!(pair.there.names(), ["copies/alpha", "more/secret-a"]);
    let count = |name: &str| mirror(&told, name)["destinations"].as_array().unwrap().len();
    assert_eq!((count("acme/alpha"), count("acme/secret-a"), count("other/beta")), (1, 1, 0));
}

#[tokio::test]
async fn what_is_made_is_seen_by_as_many_as_the_configuration_says_and_never_by_more_than_at_the_source() {
    for (visibility, kind, [open, middle, closed]) in [
        ("private", Dialect::Gitlab, ["private", "private", "private"]),
        ("internal", Dialect::Gitlab, ["internal", "internal", "internal"]),
        ("public", Dialect::Gitlab, ["public", "public", "public"]),
        ("same", Dialect::Gitlab, ["public", "internal", "private"]),
        ("same", Dialect::Gitea, ["public", "private", "private"]),
        ("same", Dialect::Github, ["public", "internal", "private"]),
    ] {
        let pair = Pair::with(kind, &json!({ "visibility": visibility })).await;
        pair.source.repo("acme/open").branch("main");
        pair.source.repo("acme/middle").branch("main").internal();
        pair.source.repo("acme/closed").branch("main").private();
        pair.run(&[], 0).await;
        let seen =
            ["open", "middle", "closed"].map(|name| pair.there.find(&format!("copies/{name}")).unwrap().visibility());
        assert_eq!(seen, [open, middle, closed], "{visibility} on {kind:?}");
    }
}
