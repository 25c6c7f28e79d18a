//! The parts of a task's data, and positions in the stream of training examples.

use moe::stable_hash;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A part of a task's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// For fitting weights.
    Train,
    /// For choices between settings, and for stopping.
    Valid,
    /// For the reported measures; used once, at the end of a run.
    Test,
}

impl Split {
    /// The name used in csv files.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Valid => "valid",
            Split::Test => "test",
        }
    }
}

/// The position of a training batch in the endless stream of a run's examples. All randomness of the batch is
/// derived from it, so a resumed run draws the same batches again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchPosition {
    /// The run's seed.
    pub seed: u64,
    /// The index of the first example.
    pub position: usize,
}

impl BatchPosition {
    /// The random generator of example `index` of the batch for the purpose `what`.
    pub fn rng(self, what: &str, index: usize) -> ChaCha8Rng {
        let (seed, position) = (self.seed, self.position + index);
        ChaCha8Rng::seed_from_u64(stable_hash(&format!("{what}/{seed}/{position}")))
    }
}
