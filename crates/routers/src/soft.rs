//! Soft MoE: slots are mixtures of units, and outputs are mixtures of slots. Nothing is discrete.
//!
//! Puigcerver, Riquelme, Mustafa, Houlsby. *From Sparse to Soft Mixtures of Experts*. ICLR 2024.
//! <https://arxiv.org/abs/2308.00951>
//!
//! L = norm(X) (scale norm(Phi))                the paper's section 2.3, norm to length 1
//! D = softmax of L over the units              (1), X~ = D^T X
//! C = softmax of L over all slots              (2), Y = C Y~
//!
//! Each expert has p = factor U / E slots, rounded up, where U is the number of units at full length, so
//! that the experts have the same work as in top-k with k = factor. Every slot depends on the whole group:
//! not for decoders.
//!
//! Differs from the paper: the number of slots is given relative to the number of units.
//!
//! Not to be confused with: `dense`, where every expert processes every unit.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use moe::{Dims, Init, Pass, Plan, Router, config, matmul, round_up, softmax};

use crate::kit::{check, unit_length::unit_length};

config! {
    /// The number of slots.
    pub struct SoftConfig {
        /// The number of slots over the number of units: the k of a top-k router with the same work.
        pub factor: f64 = 2.0,
    }
}

/// Slots are mixtures of units, and outputs are mixtures of slots.
#[derive(Module, Debug)]
pub struct Soft {
    /// `[D, E * C]`.
    phi: Param<Tensor<2>>,
    scale: Param<Tensor<1>>,
    n_experts: usize,
}

impl Router for Soft {
    type Config = SoftConfig;
    const NAME: &'static str = "soft";
    const ABOUT: &'static str = "slots are mixtures of units, outputs are mixtures of slots";
    const PAPER: &'static str = "https://arxiv.org/abs/2308.00951";
    const CAUSAL: bool = false;
    const MIXES_UNITS: bool = true;

    fn check(config: &SoftConfig, dims: Dims) -> Result<(), String> {
        check::factor(config.factor, dims)
    }

    fn init(config: &SoftConfig, dims: Dims, init: &Init) -> Self {
        let Dims { width, n_experts, units } = dims;
        let slots = round_up(config.factor * units as f64 / n_experts as f64).max(1);
        let std = 1.0 / (width as f64).sqrt();
        Self {
            phi: init.normal("phi", [width, n_experts * slots], std),
            scale: init.constant("scale", [1], 1.0),
            n_experts,
        }
    }

    fn route(&self, _pass: &mut Pass, units: Tensor<3>) -> Plan {
        let ([g, u, _], e) = (units.dims(), self.n_experts);
        let phi = unit_length(self.phi.val(), 0) * self.scale.val().unsqueeze::<2>();
        let l = matmul(unit_length(units, 2), phi.unsqueeze::<3>());
        let slots = l.dims()[2];
        let shape = [g, u, e, slots / e];
        Plan::Soft {
            dispatch: softmax(l.clone(), 1).reshape(shape), // (1)
            combine: softmax(l, 2).reshape(shape),          // (2)
        }
    }

    fn flops_per_unit(&self) -> f64 {
        // The scores, and the two mixtures in the place of gathering and scattering.
        3.0 * 2.0 * self.phi.lazy_shape().num_elements() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{fill, param, values};

    fn plan(soft: &Soft, units: Tensor<3>) -> (Tensor<4>, Tensor<4>) {
        let Plan::Soft { dispatch, combine } = soft.route(&mut Pass::eval(), units) else {
            panic!("the plan is soft")
        };
        (dispatch, combine)
    }

    #[test]
    fn a_number_worked_by_hand() {
        let device = Device::flex();
        // Two experts with one slot each, in the directions of the axes; norms have no effect; scale ln 3.
        let phi = Tensor::<2>::from_floats([[5.0, 0.0], [0.0, 2.0]], &device);
        let scale = Tensor::<1>::from_floats([3_f32.ln()], &device);
        let (phi, scale) = (Param::from_tensor(phi), Param::from_tensor(scale));
        let soft = Soft { phi, scale, n_experts: 2 };
        // L = ln 3 * [[1, 0], [0, 1], [0, 1]].
        let units = Tensor::<3>::from_floats([[[7.0, 0.0], [0.0, 1.0], [0.0, 4.0]]], &device);
        let (dispatch, combine) = plan(&soft, units);
        // Over units: slot 0 (3, 1, 1) / 5, slot 1 (1, 3, 3) / 7. Over slots: (3, 1) / 4, (1, 3) / 4.
        close(dispatch, [0.6, 1.0 / 7.0, 0.2, 3.0 / 7.0, 0.2, 3.0 / 7.0]);
        close(combine, [0.75, 0.25, 0.25, 0.75, 0.25, 0.75]);
    }

    fn close(found: Tensor<4>, expected: [f32; 6]) {
        let found = found.into_data().try_to_vec::<f32>().unwrap();
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn the_formulas_in_double_precision_give_the_same() {
        let scale = Tensor::<1>::ones([1], &Device::flex());
        let (phi, scale) = (param(fill(380, [4, 2], 2.0)), param(scale));
        let x = fill(200, [1, 3, 4], 2.0);
        let (dispatch, combine) = plan(&Soft { phi, scale, n_experts: 2 }, x.clone());
        // The content of slot 0: the units weighted by their shares.
        let shares = dispatch.clone().narrow(2, 0, 1).reshape([1, 3, 1]);
        let slot = values((x * shares).sum_dim(1));
        crate::testing::close(&slot, &[0.659682, -0.215347, -0.117165, 0.338533]);
        crate::testing::close(&values(dispatch)[..2], &[0.173452, 0.197547]);
        crate::testing::close(&values(combine)[..2], &[0.661958, 0.338042]);
    }

    #[test]
    fn slots_and_outputs_are_averages() {
        let dims = Dims { width: 8, n_experts: 4, units: 6 };
        let init = Init::new(0, &Device::flex());
        let soft = Soft::init(&SoftConfig::default(), dims, &init);
        let units = init.normal("units", [2, 6, 8], 1.0).val();
        let (dispatch, combine) = plan(&soft, units);
        assert_eq!(dispatch.dims(), [2, 6, 4, 3]); // ceil(2 * 6 / 4) = 3 slots
        let off = |sums: Tensor<4>| (sums - 1.0).abs().max().into_scalar::<f32>();
        assert!(off(dispatch.sum_dim(1)) < 1e-6);
        assert!(off(combine.sum_dim(3).sum_dim(2)) < 1e-6);
    }
}
