//! The places of the tensors of a checkpoint.

use crate::stored::Stored;

/// The place of a tensor: the number of its shard. One that two tensors of the files are together has the
/// other one too, whose bytes follow: the scales of blocks, or the second half of a map.
#[derive(Clone, Debug)]
pub(crate) struct TensorPlace {
    pub(crate) shard: usize,
    pub(crate) stored: Stored,
    pub(crate) second: Option<(usize, Stored)>,
}

impl TensorPlace {
    /// A tensor of the shard of this number.
    pub(crate) fn new(shard: usize, stored: &Stored) -> Self {
        Self { shard, stored: stored.clone(), second: None }
    }
}
