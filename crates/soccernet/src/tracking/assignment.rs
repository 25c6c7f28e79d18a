//! Which box belongs to which: the assignment of the highest or lowest sum.

/// Pairs of row and column with the highest sum of a matrix, given row by row. Its numbers are
/// finite.
pub(crate) fn highest(rows: usize, columns: usize, matrix: &Vec<f64>) -> Vec<(usize, usize)> {
    pairs(rows, columns, matrix, true)
}

/// Pairs with the lowest sum.
pub(crate) fn lowest(rows: usize, columns: usize, matrix: &Vec<f64>) -> Vec<(usize, usize)> {
    pairs(rows, columns, matrix, false)
}

fn pairs(rows: usize, columns: usize, matrix: &Vec<f64>, is_highest: bool) -> Vec<(usize, usize)> {
    let (rows, columns) = lsap::solve(rows, columns, matrix, is_highest).unwrap_or_default();
    rows.into_iter().zip(columns).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_tall_and_empty() {
        assert_eq!(highest(1, 3, &vec![1.0, 5.0, 2.0]), [(0, 1)]);
        assert_eq!(lowest(3, 1, &vec![4.0, 5.0, 2.0]), [(2, 0)]);
        assert_eq!(highest(2, 2, &vec![1.0, 2.0, 2.0, 2.9]), [(0, 1), (1, 0)]);
        assert_eq!(highest(0, 3, &vec![]), []);
    }
}
