//! Sequences of patterns, one of which determines the class: the data model of the theory of expert
//! pruning.
//!
//! Chowdhury et al. *A Provably Effective Method for Pruning Experts in Fine-tuned Sparse
//! Mixture-of-Experts*. ICML 2024. <https://arxiv.org/abs/2405.16646>, section 4.
//!
//! Each of a sample's n tokens is one of d orthonormal vectors, here the d unit vectors. The first vector
//! occurs exactly once if y = +1, the second exactly once if y = -1; all other tokens are drawn from the
//! remaining d - 2 vectors, which are independent of the class. The loss is the hinge loss max(0, 1 - y
//! f(x)).
//!
//! A sequence is an image of n rows and d columns. All splits are drawn once and are always the same.

use std::sync::Arc;

use burn::prelude::*;
use moe::{Domain, Input, config, stable_hash};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::margin;
use crate::{
    Batch, DataDir, DataError, LoadTask, Score, Split, Task,
    data::{files::wrong, fits},
};

config! {
    /// Sizes of the data model.
    pub struct PatternsConfig {
        /// The number of patterns, d.
        pub patterns: usize = 64,
        /// The number of tokens of a sample, n.
        pub tokens: usize = 16,
        /// Samples for training.
        pub train: usize = 16384,
        /// Samples of the validation split, and as many of the test split.
        pub test: usize = 4000,
    }
}

/// Sequences of patterns.
pub struct Patterns {
    config: PatternsConfig,
    /// For each split the patterns of all samples, and their classes, 1 for y = +1.
    splits: [(Vec<usize>, Vec<i32>); 3],
}

impl LoadTask for Patterns {
    type Config = PatternsConfig;
    const NAME: &'static str = "patterns";
    const ABOUT: &'static str =
        "generated sequences of orthonormal patterns, one of which determines the class";
    const SOURCE: &'static str = "generated; https://arxiv.org/abs/2405.16646";

    fn load(config: &PatternsConfig, _data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        let sizes = [
            ("patterns", config.patterns, 3),
            ("tokens", config.tokens, 1),
            ("train", config.train, 1),
            ("test", config.test, 1),
        ];
        if let Some((key, value, least)) = sizes.iter().find(|(_, value, least)| value < least) {
            return Err(wrong(Self::NAME, format!("{key} = {value}: must be at least {least}")));
        }
        let tokens = ("tokens", config.tokens);
        let counts = [("train", config.train), ("valid", config.test), ("test", config.test)];
        // Patterns are kept in 64 bits.
        let checked = fits(&counts, &[tokens, ("numbers of a token", 2)]);
        let checked = checked.and_then(|()| fits(&[tokens], &[("patterns", config.patterns)]));
        checked.map_err(|message| wrong(Self::NAME, message))?;
        Ok(Arc::new(Self::new(config)))
    }
}

impl Patterns {
    fn new(config: &PatternsConfig) -> Self {
        let splits = [Split::Train, Split::Valid, Split::Test].map(|split| {
            let n = if split == Split::Train { config.train } else { config.test };
            draw(config, n, split.name())
        });
        Self { config: config.clone(), splits }
    }
}

fn draw(config: &PatternsConfig, n: usize, split: &str) -> (Vec<usize>, Vec<i32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(stable_hash(&format!("patterns/{split}")));
    let (mut patterns, mut classes) = (Vec::with_capacity(n * config.tokens), Vec::new());
    for _ in 0..n {
        let positive: bool = rng.random();
        let place = rng.random_range(0..config.tokens);
        patterns.extend((0..config.tokens).map(|token| match token == place {
            true => usize::from(!positive),
            false => rng.random_range(2..config.patterns),
        }));
        classes.push(i32::from(positive));
    }
    (patterns, classes)
}

impl Task for Patterns {
    fn domain(&self) -> Domain {
        Domain::Image { channels: 1, height: self.config.tokens, width: self.config.patterns }
    }

    /// One number, f: the class is its sign.
    fn outputs(&self) -> usize {
        1
    }

    fn causal(&self) -> bool {
        false
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["accuracy", "loss"]
    }

    fn len(&self, split: Split) -> usize {
        self.splits[split as usize].1.len()
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        let (n, d, b) = (self.config.tokens, self.config.patterns, examples.len());
        let (patterns, classes) = &self.splits[split as usize];
        let mut pixels = vec![0.0_f32; b * n * d];
        for (row, example) in examples.iter().enumerate() {
            for (token, pattern) in patterns[example * n..(example + 1) * n].iter().enumerate() {
                pixels[(row * n + token) * d + pattern] = 1.0;
            }
        }
        let labels: Vec<i32> = examples.iter().map(|example| classes[*example]).collect();
        Batch::new(
            Input::Image(Tensor::from_data(TensorData::new(pixels, [b, 1, n, d]), device)),
            Tensor::from_data(TensorData::new(labels, [b, 1]), device),
        )
    }

    fn loss(&self, output: Tensor<3>, batch: &Batch) -> Tensor<1> {
        margin::hinge(output, batch)
    }

    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        margin::measure(output, batch, score);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task() -> Patterns {
        Patterns::new(&PatternsConfig { train: 200, test: 100, ..PatternsConfig::default() })
    }

    #[test]
    fn the_class_is_told_by_one_token() {
        let task = task();
        for split in &task.splits {
            for (sample, class) in split.0.chunks(16).zip(&split.1) {
                let [plus, minus] = [0, 1].map(|o| sample.iter().filter(|p| **p == o).count());
                assert_eq!([plus, minus], if *class == 1 { [1, 0] } else { [0, 1] });
            }
            let share = split.1.iter().sum::<i32>() as f64 / split.1.len() as f64;
            assert!((share - 0.5).abs() < 0.2, "{share}");
        }
        assert_ne!(task.splits[1], task.splits[2]);
    }

    #[test]
    fn a_batch_has_unit_vectors_and_the_loss_is_hinge() {
        let task = task();
        let batch = task.batch(Split::Test, &[0, 1], &Device::flex());
        let Input::Image(pixels) = &batch.input else { unreachable!("rows are tokens") };
        assert_eq!(pixels.dims(), [2, 1, 16, 64]);
        assert_eq!(pixels.clone().sum().into_scalar::<f32>(), 32.0);
        // f = 0.25 y for both: losses 0.75.
        let y = batch.labels.clone().float() * 2.0 - 1.0;
        let output = (y * 0.25).unsqueeze_dim::<3>(2);
        assert_eq!(task.loss(output.clone(), &batch).into_scalar::<f32>(), 0.75);
        let mut score = Score::default();
        task.measure(output.clone(), &batch, &mut score);
        task.measure(-output, &batch, &mut score);
        assert_eq!((score.mean("accuracy"), score.mean("loss")), (0.5, 1.0));
    }
}
