//! CALF for camera shots: its pyramid and its capsules, whose lengths are the scores of kinds of camera, or
//! of a boundary.
//!
//! Deliège et al. *SoccerNet-v2*. CVPR Workshops 2021. <https://arxiv.org/abs/2011.13367>, section 5.2; Cioppa et
//! al. *A Context-Aware Loss Function for Action Spotting in Soccer Videos*. CVPR 2020.
//! <https://arxiv.org/abs/1912.01326>
//!
//! y = ln(p / (1 - p)), with p as in (1) to (4) of `calf.rs`, so that the sigmoid of y is p.
//!
//! Differs from the development kit: as `calf.rs`; the logarithm, so that tasks take their loss from logits,
//! is our choice.

use burn::{module::Module, prelude::*};
use moe::{Choice, ConfigError, Init, Input, Pass, config};

use super::{
    capsules::{Capsules, WIDTH},
    frames::{FRAMES, Layers, frames, sizes},
};
use crate::{Backbone, BackboneSpec};

config! {
    /// Sizes of the network.
    pub struct CalfSegmentationConfig {
        /// Layers after the pyramid.
        pub depth: usize = 1,
        /// The feed-forward network of layers without experts.
        pub dense: Choice = Choice::of("ffn").with("hidden", 128),
    }
}

/// CALF without spots.
#[derive(Module, Debug)]
pub struct CalfSegmentation {
    pub(super) capsules: Capsules,
    tokens: usize,
}

impl Backbone for CalfSegmentation {
    type Config = CalfSegmentationConfig;
    const NAME: &'static str = "calf-segmentation";
    const ABOUT: &'static str = "the segmentation of CALF alone, one output per frame";
    const PAPER: &'static str = "https://arxiv.org/abs/2011.13367";
    const CAUSAL: bool = false;

    fn answers(rows: usize) -> usize {
        rows
    }

    fn check(config: &CalfSegmentationConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let [tokens, _] = sizes(Self::NAME, spec.domain)?;
        Layers::check(Self::NAME, spec, &config.dense, [tokens, WIDTH], config.depth)
    }

    fn init(
        config: &CalfSegmentationConfig,
        spec: &BackboneSpec,
        init: &Init,
    ) -> Result<Self, ConfigError> {
        let shape = sizes(Self::NAME, spec.domain).expect(FRAMES);
        let layers = (&config.dense, config.depth);
        let capsules = Capsules::new(spec, layers, shape, spec.outputs, init)?;
        Ok(Self { capsules, tokens: shape[0] })
    }

    /// Maps `[B, 1, T, features]` to `[B, T, outputs]`.
    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let [_, p] = self.capsules.forward(pass, frames(input));
        p.clone().log() - (p.neg() + 1.0).clamp_min(1e-6).log()
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn dense_flops(&self) -> f64 {
        self.tokens as f64 * self.capsules.dense_flops()
    }
}
