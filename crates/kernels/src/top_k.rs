//! The indices of the largest numbers.

use burn::tensor::{Int, IntDType, Tensor, TensorData};

use crate::{flex::takes, read_back::read_back};

/// The indices of the `k` largest numbers along the last axis, largest first: `[A, B, N] -> [A, B, k]`. Of
/// tied numbers the first wins.
///
/// # Panics
/// If `k` is larger than N.
pub fn top_k_indices(scores: Tensor<3>, k: usize) -> Tensor<3, Int> {
    let [a, b, n] = scores.dims();
    assert!(k <= n, "cannot choose {k} of {n}");
    if !takes(&scores) || k == 0 {
        return portable(scores, k);
    }
    let device = scores.device();
    let scores = read_back(scores);
    let mut picks = vec![0; a * b * k];
    let lines = scores.as_slice::<f32>().expect("the scores must be f32").chunks_exact(n);
    for (line, picks) in lines.zip(picks.chunks_exact_mut(k)) {
        pick(line, picks);
    }
    Tensor::from_data(TensorData::new(picks, [a, b, k]), &device)
}

/// Finds the places of the largest numbers of a line, which are kept in order while the line is read once.
fn pick(line: &[f32], picks: &mut [i32]) {
    let last = picks.len() - 1;
    let beats = |x: f32, pick: i32| x > line[pick as usize];
    for (i, x) in line.iter().enumerate() {
        if i <= last || beats(*x, picks[last]) {
            let mut place = i.min(last);
            while place > 0 && beats(*x, picks[place - 1]) {
                picks[place] = picks[place - 1];
                place -= 1;
            }
            picks[place] = i as i32;
        }
    }
}

fn portable(scores: Tensor<3>, k: usize) -> Tensor<3, Int> {
    let [a, b, n] = scores.dims();
    let mut left = scores.detach();
    let class = Tensor::<1, Int>::arange(0..n as i64, &left.device()).reshape([1, 1, n]);
    let mut picks = Vec::with_capacity(k);
    for _ in 0..k {
        let best = left.clone().argmax(2).cast(IntDType::I32);
        left = left.mask_fill(class.clone().equal(best.clone()), f32::NEG_INFINITY);
        picks.push(best);
    }
    match picks.is_empty() {
        true => Tensor::zeros([a, b, 0], &left.device()),
        false => Tensor::cat(picks, 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;
    use proptest::prelude::*;

    fn values(indices: Tensor<3, Int>) -> Vec<i64> {
        indices.into_data().iter::<i64>().collect()
    }

    proptest! {
        #[test]
        fn it_is_the_composition_among_many_equals_too(
            x in prop::collection::vec((-4_i8..4).prop_map(f32::from), 2 * 3 * 8),
            k in 1_usize..=8,
        ) {
            let x = Tensor::<3>::from_data(TensorData::new(x, [2, 3, 8]), &Device::flex());
            prop_assert_eq!(values(top_k_indices(x.clone(), k)), values(portable(x, k)));
        }
    }

    #[test]
    fn other_views_and_what_is_tracked_are_read_right() {
        let x = Tensor::<3>::from_floats([[[1.0, 5.0], [4.0, 2.0], [3.0, 3.0]]], &Device::flex());
        assert_eq!(values(top_k_indices(x.clone().swap_dims(1, 2), 2)), [1, 2, 0, 2]);
        let tracked = x.autodiff().require_grad();
        assert_eq!(values(top_k_indices(tracked, 1)), [1, 0, 0]);
    }
}
