//! Placements of experts on ranks.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use clap::ValueEnum;

/// A rule by which experts are placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rule {
    /// Neighbouring experts together, as the engine places them
    Contiguous,
    /// Expert e at rank e mod N
    RoundRobin,
    /// The busiest expert first, each to the rank with the least load so far (Graham 1969)
    LoadAware,
    /// The same, with as many further copies of the busiest experts as make the step shortest
    Replicated,
}

impl Rule {
    /// All rules.
    pub(crate) const ALL: [Rule; 4] =
        [Rule::Contiguous, Rule::RoundRobin, Rule::LoadAware, Rule::Replicated];

    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
    }

    /// The numbers of additional copies, at most `copies`, of which the fastest is used: none, 1, 2, 4 and so
    /// on, and `copies`. Rules without additional copies only try none.
    pub(crate) fn tries(self, copies: usize) -> Vec<usize> {
        if self != Rule::Replicated {
            return vec![0];
        }
        let doubled = std::iter::successors(Some(1_usize), |n| n.checked_mul(2));
        let mut tries = vec![0];
        tries.extend(doubled.take_while(|n| *n < copies));
        tries.push(copies);
        tries.dedup();
        tries
    }

    /// The ranks of each expert's copies, for experts with these loads. If there are more ranks than experts,
    /// each rank has one copy. `copies` is the number of additional ones; no rank has two copies of one
    /// expert.
    pub(crate) fn place(self, loads: &[f64], ranks: usize, copies: usize) -> Vec<Vec<usize>> {
        let e = loads.len();
        match self {
            Rule::Contiguous if ranks <= e => (0..e).map(|x| vec![x * ranks / e]).collect(),
            Rule::RoundRobin if ranks <= e => (0..e).map(|x| vec![x % ranks]).collect(),
            Rule::Contiguous => of_ranks(e, ranks, |rank| rank * e / ranks),
            Rule::RoundRobin => of_ranks(e, ranks, |rank| rank % e),
            Rule::LoadAware => greedy(loads, ranks, &numbers(loads, ranks, ranks.max(e))),
            Rule::Replicated => {
                let all = ranks.max(e).saturating_add(copies);
                greedy(loads, ranks, &numbers(loads, ranks, all))
            }
        }
    }
}

/// The ranks of each expert, computed from the expert of each rank.
fn of_ranks(experts: usize, ranks: usize, expert: impl Fn(usize) -> usize) -> Vec<Vec<usize>> {
    let mut places = vec![Vec::new(); experts];
    (0..ranks).for_each(|rank| places[expert(rank)].push(rank));
    places
}

/// A load that can be ordered.
#[derive(Clone, Copy)]
struct Load(f64);

impl Ord for Load {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Load {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Load {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Load {}

/// The number of copies of each expert, `all` in total: one each, and the others one by one for the expert
/// whose copies have the largest load. An expert has at most one copy per rank.
fn numbers(loads: &[f64], ranks: usize, all: usize) -> Vec<usize> {
    let mut numbers = vec![1; loads.len()];
    let experts = loads.iter().enumerate().filter(|_| ranks > 1);
    let mut busiest: BinaryHeap<(Load, Reverse<usize>)> =
        experts.map(|(expert, load)| (Load(*load), Reverse(expert))).collect();
    for _ in loads.len()..all {
        let Some((_, Reverse(expert))) = busiest.pop() else { break };
        numbers[expert] += 1;
        if numbers[expert] < ranks {
            let each = loads[expert] / numbers[expert] as f64;
            busiest.push((Load(each), Reverse(expert)));
        }
    }
    numbers
}

/// Assigns copies in the order of their loads, each to the rank with the smallest load that has no copy of
/// its expert. The copies of an expert have equal loads, so they take the same number of least loaded ranks.
fn greedy(loads: &[f64], ranks: usize, numbers: &[usize]) -> Vec<Vec<usize>> {
    let each = |expert: usize| loads[expert] / numbers[expert] as f64;
    let mut order: Vec<usize> = (0..loads.len()).collect();
    order.sort_by(|a, b| each(*b).total_cmp(&each(*a)));
    let mut places = vec![Vec::new(); loads.len()];
    // The load of each rank, its copies so far, and its number.
    let mut least: BinaryHeap<Reverse<(Load, usize, usize)>> =
        (0..ranks).map(|rank| Reverse((Load(0.0), 0, rank))).collect();
    for expert in order {
        let taken: Vec<_> = (0..numbers[expert]).filter_map(|_| least.pop()).collect();
        for Reverse((Load(load), copies, rank)) in taken {
            places[expert].push(rank);
            least.push(Reverse((Load(load + each(expert)), copies + 1, rank)));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOADS: [f64; 4] = [8.0, 1.0, 3.0, 4.0];

    #[test]
    fn rules_place_each_expert() {
        assert_eq!(Rule::Contiguous.place(&LOADS, 2, 0), [[0], [0], [1], [1]]);
        assert_eq!(Rule::RoundRobin.place(&LOADS, 2, 0), [[0], [1], [0], [1]]);
        // Loads 8 and 4 + 3 + 1: both ranks have 8.
        assert_eq!(Rule::LoadAware.place(&LOADS, 2, 0), [[0], [1], [1], [1]]);
        // The first expert has two copies with load 4, one on each rank; then 4, 3, 1.
        assert_eq!(Rule::Replicated.place(&LOADS, 2, 1), [vec![0, 1], vec![1], vec![1], vec![0]]);
        assert_eq!(Rule::Replicated.place(&LOADS, 2, 0), Rule::LoadAware.place(&LOADS, 2, 0));
    }

    #[test]
    fn more_ranks_than_experts_have_copies() {
        assert_eq!(Rule::Contiguous.place(&[1.0; 2], 4, 0), [[0, 1], [2, 3]]);
        assert_eq!(Rule::RoundRobin.place(&[1.0; 2], 4, 0), [[0, 2], [1, 3]]);
        let found = Rule::LoadAware.place(&[3.0, 1.0], 4, 0);
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [3, 1]);
        let mut all = found.concat();
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
        // An expert without rows is placed too.
        let found = Rule::LoadAware.place(&[3.0, 0.0, 0.0], 4, 0);
        assert_eq!(found, [vec![0, 1], vec![2], vec![3]]);
    }

    #[test]
    fn no_rank_has_two_copies_of_an_expert() {
        for (ranks, copies) in [(1, 8), (2, 8), (3, 100), (8, usize::MAX)] {
            for copies in Rule::Replicated.place(&LOADS, ranks, copies) {
                let mut ranks_of = copies.clone();
                ranks_of.sort_unstable();
                ranks_of.dedup();
                assert!(ranks_of.len() == copies.len() && copies.len() <= ranks, "{copies:?}");
            }
        }
    }

    #[test]
    fn copies_are_tried_in_doubled_numbers() {
        assert_eq!(Rule::Replicated.tries(0), [0]);
        assert_eq!(Rule::Replicated.tries(1), [0, 1]);
        assert_eq!(Rule::Replicated.tries(8), [0, 1, 2, 4, 8]);
        assert_eq!(Rule::Replicated.tries(9), [0, 1, 2, 4, 8, 9]);
        assert_eq!(Rule::LoadAware.tries(8), [0]);
    }
}
