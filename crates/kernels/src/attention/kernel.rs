//! The kernel: one head after the other, sequences in parallel.

use rayon::prelude::*;

use super::{AttentionForm, AttentionPositions, angle};
use crate::{
    math::exp_negative,
    product::{Old, View, product},
    scratch::with_scratch,
    simd::{dot, largest, sum, vectorized},
};

/// The sizes, and the rotations of rotary positions.
pub(super) struct Heads {
    t: usize,
    form: AttentionForm,
    /// The width of one head.
    head: usize,
    /// Cosine and sine for each position and pair; empty without rotary positions.
    turns: Vec<(f32, f32)>,
}

/// The part of a token's line (queries, keys and values side by side) that a matrix is taken from.
#[derive(Clone, Copy)]
enum Part {
    Query,
    Key,
    Value,
}

impl Heads {
    /// The sizes for sequences of `t` tokens, each of which has a line of `line` numbers: queries, keys
    /// and values.
    pub(super) fn new(t: usize, line: usize, form: AttentionForm) -> Self {
        let head = form.head(line);
        let turns = match form.positions {
            AttentionPositions::Unordered => Vec::new(),
            AttentionPositions::CausalRotary { theta } => {
                let turn = |i: usize| {
                    let angle = angle(i / (head / 2), i % (head / 2), head, theta);
                    let (sine, cosine) = angle.sin_cos();
                    (cosine as f32, sine as f32)
                };
                (0..t * head / 2).map(turn).collect()
            }
        };
        Self { t, form, head, turns }
    }

    /// The width of a token's queries, and of its output.
    fn width(&self) -> usize {
        self.form.heads * self.head
    }

    /// The width of a token's queries, keys and values together.
    fn line(&self) -> usize {
        (self.form.heads + 2 * self.form.kv_heads) * self.head
    }

    /// The number of elements of a matrix of one head, `[T, head]`.
    fn size(&self) -> usize {
        self.t * self.head
    }

    fn causal(&self) -> bool {
        !self.turns.is_empty()
    }

    /// The columns, within a line, of the matrix that a head of queries uses.
    fn columns(&self, part: Part, head: usize) -> std::ops::Range<usize> {
        let AttentionForm { heads, kv_heads, .. } = self.form;
        let shared = head / (heads / kv_heads);
        let place = match part {
            Part::Query => head,
            Part::Key => heads + shared,
            Part::Value => heads + kv_heads + shared,
        };
        place * self.head..(place + 1) * self.head
    }

    /// Copies a head's matrix out of the lines; queries and keys are rotated.
    fn load(&self, to: &mut [f32], qkv: &[f32], part: Part, head: usize) {
        let columns = self.columns(part, head);
        for (to, line) in to.chunks_exact_mut(self.head).zip(qkv.chunks_exact(self.line())) {
            to.copy_from_slice(&line[columns.clone()]);
        }
        if !matches!(part, Part::Value) {
            self.turn(to, 1.0);
        }
    }

    /// Adds the gradient of a head's matrix to the lines; that of queries and keys is rotated back.
    fn store(&self, from: &mut [f32], dqkv: &mut [f32], part: Part, head: usize) {
        if !matches!(part, Part::Value) {
            self.turn(from, -1.0);
        }
        let columns = self.columns(part, head);
        for (from, line) in from.chunks_exact(self.head).zip(dqkv.chunks_exact_mut(self.line())) {
            line[columns.clone()].iter_mut().zip(from).for_each(|(sum, x)| *sum += x);
        }
    }

    /// Rotates each pair of `[T, head]` by its position's angle, or back.
    fn turn(&self, x: &mut [f32], direction: f32) {
        let half = self.head / 2;
        for (line, turns) in x.chunks_exact_mut(self.head).zip(self.turns.chunks_exact(half.max(1)))
        {
            let (first, second) = line.split_at_mut(half);
            for ((a, b), (cosine, sine)) in first.iter_mut().zip(second).zip(turns) {
                let sine = direction * sine;
                (*a, *b) = (*a * cosine - *b * sine, *b * cosine + *a * sine); // (34)
            }
        }
    }

    /// `softmax(Q K^T / sqrt(d_k))`, `[T, T]`.
    fn probabilities(&self, p: &mut [f32], q: &[f32], k: &[f32]) {
        let (t, head) = (self.t, self.head);
        product(p, Old::Forget, View::new(q, t, head), View::new(k, t, head).t());
        for (i, row) in p.chunks_exact_mut(t).enumerate() {
            let seen = if self.causal() { i + 1 } else { t };
            let (seen, hidden) = row.split_at_mut(seen);
            softmax(seen, self.scale());
            hidden.fill(0.0);
        }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head as f32).sqrt()
    }
}

/// The outputs `y`, `[B, T, D]`.
pub(super) fn forward(heads: &Heads, qkv: &[f32], y: &mut [f32]) {
    let (t, d, size) = (heads.t, heads.width(), heads.size());
    let lines = (t * heads.line()).max(1);
    let sequences = y.par_chunks_mut((t * d).max(1)).zip(qkv.par_chunks(lines));
    sequences.for_each(|(y, qkv)| {
        with_scratch([size, size, size, size, t * t], |[q, k, v, o, p]| {
            for head in 0..heads.form.heads {
                heads.load(q, qkv, Part::Query, head);
                heads.load(k, qkv, Part::Key, head);
                heads.load(v, qkv, Part::Value, head);
                heads.probabilities(p, q, k);
                product(o, Old::Forget, View::new(p, t, t), View::new(v, t, heads.head)); // (1)
                let columns = heads.columns(Part::Query, head);
                for (o, line) in o.chunks_exact(heads.head).zip(y.chunks_exact_mut(d)) {
                    line[columns.clone()].copy_from_slice(o);
                }
            }
        });
    });
}

/// The gradient of `qkv`, which must be 0 on entry. With P the probabilities and S the scores:
///
/// ```text
/// dV = P^T dO    dP = dO V^T    dS = P (dP - sum(P dP)) / sqrt(d_k)    dQ = dS K    dK = dS^T Q
/// ```
pub(super) fn backward(heads: &Heads, qkv: &[f32], dy: &[f32], dqkv: &mut [f32]) {
    let lines = (heads.t * heads.line()).max(1);
    let sequences = dqkv
        .par_chunks_mut(lines)
        .zip(qkv.par_chunks(lines))
        .zip(dy.par_chunks((heads.t * heads.width()).max(1)));
    sequences.for_each(|((dqkv, qkv), dy)| {
        for head in 0..heads.form.heads {
            one_head_back(heads, head, qkv, dy, dqkv);
        }
    });
}

fn one_head_back(heads: &Heads, head: usize, qkv: &[f32], dy: &[f32], dqkv: &mut [f32]) {
    let (t, n, size) = (heads.t, heads.head, heads.size());
    let sizes = [size, size, size, size, size, t * t, t * t];
    with_scratch(sizes, |[q, k, v, o, out, p, s]| {
        heads.load(q, qkv, Part::Query, head);
        heads.load(k, qkv, Part::Key, head);
        heads.load(v, qkv, Part::Value, head);
        let columns = heads.columns(Part::Query, head);
        for (o, line) in o.chunks_exact_mut(n).zip(dy.chunks_exact(heads.width())) {
            o.copy_from_slice(&line[columns.clone()]);
        }
        heads.probabilities(p, q, k);
        product(out, Old::Forget, View::new(p, t, t).t(), View::new(o, t, n));
        heads.store(out, dqkv, Part::Value, head);
        product(s, Old::Forget, View::new(o, t, n), View::new(v, t, n).t());
        for (s, p) in s.chunks_exact_mut(t).zip(p.chunks_exact(t)) {
            through_softmax(s, p, heads.scale());
        }
        product(out, Old::Forget, View::new(s, t, t), View::new(k, t, n));
        heads.store(out, dqkv, Part::Query, head);
        product(out, Old::Forget, View::new(s, t, t).t(), View::new(q, t, n));
        heads.store(out, dqkv, Part::Key, head);
    });
}

vectorized! {
    /// `row = softmax(scale row)`.
    fn softmax(row: &mut [f32], scale: f32) {
        let most = largest(row);
        for x in &mut *row {
            *x = exp_negative(scale * (*x - most));
        }
        let inverse = 1.0 / sum(row);
        for x in row {
            *x *= inverse;
        }
    }
}

vectorized! {
    /// From dP to dS.
    fn through_softmax(s: &mut [f32], p: &[f32], scale: f32) {
        let mean = dot(s, p);
        for (s, p) in s.iter_mut().zip(p) {
            *s = scale * *p * (*s - mean);
        }
    }
}
