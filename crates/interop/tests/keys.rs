//! Every key of the configs that transformers 5.24 wrote for the fixtures, which have all keys of their
//! classes, is honoured, refused, or listed here as one without effect. The same applies to additional keys
//! that its networks read.

use std::{collections::BTreeSet, fs, path::Path};

use interop::{CheckpointFiles, describe};
use serde_json::{Map, Value, json};

/// Names and versions, special tokens, the random initialisation of training, and options for outputs and the
/// cache.
const OF_ALL: [&str; 12] = [
    "bos_token_id",
    "decoder_start_token_id",
    "dtype",
    "eos_token_id",
    "initializer_factor",
    "initializer_range",
    "output_router_logits",
    "pad_token_id",
    "pretraining_tp",
    "torch_dtype",
    "transformers_version",
    "use_cache",
];

/// Labels, and keys of other heads.
const OF_IMAGES: [&str; 4] = ["encoder_stride", "label2id", "pooler_act", "pooler_output_size"];

/// Keys without effect in one family, by the values that its fixture has.
const OF_ONE: [(&str, &[&str]); 8] = [
    // Layers that are no part of the network.
    ("deepseek_v3", &["num_nextn_predict_layers"]),
    ("deit", &OF_IMAGES),
    ("gpt_oss", &["initial_context_length"]),
    // `use_sliding_window` is false.
    ("qwen2_moe", &["max_window_layers", "sliding_window"]),
    ("qwen3_moe", &["sliding_window"]),
    // Options for outputs, keys that the library ignores, and numbers that the adjacent steps override.
    (
        "switch_transformers",
        &[
            "add_router_probs",
            "num_sparse_decoder_layers",
            "num_sparse_encoder_layers",
            "router_ignore_padding_tokens",
        ],
    ),
    // A key of another head.
    ("t5", &["classifier_dropout"]),
    ("vit", &OF_IMAGES),
];

/// The configs of all fixtures.
fn configs() -> Vec<Map<String, Value>> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let folders = fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path());
    let with_config = folders.filter(|folder| folder.join("config.json").is_file());
    with_config.map(|folder| CheckpointFiles::open(&folder).unwrap().config).collect()
}

fn family(config: &Map<String, Value>) -> &str {
    config["model_type"].as_str().unwrap()
}

/// Whether the network of a config stays the same with this value.
fn is_same(config: &Map<String, Value>, key: &str, value: Value) -> bool {
    let mut changed = config.clone();
    changed.insert(key.into(), value);
    describe(&changed).is_ok_and(|network| network == describe(config).unwrap())
}

fn has_no_effect(family: &str, key: &str) -> bool {
    let own = OF_ONE.iter().find(|(name, _)| *name == family);
    OF_ALL.contains(&key) || own.is_some_and(|(_, keys)| keys.contains(&key))
}

/// A value that differs from this one, of the same kind if that kind has several values.
fn other(value: &Value) -> Value {
    match value {
        Value::Null => json!(3),
        Value::Bool(value) => json!(!value),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => json!(2 * whole + 1),
            None => json!(2.0 * number.as_f64().unwrap() + 0.5),
        },
        Value::String(_) => json!("zzz"),
        Value::Array(_) => json!(["zzz"]),
        Value::Object(_) => json!({ "rope_type": "zzz" }),
    }
}

#[test]
fn every_key_is_honoured_or_refused() {
    let mut without = BTreeSet::new();
    for config in configs() {
        let same = config.iter().filter(|(key, value)| is_same(&config, key, other(value)));
        without.extend(same.map(|(key, _)| (family(&config).to_string(), key.clone())));
    }
    for (family, key) in &without {
        assert!(has_no_effect(family, key), "{family}: {key} changes nothing");
    }
    // No listed key has an effect.
    for key in OF_ALL {
        assert!(without.iter().any(|(_, found)| found == key), "{key}");
    }
    for (family, keys) in OF_ONE {
        for key in keys {
            assert!(without.contains(&(family.to_string(), key.to_string())), "{family}: {key}");
        }
    }
}

/// Numbers that may be null: the library computes them, or lacks the part; and dropout rates.
const MAY_BE_NULL: [&str; 16] = [
    "attention_dropout",
    "attention_probs_dropout_prob",
    "clip_qkv",
    "embedding_dropout",
    "experts_per_token",
    "head_dim",
    "hidden_dropout_prob",
    "n_shared_experts",
    "num_decoder_layers",
    "num_key_value_heads",
    "num_shared_experts",
    "output_dropout",
    "q_lora_rank",
    "qk_head_dim",
    "router_jitter_noise",
    "sliding_window",
];

#[test]
fn a_number_that_is_null_is_not_the_default() {
    for config in configs() {
        let family = family(&config);
        for (key, _) in config.iter().filter(|(_, value)| value.is_number()) {
            let mut changed = config.clone();
            changed.insert(key.clone(), Value::Null);
            let known = MAY_BE_NULL.contains(&key.as_str()) || has_no_effect(family, key);
            // In that case the number of sparse layers determines it.
            let known = known || family == "switch_transformers" && key.ends_with("_sparse_step");
            assert!(known || describe(&changed).is_err(), "{family}: {key}");
        }
    }
    let config = configs().into_iter().find(|config| family(config) == "granitemoe");
    let mut config = config.unwrap();
    config.insert("logits_scaling".into(), Value::Null);
    let said = format!("{:#}", describe(&config).unwrap_err());
    assert!(said.ends_with("config.json: logits_scaling = null: leave it out, or give it a value"));
}

#[test]
fn keys_that_other_configs_have_are_not_passed_over() {
    let keys = [
        ("attn_logit_softcapping", json!(50.0)),
        ("head_dim", json!(64)),
        ("is_decoder", json!(true)),
        ("layer_types", json!(["sliding_attention"])),
        ("num_labels", json!(3)),
        ("original_max_position_embeddings", json!(4)),
        ("partial_rotary_factor", json!(0.5)),
        ("per_layer_config", json!({ "0": {} })),
        ("quantization_config", json!({ "quant_method": "bitsandbytes" })),
        ("rope_scaling", json!({ "rope_type": "dynamic", "factor": 2.0 })),
        ("sliding_window", json!(3)),
        ("tie_encoder_decoder", json!(true)),
    ];
    for config in configs() {
        let family = family(&config);
        for (key, value) in &keys {
            let known = has_no_effect(family, key);
            assert!(known || !is_same(&config, key, value.clone()), "{family}: {key}");
        }
    }
}
