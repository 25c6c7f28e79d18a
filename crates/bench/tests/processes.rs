//! Several processes on one folder of runs, one of which is killed: the others do its work, and none fails.
#![cfg(unix)]

mod common;

use std::{fs, process::Stdio, thread::sleep, time::Duration};

use common::{Place, SUITE, ended, numbers};

const PROCESSES: usize = 8;

/// Starts all of them at once, kills one after a while, and checks the output of the others.
fn rounds(count: usize) {
    let suite = SUITE.replace("steps = 40", "steps = 12").replace("seeds = [0]", "seeds = [0, 1]");
    let place = Place::with_suite(&suite);
    let args = |runs: &str| {
        ["run", "tiny.toml", "--threads", "2", "--runs", runs].map(String::from).to_vec()
    };
    let call = |runs: &str| {
        let args = args(runs);
        place.bench(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let (table, _) = ended(&call("whole").output().unwrap(), 0);
    let (expected, rows) = (place.outcomes("whole"), numbers(&place, "whole"));
    // The rows and columns, without the speed.
    let shape = |table: &str| {
        table
            .lines()
            .map(|line| line.split_whitespace().next().map(String::from))
            .collect::<Vec<_>>()
    };
    for round in 0..count {
        let runs = format!("round-{round}");
        let start = |_| {
            call(&runs).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
        };
        let mut children: Vec<_> = (0..PROCESSES).map(start).collect();
        // The moment and the victim differ between rounds.
        sleep(Duration::from_millis(300 + (round as u64 * 977) % 2500));
        let mut victim = children.remove(round % PROCESSES);
        victim.kill().ok();
        victim.wait().expect("it ends");
        for child in children {
            let (shown, err) = ended(&child.wait_with_output().expect("it ends"), 0);
            assert_eq!(err, "", "round {round}");
            assert_eq!(shape(&shown), shape(&table), "round {round}");
            assert_eq!(shown.matches("2 seeds").count(), 3, "round {round}: {shown}");
        }
        assert_eq!(place.outcomes(&runs), expected, "round {round}");
        assert_eq!(numbers(&place, &runs), rows, "round {round}");
        ended(&place.run(&["table", "tiny.toml", "--runs", &runs]), 0);
        fs::remove_dir_all(place.path(&runs)).expect("the runs can be removed");
    }
}

#[test]
fn one_of_many_processes_is_killed_and_the_table_is_whole() {
    rounds(2);
}

#[test]
#[ignore = "takes minutes"]
fn one_of_many_processes_is_killed_fifty_times() {
    rounds(50);
}
