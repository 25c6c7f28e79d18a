//! Max pooling of features over a window around each frame.
//!
//! Giancola et al. *SoccerNet*. CVPR Workshops 2018. <https://arxiv.org/abs/1804.04527>, section 5: the
//! features of a window are pooled, and mapped to the classes by a linear map.
//!
//! e_t = x_t E                                                                       (1)
//! p_t = max over the window around t of e                                           (2)
//! y_t = p_t with feed-forward networks or MoE layers, then a linear map to classes    (3)
//!
//! Differs from the paper: (1), and the layers in (3), of which there are none with `depth = 0`; no dropout.
//! The window slides by one frame in training too.

use burn::{module::Module, nn::Linear, prelude::*};
use kernels::linear_layer;
use moe::{Choice, ConfigError, Init, Input, Pass, config};

use super::frames::{FRAMES, Layers, at_least_one, flops, frames, sizes, window_max};
use crate::{Backbone, BackboneSpec};

config! {
    /// Sizes of the network.
    pub struct MaxPoolConfig {
        /// The width of a frame's features after the first map.
        pub width: usize = 64,
        /// The number of frames of a window.
        pub window: usize = 40,
        /// Layers after the pooling.
        pub depth: usize = 1,
        /// The feed-forward network of layers without experts.
        pub dense: Choice = Choice::of("ffn").with("hidden", 128),
    }
}

/// Max pooling over a window.
#[derive(Module, Debug)]
pub struct MaxPool {
    embedding: Linear,
    layers: Layers,
    head: Linear,
    window: usize,
    tokens: usize,
}

impl Backbone for MaxPool {
    type Config = MaxPoolConfig;
    const NAME: &'static str = "max-pool";
    const ABOUT: &'static str = "max pooling of features over a window around each frame";
    const PAPER: &'static str = "https://arxiv.org/abs/1804.04527";
    const CAUSAL: bool = false;

    fn answers(rows: usize) -> usize {
        rows
    }

    fn check(config: &MaxPoolConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let MaxPoolConfig { width, window, depth, dense } = config;
        let [tokens, _] = sizes(Self::NAME, spec.domain)?;
        at_least_one(Self::NAME, &[("width", *width), ("window", *window)])?;
        Layers::check(Self::NAME, spec, dense, [tokens, *width], *depth)
    }

    fn init(config: &MaxPoolConfig, spec: &BackboneSpec, init: &Init) -> Result<Self, ConfigError> {
        let [tokens, features] = sizes(Self::NAME, spec.domain).expect(FRAMES);
        let MaxPoolConfig { width, window, depth, dense } = config;
        Ok(Self {
            embedding: init.linear("embedding", features, *width, true),
            layers: Layers::new(spec, dense, [tokens, *width], *depth, init)?,
            head: init.linear("head", *width, spec.outputs, true),
            window: *window,
            tokens,
        })
    }

    /// Maps `[B, 1, T, features]` to `[B, T, outputs]`.
    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let embedded = linear_layer(&self.embedding, frames(input)); // (1)
        let pooled = window_max(embedded, self.window); // (2)
        linear_layer(&self.head, self.layers.forward(pass, pooled)) // (3)
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn dense_flops(&self) -> f64 {
        let frame = flops(&self.embedding) + self.layers.dense_flops() + flops(&self.head);
        self.tokens as f64 * frame
    }
}
