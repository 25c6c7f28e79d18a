//! Multi-head self-attention, fused: from queries, keys and values to the mixed values.
//!
//! Vaswani et al. *Attention Is All You Need*. NeurIPS 2017. <https://arxiv.org/abs/1706.03762>
//! Su et al. *RoFormer: Enhanced Transformer with Rotary Position Embedding*. 2021.
//! <https://arxiv.org/abs/2104.09864>
//!
//! ```text
//! Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V                    (1)
//! rotary: f(x, m) = x cos(m t) + turned(x) sin(m t)                    (34)
//! t_i = 10000^(-2i / d_k)
//! ```
//!
//! Differs from the paper: the two halves of a head are paired (i, i + d_k / 2) rather than
//! neighbours, as in GPT-NeoX and Llama; it is the same up to a fixed permutation.
//!
//! Nothing of the size T x T is kept for backward: a head's probabilities are made again, which costs
//! less than to write and read them.

mod autodiff;
mod kernel;
mod portable;

use burn::{backend::Dispatch, tensor::Tensor};

use crate::flex::takes;
use autodiff::FusedAttention;

/// How attention knows where a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Positions {
    /// It does not: the network adds positions elsewhere. Every token sees every other.
    Unordered,
    /// Rotary positions, and no token sees the ones after it.
    CausalRotary,
}

/// `[B, T, 3 D] -> [B, T, D]`: queries, keys and values beside each other, each of `heads` heads.
///
/// # Panics
/// If the heads do not divide D, or with rotary positions not into an even width each.
pub fn attention(qkv: Tensor<3>, heads: usize, positions: Positions) -> Tensor<3> {
    let [_, _, width] = qkv.dims();
    assert!(heads > 0 && width.is_multiple_of(3 * heads), "{heads} heads divide {width} / 3");
    let head = width / 3 / heads;
    assert!(positions == Positions::Unordered || head.is_multiple_of(2), "{head} is even");
    if !takes(&qkv) {
        return portable::attention(qkv, heads, positions);
    }
    let qkv = qkv.into_dispatch();
    Tensor::from_dispatch(<Dispatch as FusedAttention>::fused_attention(qkv, heads, positions))
}

/// The angle by which the numbers (i, i + head / 2) of a head turn at a position.
fn angle(position: usize, pair: usize, head: usize) -> f64 {
    position as f64 * 10_000_f64.powf(-2.0 * pair as f64 / head as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution, TensorData};

    fn random(shape: [usize; 3], device: &Device) -> Tensor<3> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
    }

    fn near(a: TensorData, b: TensorData) {
        for (a, b) in a.iter::<f32>().zip(b.iter::<f32>()) {
            assert!((a - b).abs() <= 2e-5 * b.abs().max(1.0), "{a} {b}");
        }
    }

    #[test]
    fn it_is_the_composition_forward_and_backward() {
        let device = Device::flex().autodiff();
        for (positions, shape, heads) in [
            (Positions::Unordered, [2, 17, 36], 3),
            (Positions::CausalRotary, [3, 33, 24], 2),
            (Positions::CausalRotary, [1, 1, 12], 1),
        ] {
            let [b, t, width] = shape;
            let weights = random([b, t, width / 3], &device);
            let qkv = random(shape, &device);
            let run = |f: fn(Tensor<3>, usize, Positions) -> Tensor<3>| {
                let qkv = qkv.clone().detach().require_grad();
                let y = f(qkv.clone(), heads, positions);
                let grads = (y.clone() * weights.clone()).sum().backward();
                (y.into_data(), qkv.grad(&grads).unwrap().into_data())
            };
            let (fast, slow) = (run(attention), run(portable::attention));
            near(fast.0, slow.0);
            near(fast.1, slow.1);
        }
    }

    #[test]
    fn no_token_sees_later_ones() {
        let device = Device::flex();
        let qkv = random([1, 9, 24], &device);
        let later = qkv.clone().slice_assign([0..1, 5..9, 0..24], random([1, 4, 24], &device));
        let first = |qkv| attention(qkv, 2, Positions::CausalRotary).narrow(1, 0, 5).into_data();
        assert_eq!(first(qkv), first(later));
    }

    #[test]
    fn large_scores_give_no_infinity() {
        let qkv = random([1, 8, 12], &Device::flex()) * 1e4;
        let y = attention(qkv, 1, Positions::Unordered);
        assert!(y.into_data().iter::<f32>().all(f32::is_finite));
    }
}
