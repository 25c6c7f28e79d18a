//! Granite-MoE: IBM. *Granite 3.0 Language Models*. 2024.
//!
//! Keys besides Llama's: `num_local_experts`, `num_experts_per_tok`, `router_aux_loss_coef`,
//! `attention_bias`, `embedding_multiplier`, `residual_multiplier`, `attention_multiplier`,
//! `logits_scaling`.
//!
//! Tensors besides: `block_sparse_moe.router.layer.weight` `[E, D]`,
//! `block_sparse_moe.input_linear.weight` `[E, 2H, D]`, the gate's H rows before those of up, and
//! `block_sparse_moe.output_linear.weight` `[E, D, H]`: stacked, and transposed here.
//!
//! Differs from Llama: four constant factors; softmax over the chosen experts alone.

use super::{
    ImportedNetwork,
    decoder::{Decoder, Defaults, swiglu, top_k},
};
use crate::{keys::Keys, rules::TensorRule};

pub(super) fn read(keys: &mut Keys) -> anyhow::Result<ImportedNetwork> {
    let mut decoder = Decoder::read(keys, Defaults { theta: 1e4, epsilon: 1e-6 })?;
    decoder.config.bias = keys.flag("attention_bias", false)?;
    decoder.parts().scale = Some(keys.number("attention_multiplier", 1.0)?);
    decoder.config.multipliers.embedding = keys.number("embedding_multiplier", 1.0)?;
    decoder.config.multipliers.residual = keys.number("residual_multiplier", 1.0)?;
    decoder.config.multipliers.logits = keys.number("logits_scaling", 1.0)?;
    let hidden = keys.size("intermediate_size")?;
    decoder.moe.experts = keys.size("num_local_experts")?;
    decoder.moe.router = top_k(keys, "top-k-softmax")?;
    decoder.moe.expert = swiglu(hidden);
    decoder.frame();
    decoder.attention();
    decoder.place((0..decoder.config.depth).collect());
    for (block, _, there) in decoder.blocks() {
        let (here, there) = (Decoder::moe_path(block), format!("{there}.block_sparse_moe"));
        decoder.gate(block, format!("{there}.router.layer.weight"));
        let input = format!("{there}.input_linear.weight");
        for (path, start) in [("w", 0), ("v", hidden)] {
            let rule = TensorRule::new(format!("{here}.experts.{path}"), &input);
            decoder.rules.all.push(rule.take(1, start, hidden, 1).transposed());
        }
        decoder.rules.map(format!("{here}.experts.w2"), format!("{there}.output_linear.weight"));
    }
    Ok(decoder.done())
}
