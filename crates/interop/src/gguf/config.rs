//! The `config.json` that corresponds to a GGUF file, from its metadata.
//!
//! Keys with a direct equivalent in a config are in `architecture.rs`; `attention.value_length`,
//! `rope.dimension_count` and `rope.scaling.{type, factor}` are read here. Other keys of the architecture are
//! refused by name.

use anyhow::{bail, ensure};
use serde_json::{Map, Value, json};

use super::{
    architecture::Architecture,
    names::{EMBEDDING, HEAD},
};
use crate::stored::Stored;

/// Keys that are read separately.
const APART: [&str; 6] = [
    "attention.value_length",
    "rope.dimension_count",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "tensor_data_layout",
];

const EXPERT_WIDTH: &str = "moe_intermediate_size";

/// Makes the config.
///
/// # Errors
/// If the network does not honour a key; names it.
pub(super) fn config(
    architecture: &Architecture,
    metadata: &Map<String, Value>,
    tensors: &[(String, Stored)],
) -> anyhow::Result<Map<String, Value>> {
    let name = architecture.name;
    whole(name, metadata)?;
    let mut config = same_keys(architecture, metadata)?;
    heads(name, metadata, &config)?;
    if let Some(scaling) = scaling(name, metadata)? {
        config.insert("rope_scaling".into(), scaling);
    }
    // The default of llama.cpp if a file omits it; a config of Mixtral has another default.
    config.entry("rope_theta").or_insert(json!(10_000.0));
    let has = |name: &str| tensors.iter().any(|(known, _)| known == name);
    config.insert("tie_word_embeddings".into(), (!has(HEAD)).into());
    let biases = has("blk.0.attn_q.bias");
    if biases || architecture.family == "qwen2_moe" {
        // Qwen2-MoE has biases by default.
        config.insert(architecture.bias.into(), biases.into());
    }
    let rows = tensors.iter().find(|(name, _)| name == EMBEDDING);
    let rows = rows.and_then(|(_, stored)| stored.shape.first());
    config.entry("vocab_size").or_insert(json!(rows));
    config.insert("model_type".into(), architecture.family.into());
    match architecture.family {
        "llama" => llama(&mut config),
        "granitemoe" => granite(&mut config),
        family => {
            config.insert("norm_topk_prob".into(), (family == "qwen3_moe").into());
            widths(family, &mut config);
        }
    }
    Ok(config)
}

/// Copies the keys with a direct equivalent in a config.
fn same_keys(
    architecture: &Architecture,
    metadata: &Map<String, Value>,
) -> anyhow::Result<Map<String, Value>> {
    let mut config = Map::new();
    for (name, value) in metadata {
        let key = name.strip_prefix(architecture.name).and_then(|key| key.strip_prefix('.'));
        let Some(key) = key else { continue };
        match architecture.key(key) {
            Some(there) => drop(config.insert(there.to_string(), value.clone())),
            None if APART.contains(&key) => {}
            None => bail!("metadata: this network does not support {name} = {value}"),
        }
    }
    Ok(config)
}

/// Sets the family to Llama, or to Mixtral if there are experts: llama.cpp has one architecture for both.
fn llama(config: &mut Map<String, Value>) {
    let experts = config.get("num_local_experts").and_then(Value::as_u64).unwrap_or(0);
    if experts > 0 {
        config.insert("model_type".into(), "mixtral".into());
    } else {
        config.remove("num_local_experts");
        config.remove("num_experts_per_tok");
    }
}

/// Sets the scale of Granite's attention if a file omits it. As in llama.cpp it is the usual one, which is
/// not the library's default.
fn granite(config: &mut Map<String, Value>) {
    if let Some(head) = head_width(config) {
        config.entry("attention_multiplier").or_insert(json!(1.0 / (head as f64).sqrt()));
    }
}

/// The width of a head.
fn head_width(config: &Map<String, Value>) -> Option<u64> {
    let size = |key: &str| config.get(key).and_then(Value::as_u64);
    size("head_dim").or_else(|| size("hidden_size")?.checked_div(size("num_attention_heads")?))
}

/// Sets the widths of experts if a file of Qwen omits them, as in llama.cpp.
fn widths(family: &str, config: &mut Map<String, Value>) {
    let size = |key: &str| config.get(key).and_then(Value::as_u64);
    let width = size("intermediate_size");
    let expert = width.zip(size("num_experts_per_tok")).and_then(|(all, k)| all.checked_div(k));
    let defaults = match family {
        "qwen2_moe" => vec![(EXPERT_WIDTH, expert), ("shared_expert_intermediate_size", width)],
        "qwen3_moe" => vec![(EXPERT_WIDTH, expert)],
        _ => vec![],
    };
    for (key, width) in defaults {
        config.entry(key).or_insert(json!(width));
    }
}

/// Checks that the model is one file, with current formats.
fn whole(name: &str, metadata: &Map<String, Value>) -> anyhow::Result<()> {
    let known = |key: &str, value: Value| match metadata.get(key) {
        Some(other) if *other != value => {
            bail!("metadata: {key} = {other} is not supported; known: {value}")
        }
        _ => Ok(()),
    };
    known("general.quantization_version", 2.into())?;
    known(&format!("{name}.tensor_data_layout"), "Meta AI original pth".into())?;
    known("split.count", 1.into())
}

/// Checks that all numbers of a head are rotated, and that values are as wide as keys.
fn heads(
    name: &str,
    metadata: &Map<String, Value>,
    config: &Map<String, Value>,
) -> anyhow::Result<()> {
    let head = head_width(config);
    for key in ["attention.value_length", "rope.dimension_count"] {
        let key = format!("{name}.{key}");
        if let (Some(value), Some(head)) = (metadata.get(&key), head) {
            ensure!(
                *value == head,
                "metadata: {key} = {value}: expected {head}, the width of a head"
            );
        }
    }
    Ok(())
}

/// The scaling of rotary positions.
fn scaling(name: &str, metadata: &Map<String, Value>) -> anyhow::Result<Option<Value>> {
    let own = |key: &str| metadata.get(&format!("{name}.rope.scaling.{key}"));
    let factor = own("factor");
    // Without a type, a factor is linear, as in llama.cpp.
    let kind = own("type").map(|kind| kind.as_str().unwrap_or_default());
    match kind.or(factor.map(|_| "linear")) {
        None | Some("none") => Ok(None),
        Some("linear") => Ok(Some(json!({ "rope_type": "linear", "factor": factor }))),
        Some(other) => bail!(
            "metadata: {name}.rope.scaling.type = {other:?}: not supported; known: \
             \"none\", \"linear\""
        ),
    }
}
