//! The capacity of experts, and the policy for choices that exceed it.
//!
//! Routers express preferences, and the layer enforces the limit, so that every router has the same
//! budget.

mod queue;

use burn::{prelude::*, tensor::Int};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use queue::Limits;
pub(crate) use queue::places;

use crate::routing::{Pass, Plan, to_host};

/// The order in which choices are assigned to slots. Choices that find their expert full are dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropPolicy {
    /// Unit by unit: all choices of a unit before those of the next. This is the only order in which no
    /// unit depends on a later one.
    #[default]
    InOrder,
    /// First all first choices in the order of the units, then all second choices, and so on
    /// (GShard, <https://arxiv.org/abs/2006.16668>, algorithm 1). With one choice for each unit
    /// (Switch) it is the same as `in-order`.
    Position,
    /// As `position`, with the units in the order of their largest weight (V-MoE's batch-prioritized
    /// routing, <https://arxiv.org/abs/2106.05974>, section 4.1).
    Priority,
    /// As `priority`, by the sum of a unit's weights (the same paper, appendix C).
    SumPriority,
    /// Choice by choice in the order of their weights, whichever unit they belong to (Megatron-core's
    /// drop policy `probs`, <https://github.com/NVIDIA/Megatron-LM>).
    ChoicePriority,
    /// As `position`, with the units in a random order, so that no position in a sequence is at a
    /// disadvantage.
    Shuffled,
}

crate::config! {
    /// The capacity of the experts: `C = factor * U * K / E` slots in each group, rounded up. It limits
    /// plans in which units choose; in the other forms the router itself sets the size of an expert.
    pub struct Capacity {
        /// Slots of each expert in a group, independent of the number of units, instead of the factors. A
        /// transformers checkpoint of Switch has this number as `expert_capacity`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub slots: Option<usize> = None,
        /// Slots over the number needed at perfect balance; none means dropless.
        pub factor: Option<f64> = None,
        /// The factor in evaluation; none means the same as in training.
        pub eval_factor: Option<f64> = None,
        /// The multiple that C is rounded up to after that.
        pub multiple: usize = 1,
        /// The number of groups of the plan (sequences or images) that share their slots. If it does not
        /// divide the batch, the largest smaller number that does is used.
        pub group: usize = 1,
        /// The order in which choices are assigned to slots.
        pub drop: DropPolicy = DropPolicy::InOrder,
        /// The share of a group's units that are routed at all, above 0 and at most 1. The units of
        /// highest priority are kept; the others are dropped (V-MoE, appendix C).
        #[serde(alias = "served")]
        pub keep_fraction: f64 = 1.0,
    }
}

impl Capacity {
    /// Checks that the settings are in range and consistent with each other.
    pub fn check(&self) -> Result<(), String> {
        let factors = [("factor", self.factor), ("eval_factor", self.eval_factor)];
        for (name, factor) in factors {
            if let Some(factor) = factor.filter(|factor| !(*factor > 0.0 && factor.is_finite())) {
                return Err(format!(
                    "capacity.{name} = {factor}: must be larger than 0, or left out"
                ));
            }
        }
        let factors = self.factor.is_some() || self.eval_factor.is_some();
        let unlimited = self.slots.is_none() && !factors;
        let by_unit = matches!(self.drop, DropPolicy::Priority | DropPolicy::SumPriority);
        match self {
            Capacity { slots: Some(0), .. } => Err("capacity.slots = 0: must be at least 1".into()),
            Capacity { slots: Some(slots), .. } if factors => Err(format!(
                "capacity.slots = {slots}: cannot be combined with factor or eval_factor"
            )),
            Capacity { group: 0, .. } => Err("capacity.group = 0: must be at least 1".into()),
            Capacity { keep_fraction: kept, .. } if !(*kept > 0.0 && *kept <= 1.0) => {
                Err(format!("capacity.keep_fraction = {kept}: must be above 0, and at most 1"))
            }
            Capacity { keep_fraction: kept, .. } if *kept < 1.0 && (!by_unit || unlimited) => {
                Err(format!(
                    "capacity.keep_fraction = {kept}: needs capacity.factor, and drop = \"priority\" \
                     or \"sum-priority\""
                ))
            }
            Capacity { multiple: 0, .. } => Err("capacity.multiple = 0: must be at least 1".into()),
            _ => Ok(()),
        }
    }

    /// Whether a unit may be dropped because of units after it.
    pub fn sees_later_units(&self) -> bool {
        let limited = [self.factor, self.eval_factor].iter().any(Option::is_some);
        (limited || self.slots.is_some()) && self.drop != DropPolicy::InOrder
    }

    /// The policy in training, or in evaluation.
    pub fn at(&self, training: bool) -> Self {
        let factor = if training { self.factor } else { self.eval_factor.or(self.factor) };
        Self { factor, eval_factor: None, ..self.clone() }
    }

    /// The slots of each expert in a group of `units` with `choices` each: at least one and, before
    /// rounding to a multiple, at most the number of choices. None if dropless.
    pub fn slots(&self, units: usize, choices: usize, experts: usize) -> Option<usize> {
        let by_factor = |factor: f64| round_up(factor * (units * choices) as f64 / experts as f64);
        let wanted = self.slots.or_else(|| self.factor.map(by_factor))?;
        Some(wanted.clamp(1, (units * choices).max(1)).next_multiple_of(self.multiple))
    }

    /// The number of groups that share their slots, out of `groups`.
    fn together(&self, groups: usize) -> usize {
        (1..=self.group.min(groups)).rev().find(|n| groups.is_multiple_of(*n)).unwrap_or(1)
    }

    /// The largest number of slots of one expert that a group of U units with K choices, one of G, can
    /// fill.
    pub(crate) fn most_slots(&self, [g, u, k]: [usize; 3], experts: usize) -> Option<usize> {
        let together = self.together(g);
        let shared = self.slots(together * u, k, experts)?;
        Some(shared.min((u * k).max(1)))
    }

    /// The plan in which choices that exceed the capacity are given to the null expert.
    pub fn apply(&self, pass: &mut Pass, plan: Plan) -> Plan {
        let Plan::TokenChoice { experts, weights, n_experts } = plan else { return plan };
        let shape = experts.dims();
        let (together, k) = (self.together(shape[0]), shape[2]);
        let (g, u) = (shape[0] / together, shape[1] * together);
        let Some(slots) = self.slots(u, k, n_experts) else {
            return Plan::TokenChoice { experts, weights, n_experts };
        };
        if !kernels::on_flex(&experts.device()) {
            let limits = Limits { n_experts, slots, kept: self.kept(u) };
            let (choices, weights3) =
                (experts.reshape([g, u, k]), weights.clone().reshape([g, u, k]));
            let experts = self.apply_on_device(pass, choices, weights3, limits);
            return Plan::TokenChoice { experts: experts.reshape(shape), weights, n_experts };
        }
        let mut chosen = to_host(&experts);
        let orders = self.orders(pass, &weights.clone().reshape([g, u, k]));
        for (group, order) in chosen.chunks_mut(u * k).zip(&orders) {
            drop_overflow(group, order, n_experts, slots);
        }
        let chosen: Vec<i32> = chosen.into_iter().map(|e| e as i32).collect();
        let experts =
            Tensor::<3, Int>::from_data(TensorData::new(chosen, shape), &experts.device());
        Plan::TokenChoice { experts, weights, n_experts }
    }

    /// [`Capacity::apply`] for choices `[G, U, K]`, without a read-back, for devices with memory of their
    /// own.
    fn apply_on_device(
        &self,
        pass: &mut Pass,
        choices: Tensor<3, Int>,
        weights: Tensor<3>,
        limits: Limits,
    ) -> Tensor<3, Int> {
        let ([g, u, k], weights) = (choices.dims(), weights.detach().inner());
        let by = |scores: Tensor<3>| queue::places_by_score(scores.reshape([g, u]));
        match self.drop {
            DropPolicy::InOrder => limits.drop_overflow(choices.reshape([g, u * k, 1])),
            DropPolicy::Position => limits.drop_overflow(choices),
            DropPolicy::Priority => limits.drop_overflow_by(choices, by(weights.max_dim(2))),
            DropPolicy::SumPriority => limits.drop_overflow_by(choices, by(weights.sum_dim(2))),
            DropPolicy::ChoicePriority => {
                let places = queue::places_by_score(weights.reshape([g, u * k]));
                let limits = Limits { kept: u * k, ..limits };
                limits.drop_overflow_by(choices.reshape([g, u * k, 1]), places)
            }
            DropPolicy::Shuffled => {
                let orders: Vec<_> = shuffled(pass, [g, u]).collect();
                let places = queue::places_of(&orders, &choices.device());
                limits.drop_overflow_by(choices, places)
            }
        }
    }

    /// The number of units of a group of `units` that are routed at all.
    fn kept(&self, units: usize) -> usize {
        ((self.keep_fraction * units as f64).round() as usize).clamp(1, units.max(1))
    }

    /// For each group, the choices that may get a slot, in order of priority: choice `unit * K + rank`.
    fn orders(&self, pass: &mut Pass, weights: &Tensor<3>) -> Vec<Vec<usize>> {
        let [g, u, k] = weights.dims();
        let kept = self.kept(u);
        let rank_by_rank = |units: Vec<usize>| -> Vec<usize> {
            let units = || units.iter().take(kept);
            (0..k).flat_map(|rank| units().map(move |unit| unit * k + rank)).collect()
        };
        let ranked = |scores: Tensor<3>| by_groups(scores).map(rank_by_rank).collect();
        match self.drop {
            DropPolicy::InOrder => vec![(0..u * k).collect(); g],
            DropPolicy::Position => vec![rank_by_rank((0..u).collect()); g],
            DropPolicy::Priority => ranked(weights.clone().max_dim(2)),
            DropPolicy::SumPriority => ranked(weights.clone().sum_dim(2)),
            DropPolicy::ChoicePriority => {
                by_groups(weights.clone().reshape([g, u * k, 1])).collect()
            }
            DropPolicy::Shuffled => shuffled(pass, [g, u]).map(rank_by_rank).collect(),
        }
    }
}

/// A number of slots, rounded up to an integer. Rounding errors are ignored: 1.1 * 200 / 4 is
/// 55.00000000000001 in floating point, and gives 55.
pub fn round_up(slots: f64) -> usize {
    const NOISE: f64 = 1e-12; // relative; a few thousand units in the last place
    (slots * (1.0 - NOISE)).ceil() as usize
}

/// The units of each of G groups in a random order.
fn shuffled(pass: &mut Pass, [g, u]: [usize; 2]) -> impl Iterator<Item = Vec<usize>> {
    let mut rng = pass.common_rng();
    (0..g).map(move |_| {
        let mut units: Vec<usize> = (0..u).collect();
        units.shuffle(&mut rng);
        units
    })
}

/// The indices of each group in order of descending score; ties keep their order. Scores are `[G, N, 1]`.
fn by_groups(scores: Tensor<3>) -> impl Iterator<Item = Vec<usize>> {
    let [g, n, _] = scores.dims();
    let scores: Vec<f32> = kernels::read_back(scores.detach()).iter::<f32>().collect();
    (0..g).map(move |group| {
        let scores = &scores[group * n..][..n];
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a])); // stable
        order
    })
}

/// Assigns the choices of one group to their experts in the given order, and gives choices whose expert is
/// full to the null expert. Choices that are not in the order are dropped.
fn drop_overflow(chosen: &mut [usize], order: &[usize], n_experts: usize, slots: usize) {
    let asked = chosen.to_vec();
    chosen.fill(n_experts);
    let mut taken = vec![0; n_experts + 1];
    for &choice in order {
        let expert = asked[choice];
        if expert == n_experts || taken[expert] < slots {
            chosen[choice] = expert;
            taken[expert] += 1;
        }
    }
}

#[cfg(test)]
mod tests;
