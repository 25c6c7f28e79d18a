//! The results of a method's runs, and differences between them seed by seed.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{COSTS, Claim, ClaimEvidence};
use crate::{
    Error, ExampleRow, Row, Runs,
    metric::{range, range_of_difference},
    pairs::{crossed_difference, crossed_mean},
    stats::{Interval, Paired, mean, paired_t},
    verbs::check::fits,
};

/// The runs of a method to which a claim applies.
pub(super) struct Results<'a> {
    runs: &'a Runs,
    /// The row of each seed that has a value.
    pub(super) rows: BTreeMap<u64, Cow<'a, Row>>,
    /// The seeds that failed.
    failed: BTreeSet<u64>,
}

impl<'a> Results<'a> {
    pub(super) fn of(runs: &'a Runs, claim: &Claim, method: &str) -> Result<Self, Error> {
        let (mut rows, mut failed) = (BTreeMap::<u64, Cow<Row>>::new(), BTreeSet::new());
        let is_cost = COSTS.contains(&claim.metric.as_str());
        for row in runs.rows.iter().filter(|row| row.method == method) {
            let row = if is_cost { with_cost(row, &claim.metric) } else { Cow::Borrowed(row) };
            if is_cost && rows.get(&row.seed).is_some_and(|known| known.run == row.run) {
                continue; // another metric of the same run
            }
            let measured = row.metric == claim.metric && (is_cost || row.split == claim.split);
            if !(measured || row.metric == "failed") || !fits(&row, &claim.place)? {
                continue;
            }
            if !(measured && row.measure().is_some()) {
                failed.insert(row.seed);
                continue;
            }
            let seed = row.seed;
            if rows.insert(seed, row).is_some() {
                return Err(Error::Query(format!(
                    "claim {:?}: several runs of {method:?} have seed {seed}; select one with `where`",
                    claim.claim
                )));
            }
        }
        failed.retain(|seed| !rows.contains_key(seed));
        Ok(Self { runs, rows, failed })
    }

    /// Whether all parameters of these runs are at work on each token, without a router.
    pub(super) fn is_dense(&self) -> bool {
        let dense = |row: &Cow<Row>| row.router == "none" && row.params == row.active_params;
        self.rows.values().all(dense)
    }

    /// The mean of the metric.
    pub(super) fn measured(&self, claim: &Claim) -> Option<ClaimEvidence> {
        let mean = mean(&self.rows.values().map(|row| value(row)).collect::<Vec<_>>())?;
        let range = range(&claim.metric);
        let crossed = self.examples(self.rows.keys()).and_then(|rows| crossed_mean(&rows));
        Some(ClaimEvidence {
            mean: mean.mean,
            interval: match crossed {
                Some(crossed) => Some(crossed.interval().within(range)),
                None => mean.interval(range),
            },
            seeds: mean.n,
            examples: crossed.map(|crossed| crossed.examples),
            error: match crossed {
                Some(crossed) => Some([crossed.error, crossed.df]),
                None => mean.error(),
            },
            failed: self.failed.len(),
        })
    }

    /// The mean difference on the seeds that both have.
    pub(super) fn minus(&self, other: &Self, claim: &Claim) -> Option<ClaimEvidence> {
        let shared: Vec<&u64> =
            self.rows.keys().filter(|seed| other.rows.contains_key(seed)).collect();
        let difference = |seed: &&u64| rounded(value(&self.rows[seed]) - value(&other.rows[seed]));
        let differences: Vec<f64> = shared.iter().map(difference).collect();
        let both = || {
            let seeds = || shared.iter().copied();
            crossed_difference(&self.examples(seeds())?, &other.examples(seeds())?)
        };
        let paired = paired_t(&differences).map(|paired| match both() {
            Some(crossed) => paired.with_examples(&crossed),
            None => paired,
        });
        let interval = |Paired { low, high, .. }| Interval { low, high };
        Some(ClaimEvidence {
            mean: mean(&differences)?.mean,
            interval: paired.map(|p| interval(p).within(range_of_difference(&claim.metric))),
            seeds: differences.len(),
            examples: paired.and_then(|paired| paired.examples),
            error: paired.map(|paired| [paired.error, paired.df]),
            failed: self.failed.symmetric_difference(&other.failed).count(),
        })
    }

    /// The contributions of single examples on these seeds; none if a run has none recorded.
    fn examples<'s>(&self, seeds: impl Iterator<Item = &'s u64>) -> Option<Vec<&'a ExampleRow>> {
        let examples = |seed: &u64| {
            let row = &self.rows[seed];
            self.runs.examples.of(&row.run, &row.split, &row.metric)
        };
        seeds.map(examples).collect()
    }
}

/// The mean of (a - b) - (c - d) on the seeds that all have.
pub(super) fn beyond(all: [&Results; 4]) -> Option<ClaimEvidence> {
    let [a, b, c, d] = all;
    let shared = |seed: &&u64| all.iter().all(|one| one.rows.contains_key(*seed));
    let of = |one: &Results, seed: &u64| value(&one.rows[seed]);
    let gain = |seed: &u64| rounded(of(a, seed) - of(b, seed) - (of(c, seed) - of(d, seed)));
    let gains: Vec<f64> = a.rows.keys().filter(shared).map(gain).collect();
    let paired = paired_t(&gains);
    let failed: BTreeSet<&u64> = all.iter().flat_map(|one| &one.failed).collect();
    Some(ClaimEvidence {
        mean: mean(&gains)?.mean,
        interval: paired.as_ref().map(|paired| Interval { low: paired.low, high: paired.high }),
        seeds: gains.len(),
        examples: None,
        error: paired.map(|paired| [paired.error, paired.df]),
        failed: failed.len(),
    })
}

/// A row with one of the run's costs in place of its metric, if it has that cost. The row of a failed run
/// stays one.
fn with_cost<'a>(row: &'a Row, cost: &str) -> Cow<'a, Row> {
    let value = match cost {
        "peak_memory" => row.peak_memory.map(|bytes| bytes as f64),
        "seconds" => row.seconds,
        _ => row.train_flops,
    };
    match value.filter(|_| !row.is_gap()) {
        Some(value) => Cow::Owned(Row { metric: cost.into(), value: Some(value), ..row.clone() }),
        None => Cow::Borrowed(row),
    }
}

/// The value of a row, which must have one.
pub(super) fn value(row: &Row) -> f64 {
    rounded(row.value.unwrap_or(f64::NAN))
}

/// A value, or 0 for what rounding leaves of a difference of equal numbers.
fn rounded(value: f64) -> f64 {
    if value.abs() < 1e-12 { 0.0 } else { value }
}
