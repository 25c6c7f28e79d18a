//! DeepSeek-V2: DeepSeek-AI. *DeepSeek-V2*. 2024. <https://arxiv.org/abs/2405.04434>
//!
//! Keys besides Llama's: `q_lora_rank`, `kv_lora_rank`, `qk_nope_head_dim`, `qk_rope_head_dim`, `v_head_dim`
//! (latent attention); `n_routed_experts`, `num_experts_per_tok`, `moe_intermediate_size`,
//! `n_shared_experts`, `first_k_dense_replace`; `topk_method`, `n_group`, `topk_group`,
//! `routed_scaling_factor`; `scoring_func` is "softmax". Of training alone: `aux_loss_alpha`, `seq_aux`,
//! `ep_size`.
//!
//! Tensors besides: `self_attn.q_proj` (or `q_a_proj`, `q_a_layernorm`, `q_b_proj`), `kv_a_proj_with_mqa`,
//! `kv_a_layernorm`, `kv_b_proj`, `o_proj`; `mlp.gate.weight` `[E, D]`,
//! `mlp.experts.E.{gate,up,down}_proj.weight`, `mlp.shared_experts.{gate,up,down}_proj.weight`: the shared
//! experts are one of their total width.
//!
//! Differs from Llama: latent attention with pairs of neighbours in rotary positions; dense blocks at the
//! start; probabilities within the best groups, which are not divided by their sum.

use backbones::LatentConfig;
use moe::{Choice, SharedConfig};
use serde_json::json;

use super::{
    ImportedNetwork,
    decoder::{Decoder, Defaults, PROJECTIONS, swiglu},
};
use crate::{keys::Keys, rope_scaling::RopeScaling};

pub(super) fn read(keys: &mut Keys) -> anyhow::Result<ImportedNetwork> {
    let mut decoder = Decoder::read(keys, Defaults { theta: 1e4, epsilon: 1e-6 })?;
    latent(keys, &mut decoder)?;
    keys.only("mlp_bias", &[json!(false)])?;
    keys.only("norm_topk_prob", &[json!(false)])?;
    keys.only("scoring_func", &[json!("softmax")])?;
    training(keys)?;
    let grouped = match keys.text("topk_method", "greedy")?.as_str() {
        "greedy" => None,
        "group_limited_greedy" => Some([keys.size("n_group")?, keys.size("topk_group")?]),
        other => anyhow::bail!(
            "config.json: topk_method = {other:?}: not supported; known: \"greedy\", \
             \"group_limited_greedy\""
        ),
    };
    keys.maybe_size("n_group")?; // without effect if greedy
    keys.maybe_size("topk_group")?;
    let [groups, kept] = grouped.unwrap_or([1, 1]);
    let router = Choice::of("deepseek-v2").with("k", keys.size("num_experts_per_tok")?);
    let router = router.with("groups", groups).with("groups_kept", kept);
    decoder.moe.router = router.with("scale", keys.number("routed_scaling_factor", 1.0)?);
    layers(keys, &mut decoder, EXPERTS)?;
    decoder.frame();
    Ok(decoder.done())
}

/// Reads the keys that only concern training, which DeepSeek-V3 has too.
pub(super) fn training(keys: &mut Keys) -> anyhow::Result<()> {
    keys.maybe_number("aux_loss_alpha")?;
    keys.flag("seq_aux", false)?;
    keys.maybe_size("ep_size")?;
    Ok(())
}

/// Reads latent attention, which DeepSeek-V3 has too.
pub(super) fn latent(keys: &mut Keys, decoder: &mut Decoder) -> anyhow::Result<()> {
    let latent = LatentConfig {
        rank: keys.size("kv_lora_rank")?,
        query_rank: keys.maybe_size("q_lora_rank")?,
        plain: keys.size("qk_nope_head_dim")?,
        rotary: keys.size("qk_rope_head_dim")?,
        value: keys.size("v_head_dim")?,
        ..LatentConfig::default()
    };
    keys.only("qk_head_dim", &[json!(latent.head())])?;
    keys.only("head_dim", &[json!(latent.rotary)])?;
    decoder.config.bias = keys.flag("attention_bias", false)?;
    if let (_, RopeScaling::Yarn(_, factor)) = RopeScaling::read(keys, 1e4)? {
        decoder.parts().scale = Some(factor / (latent.head() as f64).sqrt());
    }
    let bias = decoder.config.bias;
    for (_, here, there) in decoder.blocks() {
        let (here, there) = (format!("{here}.attention"), format!("{there}.self_attn"));
        let mut maps =
            vec![("latent.down", "kv_a_proj_with_mqa", bias), ("latent.up", "kv_b_proj", false)];
        match latent.query_rank {
            None => maps.push(("latent.query", "q_proj", false)),
            Some(_) => {
                maps.extend([
                    ("latent.query_down", "q_a_proj", bias),
                    ("latent.query", "q_b_proj", false),
                ]);
                let norm = format!("{there}.q_a_layernorm.weight");
                decoder.rules.same(format!("{here}.latent.query_norm"), norm);
            }
        }
        maps.push(("output", "o_proj", bias));
        for (path, map, bias) in maps {
            decoder.rules.map(format!("{here}.{path}.weight"), format!("{there}.{map}.weight"));
            if bias {
                decoder.rules.same(format!("{here}.{path}.bias"), format!("{there}.{map}.bias"));
            }
        }
        decoder.rules.same(format!("{here}.latent.norm"), format!("{there}.kv_a_layernorm.weight"));
    }
    decoder.parts().latent = Some(latent);
    Ok(())
}

/// The keys of the number of experts and of shared experts.
pub(super) const EXPERTS: [&str; 2] = ["n_routed_experts", "n_shared_experts"];

/// Reads the experts, the shared experts, and the dense blocks at the start, which DeepSeek-V3 and Ling have
/// too.
pub(super) fn layers(
    keys: &mut Keys,
    decoder: &mut Decoder,
    [experts, shared]: [&str; 2],
) -> anyhow::Result<()> {
    let (experts, hidden) = (keys.size(experts)?, keys.size("moe_intermediate_size")?);
    let shared = keys.maybe_size(shared)?.unwrap_or(0) * hidden;
    let dense = keys.size_or("first_k_dense_replace", 0)?;
    let width = keys.size("intermediate_size")?;
    keys.only("moe_layer_freq", &[json!(1)])?;
    decoder.moe.experts = experts;
    decoder.moe.expert = swiglu(hidden);
    let expert = swiglu(shared);
    decoder.moe.shared = (shared > 0).then_some(SharedConfig { expert, gate: false, share: None });
    for (block, _, there) in decoder.blocks() {
        if block < dense {
            decoder.dense(block, width);
            continue;
        }
        let (here, there) = (Decoder::moe_path(block), format!("{there}.mlp"));
        decoder.gate(block, format!("{there}.gate.weight"));
        let own = format!("{here}.experts");
        decoder.gated(&own, experts, PROJECTIONS, |e| format!("{there}.experts.{e}"));
        if shared > 0 {
            let own = format!("{here}.shared.expert");
            decoder.gated(&own, 1, PROJECTIONS, |_| format!("{there}.shared_experts"));
        }
    }
    decoder.place((dense..decoder.config.depth).collect());
    Ok(())
}
