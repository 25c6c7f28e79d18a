//! The nearest training example, and its label, by the distance of raw values.

use burn::prelude::*;

/// The number of examples compared at once.
const ROWS: usize = 256;

/// The share of `test` `[N, D]` whose nearest row of `train` `[M, D]` has the right label. The first of
/// equally near rows counts.
pub(crate) fn nearest_neighbour(
    (train, train_labels): (Tensor<2>, &[i32]),
    (test, labels): (Tensor<2>, &[i32]),
) -> f64 {
    let found = nearest_rows(train, test);
    let right = found.iter().zip(labels).filter(|(row, label)| train_labels[**row] == **label);
    right.count() as f64 / labels.len().max(1) as f64
}

/// The row of `train` `[M, D]` that is nearest to each row of `test` `[N, D]`, the first of those that are
/// equally near.
pub(crate) fn nearest_rows(train: Tensor<2>, test: Tensor<2>) -> Vec<usize> {
    let lengths = train.clone().square().sum_dim(1).transpose();
    let ([count, _], train) = (test.dims(), train.transpose());
    let of = |at: usize| {
        let rows = test.clone().narrow(0, at, ROWS.min(count - at));
        // The length of the test row itself is the same for all.
        let distances = lengths.clone() - kernels::matmul(rows, train.clone()) * 2.0;
        let nearest = distances.argmin(1).into_data();
        nearest.iter::<i64>().map(|row| row as usize).collect::<Vec<_>>()
    };
    (0..count).step_by(ROWS).flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let device = Device::flex();
        let rows = |values: [[f32; 2]; 3]| Tensor::<2>::from_data(values, &device);
        let train = rows([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]]);
        let test = rows([[0.1, 0.1], [0.9, -0.2], [0.0, 1.6]]);
        assert_eq!(nearest_rows(train.clone(), test.clone()), [0, 1, 2]);
        let share = nearest_neighbour((train, &[5, 6, 7]), (test, &[5, 6, 5]));
        assert!((share - 2.0 / 3.0).abs() < 1e-12);
    }
}
