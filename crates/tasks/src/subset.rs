//! Some classes of another task, to train on a part of them and go on with another part.

use std::sync::Arc;

use burn::prelude::*;
use moe::{Choice, ConfigError, Domain, config};

use crate::{Batch, DataDir, DataError, LoadTask, Score, Split, Task};

config! {
    /// Which classes of which task.
    pub struct SubsetConfig {
        /// The task; it has one answer an example.
        pub of: Choice = Choice::of("digits"),
        /// The classes, by their numbers there. Here they count from 0, in this order.
        pub classes: Vec<usize> = vec![0, 1],
    }
}

/// Some classes of another task.
pub struct Subset {
    task: Arc<dyn Task>,
    /// By the class there, the class here.
    classes: Vec<Option<i32>>,
    /// The examples of each split.
    splits: [Vec<usize>; 3],
    outputs: usize,
}

impl LoadTask for Subset {
    type Config = SubsetConfig;
    const NAME: &'static str = "subset";
    const ABOUT: &'static str = "some classes of another task";
    const SOURCE: &'static str = "that of the other task";

    fn load(config: &SubsetConfig, data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        let tasks = crate::all();
        let of = tasks.complete(&config.of)?;
        let task = (tasks.get(&of.kind)?.build)(&of, data)?;
        Ok(Arc::new(Self::new(task, &config.classes)?))
    }
}

fn invalid(message: String) -> DataError {
    ConfigError::Invalid { what: "task", name: Subset::NAME.into(), message }.into()
}

impl Subset {
    fn new(task: Arc<dyn Task>, classes: &[usize]) -> Result<Self, DataError> {
        let mut here = vec![None; task.outputs()];
        for (number, class) in classes.iter().enumerate() {
            match here.get_mut(*class) {
                Some(place @ None) => *place = Some(number as i32),
                Some(Some(_)) => return Err(invalid(format!("classes: {class} is there twice"))),
                None => {
                    let last = task.outputs() - 1;
                    return Err(invalid(format!("classes: there is no {class}, only 0 to {last}")));
                }
            }
        }
        let mut subset =
            Self { task, classes: here, splits: Default::default(), outputs: classes.len() };
        for split in [Split::Train, Split::Valid, Split::Test] {
            let members = subset.members(split)?;
            if members.is_empty() {
                let split = split.name();
                return Err(invalid(format!("classes = {classes:?}: no example in {split}")));
            }
            subset.splits[split as usize] = members;
        }
        Ok(subset)
    }

    /// The examples of a split that have one of the classes.
    fn members(&self, split: Split) -> Result<Vec<usize>, DataError> {
        const AT_ONCE: usize = 256;
        let examples: Vec<usize> = (0..self.task.len(split)).collect();
        let mut members = Vec::new();
        for examples in examples.chunks(AT_ONCE) {
            let labels = self.task.batch(split, examples, &Device::default()).labels;
            if labels.dims()[1] != 1 {
                return Err(invalid("of: the task has an answer at every position".into()));
            }
            let labels = labels.into_data();
            let kept = examples.iter().zip(labels.iter::<i64>());
            let kept = kept.filter(|(_, label)| self.classes[*label as usize].is_some());
            members.extend(kept.map(|(example, _)| *example));
        }
        Ok(members)
    }
}

impl Task for Subset {
    fn domain(&self) -> Domain {
        self.task.domain()
    }

    fn outputs(&self) -> usize {
        self.outputs
    }

    fn causal(&self) -> bool {
        self.task.causal()
    }

    fn metrics(&self) -> &'static [&'static str] {
        self.task.metrics()
    }

    fn len(&self, split: Split) -> usize {
        self.splits[split as usize].len()
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        let members = &self.splits[split as usize];
        let examples: Vec<usize> = examples.iter().map(|example| members[*example]).collect();
        let batch = self.task.batch(split, &examples, device);
        let here = |label: i64| self.classes[label as usize].unwrap_or_default();
        let labels: Vec<i32> = batch.labels.to_data().iter::<i64>().map(here).collect();
        let labels = TensorData::new(labels, [examples.len(), 1]);
        Batch { labels: Tensor::from_data(labels, &batch.labels.device()), ..batch }
    }

    fn clusters(&self, batch: &Batch) -> Option<Tensor<2, Int>> {
        self.task.clusters(batch)
    }

    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        self.task.loss(output, batch)
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        self.task.measure(output, batch, score);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(classes: &[usize], of: &str) -> Result<Arc<dyn Task>, String> {
        let config = SubsetConfig { of: Choice::of(of), classes: classes.to_vec() };
        Subset::load(&config, &DataDir::default()).map_err(|err| err.to_string())
    }

    #[test]
    fn it_has_the_examples_of_its_classes_and_counts_them_anew() {
        let task = load(&[8, 3], "digits").unwrap();
        assert_eq!((task.outputs(), task.len(Split::Test)), (2, 34 + 36)); // 174 / 5 and 183 / 5
        let all: Vec<usize> = (0..task.len(Split::Test)).collect();
        let batch = task.batch(Split::Test, &all, &Device::flex());
        let labels = batch.labels.into_data().try_to_vec::<i32>().unwrap();
        assert_eq!(labels.iter().filter(|label| **label == 0).count(), 34);
        assert_eq!(labels.iter().filter(|label| **label == 1).count(), 36);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let err = |classes: &[usize], of: &str| load(classes, of).err().unwrap();
        assert!(err(&[1, 10], "digits").contains("there is no 10, only 0 to 9"));
        assert!(err(&[1, 1], "digits").contains("1 is there twice"));
        assert!(err(&[], "digits").contains("no example"));
        assert!(err(&[1], "tanaka-lm").contains("an answer at every position"));
        assert!(err(&[1], "digit").contains("no task is named \"digit\""));
    }
}
