//! The inputs of the fused kernel as slices.

use burn::backend::{TensorMetadata, flex::FlexTensor};

use super::Job;
use crate::{Activation, Rows, flex::slice, product::View};

/// What goes into the operation, as the back end's tensors.
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

/// The same as slices.
pub(super) struct Problem<'a> {
    pub(super) rows: &'a Rows,
    pub(super) activation: Activation,
    pub(super) d: usize,
    pub(super) h: usize,
    pub(super) x: &'a [f32],
    pub(super) weights: Option<&'a [f32]>,
    pub(super) bias1: Option<&'a [f32]>,
    pub(super) bias2: Option<&'a [f32]>,
    w1: &'a [f32],
    gate: Option<&'a [f32]>,
    w2: &'a [f32],
}

impl<'a> Problem<'a> {
    pub(super) fn new(inputs: &'a Inputs<FlexTensor>, job: &'a Job) -> Self {
        let [_, d, h] = inputs.w1.shape().dims();
        Self {
            rows: &job.rows,
            activation: job.activation,
            d,
            h,
            x: slice(&inputs.x),
            weights: job.weighted.then(|| slice(&inputs.weights)),
            bias1: job.biased[0].then(|| slice(&inputs.bias1)),
            bias2: job.biased[1].then(|| slice(&inputs.bias2)),
            w1: slice(&inputs.w1),
            gate: job.gated.then(|| slice(&inputs.gate)),
            w2: slice(&inputs.w2),
        }
    }

    /// `[D, H]` of an expert.
    pub(super) fn w1(&self, expert: usize) -> View<'a> {
        View::new(part(self.w1, expert, self.d * self.h), self.d, self.h)
    }

    /// `[D, H]` of an expert.
    pub(super) fn gate(&self, expert: usize) -> Option<View<'a>> {
        self.gate.map(|gate| View::new(part(gate, expert, self.d * self.h), self.d, self.h))
    }

    /// `[H, D]` of an expert.
    pub(super) fn w2(&self, expert: usize) -> View<'a> {
        View::new(part(self.w2, expert, self.d * self.h), self.h, self.d)
    }

    /// W1, the gate and W2 of all experts; no numbers where there is no gate.
    pub(super) fn matrices(&self) -> [&'a [f32]; 3] {
        [self.w1, self.gate.unwrap_or_default(), self.w2]
    }

    /// The weight of a row.
    pub(super) fn weight(&self, row: usize) -> f32 {
        self.weights.map_or(1.0, |weights| weights[self.rows.choice[row] as usize])
    }

    /// Rows of a block: what is alive of it stays within half a megabyte, a part of the second cache.
    pub(super) fn block(&self) -> usize {
        let numbers = 128 * 1024;
        (numbers / (self.d + self.h).max(1)).clamp(32, 256) / 16 * 16
    }

    /// Copies columns of the rows' tokens out of `from`, `[N, D]`.
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

/// The `width` numbers of an expert.
pub(super) fn part(all: &[f32], expert: usize, width: usize) -> &[f32] {
    &all[expert * width..(expert + 1) * width]
}
