//! Whole runs, measured: `scripts/bench`.
//!
//! A corpus that is the same every time lies on the forge of the tests, which is real git behind HTTP. Holocron mirrors it
//! with `transport: auto` and with `transport: git`, side by side with what a script does: `xargs -P git clone
//! --mirror`, then `git fetch` and `git push --mirror` of just what changed, which it is told. After every run every ref is
//! compared. One more repetition, which is not timed, counts git's processes by git's own trace2.
//!
//! Everything shares one machine, the forge included: compare within one run, and ratios rather than seconds.

mod corpus;
mod measure;
#[path = "../../tests/it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests' harness, of which this needs a part")]
mod support;
mod table;

use std::fs;
use std::path::PathBuf;

use clap::Parser;
use serde_json::json;
use tempfile::TempDir;

use corpus::Corpus;
use measure::{Cost, Place, Tool};
use table::Rows;

/// Measures first mirrors, unchanged runs, changes and pushes, beside a loop of `git`.
#[derive(Parser)]
#[command(name = "scripts/bench")]
struct Options {
    /// How many repositories.
    #[arg(short = 'n', long, default_value_t = 100)]
    repositories: usize,
    /// How many at a time; each is measured.
    #[arg(short, long, value_delimiter = ',', default_value = "4,16")]
    concurrency: Vec<usize>,
    /// How often; the median is told.
    #[arg(long, default_value_t = 3)]
    reps: usize,
    /// The `holocron` to measure, instead of the one just built.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_holocron"))]
    binary: PathBuf,
    /// Also writes all figures here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Cargo says this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured, in this order.
const RUNS: [Run; 7] = [
    Run::First,
    Run::Unchanged,
    Run::Full,
    Run::Changed { percent: 1 },
    Run::Changed { percent: 10 },
    Run::PushFirst,
    Run::PushUnchanged,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Run {
    First,
    Unchanged,
    /// Every ref compared, nothing changed.
    Full,
    Changed {
        percent: usize,
    },
    PushFirst,
    PushUnchanged,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let mut rows = Rows::default();
    for concurrency in &options.concurrency {
        for rep in 0..=options.reps {
            let counted = rep == options.reps;
            for (run, tool, cost) in repetition(&options, *concurrency, counted).await {
                rows.add(*concurrency, run, tool, cost, counted);
            }
        }
    }
    println!("{}", rows.markdown(options.repositories, options.reps));
    if let Some(file) = &options.json {
        let document = json!({"repositories": options.repositories, "reps": options.reps, "rows": rows.json()});
        fs::write(file, format!("{document:#}\n")).unwrap_or_else(|e| panic!("cannot write {}: {e}", file.display()));
    }
}

/// Every run by every tool once, all on one corpus; the tools take turns, each on its own storage.
async fn repetition(options: &Options, concurrency: usize, counted: bool) -> Vec<(Run, Tool, Cost)> {
    let folder = TempDir::with_prefix("holocron-bench-").expect("a temporary directory");
    let corpus = Corpus::new(options.repositories).await;
    let places = Tool::ALL.map(|tool| {
        let folder = folder.path().join(tool.name());
        Place::new(tool, folder, &options.binary, concurrency, counted)
    });
    let mut costs = Vec::new();
    for run in RUNS {
        let changed = match run {
            Run::Changed { percent } => corpus.change(percent),
            Run::First | Run::PushFirst => corpus.repos.iter().collect(),
            Run::Unchanged | Run::Full | Run::PushUnchanged => Vec::new(),
        };
        for place in &places {
            if let Some(cost) = place.measure(run, &corpus, &changed).await {
                place.verify(run, &corpus);
                eprintln!("{run:?} by {}: {:.2} s", place.tool.name(), cost.wall);
                costs.push((run, place.tool, cost));
            }
        }
    }
    costs
}
