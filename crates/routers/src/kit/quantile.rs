//! Quantiles of columns and rows. Burn sorts on the host, so on other devices the value of a rank is found
//! by bisection of the range of the values, which reads nothing back.

use burn::prelude::*;
use moe::kernels::on_flex;

/// The number of bisections of a range: more than the bits of a number in single precision.
const HALVINGS: usize = 64;

/// For each column of `[N, E]` a value that `share` of the N numbers exceed: halfway between the last
/// number that does and the next. `[E]`.
pub(crate) fn upper(x: Tensor<2>, share: f64) -> Tensor<1> {
    let [n, e] = x.dims();
    let above = (share * n as f64).round().clamp(1.0, n as f64) as usize;
    let [last, next] = at_ranks(x, 0, [above - 1, above.min(n - 1)]);
    ((last + next) / 2.0).reshape([e])
}

/// The value at `rank`, from 0, of each column in descending order. `[N, E] -> [E]`.
pub(crate) fn of_columns(x: Tensor<2>, rank: usize) -> Tensor<1> {
    let e = x.dims()[1];
    let [value] = at_ranks(x, 0, [rank]);
    value.reshape([e])
}

/// The value at `rank`, from 0, of each row in descending order. `[G, N] -> [G, 1]`.
pub(crate) fn at_rank(x: Tensor<2>, rank: usize) -> Tensor<2> {
    let [value] = at_ranks(x, 1, [rank]);
    value
}

/// The values at these ranks along an axis, in descending order.
fn at_ranks<const N: usize>(x: Tensor<2>, axis: usize, ranks: [usize; N]) -> [Tensor<2>; N] {
    if !on_flex(&x.device()) {
        return ranks.map(|rank| by_halving(&x, axis, rank));
    }
    let sorted = x.sort_descending(axis);
    ranks.map(|rank| sorted.clone().narrow(axis, rank, 1))
}

/// The least value that at most `rank` of the numbers along an axis exceed: the same as by sorting, except
/// that values closer than 2^-64 of the range may be confused.
fn by_halving(x: &Tensor<2>, axis: usize, rank: usize) -> Tensor<2> {
    let above = |bar: &Tensor<2>| x.clone().greater(bar.clone().expand(x.dims()));
    let (mut low, mut high) = (x.clone().min_dim(axis), x.clone().max_dim(axis));
    for _ in 0..HALVINGS {
        let middle = low.clone() + (high.clone() - low.clone()) / 2.0;
        let enough = above(&middle).float().sum_dim(axis).lower_equal_scalar(rank as f64);
        high = high.mask_where(enough.clone(), middle.clone());
        low = middle.mask_where(enough, low);
    }
    x.clone().mask_fill(above(&high), f32::NEG_INFINITY).max_dim(axis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, fill, values};
    use moe::kernels::{read_backs_of, without_kernels};

    #[test]
    fn halfway_between_the_last_above_and_the_next() {
        let x = [[1.0, 5.0], [4.0, 6.0], [3.0, 7.0], [2.0, 8.0]];
        let x = Tensor::<2>::from_floats(x, &Device::flex());
        close(&values(upper(x.clone(), 0.25)), &[3.5, 7.5]);
        close(&values(upper(x.clone(), 0.5)), &[2.5, 6.5]);
        close(&values(upper(x.clone(), 1.0)), &[1.0, 5.0]);
        close(&values(at_rank(x, 1)), &[1.0, 4.0, 3.0, 2.0]);
        close(&values(upper(Tensor::from_floats([[9.0]], &Device::flex()), 0.1)), &[9.0]);
    }

    #[test]
    fn by_halving_is_as_by_sorting_and_reads_nothing_back() {
        let (n, e) = (37, 5);
        let wide = fill(7, [n, e], 3.0);
        // Many ties, and numbers of very different magnitudes.
        for x in [
            wide.clone(),
            (wide.clone() * 2.0).round(),
            wide.clone() * wide.clone() * wide.abs().exp(),
        ] {
            for rank in [0, 1, 8, 17, 35, 36] {
                let sorted = of_columns(x.clone(), rank);
                let (found, read) =
                    read_backs_of(|| without_kernels(|| of_columns(x.clone(), rank)));
                assert_eq!((values(found), read), (values(sorted), 0), "rank {rank}");
            }
            let rows = x.swap_dims(0, 1);
            let found = without_kernels(|| at_rank(rows.clone(), 4));
            assert_eq!(values(found), values(at_rank(rows.clone(), 4)));
            let found = without_kernels(|| upper(rows.clone(), 0.4));
            assert_eq!(values(found), values(upper(rows, 0.4)));
        }
    }
}
