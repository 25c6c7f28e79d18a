//! The layer of multi-head self-attention; what it computes is said in `kernels::attention`.

use burn::{module::Module, nn::Linear, prelude::*};
use kernels::{Positions, attention};
use moe::Init;

/// The sizes of an attention layer.
#[derive(Clone, Copy, Debug)]
pub struct AttentionConfig {
    /// D.
    pub width: usize,
    /// Heads; they divide the width, and with rotary positions into an even width each.
    pub heads: usize,
    /// How it knows where a token stands.
    pub positions: Positions,
    /// Do the linear maps have biases?
    pub bias: bool,
}

/// Multi-head self-attention.
#[derive(Module, Debug)]
pub struct Attention {
    qkv: Linear,
    output: Linear,
    heads: usize,
    #[module(skip)]
    positions: Positions,
}

impl Attention {
    /// Do the heads divide the width?
    pub fn check(width: usize, heads: usize, positions: Positions) -> Result<(), String> {
        if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
            return Err(format!("heads = {heads} does not divide width = {width}"));
        }
        if positions == Positions::CausalRotary && !(width / heads).is_multiple_of(2) {
            let head = width / heads;
            return Err(format!("width / heads = {head} is odd; rotary positions need it even"));
        }
        Ok(())
    }

    /// A fresh layer.
    pub fn new(config: &AttentionConfig, init: &Init) -> Self {
        Self {
            qkv: init.projection("qkv", [config.width, config.width, 3], config.bias),
            output: init.projection("output", [config.width, config.width, 1], config.bias),
            heads: config.heads,
            positions: config.positions,
        }
    }

    /// `[B, T, D] -> [B, T, D]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.output.forward(attention(self.qkv.forward(x), self.heads, self.positions))
    }

    /// Floating-point operations for one token among `tokens`.
    pub fn flops(&self, tokens: usize) -> f64 {
        let [d, _] = self.output.weight.lazy_shape().dims();
        // Three maps in, one out; then scores and mixture with every token.
        (2 * 4 * d * d + 2 * 2 * tokens * d) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_must_divide() {
        let err = Attention::check(10, 4, Positions::Unordered).unwrap_err();
        assert_eq!(err, "heads = 4 does not divide width = 10");
        assert!(Attention::check(12, 4, Positions::CausalRotary).unwrap_err().contains("odd"));
        assert!(Attention::check(12, 4, Positions::Unordered).is_ok());
    }
}
