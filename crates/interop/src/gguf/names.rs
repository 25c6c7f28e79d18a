//! The tensors of a GGUF file with the names and the row order of the transformers library.
//!
//! Tensors that occur once in a file: `token_embd`, `output_norm`, `output` (missing if tied); those of
//! blocks are in `architecture.rs`.
//!
//! For architectures in which llama.cpp rotates adjacent numbers, its converter reorders the rows of queries
//! and keys head by head: row (h, j, i) of `[heads, 2, d / 2]` becomes row (h, i, j). Here the original order
//! is restored.

use anyhow::{Context, anyhow, ensure};
use serde_json::{Map, Value};

use super::architecture::{Architecture, SHARED_GATE};
use crate::stored::{Order, Stored};

/// Tensors that occur once in a file.
const ONCE: [(&str, &str); 3] = [
    (EMBEDDING, "model.embed_tokens.weight"),
    ("output_norm.weight", "model.norm.weight"),
    (HEAD, "lm_head.weight"),
];

/// The embedding.
pub(super) const EMBEDDING: &str = "token_embd.weight";
/// The head, which is missing in a file with tied embeddings.
pub(super) const HEAD: &str = "output.weight";

/// Renames the tensors to those of the transformers library, and restores its row order.
pub(super) fn renamed(
    architecture: &Architecture,
    tensors: Vec<(String, Stored)>,
    config: &Map<String, Value>,
) -> anyhow::Result<Vec<(String, Stored)>> {
    let mut renamed = Vec::new();
    for (name, stored) in tensors {
        match new_name(architecture, &name) {
            NewName::Experts(place, map) => {
                let experts = stored.experts();
                let experts =
                    experts.ok_or_else(|| anyhow!("tensor {name}: not a stack of experts"))?;
                let one = |(e, stored)| (format!("{place}.{e}.{map}.weight"), stored);
                renamed.extend(experts.into_iter().enumerate().map(one));
            }
            NewName::One(there) => {
                let order = match architecture.pairs {
                    true => pairs(&there, &stored, config),
                    false => Ok(None),
                };
                let order = order.with_context(|| format!("tensor {name}"))?;
                let shape = shape(&there, stored.shape.clone());
                renamed.push((there, Stored { order, shape, ..stored }));
            }
        }
    }
    Ok(renamed)
}

/// The shape in files of the library, where a gate with one output is a map.
fn shape(there: &str, shape: Vec<usize>) -> Vec<usize> {
    match there.contains(SHARED_GATE) && shape.len() == 1 {
        true => vec![1, shape[0]],
        false => shape,
    }
}

/// The name of a tensor in the transformers library.
enum NewName {
    One(String),
    /// The path of all experts of a block, and one of their maps.
    Experts(String, &'static str),
}

/// The new name of a tensor; a tensor with an unknown name keeps it, and is reported as unused later.
fn new_name(architecture: &Architecture, name: &str) -> NewName {
    if let Some((_, there)) = ONCE.iter().find(|(here, _)| *here == name) {
        return NewName::One(there.to_string());
    }
    let parts = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
    let Some((block, (map, kind))) =
        parts.and_then(|(block, rest)| Some((block, rest.split_once('.')?)))
    else {
        return NewName::One(name.into());
    };
    if let (Some((place, map)), "weight") = (architecture.experts(map), kind) {
        return NewName::Experts(format!("model.layers.{block}.{place}"), map);
    }
    match architecture.tensor(map) {
        Some(there) => NewName::One(format!("model.layers.{block}.{there}.{kind}")),
        None => NewName::One(name.into()),
    }
}

/// The order of the rows of queries and keys.
fn pairs(
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
        "its {rows} rows cannot be split into {heads} heads of even width"
    );
    Ok(Some(Order::Pairs(heads)))
}
