//! The routing of a run, recorded as a trace or given as arrays, is imposed on another run.

mod common;

use std::{fs, path::Path};

use common::{Place, ended};
use serde_json::{Value, json};

const SUITE: &str = r#"
seeds = [0]
[base]
moe = { layers = "all", experts = 4, expert = { kind = "ffn", hidden = 8 }, router = { kind = "top-k", k = 3 } }
train = { steps = 6, batch = 8, lr = 3e-3, warmup = 2 }
[[task]]
task = { kind = "tanaka-lm", length = 16 }
backbone = { kind = "transformer-lm", width = 8, depth = 2, heads = 2 }
[[method]]
name = "recorded"
[[method]]
name = "replayed"
from = { moe.router = { kind = "top-k", k = 3 }, train.steps = 6 }
moe.router = { kind = "replay", files = ["valid.trace", "test.trace"] }
train.steps = 0
"#;

const RECORDED: [&str; 4] = ["run", "tiny.toml", "--only", "method=recorded"];

/// The folder of the run of a method, and its measures.
fn run_of(place: &Place, method: &str) -> (String, Value) {
    let read = |folder: &Path, name: &str| -> Value {
        serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
    };
    let folders = place.runs("runs");
    let found = folders.iter().find(|folder| read(folder, "config.json")["method"] == method);
    let folder = found.unwrap_or_else(|| panic!("{method} among {folders:?}"));
    let name = folder.file_name().unwrap().to_string_lossy().to_string();
    (name, read(folder, "result.json")["metrics"].clone())
}

/// The value of a metric of a run.
fn value(metrics: &Value, split: &str, name: &str) -> f64 {
    let rows = metrics.as_array().unwrap().iter();
    let found =
        rows.filter(|row| row[0] == split && row[1] == name).find_map(|row| row[2].as_f64());
    found.unwrap_or_else(|| panic!("{split} {name} in {metrics}"))
}

/// Writes a trace, and returns what is printed.
fn trace(place: &Place, run: &str, split: &str, more: &[&str]) -> String {
    let out = format!("{split}.trace");
    let args = ["trace", run, "--split", split, "--out", &out];
    ended(&place.run(&[&args[..], more].concat()), 0).0
}

#[test]
fn a_runs_own_trace_gives_the_same_numbers_to_the_bit() {
    let place = Place::with_suite(SUITE);
    // Its files are not there yet.
    let replay = ["run", "tiny.toml", "--only", "method=replayed"];
    assert!(ended(&place.run(&["run", "tiny.toml"]), 2).1.contains("valid.trace"));
    let alone = SUITE.split("[[method]]\nname = \"replayed\"").next().unwrap();
    fs::write(place.path("tiny.toml"), alone).unwrap();
    ended(&place.run(&RECORDED), 0);
    let (run, own) = run_of(&place, "recorded");
    trace(&place, &run, "valid", &[]);
    fs::copy(place.path("valid.trace"), place.path("test.trace")).unwrap();
    fs::write(place.path("tiny.toml"), SUITE).unwrap();
    let err = ended(&place.run(&replay), 2).1;
    assert!(err.contains("examples of the split \"test\" are in no trace"), "{err}");
    assert!(trace(&place, &run, "test", &[]).contains("units in 2 layers in test.trace"));
    ended(&place.run(&replay), 0);
    let (_, replayed) = run_of(&place, "replayed");
    for (split, name) in [("valid", "loss"), ("test", "loss"), ("test", "accuracy")] {
        let [a, b] = [&own, &replayed].map(|metrics| value(metrics, split, name).to_bits());
        assert_eq!(a, b, "{split} {name}");
    }
    // Other sizes are refused.
    let with = |set: &str| ended(&place.run(&[&replay[..], &["--set", set]].concat()), 2).1;
    let err = with("moe.experts=8");
    assert!(err.contains("layer 0 chooses among 4 experts, and the network has 8"), "{err}");
    let err = with("task.length=32");
    assert!(err.contains("its examples have 16 units, and an input of the network 32"), "{err}");
    let err = with("moe.layers=\"last 1\"");
    assert!(err.contains("it has 2 layers, and the network has 1 MoE layers"), "{err}");
    let err = with("train.steps=2");
    assert!(err.contains("examples of the split \"train\" are in no trace"), "{err}");
}

#[test]
fn choices_of_another_program_become_a_trace() {
    let place = Place::with_suite(SUITE.split("[[method]]\nname = \"replayed\"").next().unwrap());
    ended(&place.run(&RECORDED), 0);
    let (run, _) = run_of(&place, "recorded");
    // Two layers, three windows of 16 tokens, one expert each.
    let choices: Vec<u8> = (0..2 * 48).map(|i| (i % 4) as u8).collect();
    let file = [npy(&[2, 48, 1]), choices].concat();
    fs::write(place.path("choices.npy"), file).unwrap();
    let given = ["--choices", "choices.npy"];
    let out = trace(&place, &run, "valid", &[&given[..], &["--examples", "3"]].concat());
    assert_eq!(out, "48 units in 2 layers in valid.trace\n");
    let args = ["trace", &run, "--examples", "4", "--out", "no", "--choices", "choices.npy"];
    let err = ended(&place.run(&args), 2).1;
    assert!(err.contains("the choices of 48 units, and the examples have 64"), "{err}");
    assert!(!place.path("no").exists());
    // What is written is imposed on a run.
    let rest = "[[method]]\nname = \"given\"\nmoe.router = { kind = \"replay\", files = [\"valid.trace\"], partial = true }\ntrain.steps = 0\n";
    let suite = fs::read_to_string(place.path("tiny.toml")).unwrap() + rest;
    fs::write(place.path("tiny.toml"), suite).unwrap();
    ended(&place.run(&["run", "tiny.toml"]), 0);
    let (_, metrics) = run_of(&place, "given");
    let share = value(&metrics, "valid", "replayed");
    assert!(share > 0.0 && share < 0.2, "{share}");
    assert_eq!(value(&metrics, "test", "replayed"), 0.0);
    let config = place.runs("runs").into_iter().find_map(|folder| {
        let text = fs::read_to_string(folder.join("config.json")).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        (config["method"] == "given").then_some(config)
    });
    let files = &config.unwrap()["config"]["moe"]["router"]["files"];
    assert_eq!(files[0]["file"], json!("valid.trace"));
    assert_eq!(files[0]["sha256"].as_str().map(str::len), Some(64));
}

/// The head of an `.npy` file of bytes.
fn npy(shape: &[usize]) -> Vec<u8> {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    let header =
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({}), }}", shape.join(", "));
    let header = format!("{header:117}\n");
    [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes()].concat()
}
