//! TC-MoE: a ternary choice for each expert: plus, minus, or no contribution.
//!
//! Yan, Bin, Zhang, Wang, Lin. *TC-MoE: Augmenting Mixture of Experts with Ternary Expert Choice*.
//! ICLR 2025. <https://openreview.net/forum?id=dsP91M4hDL>
//!
//! p = softmax(x W + b) over E positive, E negative and k null entries; b = 0, -1, -10  (1)
//! S = top-k(p)                                                             (2)
//! g_j = +-p_j / (sum of p over the entries of S that are not null + sum of p over all null) (3)
//! y = sum_{j in S} g_j E_{j mod E}(x), null entries give 0                 (4)
//! loss = a E sum_i f_i P_i - r mean(sum of p over null)                    (5)
//!
//! P_i is the mean share of expert i, positive or negative, in all entries that are not null; f_i its
//! share of the choices that are not null. The first term is a at perfect balance. The second rewards null
//! choices.
//!
//! Differs from the paper: formulas and constants are those of LibMoE's implementation; its two errors in
//! the balance loss (counts of the whole batch over the total of a sequence, no factor E) are corrected.
//!
//! Not to be confused with: `ada-moe`, which has null experts and no negative ones.

use burn::{module::Module, prelude::*};
use moe::{Dims, Init, Pass, Plan, Router, config, mean, softmax};

use crate::kit::{Gate, check, load, losses, null, scores, shares};

config! {
    /// The number of choices per unit, and the loss for balance.
    pub struct TcMoeConfig {
        /// Choices of each unit; also the number of null entries.
        pub k: usize = 2,
        /// Coefficient of the balance loss, a.
        pub balance: f64 = 0.01,
    }
}

/// The reward for null choices, r, as in LibMoE's implementation.
const REWARD: f64 = 0.00001;

/// Top-k of positive, negative and null entries.
#[derive(Module, Debug)]
pub struct TcMoe {
    gate: Gate,
    n_experts: usize,
    #[module(skip)]
    config: TcMoeConfig,
}

impl Router for TcMoe {
    type Config = TcMoeConfig;
    const NAME: &'static str = "tc-moe";
    const ABOUT: &'static str = "a ternary choice for each expert: plus, minus, or nothing";
    const PAPER: &'static str = "https://openreview.net/forum?id=dsP91M4hDL";
    /// The gate has two columns for each expert, and columns of null experts.
    const EXPERT_PERMUTATION_EQUIVARIANT: bool = false;

    fn check(config: &TcMoeConfig, dims: Dims) -> Result<(), String> {
        check::k(config.k, dims)?;
        check::coefficient("balance", config.balance)
    }

    fn init(config: &TcMoeConfig, dims: Dims, init: &Init) -> Self {
        let entries = Dims { n_experts: 2 * dims.n_experts + config.k, ..dims };
        Self { gate: Gate::new(entries, init), n_experts: dims.n_experts, config: config.clone() }
    }

    fn route(&self, pass: &mut Pass, units: Tensor<3>) -> Plan {
        let (e, k) = (self.n_experts, self.config.k);
        let s = self.gate.forward(pass, units) + self.bias();
        let (entries, chosen) = scores::choose(pass, s.clone(), k); // (2)
        let negative = entries.clone().greater_equal_scalar(e as i64);
        let null = entries.clone().greater_equal_scalar(2 * e as i64);
        let experts = entries - negative.clone().int() * e as i64;
        // The null entries are included once, all of them, chosen or not.
        let of_null = s.clone().narrow(2, 2 * e, k);
        let left_out =
            Tensor::cat(vec![null.clone(), null.clone().bool_and(null.clone().bool_not())], 2);
        let shares = shares::without(Tensor::cat(vec![chosen, of_null], 2), left_out);
        let sign = negative.float() * -2.0 + 1.0;
        let weights = shares.narrow(2, 0, k) * sign; // (3)
        let plan = null::without(null, experts, weights, e); // (4)
        let Plan::TokenChoice { experts, .. } = &plan else { unreachable!("units choose") };
        losses::add(pass, "balance", self.config.balance, || {
            self.balance(s.clone(), experts.clone()) // (5)
        });
        losses::add(pass, "reward", REWARD, || {
            -mean(softmax(s, 2).narrow(2, 2 * e, k).sum_dim(2)) // (1), (5)
        });
        plan
    }
}

impl TcMoe {
    /// `[1, 1, 2 E + k]`.
    fn bias(&self) -> Tensor<3> {
        let device = self.gate.weight.val().device().inner();
        let of = |n: usize, value: f32| Tensor::<3>::full([1, 1, n], value, &device);
        let (e, k) = (self.n_experts, self.config.k);
        Tensor::cat(vec![of(e, 0.0), of(e, -1.0), of(k, -10.0)], 2)
    }

    /// The balance loss for scores `[G, U, 2 E + k]` and experts `[G, U, k]`.
    fn balance(&self, s: Tensor<3>, experts: Tensor<3, Int>) -> Tensor<1> {
        let e = self.n_experts;
        let f = load::counts(experts, e);
        let f = f.clone() / f.sum().clamp_min(1.0);
        // Shares among the entries that are not null.
        let p = softmax(s.narrow(2, 0, 2 * e), 2);
        let shares = p.clone().narrow(2, 0, e) + p.narrow(2, e, e);
        (f * shares.mean_dim(1).mean_dim(0).reshape([e])).sum() * e as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chosen, close, fill, scalar};

    fn router(gate: Tensor<2>) -> TcMoe {
        let config = TcMoeConfig { balance: 1.0, ..TcMoeConfig::default() };
        TcMoe { gate: Gate::of(gate), n_experts: 3, config }
    }

    #[test]
    fn libmoe_gives_the_same() {
        // LibMoE's TC-MoE layer was run on these inputs; its weights are stored as [out, in].
        let router = router(fill(230, [8, 4], 6.0).transpose());
        let (experts, weights) = chosen(&router, &mut Pass::eval(), fill(200, [1, 3, 4], 2.0));
        // Entries 5, 1 and 3, 2: minus expert 2, plus expert 1; minus expert 0, plus expert 2.
        assert_eq!(experts[..4], [2, 1, 0, 2]);
        close(&weights[..4], &[-0.960529, 0.039467, -0.969992, 0.029914]);
    }

    #[test]
    fn null_entries_take_their_share_and_do_nothing() {
        // x = 1; with the biases p is in proportion to 4, 1, 1 | 1, 1, 1 | 6, 1: 16 in all.
        let odds = [4.0, 1.0, 1.0, 1.0, 1.0, 1.0, 6.0, 1.0_f32];
        let bias = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 10.0, 10.0];
        let s: Vec<f32> = odds.iter().zip(bias).map(|(o, b)| o.ln() + b).collect();
        let gate = Tensor::<2>::from_data(TensorData::new(s, [1, 8]), &Device::flex());
        let mut pass = Pass::eval();
        let units = Tensor::ones([1, 1, 1], &Device::flex());
        let (experts, weights) = chosen(&router(gate), &mut pass, units);
        // The null entry is first; plus expert 0 has 4 / (4 + 7).
        assert_eq!(experts, [3, 0]);
        close(&weights, &[0.0, 4.0 / 11.0]);
        // f = (1, 0, 0); shares (5, 2, 2) / 9: 3 * 5/9. The reward is proportional to 7/16.
        let reward = scalar(&pass, "reward") / REWARD as f32;
        close(&[scalar(&pass, "balance"), reward], &[5.0 / 3.0, -7.0 / 16.0]);
    }
}
