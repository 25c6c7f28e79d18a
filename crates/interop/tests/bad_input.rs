//! Damaged folders and configs: the error names the fault, and nothing is loaded.

use std::{fs, path::PathBuf};

use backbones::AnyBackbone;
use burn::prelude::*;
use interop::{CheckpointFiles, CheckpointForm, ImportedNetwork, describe, export, load};
use moe::{Init, Library};
use serde_json::{Value, json};
use tempfile::TempDir;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// A copy of a fixture, which a test may damage.
fn copy(name: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture(name)).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    folder
}

fn opened(folder: &TempDir) -> String {
    match CheckpointFiles::open(folder.path()) {
        Ok(checkpoint) => format!("{} tensors", checkpoint.tensors().count()),
        Err(err) => format!("{err:#}"),
    }
}

/// A fresh network of a family.
fn network(model: &ImportedNetwork) -> anyhow::Result<AnyBackbone> {
    let (routers, experts) = (routers::all(), experts::all());
    let library = Library { routers, experts, residuals: residuals::all() };
    let backbones = backbones::all();
    let build = backbones.get(&model.backbone.kind)?.build;
    let init = Init::new(0, &Device::flex());
    Ok((build.init)(&model.backbone, &model.backbone_spec(&library), &init)?)
}

/// The error of loading a folder, or its warnings.
fn loaded(folder: &TempDir) -> String {
    let read = || {
        let checkpoint = CheckpointFiles::open(folder.path())?;
        let model = describe(&checkpoint.config)?;
        anyhow::Ok(load(network(&model)?, &model.rules, &checkpoint)?.warnings)
    };
    match read() {
        Ok(warnings) => warnings.join("\n"),
        Err(err) => format!("{err:#}"),
    }
}

fn change(folder: &TempDir, file: &str, change: impl Fn(&mut Value)) {
    let path = folder.path().join(file);
    let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

const INDEX: &str = "model.safetensors.index.json";
const FIRST: &str = "model-00001-of-00002.safetensors";
const SECOND: &str = "model-00002-of-00002.safetensors";

/// The header and the numbers of a file.
fn parts(folder: &TempDir, file: &str) -> (Value, Vec<u8>) {
    let bytes = fs::read(folder.path().join(file)).unwrap();
    let n = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..8 + n]).unwrap(), bytes[8 + n..].to_vec())
}

fn write(folder: &TempDir, file: &str, header: &Value, numbers: &[u8]) {
    let header = header.to_string();
    let length = (header.len() as u64).to_le_bytes();
    let bytes = [&length[..], header.as_bytes(), numbers].concat();
    fs::write(folder.path().join(file), bytes).unwrap();
}

#[test]
fn damaged_folders() {
    assert_eq!(opened(&copy("mixtral")), "41 tensors");
    let folder = copy("mixtral");
    fs::remove_file(folder.path().join(SECOND)).unwrap();
    let index = folder.path().join(INDEX).display().to_string();
    assert_eq!(opened(&folder), format!("{index}: it names {SECOND}, which does not exist"));
    let folder = copy("mixtral");
    fs::remove_file(folder.path().join(INDEX)).unwrap();
    let none = format!("found none of model.safetensors, {INDEX}, pytorch_model.bin");
    assert!(opened(&folder).contains(&none));
    let folder = copy("mixtral");
    fs::remove_file(folder.path().join("config.json")).unwrap();
    assert!(opened(&folder).contains("config.json: "));
    let folder = copy("mixtral");
    let bytes = fs::read(folder.path().join(FIRST)).unwrap();
    fs::write(folder.path().join(FIRST), &bytes[..bytes.len() - 10]).unwrap();
    let said = opened(&folder);
    assert!(said.contains(FIRST) && said.contains("it is cut off"), "{said}");
    let folder = copy("mixtral");
    change(&folder, INDEX, |index| index["weight_map"]["lm_head.weight"] = json!(SECOND));
    let index = folder.path().join(INDEX).display().to_string();
    let moved = format!("{index}: tensor lm_head.weight is in {FIRST}, not in {SECOND}");
    assert_eq!(opened(&folder), moved);
    let folder = copy("mixtral");
    change(&folder, INDEX, |index| index["weight_map"]["lm_haed.weight"] = json!(SECOND));
    assert!(opened(&folder).ends_with(&format!("{SECOND} has no tensor lm_haed.weight")));
    let folder = copy("mixtral");
    change(&folder, INDEX, |index| index["weight_map"]["lm_head.weight"] = json!("../x"));
    assert!(opened(&folder).contains("is not the name of a file in the folder"));
    // Two shards with the same tensor.
    let folder = copy("mixtral");
    let (mut header, mut numbers) = parts(&folder, SECOND);
    let (start, n) = (numbers.len(), 48 * 16 * 2);
    header["lm_head.weight"] =
        json!({ "dtype": "BF16", "shape": [48, 16], "data_offsets": [start, start + n] });
    numbers.extend(vec![0; n]);
    write(&folder, SECOND, &header, &numbers);
    let both = format!("tensor lm_head.weight is in {FIRST} and in {SECOND}");
    assert!(opened(&folder).ends_with(&both), "{}", opened(&folder));
}

#[test]
fn tensors_that_are_left_or_missing() {
    let folder = copy("llama");
    let (header, numbers) = parts(&folder, "model.safetensors");
    let text = header.to_string().replace("model.norm.weight", "model.norms.weight");
    write(&folder, "model.safetensors", &serde_json::from_str(&text).unwrap(), &numbers);
    let said = loaded(&folder);
    let left = "tensor model.norms.weight is unused: the network has no parameter for it; \
                nearest: model.norm.weight";
    assert!(said.contains(left), "{said}");
    let missing = "tensor model.norm.weight is missing; nearest: model.norms.weight";
    assert!(said.contains(missing), "{said}");
    // Fewer blocks than the file has: all unused tensors are named.
    let folder = copy("llama");
    change(&folder, "config.json", |config| config["num_hidden_layers"] = json!(1));
    let said = loaded(&folder);
    assert!(said.contains("tensor model.layers.1.self_attn.q_proj.weight is unused"), "{said}");
    // Another width.
    let folder = copy("llama");
    change(&folder, "config.json", |config| config["intermediate_size"] = json!(20));
    let said = loaded(&folder);
    assert!(said.contains("mlp.gate_proj.weight is [24, 16] and does not fit parameter"), "{said}");
    // An axis of size 1 is not ignored.
    let folder = copy("llama");
    let (mut header, numbers) = parts(&folder, "model.safetensors");
    header["model.norm.weight"]["shape"] = json!([1, 16]);
    write(&folder, "model.safetensors", &header, &numbers);
    let wanted = "tensor model.norm.weight is [1, 16] and does not fit parameter norm.gamma [16]";
    assert_eq!(loaded(&folder), wanted);
    let folder = copy("llama");
    change(&folder, "config.json", |config| config["vocab_size"] = json!(49));
    assert!(loaded(&folder).contains("is [48, 16] and does not fit"), "{}", loaded(&folder));
}

#[test]
fn copies_of_tied_tensors() {
    let folder = copy("llama3");
    let (mut header, mut numbers) = parts(&folder, "model.safetensors");
    let (start, n) = (numbers.len(), 48 * 16 * 4);
    let range = header["model.embed_tokens.weight"]["data_offsets"][0].as_u64().unwrap() as usize;
    numbers.extend_from_within(range..range + n);
    header["lm_head.weight"] =
        json!({ "dtype": "F32", "shape": [48, 16], "data_offsets": [start, start + n] });
    write(&folder, "model.safetensors", &header, &numbers);
    assert_eq!(loaded(&folder), "");
    numbers[start + 100] ^= 1;
    write(&folder, "model.safetensors", &header, &numbers);
    let said = loaded(&folder);
    let wanted =
        "tensor lm_head.weight differs from model.embed_tokens.weight, but the network has one";
    assert!(said.contains(wanted), "{said}");
}

#[test]
fn tensors_that_no_network_uses() {
    let with = |of: &str, names: &[&str]| {
        let folder = copy(of);
        let (mut header, mut numbers) = parts(&folder, "model.safetensors");
        for name in names {
            let start = numbers.len();
            numbers.extend([0; 8 * 4 * 4]);
            header[*name] = json!({
                "dtype": "F32", "shape": [8, 4], "data_offsets": [start, start + 8 * 4 * 4]
            });
        }
        write(&folder, "model.safetensors", &header, &numbers);
        loaded(&folder)
    };
    let name = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";
    let said = with("t5", &[name]);
    assert_eq!(said, format!("tensor {name} is not used by any network and is ignored"));
    let names = [0, 1].map(|at| format!("model.layers.{at}.self_attn.rotary_emb.inv_freq"));
    let [first, last] = [&names[0][..], &names[1][..]];
    let said = with("llama", &[first, last]);
    let wanted =
        format!("2 tensors, {first} to {last}, are not used by any network and are ignored");
    assert_eq!(said, wanted);
}

#[test]
fn json_with_a_key_twice() {
    let folder = copy("mixtral");
    for name in ["config.json", "model.safetensors.index.json"] {
        let path = folder.path().join(name);
        let whole = std::fs::read_to_string(&path).unwrap();
        let first = whole.split('"').nth(1).unwrap().to_string();
        let twice = whole.replacen('{', &format!("{{\"{first}\": 1,"), 1);
        std::fs::write(&path, twice).unwrap();
        let said = loaded(&folder);
        assert!(said.ends_with(&format!("{name}: {first} occurs twice")), "{said}");
        std::fs::write(&path, whole).unwrap();
    }
}

#[test]
fn all_kinds_of_what_does_not_fit_are_shown() {
    let folder = copy("llama");
    let (header, numbers) = parts(&folder, "model.safetensors");
    let renamed = header.as_object().unwrap().iter();
    let renamed = renamed.map(|(name, stored)| (name.replace("model.", "net."), stored.clone()));
    write(&folder, "model.safetensors", &Value::Object(renamed.collect()), &numbers);
    let said = loaded(&folder);
    assert_eq!(said.matches(" is unused: ").count(), 20, "{said}");
    assert_eq!(said.matches(" is missing").count(), 20, "{said}");
    assert_eq!(said.matches("more of these").count(), 2, "{said}");
}

/// The error for a fixture with this value of a key of its config.
fn with(name: &str, key: &str, value: Value) -> String {
    let folder = copy(name);
    change(&folder, "config.json", |config| config[key] = value.clone());
    loaded(&folder)
}

#[test]
fn configs_that_are_not_honoured() {
    let said = with("llama", "model_type", json!("lama"));
    assert!(said.contains("no family is named \"lama\"; known: mixtral, olmoe"), "{said}");
    let said = with("gpt-oss-mxfp4", "quantization_config", json!({ "quant_method": "bnb" }));
    assert!(said.contains("quantization_config"), "{said}");
    let said = with("llama", "partial_rotary_factor", json!(0.5));
    assert!(said.ends_with("this network does not support partial_rotary_factor = 0.5"), "{said}");
    let said = with("mixtral", "hidden_act", json!("gelu"));
    assert!(said.contains("hidden_act = \"gelu\"") && said.ends_with("known: \"silu\""), "{said}");
    let said = with("qwen2-moe", "use_sliding_window", json!(true));
    assert!(said.contains("use_sliding_window = true"), "{said}");
    let said = with("deepseek-v3", "norm_topk_prob", json!(false));
    assert!(said.contains("norm_topk_prob = false"), "{said}");
    let said = with("llama", "hidden_size", json!("wide"));
    assert!(said.contains("hidden_size = \"wide\": expected a whole number"), "{said}");
    let said = with("llama", "hidden_size", json!(1_u64 << 40));
    assert!(said.contains("hidden_size = 1099511627776: expected a whole number up to"), "{said}");
    let said = with("llama", "num_hidden_layers", json!(1_000_000));
    assert!(said.contains("num_hidden_layers = 1000000: must be at most 1000"), "{said}");
    let said = with("mixtral", "num_local_experts", json!(10_000_000));
    assert!(said.contains("num_local_experts = 10000000: must be at most"), "{said}");
    let said = with("llama", "num_attention_heads", json!(0));
    assert!(said.contains("at least one head"), "{said}");
    let said = with("llama", "architectures", json!(["LlamaForSequenceClassification"]));
    assert!(said.contains("is not \"LlamaForCausalLM\""), "{said}");
    let said = with("mixtral", "num_experts_per_tok", json!(9));
    assert!(said.contains("k = 9 is larger than experts = 4"), "{said}");
    let said = with("llama", "architectures", json!("LlamaForSequenceClassification"));
    assert!(said.ends_with("\"LlamaForSequenceClassification\": expected a list"), "{said}");
    let said = with("qwen2-moe", "decoder_sparse_step", json!(0));
    assert!(said.ends_with("decoder_sparse_step = 0: must be at least 1"), "{said}");
    let said = with("vit", "problem_type", json!("regression"));
    assert!(said.contains("problem_type = \"regression\": not supported"), "{said}");
}

/// The library treats a null key as false, not as its default, or as a default of another kind.
#[test]
fn keys_that_are_null() {
    for (name, key, part) in [
        ("deepseek-v3", "norm_topk_prob", "norm_topk_prob = null: not supported; known: true"),
        ("deepseek-v3", "rope_interleave", "rope_interleave = null: not supported; known: true"),
        ("gpt-oss", "attention_bias", "tensor model.layers.0.self_attn.k_proj.bias is unused"),
        ("gpt-oss", "rope_parameters", "rope_parameters is missing"),
        ("gpt-oss", "sliding_window", "sliding_window = null, but some layers have a window"),
        ("t5", "tie_word_embeddings", "tie_word_embeddings = null: leave it out"),
    ] {
        let said = with(name, key, Value::Null);
        assert!(said.contains(part), "{name}: {said}");
    }
    assert_eq!(with("mixtral", "sliding_window", Value::Null), "");
}

/// Keys of published configs on which no network depends; for those of training, a warning says that they are
/// not honoured.
#[test]
fn keys_that_do_not_matter() {
    for (name, key, value) in [
        ("llama", "transformers.js_config", json!({ "kv_cache_dtype": { "fp16": "float16" } })),
        ("llama", "_attn_implementation_autoset", json!(true)),
        ("llama", "unsloth_version", json!("2025.1")),
        ("vit", "problem_type", json!("single_label_classification")),
    ] {
        assert_eq!(with(name, key, value), "", "{key}");
    }
    let said = with("granite-moe", "attention_dropout", json!(0.1));
    let wanted =
        "config.json: attention_dropout = 0.1: not supported; training uses no attention dropout";
    assert_eq!(said, wanted);
    let said = with("granite-moe", "attention_dropout", json!("some"));
    assert!(said.contains("attention_dropout = \"some\": must be a number"), "{said}");
}

#[test]
fn numbers_that_are_nan_are_counted() {
    let folder = copy("llama");
    let (header, mut numbers) = parts(&folder, "model.safetensors");
    let range: Vec<usize> =
        serde_json::from_value(header["model.norm.weight"]["data_offsets"].clone()).unwrap();
    numbers[range[0]..][..4].copy_from_slice(&f32::NAN.to_le_bytes());
    numbers[range[0] + 8..][..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    write(&folder, "model.safetensors", &header, &numbers);
    let said = "tensor model.norm.weight: 2 of 16 numbers are NaN or infinite";
    assert_eq!(loaded(&folder), said);
}

#[test]
fn what_cannot_be_written_is_named_by_its_place_in_the_end() {
    let checkpoint = CheckpointFiles::open(&fixture("llama")).unwrap();
    let model = describe(&checkpoint.config).unwrap();
    let mut form = CheckpointForm::of(&checkpoint);
    let norm = form.tensors.get_mut("model.norm.weight").unwrap();
    norm.shape = vec![17];
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let network = network(&model).unwrap();
    let err = export(&network, &model.rules, &form, &out, None).unwrap_err();
    let said = format!("{err:#}");
    let place = format!("{}: model.safetensors: tensor model.norm.weight", out.display());
    assert!(said.starts_with(&place) && !said.contains(".part"), "{said}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
