//! T5 and T5 v1.1: Raffel et al. *Exploring the Limits of Transfer Learning with a Unified Text-to-Text
//! Transformer*. JMLR 2020. <https://arxiv.org/abs/1910.10683>
//!
//! Keys besides those of `encoder_decoder.rs`: `d_ff`, `feed_forward_proj` (`relu`, `gated-gelu` in v1.1), its
//! parts `dense_act_fn` and `is_gated_act`, `scale_decoder_outputs` (whether the last stream is divided by the
//! root of D; as `tie_word_embeddings` unless given).
//!
//! Tensors besides: `DenseReluDense.{wi,wo}.weight` of each feed-forward network; gated `{wi_0,wi_1,wo}`, gate, up
//! and down.

use anyhow::bail;
use moe::Choice;
use serde_json::json;

use super::{ImportedNetwork, encoder_decoder::EncoderDecoder};
use crate::keys::Keys;

pub(super) fn read(keys: &mut Keys) -> anyhow::Result<ImportedNetwork> {
    let mut t5 = EncoderDecoder::read(keys)?;
    t5.config.scale_output = keys.flag("scale_decoder_outputs", t5.config.head.tied)?;
    let hidden = keys.size("d_ff")?;
    let kind = keys.text("feed_forward_proj", "relu")?;
    let (gated, activation) = match kind.strip_prefix("gated-") {
        Some(activation) => (true, activation),
        None => (false, kind.as_str()),
    };
    // The library's interpretation: the gelu of gated networks is the approximate one.
    let activation = if kind == "gated-gelu" { "gelu_new" } else { activation };
    let (dense, maps): (Choice, &[[&str; 2]]) = match (gated, activation) {
        (false, "relu" | "gelu" | "gelu_new") => (plain(activation), &[["w1", "wi"], ["w2", "wo"]]),
        (true, "gelu" | "gelu_new") => (geglu(activation == "gelu_new"), GATED),
        (true, "silu") => (Choice::of("swiglu"), GATED),
        _ => bail!(
            "config.json: feed_forward_proj = {kind:?}: not supported; known: \"relu\", \"gelu\", \"gelu_new\", \
             \"gated-gelu\", \"gated-gelu_new\", \"gated-silu\""
        ),
    };
    keys.only("dense_act_fn", &[json!(activation)])?;
    keys.only("is_gated_act", &[json!(gated)])?;
    keys.value("classifier_dropout"); // of another head
    t5.config.dense = dense.with("hidden", hidden);
    for layer in t5.layers() {
        let (here, there) = layer.feed_forward();
        for [path, map] in maps {
            let tensor = |_| format!("{there}.DenseReluDense.{map}.weight");
            t5.rules.stack(&format!("{here}.Dense.{path}"), 1, tensor);
        }
    }
    Ok(t5.done())
}

const GATED: &[[&str; 2]] = &[["w", "wi_0"], ["v", "wi_1"], ["w2", "wo"]];

/// A network of two maps without biases.
pub(super) fn plain(activation: &str) -> Choice {
    let name = if activation == "gelu_new" { "gelu-tanh" } else { activation };
    Choice::of("ffn").with("activation", name).with("bias", false)
}

fn geglu(tanh: bool) -> Choice {
    Choice::of("geglu").with("tanh", tanh)
}
