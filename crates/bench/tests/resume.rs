//! A run that was interrupted ends with the same bits as one that never stopped; see also `killed.rs`.

mod common;

use std::{
    process::{Command, Stdio},
    thread::sleep,
    time::Duration,
};

use common::{Place, ended};

#[test]
fn the_same_config_and_seed_give_the_same_bits_on_any_number_of_threads() {
    let place = Place::new();
    for (runs, threads) in [("one", "1"), ("again", "1"), ("two", "2"), ("six", "6")] {
        ended(&place.run(&["run", "tiny.toml", "--runs", runs, "--threads", threads]), 0);
    }
    let expected = place.outcomes("one");
    assert_eq!(expected.len(), 3);
    for runs in ["again", "two", "six"] {
        assert_eq!(place.outcomes(runs), expected, "{runs}");
    }
    // If there is a single run, six threads work on it.
    let only = ["run", "tiny.toml", "--runs", "wide", "--threads", "6", "--only", "router=switch"];
    ended(&place.run(&only), 0);
    let wide = place.outcomes("wide");
    assert!(expected.contains(&wide[0]), "{wide:?}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_stops_cleanly_and_the_same_command_goes_on() {
    // More steps, so that there is time to press Ctrl-C.
    let place = Place::new();
    let args = ["run", "tiny.toml", "--set", "train.steps=300", "--threads", "1"];
    let mut command = place.bench(&args);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the program starts");
    let checkpoint =
        |place: &Place| place.runs("runs").iter().any(|run| run.join("checkpoint.bin").exists());
    while !checkpoint(&place) {
        sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    Command::new("kill").args(["-INT", &id]).status().expect("kill is there");
    let (_, err) = ended(&child.wait_with_output().expect("the child ends"), 130);
    assert!(err.contains("the same command resumes from here"), "{err}");

    ended(&place.run(&args), 0);
    ended(&place.run(&[&args[..], &["--runs", "whole"]].concat()), 0);
    assert_eq!(place.outcomes("runs"), place.outcomes("whole"));
}

#[test]
fn a_second_call_trains_nothing() {
    let place = Place::new();
    let args = ["run", "tiny.toml"];
    let (first, _) = ended(&place.run(&args), 0);
    let stamp = |place: &Place| {
        place.runs("runs").iter().map(|run| modified(&run.join("result.json"))).collect::<Vec<_>>()
    };
    let before = stamp(&place);
    let (second, _) = ended(&place.run(&args), 0);
    assert_eq!(stamp(&place), before);
    assert_eq!(first, second);
    let (table, _) = ended(&place.run(&["table", "tiny"]), 0);
    assert_eq!(first, table);
}

fn modified(path: &std::path::Path) -> std::time::SystemTime {
    path.metadata().and_then(|facts| facts.modified()).expect("the file is there")
}

#[test]
fn killed_at_the_very_end_it_ends_once() {
    let place = Place::new();
    // No row is logged before the first checkpoint.
    let args = ["run", "tiny.toml", "--set", "train.log_every=10"];
    ended(&place.run(&args), 0);
    let expected = place.outcomes("runs");
    for run in place.runs("runs") {
        std::fs::remove_file(run.join("result.json")).expect("the run has ended");
    }
    ended(&place.run(&args), 0);
    assert_eq!(place.outcomes("runs"), expected);
}

#[test]
fn shards_share_the_work_and_see_the_whole() {
    let place = Place::new();
    ended(&place.run(&["run", "tiny.toml", "--shard", "1/2"]), 0);
    assert!((1..3).contains(&place.runs("runs").len()));
    ended(&place.run(&["run", "tiny.toml", "--shard", "2/2"]), 0);
    ended(&place.run(&["run", "tiny.toml", "--runs", "whole"]), 0);
    assert_eq!(place.outcomes("runs"), place.outcomes("whole"));
}

/// A network, modules in its slots, each with its own teacher, and the network with both modules.
const MODULES: &str = r#"
seeds = [0]
[base]
moe.layers = "none"
train = { steps = 4, batch = 8, warmup = 1, log_every = 2 }
[[task]]
task = { kind = "digits", train = 80, valid = 40, test = 40 }
backbone = { kind = "vit", patch = 4, width = 8, depth = 2, heads = 2 }
[[method]]
name = "meta"
[[method]]
name = "other teacher"
train.steps = 5
[[method]]
name = "module 0"
backbone = { kind = "hybrid", slots = 2, slot = 0, meta = { patch = 4, width = 8, depth = 2, heads = 2 }, module = { patch = 4, width = 6, depth = 2, heads = 2 } }
parts = [{ of = "meta", into = "meta" }]
teacher = "meta"
[[method]]
name = "module 1"
backbone = { kind = "hybrid", slots = 2, slot = 1, meta = { patch = 4, width = 8, depth = 2, heads = 2 }, module = { patch = 4, width = 6, depth = 2, heads = 2 } }
parts = [{ of = "meta", into = "meta" }]
teacher = "other teacher"
[[method]]
name = "whole"
backbone.width = 6
parts = [{ of = "module 0", take = "module" }, { of = "module 1", take = "module" }]
"#;

#[test]
fn modules_of_several_teachers_are_shared_among_shards() {
    let place = Place::with_suite(MODULES);
    ended(&place.run(&["run", "tiny.toml", "--shard", "1/2"]), 0);
    // The other teacher and its module, and the network that contains the module.
    let first = place.outcomes("runs");
    assert_eq!(first.len(), 3);
    ended(&place.run(&["run", "tiny.toml", "--shard", "2/2"]), 0);
    ended(&place.run(&["run", "tiny.toml", "--runs", "whole"]), 0);
    let all = place.outcomes("runs");
    assert_eq!(all.len(), 5);
    assert!(first.iter().all(|run| all.contains(run)));
    assert_eq!(all, place.outcomes("whole"));
}
