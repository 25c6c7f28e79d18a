//! `bench prune` on real runs: the smaller network is smaller, pruning nothing changes nothing, and
//! impossible requests are refused.

mod common;

use std::fs;

use common::{Place, ended};
use serde_json::Value;

/// A run that was fine-tuned with SGD from another one, with new weights for the head.
const SUITE: &str = r#"
seeds = [0]
[base]
moe = { layers = "all", experts = 4, expert = { kind = "ffn", hidden = 8 } }
train = { steps = 12, batch = 8, lr = 0.05, optimizer = "sgd", weight_decay = 0.0, warmup = 2, checkpoint_every = 5 }
[[task]]
task = "digits"
backbone = { kind = "vit", patch = 4, width = 8, depth = 2, heads = 2 }
[[method]]
name = "tuned"
from = { train = { steps = 8, optimizer = "adamw", lr = 3e-3 } }
moe.router = { kind = "v-moe", k = 2 }
"#;

/// The run whose method has this name.
fn named(place: &Place, method: &str) -> String {
    let of = |folder: &std::path::PathBuf| {
        let text = fs::read_to_string(folder.join("config.json")).expect("a run has a config");
        let config: Value = serde_json::from_str(&text).expect("a config is JSON");
        (config["method"] == method)
            .then(|| folder.file_name().expect("a folder has a name").to_string_lossy().to_string())
    };
    place.runs("runs").iter().find_map(of).expect("there is such a run")
}

fn prune(place: &Place, run: &str, more: &[&str]) -> Value {
    let args = [&["prune", run, "--format", "json"][..], more].concat();
    let (out, _) = ended(&place.run(&args), 0);
    serde_json::from_str(&out).expect("it is JSON")
}

#[test]
fn the_smaller_run_is_smaller_and_nothing_pruned_is_nothing_changed() {
    let place = Place::with_suite(SUITE);
    ended(&place.run(&["run", "tiny.toml"]), 0);
    let run = named(&place, "tuned");

    let none = prune(&place, &run, &["--ratio", "0"]);
    assert_eq!(none["before"]["test"], none["after"]["test"]);
    let weights = |run: &str| {
        let text = fs::read_to_string(place.path(&format!("runs/{run}/result.json"))).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["weights"].clone()
    };
    assert_eq!(weights(&run), weights(none["run"].as_str().unwrap()), "the same bits");

    let half = prune(&place, &run, &["--ratio", "0.5,0.25"]);
    let kept: Vec<Vec<usize>> = serde_json::from_value(half["kept"].clone()).unwrap();
    assert_eq!([kept[0].len(), kept[1].len()], [2, 3]);
    // The experts with the largest scores remain.
    let scores: Vec<Vec<f64>> = serde_json::from_value(half["scores"].clone()).unwrap();
    let least = kept[0].iter().map(|expert| scores[0][*expert]).fold(f64::INFINITY, f64::min);
    let gone = (0..4).filter(|expert| !kept[0].contains(expert));
    assert!(gone.map(|expert| scores[0][expert]).all(|score| score <= least));
    let number = |when: &str, key: &str| half[when][key].as_f64().unwrap();
    let expert = (8 * 8 + 8 + 8 * 8 + 8) as f64;
    assert_eq!(number("before", "params") - number("after", "params"), 3.0 * expert);
    assert!(number("before", "checkpoint_bytes") > number("after", "checkpoint_bytes"));
    assert!(number("before", "flops_per_token") > number("after", "flops_per_token"));

    // A pruned run can be trained, and pruned again.
    let again = half["run"].as_str().unwrap();
    let tuned = prune(&place, again, &["--ratio", "0.5,0", "--rule", "load", "--steps", "3"]);
    let left: Vec<Vec<usize>> = serde_json::from_value(tuned["kept"].clone()).unwrap();
    assert_eq!(left[1], kept[1]);
    assert!(left[0].len() == 1 && kept[0].contains(&left[0][0]));
    assert_ne!(tuned["before"]["test"], tuned["after"]["test"]);
}

#[test]
fn what_cannot_be_pruned_is_said_and_leaves_nothing() {
    let place = Place::with_suite(SUITE);
    ended(&place.run(&["run", "tiny.toml"]), 0);
    let (fresh, tuned) = (named(&place, "v-moe"), named(&place, "tuned"));
    let described = || {
        let runs = place.runs("runs");
        runs.iter().filter(|run| run.join("config.json").exists()).count()
    };
    for (args, expected) in [
        (
            vec!["nothing", "--ratio", "0.5"],
            "no run is named \"nothing\" in runs; 2 runs there have ended",
        ),
        (vec![fresh.as_str(), "--ratio", "0.5"], "no earlier network"),
        (vec![tuned.as_str(), "--ratio", "1.0"], "ratio = 1: must be at least 0 and below 1"),
        (vec![tuned.as_str(), "--ratio", "0.9"], "would leave none of 4 experts"),
        (vec![tuned.as_str(), "--ratio", "0.5,0.5,0.5"], "3 shares, but the network has 2"),
        (vec![tuned.as_str(), "--ratio", "half"], "\"half\" is not a number"),
        (vec![tuned.as_str(), "--ratio", "nan"], "\"nan\": must be at least 0 and below 1"),
        (
            vec![tuned.as_str(), "--ratio", "0", "--set", "prune.ratio=\"x\""],
            "expected a share, or a list with one for each MoE layer",
        ),
        (vec![tuned.as_str(), "--ratio", "0.5", "--rule", "norm"], "unknown value `norm`"),
        (vec![tuned.as_str()], "--ratio"),
    ] {
        let (out, err) = ended(&place.run(&[&["prune"], &args[..]].concat()), 2);
        assert_eq!(out, "");
        assert!(err.contains(expected), "{args:?}: {err}");
    }
    assert_eq!(described(), 2, "nothing was begun");
    // Some rules work without fine-tuning.
    prune(&place, &fresh, &["--ratio", "0.5", "--rule", "router-norm"]);
}

#[test]
fn a_checkpoint_that_is_damaged_is_named() {
    let place = Place::with_suite(SUITE);
    ended(&place.run(&["run", "tiny.toml"]), 0);
    let run = named(&place, "tuned");
    let path = place.path(&format!("runs/{run}/checkpoint.bin"));
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let (_, err) = ended(&place.run(&["prune", &run, "--ratio", "0.5"]), 2);
    assert!(
        err.contains("checkpoint.bin is damaged: its SHA-256 differs from that in result.json"),
        "{err}"
    );
}

#[test]
fn experts_that_choose_lose_their_column_too() {
    let place = Place::with_suite(&SUITE.replace("\"v-moe\", k = 2", "\"expert-choice\""));
    ended(&place.run(&["run", "tiny.toml"]), 0);
    let half = prune(&place, &named(&place, "tuned"), &["--ratio", "0.5"]);
    assert_eq!(half["gone"], "remove");
    let number = |when: &str| half[when]["params"].as_f64().unwrap();
    let expert = (8 * 8 + 8 + 8 * 8 + 8) as f64;
    assert_eq!(number("before") - number("after"), 2.0 * 2.0 * (expert + 8.0));
}
