//! A transformer block: attention, then a feed-forward network or a MoE layer.
//!
//! Pre-norm, where x is the stream and F the feed-forward network or the MoE layer with its residual rule:
//!
//! x' = x + Attention(N(x))                     (1)
//! x'' = x' + F(N(x'))                          (2)
//!
//! Post-norm, as in Vaswani et al. *Attention Is All You Need*. NeurIPS 2017.
//! <https://arxiv.org/abs/1706.03762>; the block joins a MoE layer's output by its residual rule:
//!
//! h = N1(x + Attention(x))                     (3)
//! h' = N2(h + F(h))                            (4)
//!
//! Double residual: Teo, Nguyen. *MomentumSMoE*. NeurIPS 2024. <https://arxiv.org/abs/2410.14574>, as in its
//! published code. Like post-norm, but a MoE layer has one additional norm and one additional residual around
//! its own:
//!
//! s = N2(rule(h, MoE(h)))                      (5)
//! h' = N3(h + s)                               (6), with a MoE layer; else (4) (GLaM alternates both)
//!
//! Output norm, as in the same authors' V-MoE with momentum: pre-norm, and then
//!
//! y = N3(x'')                                  (7)

use burn::{module::Module, prelude::*};
use moe::{BlockInput, Choice, ConfigError, Init, Pass};
use serde::{Deserialize, Serialize};

use crate::{Attention, AttentionConfig, BackboneSpec, FeedForward, Norm, multipliers::times};

/// The order of norms and residual connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wiring {
    /// A norm before each branch, (1) and (2).
    PreNorm,
    /// A norm after each branch has joined the stream, (3) and (4).
    PostNorm,
    /// Like post-norm, with two residuals around a MoE layer, (5) and (6).
    DoubleResidual,
    /// Like pre-norm, with a norm after the block, (7).
    OutputNorm,
}

/// A transformer block.
#[derive(Module, Debug)]
pub struct Block {
    attention_norm: Norm,
    attention: Attention,
    feed_forward_norm: Norm,
    feed_forward: FeedForward,
    /// N3 of the double residual, and of the output norm.
    output_norm: Option<Norm>,
    /// A factor on the output of each branch, see `multipliers.rs`.
    factor: f64,
    #[module(skip)]
    wiring: Wiring,
}

impl Block {
    /// Pre-norm block number `place.0` of `place.1`, on sequences of `tokens`. `norm` makes a norm of the given
    /// name.
    pub fn new(
        spec: &BackboneSpec,
        attention: &AttentionConfig,
        dense: &Choice,
        place: (usize, usize),
        tokens: usize,
        norm: &dyn Fn(&Init, &str, usize) -> Norm,
        init: &Init,
    ) -> Result<Self, ConfigError> {
        let width = attention.width;
        let feed_forward = init.at("feed_forward");
        Ok(Self {
            attention_norm: norm(init, "attention_norm", width),
            attention: Attention::new(attention, &init.at("attention")),
            feed_forward_norm: norm(init, "feed_forward_norm", width),
            feed_forward: FeedForward::new(spec, dense, place, [tokens, width], &feed_forward)?,
            output_norm: None,
            factor: 1.0,
            wiring: Wiring::PreNorm,
        })
    }

    /// The same pre-norm block with a factor on the output of each branch.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { factor, ..self }
    }

    /// The same block with another wiring; `norm` makes N3, if there is one.
    pub fn wired(self, wiring: Wiring, norm: impl Fn(&str) -> Norm) -> Self {
        let moe = matches!(self.feed_forward, FeedForward::Moe(_));
        let third = match wiring {
            Wiring::PreNorm | Wiring::PostNorm => false,
            Wiring::DoubleResidual => moe,
            Wiring::OutputNorm => true,
        };
        Self { output_norm: third.then(|| norm("output_norm")), wiring, ..self }
    }

    /// `[B, T, D] -> [B, T, D]`.
    pub fn forward(&self, pass: &mut Pass, x: Tensor<3>) -> Tensor<3> {
        pass.put(BlockInput(x.clone()));
        match self.wiring {
            Wiring::PreNorm | Wiring::OutputNorm => self.pre_norm(pass, x),
            Wiring::PostNorm | Wiring::DoubleResidual => self.post_norm(pass, x),
        }
    }

    fn pre_norm(&self, pass: &mut Pass, x: Tensor<3>) -> Tensor<3> {
        let branch = self.attention.forward(pass, self.attention_norm.forward(x.clone()));
        let x = x + times(branch, self.factor); // (1)
        let input = self.feed_forward_norm.forward(x.clone());
        let branch = |_: &mut Pass, y: Tensor<3>| times(y, self.factor);
        let x = self.feed_forward.forward_with(pass, x, input, branch); // (2)
        match &self.output_norm {
            Some(norm) => norm.forward(x), // (7)
            None => x,
        }
    }

    fn post_norm(&self, pass: &mut Pass, x: Tensor<3>) -> Tensor<3> {
        let branch = self.attention.forward(pass, x.clone());
        let h = self.attention_norm.forward(x + branch); // (3)
        let joined = self.feed_forward.forward(pass, h.clone(), h.clone());
        let s = self.feed_forward_norm.forward(joined); // (4), (5)
        match &self.output_norm {
            Some(norm) => norm.forward(h + s), // (6)
            None => s,
        }
    }

    /// Floating-point operations for one token among `tokens`, without a MoE layer's.
    pub fn dense_flops(&self, tokens: usize) -> f64 {
        self.attention.flops(tokens) + self.feed_forward.dense_flops()
    }
}
