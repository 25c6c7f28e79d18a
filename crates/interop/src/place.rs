//! The positions of a checkpoint's tensors.

use crate::stored::Stored;

/// The position of a tensor: the number of its shard. A tensor that is joined from two tensors in the files
/// also has the second one, whose bytes follow: the scales of blocks, or the second half of a map.
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
