//! Switch routing: each unit goes to its best expert.
//!
//! Fedus, Zoph, Shazeer. *Switch Transformers*. JMLR 2022. <https://arxiv.org/abs/2101.03961>
//!
//! p(x) = softmax(x W)                          (1), in training with x * U(1 - eps, 1 + eps)
//! y    = p_i(x) E_i(x),  i = argmax p(x)       (2)
//! loss = alpha N sum_i f_i P_i                 (4), N experts
//! f_i  = share of the units whose argmax is i  (5)
//! P_i  = mean of p_i over the units            (6)
//!
//! `z` adds the z-loss of ST-MoE, as later implementations do.
//!
//! `bias = true` adds a bias to x W, 0 at first, as in implementations with a linear layer.
//!
//! Differs from the paper: capacity is the layer's (the paper's factor is 1 to 2); the gate's initial
//! scale is that of all routers here, not a tenth of it.
//!
//! Not to be confused with: `top-k` at k = 1 with renormalised weights, whose weight is always 1.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax, top_k};

use crate::kit::{Balance, BalanceLoss, Gate, check, losses, noise};

config! {
    /// Load balancing and noise.
    pub struct SwitchConfig {
        /// Coefficient of the balance loss, alpha.
        pub balance: f64 = 0.01,
        /// The choices that the loss counts: in the paper all choices of the pass.
        pub balance_of: Balance = Balance::Choices,
        /// Whether the gate has a bias, which is 0 at first.
        pub bias: bool = false,
        /// Half the width of the range of the factors on the inputs in training, eps.
        pub jitter: f64 = 0.01,
        /// Coefficient of the router z-loss.
        #[serde(skip_serializing_if = "is_zero")]
        pub z: f64 = 0.0,
    }
}

fn is_zero(coefficient: &f64) -> bool {
    *coefficient == 0.0
}

/// Each unit goes to its best expert.
#[derive(Module, Debug)]
pub struct Switch {
    gate: Gate,
    balance: BalanceLoss,
    #[module(skip)]
    config: SwitchConfig,
}

impl Router for Switch {
    type Config = SwitchConfig;
    const NAME: &'static str = "switch";
    const ABOUT: &'static str = "each unit goes to its best expert, weighted by its probability";
    const PAPER: &'static str = "https://arxiv.org/abs/2101.03961";
    const EXPERTS_PER_UNIT: Option<usize> = Some(1);

    fn check(config: &SwitchConfig, _dims: Dims) -> Result<(), String> {
        check::coefficient("balance", config.balance)?;
        check::coefficient("z", config.z)?;
        check::coefficient("jitter", config.jitter)
    }

    fn init(config: &SwitchConfig, dims: Dims, init: &Init) -> Self {
        Self {
            gate: Gate::new(dims, init).with_bias(config.bias, dims, init),
            balance: BalanceLoss::new(config.balance_of, dims, init),
            config: config.clone(),
        }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let units = self.jitter(pass, units);
        let s = self.gate.forward(pass, units);
        losses::add(pass, "z", self.config.z, || losses::router_z(s.clone()));
        let p = softmax(s, 2); // (1)
        let n_experts = p.dims()[2];
        let (experts, weights) = top_k(p.clone(), 1); // (2)
        self.balance.add(pass, self.config.balance, p, experts.clone()); // (4) to (6)
        Plan::TokenChoice { experts, weights, n_experts }
    }
}

impl Switch {
    fn jitter(&self, pass: &mut Pass, units: Tensor<3>) -> Tensor<3> {
        let eps = self.config.jitter;
        if !pass.training() || eps == 0.0 {
            return units;
        }
        let range = (1.0 - eps, 1.0 + eps);
        let factors = noise::uniform(pass, units.dims(), range, &units.device().inner());
        units * factors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four experts; unit i of x = identity has score `s[i]`.
    fn switch(s: [[f32; 4]; 4], jitter: f64) -> Switch {
        let gate = Gate::of(Tensor::from_floats(s, &Device::flex()));
        let config = SwitchConfig { jitter, ..SwitchConfig::default() };
        let dims = Dims { width: 4, n_experts: 4, units: 4 };
        Switch { gate, ..Switch::init(&config, dims, &Init::new(0, &Device::flex())) }
    }

    fn route(switch: &Switch, pass: &mut Pass) -> (Vec<i32>, Vec<f32>) {
        let units = Tensor::<2>::eye(4, &Device::flex()).unsqueeze::<3>();
        let Plan::TokenChoice { experts, weights, .. } = switch.route(pass, units) else {
            panic!("units choose")
        };
        (experts.into_data().try_to_vec().unwrap(), weights.into_data().try_to_vec().unwrap())
    }

    #[test]
    fn the_weight_is_the_probability_of_the_best() {
        let s = [[1_f32, 2.0, 4.0, 1.0].map(f32::ln); 4]; // p = (1, 2, 4, 1) / 8
        let mut pass = Pass::eval();
        let (experts, weights) = route(&switch(s, 0.0), &mut pass);
        assert_eq!(experts, [2; 4]);
        assert!(weights.iter().all(|w| (w - 0.5).abs() < 1e-6), "{weights:?}");
        // f = (0, 0, 1, 0), P_2 = 1/2: loss = 0.01 * 4 * 1/2.
        assert!((pass.scalars()[0].1 - 0.02).abs() < 1e-7);
    }

    #[test]
    fn the_loss_is_alpha_at_uniform() {
        // Each unit prefers a different expert, so f = P = 1/4.
        let s = [
            [3.0, 0.0, 0.0, 0.0],
            [0.0, 3.0, 0.0, 0.0],
            [0.0, 0.0, 3.0, 0.0],
            [0.0, 0.0, 0.0, 3.0],
        ];
        let mut pass = Pass::eval();
        route(&switch(s, 0.0), &mut pass);
        assert!((pass.scalars()[0].1 - 0.01).abs() < 1e-8);
    }

    #[test]
    fn the_z_loss_is_added_if_it_has_a_coefficient() {
        let switch = |z: f64| {
            let config = SwitchConfig { z, jitter: 0.0, ..SwitchConfig::default() };
            Switch { config, ..switch([[0.0; 4]; 4], 0.0) }
        };
        let losses = |z: f64| {
            let mut pass = Pass::eval();
            route(&switch(z), &mut pass);
            pass.scalars().into_iter().map(|(name, value)| (name, value as f32)).collect::<Vec<_>>()
        };
        assert_eq!(losses(0.0).len(), 1);
        // Four scores of 0: (ln 4)^2.
        let found = losses(0.5).into_iter().find(|(name, _)| name == "z").unwrap().1;
        assert!((found - 0.5 * 4_f32.ln().powi(2)).abs() < 1e-6, "{found}");
        let plain = serde_json::to_value(SwitchConfig::default()).unwrap();
        assert!(plain.get("z").is_none(), "the settings of runs without it stay as they were");
    }

    #[test]
    fn jitter_is_for_training_only() {
        let switch = switch([[1.0, 0.0, 0.0, 0.0]; 4], 0.1);
        let (_, calm) = route(&switch, &mut Pass::eval());
        assert!(calm.windows(2).all(|pair| pair[0] == pair[1]), "{calm:?}");
        let (_, noisy) = route(&switch, &mut Pass::train(0, 0, 0.0));
        assert!(noisy.windows(2).any(|pair| pair[0] != pair[1]), "{noisy:?}");
        // Scores are between 0.9 and 1.1, so weights are between the values e^s / (e^s + 3) for these.
        let weight = |s: f32| s.exp() / (s.exp() + 3.0);
        assert!(noisy.iter().all(|w| (weight(0.9)..=weight(1.1)).contains(w)), "{noisy:?}");
    }
}
