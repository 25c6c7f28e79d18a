//! The deep residual network of Raw Instinct, for crops of RAW mosaics or of RGB.
//!
//! Kantas et al. *Raw Instinct: Trust Your Classifiers and Skip the Conversion*. 2024.
//! <https://arxiv.org/abs/2403.14439>. He et al. *Deep Residual Learning*. CVPR 2016.
//! <https://arxiv.org/abs/1512.03385>
//!
//! zeros 3 - Conv 7x7, stride 2 - BN - ReLU - max pool 3x3, stride 2                       (1)
//! stages of bottlenecks 1x1, 3x3, 1x1, with BN after each convolution                     (2)
//! average pool 2x2 - all numbers - linear 512 - ReLU - head                               (3)
//!
//! In each stage the first block has the stride and a projection on its skip connection; stages have 2, 3, 22
//! and 2 blocks. `form = "published"` is the network of the authors' code, in which (a) the stride is in the
//! first and again in the third convolution of the block, so that a stage with stride 2 shrinks the image by
//! 4, and (b) the projection is overwritten by a batch norm of the main path, so that a first block is ReLU(x
//! + BN(x)), x its main path. `form = "fixed"` has the stride once and the projection of He et al.
//!
//! Differs from the published code: initial weights, the variance of batch norm is without Bessel's
//! correction, and convolutions have no bias, which batch norm would subtract again. `width` scales all
//! channels; 64 is as published.

use burn::{module::Module, nn::Linear, prelude::*, tensor::activation::relu};
use kernels::linear_layer;
use moe::{ConfigError, Domain, Init, Input, Pass, Placement, config};
use serde::{Deserialize, Serialize};

use crate::{
    Backbone, BackboneSpec,
    convolution::{BatchNorm, ImageConvolution, average_pool, channels_last, max_pool},
    wrong,
};

/// Blocks of the four stages, as in the published code.
pub(crate) const STAGES: [usize; 4] = [2, 3, 22, 2];

/// The form of the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResnetForm {
    /// As computed by the authors' code.
    Published,
    /// With one stride per stage and with projections.
    Fixed,
}

config! {
    /// Sizes of the deep residual network.
    pub struct RawResnetConfig {
        /// Channels of the first convolution; all others are multiples of it.
        pub width: usize = 64,
        /// `"published"`, or `"fixed"` with one stride per stage and with projections.
        pub form: ResnetForm = ResnetForm::Published,
        /// The width before the head.
        pub hidden: usize = 512,
        /// The decay of batch norm's running mean and variance: the share that each step keeps.
        pub momentum: f64 = 0.99,
    }
}

impl RawResnetConfig {
    /// Checks the config of a network of this name.
    pub(crate) fn check(&self, name: &str, spec: &BackboneSpec) -> Result<(), ConfigError> {
        if self.width == 0 || self.hidden == 0 {
            return Err(wrong(name, "width and hidden must be at least 1"));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            let momentum = self.momentum;
            return Err(wrong(name, format!("momentum = {momentum}: must be from 0 to below 1")));
        }
        match spec.moe.layers == Placement::NONE {
            true => Ok(()),
            false => Err(wrong(name, "MoE layers are not supported: moe.layers must be \"none\"")),
        }
    }
}

/// A convolution with batch norm, and optionally ReLU after it. It has no bias.
#[derive(Module, Debug)]
pub(crate) struct Normed {
    conv: ImageConvolution,
    norm: BatchNorm,
    relu: bool,
}

impl Normed {
    pub(crate) fn new(
        init: &Init,
        channels: [usize; 2],
        window: [usize; 2],
        momentum: f64,
        relu: bool,
    ) -> Self {
        Self {
            conv: ImageConvolution::new(init, "conv", channels, window, false),
            norm: BatchNorm::new(init, "norm", channels[1], momentum),
            relu,
        }
    }

    pub(crate) fn forward(&self, pass: &Pass, x: Tensor<4>) -> Tensor<4> {
        let x = self.norm.forward(pass, self.conv.forward(x));
        if self.relu { relu(x) } else { x }
    }

    /// Adds its operations to `sum`; returns the size after it.
    pub(crate) fn flops(&self, size: [usize; 2], sum: &mut f64) -> [usize; 2] {
        *sum += self.conv.flops(size);
        self.conv.size(size)
    }
}

/// The branch that the first block of a stage adds to its main path; other blocks add their input.
#[derive(Module, Debug)]
enum Skip {
    /// A convolution of the block's input.
    Projection(Normed),
    /// A batch norm of the main path, (b).
    Overwritten(BatchNorm),
}

/// A bottleneck block, (2).
#[derive(Module, Debug)]
struct Bottleneck {
    path: Vec<Normed>,
    skip: Option<Skip>,
}

impl Bottleneck {
    /// Block number `block` of a stage, with this stride in its first block.
    fn new(
        config: &RawResnetConfig,
        from: usize,
        [inner, outer]: [usize; 2],
        (block, stride): (usize, usize),
        init: &Init,
    ) -> Self {
        let (published, momentum) = (config.form == ResnetForm::Published, config.momentum);
        let stride = if block == 0 { stride } else { 1 };
        let again = if published { stride } else { 1 };
        let part = |i: usize, channels, window, relu| {
            Normed::new(&init.at(i), channels, window, momentum, relu)
        };
        let skip = match (block, published) {
            (0, true) => Some(Skip::Overwritten(BatchNorm::new(init, "skip", outer, momentum))),
            (0, false) => Some(Skip::Projection(part(3, [from, outer], [1, stride], false))),
            _ => None,
        };
        let path = vec![
            part(0, [from, inner], [1, stride], true),
            part(1, [inner, inner], [3, 1], true),
            part(2, [inner, outer], [1, again], false),
        ];
        Self { path, skip }
    }

    fn forward(&self, pass: &Pass, x: Tensor<4>) -> Tensor<4> {
        let main = self.path.iter().fold(x.clone(), |x, part| part.forward(pass, x));
        let skip = match &self.skip {
            None => x,
            Some(Skip::Projection(projection)) => projection.forward(pass, x),
            Some(Skip::Overwritten(norm)) => norm.forward(pass, main.clone()),
        };
        relu(main + skip)
    }

    fn flops(&self, size: [usize; 2], sum: &mut f64) -> [usize; 2] {
        if let Some(Skip::Projection(projection)) = &self.skip {
            projection.flops(size, sum);
        }
        self.path.iter().fold(size, |size, part| part.flops(size, sum))
    }
}

/// The network (1) to (3), without the head.
#[derive(Module, Debug)]
pub(crate) struct Trunk {
    first: Normed,
    blocks: Vec<Bottleneck>,
    hidden: Linear,
}

impl Trunk {
    /// A network whose four stages have `blocks_of` blocks, for images of this size and number of channels.
    pub(crate) fn new(
        config: &RawResnetConfig,
        blocks_of: [usize; 4],
        channels: usize,
        size: [usize; 2],
        init: &Init,
    ) -> Self {
        let w = config.width;
        let mut first =
            Normed::new(&init.at("first"), [channels, w], [7, 2], config.momentum, true);
        first.conv = first.conv.padded(3);
        // Inner and outer channels, stride.
        let stages = [(w, 2 * w, 1), (2 * w, 8 * w, 2), (4 * w, 16 * w, 2), (8 * w, 32 * w, 2)];
        let (mut from, mut blocks) = (w, Vec::new());
        for (stage, (inner, outer, stride)) in stages.into_iter().enumerate() {
            for block in 0..blocks_of[stage] {
                let init = init.at("stages").at(stage).at(block);
                let place = (block, stride);
                blocks.push(Bottleneck::new(config, from, [inner, outer], place, &init));
                from = outer;
            }
        }
        let last = Self::last_size(&first, &blocks, size, &mut 0.0);
        let hidden = init.linear("hidden", last[0] * last[1] * from, config.hidden, true);
        Self { first, blocks, hidden }
    }

    /// Rows and columns after the average pool, and the operations up to there.
    fn last_size(
        first: &Normed,
        blocks: &[Bottleneck],
        size: [usize; 2],
        sum: &mut f64,
    ) -> [usize; 2] {
        let size = first.flops(size, sum).map(|n| n.div_ceil(2));
        let size = blocks.iter().fold(size, |size, block| block.flops(size, sum));
        size.map(|n| n.div_ceil(2))
    }

    /// `[B, height, width, C] -> [B, hidden]`.
    pub(crate) fn forward(&self, pass: &Pass, x: Tensor<4>) -> Tensor<2> {
        let x = max_pool(self.first.forward(pass, x), [3, 2]); // (1)
        let x = self.blocks.iter().fold(x, |x, block| block.forward(pass, x)); // (2)
        let x = average_pool(x, [2, 2]);
        let [b, h, w, c] = x.dims();
        relu(linear_layer(&self.hidden, x.reshape([b, h * w * c]))) // (3)
    }

    /// Floating-point operations for one image.
    pub(crate) fn flops(&self, size: [usize; 2]) -> f64 {
        let mut sum = 2.0 * self.hidden.weight.lazy_shape().num_elements() as f64;
        Self::last_size(&self.first, &self.blocks, size, &mut sum);
        sum
    }
}

/// The deep residual network.
#[derive(Module, Debug)]
pub struct RawResnet {
    trunk: Trunk,
    head: Linear,
    size: [usize; 2],
}

/// The message for an input that differs from the one that was checked: an image.
const IMAGES: &str = "a raw-resnet requires images";

impl Backbone for RawResnet {
    type Config = RawResnetConfig;
    const NAME: &'static str = "raw-resnet";
    const ABOUT: &'static str =
        "the deep residual network of Raw Instinct, as published or with its two faults fixed";
    const PAPER: &'static str = "https://arxiv.org/abs/2403.14439";
    const CAUSAL: bool = false;

    fn check(config: &RawResnetConfig, spec: &BackboneSpec) -> Result<(), ConfigError> {
        match spec.domain {
            Domain::Image { .. } => config.check(Self::NAME, spec),
            _ => Err(wrong(Self::NAME, "expected images, but the task has text")),
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
        let Input::Image(pixels) = input else { panic!("{IMAGES}") };
        Some(self.trunk.forward(pass, channels_last(pixels)))
    }

    /// An image is one unit.
    fn tokens(&self) -> usize {
        1
    }

    fn dense_flops(&self) -> f64 {
        self.trunk.flops(self.size) + 2.0 * self.head.weight.lazy_shape().num_elements() as f64
    }
}

impl RawResnet {
    /// A fresh network whose four stages have `stages` blocks.
    fn with_stages(
        stages: [usize; 4],
        config: &RawResnetConfig,
        spec: &BackboneSpec,
        init: &Init,
    ) -> Self {
        let Domain::Image { channels, height, width } = spec.domain else { panic!("{IMAGES}") };
        Self {
            trunk: Trunk::new(config, stages, channels, [height, width], init),
            head: init.linear("head", config.hidden, spec.outputs, true),
            size: [height, width],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{library, loss_falls, spec};
    use moe::MoeConfig;

    fn domain(channels: usize, side: usize) -> Domain {
        Domain::Image { channels, height: side, width: side }
    }

    fn net(
        stages: [usize; 4],
        config: &RawResnetConfig,
        domain: Domain,
        device: &Device,
    ) -> RawResnet {
        let (library, moe) = library();
        let moe = MoeConfig { layers: Placement::NONE, ..moe };
        let spec = spec(domain, &moe, &library);
        <RawResnet as Backbone>::check(config, &spec).unwrap();
        RawResnet::with_stages(stages, config, &spec, &Init::new(0, device))
    }

    fn flops(config: &RawResnetConfig, domain: Domain) -> f64 {
        Backbone::dense_flops(&net(STAGES, config, domain, &Device::flex()))
    }

    /// Checks the size against counts from the published code: 64 million multiplications for a mosaic of 40
    /// x 40, 46 million for one that is packed into 20 x 20 x 4.
    #[test]
    fn the_published_size() {
        let config = RawResnetConfig::default();
        let macs = |domain| flops(&config, domain) / 2e6;
        let (mosaic, packed) = (macs(domain(1, 40)), macs(domain(4, 20)));
        assert!((mosaic - 64.0).abs() < 0.5 && (packed - 46.0).abs() < 0.5, "{mosaic} {packed}");
        // With one stride per stage the images stay larger.
        let fixed = RawResnetConfig { form: ResnetForm::Fixed, ..config };
        let fixed = flops(&fixed, domain(1, 40));
        assert!(fixed > 3.0 * 2e6 * mosaic, "{fixed}");
    }

    #[test]
    fn both_forms_learn() {
        let device = Device::flex().autodiff();
        for form in [ResnetForm::Published, ResnetForm::Fixed] {
            let config = RawResnetConfig { width: 4, form, hidden: 8, momentum: 0.9 };
            let pixels = Init::new(1, &device).normal("pixels", [3, 2, 16, 16], 1.0).val().detach();
            let net = net([1, 2, 2, 1], &config, domain(2, 16), &device);
            loss_falls(net, Input::Image(pixels), 1);
        }
    }

    #[test]
    fn a_first_block_of_the_published_code_sees_its_main_path_twice() {
        let config = RawResnetConfig { width: 4, ..RawResnetConfig::default() };
        let init = Init::new(0, &Device::flex());
        let block = Bottleneck::new(&config, 4, [4, 8], (0, 2), &init);
        let x = init.normal("x", [2, 12, 12, 4], 1.0).val();
        let main = block.path.iter().fold(x.clone(), |x, part| part.forward(&Pass::eval(), x));
        assert_eq!(main.dims(), [2, 3, 3, 8]);
        // In evaluation, before any training, batch norm divides by sqrt(1.001).
        let expected = relu(main.clone() + main / 1.001_f32.sqrt());
        let gap = (block.forward(&Pass::eval(), x) - expected).abs().max().into_scalar::<f32>();
        assert!(gap < 1e-6, "{gap}");
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let (library, moe) = library();
        let check = |config: RawResnetConfig, layers| {
            let moe = MoeConfig { layers, ..moe.clone() };
            let spec = spec(domain(3, 40), &moe, &library);
            <RawResnet as Backbone>::check(&config, &spec).unwrap_err().to_string()
        };
        let default = RawResnetConfig::default;
        assert!(check(default(), Placement::ALL).contains("MoE layers are not supported"));
        let empty = RawResnetConfig { width: 0, ..default() };
        assert!(check(empty, Placement::NONE).contains("at least 1"));
        let momentum = RawResnetConfig { momentum: 1.0, ..default() };
        assert!(
            check(momentum, Placement::NONE).contains("momentum = 1: must be from 0 to below 1")
        );
    }
}
