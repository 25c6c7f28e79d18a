//! A pre-norm transformer block: attention, then a feed-forward network or a MoE layer.

use burn::{
    module::Module,
    nn::{LayerNorm, RmsNorm},
    prelude::*,
};
use moe::{Choice, ConfigError, Init, Pass};

use crate::{Attention, AttentionConfig, Brief, FeedForward};

/// A norm over the last axis.
#[derive(Module, Debug)]
pub enum Norm {
    /// Mean 0 and variance 1, then scale and shift.
    Layer(LayerNorm),
    /// Root mean square 1, then scale.
    Rms(RmsNorm),
}

impl Norm {
    /// `[B, T, D] -> [B, T, D]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Layer(norm) => norm.forward(x),
            Self::Rms(norm) => norm.forward(x),
        }
    }
}

/// A pre-norm transformer block.
#[derive(Module, Debug)]
pub struct Block {
    attention_norm: Norm,
    attention: Attention,
    feed_forward_norm: Norm,
    feed_forward: FeedForward,
}

impl Block {
    /// Block number `place.0` of `place.1`, on sequences of `tokens`. `norm` makes a norm of the given name.
    pub fn new(
        brief: &Brief,
        attention: &AttentionConfig,
        dense: &Choice,
        place: (usize, usize),
        tokens: usize,
        norm: fn(&Init, &str, usize) -> Norm,
        init: &Init,
    ) -> Result<Self, ConfigError> {
        let width = attention.width;
        let feed_forward = init.at("feed_forward");
        Ok(Self {
            attention_norm: norm(init, "attention_norm", width),
            attention: Attention::new(attention, &init.at("attention")),
            feed_forward_norm: norm(init, "feed_forward_norm", width),
            feed_forward: FeedForward::new(brief, dense, place, [tokens, width], &feed_forward)?,
        })
    }

    /// `[B, T, D] -> [B, T, D]`.
    pub fn forward(&self, pass: &mut Pass, x: Tensor<3>) -> Tensor<3> {
        let x = x.clone() + self.attention.forward(self.attention_norm.forward(x));
        let input = self.feed_forward_norm.forward(x.clone());
        self.feed_forward.forward(pass, x, input)
    }

    /// Floating-point operations for one token among `tokens`, without a MoE layer's.
    pub fn dense_flops(&self, tokens: usize) -> f64 {
        self.attention.flops(tokens) + self.feed_forward.dense_flops()
    }
}
