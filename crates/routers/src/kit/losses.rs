//! Losses that keep a router balanced and its scores small.
//!
//! The same name denotes different losses in different implementations, so the convention is part of the
//! name here. All losses are means over the units of the pass, in all groups.

use burn::prelude::*;
use moe::{Pass, mean, one_hot};
use serde::{Deserialize, Serialize};

use crate::kit::load;

/// The kind of balance loss. All are E sum_i f_i P_i, with P_i the mean probability of expert i; they
/// differ in the definition of f_i and in the units that means are taken over. K is the number of choices
/// of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Balance {
    /// f_i is the share of all choices, over the whole pass; 1 at perfect balance. Switch,
    /// Megatron-core, MegaBlocks, OLMo-core.
    #[default]
    Choices,
    /// f_i is the share of units that visit expert i, over the whole pass; K at perfect balance.
    /// The transformers library: Mixtral, OLMoE, Qwen, Granite.
    Units,
    /// f_i is the share of first choices, over the whole pass; 1 at perfect balance. GShard, V-MoE,
    /// Tutel, FastMoE.
    FirstChoices,
    /// f_i is the share of all choices, within each sequence, then averaged; 1 at perfect balance.
    /// DeepSeek-V3, the Switch of the transformers library.
    Sequence,
    /// f_i is the share of first choices, within each sequence, then averaged; 1 at perfect balance.
    /// LibMoE, which writes it as E^2 times the mean over experts: <https://arxiv.org/abs/2411.00918>.
    FirstOfSequence,
    /// f_i is the share of all choices, over all passes of a step so far, if gradients are accumulated;
    /// P_i is that of the pass alone; 1 at perfect balance. Experts may then specialise within a batch.
    /// Qiu et al. *Demons in the Detail*. ACL 2025. <https://arxiv.org/abs/2501.11873>; Megatron-core's
    /// global loss.
    Step,
}

impl Balance {
    /// The loss for probabilities `[G, U, E]` and choices `[G, U, K]`.
    pub fn loss(self, p: Tensor<3>, experts: Tensor<3, Int>) -> Tensor<1> {
        match self {
            // Over a single pass, the loss of a step is that of all choices.
            Balance::Choices | Balance::Step => balance(p, experts),
            Balance::Units => balance_per_unit(p, experts),
            Balance::FirstChoices => balance(p, experts.narrow(2, 0, 1)),
            Balance::Sequence => sequence_balance(p, experts),
            Balance::FirstOfSequence => sequence_balance(p, experts.narrow(2, 0, 1)),
        }
    }
}

/// E sum_i f_i P_i: the balance loss of Switch. f_i is the share of all choices that fell on expert
/// i, P_i the mean of its probability. `p` is `[G, U, E]` and sums to 1 over the experts, `experts`
/// is `[G, U, K]`. Choices of the null expert are not counted.
///
/// It is 1 at perfect balance for every K, and E / K at collapse onto K experts. (The transformers
/// library does not divide by K: its value at perfect balance is K.)
/// Fedus et al. *Switch Transformers*. 2021. <https://arxiv.org/abs/2101.03961>, (4) to (6).
pub(crate) fn balance(p: Tensor<3>, experts: Tensor<3, Int>) -> Tensor<1> {
    let choices = (experts.dims().iter().product::<usize>()) as f64;
    let f = load::counts(experts, p.dims()[2]) / choices;
    balance_of_shares(p, f)
}

/// E sum_i f_i P_i, for `p` of `[G, U, E]` and shares `f` of `[E]`.
pub(crate) fn balance_of_shares(p: Tensor<3>, f: Tensor<1>) -> Tensor<1> {
    let [g, u, e] = p.dims();
    let p = p.reshape([g * u, e]).mean_dim(0);
    (f.reshape([1, e]) * p).sum() * e as f64
}

/// E sum_i f_i P_i with f_i the share of *units* that visit expert i, so that f sums to the number of
/// choices: the convention of the transformers library (Mixtral, OLMoE, Qwen), and the one for varying
/// numbers of choices. Same shapes as [`balance`].
///
/// K at perfect balance, E at collapse onto K experts.
pub(crate) fn balance_per_unit(p: Tensor<3>, experts: Tensor<3, Int>) -> Tensor<1> {
    let [g, u, e] = p.dims();
    let f = load::counts(experts, e) / (g * u) as f64;
    balance_of_shares(p, f)
}

/// E sum_i f_i P_i within each group, averaged over the groups: the sequence-wise loss of DeepSeek-V3,
/// stricter than [`balance`]. Same shapes, same values at perfect balance and at collapse.
/// DeepSeek-AI. *DeepSeek-V3*. 2024. <https://arxiv.org/abs/2412.19437>, (17) to (20).
pub(crate) fn sequence_balance(p: Tensor<3>, experts: Tensor<3, Int>) -> Tensor<1> {
    let ([_, u, e], [_, _, k]) = (p.dims(), experts.dims());
    // [G, U, K, E] -> [G, 1, E]
    let counts = one_hot(experts, e).sum_dim(2).sum_dim(1).squeeze_dim::<3>(2);
    let f = counts / (u * k) as f64;
    mean((f * p.mean_dim(1)).sum_dim(2)) * e as f64
}

/// sum_i P_i ln P_i: the negative entropy of the mean probability, for `p` of `[G, U, E]`.
///
/// -ln E at perfect balance, 0 at collapse onto one expert.
/// Csordas et al. *Approximating Two-Layer Feedforward Networks*. 2023.
/// <https://arxiv.org/abs/2310.10837>, (20).
pub(crate) fn negative_entropy(p: Tensor<3>) -> Tensor<1> {
    let mean = p.mean_dim(1).mean_dim(0);
    (mean.clone() * (mean + 1e-12).log()).sum()
}

/// The mean over the units of the entropy -sum_i p_i ln p_i, for `p` of `[G, U, E]`.
///
/// ln E if all experts have equal probabilities, 0 if each unit is certain of one expert.
pub(crate) fn entropy(p: Tensor<3>) -> Tensor<1> {
    -mean((p.clone() * (p + 1e-12).log()).sum_dim(2))
}

/// The mean of logsumexp(s)^2: the router z-loss, for scores `[G, U, E]` before any noise.
///
/// (ln E)^2 if all scores are 0; 0 if all are -ln E.
/// Zoph et al. *ST-MoE*. 2022. <https://arxiv.org/abs/2202.08906>, (5).
pub fn router_z(scores: Tensor<3>) -> Tensor<1> {
    let max = scores.clone().detach().max_dim(2);
    let sum = (scores - max.clone()).exp().sum_dim(2);
    mean((sum.log() + max).square())
}

/// Adds `coefficient` times the loss to the pass; if the coefficient is 0, the loss is not computed.
pub fn add(
    pass: &mut Pass,
    name: &'static str,
    coefficient: f64,
    loss: impl FnOnce() -> Tensor<1>,
) {
    if coefficient > 0.0 {
        pass.loss(name, loss() * coefficient);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(p: [[f32; 4]; 2], experts: [[i32; 2]; 2]) -> f32 {
        let device = Device::flex();
        balance(Tensor::from_floats([p], &device), Tensor::from_ints([experts], &device))
            .into_scalar()
    }

    #[test]
    fn balance_is_one_at_perfect_balance_for_every_k() {
        // f = P = 1/4 for all four experts: 4 * 4 * 1/16.
        assert_eq!(value([[0.25; 4]; 2], [[0, 1], [2, 3]]), 1.0);
        // Confident and balanced choices are balanced too: P = 1/4 again.
        let p = [[0.5, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]];
        assert_eq!(value(p, [[0, 1], [2, 3]]), 1.0);
    }

    #[test]
    fn balance_is_e_over_k_at_collapse() {
        // f = P = (1/2, 1/2, 0, 0): 4 * (1/4 + 1/4).
        assert_eq!(value([[0.5, 0.5, 0.0, 0.0]; 2], [[0, 1], [1, 0]]), 2.0);
    }

    #[test]
    fn balance_per_unit_is_k_at_perfect_balance() {
        let device = Device::flex();
        let value = |p: [[f32; 4]; 2], experts: [[i32; 2]; 2]| {
            let experts = Tensor::from_ints([experts], &device);
            balance_per_unit(Tensor::from_floats([p], &device), experts).into_scalar::<f32>()
        };
        assert_eq!(value([[0.25; 4]; 2], [[0, 1], [2, 3]]), 2.0);
        assert_eq!(value([[0.5, 0.5, 0.0, 0.0]; 2], [[0, 1], [1, 0]]), 4.0);
    }

    #[test]
    fn entropy_of_the_undecided_and_of_the_certain() {
        let value = |p: [f32; 4]| {
            entropy(Tensor::from_floats([[p, p]], &Device::flex())).into_scalar::<f32>()
        };
        assert!((value([0.25; 4]) - 4_f32.ln()).abs() < 1e-6);
        assert!(value([0.0, 1.0, 0.0, 0.0]).abs() < 1e-6);
    }

    #[test]
    fn the_sequence_loss_does_not_average_sequences_first() {
        let device = Device::flex();
        // Each of two sequences collapses, onto different experts.
        let p = [[[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]];
        let p = Tensor::<3>::from_floats(p, &device);
        let experts = Tensor::<3, Int>::from_ints([[[0], [0]], [[1], [1]]], &device);
        assert_eq!(balance(p.clone(), experts.clone()).into_scalar::<f32>(), 1.0);
        assert_eq!(sequence_balance(p, experts.clone()).into_scalar::<f32>(), 2.0);
        let even = Tensor::<3>::full([2, 2, 2], 0.5, &device);
        assert_eq!(sequence_balance(even, experts).into_scalar::<f32>(), 1.0);
    }

    #[test]
    fn entropy_at_balance_and_at_collapse() {
        let value = |p: [f32; 4]| {
            negative_entropy(Tensor::from_floats([[p]], &Device::flex())).into_scalar::<f32>()
        };
        assert!((value([0.25; 4]) + 4_f32.ln()).abs() < 1e-6);
        assert!(value([0.0, 1.0, 0.0, 0.0]).abs() < 1e-6);
    }

    #[test]
    fn each_kind_at_perfect_balance_and_at_collapse() {
        let device = Device::flex();
        let value = |kind: Balance, p: [[f32; 4]; 2], experts: [[i32; 2]; 2]| {
            let experts = Tensor::from_ints([experts], &device);
            kind.loss(Tensor::from_floats([p], &device), experts).into_scalar::<f32>()
        };
        for (kind, balanced, collapsed) in [
            (Balance::Choices, 1.0, 2.0),
            (Balance::Units, 2.0, 4.0),
            // All first choices on expert 0, of probability 1/2: 4 * 1/2.
            (Balance::FirstChoices, 1.0, 2.0),
            (Balance::Sequence, 1.0, 2.0),
            (Balance::FirstOfSequence, 1.0, 2.0),
            (Balance::Step, 1.0, 2.0),
        ] {
            assert_eq!(value(kind, [[0.25; 4]; 2], [[0, 1], [2, 3]]), balanced, "{kind:?}");
            let p = [[0.5, 0.5, 0.0, 0.0]; 2];
            assert_eq!(value(kind, p, [[0, 1], [0, 1]]), collapsed, "{kind:?}");
        }
    }

    #[test]
    fn first_choices_by_hand() {
        // V-MoE's example: f = (2, 1) / 3, P = (17, 13) / 30: 2 (34 + 13) / 90.
        let p = Tensor::<3>::from_floats([[[0.7, 0.3], [0.6, 0.4], [0.4, 0.6]]], &Device::flex());
        let (experts, _) = moe::top_k(p.clone(), 2);
        let found = Balance::FirstChoices.loss(p, experts).into_scalar::<f32>();
        assert!((found - 1.044_444_4).abs() < 1e-6, "{found}");
    }

    #[test]
    fn null_choices_count_for_no_one() {
        // Two of four choices are null: f = (1/4, 1/4, 0, 0), P = 1/4: 4 * 2/16.
        assert_eq!(value([[0.25; 4]; 2], [[0, 4], [4, 1]]), 0.5);
    }

    #[test]
    fn z_is_the_squared_log_of_the_sum() {
        let z = |s: [f32; 4]| {
            router_z(Tensor::<3>::from_floats([[s]], &Device::flex())).into_scalar::<f32>()
        };
        assert!((z([0.0; 4]) - 4_f32.ln().powi(2)).abs() < 1e-6);
        // ln(1 + 2 + 3 + 4) = ln 10; and large scores do not overflow.
        assert!((z([1_f32, 2.0, 3.0, 4.0].map(f32::ln)) - 10_f32.ln().powi(2)).abs() < 1e-5);
        assert!((z([1000.0, -1000.0, 0.0, 0.0]) - 1e6).abs() < 1.0);
    }
}
