//! Attention with sliced widths: the maps of queries, keys and values keep all their outputs, except in a
//! bottleneck (`bottleneck.rs`), which the heads divide among themselves.

use backbones::seq2seq::{KeysValues, MultiHead, multi_head};
use burn::prelude::*;

use super::slices::{cut_linear, front_linear};

/// The keys and values of a stream `[B, S, d_source]`, each of the width `inner`.
pub(super) fn keys_values(attention: &MultiHead, source: Tensor<3>, inner: usize) -> KeysValues {
    let keys = front_linear(&attention.key, source.clone(), inner);
    KeysValues { keys, values: front_linear(&attention.value, source, inner) }
}

/// The output of attention for a stream `[B, T, d]`.
pub(super) fn attend(
    attention: &MultiHead,
    x: Tensor<3>,
    seen: &KeysValues,
    heads: usize,
    mask: Option<Tensor<4>>,
) -> Tensor<3> {
    let ([.., d], [.., inner]) = (x.dims(), seen.keys.dims());
    let queries = front_linear(&attention.query, x, inner);
    front_linear(&attention.output, multi_head(queries, seen, (heads, attention.scaled), mask), d)
}

/// The same attention with only these widths of the stream, of its source and of queries, keys and values.
pub(super) fn cut_attention(
    attention: &MultiHead,
    [width, source, inner]: [usize; 3],
) -> MultiHead {
    MultiHead {
        query: cut_linear(&attention.query, [width, inner]),
        key: cut_linear(&attention.key, [source, inner]),
        value: cut_linear(&attention.value, [source, inner]),
        output: cut_linear(&attention.output, [inner, width]),
        heads: attention.heads,
        scaled: attention.scaled,
    }
}

/// Floating-point operations for `tokens` of width `d` that attend to `source` tokens of width `d_source`.
pub(super) fn attention_flops(
    [tokens, d]: [usize; 2],
    [source, d_source]: [usize; 2],
    inner: usize,
) -> f64 {
    (4 * tokens * d * inner + 4 * source * d_source * inner + 4 * tokens * source * inner) as f64
}

/// The number of parameters of attention, with biases.
pub(super) fn attention_params(d: usize, d_source: usize, inner: usize) -> f64 {
    (2 * d * inner + 2 * d_source * inner + 3 * inner + d) as f64
}
