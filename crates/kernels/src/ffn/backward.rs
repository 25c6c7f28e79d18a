//! The backward pass, in two sweeps.
//!
//! With g the gradient of the output, s a row's weight, z the input of the activation:
//!
//! ```text
//! p = g W2^T                       ds = p . hidden + g . b2
//! dz = s p f'(z) [* u]             du = s p f(z)
//! dx += dz W1^T [+ du V^T]
//! dW1 = x^T dz    dV = x^T du      dW2 = (s hidden)^T g
//! ```
//!
//! The first sweep goes over chunks of tokens, as forward does, since it does not use numbers of other
//! rows. It overwrites the saved values with dz and du. The second sweep is in `params.rs`.
//!
//! The products of the first sweep read the matrices transposed, once for each block of rows. The matrices
//! of all experts with rows are therefore transposed beforehand.

use rayon::prelude::*;

use super::{
    forward::RowSlices,
    matrices::{Matrices, part},
    problem::Problem,
};
use crate::{
    activation::{Act, for_activation},
    product::{Old, View, product},
    scratch::with_scratch,
    simd::{add_scaled, dot, vectorized},
    transpose::transpose,
};

/// The output of the first sweep for each row; dz and du replace the values saved by forward.
pub(super) struct PerRow<'a> {
    /// z, then dz.
    pub(super) inner: RowSlices<'a>,
    /// u, then du.
    pub(super) other: Option<RowSlices<'a>>,
    /// s hidden.
    pub(super) hidden: RowSlices<'a>,
    /// ds.
    pub(super) weight: RowSlices<'a>,
}

/// The first sweep. `dx`, `[N, D]`, must be zeros on entry.
pub(super) fn rows(problem: &Problem, dy: &[f32], dx: &mut [f32], per_row: PerRow) {
    let other = per_row.other.map_or_else(
        || (0..problem.rows.n_chunks).map(|_| None).collect::<Vec<_>>(),
        |other| other.into_iter().map(Some).collect(),
    );
    with_scratch([problem.w1, problem.gate, problem.w2].map(Matrices::len), |memory| {
        let across = Transposed::new(problem, memory);
        dx.par_chunks_mut((problem.rows.chunk * problem.d).max(1))
            .enumerate()
            .zip(per_row.inner)
            .zip(other)
            .zip(per_row.hidden)
            .zip(per_row.weight)
            .for_each(|(((((chunk, dx), inner), other), hidden), weight)| {
                one_chunk(problem, &across, chunk, dy, dx, inner, other, hidden, weight);
            });
    });
}

/// The transposes of the matrices. The memory of an expert without rows has old content.
struct Transposed<'a> {
    shape: [usize; 2],
    w1: &'a [f32],
    gate: &'a [f32],
    w2: &'a [f32],
}

impl<'a> Transposed<'a> {
    fn new(problem: &Problem, memory: [&'a mut [f32]; 3]) -> Self {
        let (d, h) = (problem.d, problem.h);
        let [w1_t, gate_t, w2_t] = memory;
        transpose_all(problem, w1_t, problem.w1, [d, h]);
        transpose_all(problem, gate_t, problem.gate, [d, h]);
        transpose_all(problem, w2_t, problem.w2, [h, d]);
        Self { shape: [d, h], w1: w1_t, gate: gate_t, w2: w2_t }
    }

    /// W1 of an expert, `[H, D]`.
    fn w1(&self, expert: usize) -> View<'_> {
        let [d, h] = self.shape;
        View::new(part(self.w1, expert, d * h), h, d)
    }

    /// V of an expert, `[H, D]`.
    fn gate(&self, expert: usize) -> View<'_> {
        let [d, h] = self.shape;
        View::new(part(self.gate, expert, d * h), h, d)
    }

    /// W2 of an expert, `[D, H]`.
    fn w2(&self, expert: usize) -> View<'_> {
        let [d, h] = self.shape;
        View::new(part(self.w2, expert, d * h), d, h)
    }
}

fn transpose_all(problem: &Problem, to: &mut [f32], from: Matrices, [rows, columns]: [usize; 2]) {
    let size = rows * columns;
    to.par_chunks_mut(size.max(1)).enumerate().for_each(|(expert, to)| {
        if !problem.rows.of(expert).is_empty() {
            with_scratch([from.memory(size)], |[wide]| {
                transpose(to, from.of(expert, size, wide), [rows, columns], columns);
            });
        }
    });
}

#[allow(clippy::too_many_arguments, reason = "one buffer each")]
fn one_chunk(
    problem: &Problem,
    across: &Transposed,
    chunk: usize,
    dy: &[f32],
    dx: &mut [f32],
    mut inner: Vec<&mut [f32]>,
    mut other: Option<Vec<&mut [f32]>>,
    mut hidden: Vec<&mut [f32]>,
    mut weight: Vec<&mut [f32]>,
) {
    let (d, h, block) = (problem.d, problem.h, problem.block());
    with_scratch([block * d, block * h, block * d], |[g, p, dxs]| {
        for expert in 0..problem.rows.n_experts {
            let segment = problem.rows.segment(expert, chunk);
            for start in segment.clone().step_by(block) {
                let rows = start..segment.end.min(start + block);
                let n = rows.len();
                let from = start - segment.start;
                let place = from * h..(from + n) * h;
                let (g, p, dxs) = (&mut g[..n * d], &mut p[..n * h], &mut dxs[..n * d]);
                problem.gather(g, dy, rows.clone(), 0..d);
                product(p, Old::Forget, View::new(g, n, d), across.w2(expert));
                let mut piece = Piece {
                    p,
                    inner: &mut inner[expert][place.clone()],
                    other: other.as_mut().map(|other| &mut other[expert][place.clone()]),
                    hidden: &mut hidden[expert][place.clone()],
                    weight: &mut weight[expert][from..from + n],
                };
                for_activation!(problem.activation, A => {
                    piece.differentiate::<A>(problem, expert, rows.clone(), g);
                });
                product(dxs, Old::Forget, View::new(piece.inner, n, h), across.w1(expert));
                if let Some(other) = &piece.other {
                    product(dxs, Old::Add, View::new(other, n, h), across.gate(expert));
                }
                scatter(problem, dx, chunk, rows, dxs);
            }
        }
    });
}

/// A block of rows in the first sweep, with H numbers for each row.
struct Piece<'a> {
    p: &'a [f32],
    inner: &'a mut [f32],
    other: Option<&'a mut [f32]>,
    hidden: &'a mut [f32],
    weight: &'a mut [f32],
}

impl Piece<'_> {
    /// Computes dz, du, s hidden and ds from p, z and u.
    fn differentiate<A: Act>(
        &mut self,
        problem: &Problem,
        expert: usize,
        rows: std::ops::Range<usize>,
        g: &[f32],
    ) {
        let (d, h) = (problem.d, problem.h);
        let bias = problem.bias2.map(|bias| part(bias, expert, d));
        for (i, row) in rows.enumerate() {
            let (line, s) = (i * h..(i + 1) * h, problem.weight(row));
            let (p, inner) = (&self.p[line.clone()], &mut self.inner[line.clone()]);
            let hidden = &mut self.hidden[line.clone()];
            let ds = match &mut self.other {
                None => plain::<A>(p, inner, hidden, s),
                Some(other) => gated::<A>(p, inner, &mut other[line], hidden, s),
            };
            let from_bias = bias.map_or(0.0, |bias| inner_product(&g[i * d..(i + 1) * d], bias));
            self.weight[i] = ds + from_bias;
        }
    }
}

vectorized! {
    /// Processes one row without a gate; returns p . hidden.
    fn plain(p: &[f32], inner: &mut [f32], hidden: &mut [f32], s: f32) -> f32 where A: Act {
        for ((p, inner), hidden) in p.iter().zip(inner).zip(&mut *hidden) {
            let (value, slope) = A::both(*inner);
            *hidden = value;
            *inner = s * *p * slope;
        }
        finish(p, hidden, s)
    }
}

vectorized! {
    /// Processes one row with a gate; returns p . hidden.
    fn gated(p: &[f32], inner: &mut [f32], other: &mut [f32], hidden: &mut [f32], s: f32) -> f32
    where A: Act
    {
        for (((p, inner), other), hidden) in p.iter().zip(inner).zip(other).zip(&mut *hidden) {
            let (value, slope) = A::both(*inner);
            let factor = s * *p;
            *hidden = value * *other;
            *inner = factor * *other * slope;
            *other = factor * value;
        }
        finish(p, hidden, s)
    }
}

/// Returns p . hidden, and then computes `hidden *= s`.
#[inline(always)]
fn finish(p: &[f32], hidden: &mut [f32], s: f32) -> f32 {
    let ds = dot(p, hidden);
    for hidden in hidden {
        *hidden *= s;
    }
    ds
}

vectorized! {
    /// a . b
    fn inner_product(a: &[f32], b: &[f32]) -> f32 {
        dot(a, b)
    }
}

vectorized! {
    /// `to += s from`
    fn add_line(to: &mut [f32], s: f32, from: &[f32]) {
        add_scaled(to, s, from);
    }
}

/// Adds rows to their tokens.
fn scatter(
    problem: &Problem,
    dx: &mut [f32],
    chunk: usize,
    rows: std::ops::Range<usize>,
    dxs: &[f32],
) {
    let (d, first) = (problem.d, chunk * problem.rows.chunk);
    for (row, from) in rows.zip(dxs.chunks_exact(d)) {
        let token = problem.rows.token[row] as usize - first;
        add_line(&mut dx[token * d..(token + 1) * d], 1.0, from);
    }
}
