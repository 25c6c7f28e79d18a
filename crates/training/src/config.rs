//! How long and how fast: budget, optimizer, learning rate over time.

use std::f64::consts::PI;

use moe::config;
use serde::{Deserialize, Serialize};

use crate::edit::WorkersConfig;

/// The course of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It stays.
    Constant,
    /// Half a cosine down to the final rate.
    /// Loshchilov, Hutter. *SGDR*. ICLR 2017. <https://arxiv.org/abs/1608.03983>
    Cosine,
    /// Warm-up, stable, decay: it stays, then falls linearly to the final rate.
    /// Hu et al. *MiniCPM*. 2024. <https://arxiv.org/abs/2404.06395>
    Wsd,
}

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

config! {
    /// Budget, optimizer and learning rate of a run.
    pub struct TrainConfig {
        /// Steps of the optimizer; with 0 the network is evaluated as it starts.
        pub steps: usize = 1000,
        /// Examples in a step.
        pub batch: usize = 32,
        /// Parts that a step's examples are computed in, one after the other; it divides `batch`.
        pub accumulate: usize = 1,
        /// The largest learning rate.
        pub lr: f64 = 1e-3,
        /// Its course after the warm-up.
        pub schedule: Schedule = Schedule::Cosine,
        /// Steps in which the rate rises from 0.
        pub warmup: usize = 50,
        /// The share of the steps in which `wsd` decays.
        pub decay: f64 = 0.2,
        /// The last rate, as a share of the largest.
        pub final_lr: f64 = 0.1,
        /// What moves the weights.
        pub optimizer: Optimizer = Optimizer::Adamw,
        /// The share of its last move that SGD goes on with.
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
        /// Steps between two rows of training metrics.
        pub log_every: usize = 20,
        /// Steps between two checkpoints.
        pub checkpoint_every: usize = 200,
        /// Workers that train apart from one another for some steps at a time; none means that all
        /// of a step's examples go into one gradient.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub workers: Option<WorkersConfig> = None,
    }
}

impl TrainConfig {
    /// Can one train like this? Everything that a person can get wrong is found here.
    pub fn check(&self) -> Result<(), String> {
        let at_least_one = [
            ("batch", self.batch),
            ("accumulate", self.accumulate),
            ("log_every", self.log_every),
            ("checkpoint_every", self.checkpoint_every),
        ];
        if let Some((key, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(format!("{key} = 0: it is at least 1"));
        }
        if !self.batch.is_multiple_of(self.accumulate) {
            let (parts, batch) = (self.accumulate, self.batch);
            return Err(format!("accumulate = {parts} does not divide batch = {batch}"));
        }
        let ranges = [
            ("lr", self.lr, f64::INFINITY),
            ("decay", self.decay, 1.0),
            ("final_lr", self.final_lr, 1.0),
            ("weight_decay", self.weight_decay, f64::INFINITY),
            ("momentum", self.momentum, 1.0),
            ("beta1", self.beta1, 1.0),
            ("beta2", self.beta2, 1.0),
            ("epsilon", self.epsilon, f64::INFINITY),
            ("clip", self.clip, f64::INFINITY),
        ];
        if let Some((key, value, most)) =
            ranges.iter().find(|(_, x, most)| !(0.0..=*most).contains(x))
        {
            return Err(format!("{key} = {value}: it is from 0 to {most}"));
        }
        match &self.workers {
            Some(_) if self.accumulate > 1 => {
                Err(format!("accumulate = {}: it is 1 where there are workers", self.accumulate))
            }
            Some(workers) => workers.check(self.batch),
            None => Ok(()),
        }
    }

    /// The learning rate of a step, counted from 0.
    pub fn lr_at(&self, step: usize) -> f64 {
        if step < self.warmup {
            return self.lr * (step + 1) as f64 / self.warmup as f64;
        }
        let left = self.steps.saturating_sub(self.warmup).max(1) as f64;
        let done = (step - self.warmup) as f64 / left; // 0 after the warm-up, 1 at the end
        let share = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Cosine => 0.5 * (1.0 + (PI * done).cos()),
            Schedule::Wsd => {
                self.steps.saturating_sub(step) as f64 / (self.decay * self.steps as f64)
            }
        };
        self.lr * (self.final_lr + (1.0 - self.final_lr) * share.min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} {b}");
    }

    fn config(schedule: Schedule) -> TrainConfig {
        TrainConfig { schedule, steps: 100, warmup: 20, lr: 2.0, ..TrainConfig::default() }
    }

    #[test]
    fn the_warm_up_is_linear() {
        near(config(Schedule::Cosine).lr_at(0), 0.1);
        near(config(Schedule::Cosine).lr_at(19), 2.0);
    }

    #[test]
    fn the_cosine_is_halfway_in_the_middle() {
        let config = config(Schedule::Cosine);
        near(config.lr_at(20), 2.0);
        near(config.lr_at(60), 2.0 * (0.1 + 0.9 * 0.5));
        near(config.lr_at(100), 0.2);
    }

    #[test]
    fn wsd_is_stable_then_linear() {
        let config = config(Schedule::Wsd);
        near(config.lr_at(79), 2.0);
        near(config.lr_at(90), 2.0 * (0.1 + 0.9 * 0.5)); // half of the last fifth is left
        near(config.lr_at(100), 0.2);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let wrong = |config: TrainConfig| config.check().unwrap_err();
        let default = TrainConfig::default;
        assert_eq!(wrong(TrainConfig { batch: 0, ..default() }), "batch = 0: it is at least 1");
        let err = wrong(TrainConfig { batch: 32, accumulate: 5, ..default() });
        assert_eq!(err, "accumulate = 5 does not divide batch = 32");
        assert!(wrong(TrainConfig { beta2: 1.5, ..default() }).contains("beta2 = 1.5"));
        assert!(wrong(TrainConfig { lr: f64::NAN, ..default() }).contains("lr = NaN"));
        assert_eq!(default().check(), Ok(()));
    }
}
