//! Gradient clipping by the global norm.
//!
//! Pascanu, Mikolov, Bengio. *On the difficulty of training recurrent neural networks*. ICML 2013.
//! <https://arxiv.org/abs/1211.5063>
//!
//! Not to be confused with: Burn's own clipping, which has a norm for each tensor.

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::GradientsParams,
    prelude::*,
};

use crate::parallel::SplitExperts;

/// Scales the gradients to a global norm of at most `limit`, if that is larger than 0, and returns the norm
/// before clipping. Nothing is read back from a graphics card. On the processor, where reading needs no
/// waiting, the norm is read, and gradients that are short enough are left unchanged.
pub fn clip_global_norm<M: Module>(
    model: &M,
    grads: &mut GradientsParams,
    limit: f64,
) -> Tensor<1> {
    clip_of_all(model, grads, limit, None)
}

/// The same if each process has a part of the experts: the norm includes the gradients of all of them.
pub(crate) fn clip_of_all<M: Module>(
    model: &M,
    grads: &mut GradientsParams,
    limit: f64,
    split: Option<&SplitExperts>,
) -> Tensor<1> {
    let mut squares = Squares { grads, split, sum: None, experts: None };
    model.visit(&mut squares);
    let norm = match squares.all() {
        Some(sum) => sum.sqrt(),
        None => Tensor::zeros([1], model.devices().first().unwrap_or(&Device::default())),
    };
    if limit > 0.0 {
        // A norm of 0 gives an infinite factor, which is clamped to 1.
        let factor = norm.clone().recip().mul_scalar(limit).clamp_max(1.0);
        let known = kernels::on_flex(&factor.device()).then(|| factor.clone().into_scalar::<f32>());
        if known != Some(1.0) {
            model.visit(&mut Scale { grads, factor, known });
        }
    }
    norm
}

struct Squares<'a> {
    grads: &'a GradientsParams,
    split: Option<&'a SplitExperts>,
    sum: Option<Tensor<1>>,
    /// The sum over the experts, which are different ones in each process.
    experts: Option<Tensor<1>>,
}

impl Squares<'_> {
    /// The sum over the gradients of all processes.
    fn all(self) -> Option<Tensor<1>> {
        let Some(split) = self.split else { return self.sum };
        let nothing = self.sum.as_ref().or(self.experts.as_ref())?.zeros_like();
        let own = self.experts.map_or(0.0, |own| moe::read_back(own).iter::<f32>().sum());
        Some(self.sum.unwrap_or(nothing) + split.sum(own))
    }
}

impl ModuleVisitor for Squares<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.get::<D>(param.id) {
            let square = kernels::sum(grad.square());
            let experts = self.split.is_some_and(|split| split.has(param.id));
            let sum = if experts { &mut self.experts } else { &mut self.sum };
            *sum = Some(match sum.take() {
                Some(sum) => sum + square,
                None => square,
            });
        }
    }
}

struct Scale<'a> {
    grads: &'a mut GradientsParams,
    factor: Tensor<1>,
    /// The value of the norm, on devices where reading it is free.
    known: Option<f32>,
}

impl ModuleVisitor for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(grad) = self.grads.remove::<D>(param.id) {
            let scaled = match self.known {
                Some(factor) => grad * factor,
                None => grad * self.factor.clone().reshape([1; D]),
            };
            self.grads.register::<D>(param.id, scaled);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::Linear;
    use moe::Init;

    /// Gradients of `sum(x W + b)` at x = (3, 0): 3 and 0 in W, 1 in b; norm sqrt(9 + 1).
    fn clipped(limit: f64) -> (f32, Vec<f32>) {
        let device = Device::flex().autodiff();
        let linear: Linear = Init::new(0, &device).linear("l", 2, 1, true);
        let x = Tensor::<2>::from_floats([[3.0, 0.0]], &device);
        let mut grads = GradientsParams::from_grads(linear.forward(x).sum().backward(), &linear);
        let norm = clip_global_norm(&linear, &mut grads, limit).into_scalar::<f32>();
        let weight = grads.get::<2>(linear.weight.id).unwrap().into_data();
        let bias = grads.get::<1>(linear.bias.unwrap().id).unwrap().into_data();
        let values = weight.iter::<f32>().chain(bias.iter::<f32>()).collect();
        (norm, values)
    }

    #[test]
    fn a_large_gradient_keeps_its_direction() {
        let root = 10_f32.sqrt();
        let (norm, values) = clipped(1.0);
        assert!((norm - root).abs() < 1e-6, "{norm}");
        for (a, b) in values.iter().zip([3.0 / root, 0.0, 1.0 / root]) {
            assert!((a - b).abs() < 1e-6, "{values:?}");
        }
    }

    #[test]
    fn a_small_gradient_stays_and_zero_means_no_limit() {
        assert_eq!(clipped(5.0).1, [3.0, 0.0, 1.0]);
        assert_eq!(clipped(0.0).1, [3.0, 0.0, 1.0]);
    }
}
