//! A mosaic: one number per pixel, each of one colour.

use crate::{Cfa, Error, Result};

/// The values of a sensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Mosaic {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// The colour of each pixel.
    pub cfa: Cfa,
    /// The black level: the value without light.
    pub black: f32,
    /// The white level: the value of a saturated pixel.
    pub white: f32,
    /// The values, row by row.
    pub values: Vec<u16>,
}

impl Mosaic {
    /// A mosaic of these numbers.
    ///
    /// # Errors
    ///
    /// If there are not `width * height` numbers, if there are none, or if `white` is not above `black`.
    pub fn new(
        [width, height]: [usize; 2],
        cfa: Cfa,
        [black, white]: [f32; 2],
        values: Vec<u16>,
    ) -> std::result::Result<Self, String> {
        let there = values.len();
        if width.checked_mul(height) != Some(there) || there == 0 {
            return Err(format!("{there} numbers for {width} x {height} pixels"));
        }
        if !(white > black && black >= 0.0 && white.is_finite()) {
            return Err(format!(
                "black level {black}, white level {white}: white must be above black, and black at least 0"
            ));
        }
        Ok(Self { width, height, cfa, black, white, values })
    }

    /// A part of the mosaic, with the pattern that begins at its first pixel.
    ///
    /// # Errors
    ///
    /// If the part is not within the mosaic.
    pub fn crop(
        &self,
        [row, column]: [usize; 2],
        [height, width]: [usize; 2],
    ) -> std::result::Result<Self, String> {
        let fits =
            |from: usize, many: usize, of| from.checked_add(many).is_some_and(|end| end <= of);
        let fits = fits(row, height, self.height) && fits(column, width, self.width);
        if !fits || height == 0 || width == 0 {
            let (h, w) = (self.height, self.width);
            return Err(format!(
                "crop of {height} x {width} pixels at row {row}, column {column}: \
                 the mosaic has {h} x {w}"
            ));
        }
        let rows = self.values.chunks_exact(self.width).skip(row).take(height);
        let values = rows.flat_map(|line| &line[column..column + width]).copied().collect();
        Ok(Self { width, height, cfa: self.cfa.from(row, column), values, ..*self })
    }

    /// A value, normalised to 0 at black and 1 at white; values outside are clipped.
    pub fn normal(&self, value: u16) -> f32 {
        ((f32::from(value) - self.black) / (self.white - self.black)).clamp(0.0, 1.0)
    }
}

/// A crop of a mosaic from a NumPy file of `<u2`, with an even number of rows and of columns, so that it has
/// whole squares of the pattern.
///
/// # Errors
///
/// If the file is damaged or of another type, or the crop has another shape.
pub fn npy_crop(bytes: &[u8], file: &str, cfa: Cfa, levels: [f32; 2]) -> Result<Mosaic> {
    let fault = |problem| Error::file(file, problem);
    let (shape, values) = npy::read_u16(bytes).map_err(fault)?;
    match shape[..] {
        [height, width] if height.is_multiple_of(2) && width.is_multiple_of(2) => {
            Mosaic::new([width, height], cfa, levels, values).map_err(fault)
        }
        [_, _] => Err(fault(format!("shape {shape:?}; expected even numbers of rows and columns"))),
        _ => Err(fault(format!("shape {shape:?}; expected (rows, columns)"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mosaic() -> Mosaic {
        Mosaic::new([4, 4], Cfa::GRBG, [2.0, 10.0], (0..16).collect()).unwrap()
    }

    #[test]
    fn a_crop_keeps_the_colour_of_each_pixel() {
        let mosaic = mosaic();
        let crop = mosaic.crop([1, 2], [2, 2]).unwrap();
        assert_eq!((crop.values.clone(), crop.cfa), (vec![6, 7, 10, 11], Cfa::BGGR));
        for (row, column) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            assert_eq!(crop.cfa.at(row, column), mosaic.cfa.at(row + 1, column + 2));
        }
        let err = mosaic.crop([3, 0], [2, 2]).unwrap_err();
        assert_eq!(err, "crop of 2 x 2 pixels at row 3, column 0: the mosaic has 4 x 4");
        assert!(mosaic.crop([usize::MAX, 0], [2, 2]).is_err());
    }

    #[test]
    fn black_is_0_and_white_is_1() {
        let mosaic = mosaic();
        assert_eq!([1, 2, 6, 10, 15].map(|v| mosaic.normal(v)), [0.0, 0.0, 0.5, 1.0, 1.0]);
        let err = Mosaic::new([1, 1], Cfa::RGGB, [5.0, 5.0], vec![0]).unwrap_err();
        assert!(err.contains("white must be above black"), "{err}");
    }

    #[test]
    fn crops_in_files() {
        let read = |bytes: &[u8]| {
            npy_crop(bytes, "a.npy", Cfa::GRBG, [64.0, 8000.0]).map_err(|err| err.to_string())
        };
        let whole = npy::write_u16(&[2, 4], &[7; 8]);
        assert_eq!(read(&whole).unwrap().values, [7; 8]);
        let odd = npy::write_u16(&[3, 4], &[7; 12]);
        let expected = "a.npy: shape [3, 4]; expected even numbers of rows and columns";
        assert_eq!(read(&odd), Err(expected.into()));
        let deep = npy::write_u16(&[1, 2, 2], &[7; 4]);
        assert!(read(&deep).unwrap_err().contains("expected (rows, columns)"));
        let cut = read(&whole[..whole.len() - 2]).unwrap_err();
        assert_eq!(cut, "a.npy: 14 bytes of numbers; shape [2, 4] needs 16");
        let other = [npy::start("<f4", &[2, 2]), vec![0; 16]].concat();
        assert!(read(&other).unwrap_err().contains("expected <u2"));
        assert!(read(&npy::write_u16(&[0, 4], &[])).is_err());
    }
}
