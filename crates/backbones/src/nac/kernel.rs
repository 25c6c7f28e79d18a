//! The strength of connections between latents: a kernel of the distance of their signatures.
//!
//! d_uv = 1 - cos(s_u, s_v),  D = d / epsilon,  D = infinity where d > truncation          (1)
//! log K = -D                                       in evaluation                          (2)
//! p = clamp(exp(-D), 0, 1)
//! K = sigmoid((logit p + logit u) / 0.5),  u ~ U(0, 1)    in training, for each example   (3)
//! log K~ = log K - logsumexp_v log K                                                      (4)
//!
//! In (3), p is kept away from 0 and 1 by `f32`'s precision, so that a truncated connection has a log K of
//! about -32 and not minus infinity; the clamp of p to 0 and 1 passes gradients unchanged.
//!
//! The read-out has a kernel without truncation and without (3).
//!
//! The published code is meant to give truncated connections a straight-through gradient, which does not
//! arrive: the derivative of exp at minus infinity is 0. So they have no gradient at all, in both codes.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use kernels::matmul;
use moe::{Init, Pass};
use rand::RngExt;

/// A kernel with its own bandwidth.
#[derive(Module, Debug)]
pub(super) struct Kernel {
    /// epsilon, `[1]`.
    bandwidth: Param<Tensor<1>>,
    /// Whether connections are truncated, and sampled in training.
    sparse: bool,
}

/// The maximum distance of connected latents, (1), as in the published configuration.
pub(super) const TRUNCATION: f64 = 0.9;
/// The temperature of (3).
const TEMPERATURE: f64 = 0.5;

/// The distances d of (1), `[U, V]`, for signatures `[U, S]` and `[V, S]`.
pub(super) fn distances(one: Tensor<2>, other: Tensor<2>) -> Tensor<2> {
    let unit = |x: Tensor<2>| x.clone() / x.square().sum_dim(1).sqrt().clamp_min(1e-8);
    matmul(unit(one), unit(other).transpose()) * -1.0 + 1.0
}

impl Kernel {
    pub(super) fn new(sparse: bool, init: &Init) -> Self {
        Self { bandwidth: init.constant("bandwidth", [1], 1.0), sparse }
    }

    /// log K~ of receivers `[U, S]` and senders `[V, S]` for `examples` examples: `[B, U, V]`, with B = 1
    /// unless connections are sampled.
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
        let cut = self.sparse.then(|| d.clone().greater_scalar(TRUNCATION));
        let log = (d / self.bandwidth.val().unsqueeze()).neg();
        match cut {
            Some(cut) if pass.training() => sampled(pass, examples, log, cut),
            Some(cut) => log.mask_fill(cut, f32::NEG_INFINITY).unsqueeze(), // (2)
            None => log.unsqueeze(),
        }
    }
}

/// The sampled log K of (3), from -D without truncation, and the mask of truncated connections.
fn sampled(pass: &mut Pass, examples: usize, log: Tensor<2>, cut: Tensor<2, Bool>) -> Tensor<3> {
    let ([receivers, senders], device) = (log.dims(), log.device().inner());
    let p = log.exp().mask_fill(cut, 0.0);
    // The value of the clamp with the gradient of p.
    let p = p.clone() + (p.clone().clamp(0.0, 1.0) - p).detach();
    let u = noise(pass, [examples, receivers, senders], &device);
    log_sigmoid((logit(p).unsqueeze::<3>() + u) / TEMPERATURE)
}

/// log(p / (1 - p)), with p kept away from 0 and 1.
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

/// The normalised kernel (4). Each receiver is connected to some sender, at least to itself.
fn normalized(log: Tensor<3>) -> Tensor<3> {
    let most = log.clone().max_dim(2).detach();
    let sum = (log.clone() - most.clone()).exp().sum_dim(2).log() + most;
    log - sum
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::nac::testing::{near, values};

    const INF: f32 = f32::NEG_INFINITY;

    fn kernel(device: &Device) -> Kernel {
        Kernel::new(true, &Init::new(0, device))
    }

    #[test]
    pub(crate) fn the_published_kernel() {
        let (s, r) = (values(30, [3, 5]), values(31, [2, 5]));
        let d = distances(r.clone(), s.clone());
        near(
            "kernel, distances of 2 receivers from 3 senders",
            d,
            &[0.672123, 0.788845, 1.768842, 0.452624, 1.197351, 1.012746],
        );
        let kernel = kernel(&Device::flex());
        let mut pass = Pass::eval();
        let log = kernel.log_kernel(&mut pass, 4, r.clone(), s.clone());
        near("kernel, log K", log, &[-0.672123, -0.788845, INF, -0.452624, INF, INF]);
        let all = Tensor::cat(vec![r, s], 0);
        let log = kernel.forward(&mut pass, 4, all.clone(), all);
        near(
            "kernel, log K normalised over all 5, row 0",
            log.narrow(1, 0, 1),
            &[-0.675489, INF, -1.347611, -1.464333, INF],
        );
    }

    #[test]
    fn connections_are_drawn_for_each_example_in_training() {
        let kernel = kernel(&Device::flex());
        let (s, r) = (values(30, [3, 5]), values(31, [2, 5]));
        let log = kernel.log_kernel(&mut Pass::train(0, 0, 0.0), 2000, r, s);
        assert_eq!(log.dims(), [2000, 2, 3]);
        // The share of draws above 1 / 2 for a connection of p is p.
        let share = log.clone().greater_scalar(0.5_f64.ln()).float().mean_dim(0).into_data();
        let share: Vec<f32> = share.iter().collect();
        for (found, d) in [(share[0], 0.672123_f32), (share[3], 0.452624)] {
            assert!((found - (-d).exp()).abs() < 0.05, "{found} {d}");
        }
        let cut: Vec<f32> = log.narrow(2, 2, 1).into_data().iter().collect();
        assert!(cut.iter().all(|log| log.is_finite() && *log < -10.0));
    }

    #[test]
    fn truncated_connections_have_no_gradient() {
        let kernel = kernel(&Device::flex().autodiff());
        let gradient = |sender| {
            let s = Tensor::from_inner(values::<2>(30, [3, 5])).require_grad();
            let r = Tensor::from_inner(values::<2>(31, [2, 5]));
            let log = kernel.log_kernel(&mut Pass::train(0, 0, 0.0), 1, r, s.clone());
            let grads = log.narrow(2, sender, 1).sum().backward();
            s.grad(&grads).unwrap().abs().max().into_scalar::<f32>()
        };
        // Sender 2 is not connected, sender 0 is connected to both receivers.
        assert_eq!(gradient(2), 0.0);
        assert!(gradient(0) > 0.0);
    }
}
