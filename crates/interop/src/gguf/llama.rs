//! Llama and Mixtral as GGUF files have them, by the names of the transformers library.
//!
//! Keys of the architecture `llama`: `block_count`, `context_length`, `embedding_length`,
//! `feed_forward_length`, `attention.{head_count, head_count_kv, layer_norm_rms_epsilon, key_length,
//! value_length}`, `rope.{freq_base, dimension_count, scaling.type, scaling.factor}`, `vocab_size`,
//! `expert_count`, `expert_used_count`; others are refused by name. With experts it is Mixtral, which
//! llama.cpp files under the same architecture.
//!
//! Tensors: `token_embd`, `output_norm`, `output` (none if tied), `rows` below; stacked experts
//! `blk.N.ffn_{gate,up,down}_exps.weight` `[E, out, in]` appear one by one.
//!
//! llama.cpp turns neighbouring numbers, so its converter reorders the rows of queries and keys head by head:
//! row (h, j, i) of `[heads, 2, d / 2]` becomes row (h, i, j). Here they are put back.

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::{Map, Value, json};

use crate::shard::{Order, Stored};

/// Keys that say the same in a `config.json`.
const KEYS: [(&str, &str); 12] = [
    ("block_count", "num_hidden_layers"),
    ("context_length", "max_position_embeddings"),
    ("embedding_length", "hidden_size"),
    ("feed_forward_length", "intermediate_size"),
    ("attention.head_count", "num_attention_heads"),
    ("attention.head_count_kv", "num_key_value_heads"),
    ("attention.layer_norm_rms_epsilon", "rms_norm_eps"),
    ("attention.key_length", "head_dim"),
    ("rope.freq_base", "rope_theta"),
    ("vocab_size", "vocab_size"),
    ("expert_count", "num_local_experts"),
    ("expert_used_count", "num_experts_per_tok"),
];

/// Keys that are read apart.
const APART: [&str; 6] = [
    "attention.value_length",
    "rope.dimension_count",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scaling.finetuned",
    "tensor_data_layout",
];

/// Tensors of a block, here and there; `.weight` and `.bias` are the same.
const BLOCK: [(&str, &str); 10] = [
    ("attn_norm", "input_layernorm"),
    ("attn_q", "self_attn.q_proj"),
    ("attn_k", "self_attn.k_proj"),
    ("attn_v", "self_attn.v_proj"),
    ("attn_output", "self_attn.o_proj"),
    ("ffn_norm", "post_attention_layernorm"),
    ("ffn_gate", "mlp.gate_proj"),
    ("ffn_up", "mlp.up_proj"),
    ("ffn_down", "mlp.down_proj"),
    ("ffn_gate_inp", "block_sparse_moe.gate"),
];

/// Tensors that a file has once.
const ONCE: [(&str, &str); 3] = [
    ("token_embd.weight", "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    ("output.weight", "lm_head.weight"),
];

/// Stacked experts.
const EXPERTS: [(&str, &str); 3] =
    [("ffn_gate_exps", "w1"), ("ffn_up_exps", "w3"), ("ffn_down_exps", "w2")];

/// What a `config.json` would say.
pub(super) fn config(
    metadata: &Map<String, Value>,
    tensors: &[(String, Stored)],
) -> anyhow::Result<Map<String, Value>> {
    whole(metadata)?;
    let mut config = Map::new();
    for (name, value) in metadata {
        let Some(key) = name.strip_prefix("llama.") else { continue };
        match KEYS.iter().find(|(known, _)| *known == key) {
            Some((_, there)) => drop(config.insert(there.to_string(), value.clone())),
            None if APART.contains(&key) => {}
            None => bail!("metadata: this network does not honour {name} = {value}"),
        }
    }
    heads(metadata, &config)?;
    if let Some(scaling) = scaling(metadata)? {
        config.insert("rope_scaling".into(), scaling);
    }
    // As llama.cpp has it where a file does not say; a config of Mixtral has another default.
    config.entry("rope_theta").or_insert(json!(10_000.0));
    let has = |name: &str| tensors.iter().any(|(known, _)| known == name);
    config.insert("tie_word_embeddings".into(), (!has("output.weight")).into());
    if has("blk.0.attn_q.bias") {
        config.insert("attention_bias".into(), true.into());
    }
    let rows = tensors.iter().find(|(name, _)| name == ONCE[0].0);
    let rows = rows.and_then(|(_, stored)| stored.shape.first());
    config.entry("vocab_size").or_insert(json!(rows));
    let kind = match config.get("num_local_experts").and_then(Value::as_u64) {
        None | Some(0) => {
            config.remove("num_local_experts");
            config.remove("num_experts_per_tok");
            "llama"
        }
        Some(_) => "mixtral",
    };
    config.insert("model_type".into(), kind.into());
    Ok(config)
}

/// Checks that it is one file of a known architecture, with the formats of today.
fn whole(metadata: &Map<String, Value>) -> anyhow::Result<()> {
    let known = |key: &str, value: Value| match metadata.get(key) {
        Some(other) if *other != value => {
            bail!("metadata: {key} = {other} is not read; known: {value}")
        }
        found => Ok(found.is_some()),
    };
    ensure!(known("general.architecture", "llama".into())?, "metadata: no general.architecture");
    known("general.quantization_version", 2.into())?;
    known("llama.tensor_data_layout", "Meta AI original pth".into())?;
    known("split.count", 1.into())?;
    Ok(())
}

/// Checks that all numbers of a head turn, and that values are as wide as keys.
fn heads(metadata: &Map<String, Value>, config: &Map<String, Value>) -> anyhow::Result<()> {
    let size = |key: &str| config.get(key).and_then(Value::as_u64);
    let head =
        size("head_dim").or_else(|| size("hidden_size")?.checked_div(size("num_attention_heads")?));
    for key in ["llama.attention.value_length", "llama.rope.dimension_count"] {
        if let (Some(value), Some(head)) = (metadata.get(key), head) {
            ensure!(*value == head, "metadata: {key} = {value}: heads here have {head} numbers");
        }
    }
    Ok(())
}

/// How rotary positions are stretched.
fn scaling(metadata: &Map<String, Value>) -> anyhow::Result<Option<Value>> {
    let factor = metadata.get("llama.rope.scaling.factor");
    // A factor without a type is linear, as llama.cpp reads it.
    let kind =
        metadata.get("llama.rope.scaling.type").map(|kind| kind.as_str().unwrap_or_default());
    match kind.or(factor.map(|_| "linear")) {
        None | Some("none") => Ok(None),
        Some("linear") => Ok(Some(json!({ "rope_type": "linear", "factor": factor }))),
        Some(other) => bail!(
            "metadata: llama.rope.scaling.type = {other:?}: not supported; known: \
             \"none\", \"linear\""
        ),
    }
}

/// The tensors by the names of the transformers library, in its order of rows.
pub(super) fn renamed(
    tensors: Vec<(String, Stored)>,
    config: &Map<String, Value>,
) -> anyhow::Result<Vec<(String, Stored)>> {
    let mut renamed = Vec::new();
    for (name, stored) in tensors {
        match new_name(&name) {
            NewName::Experts(block, map) => {
                let experts = stored.experts();
                let experts =
                    experts.ok_or_else(|| anyhow!("tensor {name}: not a stack of experts"))?;
                let there = format!("model.layers.{block}.block_sparse_moe.experts");
                let one = |(e, stored)| (format!("{there}.{e}.{map}.weight"), stored);
                renamed.extend(experts.into_iter().enumerate().map(one));
            }
            NewName::One(there) => {
                let order =
                    order(&there, &stored, config).with_context(|| format!("tensor {name}"))?;
                renamed.push((there, Stored { order, ..stored }));
            }
        }
    }
    Ok(renamed)
}

/// The name of a tensor in the transformers library.
enum NewName {
    One(String),
    /// Of a block, one map of all experts.
    Experts(String, &'static str),
}

/// The new name of a tensor; one of another name keeps it, so that it is left.
fn new_name(name: &str) -> NewName {
    if let Some((_, there)) = ONCE.iter().find(|(here, _)| *here == name) {
        return NewName::One(there.to_string());
    }
    let parts = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    let Some((block, (map, kind))) =
        parts.and_then(|(block, rest)| Some((block, rest.split_once('.')?)))
    else {
        return NewName::One(name.into());
    };
    if let (Some((_, there)), "weight") = (EXPERTS.iter().find(|(here, _)| *here == map), kind) {
        return NewName::Experts(block.into(), there);
    }
    match BLOCK.iter().find(|(here, _)| *here == map) {
        Some((_, there)) => NewName::One(format!("model.layers.{block}.{there}.{kind}")),
        None => NewName::One(name.into()),
    }
}

/// The order of the rows of queries and keys.
fn order(
    there: &str,
    stored: &Stored,
    config: &Map<String, Value>,
) -> anyhow::Result<Option<Order>> {
    let size = |key: &str| config.get(key).and_then(Value::as_u64);
    let heads = match there {
        _ if there.contains(".q_proj.") => size("num_attention_heads"),
        _ if there.contains(".k_proj.") => {
            size("num_key_value_heads").or_else(|| size("num_attention_heads"))
        }
        _ => return Ok(None),
    };
    let heads = heads.unwrap_or(0) as usize;
    let rows = stored.shape.first().copied().unwrap_or(0);
    ensure!(
        heads > 0 && rows.is_multiple_of(2 * heads),
        "its {rows} rows are not those of {heads} heads of an even width"
    );
    Ok(Some(Order::Pairs(heads)))
}
