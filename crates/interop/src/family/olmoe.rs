//! OLMoE: Muennighoff et al. *OLMoE: Open Mixture-of-Experts Language Models*. ICLR 2025.
//! <https://arxiv.org/abs/2409.02060>
//!
//! Keys besides Llama's: `num_experts`, `num_experts_per_tok`, `norm_topk_prob`, `router_aux_loss_coef`,
//! `clip_qkv`, `attention_bias`.
//!
//! Tensors besides: `self_attn.{q,k}_norm.weight` `[D]`, `mlp.gate.weight` `[E, D]`,
//! `mlp.experts.E.{gate,up,down}_proj.weight`, one of each expert.
//!
//! Differs from Llama: MoE layers in all blocks; queries and keys are normalised over all heads together, and
//! then cut off at `clip_qkv`, values too.

use backbones::QkNorm;

use super::{
    ImportedNetwork,
    decoder::{Decoder, Defaults, PROJECTIONS, swiglu, top_k, weights},
};
use crate::keys::Keys;

pub(super) fn read(keys: &mut Keys) -> anyhow::Result<ImportedNetwork> {
    let mut decoder = Decoder::read(keys, Defaults { theta: 1e4, epsilon: 1e-5 })?;
    decoder.config.bias = keys.flag("attention_bias", false)?;
    decoder.parts().norm = QkNorm::Width;
    decoder.parts().clip = keys.maybe_number("clip_qkv")?;
    let experts = keys.size("num_experts")?;
    decoder.moe.experts = experts;
    let weights = weights(keys)?;
    decoder.moe.router = top_k(keys, weights)?;
    decoder.moe.expert = swiglu(keys.size("intermediate_size")?);
    decoder.frame();
    decoder.attention();
    decoder.place((0..decoder.config.depth).collect());
    for (block, _, there) in decoder.blocks() {
        decoder.gate(block, format!("{there}.mlp.gate.weight"));
        let here = format!("{}.experts", Decoder::moe_path(block));
        decoder.gated(&here, experts, PROJECTIONS, |e| format!("{there}.mlp.experts.{e}"));
    }
    Ok(decoder.done())
}
