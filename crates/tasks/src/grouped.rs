//! A task whose classes are put into groups: the true cluster of an example is its class's group.

use std::sync::Arc;

use burn::prelude::*;
use moe::Domain;

use crate::{
    AttackedTask, Batch, BatchPosition, ClusteredTask, ConditionedTask, Score, SequentialTask,
    Split, StreamTask, Task, TextTask, TranslationTask, WholeSplitTask,
};

/// A task with groups of classes. Its clusters are the groups; all else is forwarded to the task.
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

    fn note(&self) -> &'static str {
        self.task.note()
    }

    fn len(&self, split: Split) -> usize {
        self.task.len(split)
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        self.task.batch(split, examples, device)
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        self.task.measure(output, batch, score);
    }

    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        self.task.loss(output, batch)
    }

    fn takes(&self, answers: usize) -> Result<(), String> {
        self.task.takes(answers)
    }

    fn is_classification(&self) -> bool {
        self.task.is_classification()
    }

    fn training_batch(&self, examples: &[usize], place: BatchPosition, device: &Device) -> Batch {
        self.task.training_batch(examples, place, device)
    }

    fn trivial(&self) -> Vec<(&'static str, f64)> {
        self.task.trivial()
    }

    fn as_text(&self) -> Option<&dyn TextTask> {
        self.task.as_text()
    }

    fn as_stream(&self) -> Option<&dyn StreamTask> {
        self.task.as_stream()
    }

    fn as_attacked(&self) -> Option<&dyn AttackedTask> {
        self.task.as_attacked()
    }

    fn as_clustered(&self) -> Option<&dyn ClusteredTask> {
        Some(self)
    }

    fn as_conditioned(&self) -> Option<&dyn ConditionedTask> {
        self.task.as_conditioned()
    }

    fn as_translation(&self) -> Option<&dyn TranslationTask> {
        self.task.as_translation()
    }

    fn as_whole_split(&self) -> Option<&dyn WholeSplitTask> {
        self.task.as_whole_split()
    }

    fn as_sequential(&self) -> Option<&dyn SequentialTask> {
        self.task.as_sequential()
    }
}

impl ClusteredTask for Grouped {
    /// The group of each label, `[B, T]`.
    fn clusters(&self, batch: &Batch) -> Tensor<2, Int> {
        let shape = batch.labels.dims();
        let group = |label: i64| self.groups[label as usize] as i32;
        let groups: Vec<i32> = batch.labels.to_data().iter::<i64>().map(group).collect();
        Tensor::from_data(TensorData::new(groups, shape), &batch.labels.device())
    }

    fn super_classes(&self) -> Option<&[usize]> {
        Some(&self.groups)
    }
}

#[cfg(test)]
mod tests {
    use moe::Input;

    use super::*;
    use crate::{AnswerChoice, DataDir, Property, Question, Tokenizer, text::tokens::Ascii};

    #[test]
    fn the_cluster_of_an_example_is_its_classs_group() {
        let tasks = crate::all();
        let digits = tasks.complete(&moe::Choice::of("digits")).unwrap();
        let task = (tasks.get("digits").unwrap().build)(&digits, &DataDir::default()).unwrap().task;
        let grouped = Grouped::new(task.clone(), vec![0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
        let all: Vec<usize> = (0..task.len(Split::Test)).collect();
        let batch = grouped.batch(Split::Test, &all, &Device::flex());
        let labels = batch.labels.clone().into_data().try_to_vec::<i32>().unwrap();
        let groups = grouped.clusters(&batch).into_data().try_to_vec::<i32>().unwrap();
        assert!(labels.iter().zip(&groups).all(|(label, group)| label % 3 == *group));
        assert_eq!(labels.len(), 355);
    }

    /// A task with every extension, whose methods all return values that differ from the defaults.
    struct Everything {
        properties: Vec<Property>,
        questions: Vec<Question>,
    }

    fn everything() -> Everything {
        let property = Property { name: "party", values: vec!["d".into()], of: vec![0] };
        let candidate = AnswerChoice { tokens: vec![1, 2], start: 1, characters: 1 };
        let question = Question { candidates: vec![candidate], answer: 0 };
        Everything { properties: vec![property], questions: vec![question] }
    }

    /// One example whose label is `label`.
    fn labelled(label: i32, device: &Device) -> Batch {
        let ids = Tensor::from_data([[label]], device);
        Batch::new(Input::Tokens(Tensor::zeros([1, 1], device)), ids)
    }

    /// The label of a batch of one example.
    fn label(batch: Batch) -> i64 {
        batch.labels.into_scalar::<i64>()
    }

    impl Task for Everything {
        fn domain(&self) -> Domain {
            Domain::Text { vocab: 5, length: 3 }
        }
        fn outputs(&self) -> usize {
            5
        }
        fn causal(&self) -> bool {
            true
        }
        fn metrics(&self) -> &[&'static str] {
            &["own"]
        }
        fn len(&self, _split: Split) -> usize {
            7
        }
        fn batch(&self, _split: Split, _examples: &[usize], device: &Device) -> Batch {
            labelled(1, device)
        }
        fn measure(&self, _output: Tensor<3>, _batch: &Batch, score: &mut Score) {
            score.add("own", 3.0, 1);
        }
        fn loss(&self, _output: Tensor<3>, batch: &Batch) -> Tensor<1> {
            Tensor::full([1], 11.0, &batch.labels.device())
        }
        fn takes(&self, answers: usize) -> Result<(), String> {
            Err(format!("not {answers}"))
        }
        fn is_classification(&self) -> bool {
            false
        }
        fn training_batch(
            &self,
            _examples: &[usize],
            _place: BatchPosition,
            device: &Device,
        ) -> Batch {
            labelled(2, device)
        }
        fn as_text(&self) -> Option<&dyn TextTask> {
            Some(self)
        }
        fn as_stream(&self) -> Option<&dyn StreamTask> {
            Some(self)
        }
        fn as_attacked(&self) -> Option<&dyn AttackedTask> {
            Some(self)
        }
        fn as_conditioned(&self) -> Option<&dyn ConditionedTask> {
            Some(self)
        }
        fn as_whole_split(&self) -> Option<&dyn WholeSplitTask> {
            Some(self)
        }
        fn as_sequential(&self) -> Option<&dyn SequentialTask> {
            Some(self)
        }
    }

    impl SequentialTask for Everything {
        fn measure_sequence(
            &self,
            _split: Split,
            network: &mut dyn FnMut(Input) -> Tensor<3>,
            device: &Device,
            score: &mut Score,
        ) {
            let output = network(labelled(1, device).input).into_scalar::<f32>();
            score.add("sequence", f64::from(output), 1);
        }
    }

    impl WholeSplitTask for Everything {
        fn measure_whole(&self, _split: Split, outputs: &[Vec<f32>], score: &mut Score) {
            score.add("whole", f64::from(outputs[0][0]), 1);
        }
    }

    impl TextTask for Everything {
        fn tokenizer(&self) -> &dyn Tokenizer {
            &Ascii
        }
        fn properties(&self) -> &[Property] {
            &self.properties
        }
        fn questions(&self) -> &[Question] {
            &self.questions
        }
    }

    impl StreamTask for Everything {
        fn len_without_padding(&self, _split: Split) -> usize {
            6
        }
    }

    impl AttackedTask for Everything {
        fn attacked_len(&self, _split: Split) -> usize {
            4
        }
        fn attacked(&self, _split: Split, _examples: &[usize], device: &Device) -> Batch {
            labelled(3, device)
        }
        fn measure_attacked(&self, _output: Tensor<3>, _batch: &Batch, score: &mut Score) {
            score.add("attacked", 5.0, 1);
        }
    }

    impl ConditionedTask for Everything {
        fn condition_width(&self) -> usize {
            2
        }
        fn condition(&self, batch: &Batch) -> Tensor<2> {
            Tensor::full([1, 2], 9.0, &batch.labels.device())
        }
    }

    #[test]
    fn the_core_is_the_tasks() {
        let (device, place) = (Device::flex(), BatchPosition { seed: 0, position: 0 });
        let grouped = Grouped::new(Arc::new(everything()), vec![0; 5]);
        assert_eq!(grouped.domain(), Domain::Text { vocab: 5, length: 3 });
        assert_eq!((grouped.outputs(), grouped.len(Split::Test)), (5, 7));
        assert_eq!((grouped.causal(), grouped.is_classification()), (true, false));
        assert_eq!(grouped.metrics(), ["own"]);
        assert_eq!(grouped.takes(1), Err("not 1".into()));
        let batch = grouped.batch(Split::Test, &[0], &device);
        let output = || Tensor::zeros([1, 1, 5], &device);
        assert_eq!(grouped.loss(output(), &batch).into_scalar::<f32>(), 11.0);
        let mut score = Score::default();
        grouped.measure(output(), &batch, &mut score);
        assert_eq!(score.mean("own"), 3.0);
        assert_eq!(label(batch), 1);
        assert_eq!(label(grouped.training_batch(&[0], place, &device)), 2);
    }

    #[test]
    fn the_extensions_are_the_tasks() {
        let device = Device::flex();
        let grouped = Grouped::new(Arc::new(everything()), vec![0; 5]);
        let text = grouped.as_text().unwrap();
        assert_eq!(text.tokenizer().vocab(), Ascii.vocab());
        assert_eq!(text.properties(), everything().properties);
        assert_eq!(text.questions(), everything().questions);
        assert_eq!(grouped.as_stream().unwrap().len_without_padding(Split::Test), 6);
        let attacked = grouped.as_attacked().unwrap();
        assert_eq!(attacked.attacked_len(Split::Test), 4);
        let batch = attacked.attacked(Split::Test, &[0], &device);
        let mut score = Score::default();
        attacked.measure_attacked(Tensor::zeros([1, 1, 5], &device), &batch, &mut score);
        assert_eq!((score.mean("attacked"), label(batch.clone())), (5.0, 3));
        let conditioned = grouped.as_conditioned().unwrap();
        assert_eq!(conditioned.condition_width(), 2);
        assert_eq!(conditioned.condition(&batch).into_data().iter::<f32>().sum::<f32>(), 18.0);

        let mut score = Score::default();
        let whole = grouped.as_whole_split().unwrap();
        whole.measure_whole(Split::Test, &[vec![6.0]], &mut score);
        assert_eq!(score.mean("whole"), 6.0);
        let sequential = grouped.as_sequential().unwrap();
        let mut network = |_| Tensor::full([1, 1, 1], 8.0, &Device::flex());
        sequential.measure_sequence(Split::Test, &mut network, &device, &mut score);
        assert_eq!(score.mean("sequence"), 8.0);

        let digits = (crate::all().get("digits").unwrap().build)(
            &moe::Choice::of("digits"),
            &DataDir::default(),
        );
        let plain = Grouped::new(digits.unwrap().task, vec![0; 10]);
        assert!(plain.as_text().is_none() && plain.as_stream().is_none());
        assert!(plain.as_attacked().is_none() && plain.as_conditioned().is_none());
        assert!(plain.as_translation().is_none());
        let bytes = moe::Choice::of("translation").with("tokens", "byte").with("pairs", 9);
        let build = crate::all().get("translation").unwrap().build;
        let task = build(&bytes, &DataDir::default()).unwrap().task;
        assert!(Grouped::new(task, vec![0; 258]).as_translation().is_some());
        assert!(plain.as_whole_split().is_none() && plain.as_sequential().is_none());
    }
}
