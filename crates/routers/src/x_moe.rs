//! X-MoE: scores are cosines in a low-dimensional space, so that the norm of an expert's vector has no
//! effect.
//!
//! Chi et al. *On the Representation Collapse of Sparse Mixture of Experts*. NeurIPS 2022.
//! <https://arxiv.org/abs/2204.09179>, section 3.
//!
//! r = x R                                      a projection to E / 2 dimensions
//! s_i = cos(r, e_i)                            (5)
//! p = softmax(s / tau), tau learned            (6)
//! y = sum_{i in top-k(p)} p_i E_i(x)           (7), k = 1 in the paper
//!
//! `faithful = "reference"` is LibMoE's XMoE: expert vectors have the length 1.5, without gradient through
//! the length; tau = 0.3 is fixed; and the weights are a second softmax, over the p of the chosen experts.
//! LibMoE's language models have `renormalise` instead, p divided by their sum.
//!
//! Differs from the paper: the logarithm of 1 / tau is learned, at most ln 100, as in Tutel, so that tau
//! stays positive; the experts do not share a frequency schedule. LibMoE's language models start with
//! orthogonal expert vectors, which is not implemented here.
//!
//! Not to be confused with: `perturbed-cosine`, whose cosine is taken in the full width.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use moe::{Dims, Init, Pass, Plan, Router, config, matmul, softmax};

use crate::kit::{Balance, BalanceLoss, Faithful, check, losses, scores, unit_length::unit_length};

config! {
    /// The number of experts per unit, and load balancing.
    pub struct XMoeConfig {
        /// Experts for each unit.
        pub k: usize = 2,
        /// The initial temperature, tau.
        pub temperature: f64 = 0.07,
        /// Coefficient of the balance loss, which is 1 at perfect balance.
        pub balance: f64 = 0.01,
        /// The balance loss.
        pub balance_of: Balance = Balance::Choices,
        /// Coefficient of the router z-loss, which is computed from the cosines before the temperature.
        pub z: f64 = 0.0,
        /// Whether the weights are divided by their sum.
        pub renormalise: bool = false,
        /// The variant of the formulas.
        pub faithful: Faithful = Faithful::Paper,
    }
}

/// Cosines in a low-dimensional space.
#[derive(Module, Debug)]
pub struct XMoe {
    /// `[D, R]`.
    reduce: Param<Tensor<2>>,
    /// `[E, R]`.
    experts: Param<Tensor<2>>,
    /// `[1]`: ln(1 / tau); none if tau is fixed.
    sharpness: Option<Param<Tensor<1>>>,
    balance: BalanceLoss,
    #[module(skip)]
    config: XMoeConfig,
}

impl Router for XMoe {
    type Config = XMoeConfig;
    const NAME: &'static str = "x-moe";
    const ABOUT: &'static str = "top-k of low-dimensional cosines with a learned temperature";
    const PAPER: &'static str = "https://arxiv.org/abs/2204.09179";

    fn check(config: &XMoeConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        let constant = config.renormalise || config.faithful == Faithful::Reference;
        let instead = "set renormalise = false and faithful = \"paper\", or k to at least 2";
        check::gate_learns(config.k, constant, dims, instead)?;
        check::coefficient("balance", config.balance)?;
        check::coefficient("z", config.z)?;
        match config.temperature >= 0.01 && config.temperature.is_finite() {
            true => Ok(()),
            false => Err(format!("temperature = {}: must be at least 0.01", config.temperature)),
        }
    }

    fn init(config: &XMoeConfig, dims: Dims, init: &Init) -> Self {
        let (d, e) = (dims.width, dims.n_experts);
        let r = (e / 2).max(2);
        let learned = config.faithful == Faithful::Paper;
        let sharpness = -config.temperature.ln() as f32;
        Self {
            reduce: init.uniform("reduce", [d, r], 1.0 / (d as f64).sqrt()),
            experts: init.normal("experts", [e, r], 1.0),
            sharpness: learned.then(|| init.constant("sharpness", [1], sharpness)),
            balance: BalanceLoss::new(config.balance_of, dims, init),
            config: config.clone(),
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let cosines = self.cosines(units);
        losses::add(pass, "z", self.config.z, || losses::router_z(cosines.clone()));
        let s = scores::settle(pass, self.tempered(cosines));
        let p = softmax(s.clone(), 2); // (6)
        let n_experts = p.dims()[2];
        let (experts, weights) = scores::choose(pass, p.clone(), self.config.k);
        let weights = match self.config.faithful {
            _ if self.config.renormalise => softmax(s.gather(2, experts.clone()), 2),
            Faithful::Paper => weights, // (7)
            Faithful::Reference => softmax(weights, 2),
        };
        self.balance.add(pass, self.config.balance, p, experts.clone());
        Plan::TokenChoice { experts, weights, n_experts }
    }
}

impl XMoe {
    /// `[G, U, D] -> [G, U, E]`.
    fn cosines(&self, units: Tensor<3>) -> Tensor<3> {
        let [g, u, d] = units.dims();
        let r = unit_length(matmul(units.reshape([g * u, d]), self.reduce.val()), 1);
        let s = matmul(r, self.expert_vectors().transpose()); // (5)
        let [_, e] = s.dims();
        s.reshape([g, u, e])
    }

    /// The cosines divided by the temperature.
    fn tempered(&self, cosines: Tensor<3>) -> Tensor<3> {
        match &self.sharpness {
            Some(sharpness) => {
                cosines * sharpness.val().clamp_max(100_f64.ln()).exp().unsqueeze::<3>()
            }
            None => cosines / 0.3,
        }
    }

    fn expert_vectors(&self) -> Tensor<2> {
        let vectors = self.experts.val();
        match self.config.faithful {
            Faithful::Paper => unit_length(vectors, 1),
            Faithful::Reference => {
                let length = vectors.clone().detach().square().sum_dim(1).sqrt();
                vectors / length * 1.5
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, param, values};

    fn balance(n_experts: usize) -> BalanceLoss {
        let dims = Dims { width: 2, n_experts, units: 1 };
        BalanceLoss::new(Balance::Choices, dims, &Init::new(0, &Device::flex()))
    }

    #[test]
    fn libmoe_gives_the_same() {
        // LibMoE's XMoE layer was run on these inputs; its projection is stored as [out, in].
        let config = XMoeConfig { faithful: Faithful::Reference, ..XMoeConfig::default() };
        let router = XMoe {
            reduce: param(fill(240, [2, 4], 1.0).transpose()),
            experts: param(fill(241, [4, 2], 1.0)),
            sharpness: None,
            balance: balance(4),
            config,
        };
        let x = fill(200, [1, 3, 4], 2.0);
        let cosines = values(router.cosines(x.clone()));
        close(&cosines[..4], &[1.402169, 1.283237, -1.378269, -0.273308]);
        let (experts, weights) = chosen(&router, &mut Pass::eval(), x);
        assert_eq!(experts[..2], [0, 1]);
        close(&weights[..2], &[0.548650, 0.451350]);
    }

    #[test]
    fn lengths_do_not_matter_and_the_temperature_does() {
        let device = Device::flex();
        let route = |length: f32, tau: f64| {
            let sharpness = Tensor::<1>::from_floats([-tau.ln() as f32], &device);
            let router = XMoe {
                reduce: param(Tensor::eye(2, &device)),
                // Cosines with (3, 4): 0.6 and 0.8.
                experts: param(Tensor::from_floats([[length, 0.0], [0.0, 1.0]], &device)),
                sharpness: Some(param(sharpness)),
                balance: balance(2),
                config: XMoeConfig::default(),
            };
            let x = Tensor::from_floats([[[3.0, 4.0]]], &device);
            chosen(&router, &mut Pass::eval(), x)
        };
        // exp(0.2 / tau) = 3 at tau = 0.2 / ln 3.
        let tau = 0.2 / 3_f64.ln();
        close(&route(1.0, tau).1, &[0.75, 0.25]);
        assert_eq!(route(1.0, tau).0, [1, 0]);
        close(&route(50.0, tau).1, &[0.75, 0.25]);
        close(&route(1.0, 2.0 * tau).1, &[0.633975, 0.366025]); // sqrt 3 : 1
    }
}
