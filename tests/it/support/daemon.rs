//! A real `git daemon` behind a listener of ours, as inetd starts it: it cannot choose a free port by itself.

use std::path::Path;
use std::process::Stdio;

use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinHandle;

/// Serves the repositories below a directory that have a file `git-daemon-export-ok`. It ends when this is dropped.
pub struct Daemon {
    url: String,
    task: JoinHandle<()>,
}

impl Daemon {
    /// Starts it; `more` are further options of git-daemon(1).
    pub async fn start(base: &Path, more: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("git://{}", listener.local_addr().expect("it listens"));
        let base = format!("--base-path={}", base.display());
        let options: Vec<String> = more.iter().map(|option| (*option).to_owned()).chain([base]).collect();
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let mut command = Command::new("git");
                command.args(["-c", "safe.directory=*", "daemon", "--inetd"]).args(&options).kill_on_drop(true);
                command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
                let mut daemon = command.spawn().expect("git is installed");
                let (stdin, stdout) = (daemon.stdin.take(), daemon.stdout.take());
                let (stdin, stdout) = (stdin.expect("it is piped"), stdout.expect("it is piped"));
                tokio::spawn(async move {
                    let mut server = tokio::io::join(stdout, stdin);
                    // Whoever hangs up first has heard enough.
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                    drop(server);
                    let _ = daemon.wait().await;
                });
            }
        });
        Daemon { url, task }
    }

    /// The URL of the repository at this path below the directory.
    pub fn url(&self, path: &str) -> String {
        format!("{}/{path}", self.url)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.task.abort();
    }
}
