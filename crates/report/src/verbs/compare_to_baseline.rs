//! A sentence for each task that compares every method with the reference.

use super::comparison::{Comparison, judge};
use crate::{
    Error, Query, Runs,
    few::{NOTED, first},
    stats::Verdict,
};

/// A sentence for each setting that has the reference: the methods that are better or worse than it in the
/// first metric, with the mean difference and its 95 % interval, after Holm's correction over all sentences.
/// Methods without a shared seed are left out.
///
/// # Errors
/// If a column of the query is unknown, or the direction of the metric is unknown.
pub fn compare_to_baseline(
    runs: &Runs,
    query: &Query,
    reference: &str,
) -> Result<Vec<String>, Error> {
    let mut comparisons = Vec::new();
    for setting in query.settings(runs)? {
        let Some(metric) = query.metrics(&setting).first().copied() else { continue };
        let others = setting.methods.iter().filter(|method| **method != reference);
        for method in others.filter(|_| setting.methods.contains(&reference)) {
            comparisons.push(Comparison::new(&setting, query, metric, [method, reference])?);
        }
    }
    judge(&mut comparisons, None)?;
    comparisons.retain(|comparison| !comparison.differences.is_empty());
    let settings = comparisons.chunk_by(|a, b| (&a.task, &a.backbone) == (&b.task, &b.backbone));
    Ok(settings.map(sentence).collect())
}

fn sentence(comparisons: &[Comparison]) -> String {
    let said: Vec<String> = comparisons.iter().map(clause).collect();
    let Comparison { task, metric, b, .. } = &comparisons[0];
    format!("{task}, {metric}, against {b}: {}.", first(NOTED, said, "; "))
}

fn clause(comparison: &Comparison) -> String {
    let verdict = match comparison.verdict {
        Verdict::Better => "is better".into(),
        Verdict::Worse => "is worse".into(),
        ref other => format!("is {other}"),
    };
    let numbers = match (comparison.paired, comparison.difference()) {
        (Some(paired), Some(mean)) => {
            let seeds = comparison.differences.len();
            format!(" ({mean:+.3}, {:+.3} to {:+.3}, {seeds} seeds)", paired.low, paired.high)
        }
        _ => String::new(),
    };
    format!("{} {verdict}{numbers}", comparison.a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn every_method_is_said_to_be_better_worse_or_neither() {
        let said = compare_to_baseline(&fixture::runs(), &Query::default(), "dense").unwrap();
        assert!(said[0].contains(", against dense: "), "{}", said[0]);
        assert!(said[0].contains("switch is better (+0.022"), "{}", said[0]);
        let turned = compare_to_baseline(&fixture::runs(), &Query::default(), "switch").unwrap();
        assert!(turned[0].contains("dense is worse (-0.022"), "{}", turned[0]);
    }

    #[test]
    fn without_the_reference_nothing_is_said() {
        assert!(
            compare_to_baseline(&fixture::runs(), &Query::default(), "nobody").unwrap().is_empty()
        );
    }
}
