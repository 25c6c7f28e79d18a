//! Signatures whose distances represent a graph: connected latents are near one another.
//!
//! L = mean over all ordered pairs of  max(0.8, d_uv) if connected, max(-0.8, -d_uv) otherwise        (1)
//!
//! d is that of `kernel.rs`; Adam, 1000 steps at 1e-3, from orthogonal columns. Pairs on the right side of
//! 0.8 have no gradient.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

const STEPS: usize = 1000;
const RATE: f64 = 1e-3;
const BETAS: [f64; 2] = [0.9, 0.999];
const THRESHOLD: f64 = 0.8;

/// Signatures `[nodes, width]`, row by row, fitted to a graph with these connections.
pub(super) fn fitted(
    nodes: usize,
    width: usize,
    edges: &[[usize; 2]],
    rng: &mut ChaCha8Rng,
) -> Vec<f32> {
    let mut connected = vec![false; nodes * nodes];
    for [a, b] in edges {
        connected[a * nodes + b] = true;
        connected[b * nodes + a] = true;
    }
    let mut signatures = orthogonal(nodes, width, rng);
    let (mut first, mut second) = (vec![0.0; nodes * width], vec![0.0; nodes * width]);
    for step in 1..=STEPS {
        let gradient = gradient(&signatures, [nodes, width], &connected);
        let [correct, correct_square] = BETAS.map(|beta| 1.0 - beta.powi(step as i32));
        let moments = first.iter_mut().zip(&mut second);
        for ((s, g), (m, v)) in signatures.iter_mut().zip(gradient).zip(moments) {
            *m = BETAS[0] * *m + (1.0 - BETAS[0]) * g;
            *v = BETAS[1] * *v + (1.0 - BETAS[1]) * g * g;
            *s -= RATE * (*m / correct) / ((*v / correct_square).sqrt() + 1e-8);
        }
    }
    signatures.iter().map(|x| *x as f32).collect()
}

/// A random matrix `[nodes, width]` whose columns are orthonormal, or its rows if there are fewer rows.
fn orthogonal(nodes: usize, width: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let (length, count) = (nodes.max(width), nodes.min(width));
    let mut lines: Vec<Vec<f64>> = Vec::new();
    for _ in 0..count {
        let mut line: Vec<f64> = (0..length).map(|_| rng.sample(StandardNormal)).collect();
        for known in &lines {
            let along = dot(&line, known);
            line.iter_mut().zip(known).for_each(|(x, y)| *x -= along * y);
        }
        let size = dot(&line, &line).sqrt();
        lines.push(line.into_iter().map(|x| x / size).collect());
    }
    let at = |(row, column): (usize, usize)| match nodes >= width {
        true => lines[column][row],
        false => lines[row][column],
    };
    (0..nodes * width).map(|i| at((i / width, i % width))).collect()
}

/// The gradient of (1).
fn gradient(signatures: &[f64], [nodes, width]: [usize; 2], connected: &[bool]) -> Vec<f64> {
    let rows: Vec<&[f64]> = signatures.chunks_exact(width).collect();
    let sizes: Vec<f64> = rows.iter().map(|row| dot(row, row).sqrt()).collect();
    let mut gradient = vec![0.0; nodes * width];
    // Both orders of a pair have the same distance.
    let share = 2.0 / (nodes * nodes) as f64;
    for u in 0..nodes {
        for v in 0..u {
            let cos = dot(rows[u], rows[v]) / (sizes[u] * sizes[v]);
            let pull = match connected[u * nodes + v] {
                true if 1.0 - cos > THRESHOLD => -share, // the derivative with respect to the cosine
                false if 1.0 - cos < THRESHOLD => share,
                _ => continue,
            };
            for i in 0..width {
                let (a, b) = (rows[u][i] / sizes[u], rows[v][i] / sizes[v]);
                gradient[u * width + i] += pull * (b - cos * a) / sizes[u];
                gradient[v * width + i] += pull * (a - cos * b) / sizes[v];
            }
        }
    }
    gradient
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nac::graph::scale_free;
    use rand::SeedableRng;

    #[test]
    fn columns_or_rows_are_orthonormal() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (nodes, width) in [(7, 3), (3, 7)] {
            let matrix = orthogonal(nodes, width, &mut rng);
            let line = |i: usize| -> Vec<f64> {
                match nodes >= width {
                    true => (0..nodes).map(|row| matrix[row * width + i]).collect(),
                    false => matrix[i * width..][..width].to_vec(),
                }
            };
            for (i, j) in [(0, 0), (1, 1), (0, 1), (1, 2)] {
                let expected = if i == j { 1.0 } else { 0.0 };
                assert!((dot(&line(i), &line(j)) - expected).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let (nodes, width) = (6, 3);
        let connected: Vec<bool> = (0..36).map(|i| [1, 6, 8, 13, 22, 27].contains(&i)).collect();
        let signatures: Vec<f64> = (0..nodes * width).map(|_| rng.sample(StandardNormal)).collect();
        let loss = |s: &[f64]| {
            let row = |i: usize| &s[i * width..][..width];
            let d = |u, v| {
                1.0 - dot(row(u), row(v)) / (dot(row(u), row(u)) * dot(row(v), row(v))).sqrt()
            };
            let of = |u: usize, v: usize| match connected[u * nodes + v] {
                true => d(u, v).max(THRESHOLD),
                false => (-d(u, v)).max(-THRESHOLD),
            };
            let all = (0..nodes).flat_map(|u| (0..nodes).map(move |v| (u, v)));
            all.map(|(u, v)| of(u, v)).sum::<f64>() / 36.0
        };
        let found = gradient(&signatures, [nodes, width], &connected);
        for i in 0..nodes * width {
            let moved = |by: f64| {
                let mut s = signatures.clone();
                s[i] += by;
                loss(&s)
            };
            let expected = (moved(1e-6) - moved(-1e-6)) / 2e-6;
            assert!((found[i] - expected).abs() < 1e-7, "{i}: {} {expected}", found[i]);
        }
        assert!(found.iter().any(|g| g.abs() > 1e-3));
    }

    #[test]
    fn the_graph_is_found_again_at_the_threshold() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let edges = scale_free(32, &mut rng);
        let found = fitted(32, 16, &edges, &mut rng);
        let row =
            |i: usize| found[i * 16..][..16].iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let mut wrong = 0;
        for u in 0..32 {
            for v in 0..u {
                let (a, b) = (row(u), row(v));
                let d = 1.0 - dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
                let connected = edges.contains(&[v, u]) || edges.contains(&[u, v]);
                wrong += usize::from(connected != (d < THRESHOLD + 0.01) && connected);
                wrong += usize::from(!connected && d < THRESHOLD - 0.01);
            }
        }
        assert_eq!(wrong, 0, "as published for 32 nodes");
    }
}
