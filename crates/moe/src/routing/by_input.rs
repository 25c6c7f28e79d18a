//! The number of experts that one whole input, a sequence or an image, requires.

use crate::routing::{Level, Plan};

/// The number of inputs of a plan, and the number of experts that contribute to one of them, on average.
/// `chosen` has the experts on the host, if units choose.
pub(crate) fn by_input(plan: &Plan, chosen: &[usize], level: Level, touched: f64) -> (usize, f64) {
    let whole = level == Level::Sequence;
    match plan {
        Plan::TokenChoice { experts, n_experts, .. } => {
            let [g, u, k] = experts.dims();
            let (inputs, choices) = if whole { (g * u, k) } else { (g, u * k) };
            let different = chosen.chunks(choices.max(1)).map(|input| {
                let mut seen = vec![false; n_experts + 1];
                input.iter().for_each(|expert| seen[*expert] = true);
                seen[..*n_experts].iter().filter(|seen| **seen).count()
            });
            (inputs, different.sum::<usize>() as f64 / inputs.max(1) as f64)
        }
        _ if whole => (plan.n_units(), touched),
        // Every expert processes units of every group.
        Plan::ExpertChoice { units, .. } => (units.dims()[0], plan.n_experts() as f64),
        Plan::Soft { dispatch, .. } => (dispatch.dims()[0], touched),
        Plan::Merged { weights, .. } | Plan::Dense { weights } => (weights.dims()[0], touched),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::prelude::*;

    #[test]
    fn tokens_of_one_input_share_its_experts() {
        let device = Device::flex();
        // Three units, two choices, two experts; 2 is the null expert.
        let experts = Tensor::<3, Int>::from_ints([[[0, 1], [0, 2], [2, 2]]], &device);
        let weights = Tensor::<3>::ones([1, 3, 2], &device);
        let plan = Plan::TokenChoice { experts, weights, n_experts: 2 };
        // As three tokens of one input; as three inputs with 2, 1 and 0 experts.
        let chosen = [0, 1, 0, 2, 2, 2];
        assert_eq!(by_input(&plan, &chosen, Level::Token, 1.0), (1, 2.0));
        assert_eq!(by_input(&plan, &chosen, Level::Sequence, 1.0), (3, 1.0));
    }

    #[test]
    fn experts_that_choose_work_on_every_input() {
        let device = Device::flex();
        let units = Tensor::<3, Int>::from_ints([[[0, 1], [1, 0]], [[2, 1], [2, 0]]], &device);
        let weights = Tensor::<3>::ones([2, 2, 2], &device);
        let plan = Plan::ExpertChoice { units, weights, n_units: 3 };
        assert_eq!(by_input(&plan, &[], Level::Token, 8.0 / 6.0), (2, 2.0));
    }
}
