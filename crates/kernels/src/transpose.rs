//! Transposes, so that a product reads contiguous rows.

use crate::simd::{LANES, vectorized};

/// `[rows, columns] -> [columns, rows]`; the rows of `from` are `stride` numbers apart.
///
/// # Panics
/// If the slices are too short.
pub(crate) fn transpose(to: &mut [f32], from: &[f32], [rows, columns]: [usize; 2], stride: usize) {
    assert!(to.len() >= rows * columns, "the target is too small for the transpose");
    let (whole_rows, whole_columns) = (rows / LANES * LANES, columns / LANES * LANES);
    for row in (0..whole_rows).step_by(LANES) {
        tiles(to, from, row, whole_columns, [rows, stride]);
    }
    // The parts outside of the tiles: the last columns of all rows, and the last rows of the other
    // columns.
    for row in 0..rows {
        let first = if row < whole_rows { whole_columns } else { 0 };
        for column in first..columns {
            to[column * rows + row] = from[row * stride + column];
        }
    }
}

type Tile = [[f32; LANES]; LANES];

vectorized! {
    /// Transposes a strip of tiles, from `row` on; `strides` are the lengths of a line of `to` and of
    /// `from`.
    fn tiles(
        to: &mut [f32],
        from: &[f32],
        row: usize,
        columns: usize,
        strides: [usize; 2],
    ) {
        let [rows, stride] = strides;
        for column in (0..columns).step_by(LANES) {
            let mut tile: Tile = [[0.0; LANES]; LANES];
            for (i, line) in tile.iter_mut().enumerate() {
                let start = (row + i) * stride + column;
                line.copy_from_slice(&from[start..start + LANES]);
            }
            let tile = shuffle(shuffle(shuffle(shuffle(tile))));
            for (i, line) in tile.iter().enumerate() {
                let start = (column + i) * rows + row;
                to[start..start + LANES].copy_from_slice(line);
            }
        }
    }
}

/// Interleaves rows i and i + 8 into rows 2 i and 2 i + 1. Four of these shuffles exchange the four bits
/// of the row index with those of the column index.
#[inline(always)]
fn shuffle(tile: Tile) -> Tile {
    let mut out = [[0.0; LANES]; LANES];
    for i in 0..LANES / 2 {
        let (a, b) = (&tile[i], &tile[i + LANES / 2]);
        for j in 0..LANES / 2 {
            out[2 * i][2 * j] = a[j];
            out[2 * i][2 * j + 1] = b[j];
            out[2 * i + 1][2 * j] = a[j + LANES / 2];
            out[2 * i + 1][2 * j + 1] = b[j + LANES / 2];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_any_size() {
        for (rows, columns) in [(0, 3), (1, 1), (16, 16), (32, 48), (17, 33), (5, 40), (40, 5)] {
            for stride in [columns, columns + 3] {
                let from: Vec<f32> = (0..rows * stride).map(|i| i as f32).collect();
                let mut to = vec![-1.0; rows * columns];
                transpose(&mut to, &from, [rows, columns], stride);
                for (i, value) in to.iter().enumerate() {
                    let (column, row) = (i / rows, i % rows);
                    assert_eq!(*value, from[row * stride + column], "{rows} x {columns}");
                }
            }
        }
    }
}
