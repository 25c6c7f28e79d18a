//! The encoder: token and position embeddings, and bidirectional self-attention.

use burn::{module::Module, prelude::*};
use moe::{ConfigError, Init, Pass, RealTokens, TokenIds};

use super::{
    config::TransformerSeq2SeqConfig,
    dropout::dropout,
    layer::EncoderLayer,
    mask::{both, padding_mask},
    memory::Encoded,
    multi_head::MultiHead,
    positions::PositionTable,
    relative::RelativePositions,
    side::Side,
};
use crate::{BackboneSpec, FeedForward, Norm};

/// The first layer of both encoder and decoder: scaled tokens with positions, a norm, dropout.
#[derive(Module, Debug)]
pub struct Entrance {
    /// The positions.
    pub positions: PositionTable,
    /// The norm, if there is one.
    pub norm: Option<Norm>,
    /// The factor on the vectors of tokens.
    pub scale: f64,
    /// The dropout probability.
    pub dropout: f64,
}

impl Entrance {
    /// A fresh layer for at most `longest` tokens.
    pub fn new(config: &TransformerSeq2SeqConfig, longest: usize, init: &Init) -> Self {
        let width = config.width;
        Self {
            positions: PositionTable::new(config.positions, longest, width, init),
            norm: config.embedding_norm.then(|| config.norm(init, "embedding_norm")),
            scale: if config.scale_embedding { (width as f64).sqrt() } else { 1.0 },
            dropout: config.dropout,
        }
    }

    /// Maps token ids `[B, T]`, the first of which is at position `first`, to `[B, T, D]`. The table is `[V,
    /// D]`.
    pub fn forward(
        &self,
        pass: &mut Pass,
        table: Tensor<2>,
        ids: Tensor<2, Int>,
        first: usize,
    ) -> Tensor<3> {
        let [b, t] = ids.dims();
        let [_, d] = table.dims();
        let tokens = table.select(0, ids.reshape([b * t])).reshape([b, t, d]) * self.scale;
        let x = self.positions.add_to(tokens, first);
        let x = match &self.norm {
            Some(norm) => norm.forward(x),
            None => x,
        };
        dropout(pass, x, self.dropout)
    }
}

/// The encoder.
#[derive(Module, Debug)]
pub struct Encoder {
    /// The embedding of tokens and positions.
    pub entrance: Entrance,
    /// The layers.
    pub layers: Vec<EncoderLayer>,
    /// Relative positions, which all layers share, if there are any.
    pub relative: Option<RelativePositions>,
    /// The norm of the outputs, with pre-norm: of each layer's output that is attended to.
    pub norm: Option<Norm>,
    /// The number of last layers whose outputs are returned.
    pub outputs: usize,
}

impl Encoder {
    /// A fresh encoder for sources of at most `longest` tokens; it returns the outputs of the last `outputs`
    /// layers.
    pub fn new(
        config: &TransformerSeq2SeqConfig,
        spec: &BackboneSpec,
        longest: usize,
        outputs: usize,
        init: &Init,
    ) -> Result<Self, ConfigError> {
        let layers = init.at("layers");
        let layer = |i| encoder_layer(config, spec, i, longest, &layers.at(i));
        Ok(Self {
            entrance: Entrance::new(config, longest, init),
            layers: (0..config.encoder_layers).map(layer).collect::<Result<_, _>>()?,
            relative: config.relative(Side::Encoder, init),
            norm: config.joining().pre_norm.then(|| config.norm(init, "norm")),
            outputs,
        })
    }

    /// Encodes token ids `[B, S]`, of which `counts` are real in each source, at least 1. State that its
    /// layers leave for each other in the pass ends with this call.
    pub fn forward(
        &self,
        pass: &mut Pass,
        table: Tensor<2>,
        ids: Tensor<2, Int>,
        counts: Vec<usize>,
    ) -> Encoded {
        let before = pass.take::<RealTokens>();
        let encoded = pass.apart(|pass| {
            pass.put(RealTokens(counts.clone()));
            pass.put(TokenIds(ids.clone()));
            self.encode(pass, table, ids, counts)
        });
        if let Some(before) = before {
            pass.put(before);
        }
        encoded
    }

    fn encode(
        &self,
        pass: &mut Pass,
        table: Tensor<2>,
        ids: Tensor<2, Int>,
        counts: Vec<usize>,
    ) -> Encoded {
        let [_, tokens] = ids.dims();
        let mask = padding_mask(&counts, tokens, 1, &table.device());
        let relative = self.relative.as_ref();
        let mask = both(mask, relative.map(|relative| relative.forward(0, tokens, tokens)));
        let mut x = self.entrance.forward(pass, table, ids, 0);
        let mut outputs = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            x = layer.forward(pass, x, mask.clone());
            if i + self.outputs >= self.layers.len() {
                outputs.push(match &self.norm {
                    Some(norm) => norm.forward(x.clone()),
                    None => x.clone(),
                });
            }
        }
        Encoded { outputs, counts }
    }

    /// Floating-point operations for a source of `tokens` tokens, without those of MoE layers.
    pub fn dense_flops(&self, tokens: usize) -> f64 {
        self.layers.iter().map(|layer| layer.dense_flops(tokens)).sum()
    }
}

fn encoder_layer(
    config: &TransformerSeq2SeqConfig,
    spec: &BackboneSpec,
    i: usize,
    longest: usize,
    init: &Init,
) -> Result<EncoderLayer, ConfigError> {
    let norm = |name: &str| config.norm(init, name);
    let attention = config.attention(*config.encoder_heads.at(i));
    Ok(EncoderLayer {
        attention: MultiHead::new(&attention, &init.at("attention")),
        attention_norm: norm("attention_norm"),
        feed_forward: feed_forward(config, spec, (Side::Encoder, i), longest, init)?,
        feed_forward_norm: norm("feed_forward_norm"),
        joining: config.joining(),
    })
}

/// The feed-forward network or the MoE layer of one layer, on sequences of at most `longest` tokens.
pub(super) fn feed_forward(
    config: &TransformerSeq2SeqConfig,
    spec: &BackboneSpec,
    place: (Side, usize),
    longest: usize,
    init: &Init,
) -> Result<FeedForward, ConfigError> {
    let (moe, dense) = config.of_layer(place, spec.moe);
    let spec = BackboneSpec { moe: &moe, ..*spec };
    let size = [longest, config.width];
    FeedForward::new(&spec, &dense, (0, 1), size, &init.at("feed_forward"))
}
