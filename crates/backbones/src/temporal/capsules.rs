//! CALF's network over frames: features, a pyramid of convolutions, layers, and for each frame and class a
//! capsule whose length is the score. Equation numbers are those of `calf.rs`.

use burn::{
    module::Module,
    nn::Linear,
    prelude::*,
    tensor::activation::{relu, sigmoid},
};
use kernels::linear_layer;
use moe::{Choice, ConfigError, Init, Pass};

use super::frames::{Convolution, Layers, flops};
use crate::BackboneSpec;

/// The width of a capsule.
pub(super) const CAPSULE: usize = 16;
/// Features of a frame after the first and after the second map, (1); 128 and 32 in the published code.
const FEATURES: [usize; 2] = [64, 32];
/// The sizes of the four kernels in frames, (2) with R = 40, rounded up; R is 80 in the published code.
const KERNELS: [usize; 4] = [6, 14, 20, 40];
/// The channels of the four kernels, (2); 8, 16, 32 and 64 in the published code.
const MAPS: [usize; 4] = [8, 8, 16, 32];
/// The channels of all kernels together.
pub(super) const WIDTH: usize = MAPS[0] + MAPS[1] + MAPS[2] + MAPS[3];

/// The maps of (1) to (3).
#[derive(Module, Debug)]
pub(super) struct Capsules {
    first: Linear,
    second: Linear,
    pyramid: Vec<Convolution>,
    layers: Layers,
    capsules: Convolution,
}

impl Capsules {
    /// Fresh maps for frames of `features` numbers and this many classes, with `depth` layers.
    pub(super) fn new(
        spec: &BackboneSpec,
        (dense, depth): (&Choice, usize),
        [tokens, features]: [usize; 2],
        classes: usize,
        init: &Init,
    ) -> Result<Self, ConfigError> {
        let [a, b] = FEATURES;
        let kernel = |at: usize| {
            Convolution::new(&init.at("pyramid"), &at.to_string(), [b, MAPS[at]], KERNELS[at])
        };
        Ok(Self {
            first: init.linear("first", features, a, true),
            second: init.linear("second", a, b, true),
            pyramid: (0..KERNELS.len()).map(kernel).collect(),
            layers: Layers::new(spec, dense, [tokens, WIDTH], depth, init)?,
            capsules: Convolution::new(init, "capsules", [WIDTH, classes * CAPSULE], 3),
        })
    }

    /// v and p: the capsules `[B, T, classes * 16]` and the scores `[B, T, classes]`.
    pub(super) fn forward(&self, pass: &mut Pass, x: Tensor<3>) -> [Tensor<3>; 2] {
        let x = relu(linear_layer(&self.first, x));
        let x = relu(linear_layer(&self.second, x)); // (1)
        let x = self.pyramid.iter().map(|kernel| relu(kernel.forward(x.clone()))).collect();
        let x = self.layers.forward(pass, Tensor::cat(x, 2)); // (2)
        let v = sigmoid(self.capsules.forward(x)); // (3)
        let [b, t, all] = v.dims();
        let classes = all / CAPSULE;
        let squares = (v.clone() - 0.5).square().reshape([b, t, classes, CAPSULE]).sum_dim(3);
        let p = (squares.reshape([b, t, classes]) * (4.0 / CAPSULE as f64) + 1e-9).sqrt(); // (4)
        [v, p]
    }

    /// Floating-point operations for one frame, without those of MoE layers.
    pub(super) fn dense_flops(&self) -> f64 {
        let pyramid: f64 = self.pyramid.iter().map(Convolution::flops).sum();
        let maps = flops(&self.first) + flops(&self.second) + self.capsules.flops();
        maps + pyramid + self.layers.dense_flops()
    }
}
