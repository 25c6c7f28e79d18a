//! The feed-forward half of a block: dense, or a MoE layer.

use burn::{module::Module, prelude::*};
use moe::{AnyExperts, Choice, ConfigError, Dims, Init, MoeLayer, Pass};

use crate::BackboneSpec;

/// The feed-forward half of a block.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "a network has a handful of them")]
pub enum FeedForward {
    /// One network for all tokens: a stack of one expert, computed by the same code as several experts.
    Dense(AnyExperts),
    /// A layer of experts.
    Moe(MoeLayer),
}

impl FeedForward {
    /// The feed-forward half of block number `block` of `depth`: a MoE layer if the spec places one there,
    /// otherwise the `dense` network. The stream is `[B, tokens, width]`.
    pub fn new(
        spec: &BackboneSpec,
        dense: &Choice,
        (block, depth): (usize, usize),
        [tokens, width]: [usize; 2],
        init: &Init,
    ) -> Result<Self, ConfigError> {
        if spec.moe.layers.has(block, depth) {
            let before = (0..block).filter(|block| spec.moe.layers.has(*block, depth)).count();
            let config = spec.moe.of_layer(before);
            let layer = MoeLayer::new(&config, spec.library, [tokens, width], &init.at("moe"))?;
            return Ok(Self::Moe(layer));
        }
        let build = spec.library.experts.get(&dense.kind)?.build.init;
        let dims = Dims { width, n_experts: 1, units: tokens };
        Ok(Self::Dense(build(dense, dims, &init.at("dense"))?))
    }

    /// Maps the stream `x` and its norm `input`, both `[B, T, D]`, to the new stream.
    pub fn forward(&self, pass: &mut Pass, x: Tensor<3>, input: Tensor<3>) -> Tensor<3> {
        self.forward_with(pass, x, input, |_, output| output)
    }

    /// The same; `branch` is applied to the output before it joins the stream, for example dropout.
    pub fn forward_with(
        &self,
        pass: &mut Pass,
        x: Tensor<3>,
        input: Tensor<3>,
        branch: impl Fn(&mut Pass, Tensor<3>) -> Tensor<3>,
    ) -> Tensor<3> {
        match self {
            Self::Dense(network) => {
                let [b, t, d] = input.dims();
                let output = network.forward(pass, input.reshape([1, b * t, d]));
                x + branch(pass, output.reshape([b, t, d]))
            }
            Self::Moe(layer) => layer.step(pass, x, input, branch),
        }
    }

    /// Floating-point operations for one token; 0 for a MoE layer, which reports its own.
    pub fn dense_flops(&self) -> f64 {
        match self {
            Self::Dense(network) => network.flops_per_row(),
            Self::Moe(_) => 0.0,
        }
    }
}
