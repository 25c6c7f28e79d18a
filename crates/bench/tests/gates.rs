//! The conditions of claims are measured on a suite's runs, and shown by `check`.

mod common;

use std::fs;

use common::{Place, ended};

const SUITE: &str = r#"
seeds = [0, 1, 2]
[base]
moe = { experts = 4, layers = "all", expert = { kind = "ffn", hidden = 8 } }
train = { steps = 10, batch = 16, eval_every = 5, warmup = 0 }
[[task]]
task = "digits"
backbone = { kind = "vit", width = 8, depth = 1, heads = 1 }
[tune]
seeds = [9]
trials = 3
[tune.keys]
train.lr = [1e-3, 3e-3, 1e-2]
[[method]]
name = "sparse"
moe.router = "top-k"
[[method]]
name = "dense"
moe.layers = "none"
[[gate]]
metric = "accuracy"
reference = "sparse"
control = "dense"
[[expect]]
metric = "accuracy"
between = [0.0, 1.0]
"#;

#[test]
fn the_conditions_of_claims_are_measured() {
    let place = Place::new();
    fs::write(place.path("s.toml"), SUITE).unwrap();
    ended(&place.bench(&["run", "s.toml", "--threads", "1"]).output().unwrap(), 0);
    let (out, _) = ended(&place.bench(&["check", "s.toml"]).output().unwrap(), 0);
    assert!(out.contains("0 of 1 gates hold"), "{out}");
    for condition in [
        // The nearest neighbour finds 98.6 % of the test digits.
        "beats a trivial baseline",
        "\"sparse\" minus the baseline: -0.",
        "the last tenth of training changes the validation loss of",
        "is tuned",
    ] {
        assert!(out.contains(condition), "{condition}: {out}");
    }
    assert!(!out.contains("not measured"), "{out}");
    let csv = fs::read_dir(place.path("runs")).unwrap().flatten().map(|entry| entry.path());
    let csv = csv.filter(|path| path.extension().is_some_and(|end| end == "csv"));
    let rows: String = csv.map(|path| fs::read_to_string(path).unwrap()).collect();
    let trivial = rows.lines().find(|row| row.contains(",trivial_accuracy,")).unwrap();
    let value: f64 = trivial.split(',').nth(8).unwrap().parse().unwrap();
    assert!((0.95..1.0).contains(&value), "{trivial}");
}

#[test]
fn a_gate_on_a_method_that_the_suite_lacks_is_refused_before_training() {
    let place = Place::new();
    fs::write(place.path("s.toml"), SUITE.replace("control = \"dense\"", "control = \"dens\""))
        .unwrap();
    let (_, err) = ended(&place.run(&["run", "s.toml"]), 2);
    assert!(err.contains("gate: no method is named \"dens\"; known: sparse, dense"), "{err}");
    assert!(place.runs(".").is_empty(), "nothing was trained");
}
