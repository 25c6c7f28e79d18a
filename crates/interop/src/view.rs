//! Parts of tensors in row-major memory, and copies from one to another.

/// A part of a tensor: axes with their strides, and the offset of its beginning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct View {
    dims: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
}

impl View {
    /// The whole tensor.
    pub(crate) fn whole(shape: &[usize]) -> Self {
        let strides = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect();
        Self { dims: shape.to_vec(), strides, offset: 0 }
    }

    /// The sizes of the axes.
    pub(crate) fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// The number of elements.
    pub(crate) fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// A part with `len` entries of an axis from `start` on, at intervals of `step`. None if there are not
    /// enough.
    pub(crate) fn part(
        mut self,
        axis: usize,
        start: usize,
        len: usize,
        step: usize,
    ) -> Option<Self> {
        let last = start + (len.max(1) - 1) * step;
        if axis >= self.dims.len() || last >= self.dims[axis] {
            return None;
        }
        self.offset += start * self.strides[axis];
        self.dims[axis] = len;
        self.strides[axis] *= step;
        Some(self)
    }

    /// The same with permuted axes. None if `axes` is not a permutation of all.
    pub(crate) fn permuted(self, axes: &[usize]) -> Option<Self> {
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if sorted != (0..self.dims.len()).collect::<Vec<_>>() {
            return None;
        }
        let of = |of: &[usize]| axes.iter().map(|axis| of[*axis]).collect();
        Some(Self { dims: of(&self.dims), strides: of(&self.strides), offset: self.offset })
    }

    /// The same with the last two axes exchanged.
    pub(crate) fn transposed(mut self) -> Self {
        let n = self.dims.len();
        if n >= 2 {
            self.dims.swap(n - 2, n - 1);
            self.strides.swap(n - 2, n - 1);
        }
        self
    }

    /// The entry `at` of an axis, without that axis. None if there is no such entry.
    pub(crate) fn entry(self, axis: usize, at: usize) -> Option<Self> {
        let mut entry = self.part(axis, at, 1, 1)?;
        entry.dims.remove(axis);
        entry.strides.remove(axis);
        Some(entry)
    }
}

/// The side of the tiles of a copy, which fit into the cache.
const TILE: usize = 32;

/// Copies one part into another of the same sizes.
///
/// # Panics
/// If the sizes differ, or a part exceeds its numbers.
pub(crate) fn copy(from: &[f32], source: &View, to: &mut [f32], target: &View) {
    assert_eq!(source.dims, target.dims, "the parts have different sizes");
    let n = source.dims.len();
    let pad = |view: &View| {
        let ones = vec![1; 2_usize.saturating_sub(n)];
        let dims = [&ones[..], &view.dims].concat();
        View { strides: [&ones[..], &view.strides].concat(), dims, offset: view.offset }
    };
    level(from, &pad(source), to, &pad(target), 0, [source.offset, target.offset]);
}

fn level(
    from: &[f32],
    source: &View,
    to: &mut [f32],
    target: &View,
    axis: usize,
    [a, b]: [usize; 2],
) {
    if axis + 2 == source.dims.len() {
        let ([rows, columns], s, t) = (last_two(&source.dims), &source.strides, &target.strides);
        return tiles(from, last_two(s), to, last_two(t), [rows, columns], [a, b]);
    }
    for i in 0..source.dims[axis] {
        let at = [a + i * source.strides[axis], b + i * target.strides[axis]];
        level(from, source, to, target, axis + 1, at);
    }
}

fn last_two(of: &[usize]) -> [usize; 2] {
    [of[of.len() - 2], of[of.len() - 1]]
}

fn tiles(
    from: &[f32],
    s: [usize; 2],
    to: &mut [f32],
    t: [usize; 2],
    [rows, columns]: [usize; 2],
    [a, b]: [usize; 2],
) {
    for row in (0..rows).step_by(TILE) {
        for column in (0..columns).step_by(TILE) {
            for i in row..rows.min(row + TILE) {
                for j in column..columns.min(column + TILE) {
                    to[b + i * t[0] + j * t[1]] = from[a + i * s[0] + j * s[1]];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(source: View, target: View) -> Vec<f32> {
        let from: Vec<f32> = (0..24).map(|x| x as f32).collect();
        let mut to = vec![-1.0; 24];
        copy(&from, &source, &mut to, &target);
        to
    }

    #[test]
    fn transposed_stacked_and_interleaved_parts() {
        let whole = View::whole;
        // [4, 6] to [6, 4].
        let transposed = run(whole(&[4, 6]).transposed(), whole(&[6, 4]));
        assert_eq!(transposed[..5], [0.0, 6.0, 12.0, 18.0, 1.0]);
        // The odd columns of the first row into the second row of [8, 3].
        let odd = whole(&[4, 6]).part(0, 0, 1, 1).unwrap().part(1, 1, 3, 2).unwrap();
        let second = whole(&[8, 3]).part(0, 1, 1, 1).unwrap();
        assert_eq!(run(odd, second)[2..7], [-1.0, 1.0, 3.0, 5.0, -1.0]);
        // Axes in any order.
        let axes = whole(&[2, 3, 4]).permuted(&[2, 0, 1]).unwrap();
        assert_eq!(run(axes, whole(&[4, 2, 3]))[..4], [0.0, 4.0, 8.0, 12.0]);
        // A single axis, and none.
        assert_eq!(run(whole(&[24]).entry(0, 5).unwrap(), whole(&[]))[0], 5.0);
    }

    #[test]
    fn large_parts_are_copied_whole() {
        let (rows, columns) = (TILE + 3, 2 * TILE + 5);
        let from: Vec<f32> = (0..rows * columns).map(|x| x as f32).collect();
        let mut to = vec![0.0; rows * columns];
        let source = View::whole(&[rows, columns]).transposed();
        copy(&from, &source, &mut to, &View::whole(&[columns, rows]));
        for i in 0..columns {
            for j in 0..rows {
                assert_eq!(to[i * rows + j], from[j * columns + i]);
            }
        }
    }

    #[test]
    fn what_is_outside_is_no_part() {
        assert!(View::whole(&[4, 6]).part(1, 2, 3, 2).is_none());
        assert!(View::whole(&[4, 6]).part(2, 0, 1, 1).is_none());
        assert!(View::whole(&[4, 6]).entry(1, 6).is_none());
        assert!(View::whole(&[4, 6]).permuted(&[0, 0]).is_none());
    }
}
