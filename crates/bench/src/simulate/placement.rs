//! Placements of experts on ranks.

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
    /// The same, with copies of the busiest experts, whose rows their copies share
    Replicated,
}

impl Rule {
    /// All of them.
    pub(crate) const ALL: [Rule; 4] =
        [Rule::Contiguous, Rule::RoundRobin, Rule::LoadAware, Rule::Replicated];

    /// The name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_string())
    }

    /// The ranks of each expert's copies, for experts of these loads. Where there are more ranks than
    /// experts, each rank has one copy.
    pub(crate) fn place(self, loads: &[f64], ranks: usize, copies: usize) -> Vec<Vec<usize>> {
        let e = loads.len();
        match self {
            Rule::Contiguous if ranks <= e => (0..e).map(|x| vec![x * ranks / e]).collect(),
            Rule::RoundRobin if ranks <= e => (0..e).map(|x| vec![x % ranks]).collect(),
            Rule::Contiguous => of_ranks(e, ranks, |rank| rank * e / ranks),
            Rule::RoundRobin => of_ranks(e, ranks, |rank| rank % e),
            Rule::LoadAware => greedy(loads, ranks, &numbers(loads, ranks.max(e))),
            Rule::Replicated => greedy(loads, ranks, &numbers(loads, ranks.max(e) + copies)),
        }
    }
}

/// The ranks of each expert, from the expert of each rank.
fn of_ranks(experts: usize, ranks: usize, expert: impl Fn(usize) -> usize) -> Vec<Vec<usize>> {
    let mut places = vec![Vec::new(); experts];
    (0..ranks).for_each(|rank| places[expert(rank)].push(rank));
    places
}

/// The number of copies of each expert, of so many in all: one each, and the others one by one where the
/// load of a copy is largest.
fn numbers(loads: &[f64], all: usize) -> Vec<usize> {
    let mut numbers = vec![1; loads.len()];
    for _ in loads.len()..all {
        let each = |expert: &usize| loads[*expert] / numbers[*expert] as f64;
        let most = (0..loads.len()).max_by(|a, b| each(a).total_cmp(&each(b)));
        most.into_iter().for_each(|expert| numbers[expert] += 1);
    }
    numbers
}

/// Copies in the order of their loads, each to the rank with the least load that has none of its expert.
fn greedy(loads: &[f64], ranks: usize, numbers: &[usize]) -> Vec<Vec<usize>> {
    let each = |expert: usize| loads[expert] / numbers[expert] as f64;
    let mut order: Vec<usize> = (0..loads.len()).collect();
    order.sort_by(|a, b| each(*b).total_cmp(&each(*a)));
    let (mut places, mut busy) = (vec![Vec::new(); loads.len()], vec![(0.0, 0_usize); ranks]);
    for expert in order {
        for _ in 0..numbers[expert].min(ranks) {
            let free = (0..ranks).filter(|rank| !places[expert].contains(rank));
            let least = free.min_by(|a, b| {
                busy[*a].partial_cmp(&busy[*b]).unwrap_or(std::cmp::Ordering::Equal)
            });
            let Some(rank) = least else { break };
            busy[rank] = (busy[rank].0 + each(expert), busy[rank].1 + 1);
            places[expert].push(rank);
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
        // 8 | 4, 3, 1: both ranks have 8.
        assert_eq!(Rule::LoadAware.place(&LOADS, 2, 0), [[0], [1], [1], [1]]);
        // Of two copies of the first, 4 each, one goes to each rank; then 4, 3, 1.
        assert_eq!(Rule::Replicated.place(&LOADS, 2, 1), [vec![0, 1], vec![1], vec![1], vec![0]]);
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
    }
}
