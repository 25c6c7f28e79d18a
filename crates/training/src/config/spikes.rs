//! Settings for the handling of loss spikes, and for injected damage.

use moe::config;
use serde::{Deserialize, Serialize};

use super::{FaultConfig, FaultKind};

/// The treatment of a step that is still a spike at its last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Persistent {
    /// The step is skipped, and its examples go into quarantine.
    Skip,
    /// The step is executed at the lower rate, unless its loss is NaN or infinite.
    Lower,
}

config! {
    /// Spike handling: steps are repeated or skipped if their loss jumps. The loss of each step is then read
    /// back from the device, for which the processor waits.
    pub struct SpikesConfig {
        /// The threshold for spikes, in standard deviations above the mean.
        pub sigma: f64 = 4.0,
        /// The window of mean and deviation in accepted steps; no spikes are detected before it is full.
        pub window: usize = 64,
        /// The treatment of a step that is still a spike at its last attempt.
        pub persistent: Persistent = Persistent::Skip,
    }
}

config! {
    /// Corrupted steps, injected to measure their effect on the training.
    pub struct Damage {
        /// The first step that is damaged, counted from 0.
        pub step: usize = 0,
        /// The number of consecutive damaged steps.
        pub length: usize = 1,
        /// The kind of corruption of their examples.
        pub kind: DamageKind = DamageKind::Both,
        /// The factor by which the numbers of the inputs are multiplied.
        pub factor: f64 = 50.0,
        /// The number of damaged reads of a step; none means that all its reads are damaged.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub reads: Option<usize> = None,
    }
}

/// The kind of corruption of examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DamageKind {
    /// Numbers are multiplied by `factor`; tokens are replaced by random ones.
    Inputs,
    /// Labels are replaced by random ones.
    Labels,
    /// Both.
    Both,
    /// The loss is NaN.
    Nan,
}

impl Damage {
    /// Whether a step is damaged at its read number `read`, both counted from 0.
    pub(crate) fn hits(&self, step: usize, read: usize) -> bool {
        let steps = self.step..self.step + self.length;
        steps.contains(&step) && self.reads.is_none_or(|reads| read < reads)
    }

    /// The fault of the step's examples; none if the loss is set to NaN.
    pub(crate) fn fault(&self) -> Option<FaultConfig> {
        let kind = match self.kind {
            DamageKind::Inputs => FaultKind::Inputs,
            DamageKind::Labels => FaultKind::Labels,
            DamageKind::Both => FaultKind::Both,
            DamageKind::Nan => return None,
        };
        Some(FaultConfig { kind, factor: self.factor, ..FaultConfig::default() })
    }
}

impl SpikesConfig {
    /// Checks the settings. The error begins with the key.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.window < 2 {
            return Err(format!("spikes.window = {}: must be at least 2", self.window));
        }
        match self.sigma > 0.0 {
            true => Ok(()),
            false => Err(format!("spikes.sigma = {}: must be above 0", self.sigma)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_is_there_for_some_steps_and_some_reads() {
        let damage = Damage { step: 3, length: 2, reads: Some(2), ..Damage::default() };
        let hit: Vec<usize> = (0..7).filter(|step| damage.hits(*step, 0)).collect();
        assert_eq!(hit, [3, 4]);
        assert!(damage.hits(3, 1) && !damage.hits(3, 2));
        assert!(Damage { reads: None, ..damage }.hits(4, 100));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let wrong = |config: SpikesConfig| config.check().unwrap_err();
        let default = SpikesConfig::default;
        assert_eq!(
            wrong(SpikesConfig { window: 1, ..default() }),
            "spikes.window = 1: must be at least 2"
        );
        let err = wrong(SpikesConfig { sigma: 0.0, ..default() });
        assert_eq!(err, "spikes.sigma = 0: must be above 0");
        assert_eq!(default().check(), Ok(()));
    }
}
