//! The ranking of methods over all tasks and seeds.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::{
    Error, Query, Runs, Setting,
    plot::MeanRanks,
    stats::{
        Friedman, Interval, SignedRanks, critical_difference, friedman, holm, improvements, iqm,
        iqm_interval,
    },
};

/// One ranked method.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// Its name.
    pub method: String,
    /// Its mean rank over the blocks; 1 is the best.
    pub rank: f64,
    /// The interquartile mean of its normalised scores.
    pub iqm: f64,
    /// The 95 % stratified bootstrap interval of the interquartile mean.
    pub interval: Option<Interval>,
    /// The probability that a run of the method beats one of another method on the same task.
    pub improvement: f64,
    /// Its normalised scores, `[task][seed]`: 0 is the worst run of a task, 1 the best.
    pub scores: Vec<Vec<f64>>,
}

/// All methods that can be ranked, the best first.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// The methods by mean rank.
    pub methods: Vec<Ranked>,
    /// Friedman's test that all methods are equal; none with fewer than 3 methods or 2 blocks.
    pub friedman: Option<Friedman>,
    /// Nemenyi's critical difference at 5 %.
    pub critical: f64,
    /// Pairs of `methods` (the better first) with the p value of Wilcoxon's signed-rank test after
    /// Holm's correction over all pairs.
    pub pairs: Vec<(usize, usize, f64)>,
    /// The number of blocks, each a task and a seed that all methods have.
    pub blocks: usize,
    /// The number of tasks.
    pub tasks: usize,
    /// Methods that cannot be ranked, because they lack a task.
    pub left_out: Vec<String>,
    /// Methods with the number of their failed runs among the blocks; a failed run is ranked below all other
    /// runs of its task.
    pub failed: Vec<(String, usize)>,
}

/// Ranks the methods by the first quality metric of each setting, over the seeds that all have.
pub fn rank(runs: &Runs, query: &Query) -> Result<Ranking, Error> {
    rank_in(&query.settings(runs)?, query, Detail::All)
}

/// The parts of a ranking to compute. Tests of pairs and intervals take most of the time.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Detail {
    /// Everything, but without tests of pairs if there are more than two million pairs.
    All,
    /// Everything, but without tests of pairs if there are more than 20,000 pairs.
    Page,
    /// The parts that plots show, without tests of pairs and intervals.
    Plots,
}

impl Detail {
    /// Whether all pairs of `methods` methods are tested.
    fn tests(self, methods: usize) -> bool {
        match self {
            Detail::All => methods * (methods - 1) / 2 <= 2_000_000,
            Detail::Page => methods * (methods - 1) / 2 <= 20_000,
            Detail::Plots => false,
        }
    }
}

/// The ranking over some settings.
pub(crate) fn rank_in(
    settings: &[Setting],
    query: &Query,
    detail: Detail,
) -> Result<Ranking, Error> {
    let judged: Vec<Judged> = settings.iter().filter_map(|s| Judged::new(s, query)).collect();
    let all = crate::setting::distinct(judged.iter().flat_map(|j| query.methods(j.setting)));
    let (methods, left_out): (Vec<&str>, Vec<&str>) =
        all.into_iter().partition(|method| judged.iter().all(|j| j.has(method)));
    if methods.len() < 2 {
        let (n, why) = (methods.len(), query.unjudged(settings));
        let why = why.map_or(String::new(), |why| format!(": {why}"));
        return Err(Error::Query(format!(
            "a ranking needs at least 2 methods with results in every task; there are {n}{why}"
        )));
    }
    let shared: Vec<Vec<Vec<f64>>> = judged.iter().map(|j| j.shared(&methods)).collect();
    let failures = |(at, method): (usize, &&str)| {
        let blocks = shared.iter().flatten();
        let failed = blocks.filter(|block| block[at].is_infinite()).count();
        (failed > 0).then(|| (method.to_string(), failed))
    };
    let failed = methods.iter().enumerate().filter_map(failures).collect();
    let tasks: Vec<Vec<Vec<f64>>> = shared.into_iter().map(normalise).collect();
    if let Some((j, _)) = judged.iter().zip(&tasks).find(|(_, blocks)| blocks.is_empty()) {
        let at = j.setting.name();
        return Err(Error::Query(format!("{at}: no seed is shared by all methods")));
    }
    Ok(Ranking { failed, ..ranking(&methods, left_out, &tasks, detail) })
}

/// One setting with the metric by which it is judged.
struct Judged<'a> {
    setting: &'a Setting<'a>,
    metric: &'a str,
    split: &'a str,
    sign: f64,
}

impl<'a> Judged<'a> {
    fn new(setting: &'a Setting<'a>, query: &'a Query) -> Option<Self> {
        let split = query.split(setting);
        let metric = query.metrics(setting).into_iter().find(|m| setting.has(m, split))?;
        let sign = query.better(metric)?.oriented(1.0);
        Some(Self { setting, metric, split, sign })
    }

    fn has(&self, method: &str) -> bool {
        !self.results(method).is_empty()
    }

    /// The results of a method by seed, oriented so that higher is better; a failed run is minus infinity.
    fn results(&self, method: &str) -> BTreeMap<u64, f64> {
        let scores = self.setting.scores(method, self.metric, self.split);
        let scores = scores.into_iter().flatten().map(|(seed, x)| (*seed, x * self.sign));
        let failed = self.setting.failed(method, self.metric, self.split);
        scores.chain(failed.into_iter().map(|seed| (seed, f64::NEG_INFINITY))).collect()
    }

    /// The results of the seeds that all methods have, `[seed][method]`, without seeds on which all methods
    /// failed.
    fn shared(&self, methods: &[&str]) -> Vec<Vec<f64>> {
        let results: Vec<_> = methods.iter().map(|method| self.results(method)).collect();
        let Some(first) = results.first() else { return Vec::new() };
        let block = |seed: &u64| -> Option<Vec<f64>> {
            results.iter().map(|of_method| of_method.get(seed).copied()).collect()
        };
        let blocks = first.keys().filter_map(block);
        blocks.filter(|block| block.iter().any(|x| x.is_finite())).collect()
    }
}

/// Scales results to 0 for the lowest and 1 for the highest. Failed runs are placed below all others by a
/// millionth of the range, so that they have the last rank.
fn normalise(mut blocks: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let ends = (f64::INFINITY, f64::NEG_INFINITY);
    let fold = |(low, high): (f64, f64), x: &f64| (low.min(*x), high.max(*x));
    let finite =
        |blocks: &[Vec<f64>]| blocks.iter().flatten().filter(|x| x.is_finite()).fold(ends, fold);
    let (low, high) = finite(&blocks);
    let below = low - 1e-6 * if high > low { high - low } else { 1.0 };
    blocks.iter_mut().flatten().filter(|x| x.is_infinite()).for_each(|x| *x = below);
    let (low, high) = finite(&blocks);
    let range = if high > low { high - low } else { 1.0 };
    blocks.iter_mut().flatten().for_each(|x| *x = (*x - low) / range);
    blocks
}

/// The ranking of `tasks[task][seed][method]`.
fn ranking(
    methods: &[&str],
    left_out: Vec<&str>,
    tasks: &[Vec<Vec<f64>>],
    detail: Detail,
) -> Ranking {
    let blocks: Vec<Vec<f64>> = tasks.concat();
    let scores: Vec<Vec<Vec<f64>>> = (0..methods.len()).map(|m| of_method(tasks, m)).collect();
    let (mean_ranks, improvements) = (mean_ranks(&blocks), improvements(&scores));
    let mut ranked: Vec<(usize, Ranked)> = (0..methods.len())
        .into_par_iter()
        .map(|at| {
            let (iqm, interval) = middle(&scores[at], detail);
            let (method, rank, scores) = (methods[at].into(), mean_ranks[at], scores[at].clone());
            (at, Ranked { method, rank, iqm, interval, improvement: improvements[at], scores })
        })
        .collect();
    ranked.sort_by(|(_, a), (_, b)| a.rank.total_cmp(&b.rank));
    let order: Vec<usize> = ranked.iter().map(|(at, _)| *at).collect();
    Ranking {
        friedman: friedman(&blocks),
        critical: critical_difference(methods.len(), blocks.len()),
        pairs: if detail.tests(methods.len()) { pairs(&blocks, &order) } else { Vec::new() },
        blocks: blocks.len(),
        tasks: tasks.len(),
        left_out: left_out.into_iter().map(String::from).collect(),
        failed: Vec::new(),
        methods: ranked.into_iter().map(|(_, ranked)| ranked).collect(),
    }
}

fn of_method(tasks: &[Vec<Vec<f64>>], method: usize) -> Vec<Vec<f64>> {
    tasks.iter().map(|seeds| seeds.iter().map(|block| block[method]).collect()).collect()
}

fn mean_ranks(blocks: &[Vec<f64>]) -> Vec<f64> {
    let mut sums = vec![0.0; blocks[0].len()];
    for block in blocks {
        let negated: Vec<f64> = block.iter().map(|x| -x).collect();
        sums.iter_mut().zip(crate::stats::ranks(&negated)).for_each(|(sum, rank)| *sum += rank);
    }
    sums.into_iter().map(|sum| sum / blocks.len() as f64).collect()
}

/// The interquartile mean over all tasks and seeds, with its interval if it is requested.
fn middle(scores: &[Vec<f64>], detail: Detail) -> (f64, Option<Interval>) {
    let asked = (detail != Detail::Plots).then_some(scores);
    let interval = asked.and_then(iqm_interval).map(|interval| interval.within([0.0, 1.0]));
    (iqm(&scores.concat()).unwrap_or(f64::NAN), interval)
}

/// Wilcoxon's test for all pairs, in the order of the ranking.
fn pairs(blocks: &[Vec<f64>], order: &[usize]) -> Vec<(usize, usize, f64)> {
    let k = order.len();
    let pairs: Vec<_> = (0..k).flat_map(|a| (a + 1..k).map(move |b| (a, b))).collect();
    let of_method = |at: &usize| blocks.iter().map(|block| block[*at]).collect();
    let values: Vec<Vec<f64>> = order.iter().map(of_method).collect();
    let test = |(known, differences): &mut (SignedRanks, Vec<f64>), (a, b): &(usize, usize)| {
        differences.clear();
        differences.extend(values[*a].iter().zip(&values[*b]).map(|(a, b)| a - b));
        known.wilcoxon(differences)
    };
    let p_values: Vec<f64> = pairs.par_iter().map_init(Default::default, test).collect();
    pairs.into_iter().zip(holm(&p_values)).map(|((a, b), p)| (a, b, p)).collect()
}

impl Ranking {
    /// Maximal groups of adjacent methods that Nemenyi's test cannot distinguish: first and last index.
    pub fn cliques(&self) -> Vec<(usize, usize)> {
        let rank = |at: usize| self.methods[at].rank;
        let mut cliques: Vec<(usize, usize)> = Vec::new();
        for from in 0..self.methods.len() {
            let near = |to: &usize| rank(*to) - rank(from) < self.critical;
            let to = (from..self.methods.len()).take_while(near).last().unwrap_or(from);
            if to > from && cliques.last().is_none_or(|(_, last)| to > *last) {
                cliques.push((from, to));
            }
        }
        cliques
    }

    /// The data of its critical-difference diagram.
    pub(crate) fn mean_ranks(&self) -> MeanRanks<'_> {
        MeanRanks {
            methods: self.methods.iter().map(|ranked| (&*ranked.method, ranked.rank)).collect(),
            critical: self.critical,
            cliques: self.cliques(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Format, fixture};

    #[test]
    fn by_hand() {
        // One task, 3 seeds; a is always first, b and c exchange ranks once.
        let seeds = vec![vec![1.0, 0.5, 0.0], vec![0.9, 0.4, 0.1], vec![0.8, 0.2, 0.3]];
        let ranking = ranking(&["a", "b", "c"], vec![], &[seeds], Detail::All);
        let ranks: Vec<f64> = ranking.methods.iter().map(|m| m.rank).collect();
        assert!(ranks.iter().zip([1.0, 7.0 / 3.0, 8.0 / 3.0]).all(|(a, b)| (a - b).abs() < 1e-12));
        assert_eq!(ranking.methods[0].improvement, 1.0);
        // b beats c in 8 of 9 comparisons and never beats a.
        assert!((ranking.methods[1].improvement - 8.0 / 18.0).abs() < 1e-12);
        // 3 methods, 3 blocks: 3.3145 / sqrt 2 * sqrt(12 / 18) = 1.913, above every gap.
        assert_eq!(ranking.cliques(), [(0, 2)]);
    }

    #[test]
    fn normalised_between_the_worst_and_the_best() {
        assert_eq!(normalise(vec![vec![2.0, 4.0], vec![3.0, 6.0]]), [[0.0, 0.5], [0.25, 1.0]]);
        assert_eq!(normalise(vec![vec![2.0, 2.0]]), [[0.0, 0.0]]);
        let failed = normalise(vec![vec![2.0, 4.0], vec![f64::NEG_INFINITY, 3.0]]);
        assert_eq!((failed[0][1], failed[1][0]), (1.0, 0.0));
        assert!(failed[0][0] > 0.0 && failed[0][0] < 1e-5);
    }

    /// On the seed on which it fails, the best method has the last rank and is not left out.
    #[test]
    fn a_failed_run_has_the_last_rank() {
        let values = [("good", 0.9), ("middle", 0.8), ("poor", 0.7)];
        let mut rows: Vec<_> = (0..4_u64)
            .flat_map(|seed| values.map(|(m, x)| fixture::row(m, seed, "accuracy", x)))
            .collect();
        rows[0].value = Some(f64::NAN);
        let ranking = rank(&Runs::of(rows), &Query::default()).unwrap();
        let ranks: Vec<_> = ranking.methods.iter().map(|m| (m.method.as_str(), m.rank)).collect();
        assert_eq!(ranks, [("good", 1.5), ("middle", 1.75), ("poor", 2.75)]);
        assert_eq!(ranking.failed, [("good".to_string(), 1)]);
    }

    #[test]
    fn shown_as_text() {
        let methods = ["dense", "switch", "top-k", "naïve-路由", "expert-choice"];
        let query = Query { methods: methods.map(String::from).into(), ..Query::default() };
        let ranking = rank(&fixture::runs(), &query).unwrap();
        // The fifth seed has a failed run.
        assert_eq!((ranking.blocks, ranking.tasks), (5, 1));
        assert_eq!(ranking.failed, [("naïve-路由".to_string(), 1)]);
        insta::assert_snapshot!(ranking.table().render(Format::Text));
    }

    #[test]
    fn plots_show_the_same_ranks_without_tests() {
        let (runs, query) = (fixture::runs(), Query::default());
        let settings = query.settings(&runs).unwrap();
        let all = rank_in(&settings, &query, Detail::All).unwrap();
        let shown = rank_in(&settings, &query, Detail::Plots).unwrap();
        assert!(shown.pairs.is_empty() && !all.pairs.is_empty());
        assert!(shown.methods.iter().all(|method| method.interval.is_none()));
        let without = |ranking: Ranking| {
            let plain = |method| Ranked { interval: None, ..method };
            let methods = ranking.methods.into_iter().map(plain).collect();
            Ranking { pairs: Vec::new(), methods, ..ranking }
        };
        assert_eq!(without(shown), without(all));
    }

    #[test]
    fn one_method_is_no_ranking() {
        let query = Query { methods: vec!["dense".into()], ..Query::default() };
        let err = rank(&fixture::runs(), &query).unwrap_err().to_string();
        assert!(err.contains("at least 2 methods") && err.ends_with("there are 1"), "{err}");
    }
}
