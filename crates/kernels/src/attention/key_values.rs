//! The keys and values of earlier tokens, and the mask of those that a token attends to.

use burn::tensor::{Device, Tensor, TensorData};

/// The keys and values of the tokens before.
#[derive(Clone, Debug)]
pub struct KeyValues {
    /// Keys with positions applied, `[B, kv_heads, S, d]`.
    pub keys: Tensor<4>,
    /// Values, `[B, kv_heads, S, d']`.
    pub values: Tensor<4>,
    /// The number of all tokens before, including those whose keys are not kept.
    seen: usize,
}

impl KeyValues {
    /// The number of earlier tokens, 0 without any.
    pub fn seen(before: Option<&Self>) -> usize {
        before.map_or(0, |before| before.seen)
    }

    /// Appends the keys `[B, kv_heads, T, d]` and values `[B, kv_heads, T, d']` of the tokens that follow.
    ///
    /// # Panics
    /// If their shapes differ from those before in more than the number of tokens.
    pub fn joined(before: Option<Self>, keys: Tensor<4>, values: Tensor<4>) -> Self {
        let [_, _, seen, _] = keys.dims();
        match before {
            None => Self { keys, values, seen },
            Some(before) => Self {
                keys: Tensor::cat(vec![before.keys, keys], 2),
                values: Tensor::cat(vec![before.values, values], 2),
                seen: before.seen + seen,
            },
        }
    }

    /// The keys and values of the last `span` tokens.
    pub fn last(self, span: usize) -> Self {
        let [_, _, kept, _] = self.keys.dims();
        let start = kept.saturating_sub(span);
        let last = |x: Tensor<4>| x.narrow(2, start, kept - start);
        Self { keys: last(self.keys), values: last(self.values), seen: self.seen }
    }
}

/// `[1, 1, T, S]` for the last T of S tokens: 0 for the tokens that a token attends to, itself and the
/// `span - 1` before it; minus infinity for the others.
pub fn causal_mask([t, s]: [usize; 2], span: usize, device: &Device) -> Tensor<4> {
    let entry = |i: usize| {
        let (row, column) = (i / s + s - t, i % s);
        let seen = column <= row && column.saturating_add(span) > row;
        if seen { 0.0 } else { f32::NEG_INFINITY }
    };
    let mask: Vec<f32> = (0..t * s).map(entry).collect();
    Tensor::from_data(TensorData::new(mask, [1, 1, t, s]), &device.clone().inner())
}
