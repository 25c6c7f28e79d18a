//! The second sweep of the backward pass: the gradients of the matrices in pieces, each summed over the
//! rows of its expert in order.

use rayon::prelude::*;

use super::{backward::add_line, problem::Problem};
use crate::{
    product::{Old, View, product},
    scratch::with_scratch,
};

/// The inputs of the second sweep: dz, du and s hidden of each row.
pub(super) struct Sums<'a> {
    pub(super) inner: &'a [f32],
    pub(super) other: Option<&'a [f32]>,
    pub(super) hidden: &'a [f32],
}

/// The gradients of the parameters, zeros on entry; empty for absent parameters.
pub(super) struct Params<'a> {
    pub(super) w1: &'a mut [f32],
    pub(super) gate: &'a mut [f32],
    pub(super) w2: &'a mut [f32],
    pub(super) bias1: &'a mut [f32],
    pub(super) bias2: &'a mut [f32],
}

/// A piece of the second sweep: some lines of the gradient of one expert's matrix or bias.
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

/// Divides each expert's `lines x width` numbers into pieces, more pieces for a larger load. An expert
/// without rows has none.
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
            Kind::Gate => self.input_times(problem, sums.other.expect("the gate must have rows")),
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

    /// Computes lines of `x^T right`.
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

    /// Computes lines of `(s hidden)^T g`.
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

/// The number of rows that one product sums over.
const DEPTH: usize = 256;

fn blocks(rows: std::ops::Range<usize>) -> impl Iterator<Item = std::ops::Range<usize>> {
    let end = rows.end;
    rows.step_by(DEPTH).map(move |start| start..end.min(start + DEPTH))
}
