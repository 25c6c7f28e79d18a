//! What a team of workers is told.

use moe::config;
use serde::{Deserialize, Serialize};

/// How the pseudo-gradients of the workers become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Penalty {
    /// All count alike.
    Mean,
    /// The longer one is, the less it counts.
    Softmax,
    /// The same, and those that are unusually long for their worker do not count.
    Edit,
}

/// What is wrong with the examples that a faulty worker sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Numbers are multiplied by `factor`; tokens are drawn at random.
    Inputs,
    /// Answers are drawn at random.
    Labels,
    /// Both.
    Both,
}

config! {
    /// Workers that are faulty at times: from round to round, each by itself.
    pub struct FaultConfig {
        /// How likely a worker is faulty in a round of `local_steps` steps.
        pub rate: f64 = 0.15,
        /// What is wrong then.
        pub kind: FaultKind = FaultKind::Both,
        /// What numbers are multiplied by.
        pub factor: f64 = 3.0,
        /// Steps before which nobody is faulty.
        pub after: usize = 0,
    }
}

config! {
    /// Workers that train apart from one another for some steps at a time.
    pub struct WorkersConfig {
        /// How many; it divides `batch`, of which each has its part.
        pub count: usize = 4,
        /// Steps from one meeting to the next.
        pub local_steps: usize = 8,
        /// Steps at the start in which they train one network together.
        pub warmup: usize = 40,
        /// The rate of the outer steps.
        pub outer_lr: f64 = 0.7,
        /// The Nesterov momentum of the outer steps.
        pub outer_momentum: f64 = 0.8,
        /// How their pseudo-gradients become one.
        pub penalty: Penalty = Penalty::Edit,
        /// By what lengths are divided before the softmax.
        pub temperature: f64 = 1.0,
        /// The largest length of a layer's pseudo-gradient; 0 means no limit.
        pub clip: f64 = 10.0,
        /// How much a new length moves the mean that outliers are judged by.
        pub ewma: f64 = 0.02,
        /// Rounds before a worker is judged; at least 2 / `ewma`, or its first lengths look too large.
        pub ewma_warmup: usize = 120,
        /// From how many standard deviations above the mean on a length is an outlier.
        pub threshold: f64 = 3.0,
        /// Do outliers move that mean too? Otherwise, as published for data parallelism, lengths that
        /// grow for good may stay outliers for good; if so, frequent faults pass for ordinary.
        pub ewma_sees_outliers: bool = false,
        /// Workers that are faulty at times, to see what becomes of the training.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub faults: Option<FaultConfig> = None,
    }
}

impl WorkersConfig {
    /// Can a team with a step of `batch` examples train like this? The message begins with the key.
    pub(crate) fn check(&self, batch: usize) -> Result<(), String> {
        let least = [
            ("count", self.count, 1),
            ("local_steps", self.local_steps, 1),
            ("ewma_warmup", self.ewma_warmup, 2),
        ];
        if let Some((key, value, least)) = least.iter().find(|(_, value, least)| value < least) {
            return Err(format!("workers.{key} = {value}: it is at least {least}"));
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
            return Err(format!("workers.{key} = {x}: it is from 0 to {most}"));
        }
        match [("temperature", self.temperature), ("ewma", self.ewma)].iter().find(|k| k.1 == 0.0) {
            Some((key, _)) => Err(format!("workers.{key} = 0: it is larger than 0")),
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
        assert_eq!(err, "workers.local_steps = 0: it is at least 1");
        let err = wrong(WorkersConfig { outer_momentum: f64::NAN, ..default() });
        assert_eq!(err, "workers.outer_momentum = NaN: it is from 0 to 1");
        let err = wrong(WorkersConfig { temperature: 0.0, ..default() });
        assert_eq!(err, "workers.temperature = 0: it is larger than 0");
        let faults = Some(FaultConfig { rate: 1.5, ..FaultConfig::default() });
        let err = wrong(WorkersConfig { faults, ..default() });
        assert_eq!(err, "workers.faults.rate = 1.5: it is from 0 to 1");
        assert_eq!(default().check(32), Ok(()));
    }
}
