//! The composition of Burn's operations.

use burn::tensor::{Device, Tensor, TensorData, activation::softmax};

use super::{Positions, angle};

/// See [`super::attention`].
pub(super) fn attention(qkv: Tensor<3>, heads: usize, positions: Positions) -> Tensor<3> {
    let [b, t, width] = qkv.dims();
    let (d, head) = (width / 3, width / 3 / heads);
    // 3 x [B, heads, T, head]
    let qkv = qkv.reshape([b, t, 3, heads, head]).permute([2, 0, 3, 1, 4]);
    let [q, k, v] = [0, 1, 2].map(|i| qkv.clone().narrow(0, i, 1).squeeze_dim::<4>(0));
    let (q, k) = match positions {
        Positions::Unordered => (q, k),
        Positions::CausalRotary => (rotate(q), rotate(k)),
    };
    let scores = q.matmul(k.transpose()) / (head as f64).sqrt();
    let scores = match positions {
        Positions::Unordered => scores,
        Positions::CausalRotary => scores + hide_later(t, &v.device()),
    };
    softmax(scores, 3).matmul(v).swap_dims(1, 2).reshape([b, t, d]) // (1)
}

/// `[1, 1, T, T]`: 0 where a token may look, minus infinity for the tokens after it.
fn hide_later(t: usize, device: &Device) -> Tensor<4> {
    let later = |row, column| if column > row { f32::NEG_INFINITY } else { 0.0 };
    let mask: Vec<f32> = (0..t * t).map(|i| later(i / t, i % t)).collect();
    Tensor::from_data(TensorData::new(mask, [1, 1, t, t]), &device.clone().inner())
}

/// Turns each pair (i, i + head / 2) of `[B, heads, T, head]` by its position's angle.
fn rotate(x: Tensor<4>) -> Tensor<4> {
    let [b, h, t, head] = x.dims();
    let device = x.device().inner();
    let table = |f: fn(f64) -> f64| {
        let angle = |i: usize| angle(i / head, (i % head) % (head / 2), head);
        let values: Vec<f32> = (0..t * head).map(|i| f(angle(i)) as f32).collect();
        Tensor::<4>::from_data(TensorData::new(values, [1, 1, t, head]), &device)
    };
    // The quarter turn (x1, x2) -> (-x2, x1) as a product: its backward is one product too,
    // where slices and cat would write zeros over the whole tensor.
    let turned = x.clone().reshape([b * h * t, head]).matmul(quarter_turn(head, &device));
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
        let y = rotate(Tensor::<4>::from_floats(x, &Device::flex())).into_data();
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
        let (q, k) = (rotate(one.repeat_dim(2, 6)), rotate(two.repeat_dim(2, 6)));
        let scores = q.matmul(k.transpose()).into_data().try_to_vec::<f32>().unwrap();
        for i in 0..5 {
            let (here, next) = (scores[i * 6], scores[(i + 1) * 6 + 1]);
            assert!((here - next).abs() < 1e-4, "{here} {next}");
        }
    }
}
