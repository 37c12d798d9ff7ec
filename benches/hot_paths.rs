//! The pure parts that grow with the number of refs: `cargo bench`. They are compared with themselves over time; what a
//! whole run costs is measured by `scripts/bench`.

use std::fmt::Write as _;

use bstr::BString;
use divan::{Bencher, black_box};
use holocron::git::classify::{Rejections, classify};
use holocron::git::refs::{Advertisement, Oid, RefMap, diff};

fn main() {
    divan::main();
}

const SIZES: [usize; 3] = [100, 10_000, 100_000];

fn oid(number: usize) -> Oid {
    Oid::parse(format!("{number:040x}").as_bytes()).expect("40 hex digits")
}

fn refs(count: usize, from: usize) -> RefMap {
    (0..count).map(|number| (BString::from(format!("refs/heads/topic/{number:06}")), oid(number + from))).collect()
}

/// Nothing has changed: what a nightly run sees most.
#[divan::bench(args = SIZES)]
fn diff_of_equal_refs(bencher: Bencher, count: usize) {
    let (have, want) = (refs(count, 1), refs(count, 1));
    bencher.bench(|| diff(black_box(&have), black_box(&want)).len());
}

#[divan::bench(args = SIZES)]
fn diff_of_refs_that_all_moved(bencher: Bencher, count: usize) {
    let (have, want) = (refs(count, 1), refs(count, 2));
    bencher.bench(|| diff(black_box(&have), black_box(&want)).len());
}

#[divan::bench(args = SIZES)]
fn advertisement(bencher: Bencher, count: usize) {
    let mut text = format!("ref: refs/heads/topic/000000\tHEAD\n{}\tHEAD\n", oid(1));
    for (name, oid) in refs(count, 1) {
        writeln!(text, "{oid}\t{name}").expect("memory takes it");
    }
    bencher.bench(|| Advertisement::parse(black_box(text.as_bytes())).map(|found| found.refs.len()));
}

/// The stderr of a fetch that fails in a common way.
#[divan::bench]
fn classification() {
    let stderr = "fatal: unable to access 'https://h.example/ns/a.git/': Could not resolve host: h.example\n";
    black_box(classify(black_box(""), black_box(stderr)));
}

/// A push of which every ref is refused, each with a line of its own.
#[divan::bench(args = [100, 5_000])]
fn rejections(bencher: Bencher, count: usize) {
    let mut stderr = String::new();
    let names: Vec<String> = refs(count, 1).into_keys().map(|name| name.to_string()).collect();
    for name in &names {
        writeln!(stderr, "remote: error: GH006: Protected branch update failed for {name}.").expect("memory takes it");
    }
    bencher.bench(|| {
        let read = Rejections::read(black_box(&stderr));
        names
            .iter()
            .filter(|name| read.why(name, "[remote rejected] (protected branch hook declined)").1.len() > 9)
            .count()
    });
}
