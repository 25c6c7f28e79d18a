//! Agreement of the routing of two runs. The order of experts is arbitrary, so the experts of one run are
//! first matched to those of the other.
//!
//! overlap   = mean_u |A_u ∩ B_u| / |A_u ∪ B_u|       over the experts of a unit, after matching
//! agreement = share of units with the same first expert, after matching
//! by chance = the agreement that equal loads and no relation would give: sum_i a_i b_i
//!
//! Li et al. *Convergent Learning: Do Different Neural Networks Learn the Same Representations?*
//! ICLR 2016. <https://arxiv.org/abs/1511.07543>

use super::matching;
use crate::trace::Layer;

/// Agreement of the routing of two layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    /// For each expert of the first layer, its match in the second.
    pub matched: Vec<usize>,
    /// The mean overlap of the experts of a unit.
    pub overlap: f64,
    /// The share of units with the same first expert.
    pub agreement: f64,
    /// The agreement expected by chance.
    pub by_chance: f64,
}

/// Compares two layers on the same units; none if they have different numbers of experts.
pub fn agreement(a: &Layer, b: &Layer) -> Option<Agreement> {
    let (n, e) = (a.first().len() as f64, a.n_experts);
    if e != b.n_experts || a.first().len() != b.first().len() || n == 0.0 {
        return None;
    }
    let mut both = vec![vec![0.0; e]; e];
    for (a, b) in a.units().zip(b.units()) {
        for (i, _) in &a {
            b.iter().for_each(|(j, _)| both[*i][*j] += 1.0);
        }
    }
    let matched = matching(&both);
    let (mut overlap, mut same) = (0.0, 0.0);
    for (a, b) in a.units().zip(b.units()) {
        let a: Vec<usize> = a.iter().map(|(expert, _)| matched[*expert]).collect();
        let shared = b.iter().filter(|(expert, _)| a.contains(expert)).count();
        let all = a.len() + b.len() - shared;
        overlap += if all > 0 { shared as f64 / all as f64 } else { 1.0 };
        same += if a.first() == b.first().map(|(expert, _)| expert) { 1.0 } else { 0.0 };
    }
    let share = |layer: &Layer, expert: usize| {
        layer.first().iter().filter(|first| **first == Some(expert)).count() as f64 / n
    };
    let by_chance = (0..e).map(|expert| share(a, expert) * share(b, matched[expert])).sum();
    Some(Agreement { overlap: overlap / n, agreement: same / n, by_chance, matched })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::trace;

    #[test]
    fn a_renamed_router_agrees_with_itself() {
        let layer = trace().layers.remove(0);
        let mut other = layer.clone();
        other.experts.iter_mut().filter(|e| **e >= 0).for_each(|e| *e = (*e + 1) % 3);
        let found = agreement(&layer, &other).unwrap();
        assert_eq!((found.matched, found.overlap, found.agreement), (vec![1, 2, 0], 1.0, 1.0));
        assert_eq!(found.by_chance, 0.75 * 0.75 + 0.25 * 0.25);
        other.n_experts = 4;
        assert_eq!(agreement(&layer, &other), None);
    }
}
