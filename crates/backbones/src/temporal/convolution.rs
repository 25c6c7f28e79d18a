//! Convolutions over time: the basic model of camera-shot segmentation.
//!
//! Deliège et al. *SoccerNet-v2*. CVPR Workshops 2021. <https://arxiv.org/abs/2011.13367>; its development kit:
//! three convolutions with kernels of 21 frames, ReLU after each, the last one too.
//!
//! Differs from the development kit if configured: layers before the last convolution, none by default, which
//! may be MoE layers.

use burn::{module::Module, prelude::*, tensor::activation::relu};
use moe::{Choice, ConfigError, Init, Input, Pass, config};

use super::frames::{Convolution, FRAMES, Layers, frames, sizes};
use crate::{Backbone, BackboneSpec};

/// The channels after the first and after the second convolution, as in the development kit (`model.py` of
/// `BasicModel-segmentation`).
const CHANNELS: [usize; 2] = [128, 32];
/// The size of a filter in frames, as in the development kit.
const KERNEL: usize = 21;

config! {
    /// Sizes of the network.
    pub struct TemporalConvolutionConfig {
        /// Whether a ReLU follows the last convolution, as published.
        pub last_relu: bool = true,
        /// Layers before the last convolution.
        pub depth: usize = 0,
        /// The feed-forward network of layers without experts.
        pub dense: Choice = Choice::of("ffn").with("hidden", 128),
    }
}

/// Three convolutions over time.
#[derive(Module, Debug)]
pub struct TemporalConvolution {
    first: Convolution,
    second: Convolution,
    layers: Layers,
    last: Convolution,
    last_relu: bool,
    tokens: usize,
}

impl Backbone for TemporalConvolution {
    type Config = TemporalConvolutionConfig;
    const NAME: &'static str = "temporal-convolution";
    const ABOUT: &'static str = "three temporal convolutions, one output per frame";
    const PAPER: &'static str = "https://arxiv.org/abs/2011.13367";
    const CAUSAL: bool = false;

    fn answers(rows: usize) -> usize {
        rows
    }

    fn check(config: &TemporalConvolutionConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let [tokens, _] = sizes(Self::NAME, spec.domain)?;
        Layers::check(Self::NAME, spec, &config.dense, [tokens, CHANNELS[1]], config.depth)
    }

    fn init(
        config: &TemporalConvolutionConfig,
        spec: &BackboneSpec,
        init: &Init,
    ) -> Result<Self, ConfigError> {
        let [tokens, features] = sizes(Self::NAME, spec.domain).expect(FRAMES);
        let [a, b] = CHANNELS;
        Ok(Self {
            first: Convolution::new(init, "first", [features, a], KERNEL),
            second: Convolution::new(init, "second", [a, b], KERNEL),
            layers: Layers::new(spec, &config.dense, [tokens, b], config.depth, init)?,
            last: Convolution::new(init, "last", [b, spec.outputs], KERNEL),
            last_relu: config.last_relu,
            tokens,
        })
    }

    /// Maps `[B, 1, T, features]` to `[B, T, outputs]`.
    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let x = relu(self.first.forward(frames(input)));
        let x = self.layers.forward(pass, relu(self.second.forward(x)));
        let y = self.last.forward(x);
        if self.last_relu { relu(y) } else { y }
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn dense_flops(&self) -> f64 {
        let convolutions = self.first.flops() + self.second.flops() + self.last.flops();
        self.tokens as f64 * (convolutions + self.layers.dense_flops())
    }
}
