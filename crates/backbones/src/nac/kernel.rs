//! The strength of connections between latents: a kernel of the distance of their signatures.
//!
//! d_uv = 1 - cos(s_u, s_v),  D = d / epsilon,  D = infinity where d > truncation          (1)
//! log K = -D                                       in evaluation, or without sampling     (2)
//! p = clamp(exp(-D), 0, 1)
//! K = sigmoid((logit p + logit u) / 0.5),  u ~ U(0, 1)    in training, for each example   (3)
//! log K~ = log K - logsumexp_v log K                                                      (4)
//!
//! In (3), p is kept within `f32`'s precision of 0 and 1, so that a truncated connection has a log K of about
//! -32 and not of minus infinity, and the clamp of p to 0 and 1 lets gradients through.
//!
//! The published code has a straight-through gradient for truncated connections, which does not get
//! through: the derivative of exp at minus infinity is 0. `gradient = "reference"` is as the code works:
//! they have no gradient at all. `"straight-through"` gives them that of the kernel without truncation.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use kernels::matmul;
use moe::{Init, Pass};
use rand::RngExt;
use serde::{Deserialize, Serialize};

/// The gradient of a truncated connection in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TruncationGradient {
    /// None, as the published code works.
    Reference,
    /// That of the kernel without truncation, as it was meant.
    StraightThrough,
}

/// How connections are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    /// The largest distance of latents that are connected.
    pub(super) truncation: Option<f64>,
    /// Whether connections are drawn in training, for each example.
    pub(super) stochastic: bool,
    pub(super) gradient: TruncationGradient,
}

impl Form {
    /// Without truncation and without sampling, as for the read-out.
    pub(super) const DENSE: Self =
        Self { truncation: None, stochastic: false, gradient: TruncationGradient::Reference };
}

/// A kernel with its own bandwidth.
#[derive(Module, Debug)]
pub(super) struct Kernel {
    /// epsilon, `[1]`.
    bandwidth: Param<Tensor<1>>,
    #[module(skip)]
    form: Form,
}

/// The temperature of (3).
const TEMPERATURE: f64 = 0.5;

/// d of (1): signatures `[U, S]` and `[V, S]` to `[U, V]`.
pub(super) fn distances(one: Tensor<2>, other: Tensor<2>) -> Tensor<2> {
    let unit = |x: Tensor<2>| x.clone() / x.square().sum_dim(1).sqrt().clamp_min(1e-8);
    matmul(unit(one), unit(other).transpose()) * -1.0 + 1.0
}

impl Kernel {
    pub(super) fn new(form: Form, init: &Init) -> Self {
        Self { bandwidth: init.constant("bandwidth", [1], 1.0), form }
    }

    /// log K~ of receivers `[U, S]` and senders `[V, S]` for `examples` examples: `[B, U, V]`, B being 1
    /// unless connections are drawn.
    pub(super) fn forward(
        &self,
        pass: &mut Pass,
        examples: usize,
        receivers: Tensor<2>,
        senders: Tensor<2>,
    ) -> Tensor<3> {
        normalized(self.log_kernel(pass, examples, receivers, senders))
    }

    /// log K, `[B, U, V]`.
    fn log_kernel(
        &self,
        pass: &mut Pass,
        examples: usize,
        receivers: Tensor<2>,
        senders: Tensor<2>,
    ) -> Tensor<3> {
        let d = distances(receivers, senders);
        let cut = self.form.truncation.map(|most| d.clone().greater_scalar(most));
        let log = (d / self.bandwidth.val().unsqueeze()).neg();
        match (self.form.stochastic && pass.training(), cut) {
            (true, cut) => self.sampled(pass, examples, log, cut),
            (false, Some(cut)) => log.mask_fill(cut, f32::NEG_INFINITY).unsqueeze(), // (2)
            (false, None) => log.unsqueeze(),
        }
    }

    /// (3), from -D without truncation, and where it is truncated.
    fn sampled(
        &self,
        pass: &mut Pass,
        examples: usize,
        log: Tensor<2>,
        cut: Option<Tensor<2, Bool>>,
    ) -> Tensor<3> {
        let (shape, device) = (log.dims(), log.device().inner());
        let whole = log.exp();
        let p = match cut {
            Some(cut) => whole.clone().mask_fill(cut, 0.0),
            None => whole.clone(),
        };
        let p = through(p.clone(), p.clamp(0.0, 1.0));
        let logit = match self.form.gradient {
            TruncationGradient::Reference => logit(p),
            TruncationGradient::StraightThrough => {
                let value = logit(p).detach();
                through(logit(whole), value)
            }
        };
        let u = noise(pass, [examples, shape[0], shape[1]], &device);
        log_sigmoid((logit.unsqueeze::<3>() + u) / TEMPERATURE)
    }
}

/// The value of `value` with the gradient of `of`.
fn through<const D: usize>(of: Tensor<D>, value: Tensor<D>) -> Tensor<D> {
    of.clone() + (value - of).detach()
}

/// log(p / (1 - p)), p kept off 0 and 1.
fn logit(p: Tensor<2>) -> Tensor<2> {
    let p = p.clamp(f32::EPSILON, 1.0 - f32::EPSILON);
    p.clone().log() - (p * -1.0 + 1.0).log()
}

/// logit u for u ~ U(0, 1).
fn noise(pass: &mut Pass, shape: [usize; 3], device: &Device) -> Tensor<3> {
    let mut rng = pass.rng();
    let mut draw = || {
        let u = rng.random::<f64>().clamp(f64::from(f32::EPSILON), 1.0 - f64::from(f32::EPSILON));
        (u / (1.0 - u)).ln() as f32
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw()).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// log(1 / (1 + exp(-x))) = min(x, 0) - log(1 + exp(-|x|)).
fn log_sigmoid(x: Tensor<3>) -> Tensor<3> {
    x.clone().clamp_max(0.0) - x.abs().neg().exp().log1p()
}

/// (4). Each receiver is connected to some sender, at least to itself.
fn normalized(log: Tensor<3>) -> Tensor<3> {
    let most = log.clone().max_dim(2).detach();
    let sum = (log.clone() - most.clone()).exp().sum_dim(2).log() + most;
    log - sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nac::testing::{near, values};

    const INF: f32 = f32::NEG_INFINITY;

    fn kernel(stochastic: bool, gradient: TruncationGradient, device: &Device) -> Kernel {
        let form = Form { truncation: Some(0.9), stochastic, gradient };
        Kernel::new(form, &Init::new(0, device))
    }

    #[test]
    fn the_published_kernel() {
        let (s, r) = (values(30, [3, 5]), values(31, [2, 5]));
        let d = distances(r.clone(), s.clone());
        near(d, &[0.672123, 0.788845, 1.768842, 0.452624, 1.197351, 1.012746]);
        let kernel = kernel(true, TruncationGradient::Reference, &Device::flex());
        let mut pass = Pass::eval();
        let log = kernel.log_kernel(&mut pass, 4, r.clone(), s.clone());
        near(log, &[-0.672123, -0.788845, INF, -0.452624, INF, INF]);
        let all = Tensor::cat(vec![r, s], 0);
        let log = kernel.forward(&mut pass, 4, all.clone(), all);
        near(log.narrow(1, 0, 1), &[-0.675489, INF, -1.347611, -1.464333, INF]);
    }

    #[test]
    fn connections_are_drawn_for_each_example_in_training() {
        let kernel = kernel(true, TruncationGradient::Reference, &Device::flex());
        let (s, r) = (values(30, [3, 5]), values(31, [2, 5]));
        let log = kernel.log_kernel(&mut Pass::train(0, 0, 0.0), 2000, r, s);
        assert_eq!(log.dims(), [2000, 2, 3]);
        // Half of the draws of a connection of p are above 1 / 2 with the chance p.
        let share = log.clone().greater_scalar(0.5_f64.ln()).float().mean_dim(0).into_data();
        let share: Vec<f32> = share.iter().collect();
        for (found, d) in [(share[0], 0.672123_f32), (share[3], 0.452624)] {
            assert!((found - (-d).exp()).abs() < 0.05, "{found} {d}");
        }
        let cut: Vec<f32> = log.narrow(2, 2, 1).into_data().iter().collect();
        assert!(cut.iter().all(|log| log.is_finite() && *log < -10.0));
    }

    #[test]
    fn truncated_connections_have_a_gradient_only_if_they_are_asked_to() {
        let device = Device::flex().autodiff();
        let gradient = |gradient| {
            let kernel = kernel(true, gradient, &device);
            let s = Tensor::from_inner(values::<2>(30, [3, 5])).require_grad();
            let r = Tensor::from_inner(values::<2>(31, [2, 5]));
            let log = kernel.log_kernel(&mut Pass::train(0, 0, 0.0), 1, r, s.clone());
            // Sender 2 is connected to nobody.
            let grads = log.narrow(2, 2, 1).sum().backward();
            s.grad(&grads).unwrap().abs().max().into_scalar::<f32>()
        };
        assert_eq!(gradient(TruncationGradient::Reference), 0.0);
        assert!(gradient(TruncationGradient::StraightThrough) > 0.0);
    }
}
