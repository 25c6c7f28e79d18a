//! Multi-head self-attention, fused: from queries, keys and values to the mixed values.
//!
//! Vaswani et al. *Attention Is All You Need*. NeurIPS 2017. <https://arxiv.org/abs/1706.03762>
//! Su et al. *RoFormer: Enhanced Transformer with Rotary Position Embedding*. 2021.
//! <https://arxiv.org/abs/2104.09864>
//! Ainslie et al. *GQA: Training Generalized Multi-Query Transformer Models from Multi-Head
//! Checkpoints*. EMNLP 2023. <https://arxiv.org/abs/2305.13245>
//!
//! ```text
//! Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V                    (1)
//! rotary: f(x, m) = x cos(m t) + turned(x) sin(m t)                    (34)
//! t_i = theta^(-2i / d_k), theta = 10000
//! grouped queries: heads / kv_heads neighbouring heads share a head of keys and values
//! ```
//!
//! Differs from the paper: the two halves of a head are paired (i, i + d_k / 2) rather than
//! neighbours, as in GPT-NeoX and Llama; it is the same up to a fixed permutation.
//!
//! Nothing of the size T x T is kept for backward: a head's probabilities are computed again, which takes
//! less time than writing and reading them.

mod autodiff;
mod kernel;
mod key_values;
mod portable;

use burn::{backend::Dispatch, tensor::Tensor};

use crate::flex::takes;
use autodiff::FusedAttention;
pub use key_values::{KeyValues, causal_mask};

/// The positions of attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AttentionPositions {
    /// No positions: every token attends to every other. The network may add positions elsewhere.
    Unordered,
    /// Rotary positions with a causal mask: a token attends to itself and to the tokens before it.
    CausalRotary {
        /// The base of the angles.
        theta: f64,
    },
}

impl AttentionPositions {
    /// Rotary positions as first published.
    pub const ROTARY: Self = Self::CausalRotary { theta: 10_000.0 };
}

/// The heads and positions of attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionForm {
    /// Heads of queries.
    pub heads: usize,
    /// Heads of keys and values; they divide the heads of queries.
    pub kv_heads: usize,
    /// The positions.
    pub positions: AttentionPositions,
    /// With rotary positions: the number of tokens that a token attends to, the last of which is itself; at
    /// least 1.
    pub span: usize,
}

impl AttentionForm {
    /// As many heads of keys and values as heads of queries, and a span without a limit.
    pub fn full(heads: usize, positions: AttentionPositions) -> Self {
        Self { heads, kv_heads: heads, positions, span: usize::MAX }
    }

    /// The width of one head, where the queries, keys and values of a token have `line` numbers together.
    ///
    /// # Panics
    /// If the number of heads does not divide `line`, if the span is 0, or if the width is odd with rotary
    /// positions.
    fn head(self, line: usize) -> usize {
        let Self { heads, kv_heads, positions, span } = self;
        let all = heads + 2 * kv_heads;
        let fit = kv_heads > 0 && heads.is_multiple_of(kv_heads) && line.is_multiple_of(all);
        assert!(fit, "{heads} heads, and {kv_heads} of keys and values, must divide {line}");
        let head = line / all;
        assert!(
            positions == AttentionPositions::Unordered || head.is_multiple_of(2),
            "the head width {head} must be even"
        );
        assert!(span > 0, "the span must be at least 1");
        head
    }
}

/// `[B, T, D + 2 D'] -> [B, T, D]`: queries, keys and values side by side. D' is D if there are as many
/// heads of keys as of queries.
///
/// # Panics
/// If the number of heads does not divide the numbers of a token, if the span is 0, or if the width of a head
/// is odd with rotary positions.
pub fn attention(qkv: Tensor<3>, form: AttentionForm) -> Tensor<3> {
    form.head(qkv.dims()[2]);
    if !takes(&qkv) {
        return portable::attention(qkv, form);
    }
    let qkv = qkv.into_dispatch();
    Tensor::from_dispatch(<Dispatch as FusedAttention>::fused_attention(qkv, form))
}

/// [`attention`] for tokens that follow others, with rotary positions: `memory` has the keys and values of
/// the tokens before, none at first, and afterwards also those of these tokens.
///
/// # Panics
/// As [`attention`]; with unordered positions.
pub fn attention_after(
    qkv: Tensor<3>,
    form: AttentionForm,
    memory: &mut Option<KeyValues>,
) -> Tensor<3> {
    form.head(qkv.dims()[2]);
    assert!(form.positions != AttentionPositions::Unordered, "tokens must have positions");
    portable::attention_after(qkv, form, memory)
}

/// The angle by which the pair (i, i + head / 2) of a head is rotated at a position.
fn angle(position: usize, pair: usize, head: usize, theta: f64) -> f64 {
    position as f64 * theta.powf(-2.0 * pair as f64 / head as f64)
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

    /// 4 and 2 heads, 6 and 3, and so on.
    fn grouped(heads: usize, group: usize) -> AttentionForm {
        AttentionForm {
            kv_heads: heads / group,
            ..AttentionForm::full(heads, AttentionPositions::ROTARY)
        }
    }

    #[test]
    fn it_is_the_composition_forward_and_backward() {
        let device = Device::flex().autodiff();
        let far = AttentionPositions::CausalRotary { theta: 600_000.0 };
        for (form, shape) in [
            (AttentionForm::full(3, AttentionPositions::Unordered), [2, 17, 36]),
            (AttentionForm::full(2, AttentionPositions::ROTARY), [3, 33, 24]),
            (AttentionForm::full(1, AttentionPositions::ROTARY), [1, 1, 12]),
            (AttentionForm::full(2, far), [3, 33, 24]),
            (grouped(4, 2), [2, 19, 8 * 4]),
            (grouped(6, 6), [2, 19, 8 * 2]),
            // Several blocks of queries and keys, the last of which is not full; sums of more than 256.
            (AttentionForm::full(1, AttentionPositions::Unordered), [1, 70, 18]),
            (grouped(2, 2), [1, 300, 16]),
            (AttentionForm { span: 1, ..grouped(2, 2) }, [1, 40, 16]),
            (AttentionForm { span: 5, ..grouped(2, 2) }, [2, 70, 16]),
            (AttentionForm { span: 40, ..grouped(2, 1) }, [1, 101, 12]),
        ] {
            let [b, t, line] = shape;
            let weights = random([b, t, form.heads * form.head(line)], &device);
            let qkv = random(shape, &device);
            let run = |f: fn(Tensor<3>, AttentionForm) -> Tensor<3>| {
                let qkv = qkv.clone().detach().require_grad();
                let y = f(qkv.clone(), form);
                let grads = (y.clone() * weights.clone()).sum().backward();
                (y.into_data(), qkv.grad(&grads).unwrap().into_data())
            };
            let (fast, slow) = (run(attention), run(portable::attention));
            near(fast.0, slow.0);
            near(fast.1, slow.1);
        }
    }

    #[test]
    fn heads_that_share_keys_are_heads_with_the_same_keys() {
        let qkv = random([2, 5, 8 * 4], &Device::flex());
        let part = |start, width| qkv.clone().narrow(2, start, width);
        // Four heads of queries; heads of keys, then of values, twice each.
        let parts =
            [(0, 16), (16, 4), (16, 4), (20, 4), (20, 4), (24, 4), (24, 4), (28, 4), (28, 4)];
        let whole = Tensor::cat(parts.map(|(start, width)| part(start, width)).into(), 2);
        let full = attention(whole, AttentionForm::full(4, AttentionPositions::ROTARY));
        near(attention(qkv, grouped(4, 2)).into_data(), full.into_data());
    }

    #[test]
    fn tokens_that_follow_others_see_what_they_would_have_seen_among_them() {
        let (form, qkv) = (grouped(4, 2), random([2, 11, 8 * 4], &Device::flex()));
        let whole = attention(qkv.clone(), form);
        let mut memory = None;
        let parts = [(0, 4), (4, 1), (5, 1), (6, 5)];
        let one = |(start, n)| attention_after(qkv.clone().narrow(1, start, n), form, &mut memory);
        near(Tensor::cat(parts.map(one).into(), 1).into_data(), whole.into_data());
    }

    #[test]
    fn a_token_sees_as_far_as_its_span() {
        let (form, qkv) = (grouped(2, 1), random([1, 11, 24], &Device::flex()));
        let near_form = AttentionForm { span: 3, ..form };
        let mut memory = None;
        let parts = [(0, 6), (6, 1), (7, 4)];
        let one =
            |(start, n)| attention_after(qkv.clone().narrow(1, start, n), near_form, &mut memory);
        let banded = Tensor::cat(parts.map(one).into(), 1);
        near(attention(qkv.clone(), near_form).into_data(), banded.clone().into_data());
        // The output depends only on distances, so each token may equally be the last of three.
        for last in 2..11 {
            let three = attention(qkv.clone().narrow(1, last - 2, 3), form).narrow(1, 2, 1);
            near(banded.clone().narrow(1, last, 1).into_data(), three.into_data());
        }
    }

    #[test]
    fn no_token_sees_later_ones() {
        let device = Device::flex();
        let qkv = random([1, 9, 24], &device);
        let later = qkv.clone().slice_assign([0..1, 5..9, 0..24], random([1, 4, 24], &device));
        let form = AttentionForm::full(2, AttentionPositions::ROTARY);
        let first = |qkv| attention(qkv, form).narrow(1, 0, 5).into_data();
        assert_eq!(first(qkv), first(later));
    }

    #[test]
    fn large_scores_give_no_infinity() {
        let qkv = random([1, 8, 12], &Device::flex()) * 1e4;
        let y = attention(qkv, AttentionForm::full(1, AttentionPositions::Unordered));
        assert!(y.into_data().iter::<f32>().all(f32::is_finite));
    }
}
