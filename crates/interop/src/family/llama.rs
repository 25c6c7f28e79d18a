//! Llama, dense: Touvron et al. *LLaMA*. 2023. <https://arxiv.org/abs/2302.13971>; SmolLM2 is of its form.
//!
//! Keys: `hidden_size`, `num_hidden_layers`, `num_attention_heads`, `num_key_value_heads`, `head_dim`,
//! `intermediate_size`, `rms_norm_eps`, `rope_parameters` (or `rope_theta`, `rope_scaling`),
//! `attention_bias`, `tie_word_embeddings`, `vocab_size`, `max_position_embeddings`; of SmolLM2
//! `is_llama_config` is true and `rope_interleaved` false.
//!
//! Tensors: those of `decoder.rs`, and `mlp.{gate,up,down}_proj.weight` `[out, in]`.

use serde_json::json;

use super::{
    ImportedNetwork,
    decoder::{Decoder, Defaults},
};
use crate::keys::Keys;

pub(super) fn read(keys: &mut Keys) -> anyhow::Result<ImportedNetwork> {
    let mut decoder = Decoder::read(keys, Defaults { theta: 1e4, epsilon: 1e-6 })?;
    decoder.head_width(keys)?;
    decoder.config.bias = keys.flag("attention_bias", false)?;
    keys.only("mlp_bias", &[json!(false)])?;
    keys.only("is_llama_config", &[json!(true)])?;
    keys.only("rope_interleaved", &[json!(false)])?;
    let hidden = keys.size("intermediate_size")?;
    decoder.frame();
    decoder.attention();
    for (block, ..) in decoder.blocks() {
        decoder.dense(block, hidden);
    }
    Ok(decoder.done())
}
