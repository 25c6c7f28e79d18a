//! Layers of an encoder and of a decoder.
//!
//! Vaswani et al. *Attention Is All You Need*. NeurIPS 2017. <https://arxiv.org/abs/1706.03762>
//!
//! post-norm: x' = N(x + dropout(branch(x)))                 (1), as there and in fairseq
//! pre-norm:  x' = x + dropout(branch(N(x)))                 (2)
//!
//! The branches of an encoder's layer are self-attention and a feed-forward network or MoE layer; a decoder's
//! layer has attention to the source between them.

use burn::{module::Module, prelude::*};
use moe::{BlockInput, Pass};

use super::{
    dropout::dropout,
    memory::{Encoded, LayerMemory},
    multi_head::MultiHead,
};
use crate::{FeedForward, Norm};

/// The way in which a branch joins the stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Joining {
    /// Whether (2) is used in place of (1).
    pub pre_norm: bool,
    /// The dropout probability of a branch's output.
    pub dropout: f64,
}

impl Joining {
    /// Adds a branch by (1) or (2): `[B, T, D] -> [B, T, D]`.
    pub fn join(
        self,
        pass: &mut Pass,
        norm: &Norm,
        x: Tensor<3>,
        branch: impl FnOnce(Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        match self.pre_norm {
            true => {
                let output = branch(norm.forward(x.clone()));
                x + dropout(pass, output, self.dropout)
            }
            false => {
                let output = branch(x.clone());
                norm.forward(x + dropout(pass, output, self.dropout))
            }
        }
    }

    /// The same for a feed-forward network; a MoE layer joins by its own residual rule.
    pub fn feed_forward(
        self,
        pass: &mut Pass,
        norm: &Norm,
        x: Tensor<3>,
        network: &FeedForward,
    ) -> Tensor<3> {
        let drop = |pass: &mut Pass, output| dropout(pass, output, self.dropout);
        match self.pre_norm {
            true => {
                let input = norm.forward(x.clone());
                network.forward_with(pass, x, input, drop)
            }
            false => norm.forward(network.forward_with(pass, x.clone(), x, drop)),
        }
    }
}

/// A layer of an encoder: every token attends to every other.
#[derive(Module, Debug)]
pub struct EncoderLayer {
    /// Self-attention.
    pub attention: MultiHead,
    /// The norm of self-attention.
    pub attention_norm: Norm,
    /// The feed-forward network, or a MoE layer.
    pub feed_forward: FeedForward,
    /// The norm of the feed-forward half.
    pub feed_forward_norm: Norm,
    /// The way in which both branches join the stream.
    #[module(skip)]
    pub joining: Joining,
}

impl EncoderLayer {
    /// `[B, S, D] -> [B, S, D]`; `mask` hides padding.
    pub fn forward(&self, pass: &mut Pass, x: Tensor<3>, mask: Option<Tensor<4>>) -> Tensor<3> {
        pass.put(BlockInput(x.clone()));
        let x = self.joining.join(pass, &self.attention_norm, x, |x| {
            self.attention.forward(x.clone(), &self.attention.keys_values(x), mask)
        });
        self.joining.feed_forward(pass, &self.feed_forward_norm, x, &self.feed_forward)
    }

    /// Floating-point operations for an input of `tokens` tokens, without a MoE layer's.
    pub fn dense_flops(&self, tokens: usize) -> f64 {
        self.attention.flops(tokens, tokens) + tokens as f64 * self.feed_forward.dense_flops()
    }
}

/// A layer of a decoder: a token attends to itself, to earlier tokens, and to the source.
#[derive(Module, Debug)]
pub struct DecoderLayer {
    /// Self-attention.
    pub attention: MultiHead,
    /// The norm of self-attention.
    pub attention_norm: Norm,
    /// Attention to the source.
    pub cross: MultiHead,
    /// The norm of attention to the source.
    pub cross_norm: Norm,
    /// The feed-forward network, or a MoE layer.
    pub feed_forward: FeedForward,
    /// The norm of the feed-forward half.
    pub feed_forward_norm: Norm,
    /// The number of last encoder layers whose outputs it attends to.
    pub encoder_outputs: usize,
    /// The way in which all three branches join the stream.
    #[module(skip)]
    pub joining: Joining,
}

impl DecoderLayer {
    /// The memory before the first token.
    pub fn begin(&self, encoded: &Encoded) -> LayerMemory {
        let (source, mask) = encoded.last(self.encoder_outputs);
        LayerMemory { own: None, source: self.cross.keys_values(source), mask }
    }

    /// Maps the tokens after those of the memory, `[B, T, D] -> [B, T, D]`, and adds them to the memory;
    /// `mask` hides later tokens.
    pub fn forward(
        &self,
        pass: &mut Pass,
        x: Tensor<3>,
        mask: Option<Tensor<4>>,
        memory: &mut LayerMemory,
    ) -> Tensor<3> {
        pass.put(BlockInput(x.clone()));
        let own = memory.own.take();
        let x = self.joining.join(pass, &self.attention_norm, x, |x| {
            let new = self.attention.keys_values(x.clone());
            let seen = match own {
                Some(own) => own.then(new),
                None => new,
            };
            let output = self.attention.forward(x, &seen, mask);
            memory.own = Some(seen);
            output
        });
        let x = self.joining.join(pass, &self.cross_norm, x, |x| {
            self.cross.forward(x, &memory.source, memory.mask.clone())
        });
        self.joining.feed_forward(pass, &self.feed_forward_norm, x, &self.feed_forward)
    }

    /// Floating-point operations for `tokens` tokens of a target and `source` tokens of a source, without a
    /// MoE layer's.
    pub fn dense_flops(&self, tokens: usize, source: usize) -> f64 {
        self.attention.flops(tokens, tokens)
            + self.cross.flops(tokens, source * self.encoder_outputs)
            + tokens as f64 * self.feed_forward.dense_flops()
    }
}
