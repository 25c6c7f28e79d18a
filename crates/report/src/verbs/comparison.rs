//! The difference of two methods, with interval, tests and power.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Better, Error, Query, Setting,
    budget::warning,
    pairs::Pairs,
    stats::{Mean, Paired, TestEvidence, Verdict, holm, mean, tost},
};

/// The difference `a - b` of two methods in one metric of one setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The suite.
    pub suite: String,
    /// The task.
    pub task: String,
    /// The backbone.
    pub backbone: String,
    /// The split.
    pub split: String,
    /// The metric.
    pub metric: String,
    /// The direction in which the metric improves.
    pub better: Better,
    /// The first method, which the verdict is about.
    pub a: String,
    /// The second method.
    pub b: String,
    /// The mean of `a` over its own seeds.
    pub mean_a: Option<Mean>,
    /// The mean of `b` over its own seeds.
    pub mean_b: Option<Mean>,
    /// The differences on the shared seeds, in the units of the metric.
    pub differences: Vec<f64>,
    /// The number of seeds on which only `a` failed, and the number on which only `b` did.
    pub failed: [usize; 2],
    /// Whether covering the test examples was requested; `paired` has the number that is covered.
    pub examples: bool,
    /// The paired t test on the differences; none with fewer than 3.
    pub paired: Option<Paired>,
    /// The test's p value with Holm's correction over all comparisons of one request.
    pub p_holm: Option<f64>,
    /// The p value of equivalence within the margin, with Holm's correction over all comparisons of one
    /// request.
    pub p_equivalence: Option<f64>,
    /// The size below which a difference does not matter.
    pub margin: Option<f64>,
    /// The method of the two that is off the budget of the suite, with its deviation; none if neither is.
    pub off_budget: Option<String>,
    /// The verdict on `a`.
    #[serde(serialize_with = "as_words")]
    pub verdict: Verdict,
}

fn as_words<S: serde::Serializer>(verdict: &Verdict, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(verdict)
}

impl Comparison {
    /// The difference without a verdict.
    pub(super) fn new(
        setting: &Setting,
        query: &Query,
        metric: &str,
        [a, b]: [&str; 2],
    ) -> Result<Self, Error> {
        let better = query.better(metric).ok_or_else(|| {
            Error::Query(format!(
                "the direction of metric {metric:?} is unknown: expected higher or lower"
            ))
        })?;
        let split = query.split(setting);
        let side = |method| {
            let scores = setting.scores(method, metric, split);
            mean(&scores.into_iter().flatten().map(|(_, value)| *value).collect::<Vec<_>>())
        };
        let pairs = Pairs::new(setting, [a, b], (metric, split), query.examples);
        Ok(Self {
            suite: setting.suite.into(),
            task: setting.task.into(),
            backbone: setting.backbone.into(),
            split: split.into(),
            metric: metric.into(),
            better,
            a: a.into(),
            b: b.into(),
            mean_a: side(a),
            mean_b: side(b),
            verdict: pairs.alone(better),
            paired: pairs.paired,
            differences: pairs.differences,
            failed: pairs.failed,
            examples: query.examples,
            p_holm: None,
            p_equivalence: None,
            margin: None,
            off_budget: warning(setting, &[a, b]),
        })
    }

    /// The mean difference; none without a shared seed.
    pub fn difference(&self) -> Option<f64> {
        mean(&self.differences).map(|mean| mean.mean)
    }

    /// All fields in one flat object.
    pub(super) fn to_json(&self) -> Value {
        let Self { paired, .. } = self;
        json!({
            "suite": self.suite, "task": self.task, "backbone": self.backbone, "split": self.split,
            "metric": self.metric, "better": self.better, "a": self.a, "b": self.b,
            "mean_a": self.mean_a, "mean_b": self.mean_b,
            "difference": self.difference(),
            "low": paired.map(|p| p.low), "high": paired.map(|p| p.high),
            "p_value": paired.and_then(|p| p.p_value), "p_holm": self.p_holm,
            "n": self.differences.len(), "deviation": paired.map(|p| p.deviation),
            "error": paired.map(|p| p.error), "df": paired.map(|p| p.df),
            "test_examples": paired.and_then(|p| p.examples),
            "failed_a": self.failed[0], "failed_b": self.failed[1],
            "margin": self.margin, "p_equivalence": self.p_equivalence,
            "off_budget": self.off_budget, "verdict": self.verdict.to_string(),
        })
    }
}

/// Sets the verdicts, with Holm's correction over all of them: separately for the tests of a difference and
/// those of equivalence.
///
/// # Errors
/// If the margin is not above 0.
pub(super) fn judge(comparisons: &mut [Comparison], margin: Option<f64>) -> Result<(), Error> {
    if let Some(bad) = margin.filter(|margin| !(*margin > 0.0 && margin.is_finite())) {
        return Err(Error::Query(format!("margin = {bad}: must be larger than 0")));
    }
    let differences = corrected(comparisons, |paired| paired.p_value);
    let equivalences = corrected(comparisons, |paired| tost(paired, margin?));
    let evidence = differences.into_iter().zip(equivalences);
    for (comparison, (difference, equivalence)) in comparisons.iter_mut().zip(evidence) {
        let Comparison { differences, paired, failed, better, .. } = &*comparison;
        let (differences, paired, failed) = (differences.clone(), *paired, *failed);
        let evidence = TestEvidence { difference, equivalence, margin };
        comparison.verdict = Pairs { differences, paired, failed }.verdict(*better, evidence);
        comparison.margin = margin;
        comparison.p_holm = difference;
        comparison.p_equivalence = equivalence;
    }
    Ok(())
}

/// The p values of a test after Holm's correction, for comparisons that have one.
fn corrected(comparisons: &[Comparison], p: impl Fn(&Paired) -> Option<f64>) -> Vec<Option<f64>> {
    let raw: Vec<Option<f64>> =
        comparisons.iter().map(|c| c.paired.as_ref().and_then(&p)).collect();
    let mut corrected = holm(&raw.iter().copied().flatten().collect::<Vec<_>>()).into_iter();
    raw.into_iter().map(|p| p.and_then(|_| corrected.next())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Runs, fixture};

    /// Three methods, each of which is equivalent to the fourth at 5 %, but not after Holm's correction.
    #[test]
    fn equivalence_of_several_is_corrected() {
        let mut rows = Vec::new();
        let mut add = |method: &str, differences: [f64; 4]| {
            rows.extend((0..).zip(differences).map(|(seed, difference)| {
                fixture::row(method, seed, "accuracy", 0.5 + difference)
            }));
        };
        add("base", [0.0; 4]);
        for method in ["a", "b", "c"] {
            add(method, [0.01, -0.01, 0.012, -0.012]);
        }
        let runs = Runs::of(rows);
        let setting = Setting::all(&runs, false).unwrap().remove(0);
        let of = |methods: &[&str]| {
            let new =
                |m: &&str| Comparison::new(&setting, &Query::default(), "accuracy", [m, "base"]);
            let mut all: Vec<_> = methods.iter().map(|m| new(m).unwrap()).collect();
            judge(&mut all, Some(0.017)).unwrap();
            all.remove(0)
        };
        let (one, three) = (of(&["a"]), of(&["a", "b", "c"]));
        assert_eq!(one.verdict, Verdict::Equivalent);
        assert!((three.p_equivalence.unwrap() / one.p_equivalence.unwrap() - 3.0).abs() < 1e-9);
        assert!(matches!(three.verdict, Verdict::Undecided(_)), "{}", three.verdict);
    }
}
