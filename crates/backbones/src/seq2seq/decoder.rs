//! The decoder: token and position embeddings, causal self-attention, and attention to the source.

use burn::{module::Module, prelude::*};
use moe::{ConfigError, Init, Pass, TokenIds};

use super::{
    config::TransformerSeq2SeqConfig,
    encoder::{Entrance, feed_forward},
    layer::DecoderLayer,
    mask::{both, causal_mask},
    memory::{Encoded, Memory},
    multi_head::MultiHead,
    relative::RelativePositions,
    side::Side,
};
use crate::{BackboneSpec, Norm};

/// The decoder.
#[derive(Module, Debug)]
pub struct Decoder {
    /// The embedding of tokens and positions.
    pub entrance: Entrance,
    /// The layers.
    pub layers: Vec<DecoderLayer>,
    /// The relative positions in the target, which all layers share, if there are any.
    pub relative: Option<RelativePositions>,
    /// The norm after the last layer, with pre-norm.
    pub norm: Option<Norm>,
}

impl Decoder {
    /// A fresh decoder for targets of at most `longest` tokens.
    pub fn new(
        config: &TransformerSeq2SeqConfig,
        spec: &BackboneSpec,
        longest: usize,
        init: &Init,
    ) -> Result<Self, ConfigError> {
        let layers = init.at("layers");
        let layer = |i| decoder_layer(config, spec, i, longest, &layers.at(i));
        Ok(Self {
            entrance: Entrance::new(config, longest, init),
            layers: (0..config.decoder_layers).map(layer).collect::<Result<_, _>>()?,
            relative: config.relative(Side::Decoder, init),
            norm: config.joining().pre_norm.then(|| config.norm(init, "norm")),
        })
    }

    /// The memory before the first token of a target.
    pub fn begin(&self, encoded: &Encoded) -> Memory {
        Memory { layers: self.layers.iter().map(|layer| layer.begin(encoded)).collect() }
    }

    /// Maps token ids `[B, T]`, which follow those of the memory, to `[B, T, D]`, and adds them to the
    /// memory. State that its layers leave for each other in the pass ends with this call.
    pub fn forward(
        &self,
        pass: &mut Pass,
        table: Tensor<2>,
        ids: Tensor<2, Int>,
        memory: &mut Memory,
    ) -> Tensor<3> {
        let (first, [_, tokens]) = (memory.tokens(), ids.dims());
        let relative = self.relative.as_ref();
        let relative = relative.map(|relative| relative.forward(first, tokens, first + tokens));
        let mask = both(causal_mask(first, tokens, &table.device()), relative);
        pass.apart(|pass| {
            pass.put(TokenIds(ids.clone()));
            let mut x = self.entrance.forward(pass, table, ids, first);
            for (layer, memory) in self.layers.iter().zip(&mut memory.layers) {
                x = layer.forward(pass, x, mask.clone(), memory);
            }
            match &self.norm {
                Some(norm) => norm.forward(x),
                None => x,
            }
        })
    }

    /// Floating-point operations for `tokens` tokens of a target and `source` tokens of a source, without
    /// those of MoE layers.
    pub fn dense_flops(&self, tokens: usize, source: usize) -> f64 {
        self.layers.iter().map(|layer| layer.dense_flops(tokens, source)).sum()
    }
}

fn decoder_layer(
    config: &TransformerSeq2SeqConfig,
    spec: &BackboneSpec,
    i: usize,
    longest: usize,
    init: &Init,
) -> Result<DecoderLayer, ConfigError> {
    let norm = |name: &str| config.norm(init, name);
    let attention =
        |name: &str, heads: usize| MultiHead::new(&config.attention(heads), &init.at(name));
    Ok(DecoderLayer {
        attention: attention("attention", *config.decoder_heads.at(i)),
        attention_norm: norm("attention_norm"),
        cross: attention("cross", *config.cross_heads.at(i)),
        cross_norm: norm("cross_norm"),
        feed_forward: feed_forward(config, spec, (Side::Decoder, i), longest, init)?,
        feed_forward_norm: norm("feed_forward_norm"),
        encoder_outputs: *config.encoder_outputs.at(i),
        joining: config.joining(),
    })
}
