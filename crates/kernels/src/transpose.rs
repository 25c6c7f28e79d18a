//! Transposes, so that a product finds the lines that it reads one after the other.

use crate::simd::{LANES, vectorized};

/// `[rows, columns] -> [columns, rows]`.
///
/// # Panics
/// If the slices are not of that size.
pub(crate) fn transpose(to: &mut [f32], from: &[f32], rows: usize, columns: usize) {
    assert!(from.len() == rows * columns && to.len() == rows * columns, "sizes of a transpose");
    let (whole_rows, whole_columns) = (rows / LANES * LANES, columns / LANES * LANES);
    for row in (0..whole_rows).step_by(LANES) {
        tiles(to, from, row, whole_columns, [rows, columns]);
    }
    // What the tiles leave: the last columns of all rows, and the last rows of the other columns.
    for row in 0..rows {
        let first = if row < whole_rows { whole_columns } else { 0 };
        for column in first..columns {
            to[column * rows + row] = from[row * columns + column];
        }
    }
}

type Tile = [[f32; LANES]; LANES];

vectorized! {
    /// A strip of tiles, from `row` on.
    fn tiles(to: &mut [f32], from: &[f32], row: usize, columns: usize, shape: [usize; 2]) {
        for column in (0..columns).step_by(LANES) {
            let mut tile: Tile = [[0.0; LANES]; LANES];
            for (i, line) in tile.iter_mut().enumerate() {
                let start = (row + i) * shape[1] + column;
                line.copy_from_slice(&from[start..start + LANES]);
            }
            let tile = shuffle(shuffle(shuffle(shuffle(tile))));
            for (i, line) in tile.iter().enumerate() {
                let start = (column + i) * shape[0] + row;
                to[start..start + LANES].copy_from_slice(line);
            }
        }
    }
}

/// Row i and row i + 8 become rows 2 i and 2 i + 1, their numbers in turns. Four of these shuffles
/// exchange the four bits of the row with those of the column.
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
            let from: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let mut to = vec![-1.0; from.len()];
            transpose(&mut to, &from, rows, columns);
            for (i, value) in from.iter().enumerate() {
                assert_eq!(to[i % columns * rows + i / columns], *value, "{rows} x {columns}");
            }
        }
    }
}
