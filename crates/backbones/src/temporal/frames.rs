//! Shared parts of networks on frames: sizes, shifts in time, windows, convolutions, and MoE layers.

use burn::{module::Module, nn::Linear, prelude::*};
use kernels::linear_layer;
use moe::{Choice, ConfigError, Domain, Init, Input, Pass, Placement};

use crate::{BackboneSpec, FeedForward, Norm, wrong};

/// The message for an input that differs from the one that was checked.
pub(super) const FRAMES: &str = "expected images of one channel, with rows as frames";

/// The number of frames, and of the features of a frame.
pub(super) fn sizes(name: &str, domain: Domain) -> Result<[usize; 2], ConfigError> {
    match domain {
        Domain::Image { channels: 1, height, width } => Ok([height, width]),
        other => Err(wrong(name, format!("{FRAMES}, not {other:?}"))),
    }
}

/// The frames of a batch, `[B, T, D]`.
pub(super) fn frames(input: Input) -> Tensor<3> {
    let Input::Image(rows) = input else { panic!("{FRAMES}") };
    rows.squeeze_dim::<3>(1)
}

/// Checks that each of these sizes is at least 1.
pub(super) fn at_least_one(name: &str, sizes: &[(&str, usize)]) -> Result<(), ConfigError> {
    match sizes.iter().find(|(_, size)| *size == 0) {
        Some((key, _)) => Err(wrong(name, format!("{key} = 0: must be at least 1"))),
        None => Ok(()),
    }
}

/// Feed-forward networks or MoE layers on frames, x + F(LN(x)), one after the other.
#[derive(Module, Debug)]
pub(super) struct Layers {
    norms: Vec<Norm>,
    layers: Vec<FeedForward>,
}

impl Layers {
    /// Checks that `depth` layers are possible, for a stream of `[B, tokens, width]`. The depth may be 0
    /// without MoE layers.
    pub(super) fn check(
        name: &str,
        spec: &BackboneSpec,
        dense: &Choice,
        shape: [usize; 2],
        depth: usize,
    ) -> Result<(), ConfigError> {
        match depth {
            0 if spec.moe.layers == Placement::NONE => Ok(()),
            0 => Err(wrong(
                name,
                "depth = 0 does not support MoE layers: moe.layers must be \"none\"",
            )),
            _ => spec.check_blocks(name, dense, shape, depth),
        }
    }

    pub(super) fn new(
        spec: &BackboneSpec,
        dense: &Choice,
        [tokens, width]: [usize; 2],
        depth: usize,
        init: &Init,
    ) -> Result<Self, ConfigError> {
        let layer = |at: usize| {
            let init = init.at("layers").at(at);
            FeedForward::new(spec, dense, (at, depth), [tokens, width], &init)
        };
        let norm = |at: usize| Norm::layer(&init.at("norms"), &at.to_string(), width, 1e-5);
        let layers = (0..depth).map(layer).collect::<Result<_, _>>()?;
        Ok(Self { norms: (0..depth).map(norm).collect(), layers })
    }

    /// `[B, T, D] -> [B, T, D]`.
    pub(super) fn forward(&self, pass: &mut Pass, x: Tensor<3>) -> Tensor<3> {
        self.norms.iter().zip(&self.layers).fold(x, |x, (norm, layer)| {
            let input = norm.forward(x.clone());
            layer.forward(pass, x, input)
        })
    }

    /// Floating-point operations for one frame, without those of MoE layers.
    pub(super) fn dense_flops(&self) -> f64 {
        self.layers.iter().map(FeedForward::dense_flops).sum()
    }
}

/// Floating-point operations of a linear map of one row.
pub(super) fn flops(map: &Linear) -> f64 {
    2.0 * map.weight.lazy_shape().num_elements() as f64
}

/// Shifts rows: row t of the result is row t + `by`; rows outside are the first and the last one.
pub(super) fn shifted(x: Tensor<3>, by: isize) -> Tensor<3> {
    let [_, t, _] = x.dims();
    let n = by.unsigned_abs().min(t);
    let repeat = |row: usize| x.clone().narrow(1, row, 1).repeat_dim(1, n);
    match by {
        0 => x,
        1.. if n == t => repeat(t - 1),
        1.. => Tensor::cat(vec![x.clone().narrow(1, n, t - n), repeat(t - 1)], 1),
        _ if n == t => repeat(0),
        _ => Tensor::cat(vec![repeat(0), x.clone().narrow(1, 0, t - n)], 1),
    }
}

/// The maximum over `window` rows, beginning with row t - window / 2.
pub(super) fn window_max(x: Tensor<3>, window: usize) -> Tensor<3> {
    // `most` is the maximum over the rows t to t + length.
    let (mut most, mut length) = (x, 1);
    while length < window {
        let by = length.min(window - length);
        most = most.clone().max_pair(shifted(most, by as isize));
        length += by;
    }
    shifted(most, -((window / 2) as isize))
}

/// The sum over the rows from t + `from` to t + `to`, exclusive; rows outside are left out.
pub(super) fn window_sum(x: Tensor<3>, from: isize, to: isize) -> Tensor<3> {
    let [_, t, _] = x.dims();
    let weight = |at: usize| {
        let away = (at / t) as isize - (at % t) as isize;
        f32::from(away >= from && away < to)
    };
    let weights: Vec<f32> = (0..t * t).map(weight).collect();
    let device = x.device().inner();
    let weights = Tensor::<2>::from_data(TensorData::new(weights, [t, t]), &device);
    let weights = if x.device().is_autodiff() { Tensor::from_inner(weights) } else { weights };
    kernels::linear(x.swap_dims(1, 2), weights, None).swap_dims(1, 2)
}

/// For each row the `kernel` rows around it side by side, `[B, T, kernel * D]`; rows outside are 0. A linear
/// map of the result is a convolution.
pub(super) fn around(x: Tensor<3>, kernel: usize) -> Tensor<3> {
    let [b, t, d] = x.dims();
    let before = Tensor::<3>::zeros([b, kernel / 2, d], &x.device());
    let after = Tensor::<3>::zeros([b, kernel - 1 - kernel / 2, d], &x.device());
    let padded = match kernel {
        1 => return x,
        2 => Tensor::cat(vec![before, x], 1),
        _ => Tensor::cat(vec![before, x, after], 1),
    };
    Tensor::cat((0..kernel).map(|at| padded.clone().narrow(1, at, t)).collect(), 2)
}

/// A convolution over time.
#[derive(Module, Debug)]
pub(super) struct Convolution {
    map: Linear,
    kernel: usize,
}

impl Convolution {
    pub(super) fn new(init: &Init, name: &str, [d_in, d_out]: [usize; 2], kernel: usize) -> Self {
        Self { map: init.linear(name, kernel * d_in, d_out, true), kernel }
    }

    /// `[B, T, in] -> [B, T, out]`.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        linear_layer(&self.map, around(x, self.kernel))
    }

    /// Floating-point operations for one frame.
    pub(super) fn flops(&self) -> f64 {
        flops(&self.map)
    }
}

/// Each row divided by its length.
pub(super) fn unit<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let length = (x.clone().square().sum_dim(D - 1) + 1e-12).sqrt();
    x / length
}
