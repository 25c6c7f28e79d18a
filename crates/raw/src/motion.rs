//! Shifts and mirrorings of images that keep the colour filter array of a mosaic.
//!
//! A mosaic that is mirrored as images are has another pattern: GRBG becomes RGGB. Here it is mirrored
//! about a pixel, so that each pixel goes to one of the same row and column modulo 2; with an even number
//! of columns one is then missing at the border. Shifts are even. What is missing at the border is the
//! mirror image beyond the last pixel, which is not repeated ("reflect 101"): it keeps the colours too.
//!
//! The same motion of the RGB image of a mosaic moves both alike.

/// A mirroring, then a shift.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Motion {
    /// Whether it is mirrored: upside down, left to right.
    pub mirrored: [bool; 2],
    /// How many squares of 2 x 2 it moves: down, to the right.
    pub squares: [isize; 2],
}

impl Motion {
    /// Planes of this many rows and columns, one after the other, moved.
    ///
    /// # Panics
    ///
    /// If there are no rows or no columns.
    pub fn apply<T: Copy>(&self, planes: &[T], [height, width]: [usize; 2]) -> Vec<T> {
        let (rows, columns) = (self.sources(0, height), self.sources(1, width));
        let of_plane = |plane: &[T]| -> Vec<T> {
            let places = rows.iter().flat_map(|row| columns.iter().map(move |c| row * width + c));
            places.map(|at| plane[at]).collect()
        };
        planes.chunks_exact(height * width).flat_map(of_plane).collect()
    }

    /// Along an axis of `n` pixels: which one comes to each place.
    fn sources(&self, axis: usize, n: usize) -> Vec<usize> {
        assert!(n > 0, "an image has pixels");
        let size = n as isize;
        // The place that a pixel is mirrored to and its own have an even sum.
        let sum = size - size % 2;
        let source = |at: isize| {
            let at = at - 2 * self.squares[axis];
            reflected(if self.mirrored[axis] { sum - at } else { at }, size)
        };
        (0..size).map(source).collect()
    }
}

/// The pixel of `0..n` that stands for one outside.
fn reflected(at: isize, n: isize) -> usize {
    if n == 1 {
        return 0;
    }
    let period = 2 * (n - 1);
    let at = at.rem_euclid(period);
    at.min(period - at) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cfa;

    fn motions() -> Vec<Motion> {
        let flips = [[false, false], [true, false], [false, true], [true, true]];
        let shifts = [[0, 0], [1, -1], [-2, 1]];
        let both = flips.iter().flat_map(|mirrored| shifts.map(|squares| (*mirrored, squares)));
        both.map(|(mirrored, squares)| Motion { mirrored, squares }).collect()
    }

    #[test]
    fn one_line_by_hand() {
        let line = [0, 1, 2, 3, 4, 5];
        let moved = |mirrored, squares| {
            Motion { mirrored: [false, mirrored], squares: [0, squares] }.apply(&line, [1, 6])
        };
        assert_eq!(moved(false, 0), line);
        assert_eq!(moved(false, 1), [2, 1, 0, 1, 2, 3]);
        assert_eq!(moved(false, -1), [2, 3, 4, 5, 4, 3]);
        assert_eq!(moved(true, 0), [4, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn every_pixel_keeps_its_colour() {
        for cfa in Cfa::ALL {
            for (height, width) in [(6, 8), (5, 7)] {
                let colours: Vec<_> =
                    (0..height * width).map(|at| cfa.at(at / width, at % width)).collect();
                for motion in motions() {
                    assert_eq!(motion.apply(&colours, [height, width]), colours, "{motion:?}");
                }
            }
        }
    }
}
