//! The time of a MoE layer over many ranks, from the choices of a trace.

use report::trace::{Layer, Trace};

use super::topology::Topology;

/// The sizes of a layer and of its tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Tokens of a rank in a step.
    pub(crate) tokens: usize,
    /// Width of a row.
    pub(crate) width: usize,
    /// Floating-point operations of an expert on a row, forwards.
    pub(crate) flops: f64,
}

/// The seconds of a step in the layers of experts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Seconds {
    pub(crate) compute: f64,
    pub(crate) exchange: f64,
}

impl Seconds {
    pub(crate) fn all(self) -> f64 {
        self.compute + self.exchange
    }
}

/// The rows that the tokens of each rank send to each expert, in a layer. Rank r has the tokens of the trace
/// from r `tokens` on, which begins anew where it ends.
pub(crate) fn rows(layer: &Layer, ranks: usize, tokens: usize) -> Vec<Vec<f64>> {
    let units = layer.experts.len() / layer.k;
    let of_rank = |rank: usize| {
        let mut rows = vec![0.0; layer.n_experts];
        for token in rank * tokens..(rank + 1) * tokens {
            let unit = token % units;
            let chosen = &layer.experts[unit * layer.k..(unit + 1) * layer.k];
            let chosen = chosen.iter().filter_map(|expert| usize::try_from(*expert).ok());
            chosen.for_each(|expert| rows[expert] += 1.0);
        }
        rows
    };
    (0..ranks).map(of_rank).collect()
}

/// The load of each expert over all ranks.
pub(crate) fn loads(rows: &[Vec<f64>]) -> Vec<f64> {
    let mut loads = vec![0.0; rows.first().map_or(0, Vec::len)];
    for rank in rows {
        loads.iter_mut().zip(rank).for_each(|(load, rows)| *load += rows);
    }
    loads
}

/// As many rows, the same number from each rank to each expert.
pub(crate) fn balanced(rows: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let all: f64 = rows.iter().flatten().sum();
    let each = all / rows.iter().map(Vec::len).sum::<usize>().max(1) as f64;
    rows.iter().map(|rank| vec![each; rank.len()]).collect()
}

/// The time of a layer, forwards and backwards: the counts, four exchanges of rows (there and back, twice)
/// and three times the work of a forward pass. Every rank waits for the slowest one each time.
pub(crate) fn layer(
    rows: &[Vec<f64>],
    places: &[Vec<usize>],
    topology: &Topology,
    sizes: Sizes,
) -> Seconds {
    let ranks = rows.len();
    let (mut send, mut receive) = (vec![0.0; ranks], vec![0.0; ranks]);
    let (mut counts, mut work) = (0.0_f64, vec![0.0; ranks]);
    for (from, experts) in rows.iter().enumerate() {
        let mut to = vec![0.0; ranks];
        for (rows, copies) in experts.iter().zip(places) {
            // A rank has its own copy, or always the same one of the others.
            let own = copies.contains(&from).then_some(from);
            to[own.unwrap_or(copies[from % copies.len()])] += rows;
        }
        let mut waits = 0.0;
        for (rank, rows) in to.into_iter().enumerate() {
            let seconds = topology.seconds(from, rank, rows * sizes.width as f64 * 4.0);
            send[from] += seconds;
            receive[rank] += seconds;
            work[rank] += rows;
            waits += topology.seconds(from, rank, 8.0 * experts.len() as f64 / ranks as f64);
        }
        counts = counts.max(waits);
    }
    let most = |of: &[f64]| of.iter().copied().fold(0.0, f64::max);
    let exchange = counts + 4.0 * most(&send).max(most(&receive));
    Seconds { compute: 3.0 * most(&work) * sizes.flops / topology.rank.flops, exchange }
}

/// All layers of a trace, for places that follow from the loads of each.
pub(crate) fn step(
    trace: &Trace,
    ranks: usize,
    topology: &Topology,
    sizes: Sizes,
    place: impl Fn(&[f64]) -> Vec<Vec<usize>>,
    even: bool,
) -> Seconds {
    let mut sum = Seconds::default();
    for of in &trace.layers {
        let rows = rows(of, ranks, sizes.tokens);
        let rows = if even { balanced(&rows) } else { rows };
        let seconds = layer(&rows, &place(&loads(&rows)), topology, sizes);
        sum.compute += seconds.compute;
        sum.exchange += seconds.exchange;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::{
        placement::Rule,
        topology::{Level, Rank},
    };
    use super::*;

    fn topology() -> Topology {
        let level = Level { name: "all".into(), ranks: 4, alpha: 0.5, beta: 8.0 };
        Topology { levels: vec![level], rank: Rank { flops: 10.0 } }
    }

    const SIZES: Sizes = Sizes { tokens: 2, width: 2, flops: 5.0 };

    #[test]
    fn rows_are_counted_from_the_trace() {
        let choices = [vec![(0, 1.0)], vec![(1, 0.5), (0, 0.5)], vec![(1, 1.0)]];
        let layer = Layer::new(2, &choices);
        // Rank 0 has the units 0 and 1, rank 1 the units 2 and 0.
        assert_eq!(rows(&layer, 2, 2), [[2.0, 1.0], [1.0, 1.0]]);
        assert_eq!(loads(&rows(&layer, 2, 2)), [3.0, 2.0]);
        assert_eq!(balanced(&[vec![2.0, 1.0], vec![1.0, 1.0]]), [[1.25; 2]; 2]);
    }

    #[test]
    fn a_layer_waits_for_its_slowest_rank() {
        let (rows, places) = ([vec![2.0, 1.0], vec![3.0, 0.0]], [vec![0], vec![1]]);
        // Rank 1 sends 3 rows of 8 bytes to rank 0: 0.5 + 24 / 8; counts of 8 bytes: 0.5 + 1. Rank 0 works
        // on 5 rows.
        let found = layer(&rows, &places, &topology(), SIZES);
        assert!((found.exchange - (1.5 + 4.0 * 3.5)).abs() < 1e-12, "{found:?}");
        assert!((found.compute - 3.0 * 5.0 * 5.0 / 10.0).abs() < 1e-12, "{found:?}");
        // With a copy of expert 0 at rank 1 nothing but one row of expert 1 moves.
        let found = layer(&rows, &[vec![0, 1], vec![1]], &topology(), SIZES);
        assert!((found.exchange - (1.5 + 4.0 * 1.5)).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn skew_costs_and_a_better_placement_saves() {
        let choices: Vec<Vec<(usize, f32)>> =
            (0..64).map(|unit| vec![(if unit % 4 < 2 { 0 } else { unit % 8 }, 1.0)]).collect();
        let trace = Trace { layers: vec![Layer::new(8, &choices)], ..Trace::default() };
        let sizes = Sizes { tokens: 64, width: 2, flops: 5e4 };
        let time = |rule: Rule, even| {
            step(&trace, 4, &topology(), sizes, |loads| rule.place(loads, 4, 3), even).compute
        };
        let even = time(Rule::Contiguous, true);
        let [contiguous, aware, copied] =
            [Rule::Contiguous, Rule::LoadAware, Rule::Replicated].map(|rule| time(rule, false));
        assert!(
            contiguous >= aware && aware > copied && copied >= even * 0.999,
            "{contiguous} {aware} {copied} {even}"
        );
    }
}
