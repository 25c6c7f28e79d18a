//! Switch Transformers: Fedus, Zoph, Shazeer. *Switch Transformers*. JMLR 2022.
//! <https://arxiv.org/abs/2101.03961>
//!
//! Keys besides those of `encoder_decoder.rs`: `d_ff`, `dense_act_fn`, `num_experts`, `expert_capacity` (tokens of
//! a sequence that an expert takes), `encoder_sparse_step`, `decoder_sparse_step` (every how many layers there are
//! experts, the second of them first) or in their place `num_sparse_encoder_layers`, `num_sparse_decoder_layers`,
//! `router_bias`, `router_jitter_noise`, `router_aux_loss_coef`, `router_z_loss_coef`.
//!
//! Tensors besides: `mlp.{wi,wo}.weight` of dense networks; of layers with experts
//! `mlp.router.classifier.{weight [E, D], bias}` and `mlp.experts.expert_E.{wi,wo}.weight`, one of each expert.
//!
//! Differs from T5: experts in some layers, of which a token goes to the best one, weighed by its probability in
//! single precision. Each expert takes the first `expert_capacity` tokens of a sequence that chose it; for the
//! others the layer adds nothing. So it is here; with a cache the tokens of a pass are counted, as there. There
//! padding is counted too, after the real tokens, which changes nothing for these. The losses of the router
//! are over all tokens of a layer here, there over each sequence with all layers in a row; so is training alone.

use moe::{Capacity, Choice, Placement};
use serde_json::json;

use super::{ImportedNetwork, encoder_decoder::EncoderDecoder, t5::plain};
use crate::keys::Keys;
use backbones::seq2seq::Side;

pub(super) fn read(keys: &mut Keys) -> anyhow::Result<ImportedNetwork> {
    let mut switch = EncoderDecoder::read(keys)?;
    keys.only("router_dtype", &[json!("float32")])?;
    keys.only("feed_forward_proj", &[json!("relu")])?;
    keys.only("is_gated_act", &[json!(false)])?;
    keys.only("dense_act_fn", &[json!("relu")])?;
    // In the library's first form: the only values that it supports.
    keys.only("router_type", &[json!("tokens_masked")])?;
    keys.only("batch_prioritized_routing", &[json!(false)])?;
    // The first key concerns additional outputs; the library ignores the second one.
    keys.value("add_router_probs");
    keys.value("router_ignore_padding_tokens");
    let network = plain("relu").with("hidden", keys.size("d_ff")?);
    switch.config.dense = network.clone();
    switch.moe.expert = network;
    switch.moe.experts = keys.size("num_experts")?;
    let slots = keys.size_or("expert_capacity", 64)?;
    switch.moe.capacity = Capacity { slots: Some(slots), ..Capacity::default() };
    let bias = keys.flag("router_bias", false)?;
    switch.moe.router = router(keys, bias)?;
    let [encoder, decoder] = [Side::Encoder, Side::Decoder].map(|side| {
        let layers = switch.config.layers(side);
        step(keys, side, layers)
    });
    let (encoder, decoder) = (encoder?, decoder?);
    let sparse = |side: Side, layer: usize| {
        let step = if side == Side::Encoder { encoder } else { decoder };
        step == 1 || step > 1 && layer % step == 1
    };
    let mut blocks = Vec::new();
    for layer in switch.layers() {
        let (here, there) = layer.feed_forward();
        if !sparse(layer.side, layer.number) {
            for (path, map) in [("w1", "wi"), ("w2", "wo")] {
                let tensor = |_| format!("{there}.mlp.{map}.weight");
                switch.rules.stack(&format!("{here}.Dense.{path}"), 1, tensor);
            }
            continue;
        }
        blocks.push(layer.block);
        let gate = format!("{there}.mlp.router.classifier");
        switch.rules.map(format!("{here}.Moe.router.gate.weight"), format!("{gate}.weight"));
        if bias {
            switch.rules.same(format!("{here}.Moe.router.gate.bias"), format!("{gate}.bias"));
        }
        for (path, map) in [("w1", "wi"), ("w2", "wo")] {
            let tensor = |e| format!("{there}.mlp.experts.expert_{e}.{map}.weight");
            let path = format!("{here}.Moe.experts.{path}");
            switch.rules.stack(&path, switch.moe.experts, tensor);
        }
    }
    switch.moe.layers = Placement::Blocks(blocks);
    Ok(switch.done())
}

fn router(keys: &mut Keys, bias: bool) -> anyhow::Result<Choice> {
    Ok(Choice::of("switch")
        .with("bias", bias)
        .with("jitter", keys.number("router_jitter_noise", 0.01)?)
        .with("balance", keys.number("router_aux_loss_coef", 0.001)?)
        .with("z", keys.number("router_z_loss_coef", 0.001)?))
}

/// The interval of the layers of a side that have experts; 0 if none has.
fn step(keys: &mut Keys, side: Side, layers: usize) -> anyhow::Result<usize> {
    let name = match side {
        Side::Encoder => "encoder",
        Side::Decoder => "decoder",
    };
    let sparse = keys.size_or(&format!("num_sparse_{name}_layers"), 3)?;
    let step = keys.maybe_size(&format!("{name}_sparse_step"))?;
    Ok(step.unwrap_or(layers.checked_div(sparse).unwrap_or(layers)))
}
