//! Changes of a crop in training under which every pixel keeps its colour.
//!
//! A mosaic that is flipped, or moved by one pixel, has another pattern: red is where green was. Moves by
//! whole squares of 2 x 2 pixels keep the pattern, and so does a flip about a column of pixels instead of the
//! middle between two columns. Pixels from beyond the border are those of the mirror image about the
//! outermost pixels, which keeps every colour at its place.

/// A move by whole squares of the pattern, and a flip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Displacement {
    /// The offset of the pixel that is read, in squares: two rows down and two columns to the right each.
    pub squares: [isize; 2],
    /// Whether the plane is flipped left to right.
    pub flip: bool,
}

impl Displacement {
    /// A plane of `height` rows and `width` columns, displaced. All planes of an image, and of a mosaic of
    /// the same image, must be displaced in the same way.
    ///
    /// # Panics
    ///
    /// If the plane has fewer than `height * width` numbers.
    pub fn of<T: Copy>(self, plane: &[T], [height, width]: [usize; 2]) -> Vec<T> {
        // With as many squares as pixels minus one, the mirror images repeat.
        let pixels =
            |squares: isize, size: usize| 2 * squares.rem_euclid((size.max(2) - 1) as isize);
        let [down, right] = [pixels(self.squares[0], height), pixels(self.squares[1], width)];
        let from = |column: usize| match self.flip {
            // The last column of an odd number of them has the colour of the first one.
            true => (width / 2 * 2) as isize - column as isize,
            false => column as isize,
        };
        let columns: Vec<usize> =
            (0..width).map(|column| mirrored(from(column) + right, width)).collect();
        let rows = (0..height).map(|row| mirrored(row as isize + down, height));
        rows.flat_map(|row| columns.iter().map(move |column| plane[row * width + column])).collect()
    }
}

/// The index in a line of which an index beyond its ends is the mirror image. The distance of both is even,
/// as is the period, twice the length minus two.
fn mirrored(at: isize, size: usize) -> usize {
    let period = 2 * size.saturating_sub(1);
    if period == 0 {
        return 0;
    }
    let at = at.rem_euclid(period as isize) as usize;
    at.min(period - at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cfa, Mosaic};

    fn all() -> impl Iterator<Item = Displacement> {
        let squares = (-3..=3).flat_map(|down| (-3..=3).map(move |right| [down, right]));
        squares.flat_map(|squares| [false, true].map(|flip| Displacement { squares, flip }))
    }

    #[test]
    fn every_pixel_keeps_its_colour() {
        for size @ [height, width] in [[6, 8], [5, 7], [4, 5], [1, 2], [1, 1]] {
            for cfa in Cfa::ALL {
                let places =
                    (0..height).flat_map(|row| (0..width).map(move |column| [row, column]));
                let colours: Vec<_> = places.map(|[row, column]| cfa.at(row, column)).collect();
                for displacement in all() {
                    assert_eq!(displacement.of(&colours, size), colours, "{displacement:?}");
                }
            }
        }
    }

    #[test]
    fn a_plain_flip_or_an_odd_move_has_another_pattern() {
        let mosaic = Mosaic::new([4, 2], Cfa::GRBG, [0.0, 9.0], (0..8).collect()).unwrap();
        assert_eq!(mosaic.crop([0, 1], [2, 2]).unwrap().cfa, Cfa::RGGB);
        let backwards: Vec<_> = (0..4).rev().map(|column| Cfa::GRBG.at(0, column)).collect();
        assert_eq!(backwards, (0..4).map(|column| Cfa::RGGB.at(0, column)).collect::<Vec<_>>());
    }

    #[test]
    fn pixels_come_from_where_they_should() {
        let line = [0, 1, 2, 3, 4, 5];
        let of = |right, flip| Displacement { squares: [0, right], flip }.of(&line, [1, 6]);
        assert_eq!(of(0, false), line);
        assert_eq!(of(1, false), [2, 3, 4, 5, 4, 3]);
        assert_eq!(of(-1, false), [2, 1, 0, 1, 2, 3]);
        assert_eq!(of(0, true), [4, 5, 4, 3, 2, 1]);
        let rows = Displacement { squares: [1, 0], flip: false }.of(&line, [6, 1]);
        assert_eq!(rows, [2, 3, 4, 5, 4, 3]);
        let far = Displacement { squares: [isize::MAX, isize::MIN], flip: true };
        assert_eq!(far.of(&line, [1, 6]).len(), 6);
    }
}
