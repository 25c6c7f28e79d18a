//! The two-branch network of Raw Instinct for RAW mosaics: one branch takes the mosaic, the other one its
//! four planes, and each branch weights the channels of the other, pixel by pixel.
//!
//! Kantas et al. *Raw Instinct: Trust Your Classifiers and Skip the Conversion*. 2024.
//! <https://arxiv.org/abs/2403.14439>
//!
//! s_1 = Conv 128, 3x3, stride 2 (Conv 64, 7x7 (mosaic)),   c_1 = Conv 128, 3x3 (Conv 64, 3x3 (planes))   (1)
//! s' = s * sigmoid(W c),   c' = c * sigmoid(V s)                                                         (2)
//! s_2 = Conv 256, 3x3 (s'_1),   c_2 = Conv 256, 3x3 (c'_1)                                               (3)
//! y = the residual network of `raw_resnet.rs` on ReLU(BN([s'_2; c'_2]))                                  (4)
//!
//! with BN and ReLU after each convolution of (1) and (3). Both weights of (2) are computed from s and c
//! before (2). The planes are the four pixels of each square of 2 x 2, in their order; their colours are not
//! known here, and a network that learns does not need them.

use burn::{
    module::Module,
    nn::Linear,
    prelude::*,
    tensor::activation::{relu, sigmoid},
};
use kernels::{Windows, linear_layer, unfold};
use moe::{ConfigError, Domain, Init, Input, Pass};

use crate::{
    Backbone, BackboneSpec, RawResnetConfig,
    convolution::{BatchNorm, ImageConvolution, channels_last},
    raw_resnet::{Normed, STAGES, Trunk},
    wrong,
};

/// The gates of (2).
#[derive(Module, Debug)]
struct Gates {
    of_space: ImageConvolution,
    of_colour: ImageConvolution,
}

impl Gates {
    fn new(init: &Init, width: usize) -> Self {
        let gate = |name| ImageConvolution::new(init, name, [width, width], [1, 1], true);
        Self { of_space: gate("of_space"), of_colour: gate("of_colour") }
    }

    fn forward(&self, [space, colour]: [Tensor<4>; 2]) -> [Tensor<4>; 2] {
        let of_space = sigmoid(self.of_space.forward(colour.clone()));
        let of_colour = sigmoid(self.of_colour.forward(space.clone()));
        [space * of_space, colour * of_colour]
    }
}

/// The two-branch network.
#[derive(Module, Debug)]
pub struct Bca {
    space: Vec<Normed>,
    colour: Vec<Normed>,
    gates: Vec<Gates>,
    joined: BatchNorm,
    trunk: Trunk,
    head: Linear,
    size: [usize; 2],
}

/// The message for an input that differs from the one that was checked.
const MOSAICS: &str =
    "expected mosaics: images of one channel with an even number of rows and columns";

fn mosaic(domain: Domain) -> Option<[usize; 2]> {
    match domain {
        Domain::Image { channels: 1, height, width }
            if height.is_multiple_of(2) && width.is_multiple_of(2) =>
        {
            Some([height, width])
        }
        _ => None,
    }
}

impl Backbone for Bca {
    type Config = RawResnetConfig;
    const NAME: &'static str = "bca";
    const ABOUT: &'static str =
        "the two-branch network of Raw Instinct, for a mosaic and its planes";
    const PAPER: &'static str = "https://arxiv.org/abs/2403.14439";
    const CAUSAL: bool = false;

    fn check(config: &RawResnetConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        match mosaic(spec.domain) {
            Some(_) => config.check(Self::NAME, spec),
            None => Err(wrong(Self::NAME, format!("{MOSAICS}, not {:?}", spec.domain))),
        }
    }

    fn init(
        config: &RawResnetConfig,
        spec: &BackboneSpec,
        init: &Init,
    ) -> Result<Self, ConfigError> {
        Ok(Self::with_stages(STAGES, config, spec, init))
    }

    fn forward(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let features = self.features(pass, input).expect("the network has features");
        linear_layer(&self.head, features.unsqueeze_dim::<3>(1))
    }

    fn features(&self, pass: &mut Pass, input: Input) -> Option<Tensor<2>> {
        let Input::Image(pixels) = input else { panic!("{MOSAICS}") };
        let mosaic = channels_last(pixels);
        let planes = unfold(mosaic.clone(), Windows::same(2, 2, self.size));
        let both = |i: usize, [space, colour]: [Tensor<4>; 2]| {
            [self.space[i].forward(pass, space), self.colour[i].forward(pass, colour)]
        };
        let both_1 = self.gates[0].forward(both(1, both(0, [mosaic, planes]))); // (1), (2)
        let [space, colour] = self.gates[1].forward(both(2, both_1)); // (3), (2)
        let joined = self.joined.forward(pass, Tensor::cat(vec![space, colour], 3));
        Some(self.trunk.forward(pass, relu(joined))) // (4)
    }

    /// A mosaic is one unit.
    fn tokens(&self) -> usize {
        1
    }

    fn dense_flops(&self) -> f64 {
        let (mut sum, half) = (0.0, self.size.map(|n| n / 2));
        self.space.iter().fold(self.size, |size, part| part.flops(size, &mut sum));
        self.colour.iter().fold(half, |size, part| part.flops(size, &mut sum));
        let gates = self.gates.iter().flat_map(|gates| [&gates.of_space, &gates.of_colour]);
        sum += gates.map(|gate| gate.flops(half)).sum::<f64>();
        let head = 2.0 * self.head.weight.lazy_shape().num_elements() as f64;
        sum + self.trunk.flops(half) + head
    }
}

impl Bca {
    /// A fresh network whose four stages of (4) have `stages` blocks.
    fn with_stages(
        stages: [usize; 4],
        config: &RawResnetConfig,
        spec: &BackboneSpec,
        init: &Init,
    ) -> Self {
        let size = mosaic(spec.domain).expect(MOSAICS);
        let (w, half) = (config.width, size.map(|n| n / 2));
        let branch = |name: &str, first: [usize; 2], windows: [[usize; 2]; 2]| {
            let part = |i: usize, channels, window| {
                Normed::new(&init.at(name).at(i), channels, window, config.momentum, true)
            };
            vec![
                part(0, first, windows[0]),
                part(1, [w, 2 * w], windows[1]),
                part(2, [2 * w, 4 * w], [3, 1]),
            ]
        };
        Self {
            space: branch("space", [1, w], [[7, 1], [3, 2]]),
            colour: branch("colour", [4, w], [[3, 1], [3, 1]]),
            gates: vec![
                Gates::new(&init.at("gates").at(0), 2 * w),
                Gates::new(&init.at("gates").at(1), 4 * w),
            ],
            joined: BatchNorm::new(init, "joined", 8 * w, config.momentum),
            trunk: Trunk::new(config, stages, 8 * w, half, &init.at("trunk")),
            head: init.linear("head", config.hidden, spec.outputs, true),
            size,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{library, loss_falls, spec};
    use moe::{MoeConfig, Placement};

    fn domain(channels: usize, height: usize) -> Domain {
        Domain::Image { channels, height, width: 12 }
    }

    fn small() -> RawResnetConfig {
        RawResnetConfig { width: 4, hidden: 8, momentum: 0.9, ..RawResnetConfig::default() }
    }

    #[test]
    fn it_learns() {
        let (library, moe) = library();
        let moe = MoeConfig { layers: Placement::NONE, ..moe };
        let init = Init::new(0, &Device::flex().autodiff());
        let spec = spec(domain(1, 16), &moe, &library);
        <Bca as Backbone>::check(&small(), &spec).unwrap();
        let bca = Bca::with_stages([1, 1, 2, 1], &small(), &spec, &init);
        let pixels = init.normal("pixels", [3, 1, 16, 12], 1.0).val().detach();
        loss_falls(bca, Input::Image(pixels), 1);
    }

    #[test]
    fn the_branches_weight_each_other_by_what_they_were_before() {
        let init = Init::new(0, &Device::flex());
        let gates = Gates::new(&init, 2);
        let [s, c] = ["s", "c"].map(|name| init.normal(name, [1, 1, 1, 2], 1.0).val());
        let [space, colour] = gates.forward([s.clone(), c.clone()]);
        let expected = [
            s.clone() * sigmoid(gates.of_space.forward(c.clone())),
            c * sigmoid(gates.of_colour.forward(s)),
        ];
        assert_eq!(space.into_data(), expected[0].clone().into_data());
        assert_eq!(colour.into_data(), expected[1].clone().into_data());
    }

    #[test]
    fn what_is_no_mosaic_is_refused() {
        let (library, moe) = library();
        let moe = MoeConfig { layers: Placement::NONE, ..moe };
        for (channels, height) in [(3, 16), (1, 15)] {
            let spec = spec(domain(channels, height), &moe, &library);
            let err = <Bca as Backbone>::check(&small(), &spec).unwrap_err().to_string();
            assert!(err.contains("expected mosaics"), "{err}");
        }
    }
}
