//! Budgets and tuning from end to end: the trials, the choice, and the files.

mod common;

use std::fs;

use common::{Place, ended};

const SUITE: &str = r#"
seeds = [0, 1]
[base]
moe = { layers = "last 1", experts = 4, expert = { kind = "ffn", hidden = 8 } }
train = { steps = 12, batch = 8, warmup = 2, log_every = 6, checkpoint_every = 5 }
[budget]
equal = "active-flops"
[tune]
trials = 2
metric = "loss"
[tune.keys]
train.lr = [1e-7, 3e-2]
[[task]]
task = "digits"
backbone = { kind = "vit", patch = 4, width = 8, depth = 2, heads = 2 }
[[method]]
moe.router = "top-k"
[[method]]
moe.router = "switch"
"#;

#[test]
fn the_same_number_of_settings_is_tried_and_the_test_split_is_seen_once() {
    let place = Place::with_suite(SUITE);
    let (table, err) = ended(&place.run(&["run", "tiny.toml", "--format", "md"]), 0);
    assert!(err.contains("digits, switch: best of 2 settings: train.lr=0.03, loss"), "{err}");
    assert!(table.contains("top-k train.lr=0.03 (2); switch train.lr=0.03 (2)"), "{table}");
    assert!(table.contains("Held equal: active FLOPs per token, within 2 %"), "{table}");
    // Two methods, two settings with one seed; then two methods with two seeds.
    assert_eq!(place.runs("runs").len(), 8);
    let seen = |folder: &std::path::PathBuf| {
        fs::read_to_string(folder.join("metrics.csv")).unwrap().contains(",test,")
    };
    assert_eq!(place.runs("runs").iter().filter(|folder| seen(folder)).count(), 4);
    let (ledger, _) = ended(&place.run(&["ledger", "tiny.toml", "--each", "--format", "csv"]), 0);
    assert_eq!(ledger.lines().count(), 1 + 4, "{ledger}");
    let (trials, _) = ended(&place.run(&["table", "runs/tiny-trials.csv", "--format", "md"]), 0);
    assert!(
        trials.contains("switch \\[train.lr=0.03\\]") && trials.contains("valid split"),
        "{trials}"
    );
    // Nothing is trained twice.
    let before = place.outcomes("runs");
    ended(&place.run(&["run", "tiny.toml"]), 0);
    assert_eq!(place.outcomes("runs"), before);
}

#[test]
fn a_value_that_the_suite_tries_itself_cannot_be_set() {
    let (_, err) = ended(&Place::new().run(&["run", "default", "--set", "train.lr=1e-3"]), 2);
    assert!(err.contains("--set train.lr: the suite tunes this setting (default.toml:"), "{err}");
}

#[test]
fn parts_of_a_suite_are_joined_by_copying_folders() {
    let place = Place::with_suite(SUITE);
    ended(&place.run(&["run", "tiny.toml", "--runs", "whole"]), 0);
    let part = |k: &str, runs: &str, code| {
        ended(&place.run(&["run", "tiny.toml", "--shard", k, "--runs", runs, "--jobs", "1"]), code)
    };
    let (_, err) = part("1/2", "a", 2);
    assert!(err.contains("trials of other parts are missing"), "{err}");
    part("2/2", "b", 2);
    let join = |from: &str, to: &str| {
        for run in place.runs(from) {
            let folder = place.path(to).join(run.file_name().unwrap());
            fs::create_dir_all(&folder).unwrap();
            for file in fs::read_dir(&run).unwrap().flatten() {
                fs::copy(file.path(), folder.join(file.file_name())).unwrap();
            }
        }
    };
    join("a", "b");
    join("b", "a");
    part("1/2", "a", 0);
    part("2/2", "b", 0);
    join("b", "a");
    assert_eq!(place.outcomes("a"), place.outcomes("whole"));
}
