//! Several destinations: one that is dead holds no other back.

use serde_json::json;

use super::{KINDS, Pair, destination};
use crate::support::{Dialect, Forge};

#[tokio::test]
async fn one_destination_is_dead_and_the_others_get_everything() {
    for kind in KINDS {
        let pair = Pair::new(kind).await;
        let dead = Forge::start().await;
        pair.write(&[destination("dead", kind, &dead), destination("to", kind, &pair.there)]);
        dead.stop().await;
        let alpha = pair.source.repo("acme/alpha").branch("main").tag("v1");
        pair.degraded(&["--timeout", "5"]).await;
        pair.env.assert_pushed(&alpha, &pair.copy());
        pair.env.assert_mirrored(&alpha);
        // The dead one stays behind; nobody forgets it.
        pair.there.reset_log();
        pair.degraded(&["--timeout", "5"]).await;
        assert_eq!(pair.there.requests().len(), 0);
    }
}

#[tokio::test]
async fn one_run_pushes_to_all_three_kinds_and_to_a_directory() {
    let pair = Pair::new(Dialect::Gitlab).await;
    let (hub, tea, bare) = (Forge::start().await, Forge::start().await, pair.env.bare_destination());
    for (forge, kind) in [(&hub, Dialect::Github), (&tea, Dialect::Gitea)] {
        forge.speak(kind);
        forge.organisation("copies", &["alice"]);
        forge.accept_token("alice", super::THERE_TOKEN);
    }
    pair.write(&[
        destination("hub", Dialect::Github, &hub),
        destination("lab", Dialect::Gitlab, &pair.there),
        destination("tea", Dialect::Gitea, &tea),
        json!({"id": "disk", "kind": "git", "url": bare.template()}),
    ]);
    let alpha = pair.source.repo("acme/alpha").branch("trunk").head("trunk").tag("v1");
    pair.run(&[], 0).await;
    for forge in [&hub, &pair.there, &tea] {
        pair.env.assert_pushed(&alpha, &forge.find("copies/alpha").unwrap());
    }
    pair.env.assert_pushed(&alpha, &bare.find("acme/alpha").unwrap());
}
