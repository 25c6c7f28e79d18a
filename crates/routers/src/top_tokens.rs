//! Experts choose a fixed number of tokens: the router for which expert pruning was analysed.
//!
//! Chowdhury et al. *A Provably Effective Method for Pruning Experts in Fine-tuned Sparse
//! Mixture-of-Experts*. ICML 2024. <https://arxiv.org/abs/2405.16646>, section 4.
//!
//! J_s(x) = the l tokens with the largest <w_s, x_j>           (1)
//! G_j    = softmax of <w_s, x_j> over J_s(x)                  (2)
//!
//! The analysis starts from a pretrained network, in which some experts already prefer a pattern that
//! determines the class. With `relevant` > 0 the router starts in such a state, in the space of its
//! tokens: w_s is noise of 0.05, plus 0.5 in direction s mod 2 for the first `relevant` experts, plus 0.5
//! in seven tenths of the directions from 2 on for the others.
//!
//! Differs from the paper: the state of the pretrained router is our choice; the paper assumes only its
//! properties.
//!
//! Not to be confused with: `expert-choice`, whose softmax is over the experts, so that they compete.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use moe::{Dims, Init, Pass, Plan, Router, config, softmax, top_k};
use rand::RngExt;
use rand_distr::StandardNormal;

use crate::kit::Gate;

config! {
    /// The number of tokens per expert, and the initialisation of the router.
    pub struct TopTokensConfig {
        /// Tokens of each expert, l; at most the number of tokens.
        pub tokens: usize = 3,
        /// Experts that initially prefer a pattern that determines the class; 0 is a random
        /// initialisation.
        pub relevant: usize = 0,
    }
}

/// Experts choose tokens.
#[derive(Module, Debug)]
pub struct TopTokens {
    gate: Gate,
    tokens: usize,
}

impl Router for TopTokens {
    type Config = TopTokensConfig;
    const NAME: &'static str = "top-tokens";
    const ABOUT: &'static str =
        "experts choose a fixed number of tokens, weighted by a softmax over them";
    const PAPER: &'static str = "https://arxiv.org/abs/2405.16646";
    const CAUSAL: bool = false;

    fn check(config: &TopTokensConfig, dims: Dims) -> Result<(), String> {
        let TopTokensConfig { tokens, relevant } = config;
        if *tokens == 0 {
            return Err("tokens = 0: must be at least 1".into());
        }
        match dims.width {
            width if *relevant > 0 && width < 3 => {
                Err(format!("relevant = {relevant}: needs a width of at least 3, not {width}"))
            }
            _ => Ok(()),
        }
    }

    fn init(config: &TopTokensConfig, dims: Dims, init: &Init) -> Self {
        let gate = match config.relevant {
            0 => Gate::new(dims, init),
            relevant => Gate::with_weight(pretrained(relevant, dims, &init.at("gate"))),
        };
        Self { gate, tokens: config.tokens }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let scores = self.gate.forward(pass, units).swap_dims(1, 2); // [G, E, U]
        let n_units = scores.dims()[2];
        let (units, scores) = top_k(scores, self.tokens.min(n_units)); // (1)
        Plan::ExpertChoice { units, weights: softmax(scores, 2), n_units } // (2)
    }
}

/// `[D, E]`, with the properties that the analysis assumes of a pretrained router.
fn pretrained(relevant: usize, dims: Dims, init: &Init) -> Param<Tensor<2>> {
    let (d, e) = (dims.width, dims.n_experts);
    let mut rng = init.at("pretrained").rng();
    let mut values = vec![0.0_f32; d * e];
    for (place, value) in values.iter_mut().enumerate() {
        let (direction, expert) = (place / e, place % e);
        let leans = match expert < relevant {
            true => direction == expert % 2,
            false => rng.random::<f64>() < 0.7 && direction >= 2,
        };
        let noise: f64 = rng.sample(StandardNormal);
        *value = (0.05 * noise + if leans { 0.5 } else { 0.0 }) as f32;
    }
    init.given("weight", [d, e], values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, ints, values};

    #[test]
    fn a_number_worked_by_hand() {
        let device = Device::flex();
        // Scores of the tokens: 0, ln 3, -1 for expert 0; 2, 0, 2 + ln 4 for expert 1.
        let rows = [[0.0, 2.0], [3_f32.ln(), 0.0], [-1.0, 2.0 + 4_f32.ln()]];
        let router = TopTokens { gate: Gate::of(Tensor::from_floats(rows, &device)), tokens: 2 };
        let units = Tensor::<2>::eye(3, &device).unsqueeze::<3>();
        let plan = router.route(&mut Pass::eval(), units);
        let Plan::ExpertChoice { units, weights, n_units: 3 } = plan else { panic!("they choose") };
        assert_eq!(ints(units), [1, 0, 2, 0]);
        close(&values(weights), &[0.75, 0.25, 0.8, 0.2]);
    }

    #[test]
    fn experts_do_not_compete() {
        // The vector of another expert has no effect on this one.
        let route = |other: f32| {
            let device = Device::flex();
            let rows = [[0.5, other], [-0.5, 1.0], [0.25, other]];
            let router =
                TopTokens { gate: Gate::of(Tensor::from_floats(rows, &device)), tokens: 2 };
            let units = Tensor::<2>::eye(3, &device).unsqueeze::<3>();
            let plan = router.route(&mut Pass::eval(), units);
            let Plan::ExpertChoice { weights, .. } = plan else { panic!("experts choose") };
            values(weights)[..2].to_vec()
        };
        assert_eq!(route(0.0), route(9.0));
    }

    #[test]
    fn a_pretrained_router_leans() {
        let dims = Dims { width: 64, n_experts: 16, units: 16 };
        let config = TopTokensConfig { relevant: 4, ..TopTokensConfig::default() };
        let router = TopTokens::init(&config, dims, &Init::new(0, &Device::flex()));
        let weight = values(router.gate.weight.val());
        let column = |expert: usize| -> Vec<f32> {
            weight.iter().skip(expert).step_by(16).copied().collect()
        };
        for expert in 0..4 {
            let leans = column(expert).iter().position(|w| *w > 0.3);
            assert_eq!(leans, Some(expert % 2));
        }
        let share: usize = (4..16).map(|e| column(e).iter().filter(|w| **w > 0.25).count()).sum();
        assert!((share as f64 / (12.0 * 62.0) - 0.7).abs() < 0.1, "{share}");
        assert!((4..16).all(|e| column(e)[..2].iter().all(|w| *w < 0.25)));
    }
}
