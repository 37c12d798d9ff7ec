//! How a server is reached: redirects, proxies, certificates, and one that knows nothing of git.

use holocron::base::url::RemoteUrl;
use holocron::git::Remote;

use super::{Both, essence, recorded, remote, with_token};
use crate::support::{Fault, Forge, Nowhere, Service};

#[tokio::test]
async fn only_the_first_request_may_be_sent_elsewhere() {
    let (both, forge) = (Both::new(), Forge::start().await);
    let (alpha, beta) = (forge.repo("acme/alpha").branch("main"), forge.repo("acme/beta").branch("moved"));
    let moved = |service| {
        let path =
            if service == Service::Advertisement { "info/refs?service=git-upload-pack" } else { "git-upload-pack" };
        Fault::redirect(&format!("{}/{path}", beta.url())).service(service)
    };
    forge.fault(moved(Service::Advertisement).on_git("acme/alpha"));
    // With a token by ourselves, where git would go anywhere.
    for remote in [remote(&alpha), with_token(&alpha, &forge)] {
        assert!(Both::same(both.ask(&remote).await).refs.contains_key(bstr::BStr::new("refs/heads/moved")));
    }
    for (remote, service) in
        [(remote(&alpha), Service::ListRefs), (with_token(&forge.repo("acme/other"), &forge), Service::ListRefs)]
    {
        forge.heal();
        forge.fault(moved(service));
        let [ours, gits] = both.ask(&remote).await.map(essence);
        assert!(ours.is_err(), "{service:?}");
        assert_eq!(ours, gits, "{service:?}");
    }
}

#[tokio::test]
async fn a_server_of_plain_files_is_gits_to_read() {
    let ((both, calls), forge) = (recorded(&[]), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let line = format!("{}\trefs/heads/main\n", "a".repeat(40));
    forge.fault(Fault::status(200).body(line).service(Service::Advertisement));
    assert_eq!(Both::same(both.ask(&remote(&alpha)).await).refs.len(), 1);
    assert_eq!(super::looks(&calls), 2);
}

#[tokio::test]
async fn a_proxy_of_the_configuration_is_used_and_its_faults_are_gits_to_explain() {
    let ((both, calls), forge) = (recorded(&[]), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    // The forge takes requests for any host, as a proxy does.
    let url = RemoteUrl::parse("http://elsewhere.invalid/acme/alpha.git").unwrap();
    let through = |proxy: &str| Remote { proxy: Some(proxy.parse().unwrap()), ..Remote::plain(url.clone()) };
    assert_eq!(Both::same(both.ask(&through(forge.url())).await).refs.len(), 1);
    assert_eq!(super::looks(&calls), 1, "ours went by itself");
    let nowhere = Nowhere::take();
    let [ours, gits] = both.ask(&through(&nowhere.url())).await.map(essence);
    assert!(ours.is_err());
    assert_eq!(ours, gits);
}

#[tokio::test]
async fn the_cas_of_a_file_are_the_only_ones_and_a_file_without_any_is_gits_to_complain_of() {
    let ((both, calls), forge, other) = (recorded(&[]), Forge::start_tls().await, Forge::start_tls().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let with = |ca_file| Remote { ca_file: Some(ca_file), ..remote(&alpha) };
    assert_eq!(Both::same(both.ask(&with(forge.ca_file())).await).refs.len(), 1);
    assert_eq!(super::looks(&calls), 1, "ours went by itself");
    let empty = both.env.work().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").unwrap();
    for ca_file in [other.ca_file(), empty, both.env.work().join("none.pem")] {
        let [ours, gits] = both.ask(&with(ca_file.clone())).await;
        assert_eq!(ours.unwrap_err(), gits.unwrap_err(), "{}", ca_file.display());
    }
}

#[tokio::test]
async fn the_cas_that_a_variable_names_are_the_only_ones_whatever_the_configuration_says() {
    let (forge, other) = (Forge::start_tls().await, Forge::start_tls().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let with = |ca_file| Remote { ca_file: Some(ca_file), ..remote(&alpha) };
    let named = |forge: &Forge| recorded(&[("GIT_SSL_CAINFO", forge.ca_file().to_str().unwrap())]);
    let (both, calls) = named(&forge);
    for remote in [remote(&alpha), with(other.ca_file())] {
        assert_eq!(Both::same(both.ask(&remote).await).refs.len(), 1);
    }
    assert_eq!(super::looks(&calls), 2, "ours went by itself");
    let (both, _) = named(&other);
    for remote in [remote(&alpha), with(forge.ca_file())] {
        let [ours, gits] = both.ask(&remote).await;
        assert_eq!(ours.unwrap_err(), gits.unwrap_err());
    }
}
