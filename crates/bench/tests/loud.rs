//! Parts of a checkpoint that do not fit a run are reported, and the failed run leaves no files.

mod common;

use std::fs;

use common::{
    Place, ended,
    model::{place, spoil},
};
use serde_json::Value;

const IMPORT: [&str; 6] = ["import", "model", "--set", "task.length=16", "--format", "json"];

/// A suite of one method on a checkpoint.
const SUITE: &str = r#"
seeds = [0]
[base]
from = { checkpoint = "model" }
train = { steps = 0, batch = 4 }
[[task]]
task = { kind = "tanaka-lm", length = 16, tokens = { kind = "bpe", file = "model/tokenizer.json", size = 48 } }
[[method]]
name = "changed"
"#;

/// The standard error of a run of the suite with these settings, which ends with this exit code.
fn run(place: &Place, code: i32, settings: &[&str]) -> String {
    let data = place.path(".").to_string_lossy().to_string();
    let mut args = vec!["run", "tiny.toml", "--data-dir", &data];
    settings.iter().for_each(|setting| args.extend(["--set", *setting]));
    ended(&place.run(&args), code).1
}

#[test]
fn a_part_of_a_checkpoint_is_taken_only_where_the_suite_says_so() {
    let place = place("mixtral", SUITE);
    let gate = |block: usize| format!("blocks.{block}.feed_forward.Moe.router.gate.weight");
    let left = |block: usize| {
        let tensor = format!("model.layers.{block}.block_sparse_moe.gate.weight");
        format!("tensor {tensor} is unused: the network has no parameter {}", gate(block))
    };
    // A router without a gate.
    let random = "moe.router=random";
    let err = run(&place, 2, &[random]);
    assert!(err.contains("tiny.toml:4: from: the network does not match checkpoint "), "{err}");
    assert!(err.contains(&left(0)) && err.contains(&left(1)), "{err}");
    assert!(err.contains("partial = true"), "{err}");
    // A router with more parameters, and fewer or more blocks.
    let err = run(&place, 2, &["moe.router=loss-free"]);
    assert!(!err.contains(" is unused: "), "{err}");
    let more = "parameter blocks.0.feed_forward.Moe.router.bias.";
    assert!(err.contains(more) && err.contains(" is not set by any tensor"), "{err}");
    let err = run(&place, 2, &["backbone.depth=1"]);
    assert!(err.contains("tensor model.layers.1.input_layernorm.weight is unused: "), "{err}");
    let err = run(&place, 2, &["backbone.depth=3"]);
    assert!(err.contains("parameter blocks.2.attention_norm.gamma is not set by any"), "{err}");
    // Different sizes are not a part of the checkpoint.
    for partial in ["from.partial=false", "from.partial=true"] {
        let err = run(&place, 2, &["moe.experts=6", partial]);
        let wanted = format!("parameter {} is [16, 6], and [16, 4] in the checkpoint", gate(0));
        assert!(err.contains(&wanted), "{err}");
    }
    assert!(run(&place, 2, &["from.partial=3"]).contains("--set from.partial=3: "));
    assert!(place.runs("runs").is_empty(), "nothing is trained");
    // An intended difference is only a warning.
    let said = run(&place, 0, &[random, "from.partial=true"]);
    let left = format!("unused parameters of the checkpoint: 2, the first is {}", gate(0));
    assert!(said.contains(&format!("warning: from.partial = true: {left}; ")), "{said}");
    assert!(said.contains("newly initialised parameters: none"), "{said}");
    let said = run(&place, 0, &["moe.router=loss-free", "from.partial=true"]);
    assert!(said.contains("checkpoint: none; newly initialised parameters: "), "{said}");
    assert!(said.contains(", the first is blocks.0.feed_forward.Moe.router.bias."), "{said}");
}

#[test]
fn a_checkpoint_whose_nan_reaches_the_output_is_refused_and_nothing_is_kept() {
    let place = place("mixtral", SUITE);
    // Token 47 occurs in no text.
    spoil(&place, "model.embed_tokens.weight", true);
    let unused = "tensor model.embed_tokens.weight: 2 of 768 numbers are NaN or infinite";
    let (out, err) = ended(&place.run(&[&IMPORT[..], &["--runs", "unused"]].concat()), 0);
    assert!(err.contains(&format!("warning: {unused}")), "{err}");
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["warnings"][0], unused);
    spoil(&place, "model.norm.weight", false);
    let used = "tensor model.norm.weight: 2 of 16 numbers are NaN or infinite";
    for _ in 0..2 {
        let err = ended(&place.run(&IMPORT), 2).1;
        for tensor in [unused, used] {
            assert!(err.contains(&format!("warning: {tensor}\n")), "{err}");
        }
        assert!(err.contains("error: model: its run failed and was removed: "), "{err}");
        assert!(err.contains(" is NaN; warnings about its checkpoint: tensor "), "{err}");
        assert!(place.runs("runs").is_empty(), "{err}");
    }
    // The results of a suite keep that its run has failed, with the cause.
    let err = run(&place, 2, &[]);
    assert!(err.contains(used), "{err}");
    // Nothing is written for an unknown task either.
    let err = ended(&place.run(&["import", "model", "--task", "nope"]), 2).1;
    assert!(err.contains("--task nope: "), "{err}");
}

#[test]
fn the_run_of_a_checkpoint_has_the_name_of_its_folder() {
    let place = place("llama", SUITE);
    run(&place, 0, &[]);
    let method = |folder: &std::path::PathBuf| -> String {
        let config = fs::read(folder.join("config.json")).unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        config["method"].as_str().unwrap().to_string()
    };
    let mut methods: Vec<String> = place.runs("runs").iter().map(method).collect();
    methods.sort();
    assert_eq!(methods, ["changed", "model"]);
}

#[test]
fn adapters_of_other_experts_than_the_checkpoint_has_are_refused() {
    let place = place("gpt-oss", SUITE);
    let lora = |of: &str| format!("moe.expert={{ kind = \"lora\", of = {of}, rank = 2 }}");
    // Without a limit the default applies, and the first pass would be that of another network.
    let err = run(&place, 2, &[&lora("{ kind = \"clamped-glu\", hidden = 8 }")]);
    assert!(
        err.contains("moe.expert.of: limit = 7.0 instead of 1.5: must have the settings"),
        "{err}"
    );
    let err = run(&place, 2, &[&lora("{ kind = \"swiglu\", hidden = 8 }")]);
    let kinds = "moe.expert.of: kind = \"swiglu\" instead of \"clamped-glu\": ";
    assert!(err.contains(kinds), "{err}");
    assert!(place.runs("runs").is_empty(), "nothing is trained");
    run(&place, 0, &[&lora("{ kind = \"clamped-glu\", hidden = 8, limit = 1.5 }")]);
}

#[test]
fn experts_that_are_not_made_of_dense_networks_are_refused() {
    let place = place("llama", SUITE);
    let wrong = |experts: &str| {
        let moe = format!("moe={{ layers = \"all\", experts = 4, router = \"top-k\", {experts} }}");
        run(&place, 2, &[&moe, "upcycle={}"])
    };
    let swiglu = "{ kind = \"swiglu\", hidden = 24 }";
    let err = wrong(&format!("expert = {swiglu}, shared = {{ expert = {swiglu} }}"));
    assert!(err.contains("upcycle: moe.shared = \"swiglu\": "), "{err}");
    let err = wrong(&format!("expert = {{ kind = \"lora\", of = {swiglu} }}"));
    assert!(
        err.contains("upcycle: moe.expert = \"lora\": dense networks have no adapters"),
        "{err}"
    );
    let err = wrong("expert = { kind = \"geglu\", hidden = 24 }");
    let kinds = "upcycle: moe.expert = \"geglu\": must be \"swiglu\"";
    assert!(err.contains(kinds), "{err}");
    let swiglu = format!("expert = {swiglu}");
    let whole = format!("moe={{ layers = \"all\", experts = 4, router = \"top-k\", {swiglu} }}");
    let err = run(&place, 2, &[&whole, "upcycle={}", "from.partial=true"]);
    assert!(err.contains("upcycle: from.partial = true: "), "{err}");
    assert!(place.runs("runs").is_empty(), "nothing is trained");
}

#[test]
fn a_tokeniser_that_is_no_file_is_said() {
    let place = place("llama", "");
    fs::remove_file(place.path("model/tokenizer.json")).unwrap();
    fs::create_dir(place.path("model/tokenizer.json")).unwrap();
    for args in [&IMPORT[..], &["inspect", "model"]] {
        let err = ended(&place.run(args), 2).1;
        assert!(err.contains("model/tokenizer.json: expected a file, not a folder"), "{err}");
    }
    assert!(place.runs("runs").is_empty());
}
