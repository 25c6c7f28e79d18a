//! Mixtral: Jiang et al. *Mixtral of Experts*. 2024. <https://arxiv.org/abs/2401.04088>
//!
//! Keys besides Llama's: `num_local_experts`, `num_experts_per_tok`, `router_aux_loss_coef` (the coefficient
//! of the balance loss), `sliding_window`; `router_jitter_noise` is 0.
//!
//! Tensors besides: `block_sparse_moe.gate.weight` `[E, D]`,
//! `block_sparse_moe.experts.E.{w1,w3,w2}.weight`, gate, up and down, one of each expert.
//!
//! Differs from Llama: MoE layers in all blocks, weights of the chosen experts over their sum.

use serde_json::json;

use super::{
    ImportedNetwork,
    decoder::{Decoder, Defaults, swiglu, top_k},
};
use crate::keys::Keys;

pub(super) fn read(keys: &mut Keys) -> anyhow::Result<ImportedNetwork> {
    let mut decoder = Decoder::read(keys, Defaults { theta: 1e6, epsilon: 1e-5 })?;
    decoder.head_width(keys)?;
    decoder.parts().window = keys.maybe_size("sliding_window")?;
    keys.only("router_jitter_noise", &[json!(0.0)])?;
    let experts = keys.size("num_local_experts")?;
    decoder.moe.experts = experts;
    decoder.moe.router = top_k(keys, "renormalised")?;
    decoder.moe.expert = swiglu(keys.size("intermediate_size")?);
    decoder.frame();
    decoder.attention();
    decoder.place((0..decoder.config.depth).collect());
    for (block, _, there) in decoder.blocks() {
        let there = format!("{there}.block_sparse_moe");
        decoder.gate(block, format!("{there}.gate.weight"));
        let here = format!("{}.experts", Decoder::moe_path(block));
        decoder.gated(&here, experts, ["w1", "w3", "w2"], |e| format!("{there}.experts.{e}"));
    }
    Ok(decoder.done())
}
