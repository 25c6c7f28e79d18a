//! Settings of training with local updates.

use moe::config;
use serde::{Deserialize, Serialize};

/// The weighting of the workers' pseudo-gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Penalty {
    /// All pseudo-gradients have equal weights.
    Mean,
    /// Longer pseudo-gradients have smaller weights, by a softmax of the negative lengths.
    Softmax,
    /// The same, with weight 0 for pseudo-gradients that are unusually long for their worker.
    Edit,
}

/// The kind of corruption of a faulty worker's examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Numbers are multiplied by `factor`; tokens are replaced by random ones.
    Inputs,
    /// Labels are replaced by random ones.
    Labels,
    /// Both.
    Both,
}

config! {
    /// Faults of workers, which are drawn independently for each worker and round.
    pub struct FaultConfig {
        /// The probability that a worker is faulty in a round of `local_steps` steps.
        pub rate: f64 = 0.15,
        /// The kind of corruption.
        pub kind: FaultKind = FaultKind::Both,
        /// The factor by which the numbers of the inputs are multiplied.
        pub factor: f64 = 3.0,
        /// The first step at which workers can be faulty.
        pub after: usize = 0,
    }
}

config! {
    /// Workers that train independently for some steps at a time.
    pub struct WorkersConfig {
        /// The number of workers; it divides `batch`, and each worker gets an equal part.
        pub count: usize = 4,
        /// The number of steps from one synchronisation to the next.
        pub local_steps: usize = 8,
        /// The number of initial steps in which they train one network together.
        pub warmup: usize = 40,
        /// The rate of the outer steps.
        pub outer_lr: f64 = 0.7,
        /// The Nesterov momentum of the outer steps.
        pub outer_momentum: f64 = 0.8,
        /// The weighting of the workers' pseudo-gradients.
        pub penalty: Penalty = Penalty::Edit,
        /// The temperature of the softmax over lengths.
        pub temperature: f64 = 1.0,
        /// The largest length of a layer's pseudo-gradient; 0 means no limit.
        pub clip: f64 = 10.0,
        /// The weight of a new length in the detector's exponential moving average.
        pub ewma: f64 = 0.02,
        /// The number of rounds before a worker is judged; at least 2 / `ewma`, or its first lengths look too
        /// large.
        pub ewma_warmup: usize = 120,
        /// The threshold for outliers, in standard deviations above the mean.
        pub threshold: f64 = 3.0,
        /// Faults of workers, injected to measure their effect on the training.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub faults: Option<FaultConfig> = None,
    }
}

impl WorkersConfig {
    /// Checks the settings for steps of `batch` examples. The error begins with the key.
    pub(crate) fn check(&self, batch: usize) -> Result<(), String> {
        let least = [
            ("count", self.count, 1),
            ("local_steps", self.local_steps, 1),
            ("ewma_warmup", self.ewma_warmup, 2),
        ];
        if let Some((key, value, least)) = least.iter().find(|(_, value, least)| value < least) {
            return Err(format!("workers.{key} = {value}: must be at least {least}"));
        }
        if !batch.is_multiple_of(self.count) {
            let count = self.count;
            return Err(format!("workers.count = {count} does not divide batch = {batch}"));
        }
        let (rate, factor) = self.faults.as_ref().map_or((0.0, 0.0), |f| (f.rate, f.factor));
        let ranges = [
            ("outer_lr", self.outer_lr, f64::INFINITY),
            ("outer_momentum", self.outer_momentum, 1.0),
            ("temperature", self.temperature, f64::INFINITY),
            ("clip", self.clip, f64::INFINITY),
            ("ewma", self.ewma, 1.0),
            ("threshold", self.threshold, f64::INFINITY),
            ("faults.rate", rate, 1.0),
            ("faults.factor", factor, f64::INFINITY),
        ];
        if let Some((key, x, most)) = ranges.iter().find(|(_, x, most)| !(0.0..=*most).contains(x))
        {
            return Err(format!("workers.{key} = {x}: must be from 0 to {most}"));
        }
        match [("temperature", self.temperature), ("ewma", self.ewma)].iter().find(|k| k.1 == 0.0) {
            Some((key, _)) => Err(format!("workers.{key} = 0: must be larger than 0")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_named() {
        let wrong = |config: WorkersConfig| config.check(32).unwrap_err();
        let default = WorkersConfig::default;
        let err = wrong(WorkersConfig { count: 5, ..default() });
        assert_eq!(err, "workers.count = 5 does not divide batch = 32");
        let err = wrong(WorkersConfig { local_steps: 0, ..default() });
        assert_eq!(err, "workers.local_steps = 0: must be at least 1");
        let err = wrong(WorkersConfig { outer_momentum: f64::NAN, ..default() });
        assert_eq!(err, "workers.outer_momentum = NaN: must be from 0 to 1");
        let err = wrong(WorkersConfig { temperature: 0.0, ..default() });
        assert_eq!(err, "workers.temperature = 0: must be larger than 0");
        let faults = Some(FaultConfig { rate: 1.5, ..FaultConfig::default() });
        let err = wrong(WorkersConfig { faults, ..default() });
        assert_eq!(err, "workers.faults.rate = 1.5: must be from 0 to 1");
        assert_eq!(default().check(32), Ok(()));
    }
}
