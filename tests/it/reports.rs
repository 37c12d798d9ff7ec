//! What a run says: table, JSON document, lines and bars; and that it is true.

use std::fs;
use std::path::Path;

use crate::support::{Fault, Forge, Program, Service, TestEnv, noise};

fn holocron(env: &TestEnv, forge: &Forge, args: &[&str]) -> Program {
    env.holocron(["--backup-only"]).args(args).github(forge)
}

/// The bytes of all packs of a mirror.
fn pack_bytes(mirror: &Path) -> u64 {
    let files = fs::read_dir(mirror.join("objects/pack")).unwrap().map(Result::unwrap);
    files.filter(|file| file.path().extension().is_some_and(|e| e == "pack")).map(|f| f.metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn the_table_has_rows_only_for_what_changed_and_one_line_when_nothing_did() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").branch("old");
    forge.repo("acme/beta").branch("main");
    let first = holocron(&env, &forge, &[]).run().await;
    assert!(first.assert_code(0).stdout.contains("2 mirrors: 2 cloned; "), "{first}");

    alpha.commit("main", "more").branch("new").delete("old");
    let second = holocron(&env, &forge, &[]).run().await;
    let row = second.stdout.lines().find(|line| line.starts_with("acme/alpha")).unwrap_or_default();
    assert!(row.contains("updated") && row.contains("+1 ~1 -1"), "{second}");
    assert!(!second.stdout.contains("acme/beta"), "{second}");
    assert!(second.stdout.contains("\n2 mirrors: 1 updated, 1 current; "), "{second}");

    let third = holocron(&env, &forge, &[]).run().await;
    assert!(third.stdout.starts_with("2 mirrors: 2 current; nothing received in "), "{third}");
    assert_eq!(third.stdout.lines().count(), 1, "{third}");
    let verbose = holocron(&env, &forge, &["--verbose"]).run().await;
    assert!(verbose.stdout.contains("acme/alpha") && verbose.stdout.contains("acme/beta"), "{verbose}");
}

#[tokio::test]
async fn json_is_one_document_on_stdout_and_nothing_else() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    forge.repo("acme/broken").branch("main");
    forge.fault(Fault::status(404).on_git("acme/broken"));
    let run = holocron(&env, &forge, &["--json"]).run().await;
    let report = run.assert_code(3).json();
    assert_eq!((&report["schema_version"], &report["exit_code"]), (&1.into(), &3.into()));
    assert_eq!((&report["totals"]["cloned"], &report["totals"]["failed"]), (&1.into(), &1.into()));
    assert_eq!(report["mirrors"][0]["name"], "acme/alpha");
    assert_eq!(report["mirrors"][1]["failure"]["reason"], "remote_not_found");
    assert!(run.stderr.contains("acme/alpha: cloned"), "progress is on stderr\n{run}");
}

#[tokio::test]
async fn the_report_file_is_the_same_document_and_replaced_as_a_whole() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    env.file("out/report.json", "what an older run left, which is longer than nothing");
    let run = holocron(&env, &forge, &["--json", "--report", "out/report.json"]).run().await;
    run.assert_code(0);
    assert_eq!(fs::read_to_string(env.work().join("out/report.json")).unwrap(), run.stdout);
    assert_eq!(fs::read_dir(env.work().join("out")).unwrap().count(), 1, "nothing lies beside it");

    let table = holocron(&env, &forge, &["--report", "out/report.json"]).run().await;
    assert!(table.stdout.starts_with("1 mirror: 1 current"), "{table}");
    let written: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(env.work().join("out/report.json")).unwrap()).unwrap();
    assert_eq!(written["totals"]["current"], 1);

    // What can be known before the run is told before it; a disk that is full only after it.
    let refused = holocron(&env, &forge, &["--report", "missing/report.json"]).run().await;
    assert!(refused.assert_code(2).stderr.contains("missing/report.json") && refused.stdout.is_empty(), "{refused}");
    let lost = holocron(&env, &forge, &["--report", "/dev/full"]).run().await;
    assert!(lost.assert_code(1).stderr.contains("/dev/full"), "{lost}");
    assert!(lost.stdout.starts_with("1 mirror: 1 current"), "the mirrors were brought up to date\n{lost}");
}

#[tokio::test]
async fn a_failure_has_its_reason_the_words_that_told_and_the_way_out() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    forge.fault(Fault::status(404).on_git("acme/alpha"));
    let run = holocron(&env, &forge, &[]).run().await;
    run.assert_code(3);
    assert!(run.stdout.contains("acme/alpha: remote_not_found: cannot clone the source"), "{run}");
    let evidence = format!("fatal: repository '{}/acme/alpha.git/' not found", forge.url());
    assert!(run.stdout.contains(&evidence), "{run}");
    assert!(run.stdout.contains("hint: the repository was deleted or renamed"), "{run}");
    assert!(run.stderr.contains("acme/alpha: failed: remote_not_found"), "{run}");
}

#[tokio::test]
async fn the_exit_codes_are_an_interface() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    holocron(&env, &forge, &[]).run().await.assert_code(0);
    holocron(&env, &forge, &["--no-such-flag"]).run().await.assert_code(2);

    let file = env.file("a-file", "");
    let unwritable = holocron(&env, &forge, &["--storage", "a-file/below"]).run().await;
    assert!(unwritable.assert_code(1).stderr.contains(file.to_str().unwrap()), "{unwritable}");
    let without_git = holocron(&env, &forge, &["--full"]).env("PATH", env.tmp()).run().await;
    assert!(without_git.assert_code(1).stderr.contains("cannot find the program git"), "{without_git}");

    // A source that cannot be listed: it ran, and somebody has to look.
    let refused = holocron(&env, &forge, &[]).env("GITHUB_TOKEN", "wrong-token-0123456789").run().await;
    assert!(refused.assert_code(3).stdout.contains("source github: auth_failed"), "{refused}");
}

#[tokio::test]
async fn what_a_server_says_cannot_steer_the_terminal() {
    const HOSTILE: &str = "\u{1b}[31mred\u{1b}]0;title\u{7} \u{9b}2J gpj.\u{202e}exe\u{2066}";
    let is_hostile = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{2066}".contains(c);
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    forge.repo("acme/alpha").branch("main");
    forge.repo("acme/odd").branch("main").reported_as("gpj.\u{202e}exe");
    forge.fault(Fault::status(403).body(format!("{HOSTILE}\n")).on_git("acme/alpha"));
    for args in [["--verbose"].as_slice(), &["--json"]] {
        let run = holocron(&env, &forge, args).run().await;
        run.assert_code(3);
        assert!(!run.stdout.contains(is_hostile), "{:?}", run.stdout);
        assert!(!run.stderr.contains(is_hostile), "{:?}", run.stderr);
    }
    let message = serde_json::json!({ "message": HOSTILE });
    forge.fault(Fault::status(403).json(&message).on_api("/user/repos"));
    let run = holocron(&env, &forge, &[]).run().await;
    assert!(run.assert_code(3).stdout.contains("[31mred"), "it is shown, and harmless\n{run}");
    assert!(!run.stdout.contains(is_hostile), "{:?}", run.stdout);
}

#[tokio::test]
async fn on_a_pipe_progress_is_plain_lines_and_quiet_is_quiet() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let run = holocron(&env, &forge, &[]).run().await;
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(lines[..2], ["github: listing.", "1 mirror, 1 to look at."], "{run}");
    assert!(lines[2].starts_with("acme/alpha: cloned: 1 ref, ") && lines.len() == 3, "{run}");
    assert!(!run.stderr.contains(['\r', '\u{1b}']) && !run.stdout.contains('\u{1b}'), "{run}");

    alpha.commit("main", "more");
    let quiet = holocron(&env, &forge, &["--quiet"]).run().await;
    assert_eq!(quiet.assert_code(0).stderr, "");
    assert!(quiet.stdout.contains("1 mirror: 1 updated"), "the report stays\n{quiet}");
}

#[tokio::test]
async fn colour_comes_when_it_is_asked_for() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let colored = holocron(&env, &forge, &["--color", "always"]).run().await;
    assert!(colored.stdout.contains("\u{1b}[32m") && colored.stderr.contains("\u{1b}[32m"), "{colored:?}");
    alpha.commit("main", "more");
    let on_terminal = terminal(&env, &forge, "--backup-only").env("NO_COLOR", "1").run().await;
    assert!(!on_terminal.stdout.contains("\u{1b}[32m"), "{on_terminal:?}");
    alpha.commit("main", "even more");
    let on_terminal = terminal(&env, &forge, "--backup-only").run().await;
    assert!(on_terminal.stdout.contains("\u{1b}[32m"), "{on_terminal:?}");
}

/// `holocron` on a terminal of its own, whose screen arrives on stdout.
fn terminal(env: &TestEnv, forge: &Forge, args: &str) -> Program {
    let command = format!("stty cols 100; exec {} {args}", env!("CARGO_BIN_EXE_holocron"));
    let script = env.program("script").args(["--quiet", "--return", "--command", &command, "/dev/null"]);
    script.env("TERM", "xterm").env("GITHUB_API_URL", forge.github_api()).env("GITHUB_TOKEN", forge.token())
}

#[tokio::test]
async fn on_a_terminal_there_is_a_bar_with_gits_own_phase_and_percentage() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main");
    let bytes = noise(400_000);
    alpha.batch(|batch| bytes.chunks(2_000).fold(batch, |batch, chunk| batch.commit_file("main", "noise", chunk)));
    let stall = Fault::stall_in_body(200_000).on_git("acme/alpha").service(Service::FetchPack).once();
    forge.fault(stall);
    let mut running = terminal(&env, &forge, "--backup-only --timeout 2").spawn();
    running.until_output("% acme/alpha: Receiving objects").await;
    running.until_output("0/1 mirror  [").await;
    // The silent server is given up, and the next try goes through.
    let run = running.wait().await;
    run.assert_code(0);
    assert!(run.stdout.contains("acme/alpha: timed_out: "), "{run}");
    assert!(run.stdout.contains("trying again in "), "{run}");
    assert!(run.stdout.contains("1 mirror: 1 cloned"), "{run}");
    env.assert_mirrored(&alpha);
}

#[tokio::test]
async fn the_bytes_are_those_of_the_packs() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let large = forge.repo("acme/large").branch("main").commit_file("main", "noise", &noise(300_000));
    let small = forge.repo("acme/small").branch("main");
    let report = holocron(&env, &forge, &["--json"]).run().await.json();
    let received = |report: &serde_json::Value, index: usize| {
        let mirror = &report["mirrors"][index];
        mirror["bytes_received"].as_u64().unwrap_or_else(|| panic!("no number in {mirror:#}"))
    };
    let packed = [pack_bytes(&env.mirror_of(&large)), pack_bytes(&env.mirror_of(&small))];
    assert!(received(&report, 0).abs_diff(packed[0]) < packed[0] / 20, "{packed:?} {report:#}");
    // Git tells nothing of so small a pack, unless it comes in several pieces.
    assert!(received(&report, 1).abs_diff(packed[1]) <= 24, "{packed:?} {report:#}");
    assert_eq!(report["totals"]["bytes_received"], received(&report, 0) + received(&report, 1));

    large.commit_file("main", "more", &noise(50_000)[..40_000]);
    small.commit("main", "more");
    let report = holocron(&env, &forge, &["--json"]).run().await.json();
    let grown = [pack_bytes(&env.mirror_of(&large)) - packed[0], pack_bytes(&env.mirror_of(&small)) - packed[1]];
    assert!((38_000..44_000).contains(&received(&report, 0)), "only what was new: {grown:?} {report:#}");
    assert!((1..=grown[1]).contains(&received(&report, 1)), "{grown:?} {report:#}");

    let idle = holocron(&env, &forge, &["--json", "--full"]).run().await.json();
    assert_eq!(idle["totals"]["bytes_received"], 0);
}

#[tokio::test]
async fn the_refs_are_counted_as_they_moved() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").branch("dev").branch("old").branch("other").tag("v1");
    let first = holocron(&env, &forge, &["--json"]).run().await.json();
    let zero = serde_json::json!({"created": 5, "forwarded": 0, "forced": 0, "deleted": 0, "total": 5});
    assert_eq!(first["mirrors"][0]["refs"], zero);
    alpha.commit("main", "more").force("dev").delete("old").branch("new").tag("v2");
    let second = holocron(&env, &forge, &["--json"]).run().await.json();
    let moved = serde_json::json!({"created": 2, "forwarded": 1, "forced": 1, "deleted": 1, "total": 6});
    assert_eq!(second["mirrors"][0]["refs"], moved);
    assert_eq!(second["totals"]["refs"], moved);
}

#[tokio::test]
async fn status_tells_what_the_store_knows() {
    let (env, forge) = (TestEnv::new(), Forge::start().await);
    let alpha = forge.repo("acme/alpha").branch("main").branch("dev");
    let empty = env.holocron(["status"]).run().await;
    empty.assert_code(2);
    assert!(!env.storage().exists(), "looking makes nothing");
    holocron(&env, &forge, &[]).run().await.assert_code(0);
    alpha.force("dev");
    holocron(&env, &forge, &[]).run().await.assert_code(0);
    alpha.commit("main", "more");
    forge.fault(Fault::status(404).on_git("acme/alpha"));
    holocron(&env, &forge, &[]).run().await.assert_code(3);

    let table = env.holocron(["status"]).run().await;
    assert!(table.assert_code(0).stdout.contains("acme/alpha"), "{table}");
    assert!(table.stdout.contains("remote_not_found"), "{table}");
    let json = env.holocron(["status", "--json"]).run().await.json();
    let mirror = &json["mirrors"][0];
    assert_eq!((&mirror["name"], &mirror["verdict"]), (&"acme/alpha".into(), &"failed".into()), "{json:#}");
    assert_eq!((&mirror["kept_refs"], &mirror["refs"]), (&1.into(), &2.into()), "{json:#}");
    assert_eq!(mirror["failure"]["reason"], "remote_not_found");
    assert!(mirror["last_success"].is_string() && mirror["size_bytes"].as_u64() > Some(0), "{json:#}");
    assert_eq!(mirror["packs"], 2, "one of the clone, one of the update\n{json:#}");
}
