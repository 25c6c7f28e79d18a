//! The latency of architectures, predicted from the measured latency of others, for a search in which
//! measuring every candidate takes too long.
//!
//! Jawahar et al. *AutoMoE*. 2022. <https://arxiv.org/abs/2210.07535>, section 3.3.
//!
//! Members are drawn from the space and measured; a predictor learns from four fifths of them, and its error
//! on the others is a result of the search. The measurements are kept in a history file, so that a search
//! that was killed resumes with the same predictor.

use anyhow::anyhow;
use moe::{Domain, read};
use training::supernet::{LatencyPredictor, SupernetConfig, latency_features};

use crate::spec::RunSpec;

/// One in five measured members is kept to test the predictor.
const TESTED: usize = 5;

/// A predictor and its accuracy.
pub(super) struct PredictedLatency {
    predictor: LatencyPredictor,
    /// The mean absolute error in milliseconds on members that were held out from training.
    pub(super) error: f64,
    /// The share of the error of predicting the mean that the predictor avoids, on the held-out members.
    pub(super) skill: f64,
}

impl PredictedLatency {
    /// Trains a predictor on runs with their latency in milliseconds.
    ///
    /// # Errors
    /// If there are fewer than five, or one is not of a supernet.
    pub(super) fn learn(
        config: &training::supernet::PredictorConfig,
        measured: &[(RunSpec, f64)],
        seed: u64,
        device: &burn::prelude::Device,
    ) -> anyhow::Result<Self> {
        let (mut tested, mut learned) = (Vec::new(), Vec::new());
        for (at, (spec, time)) in measured.iter().enumerate() {
            let of = if at % TESTED == TESTED - 1 { &mut tested } else { &mut learned };
            of.push((numbers(spec)?, *time));
        }
        if tested.is_empty() {
            return Err(anyhow!(
                "search: limit: {} members of the space were measured: at least {TESTED} are needed",
                measured.len()
            ));
        }
        let predictor = LatencyPredictor::fit(config, &learned, seed, device)
            .map_err(|why| anyhow!("search: limit: {why}"))?;
        let mean = learned.iter().map(|(_, time)| time).sum::<f64>() / learned.len() as f64;
        let error = |of: &dyn Fn(&[f32]) -> f64| {
            tested.iter().map(|(x, time)| (of(x) - time).abs()).sum::<f64>() / tested.len() as f64
        };
        let (error, of_mean) = (error(&|x| predictor.milliseconds(x)), error(&|_| mean));
        Ok(Self { predictor, error, skill: 1.0 - error / of_mean })
    }

    /// The predicted latency of a run's network in milliseconds.
    pub(super) fn milliseconds(&self, spec: &RunSpec) -> anyhow::Result<f64> {
        Ok(self.predictor.milliseconds(&numbers(spec)?))
    }
}

/// The architecture of a supernet as numbers.
fn numbers(spec: &RunSpec) -> anyhow::Result<Vec<f32>> {
    let config: SupernetConfig = read("backbone", &spec.config.backbone)?;
    let pair = matches!(spec.data.domain(), Domain::Pair { .. });
    let architecture = config.space.architecture(&config.architecture, pair);
    Ok(latency_features(&config.space, &architecture.map_err(|why| anyhow!("backbone: {why}"))?))
}
