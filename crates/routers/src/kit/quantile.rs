//! Quantiles of columns.

use burn::prelude::*;

/// For each column of `[N, E]` a value that `share` of the N numbers exceed: halfway between the
/// last that does and the next. `[E]`.
pub(crate) fn upper(x: Tensor<2>, share: f64) -> Tensor<1> {
    let [n, e] = x.dims();
    let sorted = x.sort_descending(0);
    let above = (share * n as f64).round().clamp(1.0, n as f64) as usize;
    let last = sorted.clone().narrow(0, above - 1, 1);
    let next = sorted.narrow(0, above.min(n - 1), 1);
    ((last + next) / 2.0).reshape([e])
}

/// The value at `rank`, from 0, of each row in descending order. `[G, N] -> [G, 1]`.
pub(crate) fn at_rank(x: Tensor<2>, rank: usize) -> Tensor<2> {
    x.sort_descending(1).narrow(1, rank, 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{close, values};

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
}
