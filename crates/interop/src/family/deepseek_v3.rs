//! DeepSeek-V3: DeepSeek-AI. *DeepSeek-V3 Technical Report*. 2024. <https://arxiv.org/abs/2412.19437>
//!
//! Keys: those of DeepSeek-V2; `topk_method` is "noaux_tc", `scoring_func` "sigmoid", `norm_topk_prob` true
//! and `rope_interleave` too. `num_nextn_predict_layers` is read without effect: the layers for further tokens
//! are no part of the network, and a checkpoint that has them (`model.layers.N` from N = `num_hidden_layers`
//! on) is refused for tensors that are left.
//!
//! Tensors besides: `mlp.gate.e_score_correction_bias` `[E]`, which moves by loads and not by gradients.
//!
//! Differs from DeepSeek-V2: sigmoid scores, chosen with the bias, within groups that are scored by their two
//! best experts; weights over their sum.

use moe::Choice;
use serde_json::json;

use super::{
    ImportedNetwork,
    decoder::{Decoder, Defaults},
    deepseek_v2::{EXPERTS, latent, layers, training},
};
use crate::keys::Keys;

pub(super) fn read(keys: &mut Keys) -> anyhow::Result<ImportedNetwork> {
    let mut decoder = Decoder::read(keys, Defaults { theta: 1e4, epsilon: 1e-6 })?;
    latent(keys, &mut decoder)?;
    keys.only("norm_topk_prob", &[json!(true)])?;
    keys.only("rope_interleave", &[json!(true)])?;
    keys.maybe_size("num_nextn_predict_layers")?;
    training(keys)?;
    keys.only("topk_method", &[json!("noaux_tc")])?;
    keys.only("scoring_func", &[json!("sigmoid")])?;
    let router = Choice::of("deepseek-v3").with("k", keys.size("num_experts_per_tok")?);
    let router = router.with("groups", keys.size("n_group")?);
    let router = router.with("groups_kept", keys.size("topk_group")?);
    let router = router.with("scale", keys.number("routed_scaling_factor", 2.5)?);
    decoder.moe.router = router.with("faithful", "reference");
    layers(keys, &mut decoder, EXPERTS)?;
    decoder.frame();
    for (block, _, there) in decoder.blocks() {
        if decoder.moe.layers.has(block, decoder.config.depth) {
            let path = format!("{}.router.bias.bias", Decoder::moe_path(block));
            decoder.rules.same(path, format!("{there}.mlp.gate.e_score_correction_bias"));
            decoder.rules.own.push(format!("{}.router.bias.loads", Decoder::moe_path(block)));
        }
    }
    Ok(decoder.done())
}
