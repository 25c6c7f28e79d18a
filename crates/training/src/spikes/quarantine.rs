//! The examples of skipped steps, which are used again one by one, so that no data are lost.

use moe::stable_hash;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The examples in quarantine, by index and without duplicates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quarantine {
    examples: Vec<usize>,
}

impl Quarantine {
    /// Adds the examples that are not yet in quarantine.
    pub(crate) fn enter(&mut self, examples: impl IntoIterator<Item = usize>) {
        for example in examples {
            if !self.examples.contains(&example) {
                self.examples.push(example);
            }
        }
    }

    /// Releases one example, drawn at random from all, in one of `every` steps. The choice follows from the
    /// seed and the step.
    pub(crate) fn leave(&mut self, seed: u64, step: usize, every: usize) -> Option<usize> {
        let due = (step + 1).is_multiple_of(every);
        if !due || self.examples.is_empty() {
            return None;
        }
        let purpose = format!("quarantine/{seed}/{step}");
        let mut rng = ChaCha8Rng::seed_from_u64(stable_hash(&purpose));
        Some(self.examples.swap_remove(rng.random_range(0..self.examples.len())))
    }

    /// The number of examples.
    pub(crate) fn len(&self) -> usize {
        self.examples.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_comes_back_once_when_it_is_due() {
        let mut quarantine = Quarantine::default();
        quarantine.enter([5, 7, 5]);
        quarantine.enter([7, 9]);
        assert_eq!(quarantine.len(), 3);
        let out: Vec<Option<usize>> = (0..8).map(|step| quarantine.leave(1, step, 2)).collect();
        assert!(out.iter().step_by(2).all(Option::is_none), "{out:?}");
        let mut back: Vec<usize> = out.into_iter().flatten().collect();
        back.sort_unstable();
        assert_eq!(back, [5, 7, 9]);
    }

    #[test]
    fn the_seed_draws() {
        let first = |seed| {
            let mut quarantine = Quarantine::default();
            quarantine.enter(0..100);
            quarantine.leave(seed, 0, 1)
        };
        assert_eq!(first(3), first(3));
        assert_ne!(first(3), first(4));
    }
}
