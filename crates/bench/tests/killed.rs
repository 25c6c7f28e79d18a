//! A run that was killed, at whatever moment, ends with the same bits as one that never stopped.
//!
//! This test is its own program: with arguments of a suite it is `bench` with one more task, which ends
//! the process at a chosen access to its data, in training or evaluation, without any cleaning up. So
//! the moments do not depend on how fast the machine is.

mod common;
#[path = "common/fatal.rs"]
mod fatal;

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use common::{Place, SUITE, ended};
use fatal::{COUNT, KILL_AT, program};

/// This program on the suite, with results in a folder.
fn call(place: &Place, runs: &str, threads: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.args(["run", "tiny.toml", "--runs", runs, "--threads", threads]);
    command.current_dir(place.path("")).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// What a process leaves behind that was killed while it wrote: half a row, and files of which only the
/// beginning is written beside their place.
fn tear(runs: &[std::path::PathBuf]) {
    for run in runs.iter().filter(|run| !run.join("result.json").exists()) {
        let metrics = run.join("metrics.csv");
        if let Ok(rows) = fs::read_to_string(&metrics) {
            fs::write(&metrics, rows + "39,train,lo").expect("a row can be added");
        }
        for name in ["checkpoint.bin.part", "result.json.part", "config.json.part"] {
            fs::write(run.join(name), "{").expect("a part can be written");
        }
    }
}

fn killed_at_any_moment_it_ends_with_the_same_bits() {
    let place = Place::with_suite(&SUITE.replace("\"digits\"", "\"fatal\""));
    let count = place.path("count");
    ended(&call(&place, "whole", "1").env(COUNT, &count).output().expect("it starts"), 0);
    let expected = place.outcomes("whole");
    assert_eq!(expected.len(), 3);
    let accesses: usize = read(&count).parse().expect("a count is a number");
    assert!(accesses > 3 * 2 * 40, "{accesses}");

    for part in 1..=7 {
        // With two threads two runs are killed at once.
        let (runs, threads) = (format!("killed-{part}"), if part % 2 == 0 { "1" } else { "2" });
        // Killed again and again, each time a little later, until it gets through.
        for attempt in 0.. {
            let kill_at = accesses * part / 8 + accesses * attempt / 4;
            let output = call(&place, &runs, threads).env(KILL_AT, kill_at.to_string()).output();
            match output.expect("it starts").status.code() {
                None => tear(&place.runs(&runs)),
                Some(code) => {
                    assert_eq!(code, 0, "{runs}, attempt {attempt}");
                    break;
                }
            }
            assert!(attempt < 4, "{runs}: nothing is kept from one attempt to the next");
        }
        assert_eq!(place.outcomes(&runs), expected, "{runs}");
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()))
}

#[allow(clippy::print_stdout, reason = "there is no harness that says what was tested")]
fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("run") => program(),
        Some("--list") => ExitCode::SUCCESS,
        _ => {
            killed_at_any_moment_it_ends_with_the_same_bits();
            println!("test killed_at_any_moment_it_ends_with_the_same_bits ... ok");
            ExitCode::SUCCESS
        }
    }
}
