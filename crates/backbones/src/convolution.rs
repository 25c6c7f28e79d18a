//! Convolutions, batch norm and pooling on images `[B, height, width, C]`, as parts of networks.
//!
//! A convolution is a matrix product with the windows of the image as rows (`kernels::unfold`). The zero
//! padding is that of TensorFlow's "same".
//!
//! Ioffe, Szegedy. *Batch Normalization*. ICML 2015. <https://arxiv.org/abs/1502.03167>
//!
//! y = gamma (x - mean) / sqrt(variance + 1e-3) + beta                  (1)
//!
//! In training, mean and variance are those of the batch, and the running values move towards them: running =
//! momentum * running + (1 - momentum) * batch. In evaluation, (1) uses the running values, unless the pass
//! measures them ([`Pass::measuring_norms`]): then it uses those of the batch, and the running values become
//! the means over such passes.
//! The variance is that of the batch itself, without Bessel's correction.
//!
//! A convolution before batch norm has no bias. In training the mean of the batch is subtracted, so the
//! gradient of a bias would be nothing but rounding; AdamW would make whole steps of it, and in evaluation
//! the running mean would lag behind the bias.

use burn::{
    module::{Module, Param, RunningState},
    nn::Linear,
    prelude::*,
};
use kernels::{Windows, linear_layer, matmul, unfold};
use moe::{Init, Pass};

/// A convolution with square windows.
#[derive(Module, Debug)]
pub struct ImageConvolution {
    map: Linear,
    side: usize,
    stride: usize,
    /// The number of zeros around the image in addition to those of "same".
    zeros: usize,
}

impl ImageConvolution {
    /// A convolution of `from` to `to` channels, with windows of this side and stride.
    pub fn new(
        init: &Init,
        name: &str,
        [from, to]: [usize; 2],
        [side, stride]: [usize; 2],
        bias: bool,
    ) -> Self {
        let map = init.linear(name, side * side * from, to, bias);
        Self { map, side, stride, zeros: 0 }
    }

    /// The same convolution with zeros around the image.
    pub fn padded(self, zeros: usize) -> Self {
        Self { zeros, ..self }
    }

    fn windows(&self, image: [usize; 2]) -> Windows {
        let outer = image.map(|size| size + 2 * self.zeros);
        let windows = Windows::same(self.side, self.stride, outer);
        let before = windows.before.map(|before| before + self.zeros);
        Windows { image, before, ..windows }
    }

    /// `[B, height, width, from] -> [B, height', width', to]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        if (self.side, self.stride, self.zeros) == (1, 1, 0) {
            return linear_layer(&self.map, x);
        }
        let [_, height, width, _] = x.dims();
        linear_layer(&self.map, unfold(x, self.windows([height, width])))
    }

    /// Rows and columns of the output.
    pub fn size(&self, image: [usize; 2]) -> [usize; 2] {
        self.windows(image).count
    }

    /// Floating-point operations for one image.
    pub fn flops(&self, image: [usize; 2]) -> f64 {
        let [rows, columns] = self.size(image);
        let weights = self.map.weight.lazy_shape().num_elements();
        2.0 * (rows * columns * weights) as f64
    }
}

/// Batch norm, (1).
#[derive(Module, Debug)]
pub struct BatchNorm {
    gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
    mean: RunningState<Tensor<1>>,
    variance: RunningState<Tensor<1>>,
    momentum: f64,
}

const EPSILON: f64 = 1e-3;

impl BatchNorm {
    /// A norm of `channels` channels.
    pub fn new(init: &Init, name: &str, channels: usize, momentum: f64) -> Self {
        let init = init.at(name);
        let device = init.device().clone().inner();
        Self {
            gamma: init.constant("gamma", [channels], 1.0),
            beta: init.constant("beta", [channels], 0.0),
            mean: init.state("mean", Tensor::zeros([channels], &device)),
            variance: init.state("variance", Tensor::ones([channels], &device)),
            momentum,
        }
    }

    /// `[B, height, width, C] -> [B, height, width, C]`.
    pub fn forward(&self, pass: &Pass, x: Tensor<4>) -> Tensor<4> {
        let ([b, h, w, c], gamma, beta) = (x.dims(), self.gamma.val(), self.beta.val());
        let x = x.reshape([b * h * w, c]);
        let (centred, variance) = if pass.training() || pass.measured_norms().is_some() {
            let mean = mean_of_rows(x.clone());
            let centred = x - mean.clone();
            let variance = mean_of_rows(centred.clone().square());
            self.follow(pass, &self.mean, mean);
            self.follow(pass, &self.variance, variance.clone());
            (centred, variance)
        } else {
            let [mean, variance] = [&self.mean, &self.variance]
                .map(|state| like(state.value_sync().inner().reshape([1, c]), &x));
            (x - mean, variance)
        };
        let scale = gamma.reshape([1, c]) / (variance + EPSILON).sqrt();
        (centred * scale + beta.reshape([1, c])).reshape([b, h, w, c]) // (1)
    }

    /// Moves a running value towards that of a batch, `[1, C]`.
    fn follow(&self, pass: &Pass, running: &RunningState<Tensor<1>>, batch: Tensor<2>) {
        let batch = batch.detach().inner().squeeze_dim::<1>(0);
        let running = running.clone();
        let momentum = match pass.measured_norms() {
            Some(n) => n as f64 / (n + 1) as f64,
            None => self.momentum,
        };
        pass.follow(&running.clone(), batch, move |batch, _| {
            let kept = running.value_sync().inner() * momentum;
            running.update(kept + batch * (1.0 - momentum));
            running.value_sync(); // the update is visible at the next read
        });
    }
}

/// `[N, C] -> [1, C]`.
fn mean_of_rows(x: Tensor<2>) -> Tensor<2> {
    let [n, _] = x.dims();
    let each = Tensor::<2>::full([1, n], 1.0 / n as f64, &x.device().inner());
    matmul(like(each, &x), x)
}

/// A constant on the device of `x`.
fn like(constant: Tensor<2>, x: &Tensor<2>) -> Tensor<2> {
    if x.device().is_autodiff() { Tensor::from_inner(constant) } else { constant }
}

/// The maximum of each window, for values that are not below 0.
pub fn max_pool(x: Tensor<4>, [side, stride]: [usize; 2]) -> Tensor<4> {
    let [_, h, w, c] = x.dims();
    let windows = unfold(x, Windows::same(side, stride, [h, w]));
    let [b, rows, columns, _] = windows.dims();
    let places = windows.reshape([b, rows * columns, side * side, c]);
    places.max_dim(2).reshape([b, rows, columns, c])
}

/// The mean of each window over those of its pixels that are inside the image.
pub fn average_pool(x: Tensor<4>, [side, stride]: [usize; 2]) -> Tensor<4> {
    let (average, [_, h, w, c]) = (
        |x, [h, w]: [usize; 2]| {
            let windows = unfold(x, Windows::same(side, stride, [h, w]));
            let [b, rows, columns, all] = windows.dims();
            let places = windows.reshape([b, rows * columns, side * side, all / (side * side)]);
            (places.sum_dim(2), [rows, columns])
        },
        x.dims(),
    );
    let b = x.dims()[0];
    let ones = Tensor::<4>::ones([1, h, w, 1], &x.device().inner());
    let (counts, [rows, columns]) = average(ones, [h, w]);
    let (sums, _) = average(x, [h, w]);
    let counts = if sums.device().is_autodiff() { Tensor::from_inner(counts) } else { counts };
    (sums / counts).reshape([b, rows, columns, c])
}

/// Images in the layout of tasks, `[B, C, height, width]`, with the channels moved to the end.
pub fn channels_last(pixels: Tensor<4>) -> Tensor<4> {
    pixels.permute([0, 2, 3, 1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fill;

    fn image(salt: u64, shape: [usize; 4], device: &Device) -> Tensor<4> {
        let values = fill(salt, shape.iter().product(), 2.0);
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().iter::<f32>().collect()
    }

    #[test]
    fn a_convolution_by_hand() {
        let init = Init::new(0, &Device::flex());
        let mut conv = ImageConvolution::new(&init, "conv", [1, 1], [3, 2], false);
        conv.map.weight = init.given("w", [9, 1], (1..=9).map(|i| i as f32).collect());
        let x = Tensor::<1, Int>::arange(0..16, &Device::flex()).float().reshape([1, 4, 4, 1]);
        // Zeros only at the end of the image. First window: 0 1 2 / 4 5 6 / 8 9 10.
        let first = [0, 1, 2, 4, 5, 6, 8, 9, 10].iter().zip(1..).map(|(x, w)| x * w).sum::<i32>();
        // Last window: 10 11 . / 14 15 . / . . .
        let last = 10 + 2 * 11 + 4 * 14 + 5 * 15;
        let y = values(conv.forward(x));
        assert_eq!((y[0], y[3], y.len()), (first as f32, last as f32, 4));
        assert_eq!(conv.flops([4, 4]), 2.0 * 4.0 * 9.0);
        // 40 + 6 = 46 pixels, and 23 windows.
        let padded = ImageConvolution::new(&init, "p", [3, 8], [7, 2], true).padded(3);
        assert_eq!(padded.size([40, 40]), [23, 23]);
        assert_eq!(padded.windows([40, 40]).before, [5, 5]);
    }

    #[test]
    fn batch_norm_gives_mean_0_and_variance_1_and_remembers() {
        let device = Device::flex().autodiff();
        let norm = BatchNorm::new(&Init::new(0, &device), "norm", 2, 0.5);
        let x = image(1, [3, 2, 2, 2], &device) * 3.0 + 1.0;
        let y = values(norm.forward(&Pass::train(0, 0, 0.0), x.clone()));
        let of =
            |y: &[f32], channel| y.iter().skip(channel).step_by(2).copied().collect::<Vec<f32>>();
        let mean = |x: &[f32]| x.iter().sum::<f32>() / 12.0;
        let variance = |x: &[f32]| x.iter().map(|v| (v - mean(x)).powi(2)).sum::<f32>() / 12.0;
        let before = of(&values(x.clone()), 1);
        let shrunk = variance(&before) / (variance(&before) + 1e-3);
        let after = of(&y, 1);
        assert!(mean(&after).abs() < 1e-6 && (variance(&after) - shrunk).abs() < 1e-5);
        // Running values are half of the batch's, and half of 0 and 1.
        let expected =
            |x: f32| (x - 0.5 * mean(&before)) / (0.5 + 0.5 * variance(&before) + 1e-3).sqrt();
        let evaluated = of(&values(norm.forward(&Pass::eval(), x)), 1);
        for (found, x) in evaluated.iter().zip(&before) {
            assert!((found - expected(*x)).abs() < 1e-5, "{found} {}", expected(*x));
        }
    }

    #[test]
    fn measured_values_are_means_over_batches() {
        let device = Device::flex().autodiff();
        let norm = BatchNorm::new(&Init::new(0, &device), "norm", 1, 0.9);
        let batches: Vec<_> = (0..3).map(|salt| image(salt, [2, 3, 2, 1], &device)).collect();
        // Earlier values do not count.
        norm.forward(&Pass::train(0, 0, 0.0), image(9, [2, 3, 2, 1], &device) * 100.0);
        for (n, batch) in batches.iter().enumerate() {
            norm.forward(&Pass::measuring_norms(n), batch.clone());
        }
        let mean = |x: &[f32]| x.iter().sum::<f32>() / x.len() as f32;
        let variance =
            |x: &[f32]| x.iter().map(|v| (v - mean(x)).powi(2)).sum::<f32>() / x.len() as f32;
        let all: Vec<Vec<f32>> = batches.into_iter().map(values).collect();
        let means: Vec<f32> = all.iter().map(|x| mean(x)).collect();
        let variances: Vec<f32> = all.iter().map(|x| variance(x)).collect();
        let found = [&norm.mean, &norm.variance].map(|state| values(state.value_sync().inner())[0]);
        assert!((found[0] - mean(&means)).abs() < 1e-6, "{found:?} {means:?}");
        assert!((found[1] - mean(&variances)).abs() < 1e-6, "{found:?} {variances:?}");
    }

    #[test]
    fn pools_by_hand() {
        let x = Tensor::<1, Int>::arange(1..10, &Device::flex()).float().reshape([1, 3, 3, 1]);
        assert_eq!(values(max_pool(x.clone(), [2, 2])), [5.0, 6.0, 8.0, 9.0]);
        assert_eq!(values(average_pool(x, [2, 2])), [3.0, 4.5, 7.5, 9.0]);
    }
}
