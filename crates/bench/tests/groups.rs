//! Super-classes from another run's confusions: computed before the run that needs them, and passed to its
//! router.

mod common;

use std::fs;

use common::{Place, ended};
use serde_json::Value;

const SUITE: &str = r#"
seeds = [0]
[base]
moe = { layers = "last 1", experts = 3, level = "sequence", router = "mobile-v-moe", expert = { kind = "ffn", hidden = 8 } }
train = { steps = 12, batch = 8, lr = 3e-3, warmup = 2, log_every = 4 }
[[task]]
task = "digits"
backbone = { kind = "vit", patch = 4, width = 8, depth = 2, heads = 2, dense = { kind = "ffn", hidden = 8 } }
[[method]]
name = "told"
groups = { count = 3, of = { moe = { layers = "none" } } }
[[method]]
name = "dense"
moe = { layers = "none" }
[[method]]
name = "random"
groups = { count = 3, by = "random" }
[[method]]
name = "bound"
moe = { router = "oracle" }
groups = { count = 3, of = { moe = { layers = "none", router = "mobile-v-moe" } } }
"#;

fn json(path: &std::path::Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    serde_json::from_str(&text).expect("it is JSON")
}

#[test]
fn groups_come_from_confusions_and_are_told() {
    let place = Place::with_suite(SUITE);
    ended(&place.run(&["run", "tiny.toml"]), 0);
    let runs = place.runs("runs");
    assert_eq!(runs.len(), 4, "the dense run and the one whose confusions count are one");
    for run in &runs {
        let method = json(&run.join("config.json"))["method"].clone();
        let result = json(&run.join("result.json"));
        let metric = |name: &str| {
            let metrics = result["metrics"].as_array().expect("there are metrics");
            let found = metrics.iter().find(|metric| metric[0] == "test" && metric[1] == name);
            found.map(|metric| metric[2].as_f64().expect("it is a number"))
        };
        let bytes = metric("bytes_per_input").expect("every run has it");
        if method == "dense" {
            assert!(!run.join("groups.json").exists() && metric("router_accuracy").is_none());
            assert_eq!(bytes, 4.0 * result["params"].as_f64().unwrap());
            continue;
        }
        let groups: Vec<usize> =
            serde_json::from_value(json(&run.join("groups.json"))["of"].clone()).unwrap();
        assert_eq!((groups.len(), groups.iter().max()), (10, Some(&2)));
        assert_eq!(metric("router_accuracy").is_some(), method != "bound");
        // Two of three experts are not available for an image: each of 8 -> 8 -> 8 with biases.
        assert_eq!(bytes, 4.0 * (result["params"].as_f64().unwrap() - 2.0 * 144.0));
    }
    // Nothing is trained again, and a pruned run keeps its groups.
    let told = runs.iter().find(|run| json(&run.join("config.json"))["method"] == "told").unwrap();
    let name = told.file_name().unwrap().to_string_lossy();
    let args = ["prune", &name, "--ratio", "0.3", "--rule", "load", "--steps", "2"];
    ended(&place.run(&[&args[..], &["--format", "json"]].concat()), 0);
    let groups: Vec<Value> = place
        .runs("runs")
        .iter()
        .filter(|run| run.join("pruned.json").exists() || run == &told)
        .map(|run| json(&run.join("groups.json"))["of"].clone())
        .collect();
    assert!(groups.len() == 2 && groups[0] == groups[1]);
}

#[test]
fn what_does_not_fit_is_said() {
    let place = Place::with_suite(SUITE);
    for (set, expected) in [
        ("groups.count=11", "count = 11: must be from 1 to 10"),
        ("groups={count=3}", "`of`, the run that makes the confusions, is not set"),
        ("groups={count=3, by='lot'}", "unknown value `lot`, expected one of `confusion`"),
        ("groups={count=3, by='task'}", "of: only for by = \"confusion\""),
        ("groups.of.moe.experts=0", "experts = 0"),
    ] {
        let args = ["run", "tiny.toml", "--only", "method=told", "--set", set];
        let (_, err) = ended(&place.run(&args), 2);
        assert!(err.contains(expected), "{set}: {err}");
    }
}
