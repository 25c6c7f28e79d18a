//! Faults injected into workers, to measure their effect on training with local updates.
//!
//! The faults depend only on the run's seed, the worker and the round, so that all methods of a comparison
//! have the same faults.

use burn::prelude::*;
use moe::{Domain, Input, SequencePair, stable_hash};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tasks::{Batch, Task};

use crate::{FaultConfig, FaultKind};

/// The faults of one run.
pub(crate) struct Faults<'a> {
    pub(crate) config: &'a FaultConfig,
    pub(crate) task: &'a dyn Task,
    pub(crate) seed: u64,
    /// The number of steps of a round.
    pub(crate) local_steps: usize,
}

impl Faults<'_> {
    /// Whether the worker is faulty in the round of this step, counted from 0.
    pub(crate) fn hits(&self, worker: usize, step: usize) -> bool {
        let Some(since) = step.checked_sub(self.config.after) else { return false };
        let round = since / self.local_steps;
        let mut rng = generator(&format!("fault/{}/{round}/{worker}", self.seed));
        rng.random::<f64>() < self.config.rate
    }

    /// The batch of the worker in this step, corrupted if the worker is faulty.
    pub(crate) fn corrupt(&self, worker: usize, step: usize, batch: Batch) -> Batch {
        if !self.hits(worker, step) {
            return batch;
        }
        let purpose = format!("spoilt/{}/{step}/{worker}", self.seed);
        corrupted(self.config, self.task, &purpose, batch)
    }
}

/// A batch with the fault of a config. All random numbers are drawn for the purpose.
pub(crate) fn corrupted(
    config: &FaultConfig,
    task: &dyn Task,
    purpose: &str,
    batch: Batch,
) -> Batch {
    let mut rng = generator(purpose);
    let input = match config.kind {
        FaultKind::Labels => batch.input,
        FaultKind::Inputs | FaultKind::Both => match (batch.input, task.domain()) {
            (Input::Tokens(tokens), Domain::Text { vocab, .. }) => {
                Input::Tokens(drawn(&tokens, vocab, &mut rng))
            }
            (Input::Pair(pair), Domain::Pair { vocab, .. }) => {
                let source = drawn(&pair.source, vocab, &mut rng);
                Input::Pair(SequencePair { source, ..pair })
            }
            (Input::Image(pixels), _) => Input::Image(pixels * config.factor),
            (other, _) => other,
        },
    };
    match config.kind {
        FaultKind::Inputs => Batch { input, ..batch },
        FaultKind::Labels | FaultKind::Both => {
            // One output distinguishes two classes.
            let labels = drawn(&batch.labels, task.outputs().max(2), &mut rng);
            Batch { input, labels, ..batch }
        }
    }
}

/// Random numbers below `n` in the shape of `like`.
fn drawn(like: &Tensor<2, Int>, n: usize, rng: &mut ChaCha8Rng) -> Tensor<2, Int> {
    let count = like.shape().num_elements();
    let values: Vec<i32> = (0..count).map(|_| rng.random_range(0..n as i32)).collect();
    Tensor::from_data(TensorData::new(values, like.dims()), &like.device())
}

fn generator(purpose: &str) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(stable_hash(purpose))
}
