//! Conditions under which claims are tested on results: `[[gate]]` of a suite.
//!
//! A network that is worse than a trivial baseline, that has not finished learning, or for which routing
//! makes no difference can neither confirm nor refute a paper's claims on routing. A claim behind a gate that
//! does not hold is not testable on these results.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

use super::check::fits;
use crate::{
    Error, Row, Runs,
    metric::{Better, direction},
    number::counted,
    stats::{mean, paired_t},
};

/// The prefix of a metric's value for a baseline without a network, on the same split.
pub const TRIVIAL: &str = "trivial_";
/// The relative change of the validation loss in the last tenth of training.
pub const LATE_CHANGE: &str = "late_change";
/// The number of learning rates that were tried for the method of a run: 0 if the suite states the rate and
/// tunes those of others.
pub const RATES_TRIED: &str = "learning_rates_tried";
/// 1 if the best learning rate was the smallest or the largest that was tried, else 0.
pub const RATE_AT_EDGE: &str = "learning_rate_at_edge";

/// The conditions of claims on one metric.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuiteGate {
    /// The metric of the gate and of its claims.
    pub metric: String,
    /// Other metrics of the same networks' quality, to whose claims the gate also applies.
    #[serde(default)]
    pub also: Vec<String>,
    /// The split.
    #[serde(default = "test")]
    pub split: String,
    /// Columns with the values of the runs that it applies to; empty means all runs.
    #[serde(rename = "where", default)]
    pub place: BTreeMap<String, Value>,
    /// The method with which the claims compare others, for example a plain MoE.
    pub reference: String,
    /// The method that the reference must be told apart from: a dense network or a frozen gate where claims
    /// are about routing. A claim that two methods are equal up to a margin can only be tested if this method
    /// is shown to lie outside of the margin.
    pub control: String,
    /// The largest allowed relative change of the validation loss in the last tenth of training.
    #[serde(default = "one_percent", deserialize_with = "share")]
    pub late_change: f64,
    /// The smallest number of learning rates that must be tried for each method.
    #[serde(default = "three", deserialize_with = "count")]
    pub rates: usize,
}

fn test() -> String {
    "test".into()
}

fn one_percent() -> f64 {
    0.01
}

fn three() -> usize {
    3
}

/// Parses a share. With 0 or less the condition could not hold, and above 1 it would not restrict anything.
fn share<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(from)?;
    match share > 0.0 && share <= 1.0 {
        true => Ok(share),
        false => Err(D::Error::custom(format!(
            "{share:?} is not a share: must be above 0 and at most 1"
        ))),
    }
}

fn count<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    match usize::deserialize(from)? {
        0 => Err(D::Error::custom("0 rates: must be at least 1")),
        count => Ok(count),
    }
}

/// One condition of a gate.
#[derive(Clone, Debug, PartialEq)]
pub struct GateCondition {
    /// Its name.
    pub name: &'static str,
    /// Whether it holds; a condition that was not measured does not hold.
    pub holds: bool,
    /// The measurement as text.
    pub text: String,
}

/// A gate with its measurements.
#[derive(Clone, Debug, PartialEq)]
pub struct Gated {
    /// The gate.
    pub gate: SuiteGate,
    /// Its conditions.
    pub conditions: Vec<GateCondition>,
    /// The means of the reference and of the trivial baseline, as far as they were measured.
    pub means: [Option<f64>; 2],
    /// The mean of the reference minus the control on shared seeds, with its 95 % interval.
    pub gap: Option<[f64; 3]>,
    /// The mean of the reference minus the trivial baseline, with its 95 % interval.
    pub over_trivial: Option<[f64; 3]>,
    /// The methods whose learning rate the suite states while it tunes those of others: no claim may be about
    /// them.
    pub stated: Vec<String>,
}

impl Gated {
    /// The conditions that do not hold.
    pub fn broken(&self) -> Vec<&GateCondition> {
        self.conditions.iter().filter(|condition| !condition.holds).collect()
    }

    /// The reason why a claim on these methods is not testable, if the suite states the learning rate of one
    /// of them.
    pub fn not_tuned<'a>(&self, methods: impl IntoIterator<Item = &'a str>) -> Option<String> {
        let is_stated = |method: &&str| self.stated.iter().any(|stated| stated == method);
        let method = methods.into_iter().find(is_stated)?;
        Some(format!(
            "is tuned: the learning rate of {method:?} is stated by the suite (`tune = false`)"
        ))
    }

    /// The reason why `margin` is too wide, if it is: it must be at most a third of the distance between
    /// reference and control, and the control must be shown to lie outside of it. Between two dense networks
    /// (`dense`) routing makes no difference, and the trivial baseline stands in for the control.
    pub fn too_wide(&self, margin: f64, dense: bool) -> Option<String> {
        let (control, gap) = match dense {
            true => ("the trivial baseline".to_string(), self.over_trivial),
            false => (format!("{:?}", self.gate.control), self.gap),
        };
        let Some([mean, low, high]) = gap else {
            return Some(format!("{control} has no runs that share 3 seeds with the reference"));
        };
        let third = mean.abs() / 3.0;
        if margin > third {
            return Some(format!(
                "the margin, {margin:.4}, is more than a third of the distance to {control}, {third:.4}"
            ));
        }
        let outside = low > margin || high < -margin;
        (!outside).then(|| format!("{control} is not shown to lie outside of the margin"))
    }
}

/// Evaluates gates on results.
///
/// # Errors
/// If the direction of a gate's metric is unknown, a column is unknown, or several runs of the reference or the
/// control have the same seed.
pub fn gates(runs: &Runs, gates: &[SuiteGate]) -> Result<Vec<Gated>, Error> {
    gates.iter().map(|gate| judged(runs, gate)).collect()
}

/// The most specific gate for a claim on this metric and these runs; none if no gate applies.
pub(super) fn gate_of<'a>(
    gates: &'a [Gated],
    metric: &str,
    place: &BTreeMap<String, Value>,
) -> Option<&'a Gated> {
    let covers = |gate: &SuiteGate| {
        let about = gate.metric == metric || gate.also.iter().any(|also| also == metric);
        about && gate.place.iter().all(|(key, value)| place.get(key) == Some(value))
    };
    gates.iter().filter(|gated| covers(&gated.gate)).max_by_key(|gated| gated.gate.place.len())
}

fn judged(runs: &Runs, gate: &SuiteGate) -> Result<Gated, Error> {
    let better = direction(&gate.metric).ok_or_else(|| {
        Error::Query(format!("gate: the direction of metric {:?} is unknown", gate.metric))
    })?;
    let mut rows = Vec::new();
    for row in &runs.rows {
        if fits(row, &gate.place)? {
            rows.push(row);
        }
    }
    let values = Values { rows, gate };
    values.check()?;
    let gap = values.difference(&gate.reference, &gate.metric, &gate.control, &gate.metric);
    let over_trivial = values.over_trivial();
    let conditions =
        vec![values.beats_counting(better, over_trivial), values.is_trained(), values.is_tuned()];
    let (means, stated) = (values.means(), values.stated());
    Ok(Gated { gate: gate.clone(), conditions, means, gap, over_trivial, stated })
}

/// The rows to which a gate applies.
struct Values<'a> {
    rows: Vec<&'a Row>,
    gate: &'a SuiteGate,
}

impl Values<'_> {
    /// Refuses runs of several tasks or networks: one of them would stand for all.
    fn check(&self) -> Result<(), Error> {
        let SuiteGate { reference, control, metric, split, .. } = self.gate;
        let mut seen = BTreeSet::new();
        for row in self.rows.iter().filter(|row| row.metric == *metric && row.split == *split) {
            let Row { method, seed, .. } = row;
            if (method == reference || method == control) && !seen.insert((method, seed)) {
                return Err(Error::Query(format!(
                    "gate: several runs of {method:?} have seed {seed}; select one with `where`"
                )));
            }
        }
        Ok(())
    }

    /// The runs of a method that failed.
    fn failed(&self, method: &str) -> usize {
        let failed = |row: &&&Row| row.method == method && row.metric == "failed";
        self.rows.iter().filter(failed).count()
    }

    /// The values of a metric of a method by seed, on a split.
    fn of(&self, method: &str, split: &str, metric: &str) -> BTreeMap<u64, f64> {
        let fits = |row: &&&Row| row.method == method && row.split == split && row.metric == metric;
        let value = |row: &&Row| Some((row.seed, row.measure()?));
        self.rows.iter().filter(fits).filter_map(value).collect()
    }

    /// The mean and 95 % interval of the differences on shared seeds; none with fewer than 3.
    fn difference(&self, a: &str, metric: &str, b: &str, other: &str) -> Option<[f64; 3]> {
        let [a, b] = [(a, metric), (b, other)]
            .map(|(method, metric)| self.of(method, &self.gate.split, metric));
        let shared = a.iter().filter_map(|(seed, a)| Some(a - b.get(seed)?));
        let paired = paired_t(&shared.collect::<Vec<_>>())?;
        Some([paired.difference, paired.low, paired.high])
    }

    /// The means of the reference and of the trivial baseline.
    fn means(&self) -> [Option<f64>; 2] {
        let SuiteGate { reference, metric, split, .. } = self.gate;
        [metric.clone(), format!("{TRIVIAL}{metric}")].map(|metric| {
            let values = self.of(reference, split, &metric).into_values();
            Some(mean(&values.collect::<Vec<_>>())?.mean)
        })
    }

    /// The methods that have the metric and were trained, and the networks whose weights the candidates of a
    /// search have: their rows belong to no run of the suite and have no step. Methods that only evaluate the
    /// network of another run are left out, except the reference, whose numbers are those of the network that
    /// it evaluates.
    fn trained(&self) -> Vec<&str> {
        self.methods(|row| {
            let of_search = row.metric == LATE_CHANGE && row.step.is_none();
            let judged = row.step != Some(0) || row.method == self.gate.reference;
            (row.metric == self.gate.metric && judged) || of_search
        })
    }

    /// The methods with a row that satisfies `fits`.
    fn methods(&self, fits: impl Fn(&Row) -> bool) -> Vec<&str> {
        let mut methods: Vec<&str> = Vec::new();
        for row in self.rows.iter().filter(|row| fits(row)) {
            if !methods.contains(&row.method.as_str()) {
                methods.push(&row.method);
            }
        }
        methods
    }

    /// The mean and 95 % interval of the reference minus the trivial baseline.
    fn over_trivial(&self) -> Option<[f64; 3]> {
        let SuiteGate { reference, metric, .. } = self.gate;
        self.difference(reference, metric, reference, &format!("{TRIVIAL}{metric}"))
    }

    /// The condition that the reference is better than a trivial baseline, with its whole interval.
    fn beats_counting(&self, better: Better, over_trivial: Option<[f64; 3]>) -> GateCondition {
        let SuiteGate { reference, metric, .. } = self.gate;
        let name = "beats a trivial baseline";
        let failed = self.failed(reference);
        match over_trivial {
            _ if failed > 0 => GateCondition {
                name,
                holds: false,
                text: format!("{} of {reference:?} failed", counted(failed, "run")),
            },
            Some([mean, low, high]) => GateCondition {
                name,
                holds: better.oriented(low).min(better.oriented(high)) > 0.0,
                text: format!(
                    "{reference:?} minus the baseline: {mean:+.4}, {low:+.4} to {high:+.4}"
                ),
            },
            None => GateCondition::not_measured(name, &format!("{TRIVIAL}{metric}")),
        }
    }

    /// The condition on the largest mean change over the methods. A method that only evaluates a network has
    /// the change of the run that trained it.
    fn is_trained(&self) -> GateCondition {
        let name = "is trained";
        let change = |method: &&str| {
            let changes = self.of(method, "valid", LATE_CHANGE);
            Some((mean(&changes.into_values().collect::<Vec<_>>())?.mean.abs(), method.to_string()))
        };
        let mut methods = self.trained();
        let evaluated = self.methods(|row| row.metric == LATE_CHANGE && row.step == Some(0));
        // The reference may be both.
        methods.retain(|method| !evaluated.contains(method));
        methods.extend(evaluated);
        let changes: Option<Vec<_>> = methods.iter().map(change).collect();
        match changes.and_then(|all| all.into_iter().max_by(|a, b| a.0.total_cmp(&b.0))) {
            Some((change, method)) => GateCondition {
                name,
                holds: change < self.gate.late_change,
                text: format!(
                    "the last tenth of training changes the validation loss of {method:?} by {:.2} %",
                    100.0 * change
                ),
            },
            None => GateCondition::not_measured(name, LATE_CHANGE),
        }
    }

    /// The methods whose learning rate the suite states, by `tune = false`.
    fn stated(&self) -> Vec<String> {
        let is_stated = |row: &Row| row.metric == RATES_TRIED && row.measure() == Some(0.0);
        self.methods(is_stated).into_iter().map(String::from).collect()
    }

    /// The condition that each method was tuned over enough rates, and that the best rate is between two
    /// others. A method whose rate the suite states is only required to meet this if it is the reference:
    /// otherwise it prepares other runs, as a teacher does, and no claim is about it.
    fn is_tuned(&self) -> GateCondition {
        let name = "is tuned";
        let stated = self.stated();
        let mut fewest = (usize::MAX, String::new());
        for method in self.trained() {
            if method != self.gate.reference && stated.iter().any(|stated| stated == method) {
                continue;
            }
            let tried = self.of(method, "valid", RATES_TRIED);
            let Some(least) = tried.into_values().min_by(f64::total_cmp) else {
                return GateCondition::not_measured(name, RATES_TRIED);
            };
            if (least as usize) < fewest.0 {
                fewest = (least as usize, method.to_string());
            }
            let edge = self.of(method, "valid", RATE_AT_EDGE);
            if edge.into_values().any(|edge| edge > 0.0) {
                let text = format!(
                    "the best learning rate of {method:?} is the smallest or the largest that was tried"
                );
                return GateCondition { name, holds: false, text };
            }
        }
        match fewest {
            (usize::MAX, _) => GateCondition::not_measured(name, RATES_TRIED),
            (count, method) => GateCondition {
                name,
                holds: count >= self.gate.rates,
                text: format!("{count} learning rates were tried for {method:?}, the fewest"),
            },
        }
    }
}

impl GateCondition {
    fn not_measured(name: &'static str, metric: &str) -> Self {
        Self { name, holds: false, text: format!("not measured: these results have no {metric}") }
    }
}

impl fmt::Display for GateCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.text)
    }
}

#[cfg(test)]
mod tests;
