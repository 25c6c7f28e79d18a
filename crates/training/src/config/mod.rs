//! Settings of training: budget, optimizer, schedule. `schedule.rs` computes the rate of each step.

mod spikes;
mod workers;

use moe::config;
use serde::{Deserialize, Serialize};

pub use spikes::{Damage, DamageKind, Persistent, SpikesConfig};
pub use workers::{FaultConfig, FaultKind, Penalty, WorkersConfig};

/// The rule by which gradients move the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Optimizer {
    /// Adam with decoupled weight decay.
    /// Loshchilov, Hutter. ICLR 2019. <https://arxiv.org/abs/1711.05101>
    Adamw,
    /// Stochastic gradient descent with momentum; weight decay is part of the gradient.
    Sgd,
}

/// The course of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// The rate stays constant.
    Constant,
    /// Half a cosine down to the final rate.
    /// Loshchilov, Hutter. *SGDR*. ICLR 2017. <https://arxiv.org/abs/1608.03983>
    Cosine,
    /// f + (1 - f) (1 - t)^3, with t from 0 to 1 after the warm-up and f the final rate as a share of the
    /// largest: in the last tenth it is a thousandth of the largest or less, where a cosine has 2 %.
    /// Polynomial decay of power 3.
    Cubic,
    /// Warm-up, stable, decay: the rate stays constant, then falls to the final rate. Hu et al. *MiniCPM*.
    /// 2024. <https://arxiv.org/abs/2404.06395>
    Wsd,
    /// The rate stays constant, and is halved once, at 60 % of the steps; there is no final rate. Ling team.
    /// *Every FLOP Counts*. 2025. <https://arxiv.org/abs/2503.05139>
    Halving,
}

/// The decay of `wsd`. t goes from 0 to 1, f is the final rate as a share of the largest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// 1 - t (1 - f).
    Linear,
    /// f + (1 - f) (1 + cos(pi t)) / 2.
    Cosine,
    /// 1 / sqrt(1 + t (1 / f^2 - 1)): the only curve of the form a / sqrt(t + b) with both end values. Ling
    /// states the shape of its annealing and the end values, but no formula.
    InverseSqrt,
}

config! {
    /// Budget, optimizer and learning rate of a run.
    pub struct TrainConfig {
        /// Steps of the optimizer; with 0 the network is evaluated with its initial weights.
        pub steps: usize = 1000,
        /// The number of examples in a step.
        pub batch: usize = 32,
        /// The number of parts in which a step's examples are computed one after the other; it divides
        /// `batch`.
        pub accumulate: usize = 1,
        /// The largest learning rate.
        pub lr: f64 = 1e-3,
        /// The learning rate of the routers' parameters, as a multiple of that of all others, and so with it
        /// their weight decay; 1 unless given.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub router_lr: Option<f64> = None,
        /// The schedule of the rate after the warm-up.
        pub schedule: Schedule = Schedule::Cosine,
        /// The number of steps in which the rate rises from 0.
        pub warmup: usize = 50,
        /// The shape of the decay of `wsd`.
        pub shape: Shape = Shape::Linear,
        /// The final rate, as a share of the largest.
        pub final_lr: f64 = 0.1,
        /// The optimizer.
        pub optimizer: Optimizer = Optimizer::Adamw,
        /// The parts of the network that are trained, for example `router` or `experts`: the parameters whose
        /// path contains one of these names. The others stay bitwise unchanged. If no name is given, all
        /// parameters are trained.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub only: Vec<String> = Vec::new(),
        /// The momentum of SGD.
        pub momentum: f64 = 0.9,
        /// Weight decay, on matrices and embeddings only.
        pub weight_decay: f64 = 0.05,
        /// Decay of AdamW's mean.
        pub beta1: f64 = 0.9,
        /// Decay of AdamW's mean square.
        pub beta2: f64 = 0.98,
        /// Added to the root of AdamW's mean square.
        pub epsilon: f64 = 1e-8,
        /// The largest global norm of the gradient; 0 means no limit.
        pub clip: f64 = 1.0,
        /// Steps between two evaluations on the validation split; 0 means at the end only.
        pub eval_every: usize = 0,
        /// The number of batches, each as large as a part of a step, on which the running values of batch norm
        /// are measured before each evaluation; with 0 the values of training are used.
        pub norm_batches: usize = 0,
        /// Steps between two rows of training metrics.
        pub log_every: usize = 20,
        /// Steps between two checkpoints.
        pub checkpoint_every: usize = 200,
        /// The number of initial steps whose load is measured: `early_load` is the largest over the mean load
        /// of a step, averaged over the layers and these steps.
        pub watch_load: usize = 0,
        /// The handling of loss spikes; none unless given.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub spikes: Option<SpikesConfig> = None,
        /// Injected damage.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        pub faults: Vec<Damage> = Vec::new(),
        /// Workers that train independently for some steps at a time; if none, all of a step's examples
        /// contribute to one gradient.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub workers: Option<WorkersConfig> = None,
    }
}

impl TrainConfig {
    /// The number of examples in all steps before this one, which is the position of the step in the stream
    /// of examples.
    pub fn examples_before(&self, step: usize) -> usize {
        step * self.batch
    }

    /// Checks the settings. The error begins with the key.
    pub fn check(&self) -> Result<(), String> {
        let at_least_one = [
            ("batch", self.batch),
            ("accumulate", self.accumulate),
            ("log_every", self.log_every),
            ("checkpoint_every", self.checkpoint_every),
        ];
        if let Some((key, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{key} = 0: must be at least 1"));
        }
        if !self.batch.is_multiple_of(self.accumulate) {
            let (parts, batch) = (self.accumulate, self.batch);
            return Err(format!("accumulate = {parts} does not divide batch = {batch}"));
        }
        let ranges = [
            ("lr", self.lr, f64::INFINITY),
            ("router_lr", self.router_lr.unwrap_or(1.0), f64::INFINITY),
            ("final_lr", self.final_lr, 1.0),
            ("weight_decay", self.weight_decay, f64::INFINITY),
            ("momentum", self.momentum, 1.0),
            ("epsilon", self.epsilon, f64::INFINITY),
            ("clip", self.clip, f64::INFINITY),
        ];
        if let Some((key, value, most)) =
            ranges.iter().find(|(_, x, most)| !(0.0..=*most).contains(x))
        {
            let range = match most.is_finite() {
                true => format!("from 0 to {most}"),
                false => "a finite number, 0 or larger".into(),
            };
            return Err(format!("{key} = {value}: must be {range}"));
        }
        for (key, value) in [("beta1", self.beta1), ("beta2", self.beta2)] {
            // With 1 the moments would never leave 0.
            if !(0.0..1.0).contains(&value) {
                return Err(format!("{key} = {value}: must be from 0 to less than 1"));
            }
        }
        if self.shape == Shape::InverseSqrt && self.final_lr == 0.0 {
            return Err("shape = \"inverse-sqrt\" requires final_lr above 0".into());
        }
        if let Some(spikes) = &self.spikes {
            spikes.check()?;
        }
        match &self.workers {
            Some(_) if !self.only.is_empty() => {
                Err("only cannot be combined with workers, which change every part".into())
            }
            Some(_) if self.norm_batches > 0 => {
                Err(format!("norm_batches = {}: must be 0 with workers", self.norm_batches))
            }
            Some(_) if self.accumulate > 1 => {
                Err(format!("accumulate = {}: must be 1 with workers", self.accumulate))
            }
            Some(_) if self.spikes.is_some() || !self.faults.is_empty() => {
                let key = if self.spikes.is_some() { "spikes" } else { "faults" };
                Err(format!(
                    "{key} cannot be combined with workers, which have their own penalty and faults"
                ))
            }
            Some(workers) => workers.check(self.batch),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_named() {
        let wrong = |config: TrainConfig| config.check().unwrap_err();
        let default = TrainConfig::default;
        assert_eq!(wrong(TrainConfig { batch: 0, ..default() }), "batch = 0: must be at least 1");
        let err = wrong(TrainConfig { batch: 32, accumulate: 5, ..default() });
        assert_eq!(err, "accumulate = 5 does not divide batch = 32");
        for beta2 in [1.0, 1.5, f64::NAN] {
            let err = wrong(TrainConfig { beta2, ..default() });
            assert_eq!(err, format!("beta2 = {beta2}: must be from 0 to less than 1"));
        }
        assert!(wrong(TrainConfig { lr: f64::NAN, ..default() }).contains("lr = NaN"));
        let err = wrong(TrainConfig { router_lr: Some(-1.0), ..default() });
        assert_eq!(err, "router_lr = -1: must be a finite number, 0 or larger");
        let shape = Shape::InverseSqrt;
        let err = wrong(TrainConfig { shape, final_lr: 0.0, ..default() });
        assert!(err.starts_with("shape = \"inverse-sqrt\""), "{err}");
        assert_eq!(default().check(), Ok(()));
    }
}
