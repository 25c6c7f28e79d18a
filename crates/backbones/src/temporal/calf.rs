//! CALF: a pyramid of convolutions, a segmentation of frames into capsules, and spots.
//!
//! Cioppa et al. *A Context-Aware Loss Function for Action Spotting in Soccer Videos*. CVPR 2020.
//! <https://arxiv.org/abs/1912.01326>
//!
//! e   = ReLU of two linear maps of each frame                                        (1)
//! f   = convolutions of e with kernels R / 7, R / 3, R / 2 and R, ReLU, side by side; then layers (2)
//! v   = sigmoid of a convolution of f: for each class a capsule of 16 numbers         (3)
//! p   = sqrt(4 / 16 sum (v - 0.5)²), the score of a class at a frame                  (4)
//! h   = [v, 1 - p], three times the maximum over three frames at every second one, with convolutions
//!       between                                                                      (5)
//! N spots from all of h: confidence and place by sigmoid, classes by softmax           (6)
//!
//! The output has a row of two unused columns and p for each frame, followed by N rows of confidence, place
//! and classes. The loss is the task's.
//!
//! Differs from the paper: no batch norm over the positions of a chunk in (3); layers in (2), none with
//! `depth = 0`; e is not concatenated to the convolutions in (2), as it is in the published code; smaller
//! sizes.

use burn::{
    module::Module,
    nn::Linear,
    prelude::*,
    tensor::activation::{relu, sigmoid},
};
use kernels::{linear_layer, softmax};
use moe::{Choice, ConfigError, Init, Input, Pass, config};

use super::{
    capsules::{CAPSULE, Capsules, WIDTH},
    frames::{Convolution, FRAMES, Layers, flops, frames, sizes, window_max},
};
use crate::{Backbone, BackboneSpec, wrong};

/// The number of columns before the classes: confidence and place.
const BEFORE: usize = 2;
/// Channels of the convolutions between the maxima, (5), as in the published code.
const HEAD: [usize; 2] = [32, 16];
/// The number of spots of a chunk, N of (6), as in the published code.
const SPOTS: usize = 5;

config! {
    /// Sizes of the network.
    pub struct CalfConfig {
        /// Layers after the pyramid.
        pub depth: usize = 1,
        /// The feed-forward network of layers without experts.
        pub dense: Choice = Choice::of("ffn").with("hidden", 128),
    }
}

/// CALF.
#[derive(Module, Debug)]
pub struct Calf {
    capsules: Capsules,
    head: Vec<Convolution>,
    output: Linear,
    tokens: usize,
}

/// The number of rows that remain of `rows` after three maxima at every second row.
fn left(rows: usize) -> usize {
    (0..3).fold(rows, |rows, _| rows.div_ceil(2))
}

/// The maximum over three rows, at every second row.
fn halved(x: Tensor<3>) -> Tensor<3> {
    let [b, t, d] = x.dims();
    let most = window_max(x, 3);
    let even = t.div_ceil(2) * 2;
    let most = match even > t {
        true => Tensor::cat(vec![most.clone(), most.narrow(1, t - 1, 1)], 1),
        false => most,
    };
    most.reshape([b, even / 2, 2, d]).narrow(2, 0, 1).reshape([b, even / 2, d])
}

impl Backbone for Calf {
    type Config = CalfConfig;
    const NAME: &'static str = "calf";
    const ABOUT: &'static str = "CALF: temporal convolutions, segmentation of frames, and spotting";
    const PAPER: &'static str = "https://arxiv.org/abs/1912.01326";
    const CAUSAL: bool = false;

    fn answers(rows: usize) -> usize {
        rows + SPOTS
    }

    fn check(config: &CalfConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        let [tokens, _] = sizes(Self::NAME, spec.domain)?;
        if spec.outputs <= BEFORE {
            let message = "expected a task with confidence, place and classes: action-spotting with loss = \"calf\"";
            return Err(wrong(Self::NAME, message));
        }
        Layers::check(Self::NAME, spec, &config.dense, [tokens, WIDTH], config.depth)
    }

    fn init(config: &CalfConfig, spec: &BackboneSpec, init: &Init) -> Result<Self, ConfigError> {
        let [tokens, features] = sizes(Self::NAME, spec.domain).expect(FRAMES);
        let [c, d] = HEAD;
        let classes = spec.outputs - BEFORE;
        let layers = (&config.dense, config.depth);
        let seen = classes * (CAPSULE + 1);
        Ok(Self {
            capsules: Capsules::new(spec, layers, [tokens, features], classes, init)?,
            head: vec![
                Convolution::new(init, "head_0", [seen, c], 3),
                Convolution::new(init, "head_1", [c, d], 3),
            ],
            output: init.linear("output", left(tokens) * d, SPOTS * spec.outputs, true),
            tokens,
        })
    }

    /// Maps `[B, 1, T, features]` to `[B, T + N, outputs]`.
    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let [v, p] = self.capsules.forward(pass, frames(input)); // (1) to (4)
        let [b, t, classes] = p.dims();
        let seen = Tensor::cat(vec![v, p.clone().neg() + 1.0], 2);
        let h = self.head.iter().fold(halved(seen), |h, map| halved(relu(map.forward(h)))); // (5)
        let [_, rows, d] = h.dims();
        let spots = linear_layer(&self.output, h.reshape([b, 1, rows * d]));
        let spots = spots.reshape([b, SPOTS, BEFORE + classes]);
        let places = sigmoid(spots.clone().narrow(2, 0, BEFORE));
        let shares = softmax(spots.narrow(2, BEFORE, classes), 2); // (6)
        let unused = Tensor::zeros([b, t, BEFORE], &p.device());
        let frames = Tensor::cat(vec![unused, p], 2);
        Tensor::cat(vec![frames, Tensor::cat(vec![places, shares], 2)], 1)
    }

    fn tokens(&self) -> usize {
        self.tokens
    }

    fn dense_flops(&self) -> f64 {
        let half = self.tokens.div_ceil(2);
        let head =
            half as f64 * self.head[0].flops() + half.div_ceil(2) as f64 * self.head[1].flops();
        self.tokens as f64 * self.capsules.dense_flops() + head + flops(&self.output)
    }
}
