//! Sequential attention with learned relative positions, as in the published code of MomentumSMoE.
//!
//! Sukhbaatar et al. *Adaptive Attention Span in Transformers*. ACL 2019.
//! <https://arxiv.org/abs/1905.07799> (where the code comes from).
//! Teo, Nguyen. *MomentumSMoE*. NeurIPS 2024. <https://arxiv.org/abs/2410.14574>
//!
//! s_{t,r} = (q_t . k_{t-r} + q_t . p_r) / sqrt(d)          (1), r = 1, ..., A
//! y_t     = sum_r softmax(s_t)_r v_{t-r}                   (2)
//!
//! A token attends to the A tokens before it, and not to itself. If there are fewer, zeros take their place,
//! and are part of the softmax. All layers and heads share the vectors p.

use burn::{prelude::*, tensor::activation::softmax};
use kernels::matmul;

/// The vectors of the distances, `[d, A]`, that of distance A first; stored in the pass for all layers.
#[derive(Clone)]
pub(crate) struct Distances(pub(crate) Tensor<2>);

/// Attention of queries `[B, heads, T, d]` to keys and values `[B, heads, A + T, d]`, those of the A earlier
/// tokens first; returns `[B, heads, T, d]`.
pub(crate) fn relative_attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    distances: Tensor<2>,
) -> Tensor<4> {
    let [b, h, t, d] = q.dims();
    let [_, span] = distances.dims();
    let by_distance = matmul(q.clone().reshape([b * h * t, d]), distances);
    let by_distance = aside(by_distance.reshape([b, h, t, span]));
    let scores = (matmul(q, k.transpose()) + by_distance) / (d as f64).sqrt(); // (1)
    matmul(softmax(scores + out_of_sight(t, span, &v.device()), 3), v) // (2)
}

/// Shifts row t by t columns to the right, with zeros around it: `[B, heads, T, A] -> [B, heads, T, A + T]`.
fn aside(x: Tensor<4>) -> Tensor<4> {
    let [b, h, t, a] = x.dims();
    let zeros = Tensor::zeros([b, h, t, t + 1], &x.device().inner());
    // Rows are one longer than in the result, so each begins one column later than the row before.
    let longer = Tensor::cat(vec![x, zeros], 3).reshape([b, h, t * (a + t + 1)]);
    longer.narrow(2, 0, t * (a + t)).reshape([b, h, t, a + t])
}

/// A mask, `[1, 1, T, A + T]`: 0 for the A tokens before each token, minus infinity elsewhere.
fn out_of_sight(t: usize, span: usize, device: &Device) -> Tensor<4> {
    let entry = |i: usize| {
        let (row, column) = (i / (span + t), i % (span + t));
        let seen = column >= row && column < row + span;
        if seen { 0.0 } else { f32::NEG_INFINITY }
    };
    let mask: Vec<f32> = (0..t * (span + t)).map(entry).collect();
    Tensor::from_data(TensorData::new(mask, [1, 1, t, span + t]), &device.clone().inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fill;

    #[test]
    fn lines_move_aside() {
        let x = [[[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]];
        let y = aside(Tensor::<4>::from_floats(x, &Device::flex()));
        let expected =
            [[1.0, 2.0, 0.0, 0.0, 0.0], [0.0, 3.0, 4.0, 0.0, 0.0], [0.0, 0.0, 5.0, 6.0, 0.0]];
        assert_eq!(y.into_data().try_to_vec::<f32>().unwrap(), expected.concat());
    }

    #[test]
    fn the_equations_by_loops() {
        let (heads, t, d, span) = (2, 4, 3, 5);
        let numbers = |salt, n| fill(salt, heads * n * d, 4.0);
        let (q, k, v) = (numbers(1, t), numbers(2, span + t), numbers(3, span + t));
        let p = fill(4, d * span, 4.0);
        let device = Device::flex();
        let tensor = |x: &[f32], n| {
            Tensor::<4>::from_data(TensorData::new(x.to_vec(), [1, heads, n, d]), &device)
        };
        let table = Tensor::from_data(TensorData::new(p.clone(), [d, span]), &device);
        let y =
            relative_attention(tensor(&q, t), tensor(&k, span + t), tensor(&v, span + t), table);
        let y: Vec<f32> = y.into_data().iter().collect();
        for (head, row, i) in (0..heads * t * d).map(|n| (n / d / t, n / d % t, n % d)) {
            let of = |x: &[f32], n: usize, row: usize, i: usize| x[(head * n + row) * d + i];
            let score = |r: usize| {
                let part = |j: usize| {
                    let key = of(&k, span + t, span + row - r, j) + p[j * span + span - r];
                    of(&q, t, row, j) * key
                };
                ((0..d).map(part).sum::<f32>() / (d as f32).sqrt()).exp()
            };
            let all: f32 = (1..=span).map(score).sum();
            let value = |r| score(r) / all * of(&v, span + t, span + row - r, i);
            let (found, expected) =
                (y[(head * t + row) * d + i], (1..=span).map(value).sum::<f32>());
            assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
        }
    }
}
