//! The inputs of the fused kernel as slices.

use std::sync::Arc;

use burn::backend::{TensorMetadata, flex::FlexTensor};

use super::matrices::Matrices;
use crate::{Activation, Rows, flex::slice};

/// The arguments of the kernel other than tensors.
#[derive(Clone, Debug)]
pub(crate) struct KernelArgs {
    pub(crate) rows: Arc<Rows>,
    pub(crate) activation: Activation,
    pub(crate) gated: bool,
    pub(crate) weighted: bool,
    pub(crate) biased: [bool; 2],
}

/// The inputs of the operation, as the back end's tensors.
#[derive(Clone, Debug)]
pub(crate) struct Inputs<T> {
    pub(crate) x: T,
    pub(crate) weights: T,
    pub(crate) w1: T,
    pub(crate) gate: T,
    pub(crate) w2: T,
    pub(crate) bias1: T,
    pub(crate) bias2: T,
}

impl Inputs<FlexTensor> {
    pub(super) fn contiguous(self) -> Self {
        Self {
            x: self.x.to_contiguous(),
            weights: self.weights.to_contiguous(),
            w1: self.w1.to_contiguous(),
            gate: self.gate.to_contiguous(),
            w2: self.w2.to_contiguous(),
            bias1: self.bias1.to_contiguous(),
            bias2: self.bias2.to_contiguous(),
        }
    }
}

/// The inputs as slices.
pub(super) struct Problem<'a> {
    pub(super) rows: &'a Rows,
    pub(super) gated: bool,
    pub(super) activation: Activation,
    pub(super) d: usize,
    pub(super) h: usize,
    pub(super) x: &'a [f32],
    pub(super) weights: Option<&'a [f32]>,
    pub(super) bias1: Option<&'a [f32]>,
    pub(super) bias2: Option<&'a [f32]>,
    /// W1, `[E, D, H]`.
    pub(super) w1: Matrices<'a>,
    /// V, `[E, D, H]`; none without a gate.
    pub(super) gate: Matrices<'a>,
    /// W2, `[E, H, D]`.
    pub(super) w2: Matrices<'a>,
}

impl<'a> Problem<'a> {
    pub(super) fn new(inputs: &'a Inputs<FlexTensor>, args: &'a KernelArgs) -> Self {
        let [_, d, h] = inputs.w1.shape().dims();
        Self {
            rows: &args.rows,
            gated: args.gated,
            activation: args.activation,
            d,
            h,
            x: slice(&inputs.x),
            weights: args.weighted.then(|| slice(&inputs.weights)),
            bias1: args.biased[0].then(|| slice(&inputs.bias1)),
            bias2: args.biased[1].then(|| slice(&inputs.bias2)),
            w1: Matrices::new(&inputs.w1),
            gate: Matrices::new(&inputs.gate),
            w2: Matrices::new(&inputs.w2),
        }
    }

    /// The weight of a row.
    pub(super) fn weight(&self, row: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[self.rows.choice[row] as usize])
    }

    /// The number of rows of a block. Its buffers take at most half a megabyte, a part of the second-level
    /// cache.
    pub(super) fn block(&self) -> usize {
        let numbers = 128 * 1024;
        (numbers / (self.d + self.h).max(1)).clamp(32, 256) / 16 * 16
    }

    /// Copies columns of the tokens of the rows out of `from`, `[N, D]`.
    pub(super) fn gather(
        &self,
        to: &mut [f32],
        from: &[f32],
        rows: std::ops::Range<usize>,
        columns: std::ops::Range<usize>,
    ) {
        for (to, token) in to.chunks_exact_mut(columns.len()).zip(&self.rows.token[rows]) {
            let start = *token as usize * self.d;
            to.copy_from_slice(&from[start + columns.start..start + columns.end]);
        }
    }
}
