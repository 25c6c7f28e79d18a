//! Loads rounded to the tiles of the kernel that works on them.
//!
//! Guo et al. *SonicMoE: Accelerating MoE with IO and Tile-aware Optimizations*. 2025.
//! <https://arxiv.org/abs/2512.14080>, section 5, token rounding.
//!
//! A kernel works on tiles of M rows, and the last tile of each expert is mostly padding. So the load
//! f_e of each expert is rounded to a multiple of M: its choices of least weight are given up, or the
//! units that score it highest among those that did not choose it come in addition.
//!
//! Rounding is over the whole pass, since the kernel sees all groups at once, and in training alone.
//!
//! Differs from the paper: an added choice has the expert's probability, softmax of the unit's
//! scores, as its weight, also with routers that weigh otherwise. Where a router has no scores, or too
//! few units are left, loads are rounded down.

use burn::{prelude::*, tensor::activation::softmax};
use serde::{Deserialize, Serialize};

use crate::{Plan, plan::to_host};

/// To which multiple of the tile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// To the nearest; half a tile is rounded up.
    #[default]
    Nearest,
    /// Choices are only given up.
    Down,
    /// Choices are only added.
    Up,
}

impl Rounding {
    fn of(self, load: usize, tile: usize) -> usize {
        match self {
            Rounding::Nearest => (load + tile / 2) / tile * tile,
            Rounding::Down => load / tile * tile,
            Rounding::Up => load.next_multiple_of(tile),
        }
    }
}

/// The plan with every load a multiple of `tile`; scores are `[G, U, E]`.
pub(crate) fn round(
    plan: Plan,
    scores: Option<Tensor<3>>,
    tile: usize,
    rounding: Rounding,
) -> Plan {
    let Plan::TokenChoice { experts, weights, n_experts } = plan else { return plan };
    let [g, u, k] = experts.dims();
    let scores = scores.filter(|scores| scores.dims() == [g, u, n_experts]);
    let mut chosen = to_host(&experts);
    let of_choice = numbers(weights.clone());
    let of_unit = scores.clone().map(numbers);
    let mut added = vec![Vec::new(); g * u];
    for expert in 0..n_experts {
        let mut load: Vec<usize> = (0..g * u * k).filter(|at| chosen[*at] == expert).collect();
        let mut goal = rounding.of(load.len(), tile);
        let others = match &of_unit {
            Some(scores) if goal > load.len() => {
                best_others(scores, &chosen, expert, [g * u, k, n_experts])
            }
            _ => Vec::new(),
        };
        if goal > load.len() + others.len() {
            goal = Rounding::Down.of(load.len(), tile);
        }
        let missing = goal.saturating_sub(load.len());
        others[..missing].iter().for_each(|unit| added[*unit].push(expert));
        // Stable: among equals the later go.
        load.sort_by(|a, b| of_choice[*b].total_cmp(&of_choice[*a]));
        load.iter().skip(goal).for_each(|at| chosen[*at] = n_experts);
    }
    let experts = ints(chosen, [g, u, k], &experts.device());
    match scores {
        Some(scores) => join(experts, weights, n_experts, &added, scores),
        None => Plan::TokenChoice { experts, weights, n_experts },
    }
}

/// The units that did not choose the expert, the one that scores it highest first.
fn best_others(
    scores: &[f32],
    chosen: &[usize],
    expert: usize,
    [units, k, n_experts]: [usize; 3],
) -> Vec<usize> {
    let is_other = |unit: &usize| !chosen[unit * k..(unit + 1) * k].contains(&expert);
    let mut others: Vec<usize> = (0..units).filter(is_other).collect();
    let score = |unit: &usize| scores[unit * n_experts + expert];
    others.sort_by(|a, b| score(b).total_cmp(&score(a)));
    others
}

/// The plan with the choices that were added, as many more for each unit as the longest list.
fn join(
    experts: Tensor<3, Int>,
    weights: Tensor<3>,
    n_experts: usize,
    added: &[Vec<usize>],
    scores: Tensor<3>,
) -> Plan {
    let ([g, u, _], more) = (experts.dims(), added.iter().map(Vec::len).max().unwrap_or(0));
    if more == 0 {
        return Plan::TokenChoice { experts, weights, n_experts };
    }
    let row = |added: &Vec<usize>| {
        let mut row = added.clone();
        row.resize(more, n_experts);
        row
    };
    let also = ints(added.iter().flat_map(row).collect(), [g, u, more], &experts.device());
    let null = also.clone().equal_scalar(n_experts as i64);
    let of_also = softmax(scores, 2).gather(2, also.clone().mask_fill(null.clone(), 0));
    Plan::TokenChoice {
        experts: Tensor::cat(vec![experts, also], 2),
        weights: Tensor::cat(vec![weights, of_also.mask_fill(null, 0.0)], 2),
        n_experts,
    }
}

fn numbers(tensor: Tensor<3>) -> Vec<f32> {
    tensor.detach().into_data().iter::<f32>().collect()
}

fn ints(values: Vec<usize>, shape: [usize; 3], device: &Device) -> Tensor<3, Int> {
    let values: Vec<i32> = values.into_iter().map(|value| value as i32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEIGHTS: [f32; 5] = [0.9, 0.5, 0.8, 0.7, 0.6];

    /// Five units, one choice each: experts 0, 0, 0, 1, 1.
    fn rounded(
        tile: usize,
        rounding: Rounding,
        scores: bool,
    ) -> (Vec<usize>, Vec<f32>, [usize; 3]) {
        let device = Device::flex();
        let experts = Tensor::<3, Int>::from_ints([[[0], [0], [0], [1], [1]]], &device);
        let weights = Tensor::<3>::from_floats([WEIGHTS.map(|w| [w])], &device);
        // Softmax of each row: the numbers over their sum, 10.
        let scores = scores.then(|| {
            let rows = [[9.0, 1.0], [5.0, 5.0], [8.0, 2.0], [3.0, 7.0], [4.0, 6.0]];
            Tensor::<3>::from_floats([rows.map(|row| row.map(f32::ln))], &device)
        });
        let plan =
            round(Plan::TokenChoice { experts, weights, n_experts: 2 }, scores, tile, rounding);
        let Plan::TokenChoice { experts, weights, .. } = plan else { unreachable!("kept") };
        (to_host(&experts), numbers(weights), experts.dims())
    }

    #[test]
    fn loads_become_multiples() {
        for (rounding, load, expected) in [
            (Rounding::Nearest, 5, 4),
            (Rounding::Nearest, 6, 8),
            (Rounding::Nearest, 1, 0),
            (Rounding::Down, 7, 4),
            (Rounding::Up, 5, 8),
            (Rounding::Up, 8, 8),
        ] {
            assert_eq!(rounding.of(load, 4), expected, "{rounding:?} {load}");
        }
    }

    #[test]
    fn rounded_down_the_least_weight_goes() {
        // Expert 0 has 3: unit 1, of weight 0.5, goes. Expert 1 has 2.
        let (experts, weights, _) = rounded(2, Rounding::Down, true);
        assert_eq!(experts, [0, 2, 0, 1, 1]);
        assert_eq!(weights, WEIGHTS);
    }

    #[test]
    fn rounded_up_the_best_of_the_others_come() {
        // Expert 0 has 3 and gets unit 4, which scores it 4 to unit 3's 3.
        let (experts, weights, shape) = rounded(2, Rounding::Up, true);
        assert_eq!((experts, shape), (vec![0, 2, 0, 2, 0, 2, 1, 2, 1, 0], [1, 5, 2]));
        assert!((weights[9] - 0.4).abs() < 1e-6 && weights[7] == 0.0, "{weights:?}");
    }

    #[test]
    fn without_scores_or_units_it_is_rounded_down() {
        assert_eq!(rounded(2, Rounding::Up, false).0, [0, 2, 0, 1, 1]);
        // No expert can have 8 of 5 units.
        assert_eq!(rounded(8, Rounding::Up, true).0, [2; 5]);
    }

    #[test]
    fn a_tile_of_one_changes_nothing() {
        assert_eq!(rounded(1, Rounding::Nearest, true).0, [0, 0, 0, 1, 1]);
    }
}
