//! A predictor of latency from the sizes of an architecture, for a search in which measuring each candidate
//! takes too long.
//!
//! Jawahar et al. *AutoMoE*. 2022. <https://arxiv.org/abs/2210.07535>, following HAT: three hidden layers of
//! 400 with ReLU on the numbers of `latency_features`, mean squared error of milliseconds divided by `unit`,
//! Adam. The published code has a fourth hidden layer, the first one, which its setting does not count.

use burn::{
    module::Module, nn::Linear, optim::GradientsParams, prelude::*, tensor::activation::relu,
};
use kernels::linear_layer;
use moe::{Init, config};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{TrainConfig, adamw};

config! {
    /// The training of a predictor; the defaults are the published ones.
    pub struct PredictorConfig {
        /// The width of the hidden layers.
        pub hidden: usize = 400,
        /// The number of hidden layers.
        pub layers: usize = 3,
        /// The number of training steps.
        pub steps: usize = 5000,
        /// The number of examples in a step.
        pub batch: usize = 128,
        /// The learning rate.
        pub lr: f64 = 1e-5,
        /// The number of milliseconds that corresponds to 1 in the network's output.
        pub unit: f64 = 200.0,
    }
}

/// A predictor of latency.
#[derive(Module, Debug)]
pub struct LatencyPredictor {
    layers: Vec<Linear>,
    unit: f64,
}

impl LatencyPredictor {
    /// Trains a predictor on architectures as numbers, and their latency in milliseconds.
    ///
    /// # Errors
    /// If there are no architectures, or if they have different numbers of features.
    pub fn fit(
        config: &PredictorConfig,
        examples: &[(Vec<f32>, f64)],
        seed: u64,
        device: &Device,
    ) -> Result<Self, String> {
        let n = examples.first().ok_or("no architecture was measured")?.0.len();
        if examples.iter().any(|(features, _)| features.len() != n) {
            return Err("the architectures are from different spaces".into());
        }
        let device = device.clone().autodiff();
        let init = Init::new(seed, &device);
        let layer = |i: usize| {
            let d_in = if i == 0 { n } else { config.hidden };
            let d_out = if i == config.layers { 1 } else { config.hidden };
            init.linear(&format!("layer{i}"), d_in, d_out, true)
        };
        let layers = (0..=config.layers).map(layer).collect();
        let mut model = Self { layers, unit: config.unit };
        let train = TrainConfig { weight_decay: 0.0, beta2: 0.999, ..TrainConfig::default() };
        let (mut optimizer, mut rng) = (adamw(&train, &model), ChaCha8Rng::seed_from_u64(seed));
        for _ in 0..config.steps {
            let draw = |_| &examples[rng.random_range(0..examples.len())];
            let batch: Vec<_> = (0..config.batch.max(1)).map(draw).collect();
            let x: Vec<f32> = batch.iter().flat_map(|(features, _)| features.clone()).collect();
            let y: Vec<f32> = batch.iter().map(|(_, ms)| (ms / config.unit) as f32).collect();
            let x = Tensor::<2>::from_data(TensorData::new(x, [batch.len(), n]), &device);
            let y = Tensor::<2>::from_data(TensorData::new(y, [batch.len(), 1]), &device);
            let loss = kernels::mean((model.forward(x) - y).square());
            let grads = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(config.lr, model, grads);
        }
        Ok(model.valid())
    }

    fn forward(&self, mut x: Tensor<2>) -> Tensor<2> {
        for (i, layer) in self.layers.iter().enumerate() {
            x = linear_layer(layer, x);
            if i + 1 < self.layers.len() {
                x = relu(x);
            }
        }
        x
    }

    /// The predicted latency of an architecture in milliseconds.
    pub fn milliseconds(&self, features: &[f32]) -> f64 {
        let device = self.layers[0].weight.val().device();
        let x = TensorData::new(features.to_vec(), [1, features.len()]);
        let y = self.forward(Tensor::from_data(x, &device));
        f64::from(y.into_scalar::<f32>()) * self.unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supernet::{SupernetSpace, features};

    #[test]
    fn it_learns_what_takes_time() {
        let (space, mut rng) = (SupernetSpace::default(), ChaCha8Rng::seed_from_u64(5));
        // The time depends on layers and width, like that of a decoder.
        let mut measured = || {
            let drawn = space.draw(&mut rng, true);
            let time = 5.0 + 0.4 * (drawn.decoder_layers * drawn.decoder_width) as f64;
            (features(&space, &drawn), time)
        };
        let examples: Vec<_> = (0..150).map(|_| measured()).collect();
        let config = PredictorConfig {
            hidden: 24,
            steps: 250,
            batch: 32,
            lr: 5e-3,
            ..PredictorConfig::default()
        };
        let model = LatencyPredictor::fit(&config, &examples, 0, &Device::flex()).unwrap();
        let error = |of: &dyn Fn(&[f32]) -> f64, on: &[(Vec<f32>, f64)]| {
            on.iter().map(|(x, time)| (of(x) - time).abs()).sum::<f64>() / on.len() as f64
        };
        let fresh: Vec<_> = (0..40).map(|_| measured()).collect();
        let mean = examples.iter().map(|(_, time)| time).sum::<f64>() / 150.0;
        let (found, plain) = (error(&|x| model.milliseconds(x), &fresh), error(&|_| mean, &fresh));
        assert!(found < 0.2 * plain, "{found} ms, the mean {plain}");
        assert!(LatencyPredictor::fit(&config, &[], 0, &Device::flex()).is_err());
    }
}
