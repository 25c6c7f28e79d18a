//! V-MoE routing: softmax, then top-k, with a fixed noise on the scores in training.
//!
//! Riquelme et al. *Scaling Vision with Sparse Mixture of Experts*. NeurIPS 2021.
//! <https://arxiv.org/abs/2106.05974>, section 2 and appendix A.
//!
//! g(x)   = TopK(softmax(x W + eps)),  eps ~ N(0, 1 / E^2) in training      (1)
//! importance loss = w CV(sum_x softmax(x W))^2                             (2), without noise
//! p_i(x) = 1 - Phi((tau - x W_i) E),  tau the k-th largest noisy score     (3)
//! load loss = w CV(mean_x p)^2                                             (4)
//!
//! Weights are not renormalised. The paper's lambda = 0.01 weights the mean of both losses, which is
//! 0.005 for each.
//!
//! Differs from the paper: losses are taken over the whole pass. The batch-prioritized order of
//! dropping is the layer's (`capacity.drop = "priority"`).
//!
//! Not to be confused with: `noisy-top-k`, where the noise is learned and the threshold excludes the
//! expert itself.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax, top_k};

use crate::kit::{Gate, check, load, losses, noise, normal_cdf::phi};

config! {
    /// The number of experts per unit, and load balancing.
    pub struct VMoeConfig {
        /// Experts for each unit.
        pub k: usize = 2,
        /// The standard deviation of the noise, times E.
        pub noise: f64 = 1.0,
        /// Coefficient of the importance loss.
        pub importance: f64 = 0.005,
        /// Coefficient of the load loss.
        pub load: f64 = 0.005,
    }
}

/// Softmax, then top-k, with fixed noise.
#[derive(Module, Debug)]
pub struct VMoe {
    gate: Gate,
    #[module(skip)]
    config: VMoeConfig,
}

impl Router for VMoe {
    type Config = VMoeConfig;
    const NAME: &'static str = "v-moe";
    const ABOUT: &'static str = "softmax then top-k with fixed noise, importance and load losses";
    const PAPER: &'static str = "https://arxiv.org/abs/2106.05974";

    fn check(config: &VMoeConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::coefficient("noise", config.noise)?;
        check::coefficient("importance", config.importance)?;
        check::coefficient("load", config.load)
    }

    fn init(config: &VMoeConfig, dims: Dims, init: &Init) -> Self {
        Self { gate: Gate::new(dims, init), config: config.clone() }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let h = self.gate.forward(pass, units);
        let e = h.dims()[2];
        losses::add(pass, "importance", self.config.importance, || {
            let p = softmax(h.clone(), 2);
            load::cv_squared(p.sum_dim(0).sum_dim(1).reshape([e])) // (2)
        });
        let sigma = self.config.noise / e as f64;
        if !pass.training() || sigma == 0.0 {
            return self.plan(h);
        }
        let noisy = h.clone() + noise::normal(pass, h.dims(), &h.device().inner()) * sigma;
        losses::add(pass, "load", self.config.load, || {
            load_loss(h, noisy.clone(), self.config.k, sigma)
        });
        self.plan(noisy)
    }
}

impl VMoe {
    fn plan(&self, h: Tensor<3>) -> Plan {
        Plan::top_k(softmax(h, 2), self.config.k) // (1)
    }
}

fn load_loss(h: Tensor<3>, noisy: Tensor<3>, k: usize, sigma: f64) -> Tensor<1> {
    let e = h.dims()[2];
    let (_, best) = top_k(noisy, k);
    let tau = best.narrow(2, k - 1, 1);
    let p = phi((h - tau) / sigma); // (3): 1 - Phi(-x) = Phi(x)
    load::cv_squared(p.mean_dim(0).mean_dim(1).reshape([e])) // (4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use moe::{Capacity, DropPolicy};

    use crate::testing::{chosen, close, fill, ints, scalar, values};

    fn router() -> VMoe {
        let config = VMoeConfig { importance: 1.0, load: 1.0, ..VMoeConfig::default() };
        VMoe { gate: Gate::of(fill(2, [6, 4], 2.0)), config }
    }

    #[test]
    fn the_published_code_gives_the_same() {
        // google-research/vmoe was run on these inputs.
        let (router, x) = (router(), fill(1, [1, 12, 6], 2.0));
        let weight = router.gate.weight.val();
        let weight = Tensor::<2>::from_inner(weight).require_grad();
        let h = Gate::of(weight.clone()).products(Tensor::from_inner(x.clone()));
        let noisy = h.clone() + Tensor::from_inner(fill(3, [1, 12, 4], 1.0));
        close(&values(h.clone())[..4], &[0.6691994, -0.5230187, 0.281837, -0.0006725]);
        let loss = load_loss(h, noisy.clone(), 2, 0.25);
        close(&values(loss.clone()), &[0.089765236]);
        let gradient = weight.grad(&loss.backward()).unwrap();
        close(&values(gradient)[..4], &[0.0287509, 0.0265754, -0.0253249, -0.0300014]);
        let Plan::TokenChoice { experts, weights, .. } = router.plan(noisy) else {
            panic!("units choose")
        };
        let expected = [
            [0, 2],
            [2, 3],
            [0, 1],
            [0, 1],
            [3, 2],
            [0, 1],
            [3, 2],
            [3, 2],
            [1, 3],
            [0, 2],
            [0, 3],
            [1, 3],
        ];
        assert_eq!(ints(experts), expected.concat());
        close(&values(weights)[..2], &[0.4309599, 0.2224974]);
        let mut pass = Pass::eval();
        chosen(&router, &mut pass, x);
        close(&[scalar(&pass, "importance")], &[0.015390323]);
    }

    #[test]
    fn buffers_of_the_published_code() {
        // The same inputs; three slots for each expert; expert i gives (i + 1) x.
        let x = fill::<3>(1, [1, 12, 6], 2.0);
        let noisy = router().gate.forward(&mut Pass::eval(), x.clone()) + fill(3, [1, 12, 4], 1.0);
        let capacity =
            Capacity { factor: Some(0.5), drop: DropPolicy::Position, ..Capacity::default() };
        let plan = capacity.apply(&mut Pass::eval(), router().plan(noisy));
        let Plan::TokenChoice { experts, weights, .. } = plan else { panic!("units choose") };
        let (experts, weights, x) = (ints(experts), values(weights), values(x));
        // The published slots are [0, 1], [0, 3], [1, 2], [2, 3], [0, 2], [3, 4], ...: kept below 3.
        let kept: Vec<bool> = experts.iter().map(|expert| *expert < 4).collect();
        let slots = [0, 1, 0, 3, 1, 2, 2, 3, 0, 2, 3, 4, 1, 3, 2, 4, 0, 4, 4, 5, 5, 5, 1, 6];
        assert_eq!(kept, slots.map(|slot| slot < 3));
        let factor = |unit: usize| -> f32 {
            let of = |choice: usize| match kept[choice] {
                true => weights[choice] * (experts[choice] + 1) as f32,
                false => 0.0,
            };
            of(2 * unit) + of(2 * unit + 1)
        };
        let y: Vec<f32> = (0..72).map(|i| factor(i / 6) * x[i]).collect();
        let first = [0.5850394, -0.8215739, 0.4414266, 0.2919164, -0.2498865, -0.401714];
        close(&y[..6], &first);
        close(&[y.iter().sum(), y.iter().map(|y| y * y).sum()], &[-7.2428155, 45.32227]);
    }

    #[test]
    fn importance_by_hand() {
        // p = (7, 3), (6, 4), (4, 6) tenths: sums 1.7 and 1.3; mean 1.5, variance 0.04.
        let odds = [[0.7, 0.3], [0.6, 0.4], [0.4, 0.6_f32]].map(|row| row.map(f32::ln));
        let gate = Gate::of(Tensor::from_floats(odds, &Device::flex()));
        let config = VMoeConfig { importance: 1.0, ..VMoeConfig::default() };
        let mut pass = Pass::eval();
        let units = Tensor::<2>::eye(3, &Device::flex()).unsqueeze::<3>();
        chosen(&VMoe { gate, config }, &mut pass, units);
        close(&[scalar(&pass, "importance")], &[0.04 / 2.25]);
    }

    #[test]
    fn noise_has_the_standard_deviation_one_over_e() {
        let mut pass = Pass::train(0, 0, 0.0);
        let gate = Gate::of(Tensor::zeros([1, 2], &Device::flex()));
        let router = VMoe { gate, config: VMoeConfig { k: 2, ..VMoeConfig::default() } };
        let (experts, weights) =
            chosen(&router, &mut pass, Tensor::ones([1, 4000, 1], &Device::flex()));
        // ln(p_0 / p_1) is the difference of two draws: variance 2 (1/2)^2 = 0.5.
        let log_odds = experts.chunks(2).zip(weights.chunks(2)).map(|(e, w)| {
            let odds = (w[0] / w[1]).ln();
            if e[0] == 0 { odds } else { -odds }
        });
        let variance = log_odds.map(|x| x * x).sum::<f32>() / 4000.0;
        // Its standard error is 0.5 sqrt(2 / 4000) = 0.011.
        assert!((variance - 0.5).abs() < 4.0 * 0.011, "{variance}");
    }
}
