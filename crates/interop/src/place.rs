//! Where the tensors of a checkpoint are.

use crate::stored::Stored;

/// Where a tensor is: the number of its shard. One that two tensors of the files are together has the other one
/// too, whose bytes follow: the scales of blocks, or the second half of a map.
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
