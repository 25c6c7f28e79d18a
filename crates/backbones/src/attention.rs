//! Multi-head self-attention, with or without rotary positions and causal mask.
//!
//! Vaswani et al. *Attention Is All You Need*. NeurIPS 2017. <https://arxiv.org/abs/1706.03762>
//! Su et al. *RoFormer: Enhanced Transformer with Rotary Position Embedding*. 2021.
//! <https://arxiv.org/abs/2104.09864>
//!
//! Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V                    (1)
//! rotary: f(x, m) = x cos(m t) + rotate(x) sin(m t)                    (34)
//! t_i = 10000^(-2i / d_k)
//!
//! Differs from the paper: the two halves of a head are paired (i, i + d_k / 2) rather than
//! neighbours, as in GPT-NeoX and Llama; it is the same up to a fixed permutation.

use burn::{module::Module, nn::Linear, prelude::*, tensor::activation::softmax};
use moe::Init;

/// How attention knows where a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// It does not: the network adds positions elsewhere. Every token sees every other.
    Unordered,
    /// Rotary positions, and no token sees the ones after it.
    CausalRotary,
}

/// The sizes of an attention layer.
#[derive(Clone, Copy, Debug)]
pub struct AttentionConfig {
    /// D.
    pub width: usize,
    /// Heads; they divide the width, and with rotary positions into an even width each.
    pub heads: usize,
    /// How it knows where a token stands.
    pub positions: Positions,
    /// Do the linear maps have biases?
    pub bias: bool,
}

/// Multi-head self-attention.
#[derive(Module, Debug)]
pub struct Attention {
    qkv: Linear,
    output: Linear,
    heads: usize,
    #[module(skip)]
    positions: Positions,
}

impl Attention {
    /// Do the heads divide the width?
    pub fn check(width: usize, heads: usize, positions: Positions) -> Result<(), String> {
        if heads == 0 || width == 0 || !width.is_multiple_of(heads) {
            return Err(format!("heads = {heads} does not divide width = {width}"));
        }
        if positions == Positions::CausalRotary && !(width / heads).is_multiple_of(2) {
            let head = width / heads;
            return Err(format!("width / heads = {head} is odd; rotary positions need it even"));
        }
        Ok(())
    }

    /// A fresh layer.
    pub fn new(config: &AttentionConfig, init: &Init) -> Self {
        Self {
            qkv: init.projection("qkv", [config.width, config.width, 3], config.bias),
            output: init.projection("output", [config.width, config.width, 1], config.bias),
            heads: config.heads,
            positions: config.positions,
        }
    }

    /// `[B, T, D] -> [B, T, D]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [b, t, d] = x.dims();
        let head = d / self.heads;
        // [B, T, 3 D] -> 3 x [B, heads, T, head]
        let qkv = self.qkv.forward(x).reshape([b, t, 3, self.heads, head]).permute([2, 0, 3, 1, 4]);
        let [q, k, v] = [0, 1, 2].map(|i| qkv.clone().narrow(0, i, 1).squeeze_dim::<4>(0));
        let (q, k) = match self.positions {
            Positions::Unordered => (q, k),
            Positions::CausalRotary => (rotate(q), rotate(k)),
        };
        let scores = q.matmul(k.transpose()) / (head as f64).sqrt();
        let scores = match self.positions {
            Positions::Unordered => scores,
            Positions::CausalRotary => scores + hide_later(t, &v.device()),
        };
        let mixed = softmax(scores, 3).matmul(v); // (1)
        self.output.forward(mixed.swap_dims(1, 2).reshape([b, t, d]))
    }

    /// Floating-point operations for one token among `tokens`.
    pub fn flops(&self, tokens: usize) -> f64 {
        let [d, _] = self.output.weight.lazy_shape().dims();
        // Three maps in, one out; then scores and mixture with every token.
        (2 * 4 * d * d + 2 * 2 * tokens * d) as f64
    }
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
    let angle = |i: usize| {
        let (position, pair) = (i / head, (i % head) % (head / 2));
        position as f64 * 10_000_f64.powf(-2.0 * pair as f64 / head as f64)
    };
    let table = |f: fn(f64) -> f64| {
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

    #[test]
    fn heads_must_divide() {
        let err = Attention::check(10, 4, Positions::Unordered).unwrap_err();
        assert_eq!(err, "heads = 4 does not divide width = 10");
        assert!(Attention::check(12, 4, Positions::CausalRotary).unwrap_err().contains("odd"));
        assert!(Attention::check(12, 4, Positions::Unordered).is_ok());
    }
}
