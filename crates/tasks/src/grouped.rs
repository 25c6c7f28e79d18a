//! A task whose classes are put into groups: the true cluster of an example is its class's group.

use std::sync::Arc;

use burn::prelude::*;
use moe::Domain;

use crate::{Batch, Place, Score, Split, Task, Tokenizer};

/// A task with groups of classes; all else is the task's.
pub struct Grouped {
    task: Arc<dyn Task>,
    /// The group of each class.
    groups: Vec<usize>,
}

impl Grouped {
    /// Puts class c into group `groups[c]`.
    ///
    /// # Panics
    /// If there is not a group for each class.
    pub fn new(task: Arc<dyn Task>, groups: Vec<usize>) -> Self {
        assert_eq!(groups.len(), task.outputs(), "a group for each class");
        Self { task, groups }
    }
}

impl Task for Grouped {
    fn domain(&self) -> Domain {
        self.task.domain()
    }

    fn outputs(&self) -> usize {
        self.task.outputs()
    }

    fn causal(&self) -> bool {
        self.task.causal()
    }

    fn metrics(&self) -> &[&'static str] {
        self.task.metrics()
    }

    fn len(&self, split: Split) -> usize {
        self.task.len(split)
    }

    fn len_without_padding(&self, split: Split) -> usize {
        self.task.len_without_padding(split)
    }

    fn condition(&self, batch: &Batch) -> Option<Tensor<2>> {
        self.task.condition(batch)
    }

    fn condition_width(&self) -> Option<usize> {
        self.task.condition_width()
    }

    fn tokenizer(&self) -> Option<&dyn Tokenizer> {
        self.task.tokenizer()
    }

    fn continues(&self) -> bool {
        self.task.continues()
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        self.task.batch(split, examples, device)
    }

    fn training_batch(&self, examples: &[usize], place: Place, device: &Device) -> Batch {
        self.task.training_batch(examples, place, device)
    }

    fn clusters(&self, batch: &Batch) -> Option<Tensor<2, Int>> {
        let shape = batch.labels.dims();
        let group = |label: i64| self.groups[label as usize] as i32;
        let groups: Vec<i32> = batch.labels.to_data().iter::<i64>().map(group).collect();
        Some(Tensor::from_data(TensorData::new(groups, shape), &batch.labels.device()))
    }

    fn super_classes(&self) -> Option<&[usize]> {
        Some(&self.groups)
    }

    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        self.task.loss(output, batch)
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        self.task.measure(output, batch, score);
    }

    fn attacked_len(&self, split: Split) -> usize {
        self.task.attacked_len(split)
    }

    fn attacked(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        self.task.attacked(split, examples, device)
    }

    fn measure_attacked(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        self.task.measure_attacked(output, batch, score);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataDir;

    #[test]
    fn the_cluster_of_an_example_is_its_classs_group() {
        let tasks = crate::all();
        let digits = tasks.complete(&moe::Choice::of("digits")).unwrap();
        let task = (tasks.get("digits").unwrap().build)(&digits, &DataDir::default()).unwrap().task;
        let grouped = Grouped::new(task.clone(), vec![0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
        let all: Vec<usize> = (0..task.len(Split::Test)).collect();
        let batch = grouped.batch(Split::Test, &all, &Device::flex());
        let labels = batch.labels.clone().into_data().try_to_vec::<i32>().unwrap();
        let groups = grouped.clusters(&batch).unwrap().into_data().try_to_vec::<i32>().unwrap();
        assert!(labels.iter().zip(&groups).all(|(label, group)| label % 3 == *group));
        assert_eq!(labels.len(), 355);
    }
}
