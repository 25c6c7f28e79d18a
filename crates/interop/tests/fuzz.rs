//! Readers of checkpoints take any input: they read it or refuse it, and never take more memory than the file is
//! large; see `crates/bench/tests/fuzz.rs`.

mod common;
#[path = "../../bench/tests/fuzz/mutate.rs"]
mod mutate;

use std::{fs, path::Path};

use common::{fixture, place};
use interop::{Checkpoint, describe};
use mutate::{Random, mutated};

/// So many inputs, made of a valid one.
fn inputs(count: usize, file: &Path) -> impl Iterator<Item = Vec<u8>> + use<> {
    let (mut random, files) = (Random(29), [fs::read(file).unwrap()]);
    (0..count).map(move |_| mutated(&mut random, &files))
}

/// Reads all there is of a checkpoint.
fn read(path: &Path) {
    let Ok(checkpoint) = Checkpoint::open(path) else { return };
    drop(describe(&checkpoint.config));
    for (name, stored) in checkpoint.tensors() {
        if let Ok(numbers) = checkpoint.numbers(name) {
            assert_eq!(numbers.len(), stored.len(), "{name}");
        }
    }
}

#[test]
fn gguf_files_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gguf");
    for (name, count) in [("gguf-mixtral", 700), ("gguf-llama", 60)] {
        for bytes in inputs(count, &place(name)) {
            fs::write(&path, bytes).unwrap();
            read(&path);
        }
    }
}

#[test]
fn folders_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        for part in ["config.json", "model.safetensors"] {
            fs::copy(fixture("gpt-oss-mxfp4").join(part), folder.path().join(part)).unwrap();
        }
        for bytes in inputs(150, &fixture("gpt-oss-mxfp4").join(file)) {
            fs::write(folder.path().join(file), bytes).unwrap();
            read(folder.path());
        }
    }
}
