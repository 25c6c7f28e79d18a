//! Multi-head attention from one stream to another, or to itself.
//!
//! Vaswani et al. *Attention Is All You Need*. NeurIPS 2017. <https://arxiv.org/abs/1706.03762>
//!
//! head_i = softmax(Q_i K_i^T / sqrt(d) + mask) V_i          (1)
//! MultiHead = [head_1, ..., head_h] W_O                     (section 3.2.2)
//!
//! The width of queries, keys and values together, `inner`, need not be that of the stream: the number of
//! heads only determines how the inner width is cut, so d = inner / heads (as in HAT and AutoMoE).
//!
//! T5 leaves out the root of d in (1): its initial weights compensate for it.

use burn::{module::Module, nn::Linear, prelude::*};
use kernels::{linear_layer, matmul, softmax};
use moe::Init;

/// Keys and values of the tokens that are attended to, `[B, S, inner]` each.
#[derive(Clone, Debug)]
pub struct KeysValues {
    /// The vectors that queries are compared with.
    pub keys: Tensor<3>,
    /// The vectors that are mixed.
    pub values: Tensor<3>,
}

impl KeysValues {
    /// The number of tokens, S.
    pub fn tokens(&self) -> usize {
        self.keys.dims()[1]
    }

    /// The concatenation of these tokens and `more`.
    pub fn then(self, more: KeysValues) -> Self {
        let cat = |a, b| Tensor::cat(vec![a, b], 1);
        Self { keys: cat(self.keys, more.keys), values: cat(self.values, more.values) }
    }

    /// The sequences with these indices, in this order.
    pub fn select(&self, rows: &Tensor<1, Int>) -> Self {
        let select = |x: &Tensor<3>| x.clone().select(0, rows.clone());
        Self { keys: select(&self.keys), values: select(&self.values) }
    }
}

/// Attention (1) of all heads: queries `[B, T, inner]` to `[B, T, inner]`; `scaled` is whether scores are
/// divided by the root of d. `mask` is added to the scores `[B, heads, T, S]`; its axes have these sizes or
/// 1.
///
/// # Panics
/// If `heads` does not divide the inner width.
pub fn multi_head(
    queries: Tensor<3>,
    seen: &KeysValues,
    (heads, scaled): (usize, bool),
    mask: Option<Tensor<4>>,
) -> Tensor<3> {
    let [b, t, inner] = queries.dims();
    assert!(heads > 0 && inner.is_multiple_of(heads), "{heads} heads must divide {inner}");
    let split = |x: Tensor<3>| {
        let [b, n, _] = x.dims();
        x.reshape([b, n, heads, inner / heads]).swap_dims(1, 2)
    };
    let scores = matmul(split(queries), split(seen.keys.clone()).transpose());
    let scores = if scaled { scores / ((inner / heads) as f64).sqrt() } else { scores };
    let scores = match mask {
        Some(mask) => scores + mask,
        None => scores,
    };
    let mixed = matmul(softmax(scores, 3), split(seen.values.clone()));
    mixed.swap_dims(1, 2).reshape([b, t, inner])
}

/// The sizes of multi-head attention.
#[derive(Clone, Copy, Debug)]
pub struct MultiHeadConfig {
    /// The width of the stream that makes the queries, and of the result.
    pub width: usize,
    /// The width of the stream that is attended to.
    pub source_width: usize,
    /// The width of queries, keys and values; the heads divide it.
    pub inner: usize,
    /// Heads.
    pub heads: usize,
    /// Whether the maps have biases.
    pub bias: bool,
    /// Whether scores are divided by the root of d.
    pub scaled: bool,
}

/// Multi-head attention.
#[derive(Module, Debug)]
pub struct MultiHead {
    /// `[width, inner]`.
    pub query: Linear,
    /// `[source_width, inner]`.
    pub key: Linear,
    /// `[source_width, inner]`.
    pub value: Linear,
    /// `[inner, width]`.
    pub output: Linear,
    /// Heads.
    pub heads: usize,
    /// Whether scores are divided by the root of d.
    pub scaled: bool,
}

impl MultiHead {
    /// A fresh layer.
    pub fn new(config: &MultiHeadConfig, init: &Init) -> Self {
        let MultiHeadConfig { width, source_width, inner, heads, bias, scaled } = *config;
        let map = |name: &str, d_in, d_out| init.projection(name, [d_in, d_out, 1], bias);
        Self {
            query: map("query", width, inner),
            key: map("key", source_width, inner),
            value: map("value", source_width, inner),
            output: map("output", inner, width),
            heads,
            scaled,
        }
    }

    /// The keys and values of a stream `[B, S, source_width]`.
    pub fn keys_values(&self, source: Tensor<3>) -> KeysValues {
        let keys = linear_layer(&self.key, source.clone());
        KeysValues { keys, values: linear_layer(&self.value, source) }
    }

    /// The output of attention for the stream `x`, `[B, T, width]`, over the tokens `seen`: `[B, T, width]`.
    pub fn forward(&self, x: Tensor<3>, seen: &KeysValues, mask: Option<Tensor<4>>) -> Tensor<3> {
        let queries = linear_layer(&self.query, x);
        linear_layer(&self.output, multi_head(queries, seen, (self.heads, self.scaled), mask))
    }

    /// Floating-point operations for `tokens` tokens that attend to `source` tokens each: those of the maps
    /// of queries and outputs, of keys and values, and of scores and mixture.
    pub fn flops(&self, tokens: usize, source: usize) -> f64 {
        let elements = |map: &Linear| map.weight.lazy_shape().num_elements();
        let asking = elements(&self.query) + elements(&self.output);
        let seen = elements(&self.key) + elements(&self.value);
        let [_, inner] = self.query.weight.lazy_shape().dims();
        (2 * (tokens * asking + source * seen) + 4 * tokens * source * inner) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::fill;
    use kernels::{AttentionForm, AttentionPositions, attention};

    fn numbers(salt: u64, shape: [usize; 3]) -> Tensor<3> {
        let n = shape.iter().product();
        Tensor::from_data(TensorData::new(fill(salt, n, 2.0), shape), &Device::flex())
    }

    #[test]
    fn of_a_stream_to_itself_it_is_the_fused_attention() {
        let qkv = numbers(1, [2, 5, 24]);
        let form = AttentionForm::full(2, AttentionPositions::Unordered);
        let part = |i: usize| qkv.clone().narrow(2, 8 * i, 8);
        let seen = KeysValues { keys: part(1), values: part(2) };
        let gap = multi_head(part(0), &seen, (2, true), None) - attention(qkv.clone(), form);
        assert!(gap.abs().max().into_scalar::<f32>() < 1e-6);
    }

    #[test]
    fn what_a_mask_hides_is_as_if_it_were_not_there() {
        let (q, keys, values) =
            (numbers(1, [1, 2, 6]), numbers(2, [1, 4, 6]), numbers(3, [1, 4, 6]));
        let all = KeysValues { keys, values };
        let first = |x: &Tensor<3>| x.clone().narrow(1, 0, 3);
        let some = KeysValues { keys: first(&all.keys), values: first(&all.values) };
        let mask = super::super::mask::padding_mask(&[3], 4, 1, &Device::flex());
        let heads = (3, true);
        let gap = multi_head(q.clone(), &all, heads, mask) - multi_head(q, &some, heads, None);
        assert!(gap.abs().max().into_scalar::<f32>() < 1e-6);
    }

    #[test]
    fn without_the_root_scores_are_as_of_longer_queries() {
        let (q, keys, values) =
            (numbers(1, [1, 2, 8]), numbers(2, [1, 4, 8]), numbers(3, [1, 4, 8]));
        let all = KeysValues { keys, values };
        let plain = multi_head(q.clone(), &all, (2, false), None);
        let longer = multi_head(q.clone() * 2.0, &all, (2, true), None); // heads of 4 numbers
        assert!((plain.clone() - longer).abs().max().into_scalar::<f32>() < 1e-6);
        let other = multi_head(q, &all, (2, true), None);
        assert!((plain - other).abs().max().into_scalar::<f32>() > 1e-3);
    }

    #[test]
    fn flops_by_hand() {
        let config = MultiHeadConfig {
            width: 4,
            source_width: 6,
            inner: 8,
            heads: 2,
            bias: true,
            scaled: true,
        };
        let layer = MultiHead::new(&config, &Init::new(0, &Device::flex()));
        // Three tokens: maps 4 x 8 and 8 x 4; five of a source: two maps 6 x 8; 15 pairs of 8 numbers.
        let flops = layer.flops(3, 5);
        assert_eq!(flops, (2 * (3 * 64 + 5 * 96) + 4 * 15 * 8) as f64);
        let seen = layer.keys_values(numbers(1, [2, 5, 6]));
        assert_eq!(layer.forward(numbers(2, [2, 3, 4]), &seen, None).dims(), [2, 3, 4]);
    }
}
