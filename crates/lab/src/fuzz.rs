//! Readers of suites and of files of runs take any input; see `crates/bench/tests/fuzz.rs`.

#[path = "../../bench/tests/fuzz/mutate.rs"]
mod mutate;

use std::fs;

use mutate::{Random, mutated};

use crate::{
    store::{Ended, Numbers, Store, read_json, read_traces, safetensors},
    testing::plan,
};

/// So many inputs of a reader, made of valid ones.
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
