//! Attention masks, which are added to scores: 0 or minus infinity.

use burn::prelude::*;

/// The causal mask, `[1, 1, T, before + T]`: each of T tokens attends to itself and to all earlier tokens,
/// including `before` tokens before the first. None if that is everything.
pub fn causal_mask(before: usize, tokens: usize, device: &Device) -> Option<Tensor<4>> {
    let all = before + tokens;
    let entry = |i: usize| hidden(i % all > before + i / all);
    let mask: Vec<f32> = (0..tokens * all).map(entry).collect();
    (tokens > 1).then(|| tensor(mask, [1, 1, tokens, all], device))
}

/// The padding mask, `[B, 1, 1, copies S]`: for sources of S tokens, `copies` times side by side, the first
/// `counts` are visible. None if all are.
///
/// # Panics
/// If a source has no token, or more than S.
pub fn padding_mask(
    counts: &[usize],
    tokens: usize,
    copies: usize,
    device: &Device,
) -> Option<Tensor<4>> {
    let real = counts.iter().all(|count| (1..=tokens).contains(count));
    assert!(real, "sources must have 1 to {tokens} tokens, found {counts:?}");
    if counts.iter().all(|count| *count == tokens) {
        return None;
    }
    let row = |count: &usize| {
        let one = (0..tokens).map(|at| hidden(at >= *count)).collect::<Vec<f32>>();
        one.repeat(copies)
    };
    let mask: Vec<f32> = counts.iter().flat_map(row).collect();
    Some(tensor(mask, [counts.len(), 1, 1, copies * tokens], device))
}

/// The sum of a mask and other terms of the scores, `[1, heads, T, S]`.
pub(super) fn both(mask: Option<Tensor<4>>, other: Option<Tensor<4>>) -> Option<Tensor<4>> {
    match (mask, other) {
        (Some(mask), Some(other)) => Some(other + mask),
        (mask, other) => mask.or(other),
    }
}

fn hidden(is: bool) -> f32 {
    if is { f32::NEG_INFINITY } else { 0.0 }
}

fn tensor(values: Vec<f32>, shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values, shape), &device.clone().inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO: f32 = f32::NEG_INFINITY;

    fn values(mask: Option<Tensor<4>>) -> Vec<f32> {
        mask.unwrap().into_data().try_to_vec().unwrap()
    }

    #[test]
    fn tokens_see_what_went_before_them() {
        let device = Device::flex();
        assert_eq!(values(causal_mask(0, 2, &device)), [0.0, NO, 0.0, 0.0]);
        assert_eq!(values(causal_mask(1, 2, &device)), [0.0, 0.0, NO, 0.0, 0.0, 0.0]);
        assert!(causal_mask(5, 1, &device).is_none());
    }

    #[test]
    fn padding_is_hidden_in_each_copy() {
        let device = Device::flex();
        let mask = values(padding_mask(&[2, 1], 2, 2, &device));
        assert_eq!(mask, [0.0, 0.0, 0.0, 0.0, 0.0, NO, 0.0, NO]);
        assert!(padding_mask(&[2, 2], 2, 3, &device).is_none());
    }

    #[test]
    #[should_panic(expected = "sources must have 1 to 2 tokens, found [0, 1]")]
    fn a_source_has_a_token() {
        padding_mask(&[0, 1], 2, 1, &Device::flex());
    }
}
