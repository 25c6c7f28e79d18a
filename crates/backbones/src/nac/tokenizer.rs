//! Tokens of an image, with positions.
//!
//! Liu et al. *A ConvNet for the 2020s*. CVPR 2022. <https://arxiv.org/abs/2201.03545>, two of its stages,
//! with three blocks each:
//!
//! stem:  convolution of 4 x 4 by steps of 4 to D / 4 channels, LN
//! block: x + gamma * W_2 GELU(W_1 LN(depthwise 7 x 7 (x))),  four times as wide inside, gamma at first 1e-6
//! down:  LN, convolution of 2 x 2 by steps of 2 to D / 2 channels
//!
//! `patches` is a linear map of patches to D / 2 numbers in place of this network, for images of few pixels.
//! Both append a learned vector of `GRID` numbers for each position.

use burn::{
    module::{Module, Param},
    nn::Linear,
    prelude::*,
};
use kernels::{gelu, linear_layer};
use moe::Init;
use serde::{Deserialize, Serialize};

use super::mod_fc::map_flops;
use crate::{Norm, vit::cut};

/// The kind of tokenizer of images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageTokens {
    /// A linear map of each patch.
    Patches,
    /// Two stages of ConvNeXt: one token for 8 x 8 pixels.
    ConvNext,
}

/// The side in pixels of a token of the convolutional network.
pub(super) const STRIDE: usize = 8;
const BLOCKS: usize = 3;
/// The width of a token's position vector, as in the published configuration.
pub(super) const GRID: usize = 64;

/// A map from images to tokens.
#[derive(Module, Debug)]
pub(super) struct Tokenizer {
    patches: Option<Linear>,
    network: Option<Network>,
    /// The position vectors, `[1, V, GRID]`.
    places: Param<Tensor<3>>,
    patch: usize,
}

/// Sizes of a tokenizer.
#[derive(Clone, Copy, Debug)]
pub(super) struct TokenizerSizes {
    pub(super) tokens: ImageTokens,
    pub(super) channels: usize,
    pub(super) patch: usize,
    /// The width of the latents, D.
    pub(super) width: usize,
    pub(super) count: usize,
}

impl Tokenizer {
    pub(super) fn new(sizes: TokenizerSizes, init: &Init) -> Self {
        let TokenizerSizes { tokens, channels, patch, width, count } = sizes;
        let linear = || init.linear("patches", channels * patch * patch, width / 2, true);
        let network = || Network::new(channels, width, &init.at("network"));
        Self {
            patches: (tokens == ImageTokens::Patches).then(linear),
            network: (tokens == ImageTokens::ConvNext).then(network),
            places: init.normal("places", [1, count, GRID], 1.0),
            patch,
        }
    }

    /// `[B, channels, height, width]` to `[B, V, D / 2 + GRID]`.
    pub(super) fn forward(&self, pixels: Tensor<4>) -> Tensor<3> {
        let b = pixels.dims()[0];
        let tokens = match (&self.network, &self.patches) {
            (Some(network), _) => network.forward(pixels),
            (None, patches) => {
                let patches = patches.as_ref().expect("a tokenizer must have a network or patches");
                linear_layer(patches, cut(pixels, self.patch))
            }
        };
        let n = tokens.dims()[1];
        Tensor::cat(vec![tokens, self.places.val().expand([b, n, GRID])], 2)
    }

    /// Floating-point operations for an image of `tokens` tokens.
    pub(super) fn flops(&self, tokens: usize) -> f64 {
        let cells = tokens as f64;
        self.patches.as_ref().map_or(0.0, |map| cells * map_flops(map))
            + self.network.as_ref().map_or(0.0, |network| network.flops(cells))
    }
}

/// Two stages of ConvNeXt.
#[derive(Module, Debug)]
struct Network {
    stem: Linear,
    stem_norm: Norm,
    first: Vec<ConvBlock>,
    down_norm: Norm,
    down: Linear,
    second: Vec<ConvBlock>,
}

impl Network {
    fn new(channels: usize, width: usize, init: &Init) -> Self {
        let (narrow, wide) = (width / 4, width / 2);
        let blocks = |name: &str, width| {
            let block = |i| ConvBlock::new(width, &init.at(name).at(i));
            (0..BLOCKS).map(block).collect()
        };
        Self {
            stem: init.linear("stem", channels * 16, narrow, true),
            stem_norm: Norm::layer(init, "stem_norm", narrow, 1e-6),
            first: blocks("first", narrow),
            down_norm: Norm::layer(init, "down_norm", narrow, 1e-6),
            down: init.linear("down", 4 * narrow, wide, true),
            second: blocks("second", wide),
        }
    }

    fn forward(&self, pixels: Tensor<4>) -> Tensor<3> {
        let [b, _, height, width] = pixels.dims();
        let (h, w) = (height / 4, width / 4);
        let z = self.stem_norm.forward(linear_layer(&self.stem, cut(pixels, 4)));
        let z = self.first.iter().fold(z, |z, block| block.forward(z, [h, w]));
        let z = self.down_norm.forward(z);
        let channels = z.dims()[2];
        let tiles = z.reshape([b, h / 2, 2, w / 2, 2, channels]).permute([0, 1, 3, 5, 2, 4]);
        let tiles = tiles.reshape([b, h / 2 * (w / 2), 4 * channels]);
        let z = linear_layer(&self.down, tiles);
        self.second.iter().fold(z, |z, block| block.forward(z, [h / 2, w / 2]))
    }

    fn flops(&self, tokens: f64) -> f64 {
        let blocks = |blocks: &[ConvBlock]| blocks.iter().map(ConvBlock::flops).sum::<f64>();
        let first = map_flops(&self.stem) + blocks(&self.first);
        tokens * (4.0 * first + map_flops(&self.down) + blocks(&self.second))
    }
}

/// A block of ConvNeXt.
#[derive(Module, Debug)]
struct ConvBlock {
    /// `[7 * 7, C]`.
    filters: Param<Tensor<2>>,
    /// The bias of the filters, `[C]`.
    bias: Param<Tensor<1>>,
    norm: Norm,
    wide: Linear,
    narrow: Linear,
    gamma: Param<Tensor<1>>,
}

/// The side of a filter.
const SIDE: usize = 7;

impl ConvBlock {
    fn new(width: usize, init: &Init) -> Self {
        let bound = 1.0 / SIDE as f64;
        Self {
            filters: init.uniform("filters", [SIDE * SIDE, width], bound),
            bias: init.uniform("bias", [width], bound),
            norm: Norm::layer(init, "norm", width, 1e-6),
            wide: init.linear("wide", width, 4 * width, true),
            narrow: init.linear("narrow", 4 * width, width, true),
            gamma: init.constant("gamma", [width], 1e-6),
        }
    }

    /// `[B, H W, C]`, row by row, to the same.
    fn forward(&self, x: Tensor<3>, sides: [usize; 2]) -> Tensor<3> {
        let y = depthwise(x.clone(), sides, self.filters.val()) + self.bias.val().unsqueeze();
        let y = gelu(linear_layer(&self.wide, self.norm.forward(y)));
        x + linear_layer(&self.narrow, y) * self.gamma.val().unsqueeze()
    }

    fn flops(&self) -> f64 {
        let filters = 2.0 * self.filters.lazy_shape().num_elements() as f64;
        map_flops(&self.wide) + map_flops(&self.narrow) + filters
    }
}

/// Filters each channel with its own 7 x 7 filter and zero padding: `[B, H W, C]` and `[49, C]` to `[B, H W,
/// C]`.
fn depthwise(x: Tensor<3>, [h, w]: [usize; 2], filters: Tensor<2>) -> Tensor<3> {
    let ([b, n, c], margin) = (x.dims(), SIDE / 2);
    let device = x.device();
    let zeros = |shape| Tensor::<4>::zeros(shape, &device);
    let x = x.reshape([b, h, w, c]);
    let (above, beside) = ([b, margin, w, c], [b, h + 2 * margin, margin, c]);
    let tall = Tensor::cat(vec![zeros(above), x, zeros(above)], 1);
    let padded = Tensor::cat(vec![zeros(beside), tall, zeros(beside)], 2);
    let shifted = |place: usize| {
        let window = padded.clone().narrow(1, place / SIDE, h).narrow(2, place % SIDE, w);
        window * filters.clone().narrow(0, place, 1).unsqueeze::<4>()
    };
    let first = shifted(0);
    (1..SIDE * SIDE).fold(first, |sum, place| sum + shifted(place)).reshape([b, n, c])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nac::testing::values;
    use burn::tensor::{module::conv2d, ops::ConvOptions};

    #[test]
    fn filters_are_burns() {
        let (x, filters) = (values::<4>(1, [2, 3, 5, 4]), values::<2>(2, [49, 3]));
        let weights = filters.clone().transpose().reshape([3, 1, 7, 7]);
        let options = ConvOptions::new([1, 1], [3, 3], [1, 1], 3);
        let expected = conv2d(x.clone(), weights, None, options);
        let lines = x.permute([0, 2, 3, 1]).reshape([2, 20, 3]);
        let found = depthwise(lines, [5, 4], filters).reshape([2, 5, 4, 3]).permute([0, 3, 1, 2]);
        assert!((found - expected).abs().max().into_scalar::<f32>() < 1e-6);
    }

    #[test]
    fn a_token_sees_eight_by_eight_pixels_and_those_around() {
        let tokens = ImageTokens::ConvNext;
        let sizes = TokenizerSizes { tokens, channels: 1, patch: 1, width: 8, count: 4 };
        let tokenizer = Tokenizer::new(sizes, &Init::new(0, &Device::flex()));
        let tokens = tokenizer.forward(values(1, [2, 1, 16, 16]));
        assert_eq!(tokens.dims(), [2, 4, 4 + GRID]);
        // 4 tokens: a stem of 16 x 2 for each of 16 cells; blocks of 2 * (4 * 2 * 2 * 2) + 49 * 2 numbers there,
        // and of 2 * 64 + 49 * 4 in the second stage; 8 x 4 between.
        let of = |width: f64| 3.0 * (8.0 * width * width + 49.0 * width);
        let expected = 16.0 * (16.0 * 2.0 + of(2.0)) + 4.0 * (8.0 * 4.0 + of(4.0));
        assert_eq!(tokenizer.flops(4), 2.0 * expected);
    }
}
