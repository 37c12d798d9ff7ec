//! The repositories that are mirrored: the same objects and refs in every run.

use fastrand::Rng;

use crate::support::{Dialect, Forge, Repo};

/// A forge full of repositories, and an empty one for each tool to push to.
pub struct Corpus {
    pub forge: Forge,
    pub repos: Vec<Repo>,
}

impl Corpus {
    /// Of a hundred repositories 70 are tiny, 20 have some history, 8 have 300 refs, and 2 have 4 MiB.
    pub async fn new(count: usize) -> Self {
        let forge = Forge::start().await;
        let repos = (0..count).map(|number| make(&forge, number)).collect();
        Corpus { forge, repos }
    }

    /// One commit more in so many of a hundred repositories, and in every other of them a branch gone; at least in one.
    pub fn change(&self, percent: usize) -> Vec<&Repo> {
        let count = (self.repos.len() * percent / 100).max(1);
        let changed: Vec<&Repo> = self.repos.iter().step_by(self.repos.len() / count).take(count).collect();
        for (number, repo) in changed.iter().enumerate() {
            repo.batch(|batch| batch.commit("main", &format!("one more of {percent}")));
            if number % 2 == 1 && repo.refs().contains_key("refs/heads/topic") {
                repo.delete("topic");
            }
        }
        changed
    }
}

/// A forge that takes pushes into `copies`.
pub async fn destination() -> Forge {
    let forge = Forge::start().await;
    forge.speak(Dialect::Github);
    forge.organisation("copies", &["alice"]);
    forge
}

fn make(forge: &Forge, number: usize) -> Repo {
    let repo = forge.repo(&format!("acme/repo-{number:05}"));
    let mut random = Rng::with_seed(number as u64);
    let mut noise = |length: usize| -> Vec<u8> { std::iter::repeat_with(|| random.u8(..)).take(length).collect() };
    repo.batch(|batch| {
        batch.branch("main").commit_file("main", "number", number.to_string().as_bytes()).branch("topic").tag("v1");
        match number % 100 {
            50 | 99 => {
                for step in 0..4 {
                    batch.commit_file("main", &format!("large-{step}"), &noise(1 << 20));
                }
            }
            n if n % 12 == 7 => {
                batch.many_refs(300);
            }
            n if n % 5 == 3 => {
                for step in 0..20 {
                    batch.commit_file("main", &format!("file-{}", step % 7), &noise(8 << 10));
                }
                batch.annotated_tag("v2");
            }
            _ => {}
        }
        batch
    })
}
