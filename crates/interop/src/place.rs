//! Where the tensors of a checkpoint are.

use crate::stored::Stored;

/// Where a tensor is: the number of its shard; of blocks whose scales are apart, these too.
#[derive(Clone, Debug)]
pub(crate) struct TensorPlace {
    pub(crate) shard: usize,
    pub(crate) stored: Stored,
    pub(crate) scales: Option<(usize, Stored)>,
}

impl TensorPlace {
    /// A tensor of the shard of this number.
    pub(crate) fn new(shard: usize, stored: &Stored) -> Self {
        Self { shard, stored: stored.clone(), scales: None }
    }
}
