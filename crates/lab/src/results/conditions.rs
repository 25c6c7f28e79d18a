//! The numbers of a run that the conditions of claims, `[[gate]]` of a suite, use.

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

/// A cache of the baselines of tasks. All runs of a task share a baseline; if the seed chooses the splits,
/// only the runs of one seed share it.
#[derive(Default)]
pub(super) struct Conditions {
    trivial: HashMap<(*const (), Option<u64>), Vec<Number>>,
}

impl Conditions {
    /// All numbers of a finished run for the conditions.
    pub(super) fn of(&mut self, spec: &RunSpec, store: &Store) -> anyhow::Result<Vec<Number>> {
        let mut numbers = self.without_a_network(&spec.data, spec.seed);
        numbers.extend(of_training(spec, store)?);
        Ok(numbers)
    }

    /// The baseline of a task, on the splits of this seed if the seed chooses them.
    fn without_a_network(&mut self, data: &Arc<dyn Task>, seed: u64) -> Vec<Number> {
        let task: *const () = Arc::as_ptr(data).cast();
        let fold = data.as_folded().map(|folded| folded.of_seed(seed));
        let key = (task, fold.as_ref().map(|_| seed));
        let numbers = || trivial(&**fold.as_ref().unwrap_or(data));
        self.trivial.entry(key).or_insert_with(numbers).clone()
    }
}

/// Numbers on whether the network of a run was trained to the end, and on the choice of its learning rate. A
/// run without steps of its own has the network of the run from which it starts.
pub(super) fn of_training(spec: &RunSpec, store: &Store) -> anyhow::Result<Vec<Number>> {
    let network = spec.trained();
    let rows = read_log(&store.folder(&network.id))?;
    let change = late_change(&rows, network.config.train.steps);
    let mut numbers = Vec::new();
    numbers.extend(change.map(|change| ("valid".into(), LATE_CHANGE.into(), change)));
    if let Some(tuned) = &spec.tuned {
        let edge = f64::from(u8::from(tuned.rate_at_edge));
        numbers.push(("valid".into(), RATES_TRIED.into(), tuned.rates as f64));
        numbers.push(("valid".into(), RATE_AT_EDGE.into(), edge));
    }
    Ok(numbers)
}

/// The sizes of a network as metrics, so that claims can be made about savings.
pub(super) fn costs(numbers: &Numbers) -> [Number; 2] {
    [("params", numbers.params), ("flops_per_token", numbers.flops_per_token)]
        .map(|(metric, value)| ("test".into(), metric.into(), value))
}

fn trivial(task: &dyn Task) -> Vec<Number> {
    let name = |(metric, value)| ("test".to_string(), format!("{TRIVIAL}{metric}"), value);
    task.trivial().into_iter().map(name).collect()
}

/// The validation loss after all `steps`, relative to that of the last evaluation within the first nine
/// tenths, minus 1. None without steps, or without such an evaluation in the second half of training, which
/// `train.eval_every` adds.
fn late_change(rows: &[StepRow], steps: usize) -> Option<f64> {
    if steps == 0 {
        return None;
    }
    let losses = || rows.iter().filter(|row| row.split == "valid" && row.metric == "loss");
    let last = losses().rfind(|row| row.step == steps)?;
    let early = |row: &&StepRow| row.step * 10 <= steps * 9 && row.step * 2 >= steps;
    let before = losses().filter(early).max_by_key(|row| row.step)?;
    Some(last.value / before.value - 1.0)
}

#[cfg(test)]
mod tests {
    use burn::prelude::*;
    use moe::Domain;
    use tasks::{Batch, FoldedTask, Score, Split};

    use super::*;

    /// A task whose baseline is the seed that chose its splits, or 99 without a seed.
    struct Folds(Option<u64>);

    impl Task for Folds {
        fn domain(&self) -> Domain {
            Domain::Image { channels: 1, height: 1, width: 1 }
        }

        fn outputs(&self) -> usize {
            2
        }

        fn causal(&self) -> bool {
            false
        }

        fn metrics(&self) -> &[&'static str] {
            &["accuracy"]
        }

        fn len(&self, _: Split) -> usize {
            0
        }

        fn batch(&self, _: Split, _: &[usize], _: &Device) -> Batch {
            unreachable!("it has no examples")
        }

        fn measure(&self, _: Tensor<3>, _: &Batch, _: &mut Score) {}

        fn trivial(&self) -> Vec<(&'static str, f64)> {
            vec![("accuracy", self.0.map_or(99.0, |seed| seed as f64))]
        }

        fn as_folded(&self) -> Option<&dyn FoldedTask> {
            self.0.is_none().then_some(self as &dyn FoldedTask)
        }
    }

    impl FoldedTask for Folds {
        fn of_seed(&self, seed: u64) -> Arc<dyn Task> {
            Arc::new(Self(Some(seed)))
        }
    }

    #[test]
    fn a_baseline_is_that_of_the_fold_of_a_run() {
        let mut conditions = Conditions::default();
        let (folded, other): (Arc<dyn Task>, Arc<dyn Task>) =
            (Arc::new(Folds(None)), Arc::new(Folds(Some(7))));
        let mut of = |task, seed| conditions.without_a_network(task, seed)[0].2;
        assert_eq!([of(&folded, 0), of(&folded, 3), of(&folded, 0)], [0.0, 3.0, 0.0]);
        assert_eq!([of(&other, 0), of(&other, 3)], [7.0, 7.0]);
        assert_eq!(conditions.trivial.len(), 3);
    }

    #[test]
    fn sizes_are_metrics_too() {
        let numbers = Numbers { params: 7.0, flops_per_token: 9.0, ..Numbers::default() };
        let test = |metric: &str, value| ("test".to_string(), metric.to_string(), value);
        assert_eq!(costs(&numbers), [test("params", 7.0), test("flops_per_token", 9.0)]);
    }

    fn row(step: usize, split: &str, value: f64) -> StepRow {
        StepRow { step, split: split.into(), metric: "loss".into(), value }
    }

    #[test]
    fn the_last_tenth_is_compared_with_what_was_before() {
        let rows = [row(50, "valid", 4.0), row(90, "valid", 2.0), row(95, "valid", 3.0)];
        let with_end =
            |value| [&rows[..], &[row(100, "train", 9.0), row(100, "valid", value)]].concat();
        assert_eq!(late_change(&with_end(1.0), 100), Some(-0.5));
        assert_eq!(late_change(&with_end(2.02), 100).map(|x| (x * 1e3).round()), Some(10.0));
        // There is no final evaluation, or none to compare it with.
        assert_eq!(late_change(&rows, 100), None);
        assert_eq!(late_change(&[row(40, "valid", 2.0), row(100, "valid", 1.0)], 100), None);
        // A network that was only evaluated did not change.
        assert_eq!(late_change(&[row(0, "valid", 2.0)], 0), None);
    }

    #[test]
    fn a_run_without_steps_has_the_network_of_the_run_that_it_starts_from() {
        const SUITE: &str = r#"
seeds = [3]
[[task]]
task = { kind = "digits", train = 60, valid = 40, test = 40 }
backbone = { kind = "vit", width = 8, depth = 1, heads = 2 }
train = { steps = 20, batch = 8 }
[[method]]
name = "trained"
moe.layers = "none"
[[method]]
name = "looked at"
after = "trained"
[[method]]
name = "trained on"
moe.layers = "none"
from = { train.steps = 40 }
[[gate]]
metric = "accuracy"
reference = "trained"
control = "trained on"
"#;
        let specs = crate::testing::plan(SUITE).unwrap().specs;
        let [trained, looked_at, trained_on] = [0, 1, 2].map(|at| &specs[at]);
        assert_eq!(trained.trained().id, trained.id);
        assert_eq!(looked_at.trained().id, trained.id);
        assert_eq!(trained_on.trained().id, trained_on.id);
    }
}
