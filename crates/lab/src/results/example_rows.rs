//! Conversion of a run's scores on single test examples to the rows that `report` resamples.

use anyhow::Context;
use report::{ExampleRow, ExampleScores};
use tasks::Split;
use training::ExampleScore;

use crate::{
    spec::{RunSpec, SuitePlan},
    store::{Ended, Store, read_file},
};

/// The sums over single test examples for the results of a suite, from the runs that recorded them. A
/// few-shot head is evaluated on other outputs than the recorded ones, so such a run has no sums.
pub(super) fn of_suite(suite: &SuitePlan, store: &Store) -> anyhow::Result<ExampleScores> {
    let mut all = ExampleScores::default();
    for spec in suite.specs.iter().filter(|spec| spec.config.few_shot.is_none()) {
        of_run(spec, store)?.into_iter().for_each(|row| all.push(row));
    }
    Ok(all)
}

fn of_run(spec: &RunSpec, store: &Store) -> anyhow::Result<Vec<ExampleRow>> {
    let folder = store.folder(&spec.id);
    let Some(Ended::Done(numbers)) = store.ended(&spec.id)? else { return Ok(Vec::new()) };
    let Some(bytes) = read_file(&folder, "test-examples.csv")? else { return Ok(Vec::new()) };
    let path = ExampleScore::path(&folder);
    let scores = ExampleScore::parse(&bytes).with_context(|| path.display().to_string())?;
    let test = Split::Test.name();
    let metrics = numbers.metrics.iter().filter(|(split, ..)| split == test);
    let of_metric = |(_, metric, _): &(String, String, f64)| {
        let (sums, counts) = terms(metric, &scores)?;
        Some(ExampleRow {
            run: spec.id.clone(),
            split: test.into(),
            metric: metric.clone(),
            sums,
            counts,
        })
    };
    Ok(metrics.filter_map(of_metric).collect())
}

/// The two lists of numbers, one number per example, whose sums have the metric as their quotient; none if
/// the metric is not such a quotient.
fn terms(metric: &str, scores: &[ExampleScore]) -> Option<(Vec<f64>, Vec<f64>)> {
    let each = |of: fn(&ExampleScore) -> f64| scores.iter().map(of).collect::<Vec<f64>>();
    let units = || each(|score| score.units as f64);
    match metric {
        "accuracy" => Some((each(|score| score.correct as f64), units())),
        "loss" => Some((each(|score| score.loss), units())),
        "bits_per_byte" => Some((
            each(|score| score.loss / std::f64::consts::LN_2),
            each(|score| score.bytes as f64),
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_of_sums_are_the_metrics() {
        let score =
            |units, loss, correct, bytes| ExampleScore { example: 0, units, loss, correct, bytes };
        let scores = [score(3, 1.5, 2, 6), score(2, 0.5, 1, 4)];
        let quotient = |metric| {
            let (sums, counts) = terms(metric, &scores)?;
            Some(sums.iter().sum::<f64>() / counts.iter().sum::<f64>())
        };
        let near = |metric, value: f64| (quotient(metric).unwrap() - value).abs() < 1e-12;
        assert!(near("accuracy", 3.0 / 5.0) && near("loss", 2.0 / 5.0));
        assert!(near("bits_per_byte", 2.0 / 10.0 / std::f64::consts::LN_2));
        assert_eq!(quotient("tokens_per_second"), None);
    }
}
