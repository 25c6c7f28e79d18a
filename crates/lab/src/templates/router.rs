//! {Name}: say in one sentence what it does.
//!
//! Authors. *Title*. Venue, year. <https://arxiv.org/abs/1701.06538>
//!
//! p(x) = softmax(x W)                                            (1)
//! y    = sum_{i in S} p_i / (sum_{j in S} p_j) E_i(x),
//!        S the k largest of p(x)                                 (2)
//!
//! Differs from the paper: say what.
//!
//! Not to be confusion_run with: say with what.

use burn::{module::Module, nn::Linear, prelude::*, tensor::activation::softmax};
use moe::{Dims, Init, Pass, Plan, Router, config, top_k};

config! {
    /// How {Name} is tuned.
    pub struct {Name}Config {
        /// Experts for each unit.
        pub k: usize = 2,
    }
}

/// Say in one sentence what it does.
#[derive(Module, Debug)]
pub struct {Name} {
    gate: Linear,
    k: usize,
}

impl Router for {Name} {
    type Config = {Name}Config;
    const NAME: &'static str = "{name}";
    const ABOUT: &'static str = "say in one line what it does";
    const PAPER: &'static str = "https://arxiv.org/abs/1701.06538";

    fn check(config: &{Name}Config, dims: Dims) -> Result<(), String> {
        match config.k {
            k if k == 0 || k > dims.n_experts => {
                Err(format!("k = {k}: it is from 1 to experts = {}", dims.n_experts))
            }
            _ => Ok(()),
        }
    }

    fn init(config: &{Name}Config, dims: Dims, init: &Init) -> Self {
        Self { gate: init.linear("gate", dims.width, dims.n_experts, false), k: config.k }
    }

    fn route(&self, _pass: &mut Pass, units: Tensor<3>) -> Plan {
        let p = softmax(self.gate.forward(units), 2); // (1)
        let [_, _, n_experts] = p.dims();
        let (experts, weights) = top_k(p, self.k);
        let weights = weights.clone() / weights.sum_dim(2); // (2)
        Plan::TokenChoice { experts, weights, n_experts }
    }

    fn flops_per_unit(&self) -> f64 {
        2.0 * self.gate.weight.lazy_shape().num_elements() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_worked_by_hand() {
        let device = Device::flex();
        let weight = Tensor::from_floats([[3_f32.ln(), 2_f32.ln(), 0.0]], &device);
        let gate = Linear { weight: burn::module::Param::from_tensor(weight), bias: None };
        let router = {Name} { gate, k: 2 };
        let units = Tensor::<3>::ones([1, 1, 1], &device);
        let Plan::TokenChoice { experts, weights, .. } = router.route(&mut Pass::eval(), units)
        else {
            panic!("units choose")
        };
        // p = (3, 2, 1) / 6; of the two largest, 3 / 5 and 2 / 5.
        assert_eq!(experts.into_data().try_to_vec::<i32>().unwrap(), [0, 1]);
        let weights = weights.into_data().try_to_vec::<f32>().unwrap();
        assert!((weights[0] - 0.6).abs() < 1e-6 && (weights[1] - 0.4).abs() < 1e-6, "{weights:?}");
    }
}
