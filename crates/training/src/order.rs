//! In which order the examples are shown: a fresh permutation each epoch, from the seed alone.
//!
//! Two runs with one seed see the same examples at the same step, whatever their network. There is
//! no state to save: where a run stands in its data follows from the step.

use moe::stable_hash;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

/// The endless stream of a split's examples.
pub struct Order {
    seed: u64,
    epoch: usize,
    permutation: Vec<usize>,
}

impl Order {
    /// The order of `n` examples.
    ///
    /// # Panics
    /// If there are no examples.
    pub fn new(seed: u64, n: usize) -> Self {
        assert!(n > 0, "there is at least one example");
        Self { seed, epoch: 0, permutation: permutation(seed, 0, n) }
    }

    /// The examples from position `start` of the stream on.
    pub fn examples(&mut self, start: usize, count: usize) -> Vec<usize> {
        (start..start + count).map(|position| self.example(position)).collect()
    }

    fn example(&mut self, position: usize) -> usize {
        let n = self.permutation.len();
        if self.epoch != position / n {
            self.epoch = position / n;
            self.permutation = permutation(self.seed, self.epoch, n);
        }
        self.permutation[position % n]
    }
}

fn permutation(seed: u64, epoch: usize, n: usize) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(stable_hash(&format!("order/{seed}/{epoch}")));
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(&mut rng);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_epoch_shows_every_example_once() {
        let mut order = Order::new(3, 10);
        let (first, second) = (order.examples(0, 10), order.examples(10, 10));
        assert_ne!(first, second);
        for mut epoch in [first, second] {
            epoch.sort_unstable();
            assert_eq!(epoch, (0..10).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_position_alone_decides() {
        let whole = Order::new(3, 10).examples(0, 30);
        assert_eq!(Order::new(3, 10).examples(17, 5), whole[17..22]);
        assert_ne!(Order::new(4, 10).examples(0, 30), whole);
    }
}
