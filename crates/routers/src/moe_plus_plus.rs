//! MoE++: some experts compute nothing, and a layer adds the scores of the previous one to its own.
//!
//! Jin, Zhu, Yuan, Yan. *MoE++: Accelerating Mixture-of-Experts Methods with Zero-Computation
//! Experts*. ICLR 2025. <https://arxiv.org/abs/2410.07348>
//!
//! s^l = x W^l + s^{l-1} G^l                    (6), the gating residual; no second term in the first layer
//! p = softmax(s)                               (1)
//! y = sum_{i in top-k(p)} p_i E_i(x)           (1)
//! loss = beta sum_i eta_i f_i P_i              (7), eta = 1, or tau for zero-computation experts
//!
//! f_i is the share of units that visit expert i. The zero-computation experts are the last ones: use the
//! expert kind `plus-plus`, whose constant, copy and zero experts they are. tau < 1 makes them cheaper in
//! the loss, which attracts units.
//!
//! `faithful = "reference"` takes the weights of the published inference code: the weight of the last
//! expert, which gives zero, is set to 0, and the others are divided by their sum. The code has three
//! options that are not implemented here: a gate of two layers with a tanh between them, logits divided by
//! their standard deviation over the experts, and inputs of the experts multiplied by k.
//!
//! Differs from the paper: capacity is the layer's and the same for all experts; the paper gives
//! zero-computation experts a smaller one.
//!
//! Not to be confused with: `ada-moe`, whose null experts are not in the softmax of the weights.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use moe::{Dims, Init, Pass, Plan, Router, config, matmul, softmax};

use crate::kit::{Faithful, Gate, check, load, losses, scores, shares};

config! {
    /// The number of experts per unit, zero-computation experts, and load balancing.
    pub struct MoePlusPlusConfig {
        /// Experts for each unit.
        pub k: usize = 2,
        /// The number of zero-computation experts; the last ones.
        pub zero_computation: usize = 3,
        /// The weight of these experts in the balance loss, tau.
        pub tau: f64 = 0.75,
        /// Coefficient of the balance loss, beta.
        pub balance: f64 = 0.01,
        /// The variant of the weights.
        pub faithful: Faithful = Faithful::Paper,
    }
}

/// Top-k with the scores of the previous layer.
#[derive(Module, Debug)]
pub struct MoePlusPlus {
    gate: Gate,
    /// `[E, E]`: G.
    residual: Param<Tensor<2>>,
    #[module(skip)]
    config: MoePlusPlusConfig,
}

/// The scores of the previous layer of this kind, `[G, U, E]`.
struct Before(Tensor<3>);

impl Router for MoePlusPlus {
    type Config = MoePlusPlusConfig;
    const NAME: &'static str = "moe-plus-plus";
    const ABOUT: &'static str = "top-k with residual scores from the previous layer (MoE++)";
    const PAPER: &'static str = "https://arxiv.org/abs/2410.07348";

    fn check(config: &MoePlusPlusConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::positive("tau", config.tau)?;
        check::coefficient("balance", config.balance)?;
        let reference = config.faithful == Faithful::Reference;
        check::gate_learns(
            config.k,
            reference,
            dims,
            "set faithful = \"paper\", or k to at least 2",
        )?;
        match config.zero_computation {
            0 if reference => Err("zero_computation = 0: must be at least 1, since with \
                                   faithful = \"reference\" the last expert is the zero expert"
                .into()),
            zero if zero >= dims.n_experts => Err(format!(
                "zero_computation = {zero}: must be less than experts = {}",
                dims.n_experts
            )),
            _ => Ok(()),
        }
    }

    fn init(config: &MoePlusPlusConfig, dims: Dims, init: &Init) -> Self {
        let e = dims.n_experts;
        let residual = init.uniform("residual", [e, e], 1.0 / (e as f64).sqrt());
        Self { gate: Gate::new(dims, init), residual, config: config.clone() }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let mut s = self.gate.products(units);
        let [g, u, e] = s.dims();
        if let Some(Before(before)) = pass.take::<Before>()
            && before.dims() == s.dims()
        {
            let residual = matmul(before.reshape([g * u, e]), self.residual.val());
            s = s + residual.reshape([g, u, e]); // (6)
        }
        pass.put(Before(s.clone()));
        let s = scores::settle(pass, s);
        let p = softmax(s.clone(), 2);
        let (experts, weights) = scores::choose(pass, p.clone(), self.config.k); // (1)
        losses::add(pass, "balance", self.config.balance, || {
            let units = (g * u) as f64;
            let f = load::counts(experts.clone(), e) / units;
            let p = p.sum_dim(0).sum_dim(1).reshape([e]) / units;
            (f * p * self.eta(e)).sum() // (7)
        });
        let weights = match self.config.faithful {
            Faithful::Paper => weights,
            Faithful::Reference => {
                let zero = experts.clone().equal_scalar(e as i64 - 1);
                shares::without(s.gather(2, experts.clone()), zero)
            }
        };
        Plan::TokenChoice { experts, weights, n_experts: e }
    }
}

impl MoePlusPlus {
    /// `[E]`: the weight of each expert in the loss.
    fn eta(&self, e: usize) -> Tensor<1> {
        let device = self.residual.val().device().inner();
        let computing = e - self.config.zero_computation;
        let of = |n: usize, value: f64| Tensor::<1>::full([n], value, &device);
        match self.config.zero_computation {
            0 => of(e, 1.0),
            n => Tensor::cat(vec![of(computing, 1.0), of(n, self.config.tau)], 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, param, scalar};

    fn router(e: usize, config: MoePlusPlusConfig) -> MoePlusPlus {
        let eye = |scale: f64| Tensor::<2>::eye(e, &Device::flex()) * scale;
        MoePlusPlus { gate: Gate::of(eye(1.0)), residual: param(eye(0.5)), config }
    }

    #[test]
    fn the_published_code_gives_the_same() {
        // The layer of SkyworkAI/MoE-plus-plus was run on these scores: three computing experts, two
        // constant, one copy, one zero.
        let config = MoePlusPlusConfig {
            zero_computation: 4,
            faithful: Faithful::Reference,
            ..MoePlusPlusConfig::default()
        };
        let x = fill(320, [1, 4, 7], 4.0);
        let (experts, weights) = chosen(&router(7, config), &mut Pass::eval(), x);
        assert_eq!(experts[..4], [4, 0, 0, 1]);
        close(&weights[..4], &[0.736802, 0.263198, 0.626177, 0.373823]);
    }

    #[test]
    fn without_a_zero_expert_there_is_no_reference() {
        let dims = Dims { width: 4, n_experts: 4, units: 1 };
        let config = MoePlusPlusConfig {
            zero_computation: 0,
            faithful: Faithful::Reference,
            ..MoePlusPlusConfig::default()
        };
        let refused = MoePlusPlus::check(&config, dims).unwrap_err();
        assert!(refused.contains("zero_computation = 0"), "{refused}");
        let paper = MoePlusPlusConfig { faithful: Faithful::Paper, ..config };
        assert_eq!(MoePlusPlus::check(&paper, dims), Ok(()));
    }

    #[test]
    fn scores_remember_the_layer_before() {
        let router = router(2, MoePlusPlusConfig { zero_computation: 1, ..Default::default() });
        let at = |a: f32, b: f32| Tensor::<3>::from_floats([[[a, b]]], &Device::flex());
        let mut pass = Pass::eval();
        let first = chosen(&router, &mut pass, at(2.0 * 3_f32.ln(), 0.0));
        close(&first.1, &[0.9, 0.1]);
        // 0 + half of 2 ln 3 = ln 3.
        let second = chosen(&router, &mut pass, at(0.0, 0.0));
        close(&second.1, &[0.75, 0.25]);
        // Scores of another shape do not fit, and are discarded.
        close(&chosen(&router, &mut pass, at(0.0, 0.0).repeat_dim(1, 2)).1, &[0.5; 4]);
    }

    #[test]
    fn zero_computation_experts_count_less_in_the_loss() {
        let config =
            MoePlusPlusConfig { k: 1, zero_computation: 1, balance: 1.0, ..Default::default() };
        let (router, mut pass) = (router(2, config), Pass::eval());
        // Two units, p = (3/4, 1/4) and (1/4, 3/4): f = P = 1/2.
        let (s, device) = (3_f32.ln(), Device::flex());
        chosen(&router, &mut pass, Tensor::from_floats([[[s, 0.0], [0.0, s]]], &device));
        close(&[scalar(&pass, "balance")], &[0.25 + 0.75 * 0.25]);
    }
}
