//! The kernel: one head after the other, sequences in parallel.
//!
//! Queries and keys are cut into blocks of [`BLOCK`] tokens. A block of queries is multiplied only with the
//! blocks of keys that one of its tokens attends to: with n blocks and causal attention (n + 1) / 2n of all
//! pairs of blocks, with a span fewer. Within these, the probabilities of pairs that do not attend are 0.

use std::ops::Range;

use rayon::prelude::*;

use super::{AttentionForm, AttentionPositions, angle};
use crate::{
    math::exp_negative,
    product::{DEPTH, Old, View, product, product_to},
    scratch::with_scratch,
    simd::{dot, largest, sum, vectorized},
    transpose::transpose,
};

/// The tokens of a block: as many as the widest tile of a product has columns.
const BLOCK: usize = 32;

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

    /// The tokens to which a token attends.
    fn seen(&self, token: usize) -> Range<usize> {
        match self.causal() {
            true => (token + 1).saturating_sub(self.form.span)..token + 1,
            false => 0..self.t,
        }
    }

    /// The blocks of tokens.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let t = self.t;
        (0..t).step_by(BLOCK).map(move |first| first..t.min(first + BLOCK))
    }

    /// The keys of the blocks to which a block of queries attends.
    fn keys(&self, queries: &Range<usize>) -> Range<usize> {
        let first = self.seen(queries.start).start;
        first / BLOCK * BLOCK..self.seen(queries.end - 1).end
    }

    /// The queries that attend to a block of keys.
    fn queries(&self, keys: &Range<usize>) -> Range<usize> {
        match self.causal() {
            true => keys.start..self.t.min((keys.end - 1).saturating_add(self.form.span)),
            false => 0..self.t,
        }
    }

    /// The columns, within a line, of the matrix that a head of queries uses.
    fn columns(&self, part: Part, head: usize) -> Range<usize> {
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

    /// Copies a head's matrix out of the lines, transposed: `[head, T]`. Afterwards `memory` is the matrix
    /// itself.
    fn load_turned(
        &self,
        to: &mut [f32],
        memory: &mut [f32],
        qkv: &[f32],
        part: Part,
        head: usize,
    ) {
        self.load(memory, qkv, part, head);
        transpose(to, memory, [self.t, self.head], self.head);
    }

    /// The rows of some tokens of a matrix of one head, `[T, head]`.
    fn tokens<'a>(&self, x: &'a [f32], tokens: &Range<usize>) -> View<'a> {
        View::new(x, self.t, self.head).rows(tokens.start, tokens.len())
    }

    /// `softmax(Q K^T / sqrt(d_k))` of a block of queries, in lines of T numbers; only the columns of `keys`
    /// are written.
    fn probabilities(&self, p: &mut [f32], queries: &Range<usize>, q: &[f32], k_turned: &[f32]) {
        let (t, head, keys) = (self.t, self.head, self.keys(queries));
        let q = self.tokens(q, queries);
        let k = View::new(k_turned, head, t).columns(keys.start, keys.len());
        product_to(&mut p[keys.start..], t, Old::Forget, q, k);
        for (token, row) in queries.clone().zip(p.chunks_mut(t)) {
            let seen = self.seen(token);
            row[keys.start..seen.start].fill(0.0);
            row[seen.end..keys.end].fill(0.0);
            softmax(&mut row[seen], self.scale());
        }
    }

    /// `out = P^T X` for a block of keys, `[block, head]`, where P is `[T, T]` and X is `[T, head]`. The sum over
    /// queries is cut where a product with all queries would cut it, so that without a span its bits are those
    /// of such a product.
    fn gather(&self, out: &mut [f32], keys: &Range<usize>, p: &[f32], x: &[f32]) {
        let (t, queries) = (self.t, self.queries(keys));
        let (mut first, mut old) = (queries.start, Old::Forget);
        while first < queries.end {
            let n = queries.end.min((first / DEPTH + 1) * DEPTH) - first;
            let p = View::new(p, t, t).rows(first, n).columns(keys.start, keys.len());
            product(out, old, p.t(), self.tokens(x, &(first..first + n)));
            (first, old) = (first + n, Old::Add);
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
        with_scratch([size, size, size, BLOCK * t], |[q, k, v, p]| {
            for head in 0..heads.form.heads {
                heads.load_turned(k, v, qkv, Part::Key, head);
                heads.load(q, qkv, Part::Query, head);
                heads.load(v, qkv, Part::Value, head);
                let first = heads.columns(Part::Query, head).start;
                for queries in heads.blocks() {
                    heads.probabilities(p, &queries, q, k);
                    let keys = heads.keys(&queries);
                    let p = View::strided(&p[keys.start..], queries.len(), keys.len(), t);
                    let v = heads.tokens(v, &keys);
                    product_to(&mut y[queries.start * d + first..], d, Old::Forget, p, v); // (1)
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
    let sizes = [size, size, size, size, size, size, t * t, t * t];
    with_scratch(sizes, |[q, k, k_turned, v_turned, o, out, p, s]| {
        heads.load_turned(v_turned, out, qkv, Part::Value, head);
        heads.load_turned(k_turned, k, qkv, Part::Key, head);
        heads.load(q, qkv, Part::Query, head);
        let columns = heads.columns(Part::Query, head);
        for (o, line) in o.chunks_exact_mut(n).zip(dy.chunks_exact(heads.width())) {
            o.copy_from_slice(&line[columns.clone()]);
        }
        for queries in heads.blocks() {
            let (keys, rows) = (heads.keys(&queries), queries.start * t..queries.end * t);
            let (p, s) = (&mut p[rows.clone()], &mut s[rows]);
            heads.probabilities(p, &queries, q, k_turned);
            let o = heads.tokens(o, &queries);
            let v = View::new(v_turned, n, t).columns(keys.start, keys.len());
            product_to(&mut s[keys.start..], t, Old::Forget, o, v);
            for (s, p) in s.chunks_mut(t).zip(p.chunks(t)) {
                through_softmax(&mut s[keys.clone()], &p[keys.clone()], heads.scale());
            }
            let s = View::strided(&s[keys.start..], queries.len(), keys.len(), t);
            let k = heads.tokens(k, &keys);
            product(&mut out[queries.start * n..queries.end * n], Old::Forget, s, k);
        }
        heads.store(out, dqkv, Part::Query, head);
        for (part, weights, x) in [(Part::Key, &*s, &*q), (Part::Value, &*p, &*o)] {
            for keys in heads.blocks() {
                heads.gather(&mut out[keys.start * n..keys.end * n], &keys, weights, x);
            }
            heads.store(out, dqkv, part, head);
        }
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
