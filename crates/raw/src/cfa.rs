//! The colour filter array: the colour of each pixel of a mosaic.

use std::fmt;

/// A colour of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Red, plane 0.
    Red,
    /// Green, plane 1.
    Green,
    /// Blue, plane 2.
    Blue,
}

/// A Bayer pattern: the colours of the square of 2 x 2 at the origin, row by row, repeated over the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cfa([Colour; 4]);

use Colour::{Blue, Green, Red};

impl Cfa {
    /// Red at the origin.
    pub const RGGB: Self = Self([Red, Green, Green, Blue]);
    /// Green at the origin, red right of it.
    pub const GRBG: Self = Self([Green, Red, Blue, Green]);
    /// Green at the origin, blue right of it.
    pub const GBRG: Self = Self([Green, Blue, Red, Green]);
    /// Blue at the origin.
    pub const BGGR: Self = Self([Blue, Green, Green, Red]);
    /// All four.
    pub const ALL: [Self; 4] = [Self::RGGB, Self::GRBG, Self::GBRG, Self::BGGR];

    /// The pattern of these colours.
    ///
    /// # Errors
    ///
    /// If the colours are no Bayer pattern: green twice on a diagonal, red and blue on the other one.
    pub fn new(colours: [Colour; 4]) -> Result<Self, String> {
        match Self::ALL.into_iter().find(|known| known.0 == colours) {
            Some(known) => Ok(known),
            None => {
                let known = Self::ALL.map(|cfa| cfa.to_string()).join(", ");
                Err(format!("pattern {}; known: {known}", Self(colours)))
            }
        }
    }

    /// The colour of a pixel.
    pub fn at(self, row: usize, column: usize) -> Colour {
        self.0[row % 2 * 2 + column % 2]
    }

    /// The pattern of a crop that begins at this pixel.
    pub fn from(self, row: usize, column: usize) -> Self {
        Self([0, 1, 2, 3].map(|place| self.at(row + place / 2, column + place % 2)))
    }

    /// The places in the square, `2 row + column`, of red, the green in red's row, the green in blue's
    /// row, blue.
    pub fn places(self) -> [usize; 4] {
        let red = self.0.iter().position(|colour| *colour == Red).unwrap_or(0);
        [red, red ^ 1, red ^ 2, red ^ 3]
    }

    /// The colours as DNG writes them: 0 red, 1 green, 2 blue.
    pub fn codes(self) -> [u8; 4] {
        self.0.map(|colour| colour as u8)
    }
}

impl fmt::Display for Cfa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|colour| {
            f.write_str(match colour {
                Red => "R",
                Green => "G",
                Blue => "B",
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_pixel_further_is_another_pattern_and_two_are_the_same() {
        assert_eq!(Cfa::GRBG.from(0, 1), Cfa::RGGB);
        assert_eq!(Cfa::GRBG.from(1, 0), Cfa::BGGR);
        assert_eq!(Cfa::GRBG.from(1, 1), Cfa::GBRG);
        assert!(Cfa::ALL.into_iter().all(|cfa| cfa.from(2, 4) == cfa));
    }

    #[test]
    fn places_are_red_two_greens_blue() {
        for cfa in Cfa::ALL {
            let colours = cfa.places().map(|place| cfa.at(place / 2, place % 2));
            assert_eq!(colours, [Red, Green, Green, Blue], "{cfa}");
            assert_eq!(cfa.places()[0] / 2, cfa.places()[1] / 2, "the same row");
        }
    }

    #[test]
    fn what_is_no_bayer_pattern_is_named() {
        let err = Cfa::new([Red, Red, Green, Blue]).unwrap_err();
        assert_eq!(err, "pattern RRGB; known: RGGB, GRBG, GBRG, BGGR");
        assert_eq!(Cfa::new([Green, Red, Blue, Green]), Ok(Cfa::GRBG));
    }
}
