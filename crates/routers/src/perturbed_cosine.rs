//! The cosine router, and its perturbed form, which adds a constant to the norms.
//!
//! Nguyen, Akbarian, Pham, Nguyen, Ho. *Statistical Advantages of Perturbing Cosine Router in Mixture
//! of Experts*. ICLR 2025. <https://arxiv.org/abs/2405.14131>
//!
//! c_i = x w_i / ((|x| + theta) (|w_i| + theta))                            (6); theta = 0: cosine
//! S = top-k(c + b)                                                         (2)
//! g = softmax(c + b over S)                                                (2)
//!
//! `faithful = "reference"` is LibMoE's layer: a softmax before the bias, and a second one over the chosen
//! values, so that the weights are nearly equal: q = softmax(c), S = top-k(q + b),
//! g = softmax(q + b over S). Its balance loss is that of q.
//!
//! Differs from the paper: a balance loss and a z-loss, as in LibMoE.
//!
//! Not to be confused with: `x-moe`, whose cosine is computed in a low-dimensional space and divided by a
//! temperature.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax};

use crate::kit::{Balance, BalanceLoss, Faithful, Gate, check, losses, scores};

config! {
    /// The number of experts per unit, and the perturbation of norms.
    pub struct PerturbedCosineConfig {
        /// Experts for each unit.
        pub k: usize = 2,
        /// The constant added to the norms, theta; 0 is the plain cosine router.
        pub theta: f64 = 0.1,
        /// Coefficient of the balance loss.
        pub balance: f64 = 0.01,
        /// The balance loss.
        pub balance_of: Balance = Balance::FirstOfSequence,
        /// Coefficient of the router z-loss, which is computed from the cosines.
        pub z: f64 = 0.0,
        /// The variant of the formulas.
        pub faithful: Faithful = Faithful::Paper,
    }
}

/// Cosines with a constant added to the norms.
#[derive(Module, Debug)]
pub struct PerturbedCosine {
    gate: Gate,
    /// `[E]`.
    bias: Param<Tensor<1>>,
    balance: BalanceLoss,
    #[module(skip)]
    config: PerturbedCosineConfig,
}

impl Router for PerturbedCosine {
    type Config = PerturbedCosineConfig;
    const NAME: &'static str = "perturbed-cosine";
    const ABOUT: &'static str = "cosine scores, of vectors made slightly longer";
    const PAPER: &'static str = "https://arxiv.org/abs/2405.14131";

    fn check(config: &PerturbedCosineConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::coefficient("theta", config.theta)?;
        check::coefficient("balance", config.balance)?;
        check::coefficient("z", config.z)?;
        check::gate_learns(config.k, true, dims, "k must be at least 2")
    }

    fn init(config: &PerturbedCosineConfig, dims: Dims, init: &Init) -> Self {
        Self {
            gate: Gate::new(dims, init),
            bias: init.constant("bias", [dims.n_experts], 0.0),
            balance: BalanceLoss::new(config.balance_of, dims, init),
            config: config.clone(),
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let c = scores::settle(pass, self.cosines(units)); // (6)
        let n_experts = c.dims()[2];
        let q = softmax(c.clone(), 2);
        losses::add(pass, "z", self.config.z, || losses::router_z(c.clone()));
        let scores = match self.config.faithful {
            Faithful::Paper => c,
            Faithful::Reference => q.clone(),
        };
        let scores = scores + self.bias.val().unsqueeze::<3>();
        let (experts, chosen) = scores::choose(pass, scores, self.config.k);
        self.balance.add(pass, self.config.balance, q, experts.clone());
        Plan::TokenChoice { experts, weights: softmax(chosen, 2), n_experts } // (2)
    }
}

impl PerturbedCosine {
    fn cosines(&self, units: Tensor<3>) -> Tensor<3> {
        // The lower bound keeps the gradient of a norm of 0 finite.
        let length = |square: Tensor<3>| (square + 1e-12).sqrt() + self.config.theta;
        let of_units = length(units.clone().square().sum_dim(2));
        let of_experts = length(self.gate.weight.val().square().sum_dim(0).unsqueeze::<3>());
        self.gate.products(units) / of_units / of_experts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, param, scalar};

    fn of(gate: Tensor<2>, bias: Tensor<1>, config: &PerturbedCosineConfig) -> PerturbedCosine {
        let [width, n_experts] = gate.dims();
        let (gate, bias) = (Gate::of(gate), param(bias));
        let dims = Dims { width, n_experts, units: 1 };
        let init = Init::new(0, &Device::flex());
        PerturbedCosine { gate, bias, ..PerturbedCosine::init(config, dims, &init) }
    }

    fn router(theta: f64, faithful: Faithful) -> PerturbedCosine {
        // Stored as [out, in] by the published code.
        let (gate, bias) = (fill(230, [3, 4], 2.0).transpose(), fill(231, [3], 0.2));
        let balanced = PerturbedCosineConfig { balance: 1.0, ..PerturbedCosineConfig::default() };
        of(gate, bias, &PerturbedCosineConfig { theta, faithful, ..balanced })
    }

    #[test]
    fn libmoe_gives_the_same() {
        // LibMoE's cosine layer was run on these inputs.
        let mut pass = Pass::eval();
        let x = fill(200, [1, 3, 4], 2.0);
        let (experts, weights) = chosen(&router(0.0, Faithful::Reference), &mut pass, x.clone());
        assert_eq!(experts, [1, 2, 2, 0, 2, 1]);
        close(&[scalar(&pass, "balance")], &[1.171828]);
        // Two softmaxes: the weights are nearly equal.
        assert!(weights.iter().all(|w| (w - 0.5).abs() < 0.1), "{weights:?}");
        let perturbed = chosen(&router(0.1, Faithful::Reference), &mut Pass::eval(), x);
        assert_eq!(perturbed.0, experts);
    }

    #[test]
    fn a_number_worked_by_hand() {
        let device = Device::flex();
        // |x| + theta = 10, |w| + theta = 10 and 6: c = 25/100 and 20/60; the bias compensates for it.
        let gate = Tensor::from_floats([[3.0, 0.0], [4.0, 1.0]], &device);
        let bias = Tensor::from_floats([1.0, 0.0], &device);
        let config = PerturbedCosineConfig { theta: 5.0, ..PerturbedCosineConfig::default() };
        let router = of(gate, bias, &config);
        let x = Tensor::<3>::from_floats([[[3.0, 4.0]]], &device);
        close(&crate::testing::values(router.cosines(x.clone())), &[0.25, 4.0 / 60.0]);
        let (experts, weights) = chosen(&router, &mut Pass::eval(), x);
        assert_eq!(experts, [0, 1]);
        // 1 / (1 + exp(-(1.25 - 0.0666667))) = 0.7655466
        close(&weights, &[0.7655466, 0.2344534]);
    }
}
