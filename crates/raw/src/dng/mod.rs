//! DNG files with one uncompressed mosaic of 16 bits.
//!
//! Adobe. *Digital Negative Specification*, 1.7; *TIFF*, revision 6.0, 1992. The writer makes one directory
//! with one strip, little-endian, with the 24 entries that LibRaw and rawloader need. The reader takes files
//! of either byte order with one mosaic in strips, in the first directory or in a sub-directory of it.
//! Compressed files, tiles, several samples per pixel and patterns that are not 2 x 2 are refused by name. If
//! there are several black or white levels, all must be equal.

mod read;
mod tag;
mod write;

pub use read::read;
pub use write::write;

use crate::Mosaic;

/// A mosaic, and the parameters of its conversion.
#[derive(Clone, Debug, PartialEq)]
pub struct Dng {
    /// The mosaic, with its pattern and levels.
    pub mosaic: Mosaic,
    /// The manufacturer of the camera.
    pub make: String,
    /// The model of the camera.
    pub model: String,
    /// The response to a white object in red, green and blue.
    pub neutral: [f32; 3],
    /// The matrix from XYZ (D65) to the camera's colours, row by row.
    pub matrix: [f32; 9],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cfa;

    pub(super) fn dng() -> Dng {
        let values = (0..6 * 4).map(|i| i * 2700).collect();
        Dng {
            mosaic: Mosaic::new([6, 4], Cfa::GRBG, [64.0, 65000.0], values).unwrap(),
            make: "MoeLab".into(),
            model: "Test".into(),
            neutral: [0.5, 1.0, 0.6],
            matrix: [0.8, -0.2, -0.05, -0.4, 1.2, 0.2, -0.05, 0.15, 0.6],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for cfa in Cfa::ALL {
            let mut dng = dng();
            dng.mosaic.cfa = cfa;
            assert_eq!(read(&write(&dng).unwrap(), "a.dng"), Ok(dng));
        }
    }

    #[test]
    fn every_cut_is_refused() {
        let bytes = write(&dng()).unwrap();
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end], "a.dng").is_err(), "cut at {end}");
        }
    }

    #[test]
    fn no_byte_that_is_changed_makes_it_panic() {
        let bytes = write(&dng()).unwrap();
        for at in 0..bytes.len() - 2 * 24 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = value;
                let _ = read(&changed, "a.dng");
            }
        }
    }
}
