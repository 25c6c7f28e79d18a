//! The backward pass, in two sweeps.
//!
//! With g the gradient of the output, s a row's weight, z what stands before the activation:
//!
//! ```text
//! p = g W2^T                       ds = p . hidden + g . b2
//! dz = s p f'(z) [* u]             du = s p f(z)
//! dx += dz W1^T [+ du V^T]
//! dW1 = x^T dz    dV = x^T du      dW2 = (s hidden)^T g
//! ```
//!
//! The first sweep goes over chunks of tokens, as forward does: it needs no other row's numbers. It
//! writes dz and du over what forward kept. The second goes over pieces of the matrices, each summed
//! over its expert's rows in order.

use rayon::prelude::*;

use super::{
    forward::Kept,
    problem::{Problem, part, with_scratch},
};
use crate::{
    activation::{Act, for_activation},
    product::{Old, View, product},
    simd::{add_scaled, dot, vectorized},
};

/// What the first sweep writes for each row, beside dz and du in the place of what forward kept.
pub(super) struct PerRow<'a> {
    /// z, then dz.
    pub(super) inner: Kept<'a>,
    /// u, then du.
    pub(super) other: Option<Kept<'a>>,
    /// s hidden.
    pub(super) hidden: Kept<'a>,
    /// ds.
    pub(super) weight: Kept<'a>,
}

/// The first sweep. `dx`, `[N, D]`, comes as zeros.
pub(super) fn rows(problem: &Problem, dy: &[f32], dx: &mut [f32], per_row: PerRow) {
    let other = per_row.other.map_or_else(
        || (0..problem.rows.n_chunks).map(|_| None).collect::<Vec<_>>(),
        |other| other.into_iter().map(Some).collect(),
    );
    dx.par_chunks_mut((problem.rows.chunk * problem.d).max(1))
        .enumerate()
        .zip(per_row.inner)
        .zip(other)
        .zip(per_row.hidden)
        .zip(per_row.weight)
        .for_each(|(((((chunk, dx), inner), other), hidden), weight)| {
            one_chunk(problem, chunk, dy, dx, inner, other, hidden, weight);
        });
}

#[allow(clippy::too_many_arguments, reason = "one buffer each")]
fn one_chunk(
    problem: &Problem,
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
                product(p, Old::Forget, View::new(g, n, d), problem.w2(expert).t());
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
                product(dxs, Old::Forget, View::new(piece.inner, n, h), problem.w1(expert).t());
                if let (Some(other), Some(gate)) = (&piece.other, problem.gate(expert)) {
                    product(dxs, Old::Add, View::new(other, n, h), gate.t());
                }
                scatter(problem, dx, chunk, rows, dxs);
            }
        }
    });
}

/// A block of rows in the first sweep, H numbers a row.
struct Piece<'a> {
    p: &'a [f32],
    inner: &'a mut [f32],
    other: Option<&'a mut [f32]>,
    hidden: &'a mut [f32],
    weight: &'a mut [f32],
}

impl Piece<'_> {
    /// dz, du, s hidden and ds from p, z and u.
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
    /// One row without a gate; gives p . hidden.
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
    /// One row with a gate; gives p . hidden.
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

/// p . hidden, then `hidden *= s`.
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

/// What the second sweep reads: for each row dz, du, s hidden.
pub(super) struct Sums<'a> {
    pub(super) inner: &'a [f32],
    pub(super) other: Option<&'a [f32]>,
    pub(super) hidden: &'a [f32],
}

/// The gradients of the parameters, zeros at first; empty where there is no parameter.
pub(super) struct Params<'a> {
    pub(super) w1: &'a mut [f32],
    pub(super) gate: &'a mut [f32],
    pub(super) w2: &'a mut [f32],
    pub(super) bias1: &'a mut [f32],
    pub(super) bias2: &'a mut [f32],
}

/// A piece of the second sweep: some lines of one expert's matrix or bias.
struct Task<'a> {
    kind: Kind,
    expert: usize,
    first: usize,
    out: &'a mut [f32],
}

#[derive(Clone, Copy)]
enum Kind {
    W1,
    Gate,
    W2,
    Bias1,
    Bias2,
}

/// The second sweep.
pub(super) fn params(problem: &Problem, dy: &[f32], sums: &Sums, params: Params) {
    let (d, h) = (problem.d, problem.h);
    let mut tasks = Vec::new();
    let mut add = |kind, out, lines, width| cut(&mut tasks, problem, kind, out, lines, width);
    add(Kind::W1, params.w1, d, h);
    add(Kind::Gate, params.gate, d, h);
    add(Kind::W2, params.w2, h, d);
    add(Kind::Bias1, params.bias1, 1, h);
    add(Kind::Bias2, params.bias2, 1, d);
    tasks.into_par_iter().for_each(|task| task.run(problem, dy, sums));
}

/// Cuts each expert's `lines x width` numbers into pieces, the more the larger its load. An idle
/// expert has none.
fn cut<'a>(
    tasks: &mut Vec<Task<'a>>,
    problem: &Problem,
    kind: Kind,
    out: &'a mut [f32],
    lines: usize,
    width: usize,
) {
    if out.is_empty() {
        return;
    }
    for (expert, out) in out.chunks_exact_mut(lines * width).enumerate() {
        let load = problem.rows.of(expert).len();
        if load == 0 {
            continue;
        }
        let pieces = (load * 16).div_ceil(problem.rows.len()).clamp(1, lines.div_ceil(64).min(8));
        let step = lines.div_ceil(pieces);
        for (i, out) in out.chunks_mut(step * width).enumerate() {
            tasks.push(Task { kind, expert, first: i * step, out });
        }
    }
}

impl Task<'_> {
    fn run(self, problem: &Problem, dy: &[f32], sums: &Sums) {
        let (d, h) = (problem.d, problem.h);
        match self.kind {
            Kind::W1 => self.input_times(problem, sums.inner),
            Kind::Gate => self.input_times(problem, sums.other.expect("a gate has its rows")),
            Kind::W2 => self.hidden_times(problem, dy, sums.hidden),
            Kind::Bias1 => {
                let rows = problem.rows.of(self.expert);
                for inner in sums.inner[rows.start * h..rows.end * h].chunks_exact(h) {
                    add_line(self.out, 1.0, inner);
                }
            }
            Kind::Bias2 => {
                for row in problem.rows.of(self.expert) {
                    let token = problem.rows.token[row] as usize;
                    add_line(self.out, problem.weight(row), &dy[token * d..(token + 1) * d]);
                }
            }
        }
    }

    /// Lines of `x^T right`.
    fn input_times(self, problem: &Problem, right: &[f32]) {
        let h = problem.h;
        let lines = self.out.len() / h;
        let columns = self.first..self.first + lines;
        with_scratch([DEPTH * lines], |[x]| {
            for rows in blocks(problem.rows.of(self.expert)) {
                let n = rows.len();
                let x = &mut x[..n * lines];
                problem.gather(x, problem.x, rows.clone(), columns.clone());
                let right = View::new(&right[rows.start * h..rows.end * h], n, h);
                product(self.out, Old::Add, View::new(x, n, lines).t(), right);
            }
        });
    }

    /// Lines of `(s hidden)^T g`.
    fn hidden_times(self, problem: &Problem, dy: &[f32], hidden: &[f32]) {
        let (d, h) = (problem.d, problem.h);
        let lines = self.out.len() / d;
        with_scratch([DEPTH * d], |[g]| {
            for rows in blocks(problem.rows.of(self.expert)) {
                let n = rows.len();
                let g = &mut g[..n * d];
                problem.gather(g, dy, rows.clone(), 0..d);
                let hidden = &hidden[rows.start * h + self.first..rows.end * h];
                let left = View::strided(hidden, n, lines, h).t();
                product(self.out, Old::Add, left, View::new(g, n, d));
            }
        });
    }
}

/// Rows summed in one product.
const DEPTH: usize = 256;

fn blocks(rows: std::ops::Range<usize>) -> impl Iterator<Item = std::ops::Range<usize>> {
    let end = rows.end;
    rows.step_by(DEPTH).map(move |start| start..end.min(start + DEPTH))
}
