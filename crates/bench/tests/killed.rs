//! A run or a search that was killed at any moment ends with the same bits as one that never stopped.
//!
//! This test is a separate program: with arguments of a suite it is `bench` with an additional task, which
//! ends the process without any cleanup at a chosen access to its data, in training or evaluation. So the
//! moments do not depend on the speed of the machine.

mod common;
#[path = "common/fatal.rs"]
mod fatal;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use common::{Place, SUITE, ended};
use fatal::{COUNT, KILL_AT, program};

/// A search among sizes of experts: short trainings, then the winners of both strategies.
const SEARCH: &str = r#"
seeds = [0]
[base]
moe = { layers = "last 1", router = "switch" }
train = { steps = 12, batch = 8, lr = 3e-3, warmup = 2, log_every = 3, checkpoint_every = 4 }
[[task]]
task = "fatal"
backbone = { kind = "vit", patch = 4, width = 8, depth = 2, heads = 2 }
[[method]]
name = "searched"
[search]
rank = 2
metric = "loss"
evolution = { population = 3, parents = 2, mutations = 2, crossovers = 1, iterations = 2 }
limit = { what = "params", at_most = 5000 }
[search.keys]
"moe.expert.hidden" = [4, 8, 12, 16, 2000]
"moe.experts" = [2, 3, 4]
[search.candidate]
train.steps = 5
"#;

/// This program on the suite, with results in a folder.
fn call(place: &Place, runs: &str, threads: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(["run", "tiny.toml", "--runs", runs, "--threads", threads]);
    command.current_dir(place.path("")).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Creates the leftovers of a process that was killed while it wrote: half a row, and incomplete temporary
/// files beside their targets.
fn tear(place: &Place, runs: &str) {
    for name in histories(place, runs).into_keys() {
        let path = place.path(runs).join("searches").join(name);
        fs::write(&path, read(&path) + "{\"cost\":1.5,\"mem").expect("a history can be added to");
    }
    let unfinished = |run: &std::path::PathBuf| !run.join("result.json").exists();
    for run in place.runs(runs).into_iter().filter(unfinished) {
        let metrics = run.join("metrics.csv");
        if let Ok(rows) = fs::read_to_string(&metrics) {
            fs::write(&metrics, rows + "39,train,lo").expect("a row can be added");
        }
        for name in ["checkpoint.bin.part", "result.json.part", "config.json.part"] {
            fs::write(run.join(name), "{").expect("a part can be written");
        }
    }
}

/// Kills the program on a suite repeatedly, at moments spread over its work, and compares its final results
/// with those of an undisturbed program; `runs` is the number of trained runs. Returns the number of kills.
fn killed_at_any_moment_it_ends_with_the_same_bits(
    suite: &str,
    runs: std::ops::Range<usize>,
    rounds: usize,
) -> usize {
    let mut kills = 0;
    let place = Place::with_suite(suite);
    let count = place.path("count");
    ended(&call(&place, "whole", "1").env(COUNT, &count).output().expect("it starts"), 0);
    let expected = (place.outcomes("whole"), histories(&place, "whole"));
    assert!(runs.contains(&expected.0.len()), "{} runs", expected.0.len());
    let accesses: usize = read(&count).parse().expect("a count is a number");
    assert!(accesses > 100, "{accesses}");

    // The moments differ between rounds.
    let last = 7 * rounds;
    for part in 1..=last {
        // With two threads two runs are killed at the same time.
        let (runs, threads) = (format!("killed-{part}"), if part % 2 == 0 { "1" } else { "2" });
        // Killed repeatedly, each time a little later, until it finishes.
        for attempt in 0.. {
            let kill_at = accesses * part / (last + 1) + accesses * attempt / 4;
            let output = call(&place, &runs, threads).env(KILL_AT, kill_at.to_string()).output();
            match output.expect("it starts").status.code() {
                None => {
                    kills += 1;
                    tear(&place, &runs);
                }
                Some(code) => {
                    assert_eq!(code, 0, "{runs}, attempt {attempt}");
                    break;
                }
            }
            assert!(attempt < 4, "{runs}: nothing is kept from one attempt to the next");
        }
        assert_eq!((place.outcomes(&runs), histories(&place, &runs)), expected, "{runs}");
    }
    kills
}

/// The histories of searches, by file.
fn histories(place: &Place, runs: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(place.path(runs).join("searches")).into_iter().flatten().flatten();
    let history = |entry: fs::DirEntry| {
        (entry.file_name().to_string_lossy().into_owned(), read(&entry.path()))
    };
    entries.map(history).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

#[allow(clippy::print_stdout, reason = "there is no harness that says what was tested")]
fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("run") => program(),
        Some("--list") => ExitCode::SUCCESS,
        rounds => {
            let rounds = rounds.and_then(|rounds| rounds.parse().ok()).unwrap_or(1);
            let suite = SUITE.replace("\"digits\"", "\"fatal\"");
            let kills = killed_at_any_moment_it_ends_with_the_same_bits(&suite, 3..4, rounds);
            println!("test killed_at_any_moment_it_ends_with_the_same_bits ... ok, {kills} kills");
            let kills = killed_at_any_moment_it_ends_with_the_same_bits(SEARCH, 8..30, rounds);
            println!(
                "test a_search_killed_at_any_moment_ends_with_the_same_bits ... ok, {kills} kills"
            );
            ExitCode::SUCCESS
        }
    }
}
