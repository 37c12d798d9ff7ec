//! Tokens and the bytes of private files stay where they belong.

use serde_json::json;

use crate::destinations::{KINDS, Pair, SOURCE_TOKEN, THERE_TOKEN, destination};
use crate::leaks::Canaries;
use crate::support::Fault;

#[tokio::test]
async fn no_token_is_left_anywhere_and_none_reaches_another_host() {
    let canaries = Canaries::new(&[SOURCE_TOKEN, THERE_TOKEN]);
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"releases": "all"})).await;
        let alpha = pair.source.repo("acme/alpha").private().branch("main");
        alpha.release("v1").title("One").notes("x").asset("a", &[7; 200_000]).asset("b", b"bbb");
        pair.there.object_storage();
        pair.source.object_storage();
        // A first day on which much goes wrong, then a good one, then a change.
        pair.source.fault(Fault::cut_in_body(90_000).on_download("a").once());
        pair.there.fault(Fault::lost(422).on_upload("b").once());
        let runs = [("bad", 3, &["-v", "--timeout", "10"][..]), ("good", 0, &[]), ("full", 0, &["--full", "-v"])];
        for (name, code, args) in runs {
            let run = pair.program(args).run().await;
            canaries.assert_run(name, &run);
            run.assert_code(code);
            alpha.edit_release("v1", |one| one.replace_asset("b", b"BBB"));
        }
        // Only the configuration knows them, and it is given by variables here.
        canaries.assert_folder(&pair.env.storage());
        canaries.assert_folder(&pair.env.tmp());
        for forge in [&pair.source, &pair.there] {
            assert!(forge.storage_leaks().is_empty(), "{kind:?}: {:#?}", forge.storage_leaks());
        }
        let told = |forge: &crate::support::Forge, token: &str| {
            let requests = forge.requests();
            requests.iter().any(|request| request.authorization().is_some_and(|text| text.contains(token)))
        };
        assert!(!told(&pair.source, THERE_TOKEN) && !told(&pair.there, SOURCE_TOKEN), "{kind:?}");
    }
}

#[tokio::test]
async fn a_listing_that_points_its_files_at_another_host_gets_no_token_there() {
    for kind in KINDS {
        let pair = Pair::with(kind, &json!({"releases": "all"})).await;
        let alpha = pair.source.repo("acme/alpha").private().branch("main");
        alpha.release("v1").asset("a", b"aaa");
        pair.run(&[], 0).await;
        // The destination's own listing says that uploads belong elsewhere.
        let evil = crate::support::Forge::start().await;
        let mut to = destination("to", kind, &pair.there);
        to["releases"] = "all".into();
        pair.write(&[to]);
        alpha.edit_release("v1", |one| one.asset("b", b"bbb"));
        let redirect = Fault::status(307).header("location", &format!("{}/elsewhere", evil.url()));
        pair.there.fault(redirect.on_upload(""));
        pair.run(&[], 3).await;
        let seen = evil.requests();
        assert!(seen.iter().all(|request| request.authorization().is_none()), "{kind:?}: {seen:#?}");
    }
}
