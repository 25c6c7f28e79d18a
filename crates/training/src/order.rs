//! The order of the examples: a new permutation each epoch, from the seed alone; or parallel rows, if
//! examples continue each other.
//!
//! Two runs with the same seed see the same examples at the same step, whatever their network. There is no
//! state to save: the position of a run in its data follows from the step.

use moe::stable_hash;
use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use tasks::Split;

use crate::Run;

/// The infinite stream of a split's examples.
pub struct Order(Kind);

enum Kind {
    Drawn { seed: u64, epoch: usize, permutation: Vec<usize> },
    Rows { rows: usize, steps: usize },
}

impl Order {
    /// The order of a run.
    pub(crate) fn of(run: &Run) -> Self {
        let n = run.task.len(Split::Train);
        match run.task.as_stream().is_some() {
            true => Self::in_rows(n, run.config.batch),
            false => Self::new(run.seed, n),
        }
    }

    /// A random order of `n` examples.
    ///
    /// # Panics
    /// If `n` is 0.
    pub fn new(seed: u64, n: usize) -> Self {
        assert!(n > 0, "expected at least one example");
        Self(Kind::Drawn { seed, epoch: 0, permutation: permutation(seed, 0, n) })
    }

    /// The order of `n` examples that continue each other, cut into rows of equal length, one row for each
    /// example of a step: row b of a step continues row b of the previous step, until the rows end and start
    /// again. The remaining examples are not used.
    ///
    /// # Panics
    /// If there are fewer examples than rows.
    pub fn in_rows(n: usize, rows: usize) -> Self {
        assert!(rows > 0 && n >= rows, "expected at least one example for each row");
        Self(Kind::Rows { rows, steps: n / rows })
    }

    /// The examples from position `start` of the stream on.
    pub fn examples(&mut self, start: usize, count: usize) -> Vec<usize> {
        (start..start + count).map(|position| self.example(position)).collect()
    }

    /// Whether the example at this position of the stream continues that of the previous step.
    pub fn goes_on(&self, position: usize) -> bool {
        match &self.0 {
            Kind::Drawn { .. } => false,
            Kind::Rows { rows, steps } => !(position / rows).is_multiple_of(*steps),
        }
    }

    fn example(&mut self, position: usize) -> usize {
        match &mut self.0 {
            Kind::Rows { rows, steps } => position % *rows * *steps + position / *rows % *steps,
            Kind::Drawn { seed, epoch, permutation: order } => {
                let n = order.len();
                if *epoch != position / n {
                    *epoch = position / n;
                    *order = permutation(*seed, *epoch, n);
                }
                order[position % n]
            }
        }
    }
}

/// All of `n` examples that continue each other, each once, in batches of at most `rows`: row b of a batch
/// continues row b of the previous batch. The last batch may have fewer rows.
pub fn all_in_rows(n: usize, rows: usize) -> Vec<Vec<usize>> {
    let (steps, longer) = (n / rows, n % rows);
    let start = |row: usize| row * steps + row.min(longer);
    let batch = |step: usize| {
        let there = if step < steps { rows } else { longer };
        (0..there).map(|row| start(row) + step).collect()
    };
    (0..n.div_ceil(rows)).map(batch).collect()
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

    #[test]
    fn rows_go_on_from_step_to_step() {
        let mut order = Order::in_rows(11, 3);
        let steps: Vec<Vec<usize>> = (0..4).map(|step| order.examples(step * 3, 3)).collect();
        assert_eq!(steps, [[0, 3, 6], [1, 4, 7], [2, 5, 8], [0, 3, 6]]);
        let goes_on: Vec<bool> = (0..4).map(|step| order.goes_on(step * 3)).collect();
        assert_eq!(goes_on, [false, true, true, false]);
        // Taking half a step at a time gives the same examples.
        assert_eq!((order.examples(4, 2), order.goes_on(4)), (vec![4, 7], true));
        assert!(!Order::new(0, 11).goes_on(3));
    }

    #[test]
    fn an_evaluation_shows_each_example_once_and_in_rows() {
        let batches = all_in_rows(8, 3);
        assert_eq!(batches, [vec![0, 3, 6], vec![1, 4, 7], vec![2, 5]]);
        assert_eq!(all_in_rows(2, 3), [[0, 1]]);
        assert_eq!(all_in_rows(0, 3), [[0; 0]; 0]);
        for (n, rows) in [(1, 1), (7, 2), (64, 64), (65, 64), (200, 64)] {
            let batches = all_in_rows(n, rows);
            for pair in batches.windows(2) {
                assert!(pair[1].iter().zip(&pair[0]).all(|(now, before)| *now == before + 1));
            }
            let mut all = batches.concat();
            all.sort_unstable();
            assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
    }
}
