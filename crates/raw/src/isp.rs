//! Conversion of a mosaic to an RGB image of 8 bits, as in LibRaw.
//!
//! x = clip((raw - black) / (white - black))                                          (1)
//! x = clip(x m_c), m_c = 1 / neutral_c over the least of the three                   (2)
//! three colours a pixel, by bilinear interpolation say                               (3)
//! rgb = clip(D x), D the inverse of A, A = ColorMatrix * M with rows of sum 1        (4)
//! code = round(255 gamma(rgb))                                                       (5)
//!
//! M converts linear sRGB to XYZ (D65), with LibRaw's numbers. The mosaic is clipped in (2) before it is
//! interpolated, as in LibRaw: overexposed pixels differ by up to 119 codes otherwise.
//!
//! Adobe. *Digital Negative Specification*, 1.7, chapter 6. LibRaw 0.22, functions `scale_colors`,
//! `lin_interpolate`, `convert_to_rgb`, `gamma_curve`. ITU-R BT.709-6; IEC 61966-2-1 (sRGB).
//!
//! Differs from LibRaw: values have single precision between the steps, where LibRaw has 16 bits, and the
//! code is rounded, where LibRaw truncates.

use crate::{
    Method, Mosaic,
    demosaicing::{bilinear_row, interpolate},
};

/// The curve of (5), from light to code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gamma {
    /// None.
    Linear,
    /// ITU-R BT.709, LibRaw's default.
    Bt709,
    /// sRGB.
    Srgb,
}

impl Gamma {
    /// The code, from 0 to 1, of light from 0 to 1.
    pub fn of(self, light: f32) -> f32 {
        match self {
            Self::Linear => light,
            Self::Bt709 if light <= 0.018 => 4.5 * light,
            Self::Bt709 => 1.099 * light.powf(0.45) - 0.099,
            Self::Srgb if light <= 0.003_130_8 => 12.92 * light,
            Self::Srgb => 1.055 * light.powf(1.0 / 2.4) - 0.055,
        }
    }
}

/// A code of 8 bits.
pub fn quantise(code: f32) -> u8 {
    (255.0 * code.clamp(0.0, 1.0)).round() as u8
}

/// The settings of the conversion besides the mosaic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Isp {
    /// The response to a white object in red, green and blue: DNG's AsShotNeutral.
    pub neutral: [f32; 3],
    /// The matrix from XYZ (D65) to the camera's colours, row by row: DNG's ColorMatrix. None leaves the
    /// colours as the camera has them.
    pub matrix: Option<[f32; 9]>,
    /// The interpolation of missing colours.
    pub method: Method,
    /// The curve from light to code.
    pub gamma: Gamma,
}

/// The matrix from linear sRGB to XYZ, with the numbers of LibRaw 0.22; those of dcraw have six digits.
const SRGB_TO_XYZ: [[f64; 3]; 3] = [
    [0.412_456_4, 0.357_576_1, 0.180_437_5],
    [0.212_672_9, 0.715_152_2, 0.072_175_0],
    [0.019_333_9, 0.119_192_0, 0.950_304_1],
];

impl Isp {
    /// A conversion without white balance and colour matrix.
    pub const PLAIN: Self =
        Self { neutral: [1.0; 3], matrix: None, method: Method::Bilinear, gamma: Gamma::Bt709 };

    /// The multipliers of (2).
    ///
    /// # Errors
    ///
    /// If a number of `neutral` is not above 0.
    pub fn multipliers(&self) -> Result<[f32; 3], String> {
        if self.neutral.iter().any(|n| !(*n > 0.0 && n.is_finite())) {
            return Err(format!("neutral {:?}: all numbers must be above 0", self.neutral));
        }
        let multipliers = self.neutral.map(|n| 1.0 / n);
        let least = multipliers.iter().fold(f32::MAX, |a, b| a.min(*b));
        Ok(multipliers.map(|m| m / least))
    }

    /// D of (4): the matrix from the camera's colours to linear sRGB.
    ///
    /// # Errors
    ///
    /// If the matrix has no inverse, or a row of A has the sum 0.
    pub fn to_srgb(&self) -> Result<[[f32; 3]; 3], String> {
        let Some(matrix) = self.matrix else {
            return Ok([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
        };
        let mut a = [[0.0_f64; 3]; 3];
        for (i, row) in a.iter_mut().enumerate() {
            for (j, number) in row.iter_mut().enumerate() {
                let product = |k: usize| f64::from(matrix[3 * i + k]) * SRGB_TO_XYZ[k][j];
                *number = (0..3).map(product).sum();
            }
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|number| *number /= sum);
        }
        let inverse = inverse(a);
        match inverse.iter().flatten().all(|number| number.is_finite()) {
            true => Ok(inverse.map(|row| row.map(|number| number as f32))),
            false => Err(format!("colour matrix {matrix:?}: must have an inverse")),
        }
    }

    /// Converts a mosaic to codes of red, green and blue, pixel by pixel.
    ///
    /// # Errors
    ///
    /// As [`Developer::new`].
    pub fn develop(&self, mosaic: &Mosaic) -> Result<Vec<u8>, String> {
        let mut developer = Developer::new(*self, mosaic)?;
        let mut codes = vec![0; 3 * mosaic.values.len()];
        developer.balance(mosaic);
        developer.finish(&mut codes);
        Ok(codes)
    }
}

fn inverse(a: [[f64; 3]; 3]) -> [[f64; 3]; 3] {
    let minor = |i: usize, j: usize| {
        let ([r, s], [c, d]) = ([(i + 1) % 3, (i + 2) % 3], [(j + 1) % 3, (j + 2) % 3]);
        a[r][c] * a[s][d] - a[r][d] * a[s][c]
    };
    let determinant: f64 = (0..3).map(|j| a[0][j] * minor(0, j)).sum();
    [0, 1, 2].map(|i| [0, 1, 2].map(|j| minor(j, i) / determinant))
}

/// A conversion with its tables and buffers, for many mosaics of one form.
pub struct Developer {
    isp: Isp,
    multipliers: [f32; 3],
    to_srgb: [[f32; 3]; 3],
    /// The code of each of 65,536 steps of light.
    codes: Vec<u8>,
    size: [usize; 2],
    cfa: crate::Cfa,
    balanced: Vec<f32>,
    line: Vec<[f32; 3]>,
}

impl Developer {
    /// A converter for mosaics of this size and pattern.
    ///
    /// # Errors
    ///
    /// If the mosaic has fewer than three rows or columns, or the settings of the conversion are invalid.
    pub fn new(isp: Isp, mosaic: &Mosaic) -> Result<Self, String> {
        let (height, width) = (mosaic.height, mosaic.width);
        if height < 3 || width < 3 {
            return Err(format!("{height} x {width} pixels: must be at least 3 x 3"));
        }
        let step = |i: u32| quantise(isp.gamma.of(i as f32 / 65535.0));
        Ok(Self {
            isp,
            multipliers: isp.multipliers()?,
            to_srgb: isp.to_srgb()?,
            codes: (0..=65535).map(step).collect(),
            size: [height, width],
            cfa: mosaic.cfa,
            balanced: vec![0.0; height * width],
            line: vec![[0.0; 3]; width],
        })
    }

    /// Computes (1) and (2).
    ///
    /// # Panics
    ///
    /// If the mosaic has another size or pattern.
    pub fn balance(&mut self, mosaic: &Mosaic) {
        assert_eq!((self.size, self.cfa), ([mosaic.height, mosaic.width], mosaic.cfa));
        let lines = mosaic.values.chunks_exact(mosaic.width);
        let scale = 1.0 / (mosaic.white - mosaic.black);
        for ((row, values), out) in
            lines.enumerate().zip(self.balanced.chunks_exact_mut(mosaic.width))
        {
            let of = |column| self.multipliers[self.cfa.at(row, column) as usize] * scale;
            let scales = [of(0), of(1)];
            for ((column, value), out) in values.iter().enumerate().zip(out) {
                let light = (f32::from(*value) - mosaic.black) * scales[column % 2];
                *out = light.clamp(0.0, 1.0);
            }
        }
    }

    /// The mosaic after (2), row by row.
    pub fn balanced(&self) -> &[f32] {
        &self.balanced
    }

    /// Computes (3) to (5), from the result of [`Developer::balance`].
    ///
    /// # Panics
    ///
    /// If there are not three codes for each pixel.
    pub fn finish(&mut self, codes: &mut [u8]) {
        let [_, width] = self.size;
        assert_eq!(codes.len(), 3 * self.balanced.len(), "codes");
        let whole = match self.isp.method {
            Method::Bilinear => Vec::new(),
            method => interpolate(&self.balanced, self.size, self.cfa, method),
        };
        let mut line = std::mem::take(&mut self.line);
        for (row, out) in codes.chunks_exact_mut(3 * width).enumerate() {
            match whole.get(row * width..(row + 1) * width) {
                Some(pixels) => line.copy_from_slice(pixels),
                None => bilinear_row(&self.balanced, self.size, self.cfa, row, &mut line),
            }
            for (pixel, out) in line.iter().zip(out.as_chunks_mut::<3>().0) {
                *out = self.code(pixel);
            }
        }
        self.line = line;
    }

    /// The code of a pixel, (4) and (5).
    fn code(&self, [r, g, b]: &[f32; 3]) -> [u8; 3] {
        self.to_srgb.map(|[x, y, z]| {
            let light = (x * r + y * g + z * b).clamp(0.0, 1.0);
            self.codes[(65535.0 * light + 0.5) as usize]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cfa;

    const MATRIX: [f32; 9] = [0.8, -0.2, -0.05, -0.4, 1.2, 0.2, -0.05, 0.15, 0.6];

    #[test]
    fn the_numbers_that_rawpy_tells() {
        let isp = Isp { neutral: [0.5, 1.0, 0.6], matrix: Some(MATRIX), ..Isp::PLAIN };
        let near = |found: &[f32], expected: &[f32]| {
            let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(near, "{found:?} {expected:?}");
        };
        near(&isp.multipliers().unwrap(), &[2.0, 1.0, 1.666_666_7]);
        let expected = [
            [1.88213, -0.64509, -0.23704],
            [-0.23728, 1.60390, -0.36662],
            [-0.00853, -0.42540, 1.43393],
        ];
        near(isp.to_srgb().unwrap().as_flattened(), expected.as_flattened());
    }

    #[test]
    fn gammas_join_and_end_at_1() {
        for (gamma, knee) in [(Gamma::Bt709, 0.018), (Gamma::Srgb, 0.003_130_8)] {
            let [below, above] = [knee - 1e-6, knee + 1e-6].map(|x| gamma.of(x));
            assert!((above - below).abs() < 3e-4, "{gamma:?}: {below} {above}");
            assert!((gamma.of(1.0) - 1.0).abs() < 1e-6 && gamma.of(0.0) == 0.0);
        }
        assert_eq!(quantise(Gamma::Srgb.of(0.5)), 188);
        assert_eq!(quantise(Gamma::Bt709.of(0.5)), 180);
    }

    #[test]
    fn white_is_white_whatever_the_matrix() {
        // The amounts of the colours are those of AsShotNeutral.
        let isp = Isp { neutral: [0.5, 1.0, 0.6], matrix: Some(MATRIX), ..Isp::PLAIN };
        let light = [5_000, 10_000, 6_000];
        let values = (0..36).map(|at| light[Cfa::GRBG.at(at / 6, at % 6) as usize]).collect();
        let mosaic = Mosaic::new([6, 6], Cfa::GRBG, [0.0, 20_000.0], values).unwrap();
        let codes = isp.develop(&mosaic).unwrap();
        assert!(codes.iter().all(|code| *code == 180), "{codes:?}");
        let malvar = Isp { method: Method::Malvar, ..isp };
        assert_eq!(malvar.develop(&mosaic), Ok(codes));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let mosaic = |side: usize| {
            Mosaic::new([side, side], Cfa::RGGB, [0.0, 9.0], vec![1; side * side]).unwrap()
        };
        let err = |isp: Isp, side| isp.develop(&mosaic(side)).unwrap_err();
        assert!(err(Isp::PLAIN, 2).contains("at least 3 x 3"));
        let dark = Isp { neutral: [1.0, 0.0, 1.0], ..Isp::PLAIN };
        assert_eq!(err(dark, 4), "neutral [1.0, 0.0, 1.0]: all numbers must be above 0");
        let flat = Isp { matrix: Some([1.0; 9]), ..Isp::PLAIN };
        assert!(err(flat, 4).contains("must have an inverse"));
    }
}
