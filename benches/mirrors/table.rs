//! The figures, as medians, side by side.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::Run;
use crate::measure::{Cost, Tool};

/// All costs by concurrency, run and tool.
#[derive(Default)]
pub struct Rows(BTreeMap<(usize, Run, Tool), Row>);

#[derive(Default)]
struct Row {
    timed: Vec<Cost>,
    processes: usize,
}

impl Rows {
    /// Adds what a run took; of one that was counted, git's processes only: to count them costs time.
    pub fn add(&mut self, concurrency: usize, run: Run, tool: Tool, cost: Cost, counted: bool) {
        let row = self.0.entry((concurrency, run, tool)).or_default();
        match counted {
            true => row.processes = cost.processes.unwrap_or_default(),
            false => row.timed.push(cost),
        }
    }

    pub fn json(&self) -> Value {
        let one = |((concurrency, run, tool), row): (&(usize, Run, Tool), &Row)| {
            json!({
                "concurrency": concurrency, "run": title(*run), "tool": tool.name(),
                "git_processes": row.processes, "repetitions": row.timed,
            })
        };
        self.0.iter().map(one).collect()
    }

    pub fn markdown(&self, repositories: usize, reps: usize) -> String {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut text =
            format!("{repositories} repositories, {cores} processors, medians of {reps}; (×): of the loop.\n\n");
        text += "| at once | run | by | wall s | CPU s | git processes | git requests | API requests | connections | MB | peak MiB |\n";
        text += "| ---: | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n";
        for ((concurrency, run, tool), row) in &self.0 {
            let median = |figure: fn(&Cost) -> f64| row.median(figure);
            let floor = self.0.get(&(*concurrency, *run, Tool::Loop));
            let ratio = |figure: fn(&Cost) -> f64| match floor.filter(|_| *tool != Tool::Loop) {
                Some(floor) => format!(" (× {:.2})", row.median(figure) / floor.median(figure)),
                None => String::new(),
            };
            let (wall, cpu): (fn(&Cost) -> f64, fn(&Cost) -> f64) = (|cost| cost.wall, |cost| cost.cpu);
            let _ = writeln!(
                text,
                "| {concurrency} | {} | {} | {:.2}{} | {:.2}{} | {} | {} | {} | {} | {:.1} | {:.0} |",
                title(*run),
                tool.name(),
                median(wall),
                ratio(wall),
                median(cpu),
                ratio(cpu),
                row.processes,
                median(|cost| cost.git_requests as f64),
                median(|cost| cost.api_requests as f64),
                median(|cost| cost.connections as f64),
                median(|cost| cost.megabytes),
                median(|cost| cost.memory),
            );
        }
        text
    }
}

impl Row {
    fn median(&self, figure: fn(&Cost) -> f64) -> f64 {
        let mut all: Vec<f64> = self.timed.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

fn title(run: Run) -> String {
    match run {
        Run::First => "first".into(),
        Run::Unchanged => "unchanged".into(),
        Run::Full => "unchanged, every ref compared".into(),
        Run::Changed { percent } => format!("{percent} % changed"),
        Run::PushFirst => "to a second forge, first".into(),
        Run::PushUnchanged => "to a second forge, unchanged".into(),
    }
}
