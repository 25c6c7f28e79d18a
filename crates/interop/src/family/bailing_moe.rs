//! Ling v1 (`bailing_moe`): Ling Team. *Every FLOP Counts*. 2025. <https://arxiv.org/abs/2503.05139>; its code:
//! <https://github.com/inclusionAI/Ling/blob/master/models/modeling_bailing_moe.py>.
//!
//! Keys besides Llama's: `num_experts`, `num_experts_per_tok`, `norm_topk_prob`, `moe_intermediate_size`,
//! `num_shared_experts`, `first_k_dense_replace`, `use_qkv_bias`, `norm_head`; `use_bias`, `norm_softmax`,
//! `multi_gate` are false, and dropout is 0.
//!
//! Tensors besides: `model.word_embeddings.weight`; `attention.query_key_value.{weight, bias}`, the three side by
//! side; `attention.dense.weight`; `mlp.gate.weight` `[E, D]`, `mlp.experts.E.{gate,up,down}_proj.weight`,
//! `mlp.shared_experts.{gate,up,down}_proj.weight`, one of the total width of the shared experts.
//!
//! Differs from Llama: a head whose columns have length 1 (NormHead), shared experts. Later versions (Ling 2,
//! `BailingMoeV2ForCausalLM`) have other attention and another router, and are refused.

use backbones::HeadNorm;
use serde_json::json;

use super::{
    ImportedNetwork,
    decoder::{Decoder, Defaults, top_k, weights},
    deepseek_v2::layers,
};
use crate::keys::Keys;

pub(super) fn read(keys: &mut Keys) -> anyhow::Result<ImportedNetwork> {
    let mut decoder = Decoder::read(keys, Defaults { theta: 1e4, epsilon: 1e-6 })?;
    decoder.head_width(keys)?;
    decoder.parts().qkv_bias = keys.flag("use_qkv_bias", false)?;
    for unused in ["use_bias", "norm_softmax", "multi_gate", "use_sliding_window"] {
        keys.only(unused, &[json!(false)])?;
    }
    for dropout in ["embedding_dropout", "output_dropout"] {
        keys.only(dropout, &[json!(0.0)])?;
    }
    if keys.flag("norm_head", false)? {
        decoder.config.head.norm = HeadNorm::Column;
    }
    let weights = weights(keys)?;
    decoder.moe.router = top_k(keys, weights)?;
    layers(keys, &mut decoder, ["num_experts", "num_shared_experts"])?;
    decoder.frame_with("model.word_embeddings.weight");
    let bias = decoder.parts().qkv_bias;
    for (_, here, there) in decoder.blocks() {
        let (here, there) = (format!("{here}.attention"), format!("{there}.attention"));
        let rules = &mut decoder.rules;
        let maps = format!("{there}.query_key_value");
        rules.map(format!("{here}.qkv.weight"), format!("{maps}.weight"));
        if bias {
            rules.same(format!("{here}.qkv.bias"), format!("{maps}.bias"));
        }
        rules.map(format!("{here}.output.weight"), format!("{there}.dense.weight"));
    }
    Ok(decoder.done())
}
