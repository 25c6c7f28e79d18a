//! Convolution experts: one-dimensional convolutions along the row.
//!
//! Chen, Deng, Wu, Gu, Li. *Towards Understanding the Mixture-of-Experts Layer in Deep Learning*.
//! NeurIPS 2022. <https://arxiv.org/abs/2208.02813>, (3.2): experts are two-layer convolutional networks
//! over the patches of an input.
//! Yang, Bender, Le, Ngiam. *CondConv*. NeurIPS 2019. <https://arxiv.org/abs/1904.04971>: experts are
//! convolutions.
//!
//! A row of width D is read as `channels` signals of length L = D / channels, position by position.
//!
//! h = GELU(W1 * x),  W1 of H = 16 filters over 3 positions and all channels
//! y = W2 * h,        W2 of `channels` filters over 3 positions of h
//!
//! Both are padded with zeros, so that the length L is unchanged. With L = 1 an expert is `ffn` without
//! biases.
//!
//! Differs from the papers: the second layer is a convolution too, since a layer's output has the
//! width of its input; GELU instead of the cubic activation of the first.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use kernels::{gelu, matmul};
use moe::{Dims, Experts, Init, Pass, config};

config! {
    /// Sizes of convolution experts.
    pub struct ConvConfig {
        /// The number of signals in a row; it must divide the width.
        pub channels: usize = 4,
    }
}

/// The number of positions that a filter covers; odd, so that it has a middle. Our choice.
const KERNEL: usize = 3;

/// The number of filters of the first layer, H. Our choice.
const FILTERS: usize = 16;

/// Networks of two convolutions along the row.
#[derive(Module, Debug)]
pub struct Conv {
    /// `[E, 3 * channels, H]`.
    w1: Param<Tensor<3>>,
    /// `[E, 3 * H, channels]`.
    w2: Param<Tensor<3>>,
    width: usize,
    #[module(skip)]
    config: ConvConfig,
}

impl Experts for Conv {
    type Config = ConvConfig;
    const NAME: &'static str = "conv";
    const ABOUT: &'static str = "two convolutions along the row";
    const PAPER: &'static str = "https://arxiv.org/abs/2208.02813";

    fn check(config: &ConvConfig, dims: Dims) -> Result<(), String> {
        let channels = config.channels;
        match dims.width.checked_rem(channels) {
            Some(0) => Ok(()),
            _ => Err(format!("channels = {channels} does not divide width = {}", dims.width)),
        }
    }

    fn init(config: &ConvConfig, dims: Dims, init: &Init) -> Self {
        let bound = |inputs: usize| 1.0 / (inputs as f64).sqrt();
        let (first, second) = (KERNEL * config.channels, KERNEL * FILTERS);
        Self {
            w1: init.uniform("w1", [dims.n_experts, first, FILTERS], bound(first)),
            w2: init.uniform("w2", [dims.n_experts, second, config.channels], bound(second)),
            width: dims.width,
            config: config.clone(),
        }
    }

    fn forward(&self, _pass: &mut Pass, slots: Tensor<3>) -> Tensor<3> {
        let [e, s, d] = slots.dims();
        let channels = self.config.channels;
        let x = slots.reshape([e, s, d / channels, channels]);
        let h = gelu(convolve(x, self.w1.val()));
        convolve(h, self.w2.val()).reshape([e, s, d])
    }

    fn flops_per_row(&self) -> f64 {
        let positions = self.width / self.config.channels;
        let [_, a, b] = self.w1.lazy_shape().dims();
        let [_, c, d] = self.w2.lazy_shape().dims();
        (2 * positions * (a * b + c * d)) as f64
    }
}

/// `[E, S, L, C] -> [E, S, L, F]`, by filters `[E, 3 * C, F]`: each position is computed from the
/// positions around it, in order.
fn convolve(x: Tensor<4>, filters: Tensor<3>) -> Tensor<4> {
    let ([e, s, l, c], [_, _, f]) = (x.dims(), filters.dims());
    let margin = Tensor::<4>::zeros([e, s, KERNEL / 2, c], &x.device());
    let padded = Tensor::cat(vec![margin.clone(), x, margin], 2);
    let around = (0..KERNEL).map(|offset| padded.clone().narrow(2, offset, l)).collect();
    let around: Tensor<4> = Tensor::cat(around, 3);
    matmul(around.reshape([e, s * l, KERNEL * c]), filters).reshape([e, s, l, f])
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{module::conv1d, ops::ConvOptions};

    fn experts(config: &ConvConfig, width: usize) -> Conv {
        let dims = Dims { width, n_experts: 2, units: 1 };
        Conv::init(config, dims, &Init::new(0, &Device::flex()))
    }

    fn values(tensor: Tensor<3>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[test]
    fn a_filter_by_hand() {
        let device = Device::flex();
        let x = Tensor::<4>::from_floats([[[[1.0], [2.0], [4.0]]]], &device);
        let filter = Tensor::<3>::from_floats([[[10.0], [1.0], [100.0]]], &device);
        // 10 before, 1 here, 100 after.
        let y = convolve(x, filter).into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(y, [201.0, 412.0, 24.0]);
    }

    #[test]
    fn it_is_burns_convolution_of_each_expert() {
        let device = Device::flex();
        let experts = experts(&ConvConfig { channels: 2 }, 8);
        let x = Init::new(1, &device).normal("x", [2, 3, 8], 1.0).val();
        let found = experts.forward(&mut Pass::eval(), x.clone());
        for e in 0..2 {
            // Burn's signals are [batch, channels, length], its filters [out, in, kernel].
            let filters = |w: &Param<Tensor<3>>, inputs: usize| {
                let [_, _, out] = w.lazy_shape().dims();
                w.val().narrow(0, e, 1).reshape([KERNEL, inputs, out]).permute([2, 1, 0])
            };
            let same = || ConvOptions::new([1], [1], [1], 1);
            let signals = x.clone().narrow(0, e, 1).reshape([3, 4, 2]).swap_dims(1, 2);
            let h = gelu(conv1d(signals, filters(&experts.w1, 2), None, same()));
            let y = conv1d(h, filters(&experts.w2, FILTERS), None, same());
            let expected = values(y.swap_dims(1, 2).reshape([1, 3, 8]));
            let found = values(found.clone().narrow(0, e, 1));
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
        }
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let check =
            |config| Conv::check(&config, Dims { width: 10, n_experts: 2, units: 1 }).unwrap_err();
        assert_eq!(check(ConvConfig::default()), "channels = 4 does not divide width = 10");
        assert!(check(ConvConfig { channels: 0 }).contains("channels = 0"));
    }

    #[test]
    fn work_is_counted_by_position() {
        // 4 positions, each 2 (3 * 2 * 16 + 3 * 16 * 2).
        assert_eq!(Experts::flops_per_row(&experts(&ConvConfig { channels: 2 }, 8)), 1536.0);
    }
}
