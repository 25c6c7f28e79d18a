//! A transformer over frames, with one output per frame.
//!
//! Vaswani et al. *Attention Is All You Need*. NeurIPS 2017. <https://arxiv.org/abs/1706.03762>, as an encoder
//! with pre-norm blocks (`block.rs`) and learned positions; the rows of the input are its tokens, embedded by a
//! linear map of each, or by a convolution.

use burn::{
    module::{Module, Param},
    nn::Linear,
    prelude::*,
};
use kernels::linear_layer;
use moe::{Choice, ConfigError, Init, Input, Pass, config};

use super::frames::{Convolution, FRAMES, at_least_one, flops, frames, sizes};
use crate::{AttentionConfig, Backbone, BackboneSpec, Block, Norm, wrong};

config! {
    /// Sizes of the network.
    pub struct TemporalTransformerConfig {
        /// The width of the stream, D.
        pub width: usize = 64,
        /// Blocks.
        pub depth: usize = 2,
        /// Attention heads.
        pub heads: usize = 4,
        /// The number of frames around each one that its embedding covers: with 1, the first block is not
        /// given the differences between a frame and its neighbours, which attention learns slowly.
        pub kernel: usize = 1,
        /// The feed-forward network of blocks without a MoE layer.
        pub dense: Choice = Choice::of("ffn").with("hidden", 128),
    }
}

impl TemporalTransformerConfig {
    fn attention(&self) -> AttentionConfig {
        AttentionConfig::unordered(self.width, self.heads)
    }
}

/// A transformer on frames.
#[derive(Module, Debug)]
pub struct TemporalTransformer {
    embedding: Convolution,
    positions: Param<Tensor<3>>,
    blocks: Vec<Block>,
    norm: Norm,
    head: Linear,
}

impl Backbone for TemporalTransformer {
    type Config = TemporalTransformerConfig;
    const NAME: &'static str = "temporal-transformer";
    const ABOUT: &'static str = "transformer over frames, one output per frame";
    const PAPER: &'static str = "https://arxiv.org/abs/1706.03762";
    const CAUSAL: bool = false;

    fn answers(rows: usize) -> usize {
        rows
    }

    fn check(config: &TemporalTransformerConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let [tokens, _] = sizes(Self::NAME, spec.domain)?;
        at_least_one(Self::NAME, &[("kernel", config.kernel)])?;
        config.attention().check().map_err(|message| wrong(Self::NAME, message))?;
        spec.check_blocks(Self::NAME, &config.dense, [tokens, config.width], config.depth)
    }

    fn init(
        config: &TemporalTransformerConfig,
        spec: &BackboneSpec,
        init: &Init,
    ) -> Result<Self, ConfigError> {
        let [tokens, features] = sizes(Self::NAME, spec.domain).expect(FRAMES);
        let (width, depth) = (config.width, config.depth);
        let norm = |init: &Init, name: &str, width| Norm::layer(init, name, width, 1e-5);
        let block = |at| {
            let init = init.at("blocks").at(at);
            let attention = config.attention();
            Block::new(spec, &attention, &config.dense, (at, depth), tokens, &norm, &init)
        };
        Ok(Self {
            embedding: Convolution::new(init, "embedding", [features, width], config.kernel),
            positions: init.normal("positions", [1, tokens, width], 0.02),
            blocks: (0..depth).map(block).collect::<Result<_, _>>()?,
            norm: norm(init, "norm", width),
            head: init.linear("head", width, spec.outputs, true),
        })
    }

    /// Maps `[B, 1, T, features]` to `[B, T, outputs]`.
    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let x = self.embedding.forward(frames(input)) + self.positions.val();
        let x = self.blocks.iter().fold(x, |x, block| block.forward(pass, x));
        linear_layer(&self.head, self.norm.forward(x))
    }

    fn tokens(&self) -> usize {
        self.positions.lazy_shape().dims::<3>()[1]
    }

    fn dense_flops(&self) -> f64 {
        let tokens = Backbone::tokens(self);
        let blocks: f64 = self.blocks.iter().map(|block| block.dense_flops(tokens)).sum();
        tokens as f64 * (self.embedding.flops() + blocks + flops(&self.head))
    }
}
