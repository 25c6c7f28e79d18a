//! GPT-OSS: OpenAI. *gpt-oss-120b & gpt-oss-20b Model Card*. 2025. <https://arxiv.org/abs/2508.10925>
//!
//! Keys besides Llama's: `num_local_experts`, `num_experts_per_tok`, `router_aux_loss_coef`, `head_dim`,
//! `attention_bias`, `sliding_window` and `layer_types` (where it holds), `swiglu_alpha`, `swiglu_limit`;
//! `experts_per_token` is `num_experts_per_tok`, and `initial_context_length` is without effect.
//!
//! Tensors besides: biases of all four maps; `self_attn.sinks` `[heads]`; `mlp.router.{weight [E, D], bias}`;
//! stacked and not transposed `mlp.experts.gate_up_proj` `[E, D, 2H]` with gate and up in turns,
//! `gate_up_proj_bias` `[E, 2H]`, `down_proj` `[E, H, D]`, `down_proj_bias` `[E, D]`.
//!
//! Differs from Llama: a learned sink in each head, windows in every other block, clamped gated experts with
//! biases, a router with a bias and softmax over the chosen experts, rotary positions stretched by YaRN.
//!
//! Published weights have the experts as blocks of MXFP4, which `packed.rs` makes such tensors.

use anyhow::bail;
use moe::{Choice, Placement};

use super::{
    ImportedNetwork,
    decoder::{Decoder, Defaults, top_k},
};
use crate::{keys::Keys, rules::TensorRule};

pub(super) fn read(keys: &mut Keys) -> anyhow::Result<ImportedNetwork> {
    // Without a scaling, or with null, the library applies its own YaRN scaling.
    let old = keys.table("rope_scaling")?.is_some_and(|table| !table.is_empty());
    if !old && !keys.has("rope_parameters") {
        return Err(keys.error("rope_parameters is missing"));
    }
    let mut decoder = Decoder::read(keys, Defaults { theta: 150_000.0, epsilon: 1e-5 })?;
    decoder.head_width(keys)?;
    decoder.config.bias = keys.flag("attention_bias", true)?;
    decoder.parts().sinks = true;
    windows(keys, &mut decoder)?;
    let hidden = keys.size("intermediate_size")?;
    let (alpha, limit) = (keys.number("swiglu_alpha", 1.702)?, keys.number("swiglu_limit", 7.0)?);
    decoder.moe.experts = keys.size("num_local_experts")?;
    decoder.moe.router = top_k(keys, "top-k-softmax")?.with("bias", true);
    // The published config has both names of this key.
    keys.only("experts_per_token", &[decoder.moe.router.options["k"].clone()])?;
    keys.maybe_size("initial_context_length")?;
    let expert = Choice::of("clamped-glu").with("hidden", hidden);
    decoder.moe.expert = expert.with("alpha", alpha).with("limit", limit);
    decoder.frame();
    decoder.attention();
    decoder.place((0..decoder.config.depth).collect());
    for (block, here, there) in decoder.blocks() {
        let rules = &mut decoder.rules;
        rules.same(format!("{here}.attention.sinks"), format!("{there}.self_attn.sinks"));
        let (here, there) = (Decoder::moe_path(block), format!("{there}.mlp"));
        rules.map(format!("{here}.router.gate.weight"), format!("{there}.router.weight"));
        rules.same(format!("{here}.router.gate.bias"), format!("{there}.router.bias"));
        let (here, there) = (format!("{here}.experts"), format!("{there}.experts"));
        for (path, start) in [("w", 0), ("v", 1)] {
            let both = format!("{there}.gate_up_proj");
            let weight = TensorRule::new(format!("{here}.{path}"), &both).take(2, start, hidden, 2);
            let bias = TensorRule::new(format!("{here}.bias_{path}"), format!("{both}_bias"));
            rules.all.extend([weight, bias.take(1, start, hidden, 2).entry(1, 0)]);
        }
        rules.same(format!("{here}.w2"), format!("{there}.down_proj"));
        let bias = TensorRule::new(format!("{here}.bias2"), format!("{there}.down_proj_bias"));
        rules.all.push(bias.entry(1, 0));
    }
    Ok(decoder.done())
}

/// Reads the window, and the blocks to which it applies: every other one from the first on, unless
/// `layer_types` gives them.
fn windows(keys: &mut Keys, decoder: &mut Decoder) -> anyhow::Result<()> {
    let depth = decoder.config.depth;
    keys.needs("sliding_window")?;
    let window = keys.maybe_size("sliding_window")?;
    let blocks = match keys.texts("layer_types")? {
        None => (0..depth).filter(|block| block % 2 == 0).collect(),
        Some(types) => {
            let known = ["sliding_attention", "full_attention"];
            if types.len() != depth || types.iter().any(|kind| !known.contains(&kind.as_str())) {
                bail!(
                    "config.json: layer_types = {types:?}: expected {depth} of {}",
                    known.join(", ")
                );
            }
            (0..depth).filter(|block| types[*block] == known[0]).collect::<Vec<_>>()
        }
    };
    if window.is_none() && !blocks.is_empty() {
        return Err(keys.error("sliding_window = null, but some layers have a window"));
    }
    let parts = decoder.parts();
    parts.window = window.filter(|_| !blocks.is_empty());
    parts.window_layers = Placement::Blocks(blocks);
    Ok(())
}
