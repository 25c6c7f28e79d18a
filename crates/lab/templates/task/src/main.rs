//! Sample: one sentence on what is tested. `cargo run --release -p sample` runs it.

use std::sync::Arc;

use lab::prelude::*;

config! {
    /// Sizes of the task.
    pub struct SampleConfig {
        /// Images to train on.
        pub train: usize = 2000,
        /// Images of the validation split, and as many of the test split.
        pub test: usize = 500,
    }
}

/// Rows and columns of an image, and classes.
const SIDE: usize = 8;

/// Generated images with one bright column in noise: the class is the column.
struct Sample {
    config: SampleConfig,
}

impl LoadTask for Sample {
    type Config = SampleConfig;
    const NAME: &'static str = "sample";
    const ABOUT: &'static str = "generated images with one bright column in noise";
    const SOURCE: &'static str = "generated";

    fn load(config: &SampleConfig, _data: &DataDir) -> Result<Arc<dyn Task>, DataError> {
        if config.train == 0 || config.test == 0 {
            let message =
                format!("train = {}, test = {}: both must be at least 1", config.train, config.test);
            let (what, name) = ("task", Self::NAME.to_string());
            return Err(ConfigError::Invalid { what, name, message }.into());
        }
        Ok(Arc::new(Self { config: config.clone() }))
    }
}

impl Sample {
    /// The class and the pixels of an example, which follow from its split and number alone.
    fn example(split: Split, number: usize) -> (usize, Vec<f32>) {
        let init = Init::new(number as u64, &Device::flex()).at(split.name());
        let class = number * 7 % SIDE;
        let noise = init.normal("noise", [SIDE, SIDE], 0.5).val().into_data();
        let bright = |at: usize| if at % SIDE == class { 1.0 } else { 0.0 };
        (class, noise.iter::<f32>().enumerate().map(|(at, x)| x + bright(at)).collect())
    }
}

impl Task for Sample {
    fn domain(&self) -> Domain {
        Domain::Image { channels: 1, height: SIDE, width: SIDE }
    }

    fn outputs(&self) -> usize {
        SIDE
    }

    fn causal(&self) -> bool {
        false
    }

    fn metrics(&self) -> &[&'static str] {
        &["accuracy", "loss"]
    }

    fn len(&self, split: Split) -> usize {
        if split == Split::Train { self.config.train } else { self.config.test }
    }

    fn batch(&self, split: Split, examples: &[usize], device: &Device) -> Batch {
        let drawn: Vec<_> = examples.iter().map(|number| Self::example(split, *number)).collect();
        let labels: Vec<i32> = drawn.iter().map(|(class, _)| *class as i32).collect();
        let pixels: Vec<f32> = drawn.into_iter().flat_map(|(_, pixels)| pixels).collect();
        let shape = [examples.len(), 1, SIDE, SIDE];
        Batch::new(
            Input::Image(Tensor::from_data(TensorData::new(pixels, shape), device)),
            Tensor::from_data(TensorData::new(labels, [examples.len(), 1]), device),
        )
    }

    /// `output` is `[B, 1, outputs]`; the loss is cross-entropy, the default.
    fn measure(&self, output: Tensor<3>, batch: &Batch, score: &mut Score) {
        let n = batch.labels.dims()[0];
        let right = output.clone().argmax(2).squeeze_dim::<2>(2).equal(batch.labels.clone());
        score.add("accuracy", right.int().sum().into_scalar::<i64>() as f64, n);
        let loss = cross_entropy(output, batch.labels.clone()).sum();
        score.add("loss", f64::from(loss.into_scalar::<f32>()), n);
    }
}

fn main() -> ExitCode {
    lab::main(plugins(), &[lab::suite!("sample", "../suite.toml")])
}

fn plugins() -> Plugins {
    Plugins::default().with_task::<Sample>()
}

#[test]
fn right_answers_are_counted() {
    let task = Sample { config: SampleConfig::default() };
    let batch = task.batch(Split::Test, &[0, 1, 2], &Device::flex());
    let labels: Vec<i64> = batch.labels.to_data().iter::<i64>().collect();
    assert_eq!(labels, [0, 7, 6]);
    // Certain of class 7 for all of them: one of three is right.
    let output = Tensor::<3>::zeros([3, 1, SIDE - 1], &Device::flex());
    let output = Tensor::cat(vec![output, Tensor::full([3, 1, 1], 20.0, &Device::flex())], 2);
    let mut score = Score::default();
    task.measure(output, &batch, &mut score);
    assert!((score.mean("accuracy") - 1.0 / 3.0).abs() < 1e-9);
    assert!((score.mean("loss") - 40.0 / 3.0).abs() < 1e-3);
}
