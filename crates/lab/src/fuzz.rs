//! Fuzz tests: the readers of suites and of the files of runs accept any input without a panic; see
//! `crates/bench/tests/fuzz.rs`.

#[path = "../../bench/tests/fuzz/mutate.rs"]
mod mutate;

use std::fs;

use mutate::{Random, mutated};

use crate::{
    probes::given_choices,
    store::{Ended, Numbers, Store, read_json, read_traces, safetensors},
    testing::plan,
};

/// `count` inputs for a reader, made by changing valid ones.
fn inputs(count: usize, files: &[Vec<u8>]) -> impl Iterator<Item = Vec<u8>> {
    let mut random = Random(23);
    (0..count).map(move |_| mutated(&mut random, files))
}

const SUITE: &str = r#"
title = "a"
seeds = [0, 1]
[budget]
equal = "params"
[base]
moe = { layers = "last 1", experts = 4, expert = { kind = "ffn", hidden = 8 }, capacity = { factor = 1.0 } }
train = { steps = 40, batch = 8, accumulate = 2, lr = 3e-3, warmup = 5, log_every = 3, eval_every = 20 }
[[task]]
task = { kind = "digits", side = 8 }
backbone = { kind = "vit", patch = 4, width = 8, depth = 2, heads = 2 }
[[method]]
moe.router = { kind = "switch", jitter = 0.01 }
[[method]]
name = "b"
moe.router = { kind = "top-k", k = 2 }
"#;

#[test]
fn suites_are_planned_or_refused() {
    for text in inputs(1500, &[SUITE.as_bytes().to_vec()]) {
        drop(plan(&String::from_utf8_lossy(&text)));
    }
}

#[test]
fn files_of_runs_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let _lock = store.lock("a").unwrap();
    let place = store.folder("a");
    store.end("a", &Ended::Done(Numbers { step: 3, ..Numbers::default() })).unwrap();
    let result = place.join("result.json");
    let whole = fs::read(&result).unwrap();
    for bytes in inputs(3000, std::slice::from_ref(&whole)) {
        fs::write(&result, &bytes).unwrap();
        assert!(store.ended("a").is_err() || bytes == whole);
        drop((read_traces(&place, ""), read_json::<serde_json::Value>(&place, "config.json")));
    }
}

#[test]
fn tensors_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let numbers = burn::tensor::TensorData::new(vec![1.0_f32, 2.0, 3.0], [1, 3]);
    safetensors::write(&path, &[("x".to_string(), numbers)].into()).unwrap();
    let whole = fs::read(&path).unwrap();
    for bytes in inputs(3000, std::slice::from_ref(&whole)) {
        fs::write(&path, &bytes).unwrap();
        drop(safetensors::read(&path));
    }
}

#[test]
fn choices_of_other_programs_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let npy = npy::write_u16(&[2, 3, 2], &[0, 1, 2, 3, 1, 0, 3, 2, 0, 1, 1, 2]);
    let tensors = folder.path().join("whole.safetensors");
    let array = |numbers: Vec<f32>| burn::tensor::TensorData::new(numbers, [3, 2]);
    let layers = (0..2).flat_map(|at| {
        let experts = array(vec![0.0, 1.0, 2.0, 3.0, 1.0, -1.0]).convert::<i32>();
        let weights = array(vec![0.5; 6]);
        [(format!("layer.{at}.experts"), experts), (format!("layer.{at}.weights"), weights)]
    });
    safetensors::write(&tensors, &layers.collect()).unwrap();
    for (end, whole) in [("npy", npy), ("safetensors", fs::read(&tensors).unwrap())] {
        let path = folder.path().join(format!("choices.{end}"));
        fs::write(&path, &whole).unwrap();
        assert_eq!(given_choices(&path, &[4, 4], 3).unwrap().len(), 2);
        for bytes in inputs(3000, std::slice::from_ref(&whole)) {
            fs::write(&path, &bytes).unwrap();
            drop(given_choices(&path, &[4, 4], 3));
        }
    }
}
