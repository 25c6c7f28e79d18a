//! Two methods on the same seeds: how large is the difference, and how sure is it?

use serde::Serialize;
use serde_json::{Value, json};

use super::cmp_table;
use crate::{
    Better, Error, Format, Query, Runs, Setting,
    budget::warning,
    setting::distinct,
    stats::{
        Interval, Mean, Paired, RESAMPLES, Verdict, holm, mean, paired_bootstrap, paired_t, tost,
        verdict,
    },
    table,
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
    /// Which way is better.
    pub better: Better,
    /// The one method; the verdict is about it.
    pub a: String,
    /// The other.
    pub b: String,
    /// The mean of `a` over its own seeds.
    pub mean_a: Option<Mean>,
    /// The mean of `b` over its own seeds.
    pub mean_b: Option<Mean>,
    /// The differences on the shared seeds, in the units of the metric.
    pub differences: Vec<f64>,
    /// The paired t test on them; none with fewer than 3.
    pub paired: Option<Paired>,
    /// The paired bootstrap on them; none with fewer than 3.
    pub bootstrap: Option<Interval>,
    /// The test's p value with Holm's correction over what is asked at once.
    pub p_holm: Option<f64>,
    /// The p value of equivalence within the margin.
    pub p_equivalence: Option<f64>,
    /// The size below which a difference does not matter.
    pub margin: Option<f64>,
    /// Which of the two is off the budget of the suite, and by how much; none if neither is.
    pub off_budget: Option<String>,
    /// What the seeds say about `a`.
    #[serde(serialize_with = "as_words")]
    pub verdict: Verdict,
}

fn as_words<S: serde::Serializer>(verdict: &Verdict, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(verdict)
}

/// Compares two methods in each setting that has both, and in each metric asked for.
pub fn cmp(
    runs: &Runs,
    ask: &Query,
    a: &str,
    b: &str,
    margin: Option<f64>,
) -> Result<Vec<Comparison>, Error> {
    let settings = ask.settings(runs)?;
    let known = distinct(settings.iter().flat_map(|s| s.methods.iter().copied()));
    for method in [a, b] {
        if !known.contains(&method) {
            return Err(Error::unknown("method", method, known));
        }
    }
    let mut comparisons = Vec::new();
    for setting in &settings {
        if setting.methods.contains(&a) && setting.methods.contains(&b) {
            for metric in ask.metrics(setting) {
                let mut comparison = Comparison::new(setting, ask, metric, a, b)?;
                let differences = std::slice::from_ref(&comparison.differences);
                comparison.bootstrap = paired_bootstrap(differences, RESAMPLES, 0);
                comparisons.push(comparison);
            }
        }
    }
    judge(&mut comparisons, margin)?;
    match comparisons.is_empty() {
        true => Err(Error::Question(format!("{a:?} and {b:?} share no task with a known metric"))),
        false => Ok(comparisons),
    }
}

impl Comparison {
    /// The difference without a verdict.
    pub(super) fn new(
        setting: &Setting,
        ask: &Query,
        metric: &str,
        a: &str,
        b: &str,
    ) -> Result<Self, Error> {
        let better = ask.better(metric).ok_or_else(|| {
            Error::Question(format!(
                "which way {metric:?} is better is not known: say higher or lower"
            ))
        })?;
        let split = ask.split(setting);
        let side = |method| {
            let scores = setting.scores(method, metric, split);
            mean(&scores.into_iter().flatten().map(|(_, value)| *value).collect::<Vec<_>>())
        };
        let differences = setting.differences(a, b, metric, split);
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
            paired: paired_t(&differences),
            bootstrap: None,
            differences,
            p_holm: None,
            p_equivalence: None,
            margin: None,
            off_budget: warning(setting, &[a, b]),
            verdict: Verdict::Undecided { needs: None },
        })
    }

    /// The difference with a sign that makes more better.
    fn oriented(&self) -> Option<Paired> {
        let paired = self.paired?;
        Some(Paired { difference: self.better.oriented(paired.difference), ..paired })
    }

    /// Everything in one flat object.
    fn to_json(&self) -> Value {
        let Self { paired, .. } = self;
        let difference = mean(&self.differences).map(|mean| mean.mean);
        json!({
            "suite": self.suite, "task": self.task, "backbone": self.backbone, "split": self.split,
            "metric": self.metric, "better": self.better, "a": self.a, "b": self.b,
            "mean_a": self.mean_a, "mean_b": self.mean_b,
            "difference": difference,
            "low": paired.map(|p| p.low), "high": paired.map(|p| p.high),
            "p_value": paired.map(|p| p.p_value), "p_holm": self.p_holm,
            "n": self.differences.len(), "deviation": paired.map(|p| p.deviation),
            "bootstrap_low": self.bootstrap.map(|i| i.low),
            "bootstrap_high": self.bootstrap.map(|i| i.high),
            "margin": self.margin, "p_equivalence": self.p_equivalence,
            "off_budget": self.off_budget, "verdict": self.verdict.to_string(),
        })
    }
}

/// Gives the verdicts, with Holm's correction over all of them.
pub(super) fn judge(comparisons: &mut [Comparison], margin: Option<f64>) -> Result<(), Error> {
    if let Some(bad) = margin.filter(|margin| !(*margin > 0.0 && margin.is_finite())) {
        return Err(Error::Question(format!("margin = {bad}: it is larger than 0")));
    }
    let p_values = |c: &Comparison| c.paired.map(|paired| paired.p_value);
    let corrected = holm(&comparisons.iter().filter_map(p_values).collect::<Vec<_>>());
    let mut corrected = corrected.into_iter();
    for comparison in comparisons {
        let paired = comparison.oriented();
        comparison.margin = margin;
        comparison.p_holm = paired.and_then(|_| corrected.next());
        comparison.p_equivalence = paired.zip(margin).map(|(paired, margin)| tost(&paired, margin));
        comparison.verdict = verdict(paired.as_ref(), comparison.p_holm.unwrap_or(1.0), margin);
    }
    Ok(())
}

/// The comparisons in a form. Json is one flat object if there is one comparison, or else an array.
pub fn render_cmp(comparisons: &[Comparison], format: Format) -> String {
    let json = match (format, comparisons) {
        (Format::Json, [one]) => one.to_json(),
        (Format::Json, all) => all.iter().map(Comparison::to_json).collect(),
        _ => return table::render(&[cmp_table(comparisons)], format),
    };
    format!("{json:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn compared(a: &str, b: &str, margin: Option<f64>) -> Vec<Comparison> {
        cmp(&fixture::runs(), &Query::default(), a, b, margin).unwrap()
    }

    #[test]
    fn a_clear_difference() {
        let c = compared("switch", "dense", None).remove(0);
        // 0.019 0.027 0.012 0.028 0.024: mean 0.022.
        assert!((c.paired.unwrap().difference - 0.022).abs() < 1e-12);
        assert_eq!((c.differences.len(), c.verdict), (5, Verdict::Better));
        assert_eq!(compared("dense", "switch", None)[0].verdict, Verdict::Worse);
    }

    #[test]
    fn lower_is_better_for_a_loss() {
        let ask = Query { metrics: vec!["loss".into()], ..Query::default() };
        let c = cmp(&fixture::runs(), &ask, "switch", "dense", None).unwrap().remove(0);
        assert!(c.paired.unwrap().difference < 0.0);
        assert_eq!(c.verdict, Verdict::Better);
    }

    #[test]
    fn near_enough_is_equivalent() {
        assert_eq!(compared("switch", "top-k", Some(0.01))[0].verdict, Verdict::Equivalent);
        assert_eq!(compared("soft", "top-k", Some(0.01))[0].paired, None);
    }

    #[test]
    fn json_is_flat() {
        let json = render_cmp(&compared("switch", "top-k", Some(0.01)), Format::Json);
        let json: Value = serde_json::from_str(&json).unwrap();
        for key in ["difference", "low", "high", "p_value"] {
            assert!(json[key].is_f64(), "{key}: {json}");
        }
        assert_eq!((&json["n"], &json["verdict"]), (&json!(5), &json!("equivalent")));
    }

    #[test]
    fn shown_as_text() {
        let runs = two_tasks();
        let all = cmp(&runs, &Query::default(), "switch", "soft", Some(0.005)).unwrap();
        insta::assert_snapshot!(render_cmp(&all, Format::Text));
        let all = cmp(&runs, &Query::default(), "switch", "dense", Some(0.005)).unwrap();
        insta::assert_snapshot!(render_cmp(&all, Format::Text));
    }

    fn two_tasks() -> Runs {
        let mut runs = fixture::runs();
        let more = runs.rows.clone().into_iter().map(|mut row| {
            row.task = "glyphs".into();
            row.value = row.value.map(|value| value + 0.001 * (row.seed % 3) as f64);
            row
        });
        runs.rows.extend(more);
        runs
    }

    #[test]
    fn bad_questions_are_answered_with_the_alternatives() {
        let ask = |ask: Query, a, margin| cmp(&fixture::runs(), &ask, a, "soft", margin);
        let err = ask(Query::default(), "swich", None).unwrap_err().to_string();
        assert!(
            err.starts_with("no method is named \"swich\"; known: dense, switch, top-k"),
            "{err}"
        );
        let err = ask(Query::default(), "switch", Some(-1.0)).unwrap_err().to_string();
        assert_eq!(err, "margin = -1: it is larger than 0");
        let speed = Query { metrics: vec!["tokens_per_second".into()], ..Query::default() };
        let err = ask(speed, "switch", None).unwrap_err().to_string();
        assert!(err.contains("say higher or lower"), "{err}");
    }
}
