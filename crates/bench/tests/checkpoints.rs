//! Checkpoints of another framework are converted to runs, analysed, tuned, and exported again, end to end.

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
};

use common::{
    Place, ended,
    model::{place, tokenizer},
};
use serde_json::{Value, json};

const IMPORT: [&str; 6] = ["import", "model", "--set", "task.length=16", "--format", "json"];

/// The run of the imported checkpoint.
fn imported(place: &Place) -> (String, Value) {
    let (out, _) = ended(&place.run(&IMPORT), 0);
    let answer: Value = serde_json::from_str(&out).unwrap();
    (answer["run"].as_str().unwrap().to_string(), answer)
}

fn tensors(folder: PathBuf) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().to_string();
    let model = |path: &PathBuf| name(path).starts_with("model");
    let mut found: Vec<(String, Vec<u8>)> =
        entries.filter(model).map(|path| (name(&path), fs::read(&path).unwrap())).collect();
    found.sort();
    found
}

#[test]
fn a_checkpoint_becomes_a_run_and_goes_back_out() {
    let place = place("mixtral", "");
    let (run, answer) = imported(&place);
    assert!(answer["params"].as_f64().unwrap() > 7000.0, "{answer}");
    assert_eq!(imported(&place).0, run, "the same run again");
    let (out, _) = ended(&place.run(&["export", &run, "out"]), 0);
    assert_eq!(out, "41 tensors in out\n");
    let both = |folder: &str| {
        let mut files = tensors(place.path(folder));
        // The index is JSON, in which whitespace may differ.
        files.iter_mut().filter(|(name, _)| name.ends_with(".json")).for_each(|(_, bytes)| {
            let value: Value = serde_json::from_slice(bytes).unwrap();
            *bytes = value.to_string().into_bytes();
        });
        files
    };
    assert!(both("model") == both("out"));
    assert!(place.path("out/tokenizer.json").is_file());
    let err = ended(&place.run(&["export", &run, "out"]), 2).1;
    assert!(err.contains("out: it already exists"), "{err}");
    let (out, _) = ended(&place.run(&["inspect", "model"]), 0);
    assert!(out.contains("family: mixtral\n") && out.contains("tensors: 41, with"), "{out}");
    assert!(out.contains("[moe.router]\nkind = \"top-k\"\n"), "{out}");
    // The analyses that apply to text and experts.
    let (out, _) = ended(&place.run(&["analyse", &run, "--what", "load,entropy,causality"]), 0);
    assert!(out.contains("Effect of later tokens"), "{out}");
    let sample = ["sample", &run, "--prompt", "the", "--tokens", "5", "--temperature", "0"];
    assert!(ended(&place.run(&sample), 0).0.starts_with("the"));
    let prune = ["prune", &run, "--ratio", "0.5", "--rule", "expert-norm", "--format", "json"];
    let pruned: Value = serde_json::from_str(&ended(&place.run(&prune), 0).0).unwrap();
    assert_eq!(pruned["after"]["experts"], json!([2, 2]));
}

const TUNED: &str = r#"
seeds = [0]
[base]
from = { checkpoint = "model" }
train = { steps = 3, batch = 4, lr = 1e-3, warmup = 1 }
[[task]]
task = { kind = "tanaka-lm", length = 16, tokens = { kind = "bpe", file = "model/tokenizer.json", size = 48 } }
[[method]]
name = "tuned"
[[method]]
name = "more slots"
moe.router.balance = 0.1
"#;

#[test]
fn a_suite_starts_from_a_checkpoint() {
    let place = place("olmoe", TUNED);
    let data = place.path(".");
    let run = ["run", "tiny.toml", "--data-dir", data.to_str().unwrap()];
    ended(&place.run(&run), 0);
    // One run for the checkpoint, and one for each method.
    let folders = place.runs("runs");
    assert_eq!(folders.len(), 3, "{folders:?}");
    let config = |folder: &PathBuf| -> Value {
        serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap()
    };
    let tuned = folders.iter().find(|folder| config(folder)["method"] == "tuned").unwrap();
    let described = config(tuned);
    assert_eq!(described["config"]["moe"]["router"]["k"], 3);
    assert_eq!(described["config"]["from"]["train"]["steps"], 0);
    let name = tuned.file_name().unwrap().to_string_lossy().to_string();
    let export = ["export", &name, "out", "--data-dir", data.to_str().unwrap()];
    ended(&place.run(&export), 0);
    let (before, after) = (tensors(place.path("model")), tensors(place.path("out")));
    assert_eq!(before[0].1.len(), after[0].1.len());
    assert!(before[0].1 != after[0].1, "it was trained");
}

#[test]
fn what_does_not_fit_is_said_and_nothing_is_written() {
    let place = place("llama", "");
    let said = |args: &[&str]| ended(&place.run(args), 2).1;
    assert!(said(&["import", "nowhere"]).contains("nowhere"));
    assert!(said(&["inspect", "."]).contains("config.json"));
    let err = said(&["import", "model", "--set", "moe.experts=3"]);
    assert!(err.contains("the network comes from the checkpoint"), "{err}");
    let err = said(&["import", "model", "--set", "task.tokens=\"ascii\""]);
    assert!(
        err.contains("the network has 48 tokens or classes, but the task \"tanaka-lm\" has 97"),
        "{err}"
    );
    fs::write(place.path("model/tokenizer.json"), tokenizer(50)).unwrap();
    let err = said(&IMPORT);
    assert!(err.contains("it has 50 tokens, more than tokens.size = 48"), "{err}");
    let err = said(&["inspect", "model"]);
    assert!(err.contains("tokenizer.json: it has 50 tokens, but the network has 48"), "{err}");
    fs::write(place.path("model/tokenizer.json"), "{}").unwrap();
    assert!(said(&IMPORT).contains("not a tokenizer.json"));
    assert!(said(&["export", "nothing", "out"]).contains("no run is named \"nothing\""));
    assert!(!place.path("out").exists() && !place.path("out.part").exists());
    let ended = place.runs("runs").iter().filter(|run| run.join("result.json").exists()).count();
    assert_eq!(ended, 0);
}

#[test]
fn keys_of_training_that_are_not_honoured_are_named() {
    let place = place("mixtral", "");
    let file = place.path("model/config.json");
    let mut config: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    config["attention_dropout"] = json!(0.1);
    fs::write(&file, config.to_string()).unwrap();
    let wanted = "warning: config.json: attention_dropout = 0.1: not supported";
    for args in [&["inspect", "model"][..], &IMPORT[..]] {
        let err = ended(&place.run(args), 0).1;
        assert!(err.contains(wanted), "{err}");
    }
}

const UPCYCLED: &str = r#"
seeds = [0]
[base]
from = { checkpoint = "model" }
train = { steps = 0, batch = 4 }
[[task]]
task = { kind = "tanaka-lm", length = 16, tokens = { kind = "bpe", file = "model/tokenizer.json", size = 48 } }
[[method]]
name = "dense"
[[method]]
name = "copies"
moe = { layers = "all", experts = 4, expert = { kind = "swiglu", hidden = 24 }, router = "top-k" }
upcycle = {}
[[method]]
name = "small gates"
moe = { layers = "all", experts = 4, expert = { kind = "swiglu", hidden = 24 }, router = { kind = "top-k", weights = "softmax", start = 1e-7 } }
upcycle = {}
[[method]]
name = "virtual groups"
moe = { layers = "last 1", experts = 8, expert = { kind = "swiglu", hidden = 12 }, router = { kind = "top-k", k = 4 } }
upcycle = { groups = 2 }
[[method]]
name = "sigmoids"
moe = { layers = "all", experts = 4, expert = { kind = "swiglu", hidden = 24 }, router = { kind = "deepseek-v3", scale = 2.5 } }
upcycle = {}
[[method]]
name = "cosines"
moe = { layers = "all", experts = 4, expert = { kind = "swiglu", hidden = 24 }, router = { kind = "x-moe", renormalise = true } }
upcycle = {}
[[method]]
name = "null experts"
moe = { layers = "all", experts = 4, expert = { kind = "swiglu", hidden = 24 }, router = { kind = "ada-moe", k = 4, nulls = 3 } }
upcycle = {}
[[method]]
name = "dropped"
moe = { layers = "all", experts = 4, expert = { kind = "swiglu", hidden = 24 }, router = "top-k" }
upcycle = { reinitialise = 0.5 }
"#;

#[test]
fn another_network_than_the_checkpoints_is_said_and_not_exported() {
    let suite = UPCYCLED.split("[[method]]").next().unwrap();
    let suite = format!("{suite}[[method]]\nname = \"turned\"\nbackbone.theta = 7.0\n");
    let place = place("mixtral", &suite);
    let data = place.path(".");
    let data = ["--data-dir", data.to_str().unwrap()];
    let err = ended(&place.run(&[&["run", "tiny.toml"][..], &data].concat()), 0).1;
    let said = "the network of turned differs from that of its checkpoint: backbone.theta = 7.0 instead of ";
    assert!(err.contains(said), "{err}");
    let config = |run: &PathBuf| fs::read_to_string(run.join("config.json")).unwrap();
    let runs = place.runs("runs");
    let turned = runs.iter().find(|run| config(run).contains("\"turned\"")).unwrap();
    let name = turned.file_name().unwrap().to_str().unwrap();
    let err = ended(&place.run(&[&["export", name, "out"][..], &data].concat()), 2).1;
    assert!(err.contains("cannot be exported: backbone.theta = 7.0 instead of "), "{err}");
    assert!(!place.path("out").exists());
}

#[test]
fn an_upcycled_network_begins_as_the_dense_one() {
    let place = place("llama", UPCYCLED);
    let data = place.path(".");
    let data = ["--data-dir", data.to_str().unwrap()];
    ended(&place.run(&[&["run", "tiny.toml"][..], &data].concat()), 0);
    let mut losses = std::collections::BTreeMap::new();
    for folder in place.runs("runs") {
        let read = |name: &str| -> Value {
            serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
        };
        let loss = read("result.json")["metrics"].as_array().unwrap().iter().find_map(|row| {
            (row[0] == "test" && row[1] == "loss").then(|| row[2].as_f64().unwrap())
        });
        losses.insert(read("config.json")["method"].as_str().unwrap().to_string(), loss.unwrap());
    }
    let dense = losses["dense"];
    let equal = ["copies", "small gates", "virtual groups", "sigmoids", "cosines", "null experts"];
    for method in equal {
        let gap = (losses[method] - dense).abs();
        assert!(gap < 1e-5, "{method}: {gap}, {losses:?}");
    }
    assert!((losses["dropped"] - dense).abs() > 1e-3, "{losses:?}");
    // Weights with a varying sum cannot reproduce the output of the dense network.
    let wrong = "moe.router={ kind = \"top-k\", weights = \"softmax\" }";
    let args = ["run", "tiny.toml", "--only", "method=copies", "--set", wrong];
    let err = ended(&place.run(&[&args[..], &data].concat()), 2).1;
    assert!(
        err.contains("upcycle: layer 0: the weights of a unit's experts sum to values between"),
        "{err}"
    );
}

/// Routers whose weights, with the settings of their papers, have sums that differ between units however
/// small the gates are: cosines do not depend on lengths, the positive parts of scores are as unequal as
/// before, and units choose different numbers of null experts.
const NOT_EQUAL: [&str; 3] = ["x-moe", "remoe", "ada-moe"];

#[test]
fn each_causal_router_begins_as_the_dense_network_or_is_refused() {
    let place = place("llama", UPCYCLED);
    let data = place.path(".");
    let run = |method: &str, set: &[&str]| {
        let only = format!("method={method}");
        let args = ["run", "tiny.toml", "--only", &only, "--data-dir", data.to_str().unwrap()];
        place.run(&[&args[..], set].concat())
    };
    ended(&run("dense", &[]), 0);
    let losses = |runs: &str| -> Vec<f64> {
        place.runs(runs).iter().filter_map(|folder| test_loss(folder)).collect()
    };
    let dense = losses("runs")[0];
    let (list, _) = ended(&place.run(&["list", "routers", "--format", "json"]), 0);
    let routers: Vec<Value> = serde_json::from_str(&list).unwrap();
    let mut refused = Vec::new();
    for router in routers.iter().filter(|router| router["facts"]["causal"] == true) {
        let name = router["name"].as_str().unwrap();
        let router = format!("moe.router=\"{name}\"");
        let set = ["--set", &router, "--set", "upcycle.gates=1e-6", "--runs", "of-one"];
        match run("copies", &set) {
            output if output.status.success() => {
                let losses = losses("of-one");
                assert_eq!(losses.len(), 2, "{name}: the checkpoint and the method");
                assert!(
                    losses.iter().all(|loss| (loss - dense).abs() < 1e-5),
                    "{name}: {losses:?}"
                );
            }
            output => {
                let err = ended(&output, 2).1;
                assert!(
                    err.contains("upcycle: layer 0: the weights of a unit's experts"),
                    "{name}: {err}"
                );
                refused.push(name);
            }
        }
        fs::remove_dir_all(place.path("of-one")).unwrap();
    }
    assert_eq!(refused, NOT_EQUAL);
}

const VISION: &str = r#"
seeds = [0]
[base]
from = { checkpoint = "model" }
train = { steps = 0 }
[[task]]
task = "digits"
[[method]]
name = "dense"
[[method]]
name = "v-moe"
moe = { layers = "last 1", experts = 4, expert = { kind = "ffn", hidden = 24 }, router = { kind = "top-k", k = 2 } }
upcycle = {}
"#;

#[test]
fn a_vision_transformer_is_upcycled_to_one_with_experts() {
    let place = place("vit-digits", VISION);
    ended(&place.run(&["run", "tiny.toml"]), 0);
    let losses: Vec<f64> =
        place.runs("runs").iter().filter_map(|folder| test_loss(folder)).collect();
    assert_eq!(losses.len(), 3, "the checkpoint, and two methods: {losses:?}");
    assert!(losses.iter().all(|loss| (loss - losses[0]).abs() < 1e-5), "{losses:?}");
    // A router that mixes tokens cannot start with the outputs of the dense network.
    let args = ["run", "tiny.toml", "--only", "method=v-moe", "--set", "moe.router=\"soft\""];
    let err = ended(&place.run(&args), 2).1;
    assert!(err.contains("upcycle: equal = true, but the first outputs on 32 examples"), "{err}");
}

fn test_loss(folder: &Path) -> Option<f64> {
    let bytes = fs::read(folder.join("result.json")).ok()?;
    let result: Value = serde_json::from_slice(&bytes).ok()?;
    let loss = |row: &Value| (row[0] == "test" && row[1] == "loss").then(|| row[2].as_f64())?;
    result["metrics"].as_array()?.iter().find_map(loss)
}

#[test]
fn a_gguf_file_becomes_a_run_and_goes_out_as_a_folder() {
    let place = place("gguf-llama", "");
    fs::remove_file(place.path("model/tokenizer.json")).unwrap();
    let file = "model/model.gguf";
    let import = ["import", file, "--set", "task.length=16", "--format", "json"];
    let (out, err) = ended(&place.run(&import), 0);
    assert!(err.contains("wrote its tokeniser to model/model.tokenizer.json"), "{err}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    let run = answer["run"].as_str().unwrap();
    let (out, _) = ended(&place.run(&["inspect", file]), 0);
    assert!(out.contains("family: llama\n") && out.contains("tokeniser: yes\n"), "{out}");
    let (out, _) = ended(&place.run(&["export", run, "out"]), 0);
    assert_eq!(out, "21 tensors in out\n");
    assert!(place.path("out/tokenizer.json").is_file());
    ended(&place.run(&["inspect", "out"]), 0);
    fs::write(place.path("cut.gguf"), &fs::read(place.path(file)).unwrap()[..5000]).unwrap();
    let err = ended(&place.run(&["import", "cut.gguf"]), 2).1;
    assert!(err.contains("cut.gguf: it is cut off"), "{err}");
}

#[test]
fn a_file_of_pytorch_is_the_run_of_its_numbers() {
    let place = place("llama3", "");
    let (_, plain) = imported(&place);
    fs::remove_file(place.path("model/model.safetensors")).unwrap();
    let fixture =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../interop/fixtures/pytorch/pytorch_model.bin");
    let bytes = fs::read(fixture).unwrap();
    fs::write(place.path("model/pytorch_model.bin"), &bytes).unwrap();
    let (run, answer) = imported(&place);
    assert_eq!(answer["metrics"], plain["metrics"]);
    let (out, _) = ended(&place.run(&["inspect", "model"]), 0);
    assert!(out.contains("files: pytorch_model.bin\n"), "{out}");
    let (out, _) = ended(&place.run(&["export", &run, "out"]), 0);
    assert_eq!(out, "12 tensors in out\n");
    assert!(place.path("out/model.safetensors").is_file());
    fs::write(place.path("model/pytorch_model.bin"), &bytes[..bytes.len() / 2]).unwrap();
    let err = ended(&place.run(&IMPORT), 2).1;
    assert!(err.contains("pytorch_model.bin: not a PyTorch file"), "{err}");
}

#[test]
fn an_encoder_decoder_is_evaluated_on_pairs() {
    let place = place("switch", "");
    let (source, target) = ("the a of\nis it in\n".repeat(3), "I you to\na the is\n".repeat(3));
    for split in ["train", "valid"] {
        fs::write(place.path(&format!("{split}.en")), &source).unwrap();
        fs::write(place.path(&format!("{split}.de")), &target).unwrap();
    }
    let data = place.path(".");
    let mut import = vec!["import", "model", "--task", "translation", "--format", "json"];
    import.extend(["--data-dir", data.to_str().unwrap()]);
    for files in ["task.train=train", "task.valid=valid", "task.test=valid"] {
        import.extend(["--set", files]);
    }
    import.extend(["--set", "task.target=de", "--set", "task.length=16"]);
    let answer: Value = serde_json::from_str(&ended(&place.run(&import), 0).0).unwrap();
    let run = answer["run"].as_str().unwrap();
    let export = ["export", run, "out", "--data-dir", data.to_str().unwrap()];
    assert_eq!(ended(&place.run(&export), 0).0, "91 tensors in out\n");
    assert!(tensors(place.path("model")) == tensors(place.path("out")));
    // Its experts are merged on both sides, and the smaller network is exported in its family's format.
    let args = ["prune", run, "--ratio", "0.5", "--rule", "merge", "--format", "json"];
    let args = [&args[..], &["--data-dir", data.to_str().unwrap()]].concat();
    let answer: Value = serde_json::from_str(&ended(&place.run(&args), 0).0).unwrap();
    assert_eq!(answer["after"]["experts"], serde_json::json!([2, 2, 2, 2]));
    let export = ["export", answer["run"].as_str().unwrap(), "small"];
    ended(&place.run(&[&export[..], &["--data-dir", data.to_str().unwrap()]].concat()), 0);
    let smaller: Vec<&str> =
        import.iter().map(|word| if *word == "model" { "small" } else { word }).collect();
    let again: Value = serde_json::from_str(&ended(&place.run(&smaller), 0).0).unwrap();
    let loss = |rows: &Value, of: fn(&Value) -> bool, at: usize| {
        let row = rows.as_array().unwrap().iter().find(|row| of(row)).unwrap();
        row[at].as_f64().unwrap()
    };
    let found = loss(&again["metrics"], |row| row[0] == "test" && row[1] == "loss", 2);
    let after = loss(&answer["after"]["test"], |row| row[0] == "loss", 1);
    assert!((found - after).abs() < 1e-6, "{found}, not {after}");
    import.extend(["--set", "task.tokens=byte"]);
    let err = ended(&place.run(&import), 2).1;
    assert!(err.contains("has 258; set task.tokens = { kind = \"bpe\", file = "), "{err}");
}
