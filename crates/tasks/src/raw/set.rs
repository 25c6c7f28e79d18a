//! Pairs of a mosaic and the RGB image of the same crop.

use ::raw::{Cfa, Mosaic};

/// The pattern of all mosaics of the set. The plane means of its files show it: both greens are alike
/// (682.1 and 682.4 at (0, 0) and (1, 1)), red is at (0, 1) and blue at (1, 0). The authors' packing
/// calls (0, 0) red; that changes the names of planes and nothing else.
pub(super) const CFA: Cfa = Cfa::GRBG;

/// The values of a mosaic that are normalised to 0 (no light) and 1; larger values are clipped. A choice of
/// this project.
pub(super) const LEVELS: [f32; 2] = [64.0, 8000.0];

/// The offset of the rows: row r of an RGB image shows the same as row r - 1 of its mosaic.
pub(super) const RGB_ROWS_AHEAD: usize = 1;

/// Pairs of the same size. Sample i has the class `labels[i]` and was cut out of the image
/// `captures[i]`; captures are numbered over all classes.
pub(super) struct Pairs {
    pub(super) classes: Vec<String>,
    pub(super) labels: Vec<i32>,
    pub(super) captures: Vec<usize>,
    /// Rows and columns.
    pub(super) size: [usize; 2],
    /// The mosaics, one after the other.
    pub(super) mosaics: Vec<u16>,
    /// The images, one after the other, each as a red, a green and a blue plane.
    pub(super) rgb: Vec<u8>,
}

impl Pairs {
    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    fn pixels(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// The mosaic of a sample.
    pub(super) fn mosaic(&self, sample: usize) -> Mosaic {
        let values = self.mosaics[sample * self.pixels()..][..self.pixels()].to_vec();
        let [height, width] = self.size;
        Mosaic::new([width, height], CFA, LEVELS, values).expect("checked when it was read")
    }

    /// The red, green and blue plane of a sample.
    pub(super) fn rgb(&self, sample: usize) -> &[u8] {
        &self.rgb[3 * sample * self.pixels()..][..3 * self.pixels()]
    }
}
