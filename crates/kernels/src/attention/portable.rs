//! Attention composed of Burn's operations.

use burn::tensor::{Device, Tensor, TensorData, activation::softmax};

use super::{AttentionForm, AttentionPositions, KeyValues, angle, causal_mask};
use crate::matmul;

/// See [`super::attention`].
pub(super) fn attention(qkv: Tensor<3>, form: AttentionForm) -> Tensor<3> {
    attention_after(qkv, form, &mut None)
}

/// See [`super::attention_after`].
pub(super) fn attention_after(
    qkv: Tensor<3>,
    form: AttentionForm,
    memory: &mut Option<KeyValues>,
) -> Tensor<3> {
    let ([b, t, _], AttentionForm { heads, kv_heads, positions, span }) = (qkv.dims(), form);
    let (q, k, v) = parts(qkv, form);
    let before = memory.take();
    let start = KeyValues::seen(before.as_ref());
    let (q, k) = match positions {
        AttentionPositions::Unordered => (q, k),
        AttentionPositions::CausalRotary { theta } => {
            (rotate(q, start, theta), rotate(k, start, theta))
        }
    };
    let all = KeyValues::joined(before, k, v);
    let [_, _, s, head] = all.keys.dims();
    // Heads that share keys are placed one after the other, like further rows of queries.
    let q = q.reshape([b, kv_heads, heads / kv_heads * t, head]);
    let scores = matmul(q, all.keys.clone().transpose()) / (head as f64).sqrt();
    let scores = scores.reshape([b, heads, t, s]);
    let scores = match positions {
        AttentionPositions::Unordered => scores,
        AttentionPositions::CausalRotary { .. } => {
            scores + causal_mask([t, s], span, &all.values.device())
        }
    };
    let p = softmax(scores, 3).reshape([b, kv_heads, heads / kv_heads * t, s]);
    let mixed = matmul(p, all.values.clone()).reshape([b, heads, t, head]); // (1)
    *memory = Some(all.last(span));
    mixed.swap_dims(1, 2).reshape([b, t, heads * head])
}

/// Queries `[B, heads, T, head]`, keys and values `[B, kv_heads, T, head]`.
fn parts(qkv: Tensor<3>, form: AttentionForm) -> (Tensor<4>, Tensor<4>, Tensor<4>) {
    let ([b, t, line], AttentionForm { heads, kv_heads, .. }) = (qkv.dims(), form);
    let head = form.head(line);
    let part = |start: usize, n: usize| {
        let part = qkv.clone().narrow(2, start * head, n * head);
        part.reshape([b, t, n, head]).swap_dims(1, 2)
    };
    (part(0, heads), part(heads, kv_heads), part(heads + kv_heads, kv_heads))
}

/// Rotates each pair (i, i + head / 2) of `[B, heads, T, head]` by its position's angle; positions are
/// counted from `start`.
fn rotate(x: Tensor<4>, start: usize, theta: f64) -> Tensor<4> {
    let [b, h, t, head] = x.dims();
    let device = x.device().inner();
    let table = |f: fn(f64) -> f64| {
        let angle = |i: usize| angle(start + i / head, (i % head) % (head / 2), head, theta);
        let values: Vec<f32> = (0..t * head).map(|i| f(angle(i)) as f32).collect();
        Tensor::<4>::from_data(TensorData::new(values, [1, 1, t, head]), &device)
    };
    // The quarter turn (x1, x2) -> (-x2, x1) as a product: its backward pass is one product too, where
    // that of slices and cat would write zeros over the whole tensor.
    let turned = matmul(x.clone().reshape([b * h * t, head]), quarter_turn(head, &device));
    x * table(f64::cos) + turned.reshape([b, h, t, head]) * table(f64::sin) // (34)
}

/// `[head, head]`: the matrix with (x1, x2) M = (-x2, x1).
fn quarter_turn(head: usize, device: &Device) -> Tensor<2> {
    let half = head / 2;
    let entry = |row: usize, column: usize| match (row, column) {
        (row, column) if row == column + half => -1.0,
        (row, column) if column == row + half => 1.0,
        _ => 0.0,
    };
    let values: Vec<f32> = (0..head * head).map(|i| entry(i / head, i % head)).collect();
    Tensor::from_data(TensorData::new(values, [head, head]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    #[test]
    fn a_rotation_by_hand() {
        // One head of width 2 at positions 0 and 1: angle 0 and 1 rad.
        let x = [[[[1.0, 2.0], [1.0, 2.0]]]];
        let y = rotate(Tensor::<4>::from_floats(x, &Device::flex()), 0, 1e4).into_data();
        let (c, s) = (1_f32.cos(), 1_f32.sin());
        let expected = [1.0, 2.0, c - 2.0 * s, 2.0 * c + s];
        for (a, b) in y.try_to_vec::<f32>().unwrap().iter().zip(expected) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
    }

    #[test]
    fn scores_depend_on_distance_only() {
        let device = Device::flex();
        let one = Tensor::<4>::random([1, 1, 1, 8], Distribution::Normal(0.0, 1.0), &device);
        let two = Tensor::<4>::random([1, 1, 1, 8], Distribution::Normal(0.0, 1.0), &device);
        let (q, k) = (rotate(one.repeat_dim(2, 6), 0, 1e4), rotate(two.repeat_dim(2, 6), 0, 1e4));
        let scores = q.matmul(k.transpose()).into_data().try_to_vec::<f32>().unwrap();
        for i in 0..5 {
            let (here, next) = (scores[i * 6], scores[(i + 1) * 6 + 1]);
            assert!((here - next).abs() < 1e-4, "{here} {next}");
        }
    }
}
