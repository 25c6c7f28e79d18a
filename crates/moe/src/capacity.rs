//! How many units an expert may take, and who is turned away.
//!
//! Preferences are the router's, feasibility is the layer's: so every router has the same budget.

use burn::{prelude::*, tensor::Int};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::{Pass, Plan, Rounding, plan::to_host, queue, token_rounding};

/// Who is turned away when an expert is full: choices are served in this order, and those that come
/// too late go to no one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropPolicy {
    /// Unit by unit: all choices of a unit before those of the next. The only order in which no unit
    /// depends on a later one.
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
    /// As `position`, with the units in a random order, so that no place in a sequence is worse.
    Shuffled,
}

crate::config! {
    /// The capacity of the experts: `C = factor * U * K / E` slots in each group, rounded up.
    /// It binds plans in which units choose; in the other forms experts have a size of their own.
    pub struct Capacity {
        /// Slots over the number needed at perfect balance; none means dropless.
        pub factor: Option<f64> = None,
        /// The same in evaluation; none means as in training.
        pub eval_factor: Option<f64> = None,
        /// Is C rounded to the nearest whole number, not up? V-MoE's paper rounds, its code rounds up.
        pub nearest: bool = false,
        /// After that, C is rounded up to a multiple of this.
        pub multiple: usize = 1,
        /// Groups of the plan, sequences or pictures, that share their slots. Where a batch has not a
        /// whole number of so many, the largest number that divides it.
        pub group: usize = 1,
        /// Who is turned away.
        pub drop: DropPolicy = DropPolicy::InOrder,
        /// The share of a group's units that are served at all, those of most priority: V-MoE's
        /// skipping of patches, appendix C.
        pub served: f64 = 1.0,
        /// Do those who are turned away go to their next best expert with room? Then an expert's load
        /// can only be too large for all of them together.
        pub reroute: bool = false,
        /// In training, loads are rounded to a multiple of this, the tile of a kernel; only where there
        /// is no factor.
        pub tile: usize = 1,
        /// To which multiple.
        pub tile_to: Rounding = Rounding::Nearest,
    }
}

impl Capacity {
    /// Is the policy sensible?
    pub fn check(&self) -> Result<(), String> {
        let factors = [("factor", self.factor), ("eval_factor", self.eval_factor)];
        for (name, factor) in factors {
            if let Some(factor) = factor.filter(|factor| !(*factor > 0.0 && factor.is_finite())) {
                return Err(format!(
                    "capacity.{name} = {factor}: it is larger than 0, or left out"
                ));
            }
        }
        let unlimited = self.factor.is_none() && self.eval_factor.is_none();
        let by_unit = matches!(self.drop, DropPolicy::Priority | DropPolicy::SumPriority);
        match self {
            Capacity { group: 0, .. } => Err("capacity.group = 0: it is at least 1".into()),
            Capacity { served, .. } if !(*served > 0.0 && *served <= 1.0) => {
                Err(format!("capacity.served = {served}: it is above 0, and at most 1"))
            }
            Capacity { served, .. } if *served < 1.0 && (!by_unit || unlimited) => Err(format!(
                "capacity.served = {served}: it takes a factor, and drop = \"priority\" or \
                 \"sum-priority\""
            )),
            Capacity { multiple: 0, .. } => Err("capacity.multiple = 0: it is at least 1".into()),
            Capacity { tile: 0, .. } => Err("capacity.tile = 0: it is at least 1".into()),
            Capacity { reroute: true, .. } if unlimited => {
                Err("capacity.reroute = true: without a factor no one is turned away".into())
            }
            Capacity { tile, .. } if *tile > 1 && !unlimited => Err(format!(
                "capacity.tile = {tile}: loads are rounded where there is no factor; \
                 with one, use capacity.multiple"
            )),
            _ => Ok(()),
        }
    }

    /// May a unit be turned away because of units after it?
    pub fn sees_later_units(&self) -> bool {
        let limited = self.factor.is_some() || self.eval_factor.is_some();
        // Room is what all choices of the first sweep leave.
        limited && (self.drop != DropPolicy::InOrder || self.reroute) || self.tile > 1
    }

    /// The policy as it is in training, or in evaluation.
    pub fn at(&self, training: bool) -> Self {
        let factor = if training { self.factor } else { self.eval_factor.or(self.factor) };
        let tile = if training { self.tile } else { 1 };
        Self { factor, eval_factor: None, tile, ..self.clone() }
    }

    /// The slots of each expert in a group of `units` with `choices` each, at least one and, before
    /// they are rounded to a multiple, no more than there are choices; none if dropless.
    pub fn slots(&self, units: usize, choices: usize, experts: usize) -> Option<usize> {
        let wanted = self.factor? * (units * choices) as f64 / experts as f64;
        let whole = if self.nearest { wanted.round_ties_even() as usize } else { round_up(wanted) };
        Some(whole.clamp(1, (units * choices).max(1)).next_multiple_of(self.multiple))
    }

    /// How many of `groups` share their slots.
    fn together(&self, groups: usize) -> usize {
        (1..=self.group.min(groups)).rev().find(|n| groups.is_multiple_of(*n)).unwrap_or(1)
    }

    /// The most slots of an expert that one of G groups of U units with K choices can take.
    pub(crate) fn most_slots(&self, [g, u, k]: [usize; 3], experts: usize) -> Option<usize> {
        let together = self.together(g);
        let shared = self.slots(together * u, k, experts)?;
        Some(shared.min((u * k).max(1)))
    }

    /// The plan with the choices that do not fit given to the null expert, or to the next best by the
    /// router's scores, `[G, U, E]`.
    pub fn apply(&self, pass: &mut Pass, plan: Plan, scores: Option<Tensor<3>>) -> Plan {
        if self.tile > 1 {
            return token_rounding::round(plan, scores, self.tile, self.tile_to);
        }
        let Plan::TokenChoice { experts, weights, n_experts } = plan else { return plan };
        let shape = experts.dims();
        let (together, k) = (self.together(shape[0]), shape[2]);
        let (g, u) = (shape[0] / together, shape[1] * together);
        let Some(slots) = self.slots(u, k, n_experts) else {
            return Plan::TokenChoice { experts, weights, n_experts };
        };
        if let Some(by_rank) = self.by_rank().filter(|_| !kernels::on_flex(&experts.device())) {
            let experts =
                queue::drop_overflow(experts.reshape([g, u, k]), n_experts, slots, by_rank);
            return Plan::TokenChoice { experts: experts.reshape(shape), weights, n_experts };
        }
        let mut chosen = to_host(&experts);
        let orders = self.orders(pass, &weights.clone().reshape([g, u, k]));
        let preferred = match self.reroute {
            true => preferences(scores, [shape[0], shape[1], n_experts]),
            false => Vec::new(),
        };
        for (index, (group, order)) in chosen.chunks_mut(u * k).zip(&orders).enumerate() {
            let turned_away = drop_overflow(group, order, n_experts, slots);
            if self.reroute {
                let preferred = &preferred[index * u * n_experts..][..u * n_experts];
                reroute(group, &turned_away, preferred, [k, n_experts, slots]);
            }
        }
        let chosen: Vec<i32> = chosen.into_iter().map(|e| e as i32).collect();
        let experts =
            Tensor::<3, Int>::from_data(TensorData::new(chosen, shape), &experts.device());
        Plan::TokenChoice { experts, weights, n_experts }
    }

    /// Where the order follows from places alone, and no one goes elsewhere: is it rank by rank?
    fn by_rank(&self) -> Option<bool> {
        match self.drop {
            DropPolicy::InOrder | DropPolicy::Position if !self.reroute => {
                Some(self.drop == DropPolicy::Position)
            }
            _ => None,
        }
    }

    /// For each group the choices that may be served, in that order: choice `unit * K + rank`.
    fn orders(&self, pass: &mut Pass, weights: &Tensor<3>) -> Vec<Vec<usize>> {
        let [g, u, k] = weights.dims();
        let served = ((self.served * u as f64).round() as usize).clamp(1, u.max(1));
        let rank_by_rank = |units: Vec<usize>| -> Vec<usize> {
            let units = || units.iter().take(served);
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
            DropPolicy::Shuffled => {
                let mut rng = pass.common_rng();
                let mut shuffled = || {
                    let mut units: Vec<usize> = (0..u).collect();
                    units.shuffle(&mut rng);
                    units
                };
                (0..g).map(|_| rank_by_rank(shuffled())).collect()
            }
        }
    }
}

/// A number of slots, rounded up to a whole one. What a product of floating-point numbers has in excess
/// of a whole number is no slot more: 1.1 * 200 / 4 is 55.00000000000001, and gives 55.
pub fn round_up(slots: f64) -> usize {
    const NOISE: f64 = 1e-12; // relative; some thousand units in the last place
    (slots * (1.0 - NOISE)).ceil() as usize
}

/// The indices of each group, largest score first; among equals the first. Scores are `[G, N, 1]`.
fn by_groups(scores: Tensor<3>) -> impl Iterator<Item = Vec<usize>> {
    let [g, n, _] = scores.dims();
    let scores: Vec<f32> = scores.detach().into_data().iter::<f32>().collect();
    (0..g).map(move |group| {
        let scores = &scores[group * n..][..n];
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a])); // stable
        order
    })
}

/// Serves the choices of one group in the given order; gives those that it turned away. Choices that
/// are not in the order are not served.
fn drop_overflow(
    chosen: &mut [usize],
    order: &[usize],
    n_experts: usize,
    slots: usize,
) -> Vec<usize> {
    let asked = chosen.to_vec();
    chosen.fill(n_experts);
    let (mut taken, mut turned_away) = (vec![0; n_experts + 1], Vec::new());
    for &choice in order {
        let expert = asked[choice];
        match expert < n_experts && taken[expert] == slots {
            true => turned_away.push(choice),
            false => {
                chosen[choice] = expert;
                taken[expert] += 1;
            }
        }
    }
    turned_away
}

/// For each unit all experts, the one with the highest score first: `G * U * E` numbers. Without
/// scores, or with scores for others than the experts, in the order of the experts.
fn preferences(scores: Option<Tensor<3>>, [g, u, e]: [usize; 3]) -> Vec<usize> {
    match scores.filter(|scores| scores.dims() == [g, u, e]) {
        Some(scores) => by_groups(scores.reshape([g * u, e, 1])).flatten().collect(),
        None => (0..e).collect::<Vec<_>>().repeat(g * u),
    }
}

/// Sends the choices that were turned away to the best expert of their unit that has room and that the
/// unit does not visit yet, in the order in which they were turned away. A choice keeps its weight.
///
/// Fedus et al. *Switch Transformers*. 2021. <https://arxiv.org/abs/2101.03961>, appendix B, No Token
/// Left Behind.
fn reroute(
    chosen: &mut [usize],
    turned_away: &[usize],
    preferred: &[usize],
    [k, e, slots]: [usize; 3],
) {
    let mut taken = vec![0; e + 1];
    chosen.iter().for_each(|expert| taken[*expert] += 1);
    for choice in turned_away {
        let unit = choice / k;
        let visited = &chosen[unit * k..(unit + 1) * k];
        let room = |expert: &&usize| taken[**expert] < slots && !visited.contains(*expert);
        if let Some(expert) = preferred[unit * e..(unit + 1) * e].iter().find(room) {
            chosen[*choice] = *expert;
            taken[*expert] += 1;
        }
    }
}

#[cfg(test)]
mod tests;
