//! Qwen3-MoE: Yang et al. *Qwen3 Technical Report*. 2025. <https://arxiv.org/abs/2505.09388>
//!
//! Keys besides Llama's: those of Qwen2-MoE without shared expert and `qkv_bias`; `head_dim`,
//! `attention_bias`.
//!
//! Tensors besides: `self_attn.{q,k}_norm.weight` `[head_dim]`, `mlp.gate.weight` `[E, D]`,
//! `mlp.experts.E.{gate,up,down}_proj.weight`.
//!
//! Differs from Llama: queries and keys are normalised head by head; heads have a width of their own.

use backbones::QkNorm;

use super::{
    ImportedNetwork,
    decoder::{Decoder, Defaults},
    qwen2_moe::{layers, no_window},
};
use crate::keys::Keys;

pub(super) fn read(keys: &mut Keys) -> anyhow::Result<ImportedNetwork> {
    let mut decoder = Decoder::read(keys, Defaults { theta: 1e4, epsilon: 1e-6 })?;
    decoder.head_width(keys)?;
    decoder.config.bias = keys.flag("attention_bias", false)?;
    decoder.parts().norm = QkNorm::Head;
    no_window(keys, decoder.config.depth)?;
    layers(keys, &mut decoder)?;
    decoder.frame();
    decoder.attention();
    Ok(decoder.done())
}
