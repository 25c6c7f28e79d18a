//! Noisy top-k: in training, noise with a learned scale is added to the scores.
//!
//! Shazeer et al. *Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer*.
//! ICLR 2017. <https://arxiv.org/abs/1701.06538>, section 2.1 and appendix A.
//!
//! G = softmax(KeepTopK(H, k))                                              (3), (5)
//! H = x Wg + N(0, 1) * sigma,  sigma = softplus(x Wn) + 0.01               (4)
//! importance loss = w CV(sum_x G)^2                                        (6), (7)
//! P_i  = Phi((x Wg_i - kth_excluding(H, k, i)) / sigma_i)                  (8), (9)
//! load loss = w CV(sum_x P)^2                                              (10), (11)
//!
//! kth_excluding(H, k, i) is the k-th largest of H with component i left out.
//!
//! Differs from the paper: sigma is at least 0.01, as in the authors' code; the gate is initialised like
//! all gates here, not with 0; in evaluation there is no noise, so there is no load loss. CV^2 uses the
//! population variance.
//!
//! Not to be confused with: `v-moe`, whose noise is fixed and whose threshold does not exclude expert i.

use burn::{
    module::{Module, Param},
    prelude::*,
    tensor::activation::softplus,
};
use moe::{Dims, Init, Pass, Plan, Router, config, matmul, softmax, top_k};

use crate::kit::{Gate, check, load, losses, noise, normal_cdf::phi};

config! {
    /// The number of experts per unit, and load balancing.
    pub struct NoisyTopKConfig {
        /// Experts for each unit.
        pub k: usize = 2,
        /// Coefficient of the importance loss.
        pub importance: f64 = 0.1,
        /// Coefficient of the load loss.
        pub load: f64 = 0.1,
    }
}

/// Top-k with learned noise.
#[derive(Module, Debug)]
pub struct NoisyTopK {
    gate: Gate,
    /// `[D, E]`.
    noise: Param<Tensor<2>>,
    #[module(skip)]
    config: NoisyTopKConfig,
}

impl Router for NoisyTopK {
    type Config = NoisyTopKConfig;
    const NAME: &'static str = "noisy-top-k";
    const ABOUT: &'static str = "top-k of scores with learned noise, importance and load losses";
    const PAPER: &'static str = "https://arxiv.org/abs/1701.06538";

    fn check(config: &NoisyTopKConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::gate_learns(config.k, true, dims, "k must be at least 2")?;
        check::coefficient("importance", config.importance)?;
        check::coefficient("load", config.load)?;
        if config.load > 0.0 && config.k == dims.n_experts {
            return Err(format!(
                "k = {} leaves no expert out, so there is no load to balance; set load = 0",
                config.k
            ));
        }
        Ok(())
    }

    fn init(config: &NoisyTopKConfig, dims: Dims, init: &Init) -> Self {
        let noise = init.constant("noise", [dims.width, dims.n_experts], 0.0);
        Self { gate: Gate::new(dims, init), noise, config: config.clone() }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let clean = self.gate.forward(pass, units.clone());
        if !pass.training() {
            return self.plan(pass, clean);
        }
        let ([g, u, d], e) = (units.dims(), clean.dims()[2]);
        let sigma = matmul(units.reshape([g * u, d]), self.noise.val()).reshape([g, u, e]);
        let sigma = softplus(sigma, 1.0) + 0.01;
        let draw = noise::normal(pass, [g, u, e], &clean.device().inner());
        let h = clean.clone() + sigma.clone() * draw; // (4)
        losses::add(pass, "load", self.config.load, || self.load_loss(clean, h.clone(), sigma));
        self.plan(pass, h)
    }
}

impl NoisyTopK {
    fn plan(&self, pass: &mut Pass, h: Tensor<3>) -> Plan {
        let n_experts = h.dims()[2];
        let (experts, h) = top_k(h, self.config.k);
        let weights = softmax(h, 2); // (3), (5)
        losses::add(pass, "importance", self.config.importance, || {
            let chosen = moe::one_hot(experts.clone(), n_experts);
            let sums = (chosen * weights.clone().unsqueeze_dim::<4>(3)).sum_dim(0);
            load::cv_squared(sums.sum_dim(1).sum_dim(2).reshape([n_experts])) // (6), (7)
        });
        Plan::TokenChoice { experts, weights, n_experts }
    }

    fn load_loss(&self, clean: Tensor<3>, h: Tensor<3>, sigma: Tensor<3>) -> Tensor<1> {
        load::cv_squared(self.loads(clean, h, sigma)) // (10), (11)
    }

    /// `[E]`: the sums of P over the units.
    fn loads(&self, clean: Tensor<3>, h: Tensor<3>, sigma: Tensor<3>) -> Tensor<1> {
        let e = clean.dims()[2];
        let (_, best) = top_k(h.clone(), self.config.k + 1);
        let last = best.clone().narrow(2, self.config.k - 1, 1);
        let next = best.narrow(2, self.config.k, 1);
        // Without a chosen expert, the k-th largest score is the next one.
        let within = h.greater(next.clone().expand(clean.dims()));
        let kth = last.expand(clean.dims()).mask_where(within, next.expand(clean.dims()));
        let p = phi((clean - kth) / sigma); // (8), (9)
        p.sum_dim(0).sum_dim(1).reshape([e])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::GivenNoise;
    use crate::testing::{chosen, close, fill, param, scalar, values};

    fn router(k: usize) -> NoisyTopK {
        NoisyTopK {
            gate: Gate::of(fill(390, [4, 4], 2.0)),
            noise: param(fill(391, [4, 4], 2.0)),
            config: NoisyTopKConfig { k, importance: 1.0, load: 1.0 },
        }
    }

    #[test]
    fn the_formulas_on_given_noise() {
        // Values of an independent transcription of the paper's formulas in f64.
        let (router, x) = (router(2), fill(200, [1, 3, 4], 2.0));
        let clean = router.gate.products(x.clone());
        close(&values(clean.clone())[..4], &[0.835001, -0.562903, -0.835239, -0.321327]);
        let sigma = x.reshape([3, 4]).matmul(router.noise.val()).reshape([1, 3, 4]);
        let sigma = softplus(sigma, 1.0) + 0.01;
        close(&values(sigma.clone())[..4], &[1.518879, 0.516959, 0.786455, 0.461364]);
        let h = clean.clone() + sigma.clone() * fill(392, [1, 3, 4], 2.0);
        close(&values(router.loads(clean, h.clone(), sigma))[..2], &[1.444119, 1.296346]);
        close(&values(h.clone())[..4], &[1.806639, -0.708217, -1.105788, 0.111705]);
        let mut pass = Pass::eval();
        let Plan::TokenChoice { experts, weights, .. } = router.plan(&mut pass, h) else {
            panic!("units choose")
        };
        assert_eq!(crate::testing::ints(experts)[..2], [0, 3]);
        close(&values(weights)[..2], &[0.844872, 0.155128]);
        close(&[scalar(&pass, "importance")], &[0.075019]);
    }

    #[test]
    fn the_chance_to_be_chosen_leaves_the_expert_itself_out() {
        let device = Device::flex();
        // H = (3, 2, 1), k = 1: for expert 0 the threshold is 2, for the others 3. Clean = H.
        let h = Tensor::<3>::from_floats([[[3.0, 2.0, 1.0]]], &device);
        let loss = router(1).load_loss(h.clone(), h, Tensor::ones([1, 1, 3], &device));
        // Phi(1), Phi(-1), Phi(-2) = 0.8413447, 0.1586553, 0.0227501: mean 0.3409167,
        // variance 0.1282925, over the squared mean 0.1162242.
        close(&values(loss), &[1.103836]);
    }

    #[test]
    fn noise_and_load_loss_are_for_training_only() {
        let (router, x) = (router(2), fill(200, [1, 3, 4], 2.0));
        let (mut calm, mut noisy) = (Pass::eval(), Pass::train(0, 0, 0.0));
        noisy.put(GivenNoise::new(fill(392, [1, 3, 4], 2.0).into_data()));
        // In training the weights are those of the formulas above; in evaluation the clean scores are
        // used.
        close(&chosen(&router, &mut noisy, x.clone()).1[..2], &[0.844872, 0.155128]);
        let clean = values(softmax(router.gate.products(x.clone()), 2));
        let (experts, weights) = chosen(&router, &mut calm, x.clone());
        let [first, second] = [experts[0] as usize, experts[1] as usize];
        close(&weights[..1], &[clean[first] / (clean[first] + clean[second])]);
        assert!(calm.scalars().iter().all(|(name, _)| name != "load"));
        // The squared coefficient of variation of the loads, computed by hand.
        let sigma = softplus(x.clone().reshape([3, 4]).matmul(router.noise.val()), 1.0) + 0.01;
        let (h, sigma) = (router.gate.products(x), sigma.reshape([1, 3, 4]));
        let noise = sigma.clone() * fill(392, [1, 3, 4], 2.0);
        let loads = values(router.loads(h.clone(), h + noise, sigma));
        let mean = loads.iter().sum::<f32>() / 4.0;
        let variance = loads.iter().map(|load| (load - mean).powi(2)).sum::<f32>() / 4.0;
        close(&[scalar(&noisy, "load")], &[variance / mean.powi(2)]);
    }
}
