//! The effect of damage on the loss: the mean over some steps after it, divided by the mean before it.

use serde::{Deserialize, Serialize};

use crate::Damage;

/// The number of steps on either side.
const STEPS: usize = 20;

/// Sums of losses and their numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FaultImpact {
    before: (f64, usize),
    after: (f64, usize),
}

impl FaultImpact {
    /// Adds a step's loss, if the step is shortly before the first damage or after the last.
    pub(crate) fn see(&mut self, faults: &[Damage], step: usize, loss: f64) {
        let first = faults.iter().map(|damage| damage.step).min();
        let last = faults.iter().map(|damage| damage.step + damage.length).max();
        let (Some(first), Some(last)) = (first, last) else { return };
        let sum = match step {
            _ if (first.saturating_sub(STEPS)..first).contains(&step) => &mut self.before,
            _ if (last..last + STEPS).contains(&step) => &mut self.after,
            _ => return,
        };
        if loss.is_finite() {
            *sum = (sum.0 + loss, sum.1 + 1);
        }
    }

    /// The mean after the damage over the mean before it; none if a side has no steps.
    pub(crate) fn rise(&self) -> Option<f64> {
        let mean = |(sum, count): (f64, usize)| (count > 0).then(|| sum / count as f64);
        Some(mean(self.after)? / mean(self.before)?)
    }
}

#[test]
fn the_loss_after_all_damage_over_that_before_any() {
    let damage = |step, length| Damage { step, length, ..Damage::default() };
    let faults = [damage(50, 5), damage(30, 1)];
    let mut fault_impact = FaultImpact::default();
    assert_eq!(fault_impact.rise(), None);
    for step in 0..100 {
        let loss = match step {
            10..30 => 2.0,
            30..55 => 100.0,
            55..75 => 3.0,
            _ => 50.0,
        };
        fault_impact.see(&faults, step, if step == 12 { f64::NAN } else { loss });
    }
    assert_eq!(fault_impact.rise(), Some(1.5));
}
