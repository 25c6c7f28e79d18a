//! The assignment of units to experts, with weights. Every routing algorithm returns a [`Plan`].

use burn::prelude::*;
use kernels::top_k_indices;

/// A routing decision for one layer and one pass.
///
/// A closed enum: engines, capacity, reports and pruning must each handle every form, and the compiler
/// reports the places where a new form is not handled.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Each unit names its experts. Top-k, Switch, hash, random, sigmoid, DeepSeek, ...
    TokenChoice {
        /// `[G, U, K]`, each in `0..=n_experts`; `n_experts` itself is the null expert: the choice is
        /// dropped. A variable number of choices, dropped choices and null experts are therefore one case.
        experts: Tensor<3, Int>,
        /// `[G, U, K]`; the weight of a null choice is ignored.
        weights: Tensor<3>,
        /// E.
        n_experts: usize,
    },
    /// Each expert names its units. Expert choice.
    ExpertChoice {
        /// `[G, E, C]`, each in `0..n_units`.
        units: Tensor<3, Int>,
        /// `[G, E, C]`.
        weights: Tensor<3>,
        /// U.
        n_units: usize,
    },
    /// Each slot is a mixture of units, and each unit a mixture of slots. Soft MoE, optimal transport.
    Soft {
        /// `[G, U, E, C]`: the share of each unit in each slot.
        dispatch: Tensor<4>,
        /// `[G, U, E, C]`: the share of each slot's output in the output of each unit.
        combine: Tensor<4>,
    },
    /// Parameters are mixed instead of outputs: each segment of consecutive units has one merged expert.
    /// Lory, SMEAR.
    Merged {
        /// `[G, S, E]`: the share of each expert in the merged expert of a segment.
        weights: Tensor<3>,
        /// U.
        n_units: usize,
        /// The number of units of a segment; S segments hold all U units, and the last may be shorter.
        segment: usize,
    },
    /// Each unit visits all experts. The classic mixture of experts.
    Dense {
        /// `[G, U, E]`.
        weights: Tensor<3>,
    },
}

impl Plan {
    /// The plan in which each unit goes to the experts of its `k` largest weights, which are `[G, U, E]`.
    /// Gradients flow through the weights of the chosen experts; of tied weights the first wins.
    ///
    /// # Panics
    /// If `k` is larger than E; `kit::check::k` refuses that in a router's `check`.
    pub fn top_k(weights: Tensor<3>, k: usize) -> Self {
        let n_experts = weights.dims()[2];
        let (experts, weights) = top_k(weights, k);
        Self::TokenChoice { experts, weights, n_experts }
    }

    /// The number of units that the plan routes, `G * U`.
    pub fn n_units(&self) -> usize {
        match self {
            Plan::TokenChoice { experts, .. } => experts.dims()[0] * experts.dims()[1],
            Plan::ExpertChoice { units, n_units, .. } => units.dims()[0] * n_units,
            Plan::Soft { dispatch, .. } => dispatch.dims()[0] * dispatch.dims()[1],
            Plan::Merged { weights, n_units, .. } => weights.dims()[0] * n_units,
            Plan::Dense { weights } => weights.dims()[0] * weights.dims()[1],
        }
    }

    /// The number of experts, the null expert not counted.
    pub fn n_experts(&self) -> usize {
        match self {
            Plan::TokenChoice { n_experts, .. } => *n_experts,
            Plan::ExpertChoice { units, .. } => units.dims()[1],
            Plan::Soft { dispatch, .. } => dispatch.dims()[2],
            Plan::Merged { weights, .. } | Plan::Dense { weights } => weights.dims()[2],
        }
    }

    /// The plan as dispatch and combine weights `[G, U, E, C]`. Slow, and simple enough to be checked by
    /// reading: the fast engines are tested against it.
    ///
    /// This form cannot express mixtures of parameters: for those, the experts' outputs are mixed in the
    /// same shares.
    pub fn to_soft(&self) -> (Tensor<4>, Tensor<4>) {
        match self.clone() {
            Plan::Soft { dispatch, combine } => (dispatch, combine),
            Plan::Dense { weights } => {
                let [g, u, e] = weights.dims();
                // C = U: slot c of every expert holds unit c.
                let slot = Tensor::<2>::eye(u, &weights.device()).reshape([1, u, 1, u]);
                let slot = slot.expand([g, u, e, u]);
                (slot.clone(), slot * weights.unsqueeze_dim::<4>(3))
            }
            Plan::Merged { weights, n_units, segment } => {
                let [g, s, e] = weights.dims();
                let each = weights.unsqueeze_dim::<4>(2).expand([g, s, segment, e]);
                let weights = each.reshape([g, s * segment, e]).narrow(1, 0, n_units);
                Plan::Dense { weights }.to_soft()
            }
            Plan::TokenChoice { experts, weights, n_experts } => {
                // [G, U, K, E] -> [G, U, E]; the null expert has no column, so its choices vanish here.
                let chosen = one_hot(experts, n_experts);
                let weights = (chosen * weights.unsqueeze_dim::<4>(3)).sum_dim(2);
                Plan::Dense { weights: weights.squeeze_dim::<3>(2) }.to_soft()
            }
            Plan::ExpertChoice { units, weights, n_units } => {
                // [G, E, C, U] -> [G, U, E, C]
                let claimed = one_hot(units, n_units);
                let combine = claimed.clone() * weights.unsqueeze_dim::<4>(3);
                (claimed.permute([0, 3, 1, 2]), combine.permute([0, 3, 1, 2]))
            }
        }
    }
}

/// `[A, B, C] -> [A, B, C, n]`; an index of `n` or more gives a row of zeros.
///
/// Unlike Burn's function, it supports `n == 1` and reads nothing back from the device.
pub fn one_hot(indices: Tensor<3, Int>, n: usize) -> Tensor<4> {
    let [a, b, c] = indices.dims();
    let class = Tensor::<1, Int>::arange(0..n as i64, &indices.device()).reshape([1, 1, 1, n]);
    indices.unsqueeze_dim::<4>(3).expand([a, b, c, n]).equal(class.expand([a, b, c, n])).float()
}

/// The indices and values of the `k` largest scores along the last axis, largest first.
/// `[G, U, N] -> [G, U, k]` twice; gradients flow through the values. Of tied scores the first wins.
///
/// # Panics
/// If `k` is larger than N.
pub fn top_k(scores: Tensor<3>, k: usize) -> (Tensor<3, Int>, Tensor<3>) {
    let indices = top_k_indices(scores.clone(), k);
    (indices.clone(), scores.gather(2, indices))
}

/// The values of an index tensor on the host, row by row.
pub(crate) fn to_host<const D: usize>(indices: &Tensor<D, Int>) -> Vec<usize> {
    let data = kernels::read_back(indices.clone());
    match data.as_slice::<i32>() {
        Ok(indices) => indices.iter().map(|i| *i as usize).collect(),
        Err(_) => data.iter::<i64>().map(|i| i as usize).collect(),
    }
}

/// The number of occurrences of each of `0..n`: `[A, B, C] -> [n]`. An index of `n` or more is not counted.
pub fn counts(indices: Tensor<3, Int>, n: usize) -> Tensor<1> {
    if !kernels::on_flex(&indices.device()) {
        return one_hot(indices, n).sum_dim(0).sum_dim(1).sum_dim(2).reshape([n]);
    }
    let mut counts = vec![0.0_f32; n];
    for index in to_host(&indices) {
        if let Some(count) = counts.get_mut(index) {
            *count += 1.0;
        }
    }
    Tensor::from_data(TensorData::from(counts.as_slice()), &indices.device())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_k_takes_the_largest_and_the_first_among_equals() {
        let scores = Tensor::<3>::from_floats([[[1.0, 3.0, 3.0, 2.0]]], &Device::flex());
        let (indices, values) = top_k(scores.clone(), 3);
        assert_eq!(to_host(&indices), [1, 2, 3]);
        assert_eq!(values.into_data().try_to_vec::<f32>().unwrap(), [3.0, 3.0, 2.0]);
        assert_eq!(to_host(&top_k(scores, 4).0), [1, 2, 3, 0]);
    }

    #[test]
    fn a_plan_of_the_largest_weights_keeps_them() {
        let weights =
            Tensor::<3>::from_floats([[[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]], &Device::flex());
        let plan = Plan::top_k(weights, 2);
        assert_eq!((plan.n_units(), plan.n_experts()), (2, 3));
        let Plan::TokenChoice { experts, weights, .. } = plan else { panic!("units choose") };
        assert_eq!(to_host(&experts), [1, 2, 0, 2]);
        assert_eq!(weights.into_data().try_to_vec::<f32>().unwrap(), [0.5, 0.3, 0.6, 0.3]);
    }

    #[test]
    fn units_share_the_weights_of_their_segment() {
        let weights = Tensor::<3>::from_floats([[[0.75, 0.25], [0.5, 0.5]]], &Device::flex());
        let plan = Plan::Merged { weights, n_units: 3, segment: 2 };
        assert_eq!((plan.n_units(), plan.n_experts()), (3, 2));
        let (_, combine) = plan.to_soft();
        let combine = combine.sum_dim(3).into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(combine, [0.75, 0.25, 0.75, 0.25, 0.5, 0.5]);
    }

    #[test]
    fn the_null_expert_has_no_column() {
        let device = Device::flex();
        let experts = Tensor::<3, Int>::from_ints([[[1, 2]]], &device);
        let weights = Tensor::<3>::from_floats([[[0.25, 0.75]]], &device);
        let (_, combine) = Plan::TokenChoice { experts, weights, n_experts: 2 }.to_soft();
        assert_eq!(combine.into_data().try_to_vec::<f32>().unwrap(), [0.0, 0.25]);
    }
}
