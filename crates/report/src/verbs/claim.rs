//! Claims of papers, tested on results: `[[claim]]` of a suite.

mod results;

use std::{collections::BTreeMap, fmt};

use serde::Deserialize;
use serde_json::Value;
use statrs::distribution::ContinuousCDF;

use self::results::{Results, beyond, value};
use super::gate::{Gated, gate_of};
use crate::{
    Error, Runs,
    number::two_digits,
    stats::{Interval, detectable_effect, holm, mean, student},
};

/// A claim of a paper, and the result that is required here if it is true.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The claim of the paper.
    pub claim: String,
    /// The size of the effect in the paper.
    pub effect: String,
    /// Columns with the values of the runs that it applies to; empty means all runs.
    #[serde(rename = "where", default)]
    pub place: BTreeMap<String, Value>,
    /// The metric, or a cost that is recorded with all metrics of a run, one of [`COSTS`].
    pub metric: String,
    /// The split; costs have none.
    #[serde(default = "test")]
    pub split: String,
    /// The method that the claim is about.
    pub method: String,
    /// The method with which it is compared, seed by seed; if left out, the metric itself is tested.
    #[serde(default)]
    pub against: Option<String>,
    /// Two other methods, whose difference is subtracted from the first one: the amount by which one gain is
    /// larger than another. It is taken seed by seed, over the seeds alone.
    #[serde(default)]
    pub beyond: Option<OtherGain>,
    /// The claim holds above this.
    #[serde(default)]
    pub above: Option<f64>,
    /// The claim holds below this.
    #[serde(default)]
    pub below: Option<f64>,
    /// The claim holds if the absolute difference is at most this share of the mean of `against`.
    #[serde(default)]
    pub within: Option<f64>,
    /// The paper's effect in the unit and direction of the metric here, if it can be converted. An effect
    /// whose whole interval is smaller than this is reported as smaller.
    #[serde(default)]
    pub paper: Option<f64>,
    /// Whether the claim follows from the setup of the runs. Then it is no evidence.
    #[serde(default)]
    pub by_construction: bool,
    /// A remark on the outcome, for example why it differs from the paper.
    #[serde(default)]
    pub note: String,
}

impl Claim {
    /// The methods whose results the claim compares.
    pub fn methods(&self) -> impl Iterator<Item = &str> {
        let beyond = self.beyond.iter().flat_map(|gain| [&gain.method, &gain.against]);
        std::iter::once(&self.method).chain(&self.against).chain(beyond).map(String::as_str)
    }

    /// Checks that the claim has exactly one criterion.
    ///
    /// # Errors
    /// If it has none or several, or its criterion has no meaning for it.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |what: &str| Err(Error::Query(format!("claim {:?}: {what}", self.claim)));
        let bounded = self.above.is_some() || self.below.is_some();
        let differs = self.against.is_some() && self.within.is_none();
        match self.within {
            _ if self.beyond.is_some() && !differs => {
                wrong("`beyond` requires `against`, and `above` or `below`")
            }
            None if bounded => Ok(()),
            None => wrong("expected `above` or `below` with a number, or `within` with a share"),
            Some(_) if bounded => wrong("`within` cannot be combined with `above` or `below`"),
            Some(_) if self.against.is_none() => wrong("`within` requires `against`"),
            Some(share) if share > 0.0 && share.is_finite() => Ok(()),
            Some(share) => wrong(&format!("within = {share}: must be larger than 0")),
        }
    }
}

/// The difference of two methods with which another difference is compared.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherGain {
    /// The method.
    pub method: String,
    /// The method that is subtracted.
    pub against: String,
}

fn test() -> String {
    "test".into()
}

/// The outcome of a claim. All kinds of claims are judged by the same 95 % interval, each end of which is
/// wrong in 2.5 % of cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The claim holds for the whole interval.
    Reproduced,
    /// The claim does not hold for any point of the interval.
    NotReproduced,
    /// The interval lies on both sides, there is no interval, or a run failed.
    Undecided,
    /// The claim is not refuted, and the whole interval is smaller than the paper's effect.
    Smaller,
    /// The claim follows from the setup of the runs.
    ByConstruction,
    /// A condition of its gate does not hold, or the runs are too few to detect the paper's effect.
    NotTestable,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Finding::Reproduced => "reproduced",
            Finding::NotReproduced => "not reproduced",
            Finding::Undecided => "undecided",
            Finding::Smaller => "smaller than the paper's",
            Finding::ByConstruction => "by construction",
            Finding::NotTestable => "not testable here",
        })
    }
}

/// A claim with its measurements.
#[derive(Clone, Debug, PartialEq)]
pub struct Tested {
    /// The claim.
    pub claim: Claim,
    /// The mean difference, or the mean; none without runs.
    pub measured: Option<ClaimEvidence>,
    /// For a claim that there is no difference, the smallest share of the other method's mean that contains
    /// the whole interval.
    pub least: Option<f64>,
    /// The verdict.
    pub finding: Finding,
    /// The one-sided p value of the opposite of the claim; none if there is no interval or no variance.
    pub p: Option<f64>,
    /// The same, corrected for the number of claims tested together (Holm).
    pub corrected: Option<f64>,
    /// Whether a gate applies to the claim.
    pub gated: bool,
    /// The condition that does not hold.
    pub gate: Option<String>,
}

impl Tested {
    fn new(claim: &Claim, measured: Option<ClaimEvidence>, finding: Finding) -> Self {
        let claim = claim.clone();
        let (least, p, corrected, gate) = (None, None, None, None);
        Self { claim, measured, least, finding, p, corrected, gated: false, gate }
    }

    /// The reason why the paper's effect could have been missed here, or found by chance: these runs detect
    /// larger effects only. If the interval excludes the paper's effect, no power is required.
    fn too_few(&self) -> Option<String> {
        let open = matches!(self.finding, Finding::Reproduced | Finding::Undecided);
        let paper = self.claim.paper.filter(|_| open)?.abs();
        let least = self.measured?.detects().filter(|least| *least >= paper)?;
        Some(format!(
            "can tell: the least effect that these runs detect, {}, is not below the paper's, {}",
            two_digits(least),
            two_digits(paper)
        ))
    }

    /// Whether the claim is still reproduced if the probability of a false "reproduced" among all claims
    /// tested together is 2.5 %.
    pub fn survives_correction(&self) -> bool {
        self.corrected.is_some_and(|p| p <= LEVEL)
    }
}

/// The costs of a run, which are columns of its rows, that a claim may use in place of a metric.
pub const COSTS: [&str; 3] = ["peak_memory", "seconds", "train_flops"];

/// The probability on each side of a 95 % interval.
const LEVEL: f64 = 0.025;

/// The results of the runs for a claim.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClaimEvidence {
    /// The mean over seeds of the metric, or of the difference on shared seeds.
    pub mean: f64,
    /// Its 95 % interval, clipped to the range of the metric; none with fewer than 3 seeds.
    pub interval: Option<Interval>,
    /// The number of seeds, or of those that both methods have.
    pub seeds: usize,
    /// The number of test examples that the interval covers; none if it covers the seeds alone.
    pub examples: Option<usize>,
    /// The standard error and degrees of freedom of the mean; none if there is no interval.
    pub error: Option<[f64; 2]>,
    /// The number of failed runs. If there are any the claim is undecided: a failed run is worse than any
    /// other.
    pub failed: usize,
}

impl ClaimEvidence {
    /// The distance of the true value from a bound at which four of five experiments like this one show its
    /// side, see [`detectable_effect`]. None without variance, or with a failed run.
    pub fn detects(&self) -> Option<f64> {
        let [error, df] = self.error.filter(|[error, _]| *error > 0.0 && self.failed == 0)?;
        Some(detectable_effect(error, df))
    }
}

/// Tests claims, each by itself, and again with Holm's correction for their number. Intervals also cover the
/// choice of test examples, if the values of single examples are known. A claim is not testable if a
/// condition of its gate does not hold.
///
/// # Errors
/// If a claim has no testable criterion, or applies to several runs with the same seed.
pub fn claims(runs: &Runs, claims: &[Claim], gates: &[Gated]) -> Result<Vec<Tested>, Error> {
    let mut tested: Vec<Tested> =
        claims.iter().map(|claim| tested(runs, claim, gates)).collect::<Result<_, _>>()?;
    correct(&mut tested);
    Ok(tested)
}

/// Corrects the p values of claims for their number (Holm), replacing an earlier correction: the claims of
/// one paper are corrected together, in whichever suites they are. Claims that are not testable count too, so
/// that the number does not depend on whether gates hold; those by construction do not.
pub fn correct<'a>(tested: impl IntoIterator<Item = &'a mut Tested>) {
    let with_p: Vec<_> = tested.into_iter().filter(|one| one.p.is_some()).collect();
    let p_values: Vec<f64> = with_p.iter().filter_map(|one| one.p).collect();
    for (one, p) in with_p.into_iter().zip(holm(&p_values)) {
        one.corrected = Some(p);
    }
}

fn tested(runs: &Runs, claim: &Claim, gates: &[Gated]) -> Result<Tested, Error> {
    claim.check()?;
    let one = Results::of(runs, claim, &claim.method)?;
    let gate = gate_of(gates, &claim.metric, &claim.place);
    let Some(other) = &claim.against else {
        let bounds = Bounds { above: claim.above, below: claim.below };
        return Ok(behind(gate, None, judged(claim, one.measured(claim), bounds)));
    };
    let other = Results::of(runs, claim, other)?;
    let dense = one.is_dense() && other.is_dense();
    let with_kind = |margin: f64| Margin { margin, dense };
    let measured = match &claim.beyond {
        None => one.minus(&other, claim),
        Some(OtherGain { method, against }) => {
            let [method, against] = [method, against].map(|name| Results::of(runs, claim, name));
            beyond([&one, &other, &method?, &against?])
        }
    };
    let Some(within) = claim.within else {
        let bounds = Bounds { above: claim.above, below: claim.below };
        let margin = bounds.margin().filter(|_| claim.beyond.is_none()).map(with_kind);
        return Ok(behind(gate, margin, judged(claim, measured, bounds)));
    };
    let shared = other.rows.iter().filter(|(seed, _)| one.rows.contains_key(seed));
    let whole = mean(&shared.map(|(_, row)| value(row)).collect::<Vec<_>>());
    let Some(whole) = whole.map(|whole| whole.mean.abs()).filter(|whole| *whole > 0.0) else {
        return Ok(behind(gate, None, Tested::new(claim, measured, Finding::Undecided)));
    };
    let margin = within * whole;
    let bounds = Bounds { above: Some(-margin), below: Some(margin) };
    let mut tested = judged(claim, measured, bounds);
    let interval = tested.measured.filter(|m| m.failed == 0).and_then(|m| m.interval);
    tested.least = interval.map(|i| i.low.abs().max(i.high.abs()) / whole);
    Ok(behind(gate, Some(with_kind(margin)), tested))
}

/// The bounds between which a claim holds.
#[derive(Clone, Copy)]
struct Bounds {
    above: Option<f64>,
    below: Option<f64>,
}

impl Bounds {
    /// The largest difference in a disadvantage that still counts as none, for a claim that a difference is
    /// small or a method no worse; none if the range begins or ends at 0 or does not contain it.
    fn margin(&self) -> Option<f64> {
        let inside = self.above.is_none_or(|above| above < 0.0)
            && self.below.is_none_or(|below| below > 0.0);
        let sides = [self.above.map(f64::abs), self.below.map(f64::abs)];
        sides.into_iter().flatten().max_by(f64::total_cmp).filter(|_| inside)
    }

    /// The p value of the hypothesis that the true value lies outside of the bounds, the larger of one for
    /// each side.
    fn p_value(&self, measured: &ClaimEvidence) -> Option<f64> {
        let [error, df] = measured.error.filter(|[error, _]| *error > 0.0)?;
        let beyond = |room: f64| student(df).cdf(-room / error);
        let sides = [
            self.above.map(|bound| beyond(measured.mean - bound)),
            self.below.map(|bound| beyond(bound - measured.mean)),
        ];
        sides.into_iter().flatten().max_by(f64::total_cmp)
    }
}

/// The margin of a claim that two methods are equal, or that one is no worse.
#[derive(Clone, Copy)]
struct Margin {
    margin: f64,
    /// Whether both methods are dense, so that routing makes no difference between them.
    dense: bool,
}

/// The verdict from the position of the interval: within the bounds, outside of them, or short of the paper's
/// effect.
fn judged(claim: &Claim, measured: Option<ClaimEvidence>, bounds: Bounds) -> Tested {
    let whole = measured.filter(|measured| measured.failed == 0);
    let above = bounds.above.unwrap_or(f64::NEG_INFINITY);
    let below = bounds.below.unwrap_or(f64::INFINITY);
    let finding = match whole.and_then(|measured| measured.interval) {
        _ if claim.by_construction => Finding::ByConstruction,
        Some(Interval { low, high }) if high <= above || low >= below => Finding::NotReproduced,
        Some(interval) if falls_short(interval, claim.paper) => Finding::Smaller,
        Some(Interval { low, high }) if low > above && high < below => Finding::Reproduced,
        _ => Finding::Undecided,
    };
    let p = whole.filter(|_| !claim.by_construction).and_then(|m| bounds.p_value(&m));
    Tested { p, ..Tested::new(claim, measured, finding) }
}

/// Whether the whole interval is short of the paper's effect, in its direction.
fn falls_short(interval: Interval, paper: Option<f64>) -> bool {
    match paper {
        Some(effect) if effect > 0.0 => interval.high < effect,
        Some(effect) if effect < 0.0 => interval.low > effect,
        _ => false,
    }
}

/// The verdict with a gate: not testable if a condition of the gate does not hold, if the margin is too wide
/// to tell the control from the reference, or if these runs are too few for the paper's effect. A claim
/// without runs stays as it is.
fn behind(gate: Option<&Gated>, margin: Option<Margin>, tested: Tested) -> Tested {
    if tested.measured.is_none() || tested.finding == Finding::ByConstruction {
        return tested;
    }
    let tested = Tested { gated: gate.is_some(), ..tested };
    let broken: Vec<_> =
        gate.into_iter().flat_map(Gated::broken).map(ToString::to_string).collect();
    let broken = (!broken.is_empty()).then(|| broken.join("; "));
    let broken = broken.or_else(|| gate?.not_tuned(tested.claim.methods()));
    // The gate measures distances in its own metric. A difference beyond a wide margin is beyond a small one.
    let judges = |gate: &Gated| gate.gate.metric == tested.claim.metric;
    let refuted = tested.finding == Finding::NotReproduced;
    let margin = margin.filter(|_| !refuted && gate.is_some_and(judges));
    let broken = broken.or_else(|| margin.and_then(|of| gate?.too_wide(of.margin, of.dense)));
    match broken.or_else(|| tested.too_few()) {
        None => tested,
        why => Tested { finding: Finding::NotTestable, gate: why, ..tested },
    }
}

#[cfg(test)]
mod tests;
