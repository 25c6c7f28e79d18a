//! The routing of a run, recorded as a trace or given as arrays, is imposed on another run.

mod common;

use std::{fs, path::Path};

use common::{
    Place, ended,
    model::{self, tokenizer, word},
};
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
    // The trace files do not exist yet.
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
    assert!(err.contains("examples of the split \"test\" are not in the traces"), "{err}");
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
    assert!(err.contains("layer 0 chooses among 4 experts, but the network has 8"), "{err}");
    let err = with("task.length=32");
    assert!(
        err.contains("the examples have 16 units, but an input of the network has 32"),
        "{err}"
    );
    let err = with("moe.layers=\"last 1\"");
    assert!(err.contains("it has 2 layers, but the network has 1 MoE layers"), "{err}");
    let err = with("train.steps=2");
    assert!(err.contains("examples of the split \"train\" are not in the traces"), "{err}");
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
    assert!(err.contains("the choices of 48 units, but the examples have 64"), "{err}");
    assert!(!place.path("no").exists());
    // The trace that was written is imposed on a run.
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

/// A checkpoint on a text of two windows of ten tokens.
const FOREIGN: &str = r#"
seeds = [0]
[base]
from = { checkpoint = "model" }
train.steps = 0
[[task]]
task = { kind = "text-lm", file = "text.txt", valid = "text.txt", test = "text.txt", length = 10, tokens = { kind = "bpe", file = "model/tokenizer.json", size = 48 } }
[[method]]
name = "plain"
"#;

const REPLAYED: &str = r#"
[[method]]
name = "replayed"
moe.router = { kind = "replay", files = ["valid.trace", "test.trace"], weights = "gate" }
"#;

/// A tensor of the results of transformers for a fixture: its shape and its bytes.
fn computed(place: &Place, tensor: &str) -> (Vec<usize>, Vec<u8>) {
    let bytes = fs::read(place.path("model/expected.safetensors")).unwrap();
    let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..start]).unwrap();
    let numbers =
        |key: &str| -> Vec<usize> { serde_json::from_value(header[tensor][key].clone()).unwrap() };
    let range = numbers("data_offsets");
    (numbers("shape"), bytes[start + range[0]..start + range[1]].to_vec())
}

fn whole_numbers(bytes: &[u8]) -> Vec<i64> {
    bytes.as_chunks::<8>().0.iter().map(|eight| i64::from_le_bytes(*eight)).collect()
}

/// The sums of the losses of each window, from the logits of transformers, where each token is the label of
/// the previous one.
fn losses_of_transformers(place: &Place, labels: &[i64]) -> Vec<f64> {
    let (shape, bytes) = computed(place, "logits");
    let logits: Vec<f64> =
        bytes.as_chunks::<4>().0.iter().map(|four| f64::from(f32::from_le_bytes(*four))).collect();
    let loss = |(scores, label): (&[f64], &i64)| {
        scores.iter().map(|score| score.exp()).sum::<f64>().ln() - scores[*label as usize]
    };
    let losses: Vec<f64> = logits.chunks(shape[2]).zip(labels).map(loss).collect();
    losses.chunks(shape[1]).map(|window| window.iter().sum()).collect()
}

/// The same of a run, from its test examples.
fn losses_of_run(place: &Place, method: &str) -> Vec<f64> {
    let folder = place.path("runs").join(run_of(place, method).0);
    let text = fs::read_to_string(folder.join("test-examples.csv")).unwrap();
    text.lines().skip(1).map(|line| line.split(',').nth(2).unwrap().parse().unwrap()).collect()
}

/// Imposes choices of experts on the method of the suite that is called `name`.
fn impose(place: &Place, name: &str, shape: &[usize], choices: &[i64]) -> Vec<f64> {
    let bytes: Vec<u8> = choices.iter().flat_map(|expert| expert.to_le_bytes()).collect();
    fs::write(place.path("choices.npy"), [npy::start("<i8", shape), bytes].concat()).unwrap();
    let data = place.path(".").to_string_lossy().to_string();
    let (run, _) = run_of(place, "plain");
    for split in ["valid", "test"] {
        trace(place, &run, split, &["--choices", "choices.npy", "--data-dir", &data]);
    }
    let suite = format!("{FOREIGN}{}", REPLAYED.replace("replayed", name));
    fs::write(place.path("tiny.toml"), suite).unwrap();
    ended(&place.run(&["run", "tiny.toml", "--data-dir", &data]), 0);
    assert_eq!(value(&run_of(place, name).1, "test", "replayed"), 1.0, "all tokens are found");
    losses_of_run(place, name)
}

/// Largest difference of two lists of sums of ten losses.
fn gap(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn choices_of_transformers_give_its_losses() {
    for family in ["mixtral", "qwen3-moe", "granite-moe"] {
        let place = model::place(family, FOREIGN);
        fs::write(place.path("model/tokenizer.json"), tokenizer(48)).unwrap();
        // The fixture's tokens as words, followed by one more, which is the label of the last token.
        let mut tokens = whole_numbers(&computed(&place, "ids").1);
        tokens.push(5);
        let words = tokens.iter().map(|token| match *token {
            0 => "unknown".to_string(),
            token => word(token as usize),
        });
        let text = words.collect::<Vec<_>>().join(" ");
        fs::write(place.path("text.txt"), text).unwrap();
        let data = place.path(".").to_string_lossy().to_string();
        ended(&place.run(&["run", "tiny.toml", "--data-dir", &data]), 0);
        let wanted = losses_of_transformers(&place, &tokens[1..]);
        let (shape, choices) = computed(&place, "choices");
        let choices = whole_numbers(&choices);
        let found = impose(&place, "replayed", &shape, &choices);
        assert!(gap(&found, &wanted) < 1e-3, "{family}: {found:?}, not {wanted:?}");
        // Other choices give other losses, which shows that the given choices are used.
        let experts = choices.iter().max().unwrap() + 1;
        let others: Vec<i64> = choices.iter().map(|expert| (expert + 1) % experts).collect();
        let found = impose(&place, "others", &shape, &others);
        assert!(gap(&found, &wanted) > 0.1, "{family}: {found:?}");
    }
}

/// The head of an `.npy` file of bytes.
fn npy(shape: &[usize]) -> Vec<u8> {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    let header =
        format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({}), }}", shape.join(", "));
    let header = format!("{header:117}\n");
    [b"\x93NUMPY\x01\x00\x76\x00", header.as_bytes()].concat()
}
