//! The assignment of units to experts of limited capacity that has the largest total score.
//!
//! Units are added one by one. Each is assigned to an expert, which may pass one of its units on to
//! another expert, and so on until an expert has room: the path with the largest total score is found by
//! Bellman and Ford's algorithm on the experts. Each such step keeps the assignment optimal for the units
//! so far (the successive shortest path method).

/// The expert of each unit; `scores` is `[units, experts]`, row by row. No expert has more than
/// `capacity` units.
///
/// # Panics
/// If the total capacity is less than the number of units.
pub(crate) fn balanced(scores: &[f32], n_experts: usize, capacity: usize) -> Vec<usize> {
    let n_units = scores.len() / n_experts;
    assert!(n_units <= n_experts * capacity, "{n_units} units exceed the total capacity");
    let mut experts: Vec<usize> = Vec::with_capacity(n_units);
    for unit in 0..n_units {
        insert(scores, n_experts, capacity, unit, &mut experts);
    }
    experts
}

/// Adds one unit.
fn insert(
    scores: &[f32],
    n_experts: usize,
    capacity: usize,
    unit: usize,
    experts: &mut Vec<usize>,
) {
    let score = |unit: usize, expert: usize| f64::from(scores[unit * n_experts + expert]);
    // The best unit to move from one expert to another, and the gain of the move.
    let mut moves = vec![(f64::NEG_INFINITY, 0); n_experts * n_experts];
    let mut load = vec![0; n_experts];
    for (other, &from) in experts.iter().enumerate() {
        load[from] += 1;
        for to in 0..n_experts {
            let gain = score(other, to) - score(other, from);
            let best = &mut moves[from * n_experts + to];
            if gain > best.0 {
                *best = (gain, other);
            }
        }
    }
    // The best total over paths that end at each expert, and the expert before it on the path.
    let mut total: Vec<f64> = (0..n_experts).map(|expert| score(unit, expert)).collect();
    let mut before: Vec<Option<usize>> = vec![None; n_experts];
    for _ in 1..n_experts {
        let mut better = false;
        for from in 0..n_experts {
            for to in 0..n_experts {
                let through = total[from] + moves[from * n_experts + to].0;
                // The gain must exceed rounding errors, so that no path is a cycle.
                if from != to && through > total[to] + 1e-9 {
                    (total[to], before[to]) = (through, Some(from));
                    better = true;
                }
            }
        }
        if !better {
            break;
        }
    }
    let roomy = (0..n_experts).filter(|expert| load[*expert] < capacity);
    let mut to = roomy.max_by(|a, b| total[*a].total_cmp(&total[*b])).expect("there is room");
    while let Some(from) = before[to] {
        experts[moves[from * n_experts + to].1] = to;
        to = from;
    }
    experts.push(to);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{fill, values};

    fn total(scores: &[f32], experts: &[usize], e: usize) -> f32 {
        experts.iter().enumerate().map(|(unit, expert)| scores[unit * e + expert]).sum()
    }

    /// The best total over all assignments.
    fn exhaustive(scores: &[f32], e: usize, room: &mut Vec<usize>) -> f32 {
        if scores.is_empty() {
            return 0.0;
        }
        let mut best = f32::NEG_INFINITY;
        for expert in 0..e {
            if room[expert] > 0 {
                room[expert] -= 1;
                best = best.max(scores[expert] + exhaustive(&scores[e..], e, room));
                room[expert] += 1;
            }
        }
        best
    }

    #[test]
    fn no_assignment_is_better() {
        for seed in 0..20 {
            let (u, e) = (7, 3);
            let scores = values(fill(seed, [u, e], 2.0));
            let found = balanced(&scores, e, 3);
            assert!((0..e).all(|e| found.iter().filter(|x| **x == e).count() <= 3), "{found:?}");
            let best = exhaustive(&scores, e, &mut vec![3; e]);
            assert!((total(&scores, &found, e) - best).abs() < 1e-5, "{found:?}");
        }
    }
}
