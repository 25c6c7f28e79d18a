//! How many units an expert may take, and who is turned away.
//!
//! Preferences are the router's, feasibility is the layer's: so every router has the same budget.

use std::cmp::Reverse;

use burn::{prelude::*, tensor::Int};
use serde::{Deserialize, Serialize};

use crate::{Plan, plan::to_host};

/// Who is turned away when an expert is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drop {
    /// The last comers: first all first choices in the order of the units, then all second
    /// choices, and so on (GShard, Switch).
    #[default]
    Position,
    /// The least certain: as above, with the units in the order of their largest weight
    /// (V-MoE's batch-prioritized routing, <https://arxiv.org/abs/2106.05974>, section 4.1).
    /// In a decoder this looks at later tokens.
    Priority,
}

crate::config! {
    /// The capacity of the experts: `C = factor * U * K / E` slots in each group, rounded up.
    /// It binds plans in which units choose; in the other forms experts have a size of their own.
    pub struct Capacity {
        /// Slots over the number needed at perfect balance; none means dropless.
        pub factor: Option<f64> = None,
        /// C is rounded up to a multiple of this.
        pub multiple: usize = 1,
        /// Who is turned away.
        pub drop: Drop = Drop::Position,
    }
}

impl Capacity {
    /// Is the policy sensible?
    pub fn check(&self) -> Result<(), String> {
        match self.factor {
            Some(factor) if !(factor > 0.0 && factor.is_finite()) => {
                Err(format!("capacity.factor = {factor}: it is larger than 0, or left out"))
            }
            _ if self.multiple == 0 => Err("capacity.multiple = 0: it is at least 1".into()),
            _ => Ok(()),
        }
    }

    /// May a unit be turned away because of units after it?
    pub fn sees_later_units(&self) -> bool {
        self.factor.is_some() && self.drop == Drop::Priority
    }

    /// The slots of each expert in a group of `units` with `choices` each; none if dropless.
    pub fn slots(&self, units: usize, choices: usize, experts: usize) -> Option<usize> {
        let wanted = self.factor? * (units * choices) as f64 / experts as f64;
        Some((wanted.ceil() as usize).max(1).next_multiple_of(self.multiple))
    }

    /// The plan with the choices that do not fit given to the null expert.
    pub fn apply(&self, plan: Plan) -> Plan {
        let Plan::TokenChoice { experts, weights, n_experts } = plan else { return plan };
        let [g, u, k] = experts.dims();
        let Some(slots) = self.slots(u, k, n_experts) else {
            return Plan::TokenChoice { experts, weights, n_experts };
        };
        let mut chosen = to_host(&experts);
        let order = self.order(&weights);
        for (group, order) in chosen.chunks_mut(u * k).zip(order.chunks(u)) {
            turn_away(group, order, k, n_experts, slots);
        }
        let chosen: Vec<i32> = chosen.into_iter().map(|e| e as i32).collect();
        let experts =
            Tensor::<3, Int>::from_data(TensorData::new(chosen, [g, u, k]), &experts.device());
        Plan::TokenChoice { experts, weights, n_experts }
    }

    /// The units of each group in the order in which they are served, `G * U` indices.
    fn order(&self, weights: &Tensor<3>) -> Vec<usize> {
        let [g, u, _] = weights.dims();
        let mut order: Vec<usize> = (0..g).flat_map(|_| 0..u).collect();
        if self.drop == Drop::Priority {
            let best = weights.clone().detach().max_dim(2).into_data();
            let best: Vec<f32> = best.iter::<f32>().collect();
            for (order, best) in order.chunks_mut(u).zip(best.chunks(u)) {
                // Stable, so that position decides between equals.
                order.sort_by_key(|&unit| Reverse(OrderedF32(best[unit])));
            }
        }
        order
    }
}

/// Serves the choices of one group, `chosen[unit * k + rank]`, rank by rank in the given order.
fn turn_away(chosen: &mut [usize], order: &[usize], k: usize, n_experts: usize, slots: usize) {
    let mut taken = vec![0; n_experts + 1];
    for rank in 0..k {
        for unit in order {
            let expert = &mut chosen[unit * k + rank];
            if *expert < n_experts && taken[*expert] == slots {
                *expert = n_experts;
            }
            taken[*expert] += 1;
        }
    }
}

/// Weights in their total order.
struct OrderedF32(f32);

impl PartialEq for OrderedF32 {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for OrderedF32 {}
impl PartialOrd for OrderedF32 {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for OrderedF32 {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(capacity: &Capacity) -> Vec<usize> {
        let device = Device::flex();
        // Four units, one choice each: three want expert 0, the last of them most.
        let experts = Tensor::<3, Int>::from_ints([[[0], [0], [1], [0]]], &device);
        let weights = Tensor::<3>::from_floats([[[0.6], [0.7], [0.5], [0.9]]], &device);
        let plan = capacity.apply(Plan::TokenChoice { experts, weights, n_experts: 2 });
        let Plan::TokenChoice { experts, .. } = plan else { unreachable!("the form is kept") };
        to_host(&experts)
    }

    fn capacity(drop: Drop) -> Capacity {
        Capacity { factor: Some(1.0), drop, ..Capacity::default() }
    }

    #[test]
    fn slots_are_rounded_up() {
        let capacity = Capacity { factor: Some(1.25), multiple: 8, ..Capacity::default() };
        // 1.25 * 16 * 2 / 8 = 5, up to a multiple of 8.
        assert_eq!(capacity.slots(16, 2, 8), Some(8));
        assert_eq!(Capacity { multiple: 1, ..capacity }.slots(10, 1, 8), Some(2)); // 1.5625
        assert_eq!(Capacity::default().slots(16, 2, 8), None);
    }

    #[test]
    fn dropless_drops_nothing() {
        assert_eq!(served(&Capacity::default()), [0, 0, 1, 0]);
    }

    #[test]
    fn by_position_the_last_comer_goes() {
        // C = 1.0 * 4 * 1 / 2 = 2.
        assert_eq!(served(&capacity(Drop::Position)), [0, 0, 1, 2]);
    }

    #[test]
    fn by_priority_the_least_certain_goes() {
        assert_eq!(served(&capacity(Drop::Priority)), [2, 0, 1, 0]);
    }

    #[test]
    fn first_choices_come_before_second_ones() {
        // Unit 0 has expert 1 as its second choice, unit 1 as its first; there is one slot.
        let mut chosen = [0, 1, 1, 0];
        turn_away(&mut chosen, &[0, 1], 2, 2, 1);
        assert_eq!(chosen, [0, 2, 1, 2]);
    }
}
