//! Uses of the network of another framework's checkpoint, and its export: training of parts, adapters, fewer
//! experts, experts made of a dense network, analyses.

mod common;

use std::{collections::BTreeMap, fs};

use common::{Place, ended, model::place};
use serde_json::{Value, json};

/// The tensors of a checkpoint of one file or several, by name.
fn tensors(place: &Place, folder: &str) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(place.path(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut all = BTreeMap::new();
    let is_model = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("model") && name.ends_with(".safetensors")
    };
    for path in files.filter(is_model) {
        let bytes = fs::read(path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        for (name, tensor) in header.as_object().unwrap() {
            let Some(at) = tensor["data_offsets"].as_array() else { continue };
            let [from, to] = [0, 1].map(|i| 8 + length + at[i].as_u64().unwrap() as usize);
            all.insert(name.clone(), bytes[from..to].to_vec());
        }
    }
    all
}

/// The names of the tensors that differ.
fn changed(place: &Place, folder: &str) -> Vec<String> {
    let (before, after) = (tensors(place, "model"), tensors(place, folder));
    assert!(before.keys().eq(after.keys()), "{:?}", after.keys());
    before.into_iter().filter(|(name, bytes)| after[name] != *bytes).map(|(name, _)| name).collect()
}

/// The runs by method: name of the folder, and the test loss.
fn runs(place: &Place) -> BTreeMap<String, (String, f64)> {
    let of = |folder: std::path::PathBuf| {
        let read = |name: &str| -> Value {
            serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
        };
        let method = read("config.json")["method"].as_str().unwrap().to_string();
        let metrics = read("result.json")["metrics"].as_array().unwrap().clone();
        let loss = metrics.iter().find(|row| row[0] == "test" && row[1] == "loss").unwrap();
        let name = folder.file_name().unwrap().to_string_lossy().to_string();
        (method, (name, loss[2].as_f64().unwrap()))
    };
    place.runs("runs").into_iter().map(of).collect()
}

/// The data folder of the task; the embedded data are enough.
fn data(place: &Place) -> String {
    place.path(".").to_str().unwrap().to_string()
}

/// The test loss of a checkpoint, from a separate import.
fn loss_of(place: &Place, folder: &str) -> f64 {
    let tokenizer = "model/tokenizer.json";
    fs::copy(place.path(tokenizer), place.path(folder).join("tokenizer.json")).unwrap();
    let args = ["import", folder, "--set", "task.length=16", "--format", "json", "--runs", "again"];
    let answer: Value = serde_json::from_str(&ended(&place.run(&args), 0).0).unwrap();
    let rows = answer["metrics"].as_array().unwrap();
    let loss = rows.iter().find(|row| row[0] == "test" && row[1] == "loss").unwrap();
    loss[2].as_f64().unwrap()
}

const TASK: &str = r#"
[[task]]
task = { kind = "tanaka-lm", length = 16, tokens = { kind = "bpe", file = "model/tokenizer.json", size = 48 } }
"#;

const TUNED: &str = r#"
[[method]]
name = "router"
train.only = ["router"]
[[method]]
name = "experts"
train.only = ["experts"]
[[method]]
name = "adapted at the start"
moe.expert = { kind = "lora", of = { kind = "swiglu", hidden = 8 }, rank = 2, alpha = 4.0 }
train.steps = 0
[[method]]
name = "adapted"
moe.expert = { kind = "lora", of = { kind = "swiglu", hidden = 8 }, rank = 2, alpha = 4.0 }
train.only = ["adapters"]
"#;

#[test]
fn parts_are_tuned_and_all_else_goes_back_out_to_the_bit() {
    let place = place("qwen3-moe", "");
    let base = "seeds = [0]\n[base]\nfrom = { checkpoint = \"model\" }\ntrain = { steps = 3, batch = 4, lr = 1e-2, warmup = 1 }\n";
    fs::write(place.path("tiny.toml"), format!("{base}{TASK}{TUNED}")).unwrap();
    let data = data(&place);
    ended(&place.run(&["run", "tiny.toml", "--data-dir", &data]), 0);
    let runs = runs(&place);
    for method in ["router", "experts", "adapted", "adapted at the start"] {
        let out = method.replace(' ', "-");
        ended(&place.run(&["export", &runs[method].0, &out, "--data-dir", &data]), 0);
    }
    let router = changed(&place, "router");
    assert!(!router.is_empty() && router.iter().all(|name| name.ends_with("mlp.gate.weight")));
    for method in ["experts", "adapted"] {
        let experts = changed(&place, method);
        let (n, all) = (experts.len(), tensors(&place, "model").len());
        assert!(experts.iter().all(|name| name.contains(".mlp.experts.")), "{experts:?}");
        assert!(n > 0 && n < all, "{n} of {all}");
    }
    // Adapters start at zero, and are merged into the weights on export.
    assert_eq!(changed(&place, "adapted-at-the-start"), [""; 0]);
    let start = runs.iter().find(|(method, _)| !TUNED.contains(&format!("\"{method}\"")));
    let start = start.map(|(_, (_, loss))| *loss).expect("the run of the checkpoint");
    assert_eq!(runs["adapted at the start"].1.to_bits(), start.to_bits());
    assert!((runs["adapted"].1 - start).abs() > 1e-4, "it has learnt");
    let gap = (loss_of(&place, "adapted") - runs["adapted"].1).abs();
    assert!(gap < 1e-5, "{gap}");
    let wrong = ["run", "tiny.toml", "--only", "method=router", "--data-dir", &data];
    let err = ended(&place.run(&[&wrong[..], &["--set", "train.only=[\"gates\"]"]].concat()), 2).1;
    assert!(err.contains("\"gates\" has no trained parameters"), "{err}");
    assert!(err.contains("router"), "{err}");
    let still = ["run", "tiny.toml", "--only", "method=experts", "--data-dir", &data];
    let err = ended(&place.run(&[&still[..], &["--set", "train.router_lr=2"]].concat()), 2).1;
    assert!(err.contains("train.router_lr = 2: the network has no router"), "{err}");
}

/// Experts with biases and a clamped gate, for which there is no fused kernel.
#[test]
fn gpt_oss_is_adapted_and_goes_back_out() {
    let place = place("gpt-oss", "");
    let base = "seeds = [0]\n[base]\nfrom = { checkpoint = \"model\" }\ntrain = { steps = 3, batch = 4, lr = 1e-2, warmup = 1 }\n";
    let expert = "{ kind = \"clamped-glu\", hidden = 8, limit = 1.5 }";
    let adapted = format!(
        "[[method]]\nname = \"adapted\"\nmoe.expert = {{ kind = \"lora\", of = {expert}, rank = 2, alpha = 4.0 }}\ntrain.only = [\"adapters\"]\n"
    );
    fs::write(place.path("tiny.toml"), format!("{base}{TASK}{adapted}")).unwrap();
    let data = data(&place);
    ended(&place.run(&["run", "tiny.toml", "--data-dir", &data]), 0);
    let runs = runs(&place);
    ended(&place.run(&["export", &runs["adapted"].0, "adapted", "--data-dir", &data]), 0);
    let experts = changed(&place, "adapted");
    let weights = |name: &String| name.ends_with("_proj") && name.contains(".mlp.experts.");
    assert!(!experts.is_empty() && experts.iter().all(weights), "{experts:?}");
    let gap = (loss_of(&place, "adapted") - runs["adapted"].1).abs();
    assert!(gap < 1e-5, "{gap}");
}

/// The run of an imported fixture, and a pruned one with these options.
fn pruned(place: &Place, options: &[&str]) -> (Value, String) {
    let import = ["import", "model", "--set", "task.length=16", "--format", "json"];
    let answer: Value = serde_json::from_str(&ended(&place.run(&import), 0).0).unwrap();
    let run = answer["run"].as_str().unwrap();
    let args = ["prune", run, "--ratio", "0.5", "--format", "json"];
    let out = ended(&place.run(&[&args[..], options].concat()), 0).0;
    let answer: Value = serde_json::from_str(&out).unwrap();
    let run = answer["run"].as_str().unwrap().to_string();
    (answer, run)
}

/// The loss of a network of `prune`'s answer on the test split.
fn test_loss(answer: &Value, which: &str) -> f64 {
    let rows = answer[which]["test"].as_array().unwrap();
    rows.iter().find(|row| row[0] == "loss").unwrap()[1].as_f64().unwrap()
}

#[test]
fn a_network_with_fewer_experts_goes_back_to_its_family() {
    for (family, key, experts) in [
        ("mixtral", "num_local_experts", 2),
        ("granite-moe", "num_local_experts", 3),
        ("qwen2-moe", "num_experts", 3),
        ("gpt-oss", "num_local_experts", 2),
        ("olmoe", "num_experts", 4),
    ] {
        let place = place(family, "");
        let (answer, run) = pruned(&place, &["--rule", "expert-norm", "--gone", "remove"]);
        ended(&place.run(&["export", &run, "out"]), 0);
        let config = fs::read_to_string(place.path("out/config.json")).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config[key], json!(experts), "{family}");
        assert!(tensors(&place, "out").len() <= tensors(&place, "model").len());
        let (found, expected) = (loss_of(&place, "out"), test_loss(&answer, "after"));
        assert!((found - expected).abs() < 1e-6, "{family}: {found}, not {expected}");
        assert_ne!(test_loss(&answer, "before"), expected, "{family}");
    }
}

#[test]
fn experts_of_like_outputs_are_merged() {
    let place = place("qwen3-moe", "");
    let (answer, run) = pruned(&place, &["--rule", "merge"]);
    assert_eq!(answer["after"]["experts"], json!([3]));
    let file = fs::read_to_string(place.path(&format!("runs/{run}/pruned.json"))).unwrap();
    let file: Value = serde_json::from_str(&file).unwrap();
    let clusters: Vec<Vec<u64>> = serde_json::from_value(file["clusters"][0].clone()).unwrap();
    let kept: Vec<u64> = serde_json::from_value(file["pruned"]["kept"][0].clone()).unwrap();
    assert_eq!(clusters.len(), 3);
    for cluster in &clusters {
        let stands = cluster.iter().filter(|expert| kept.contains(*expert)).count();
        assert_eq!(stands, 1, "one of {cluster:?} is kept among {kept:?}");
    }
    let mut all = clusters.concat();
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2, 3, 4, 5]);
    ended(&place.run(&["export", &run, "out"]), 0);
    let (found, expected) = (loss_of(&place, "out"), test_loss(&answer, "after"));
    assert!((found - expected).abs() < 1e-6, "{found}, not {expected}");
    // A merged expert differs from the original one of the same number.
    let (before, after) = (tensors(&place, "model"), tensors(&place, "out"));
    let down = |expert: u64| format!("model.layers.1.mlp.experts.{expert}.down_proj.weight");
    for (new, old) in kept.iter().enumerate() {
        let cluster = clusters.iter().find(|cluster| cluster.contains(old)).unwrap();
        let same = after[&down(new as u64)] == before[&down(*old)];
        assert_eq!(same, cluster.len() == 1, "{cluster:?}");
    }
    let (_, zeros) = pruned(&place, &["--rule", "expert-norm"]);
    let err = ended(&place.run(&["export", &zeros, "again"]), 2).1;
    assert!(err.contains("prune with gone = \"remove\""), "{err}");
    let args = ["prune", &run, "--ratio", "0.5", "--rule", "merge", "--gone", "zero"];
    assert!(ended(&place.run(&args), 2).1.contains("gone"));
}

#[test]
fn upcycled_and_dense_networks_are_trained_at_equal_flops() {
    let suite = include_str!("../../../docs/upcycled.toml")
        .replace(
            "state-of-the-union\", length = 128, years = [2017, 2021]",
            "tanaka-lm\", length = 16",
        )
        .replace("SmolLM2-135M-Instruct.Q4_1.gguf", "model")
        .replace("SmolLM2-135M-Instruct.Q4_1.tokenizer.json", "model/tokenizer.json")
        .replace("49152", "48")
        .replace("hidden = 768", "hidden = 12")
        .replace(
            "steps = 40, batch = 4, lr = 1e-4, warmup = 4",
            "steps = 4, batch = 4, lr = 1e-3, warmup = 1",
        )
        // The gate is a large part of a network of width 16.
        .replace("tolerance = 0.02", "tolerance = 0.05");
    let place = place("llama", &suite);
    let data = data(&place);
    let out = ended(&place.run(&["run", "tiny.toml", "--data-dir", &data]), 0).0;
    for method in ["dense", "upcycled", "drop-upcycled"] {
        assert!(out.contains(method), "{out}");
    }
    let runs = runs(&place);
    let flops = |method: &str| {
        let text = fs::read_to_string(place.path(&format!("runs/{}/result.json", runs[method].0)));
        let result: Value = serde_json::from_str(&text.unwrap()).unwrap();
        result["flops_per_token"].as_f64().unwrap()
    };
    for method in ["upcycled", "drop-upcycled"] {
        let off = flops(method) / flops("dense") - 1.0;
        assert!((0.0..0.05).contains(&off), "{method}: {off}");
    }
    let gap = (runs["dense at the start"].1 - runs["upcycled at the start"].1).abs();
    assert!(gap < 1e-5, "{gap}");
    assert!((runs["dense"].1 - runs["dense at the start"].1).abs() > 1e-3, "it was trained");
    assert!((runs["upcycled"].1 - runs["dense"].1).abs() > 1e-5, "the experts differ");
}

#[test]
fn an_imported_network_has_an_analysis() {
    let place = place("qwen2-moe", "");
    let import = ["import", "model", "--set", "task.length=16", "--format", "json"];
    let answer: Value = serde_json::from_str(&ended(&place.run(&import), 0).0).unwrap();
    let run = answer["run"].as_str().unwrap();
    let what = "load,entropy,specialisation,similarity,causality";
    let (out, err) = ended(&place.run(&["analyse", run, "--what", what, "--format", "json"]), 0);
    let tables: Value = serde_json::from_str(&out).unwrap();
    let tables = tables.as_array().unwrap();
    assert!(tables.len() >= 5, "{out}");
    for table in tables {
        let rows = table["rows"].as_array().unwrap_or_else(|| panic!("{table}"));
        assert!(!rows.is_empty(), "{table}");
    }
    assert!(err.contains("plots are in"), "{err}");
    let plots = fs::read_dir(place.path(&format!("runs/{run}/analysis"))).unwrap();
    let names: Vec<String> =
        plots.map(|entry| entry.unwrap().file_name().to_string_lossy().to_string()).collect();
    assert!(names.iter().any(|name| name.ends_with(".svg")), "{names:?}");
}
