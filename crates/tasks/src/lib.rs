//! Tasks: data, loss and measures, one file each. A task knows no network.

mod data;
mod grouped;
mod score;
pub mod synthetic;
pub mod text;
pub mod vision;

pub use data::{DataDigest, DataDir, DataError, Origin};
pub use grouped::Grouped;
pub use score::{Score, cross_entropy};
pub use text::{CHOICE_METRICS, Candidate, Question, Tokenizer};

use std::sync::Arc;

use burn::prelude::*;
use moe::{Choice, Domain, Entry, Hyper, Input, Registry, read, stable_hash};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde_json::json;

/// All tasks. The list is the table of contents.
pub fn all() -> Tasks {
    Tasks::new()
        .with::<vision::Digits>()
        .with::<text::TanakaLm>()
        .with::<text::TextLm>()
        .with::<text::StateOfTheUnion>()
        .with::<vision::Mnist>()
        .with::<vision::FashionMnist>()
        .with::<vision::Cifar10>()
        .with::<vision::Omniglot>()
        .with::<vision::ImageFolder>()
        .with::<synthetic::Patterns>()
}

/// Which part of a task's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// What weights are fitted to.
    Train,
    /// What choices are made on: hyperparameters, stopping.
    Valid,
    /// What is reported, looked at once, when a run is over.
    Test,
}

impl Split {
    /// The name used in csv files.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Valid => "valid",
            Split::Test => "test",
        }
    }
}

/// Some examples of a task.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What the network sees.
    pub input: Input,
    /// What it should answer, `[B, T]`: the class at each position.
    pub labels: Tensor<2, Int>,
    /// Where examples were mixed with others: the answers to those.
    pub mix: Option<Mix>,
    /// Where examples are text: what is known of it.
    pub text: Option<TextFacts>,
}

/// What is known of the text that a batch shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFacts {
    /// How many answers of each example count, from its first one on; those after them are filling,
    /// where the text ends within a window.
    pub count: Vec<usize>,
    /// The bytes of text that the answers of each example that count stand for.
    pub bytes: Vec<usize>,
    /// The whole text that each token is from, `[B * T]`; empty where that is not known.
    pub source: Vec<usize>,
}

/// Something that is known of each of the whole texts that examples are cut from: the party of a
/// speech, say.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// What it is called.
    pub name: &'static str,
    /// What it can be.
    pub values: Vec<String>,
    /// What it is of each text: a number below that of the values.
    pub of: Vec<usize>,
}

/// The second answers of examples that are mixtures of two (mixup, CutMix).
#[derive(Clone, Debug)]
pub struct Mix {
    /// What the network should answer besides, `[B, T]`.
    pub labels: Tensor<2, Int>,
    /// The share of these answers, 0 to 1.
    pub share: f64,
}

impl Batch {
    /// Examples with one answer each.
    pub fn new(input: Input, labels: Tensor<2, Int>) -> Self {
        Self { input, labels, mix: None, text: None }
    }
}

/// Where the examples of a training batch stand in the endless stream of a run's examples. All that
/// is random in the batch follows from it, so that a resumed run draws the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The run's seed.
    pub seed: u64,
    /// The number of the first example.
    pub position: usize,
}

impl Place {
    /// A generator for the purpose `what` of example `index` of the batch.
    pub fn rng(self, what: &str, index: usize) -> ChaCha8Rng {
        let (seed, position) = (self.seed, self.position + index);
        ChaCha8Rng::seed_from_u64(stable_hash(&format!("{what}/{seed}/{position}")))
    }
}

/// What a network learns, and how well it did.
pub trait Task: Send + Sync {
    /// The form of the inputs.
    fn domain(&self) -> Domain;

    /// Answers to choose from at each position: classes, or the vocabulary.
    fn outputs(&self) -> usize;

    /// Is the loss the cross-entropy of `[B, T, outputs]` with the labels? Then each test example has a
    /// loss and a number of right answers of its own, which a run keeps. Tasks with several outputs and
    /// another loss say no.
    fn is_classification(&self) -> bool {
        self.outputs() > 1
    }

    /// Would an answer be given away by the inputs after it? Then only causal networks count.
    fn causal(&self) -> bool;

    /// The measures of [`Task::measure`], the one that matters most first, then those of
    /// [`Task::measure_attacked`] and those of [`Task::questions`].
    fn metrics(&self) -> &[&'static str];

    /// How many examples a split has.
    fn len(&self, split: Split) -> usize;

    /// What makes tokens of text, where inputs are text.
    fn tokenizer(&self) -> Option<&dyn Tokenizer> {
        None
    }

    /// Does example i + 1 go on where example i ends, and is the text to be shown so? Then batches
    /// follow each other such that row b of one goes on where row b of the one before ended, and a
    /// network may carry over what it saw.
    fn continues(&self) -> bool {
        false
    }

    /// How many examples of a split have no padding: those from the first one on.
    fn len_without_padding(&self, split: Split) -> usize {
        self.len(split)
    }

    /// The examples of these numbers, each in `0..len(split)`.
    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch;

    /// The true cluster of each token, `[B, T]`, or of each example, `[B, 1]`; none if the task knows
    /// none. For the router `oracle` alone, as a bound.
    fn clusters(&self, _batch: &Batch) -> Option<Tensor<2, Int>> {
        None
    }

    /// What the whole batch is conditioned on, `[1, condition_width]`, for routing at batch level; none
    /// if the task has no condition.
    fn condition(&self, _batch: &Batch) -> Option<Tensor<2>> {
        None
    }

    /// The width of [`Task::condition`]; none if the task has no condition.
    fn condition_width(&self) -> Option<usize> {
        None
    }

    /// The training examples of these numbers as they are shown in training, where a task may change
    /// them at random (augmentation).
    fn training_batch(&self, examples: &[usize], place: Place, device: &Device) -> Batch {
        let _ = place;
        self.batch(Split::Train, examples, device)
    }

    /// What is known of the whole texts that examples are cut from. The first property is the true
    /// cluster of a token.
    fn properties(&self) -> &[Property] {
        &[]
    }

    /// The true super-class of each class, in tasks whose classes have a hierarchy.
    fn super_classes(&self) -> Option<&[usize]> {
        None
    }

    /// The mean loss of `[B, T, outputs]`, what training minimises; the answers at padding do not count.
    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        let mean = |labels: &Tensor<2, Int>| {
            mean_of_real(cross_entropy(output.clone(), labels.clone()), batch)
        };
        let loss = mean(&batch.labels);
        match &batch.mix {
            Some(Mix { labels, share }) => loss * (1.0 - share) + mean(labels) * *share,
            None => loss,
        }
    }

    /// Adds what a batch's outputs are worth to a score.
    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score);

    /// How many examples a split has under attack, where a task measures it under attack beside the
    /// split itself.
    fn attacked_len(&self, _split: Split) -> usize {
        0
    }

    /// The examples of these numbers under attack, each in `0..attacked_len(split)`.
    fn attacked(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        self.batch(split, examples, device)
    }

    /// Questions that a language model answers by which of some texts it finds likeliest.
    fn questions(&self) -> &[Question] {
        &[]
    }

    /// The same as [`Task::measure`] for a batch under attack, by names of its own.
    fn measure_attacked(&self, _output: Tensor<3>, _batch: &Batch, _score: &mut Score) {}
}

/// The mean of losses `[B * T]` of a batch over the answers that count.
fn mean_of_real(losses: Tensor<1>, batch: &Batch) -> Tensor<1> {
    let [b, t] = batch.labels.dims();
    let counts = match &batch.text {
        Some(text) if text.count.iter().any(|count| *count < t) => &text.count,
        _ => return kernels::mean(losses),
    };
    let real = counts.iter().flat_map(|count| (0..t).map(move |at| f32::from(at < *count)));
    let real = TensorData::new(real.collect::<Vec<_>>(), [b * t]);
    let real = Tensor::<1>::from_data(real, &losses.device().inner());
    kernels::sum(losses * Tensor::from_inner(real)) / counts.iter().sum::<usize>().max(1) as f64
}

/// How a task is named and loaded.
pub trait LoadTask: 'static {
    /// Hyperparameters, as written in a config file.
    type Config: Hyper;
    /// The name used in configs and tables.
    const NAME: &'static str;
    /// One line on what it is.
    const ABOUT: &'static str;
    /// Where the data come from: a URL, and their licence.
    const SOURCE: &'static str;

    /// Reads the data. Files are read by `data` alone, so that a run's identity has their content.
    fn load(config: &Self::Config, data: &DataDir) -> Result<Arc<dyn Task>, DataError>;
}

/// Do the answers of two tasks mean the same? They do if the tasks differ at most in which examples
/// there are, and in how those are shown.
pub fn same_answers(a: &Choice, b: &Choice) -> bool {
    const SHOWN: [&str; 9] =
        ["train", "valid", "test", "side", "augment", "corrupt", "attack", "stream", "choices"];
    let keys = a.options.keys().chain(b.options.keys());
    let mut telling = keys.filter(|key| !SHOWN.contains(&key.as_str()));
    a.kind == b.kind && telling.all(|key| a.options.get(key) == b.options.get(key))
}

/// How a registered task is loaded.
pub type BuildTask = fn(&Choice, &DataDir) -> Result<LoadedTask, DataError>;

/// A task, and what it was made from.
#[derive(Clone)]
pub struct LoadedTask {
    /// The task.
    pub task: Arc<dyn Task>,
    /// The digests of all files and embedded sets that went into it.
    pub data: DataDigest,
}

/// Tasks by name.
#[derive(Clone)]
pub struct Tasks(Registry<BuildTask>);

impl Tasks {
    fn new() -> Self {
        Self(Registry::new("task"))
    }

    /// Adds a task under its [`LoadTask::NAME`].
    pub fn with<T: LoadTask>(mut self) -> Self {
        let build: BuildTask = |choice, data| {
            let data = data.unread();
            let task = T::load(&read("task", choice)?, &data)?;
            check_splits(T::NAME, &*task)?;
            Ok(LoadedTask { task, data: data.digest() })
        };
        let facts = json!({ "source": T::SOURCE });
        self.0.add(T::NAME, Entry::new::<T::Config>(T::ABOUT, "", facts, build));
        self
    }
}

/// Has each split an example?
fn check_splits(name: &'static str, task: &dyn Task) -> Result<(), DataError> {
    let counts = [Split::Train, Split::Valid, Split::Test].map(|split| task.len(split));
    match counts.contains(&0) {
        true => Err(DataError::EmptySplit { task: name, counts }),
        false => Ok(()),
    }
}

impl std::ops::Deref for Tasks {
    type Target = Registry<BuildTask>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedded_sets_have_a_digest_and_generated_data_have_none() {
        let names = |task: &str| -> Vec<String> {
            let loaded = (all().get(task).unwrap().build)(&Choice::of(task), &DataDir::default());
            loaded.unwrap().data.iter().map(|(name, _)| name.to_string()).collect()
        };
        assert_eq!(names("digits"), ["digits/labels", "digits/pixels"]);
        assert_eq!(names("tanaka-lm"), ["tanaka"]);
        assert!(names("patterns").is_empty());
    }

    #[test]
    fn other_images_have_the_same_answers_and_other_classes_do_not() {
        let digits = |key: &str, value: serde_json::Value| Choice::of("digits").with(key, value);
        let plain = Choice::of("digits");
        assert!(same_answers(&plain, &digits("side", json!(12))));
        assert!(same_answers(&digits("corrupt", json!("jpeg 3")), &digits("train", json!(100))));
        assert!(!same_answers(&plain, &digits("classes", json!([1, 2]))));
        assert!(!same_answers(&plain, &Choice::of("mnist")));
    }
}

#[cfg(test)]
mod testing {
    use std::path::{Path, PathBuf};

    use moe::Choice;

    use crate::{DataDigest, DataDir};

    /// What a task was made from, file by file.
    pub(crate) fn digest(folder: &Path, task: &Choice) -> DataDigest {
        let build = crate::all().get(&task.kind).unwrap().build;
        build(task, &DataDir::new(Some(folder.into()))).unwrap().data
    }

    /// Checks that a task was made from the files of these names in the digest, the first of which is
    /// at `path`, and that another content of that one is another digest.
    pub(crate) fn check_digest(folder: &Path, task: &Choice, path: &str, names: &[&str]) {
        let before = digest(folder, task);
        assert_eq!(before.iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
        assert_eq!(digest(folder, task), before);
        let path = folder.join(path);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&bytes[..], &bytes].concat()).unwrap();
        assert_eq!(digest(folder, task).differences(&before), names[..1]);
        std::fs::write(&path, bytes).unwrap();
    }

    /// The folder with the published sets, for tests that are ignored unless they are asked for.
    pub(crate) fn published() -> DataDir {
        let folder = std::env::var_os("MOELAB_DATA").expect("MOELAB_DATA is the data folder");
        DataDir::new(Some(PathBuf::from(folder)))
    }
}
