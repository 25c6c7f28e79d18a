//! The time of a MoE layer over many ranks, from the choices of a trace.
//!
//! There may be many ranks, so no sum is over pairs of them: the messages between ranks are summed by the
//! groups of the network (`topology.rs`).

use report::trace::Layer;

use super::{
    placement::Rule,
    topology::{Topology, add},
};

/// The sizes of a layer and of its tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// The number of tokens of a rank in a step.
    pub(crate) tokens: usize,
    /// Width of a row.
    pub(crate) width: usize,
    /// Hidden width of an expert of two matrices.
    pub(crate) hidden: usize,
}

impl Sizes {
    /// Floating-point operations of an expert for a row in the forward pass.
    pub(crate) fn flops(self) -> f64 {
        4.0 * self.width as f64 * self.hidden as f64
    }

    /// Bytes of a row, in f32.
    fn row(self) -> f64 {
        4.0 * self.width as f64
    }

    /// Bytes of the gradients of an expert, in f32.
    fn gradients(self) -> f64 {
        4.0 * 2.0 * self.width as f64 * self.hidden as f64
    }
}

/// The seconds of a step in the layers of experts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Seconds {
    /// Time in the experts.
    pub(crate) compute: f64,
    /// Time in the exchange of rows and of their counts.
    pub(crate) exchange: f64,
    /// Time in summing the gradients of copies.
    pub(crate) sums: f64,
}

impl Seconds {
    pub(crate) fn all(self) -> f64 {
        self.compute + self.exchange + self.sums
    }
}

/// The number of rows that the tokens of each rank send to each expert, in a layer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rows {
    /// Rank r has the entry r mod their number: the trace is repeated, so the tokens of ranks repeat too.
    kinds: Vec<Vec<f64>>,
    ranks: usize,
}

impl Rows {
    /// The rows of the tokens of a trace. Rank r has the tokens from position r times `tokens` on.
    pub(crate) fn of_layer(layer: &Layer, ranks: usize, tokens: usize) -> Self {
        let units = layer.experts.len() / layer.k;
        let start = |rank: usize| rank * tokens % units;
        let kinds = (1..ranks).find(|rank| start(*rank) == 0).unwrap_or(ranks);
        // The tokens of a rank end at the first token of the next rank.
        let starts: Vec<usize> = (0..=kinds).map(start).collect();
        let before = choices_before(layer, &starts);
        let mut all = vec![0.0; layer.n_experts];
        count(&mut all, layer, 0..units);
        let of_kind = |kind: usize| {
            let ends_in_the_next = starts[kind + 1] < starts[kind];
            let turns = (tokens / units + usize::from(ends_in_the_next)) as f64;
            let numbers = before[kind + 1].iter().zip(&before[kind]).zip(&all);
            numbers.map(|((end, begin), all)| turns * all + end - begin).collect()
        };
        Self { kinds: (0..kinds).map(of_kind).collect(), ranks }
    }

    /// The rows of a rank for each expert.
    fn of(&self, rank: usize) -> &[f64] {
        &self.kinds[rank % self.kinds.len()]
    }

    /// The load of each expert over all ranks.
    pub(crate) fn loads(&self) -> Vec<f64> {
        let mut loads = vec![0.0; self.kinds[0].len()];
        for (at, kind) in self.kinds.iter().enumerate() {
            let ranks = (self.ranks - at).div_ceil(self.kinds.len()) as f64;
            loads.iter_mut().zip(kind).for_each(|(load, rows)| *load += ranks * rows);
        }
        loads
    }

    /// The same number of rows in total, with equal numbers from each rank to each expert.
    pub(crate) fn balanced(&self) -> Self {
        let (loads, ranks) = (self.loads(), self.ranks);
        let each = loads.iter().sum::<f64>() / (ranks * loads.len()) as f64;
        Self { kinds: vec![vec![each; loads.len()]], ranks }
    }

    /// The rows of a rank for each expert that are sent to other ranks.
    fn leaving(&self, rank: usize, shares: &[Share]) -> Vec<f64> {
        let mut rows = self.of(rank).to_vec();
        shares.iter().for_each(|share| rows[share.expert] -= share.kept);
        rows
    }
}

/// Adds the number of choices of each expert over some units.
fn count(numbers: &mut [f64], layer: &Layer, units: std::ops::Range<usize>) {
    let chosen = &layer.experts[units.start * layer.k..units.end * layer.k];
    let chosen = chosen.iter().filter_map(|expert| usize::try_from(*expert).ok());
    chosen.for_each(|expert| numbers[expert] += 1.0);
}

/// The number of choices of each expert over all units before each of the given ones.
fn choices_before(layer: &Layer, units: &[usize]) -> Vec<Vec<f64>> {
    let mut order: Vec<usize> = (0..units.len()).collect();
    order.sort_by_key(|at| units[*at]);
    let (mut numbers, mut from) = (vec![0.0; layer.n_experts], 0);
    let mut before = vec![Vec::new(); units.len()];
    for at in order {
        count(&mut numbers, layer, from..units[at]);
        from = units[at];
        before[at] = numbers.clone();
    }
    before
}

/// The rows of a copy of an expert.
#[derive(Clone, Copy, Debug)]
struct Share {
    expert: usize,
    /// The number of rows from its own rank.
    kept: f64,
    /// The number of rows from other ranks.
    comes: f64,
}

/// The rows of the copies on each rank. The copies of an expert have equal numbers of rows, including
/// fractions of a row, so that no load depends on the order of the ranks. A copy takes rows of its own rank,
/// up to its share, and the rest from all the other ranks.
fn shares(rows: &Rows, places: &[Vec<usize>]) -> Vec<Vec<Share>> {
    let mut shares = vec![Vec::new(); rows.ranks];
    for (expert, (load, ranks)) in rows.loads().iter().zip(places).enumerate() {
        let each = load / ranks.len() as f64;
        for &rank in ranks {
            let kept = each.min(rows.of(rank)[expert]);
            shares[rank].push(Share { expert, kept, comes: each - kept });
        }
    }
    shares
}

/// The time of a layer, forward and backward: the counts, four exchanges of rows (there and back, twice),
/// three times the work of a forward pass, and in the backward pass the sums of the gradients of copies. In
/// each phase every rank waits for the slowest one.
fn layer(rows: &Rows, places: &[Vec<usize>], topology: &Topology, sizes: Sizes) -> Seconds {
    let shares = shares(rows, places);
    let work = |own: &Vec<Share>| own.iter().map(|share| share.kept + share.comes).sum::<f64>();
    // One number of eight bytes for each copy.
    let counts = 8.0 * places.iter().map(Vec::len).sum::<usize>() as f64 / rows.ranks as f64;
    let counts = (0..rows.ranks).map(|rank| topology.to_all(rank, rows.ranks, counts));
    let rate = topology.rank.flops;
    Seconds {
        compute: 3.0 * most(shares.iter().map(work)) * sizes.flops() / rate,
        exchange: most(counts) + 4.0 * exchange(rows, &shares, topology, sizes.row()),
        sums: sums(places, rows.ranks, topology, sizes.gradients()),
    }
}

fn most(of: impl Iterator<Item = f64>) -> f64 {
    of.fold(0.0, f64::max)
}

/// The seconds of an exchange of rows of `bytes` bytes, for the rank that sends or receives longest. The rows
/// of an expert that leave a rank are divided among its copies in the same way as all such rows: in
/// proportion to `comes`.
fn exchange(rows: &Rows, shares: &[Vec<Share>], topology: &Topology, bytes: f64) -> f64 {
    let (last, experts) = (rows.ranks - 1, rows.kinds[0].len());
    let mut leaving = vec![vec![0.0; experts]; topology.group(last) + 1];
    let (mut coming, mut all) = (leaving.clone(), vec![0.0; experts]);
    for (rank, own) in shares.iter().enumerate() {
        let group = topology.group(rank);
        add(&mut leaving[group], &rows.leaving(rank, own));
        for share in own {
            coming[group][share.expert] += share.comes;
            all[share.expert] += share.comes;
        }
    }
    let (leaving, coming) = (topology.rows_over_beta(&leaving), topology.rows_over_beta(&coming));
    let of_all =
        |rows: f64, expert: usize| if all[expert] > 0.0 { rows / all[expert] } else { 0.0 };
    most(shares.iter().enumerate().map(|(rank, own)| {
        let group = topology.group(rank);
        let sent = rows.leaving(rank, own).into_iter().zip(&coming[group]).enumerate();
        let sent: f64 = sent.map(|(expert, (rows, to))| of_all(rows, expert) * to).sum();
        let received = own
            .iter()
            .map(|Share { expert, comes, .. }| of_all(*comes, *expert) * leaving[group][*expert]);
        let slower = sent.max(received.sum());
        topology.to_all(rank, rows.ranks, 0.0) + bytes * slower
    }))
}

/// The seconds in which the gradients of copies, of `bytes` bytes each, are summed, for the rank whose
/// experts take longest. Each copied expert is a ring over its copies (`Topology::ring`), one after the
/// other: 2 (c - 1) alpha + 2 (c - 1) / c * bytes / beta for c copies.
fn sums(places: &[Vec<usize>], ranks: usize, topology: &Topology, bytes: f64) -> f64 {
    let mut seconds = vec![0.0; ranks];
    for copies in places.iter().filter(|copies| copies.len() > 1) {
        let ring = topology.ring(copies, bytes);
        copies.iter().for_each(|rank| seconds[*rank] += ring);
    }
    most(seconds.into_iter())
}

/// The time of all layers, each with its experts placed by the rule for its loads. Of the numbers of
/// additional copies that the rule may try, the fastest is used for each layer.
pub(crate) fn step(
    layers: &[Rows],
    rule: Rule,
    copies: usize,
    topology: &Topology,
    sizes: Sizes,
) -> Seconds {
    let mut sum = Seconds::default();
    for rows in layers {
        let loads = rows.loads();
        let times = rule
            .tries(copies)
            .into_iter()
            .map(|copies| layer(rows, &rule.place(&loads, rows.ranks, copies), topology, sizes));
        let fastest = times.min_by(|a, b| a.all().total_cmp(&b.all())).unwrap_or_default();
        sum.compute += fastest.compute;
        sum.exchange += fastest.exchange;
        sum.sums += fastest.sums;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::super::topology::{Level, Rank};
    use super::*;

    fn topology() -> Topology {
        let level = Level { name: "all".into(), ranks: 4, alpha: 0.5, beta: 8.0 };
        Topology { levels: vec![level], rank: Rank { flops: 10.0 } }
    }

    /// Nodes of `ranks` ranks, in a network of 64 ranks that is slower by the factor `slower`.
    fn nodes(ranks: usize, alpha: f64, beta: f64, slower: f64) -> Topology {
        let level = |name: &str, ranks, slower| Level {
            name: name.into(),
            ranks,
            alpha: alpha * slower,
            beta: beta / slower,
        };
        let levels = vec![level("node", ranks, 1.0), level("network", 64, slower)];
        Topology { levels, rank: Rank { flops: 1e6 } }
    }

    /// A network in which only the work takes time.
    fn free() -> Topology {
        nodes(8, 0.0, 1e30, 1.0)
    }

    const SIZES: Sizes = Sizes { tokens: 2, width: 2, hidden: 1 };

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{found}, not {expected}");
    }

    fn rows(kinds: &[&[f64]], ranks: usize) -> Rows {
        Rows { kinds: kinds.iter().map(|kind| kind.to_vec()).collect(), ranks }
    }

    /// One choice for each unit: `hot` of every ten choose expert 0, and the others choose all experts in
    /// rotation.
    fn trace(experts: usize, hot: usize) -> Layer {
        let expert = |unit: usize| if unit % 10 < hot { 0 } else { unit / 10 % experts };
        let choices: Vec<_> = (0..10 * experts).map(|unit| vec![(expert(unit), 1.0)]).collect();
        Layer::new(experts, &choices)
    }

    const WHOLE: Sizes = Sizes { tokens: 240, width: 2, hidden: 3 };

    #[test]
    fn rows_are_counted_from_the_trace() {
        let choices = [vec![(0, 1.0)], vec![(1, 0.5), (0, 0.5)], vec![(1, 1.0)]];
        let layer = Layer::new(2, &choices);
        // Rank 0 has the units 0 and 1, rank 1 the units 2 and 0, rank 2 the units 1 and 2, rank 3 the units
        // 0 and 1.
        let found = Rows::of_layer(&layer, 4, 2);
        let expected = [[2.0, 1.0], [1.0, 1.0], [1.0, 2.0], [2.0, 1.0]];
        (0..4).for_each(|rank| assert_eq!(found.of(rank), expected[rank]));
        assert_eq!(found.loads(), [6.0, 5.0]);
        // More tokens than units: a whole repetition and one unit, then from unit 1 on.
        let found = Rows::of_layer(&layer, 2, 4);
        assert_eq!((found.of(0), found.of(1)), (&[3.0, 2.0][..], &[3.0, 3.0][..]));
        assert_eq!(Rows::of_layer(&layer, 1, 3).of(0), [2.0, 2.0]);
        let uneven = rows(&[&[2.0, 1.0], &[1.0, 1.0]], 2);
        assert_eq!(uneven.balanced(), rows(&[&[1.25; 2]], 2));
    }

    #[test]
    fn a_layer_waits_for_its_slowest_rank() {
        let (rows, places) = (rows(&[&[2.0, 1.0], &[3.0, 0.0]], 2), [vec![0], vec![1]]);
        // Rank 1 sends 3 rows of 8 bytes to rank 0: 0.5 + 24 / 8; counts of 8 bytes: 0.5 + 1. Rank 0 works
        // on 5 rows of 8 operations.
        let found = layer(&rows, &places, &topology(), SIZES);
        near(found.exchange, 1.5 + 4.0 * 3.5);
        near(found.compute, 3.0 * 5.0 * 8.0 / 10.0);
        near(found.all(), found.exchange + found.compute);
        // With a copy of expert 0 on rank 1 each rank has 2.5 rows: half a row of rank 1 and one row of
        // expert 1 are sent. Counts take 12 bytes, and gradients of 16 bytes are summed.
        let found = layer(&rows, &[vec![0, 1], vec![1]], &topology(), SIZES);
        near(found.exchange, 2.0 + 4.0 * 1.5);
        near(found.compute, 3.0 * 3.5 * 8.0 / 10.0);
        near(found.sums, 2.0 * 0.5 + 16.0 / 8.0);
    }

    #[test]
    fn copies_have_equal_parts_of_the_rows_of_their_expert() {
        let rows = rows(&[&[7.0, 1.0, 0.0], &[0.0, 5.0, 2.0], &[3.0, 3.0, 1.0]], 5);
        let places = [vec![0, 1, 4], vec![2, 3], vec![4]];
        let shares = shares(&rows, &places);
        for (expert, load) in rows.loads().into_iter().enumerate() {
            let of: Vec<Share> =
                shares.iter().flatten().filter(|share| share.expert == expert).copied().collect();
            assert_eq!(of.len(), places[expert].len());
            of.iter().for_each(|share| near(share.kept + share.comes, load / of.len() as f64));
            near(of.iter().map(|share| share.kept + share.comes).sum(), load);
            let leave = (0..5).map(|rank| rows.leaving(rank, &shares[rank])[expert]);
            near(leave.sum(), of.iter().map(|share| share.comes).sum());
        }
        // 17 rows of expert 0, 17 / 3 for each copy: rank 0 keeps that many of its 7, and rank 1 has none of
        // its own.
        near(shares[0][0].kept, 17.0 / 3.0);
        near(shares[1][0].comes, 17.0 / 3.0);
    }

    /// The sums by groups equal the sums over all pairs of ranks.
    #[test]
    fn the_exchange_is_that_of_all_pairs() {
        let rows = rows(&[&[7.0, 1.0, 0.0], &[0.0, 5.0, 2.0], &[3.0, 3.0, 1.0]], 7);
        let places = [vec![0, 1, 4, 6], vec![2, 3], vec![5]];
        let (topology, shares) = (nodes(2, 0.25, 4.0, 3.0), shares(&rows, &places));
        let (mut sent, mut received) = ([0.0; 7], [0.0; 7]);
        for (from, own) in shares.iter().enumerate() {
            let leaving = rows.leaving(from, own);
            for to in (0..7).filter(|to| *to != from) {
                let level = &topology.levels[usize::from(from / 2 != to / 2)];
                let moved = shares[to].iter().map(|share| {
                    let all = shares.iter().flatten().filter(|other| other.expert == share.expert);
                    let all: f64 = all.map(|other| other.comes).sum();
                    leaving[share.expert] * share.comes / all
                });
                let seconds = level.alpha + 8.0 * moved.sum::<f64>() / level.beta;
                sent[from] += seconds;
                received[to] += seconds;
            }
        }
        let expected = most(sent.into_iter().chain(received));
        near(exchange(&rows, &shares, &topology, 8.0), expected);
    }

    #[test]
    fn an_even_trace_costs_what_balanced_loads_cost() {
        for (experts, ranks) in [4, 8].into_iter().flat_map(|e| [2, 4, 8, 64].map(|n| (e, n))) {
            let even = [Rows::of_layer(&trace(experts, 0), ranks, WHOLE.tokens * experts)];
            let balanced = [even[0].balanced()];
            for topology in [nodes(8, 1e-5, 1e6, 10.0), free()] {
                let time = |of: &[Rows], rule| step(of, rule, 8, &topology, WHOLE);
                for rule in Rule::ALL {
                    near(time(&even, rule).all() / time(&balanced, rule).all(), 1.0);
                }
                for rule in [Rule::Contiguous, Rule::RoundRobin, Rule::LoadAware] {
                    let rows = (WHOLE.tokens * experts) as f64;
                    near(time(&even, rule).compute, 3.0 * rows * WHOLE.flops() / 1e6);
                }
                let fewest = time(&even, Rule::LoadAware).all() * (1.0 + 1e-9);
                assert!(time(&even, Rule::Replicated).all() <= fewest, "{experts} {ranks}");
            }
        }
    }

    #[test]
    fn skew_costs_and_copies_of_the_busiest_expert_save() {
        for (experts, ranks) in [4, 8].into_iter().flat_map(|e| [2, 4, 8, 64].map(|n| (e, n))) {
            let skewed = [Rows::of_layer(&trace(experts, 7), ranks, WHOLE.tokens * experts)];
            let balanced = [skewed[0].balanced()];
            let over = |rule, topology: &Topology| {
                let time = |of: &[Rows]| step(of, rule, 8, topology, WHOLE).all();
                time(&skewed) / time(&balanced)
            };
            for topology in [nodes(8, 1e-5, 1e6, 10.0), free()] {
                for rule in [Rule::Contiguous, Rule::RoundRobin, Rule::LoadAware] {
                    let over = over(rule, &topology);
                    assert!(over > 1.0 + 1e-6, "{rule:?} {experts} {ranks}: {over}");
                }
            }
            let copied = over(Rule::Replicated, &free());
            assert!(copied > 1.0 - 1e-9, "{experts} {ranks}: {copied}");
            let aware = over(Rule::LoadAware, &free());
            assert!(copied <= aware * (1.0 + 1e-9), "{experts} {ranks}: {copied} {aware}");
            if ranks <= experts {
                assert!(copied < aware * 0.9, "{experts} {ranks}: {copied} {aware}");
            }
        }
    }

    #[test]
    fn gradients_of_copies_are_summed_in_rings() {
        let topology = nodes(2, 0.5, 8.0, 4.0);
        // In the node 1 + 16 / 8; over the network, of four ranks, 6 * 2 + 1.5 * 16 / 2. Rank 1 is in both.
        let found = sums(&[vec![0, 1], vec![1, 2, 4, 6], vec![3]], 7, &topology, 16.0);
        near(found, 3.0 + 24.0);
        assert!(sums(&[vec![0], vec![1]], 2, &topology, 16.0) == 0.0);
    }

    /// No computation grows with the number of pairs of ranks.
    #[test]
    fn as_many_ranks_as_are_allowed_take_moments() {
        let mut topology = nodes(8, 1e-5, 1e6, 10.0);
        topology.levels[1].ranks = 1 << 16;
        let rows = [Rows::of_layer(&trace(8, 7), 1 << 16, 1 << 32)];
        for rule in Rule::ALL {
            assert!(step(&rows, rule, 8, &topology, WHOLE).all().is_finite());
        }
    }
}
