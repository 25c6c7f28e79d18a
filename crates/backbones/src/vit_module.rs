//! A part of a vision transformer: the blocks of some of its slots, with the patches if it has the first
//! block and the head if it has the last.
//!
//! The parameters of a part have the same paths as in the whole network, `blocks.2.attention`, so that they
//! can be taken from a whole network, and parts can be assembled into one.

use std::ops::Range;

use burn::{
    module::{Module, Param},
    nn::Linear,
    prelude::*,
};
use kernels::linear_layer;
use moe::{Input, Pass};

use crate::{
    Block, Norm, Vit,
    vit::{embedded, pooled},
};

/// A part of a vision transformer.
#[derive(Module, Debug)]
pub struct VitModule {
    patches: Option<Linear>,
    class: Option<Param<Tensor<3>>>,
    positions: Option<Param<Tensor<3>>>,
    blocks: Vec<Option<Block>>,
    norm: Option<Norm>,
    head: Option<Linear>,
    patch: usize,
    has_class: bool,
}

/// The message of an error that the choice of the slot excludes.
const MISSING: &str = "the part does not have this end of the network";

impl VitModule {
    /// The part of a network without a token for distillation that has the blocks i with `has(i)`, the
    /// patches if it has the first block, and the head if it has the last one.
    pub fn of(vit: Vit, has: impl Fn(usize) -> bool) -> Self {
        let (first, last) = (has(0), has(vit.blocks.len() - 1));
        let has_class = vit.class.is_some();
        let blocks = vit.blocks.into_iter().enumerate();
        Self {
            patches: first.then_some(vit.patches),
            class: vit.class.filter(|_| first),
            positions: first.then_some(vit.positions),
            blocks: blocks.map(|(i, block)| has(i).then_some(block)).collect(),
            norm: last.then_some(vit.norm),
            head: last.then_some(vit.head),
            patch: vit.patch,
            has_class,
        }
    }

    /// Maps images to the stream before the first block, `[B, N, D]`.
    ///
    /// # Panics
    /// If the part has no patches.
    pub fn embed(&self, pass: &mut Pass, input: Input) -> Tensor<3> {
        let (patches, positions) = (self.patches.as_ref(), self.positions.as_ref());
        let (patches, positions) = (patches.expect(MISSING), positions.expect(MISSING));
        let class: Vec<_> = self.class.iter().collect();
        embedded(pass, input, patches, &class, positions, self.patch)
    }

    /// Maps the stream `[B, N, D]` through those of the given blocks that the part has.
    pub fn run(&self, pass: &mut Pass, blocks: Range<usize>, z: Tensor<3>) -> Tensor<3> {
        self.blocks[blocks].iter().flatten().fold(z, |z, block| block.forward(pass, z))
    }

    /// Maps the stream after the last block to scores, `[B, 1, outputs]`.
    ///
    /// # Panics
    /// If the part has no head.
    pub fn answer(&self, z: Tensor<3>) -> Tensor<3> {
        let (norm, head) = (self.norm.as_ref().expect(MISSING), self.head.as_ref());
        linear_layer(head.expect(MISSING), pooled(z, norm, self.has_class))
    }

    /// The number of blocks of the whole network.
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// Floating-point operations for one image of `tokens` tokens, without the MoE layers.
    pub fn dense_flops(&self, tokens: usize) -> f64 {
        let map = |linear: &Linear| 2.0 * linear.weight.lazy_shape().num_elements() as f64;
        let once = self.head.as_ref().map_or(0.0, map);
        let patches = tokens - usize::from(self.has_class);
        let cut = self.patches.as_ref().map_or(0.0, map) * patches as f64;
        let blocks = self.blocks.iter().flatten().map(|block| block.dense_flops(tokens));
        cut + tokens as f64 * blocks.sum::<f64>() + once
    }
}

/// The blocks of each slot; all slots have the same number.
///
/// # Errors
/// If the slots do not divide the depth.
pub(crate) fn slots(name: &str, depth: usize, slots: usize) -> Result<Vec<Range<usize>>, String> {
    if slots == 0 || depth == 0 || !depth.is_multiple_of(slots) {
        return Err(format!("slots = {slots} does not divide depth = {depth} of {name}"));
    }
    let each = depth / slots;
    Ok((0..slots).map(|slot| slot * each..(slot + 1) * each).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_have_equal_numbers_of_blocks() {
        assert_eq!(slots("meta", 6, 3), Ok(vec![0..2, 2..4, 4..6]));
        for (depth, count) in [(6, 4), (6, 0), (0, 3)] {
            let err = slots("meta", depth, count).unwrap_err();
            assert_eq!(err, format!("slots = {count} does not divide depth = {depth} of meta"));
        }
    }
}
