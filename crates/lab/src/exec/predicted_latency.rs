//! The latency of architectures by a predictor that has learned from measured ones, for a search in which
//! measuring every candidate takes too long.
//!
//! Jawahar et al. *AutoMoE*. 2022. <https://arxiv.org/abs/2210.07535>, section 3.3.
//!
//! Members are drawn from the space and measured; a predictor learns from four fifths of them, and its error
//! on the others is a result of the search. What was measured is in a history file, so that a search that was
//! killed resumes with the same predictor.

use anyhow::anyhow;
use moe::{Domain, read};
use training::supernet::{LatencyPredictor, SupernetConfig, latency_features};

use crate::spec::RunSpec;

/// One in five measured members is kept to test the predictor.
const TESTED: usize = 5;

/// A predictor, and how well it predicts.
pub(super) struct PredictedLatency {
    predictor: LatencyPredictor,
    /// The mean absolute error on members that it has not learned from, in milliseconds.
    pub(super) error: f64,
    /// The part of the error of the mean that the prediction avoids, on members that it was not fitted to, as a
    /// share.
    pub(super) skill: f64,
}

impl PredictedLatency {
    /// Learns from runs and their milliseconds.
    ///
    /// # Errors
    /// If there are fewer than five, or one is of no supernet.
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

    /// The milliseconds of a run's network.
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
