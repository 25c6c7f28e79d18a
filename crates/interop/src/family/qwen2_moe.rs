//! Qwen2-MoE and Qwen1.5-MoE: Yang et al. *Qwen2 Technical Report*. 2024.
//! <https://arxiv.org/abs/2407.10671>
//!
//! Keys besides Llama's: `num_experts` (or `num_local_experts`), `num_experts_per_tok`, `norm_topk_prob`,
//! `router_aux_loss_coef`, `moe_intermediate_size`, `shared_expert_intermediate_size`, `qkv_bias`,
//! `decoder_sparse_step` and `mlp_only_layers` (the blocks without experts, whose width is
//! `intermediate_size`); `use_sliding_window` is false, so `sliding_window` and `max_window_layers` are without
//! effect, and `layer_types` has "full_attention" alone.
//!
//! Tensors besides: `self_attn.{q,k,v}_proj.bias`, `mlp.gate.weight` `[E, D]`,
//! `mlp.experts.E.{gate,up,down}_proj.weight`, `mlp.shared_expert.{gate,up,down}_proj.weight`,
//! `mlp.shared_expert_gate.weight` `[1, D]`.
//!
//! Differs from Llama: biases of queries, keys and values alone; a shared expert behind a gate.

use moe::SharedConfig;
use serde_json::json;

use super::{
    ImportedNetwork,
    decoder::{Decoder, Defaults, PROJECTIONS, swiglu, top_k, weights},
};
use crate::keys::Keys;

pub(super) fn read(keys: &mut Keys) -> anyhow::Result<ImportedNetwork> {
    let mut decoder = Decoder::read(keys, Defaults { theta: 1e4, epsilon: 1e-6 })?;
    decoder.parts().qkv_bias = keys.flag("qkv_bias", true)?;
    no_window(keys, decoder.config.depth)?;
    let shared = keys.size("shared_expert_intermediate_size")?;
    let shared = SharedConfig { expert: swiglu(shared), gate: true, share: None };
    decoder.moe.shared = Some(shared);
    layers(keys, &mut decoder)?;
    decoder.frame();
    decoder.attention();
    for (block, _, there) in decoder.blocks() {
        if decoder.moe.layers.has(block, decoder.config.depth) {
            let (here, there) = (Decoder::moe_path(block), format!("{there}.mlp"));
            let shared = format!("{here}.shared.expert");
            decoder.gated(&shared, 1, PROJECTIONS, |_| format!("{there}.shared_expert"));
            let gate = format!("{there}.shared_expert_gate.weight");
            decoder.rules.map(format!("{here}.shared.gate"), gate);
        }
    }
    Ok(decoder.done())
}

/// Reads the experts and the dense blocks, which Qwen3-MoE has too.
pub(super) fn layers(keys: &mut Keys, decoder: &mut Decoder) -> anyhow::Result<()> {
    let other = keys.maybe_size("num_local_experts")?; // its name in newer versions
    let experts = other.map_or_else(|| keys.size("num_experts"), Ok)?;
    let weights = weights(keys)?;
    decoder.moe.experts = experts;
    decoder.moe.router = top_k(keys, weights)?;
    decoder.moe.expert = swiglu(keys.size("moe_intermediate_size")?);
    let step = keys.size_or("decoder_sparse_step", 1)?;
    let dense = keys.sizes("mlp_only_layers")?;
    if step == 0 {
        return Err(keys.error("decoder_sparse_step = 0: must be at least 1"));
    }
    let hidden = keys.size("intermediate_size")?;
    let sparse = |block: &usize| !dense.contains(block) && (block + 1).is_multiple_of(step);
    let blocks: Vec<usize> = (0..decoder.config.depth).filter(sparse).collect();
    for (block, _, there) in decoder.blocks() {
        if !blocks.contains(&block) {
            decoder.dense(block, hidden);
            continue;
        }
        decoder.gate(block, format!("{there}.mlp.gate.weight"));
        let here = format!("{}.experts", Decoder::moe_path(block));
        decoder.gated(&here, experts, PROJECTIONS, |e| format!("{there}.mlp.experts.{e}"));
    }
    decoder.place(blocks);
    Ok(())
}

/// Refuses a sliding window, which no published model of the family uses.
pub(super) fn no_window(keys: &mut Keys, depth: usize) -> anyhow::Result<()> {
    keys.only("use_sliding_window", &[json!(false)])?;
    keys.maybe_size("sliding_window")?; // without effect then
    keys.maybe_size("max_window_layers")?;
    let full = json!(vec!["full_attention"; depth]);
    keys.only("layer_types", &[full])
}
