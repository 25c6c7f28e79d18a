//! Plans with changed first choices.

use burn::{prelude::*, tensor::TensorData};
use moe::{Plan, stable_hash};

/// Fails for plans that mix units or experts: their units have no first expert to change.
pub(super) fn changeable(plan: &Plan) -> anyhow::Result<()> {
    match plan {
        Plan::Soft { .. } | Plan::Merged { .. } => {
            anyhow::bail!(
                "the router mixes units or experts, so no unit has a first expert to change"
            )
        }
        _ => Ok(()),
    }
}

/// The plan without the heaviest expert of each unit.
pub(super) fn without_first(plan: Plan) -> Plan {
    let mut choices = plan.choices();
    for unit in choices.iter_mut().filter(|unit| !unit.is_empty()) {
        unit.remove(0);
    }
    as_token_choice(&plan, &choices)
}

/// The plan with another first expert for one unit of each of `b` examples. The unit is drawn by the number
/// of the example. If the expert is already another choice of the unit, the unit has it twice.
pub(super) fn with_first(plan: Plan, expert: usize, b: usize) -> Plan {
    let mut choices = plan.choices();
    let of_example = (choices.len() / b).max(1);
    for (example, units) in choices.chunks_mut(of_example).enumerate() {
        let unit = stable_hash(&format!("regret/{example}")) as usize % units.len();
        if let Some(first) = units[unit].first_mut() {
            first.0 = expert;
        }
    }
    as_token_choice(&plan, &choices)
}

/// A plan of the same units from choices on the host.
pub(super) fn as_token_choice(plan: &Plan, choices: &[Vec<(usize, f32)>]) -> Plan {
    let (groups, device) = match plan {
        Plan::TokenChoice { weights, .. }
        | Plan::Dense { weights }
        | Plan::ExpertChoice { weights, .. }
        | Plan::Merged { weights, .. } => (weights.dims()[0], weights.device()),
        Plan::Soft { combine, .. } => (combine.dims()[0], combine.device()),
    };
    let (n_experts, k) = (plan.n_experts(), choices.iter().map(Vec::len).max().unwrap_or(0).max(1));
    let (mut experts, mut weights) = (Vec::new(), Vec::new());
    for unit in choices {
        let none = std::iter::repeat_n((n_experts, 0.0), k - unit.len());
        for (expert, weight) in unit.iter().copied().chain(none) {
            experts.push(expert as i32);
            weights.push(weight);
        }
    }
    let shape = [groups, choices.len() / groups, k];
    Plan::TokenChoice {
        experts: Tensor::from_data(TensorData::new(experts, shape), &device),
        weights: Tensor::from_data(TensorData::new(weights, shape), &device),
        n_experts,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let device = Device::flex();
        Plan::TokenChoice {
            experts: Tensor::from_ints([[[0, 1], [2, 1]], [[1, 0], [3, 3]]], &device),
            weights: Tensor::from_floats(
                [[[0.75, 0.25], [0.5, 0.5]], [[0.25, 0.75], [0.0, 0.0]]],
                &device,
            ),
            n_experts: 3,
        }
    }

    #[test]
    fn a_plan_can_lose_its_first_choices() {
        let found = without_first(plan()).choices();
        assert_eq!(found, [vec![(1, 0.25)], vec![(1, 0.5)], vec![(1, 0.25)], vec![]]);
    }

    #[test]
    fn one_unit_of_each_example_gets_another_first_expert() {
        let (before, after) = (plan().choices(), with_first(plan(), 2, 2).choices());
        // Each example has two units, of which one is drawn by the number of the example; the last unit has
        // no expert to change.
        for (example, units) in before.chunks(2).enumerate() {
            let drawn = stable_hash(&format!("regret/{example}")) as usize % 2;
            for (at, unit) in units.iter().enumerate() {
                let mut expected = unit.clone();
                if let (true, Some(first)) = (at == drawn, expected.first_mut()) {
                    first.0 = 2;
                }
                assert_eq!(after[2 * example + at], expected, "unit {at} of example {example}");
            }
        }
        assert_ne!(before, after);
        let weights =
            |units: &[Vec<(usize, f32)>]| units.iter().flatten().map(|c| c.1).sum::<f32>();
        assert_eq!(weights(&before), weights(&after));
    }
}
