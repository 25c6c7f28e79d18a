//! The numbers of a run that the conditions of claims, `[[gate]]` of a suite, look at.

use std::{collections::HashMap, sync::Arc};

use report::{LATE_CHANGE, RATE_AT_EDGE, RATES_TRIED, TRIVIAL};
use tasks::Task;
use training::StepRow;

use crate::{
    spec::RunSpec,
    store::{Numbers, Store, read_log},
};

/// Split, metric, value.
pub(super) type Number = (String, String, f64);

/// Keeps the baselines of tasks, which are the same for all their runs.
#[derive(Default)]
pub(super) struct Conditions {
    trivial: HashMap<*const (), Vec<Number>>,
}

impl Conditions {
    /// All numbers of a run that has ended.
    pub(super) fn of(&mut self, spec: &RunSpec, store: &Store) -> anyhow::Result<Vec<Number>> {
        let task: *const () = Arc::as_ptr(&spec.data).cast();
        let mut numbers = self.trivial.entry(task).or_insert_with(|| trivial(&*spec.data)).clone();
        // Of a run that only evaluates, the conditions are those of the network that it rests on.
        let trained = spec.trained();
        let steps = trained.config.train.steps;
        if steps == 0 {
            return Ok(numbers);
        }
        let rows = read_log(&store.folder(&trained.id))?;
        let change = late_change(&rows, steps);
        numbers.extend(change.map(|change| ("valid".into(), LATE_CHANGE.into(), change)));
        if let Some(tuned) = &spec.tuned {
            let edge = f64::from(u8::from(tuned.rate_at_edge));
            numbers.push(("valid".into(), RATES_TRIED.into(), tuned.rates as f64));
            numbers.push(("valid".into(), RATE_AT_EDGE.into(), edge));
        }
        Ok(numbers)
    }
}

/// The sizes of a network as metrics, so that a claim can be about what is saved.
pub(super) fn costs(numbers: &Numbers) -> [Number; 2] {
    [("params", numbers.params), ("flops_per_token", numbers.flops_per_token)]
        .map(|(metric, value)| ("test".into(), metric.into(), value))
}

fn trivial(task: &dyn Task) -> Vec<Number> {
    let name = |(metric, value)| ("test".to_string(), format!("{TRIVIAL}{metric}"), value);
    task.trivial().into_iter().map(name).collect()
}

/// The validation loss after all `steps` over that of the last evaluation within the first nine tenths,
/// minus 1. None without such an evaluation in the second half of them: `train.eval_every` makes it.
fn late_change(rows: &[StepRow], steps: usize) -> Option<f64> {
    let losses = || rows.iter().filter(|row| row.split == "valid" && row.metric == "loss");
    let last = losses().rfind(|row| row.step == steps)?;
    let early = |row: &&StepRow| row.step * 10 <= steps * 9 && row.step * 2 >= steps;
    let before = losses().filter(early).max_by_key(|row| row.step)?;
    Some(last.value / before.value - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(step: usize, split: &str, value: f64) -> StepRow {
        StepRow { step, split: split.into(), metric: "loss".into(), value }
    }

    #[test]
    fn sizes_are_metrics_too() {
        let numbers = Numbers { params: 7.0, flops_per_token: 9.0, ..Numbers::default() };
        let test = |metric: &str, value| ("test".to_string(), metric.to_string(), value);
        assert_eq!(costs(&numbers), [test("params", 7.0), test("flops_per_token", 9.0)]);
    }

    #[test]
    fn the_last_tenth_is_compared_with_what_was_before() {
        let rows = [row(50, "valid", 4.0), row(90, "valid", 2.0), row(95, "valid", 3.0)];
        let with_end =
            |value| [&rows[..], &[row(100, "train", 9.0), row(100, "valid", value)]].concat();
        assert_eq!(late_change(&with_end(1.0), 100), Some(-0.5));
        assert_eq!(late_change(&with_end(2.02), 100).map(|x| (x * 1e3).round()), Some(10.0));
        // No end, or nothing to compare it with.
        assert_eq!(late_change(&rows, 100), None);
        assert_eq!(late_change(&[row(40, "valid", 2.0), row(100, "valid", 1.0)], 100), None);
    }
}
