//! A server whose list of refs has no end: a failure of that mirror, whoever reads the list.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::net::report;
use crate::support::TestEnv;

/// Serves one list of refs, version 0, for as long as somebody reads it.
async fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/acme/alpha.git", listener.local_addr().expect("it listens"));
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut asked = [0; 4096];
                // The request, or its first part: whatever it says, the answer is the same.
                if client.read(&mut asked).await? == 0 {
                    return Ok(());
                }
                client
                    .write_all(
                        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/x-git-upload-pack-advertisement\r\n\r\n\
                          001e# service=git-upload-pack\n0000",
                    )
                    .await?;
                // Long names: fewer of them have to be read.
                let tail = "x".repeat(4_000);
                // Eight times what may be read: a test that fails must not go on for ever either.
                for block in 0_u32..10_000 {
                    let line = |number: u32| {
                        let line = format!("{:040x} refs/heads/b{block:08}-{number:04}{tail}\n", 1);
                        format!("{:04x}{line}", line.len() + 4)
                    };
                    client.write_all((0..200).map(line).collect::<String>().as_bytes()).await?;
                }
                Ok::<_, std::io::Error>(())
            });
        }
    });
    url
}

#[tokio::test]
async fn a_look_at_a_list_without_an_end_fails_and_fills_no_memory() {
    let url = endless().await;
    for transport in ["auto", "git"] {
        let env = TestEnv::new();
        let fine = env.bare_repo("srv/acme/fine.git").branch("main");
        let args = ["--backup-only", "--dry-run", "--json", "--transport", transport, "--url", &url, "--url"];
        let told = report(&env.holocron(args).args([fine.path()]).run().await, 3);
        let failed = told["mirrors"].as_array().unwrap().iter().find(|one| one["failure"].is_object()).unwrap();
        let failure = &failed["failure"];
        assert_eq!(failure["reason"], "too_large", "{transport}: {told:#}");
        assert!(failure["hint"].as_str().unwrap().contains("without an end"), "{transport}: {told:#}");
        assert_eq!((&told["totals"]["would_clone"], &told["totals"]["failed"]), (&1.into(), &1.into()), "{told:#}");
    }
}
