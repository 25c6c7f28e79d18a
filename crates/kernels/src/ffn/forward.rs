//! The forward pass: for each block of rows gather, first product, activation, second product, and
//! combine.

use rayon::prelude::*;

use super::{matrices::part, problem::Problem};
use crate::{
    activation::{Act, for_activation},
    product::{Old, View, product},
    scratch::with_scratch,
    simd::{add_scaled, vectorized},
};

/// The values of each row that training saves: the input of the activation, and the other factor of a
/// gated network. `pieces[chunk][expert]`, H numbers for each row.
pub(super) type RowSlices<'a> = Vec<Vec<&'a mut [f32]>>;

/// Runs the forward pass. `out`, `[N, D]`, must be zeros on entry.
pub(super) fn forward(
    problem: &Problem,
    out: &mut [f32],
    kept: Option<(RowSlices, Option<RowSlices>)>,
) {
    let chunks = out.par_chunks_mut((problem.rows.chunk * problem.d).max(1)).enumerate();
    match kept {
        None => chunks.for_each(|(chunk, out)| one_chunk(problem, chunk, out, None)),
        Some((inner, None)) => chunks
            .zip(inner)
            .for_each(|((chunk, out), inner)| one_chunk(problem, chunk, out, Some((inner, None)))),
        Some((inner, Some(other))) => {
            chunks.zip(inner).zip(other).for_each(|(((chunk, out), inner), other)| {
                one_chunk(problem, chunk, out, Some((inner, Some(other))));
            });
        }
    }
}

type KeptOfChunk<'a> = (Vec<&'a mut [f32]>, Option<Vec<&'a mut [f32]>>);

fn one_chunk(problem: &Problem, chunk: usize, out: &mut [f32], mut kept: Option<KeptOfChunk>) {
    let (d, h, block) = (problem.d, problem.h, problem.block());
    let wide = [problem.w1, problem.gate, problem.w2].map(|all| all.memory(d * h));
    let sizes = [block * d, block * h, block * h, block * h, block * d, wide[0], wide[1], wide[2]];
    with_scratch(sizes, |[x, inner, other, hidden, y, w1, gate, w2]| {
        for expert in 0..problem.rows.n_experts {
            let segment = problem.rows.segment(expert, chunk);
            if segment.is_empty() {
                continue;
            }
            let w1 = View::new(problem.w1.of(expert, d * h, w1), d, h);
            let gate = problem.gated.then(|| View::new(problem.gate.of(expert, d * h, gate), d, h));
            let w2 = View::new(problem.w2.of(expert, h * d, w2), h, d);
            for start in segment.clone().step_by(block) {
                let rows = start..segment.end.min(start + block);
                let n = rows.len();
                let place = (start - segment.start) * h..(rows.end - segment.start) * h;
                let (inner, other) = match &mut kept {
                    None => (&mut inner[..n * h], &mut other[..n * h]),
                    Some((inner, None)) => (&mut inner[expert][place], &mut other[..n * h]),
                    Some((inner, Some(other))) => {
                        (&mut inner[expert][place.clone()], &mut other[expert][place])
                    }
                };
                problem.gather(&mut x[..n * d], problem.x, rows.clone(), 0..d);
                let x = View::new(&x[..n * d], n, d);
                product(inner, Old::Forget, x, w1);
                if let Some(gate) = gate {
                    product(other, Old::Forget, x, gate);
                }
                let (hidden, y) = (&mut hidden[..n * h], &mut y[..n * d]);
                let bias = problem.bias1.map(|bias| part(bias, expert, h));
                let gate = gate.map(|_| &*other);
                for_activation!(problem.activation, A => activate::<A>(hidden, inner, gate, bias));
                product(y, Old::Forget, View::new(hidden, n, h), w2);
                combine(problem, out, chunk, expert, rows, y);
            }
        }
    });
}

vectorized! {
    /// `inner += bias`, then `hidden = f(inner) [* gate]`.
    fn activate(hidden: &mut [f32], inner: &mut [f32], gate: Option<&[f32]>, bias: Option<&[f32]>)
    where A: Act
    {
        if let Some(bias) = bias {
            for inner in inner.chunks_exact_mut(bias.len()) {
                for (inner, bias) in inner.iter_mut().zip(bias) {
                    *inner += *bias;
                }
            }
        }
        match gate {
            None => {
                for (hidden, inner) in hidden.iter_mut().zip(&*inner) {
                    *hidden = A::value(*inner);
                }
            }
            Some(gate) => {
                for ((hidden, inner), gate) in hidden.iter_mut().zip(&*inner).zip(gate) {
                    *hidden = A::value(*inner) * *gate;
                }
            }
        }
    }
}

/// Adds the weighted rows to their tokens.
fn combine(
    problem: &Problem,
    out: &mut [f32],
    chunk: usize,
    expert: usize,
    rows: std::ops::Range<usize>,
    y: &[f32],
) {
    let (d, first) = (problem.d, chunk * problem.rows.chunk);
    let bias = problem.bias2.map(|bias| part(bias, expert, d));
    for (row, y) in rows.zip(y.chunks_exact(d)) {
        let token = problem.rows.token[row] as usize - first;
        add_row(&mut out[token * d..(token + 1) * d], problem.weight(row), y, bias);
    }
}

vectorized! {
    /// `out += weight (y + bias)`.
    fn add_row(out: &mut [f32], weight: f32, y: &[f32], bias: Option<&[f32]>) {
        add_scaled(out, weight, y);
        if let Some(bias) = bias {
            add_scaled(out, weight, bias);
        }
    }
}
