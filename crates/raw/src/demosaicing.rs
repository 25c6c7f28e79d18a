//! Interpolation of the two missing colours of each pixel.
//!
//! Bilinear: a missing colour of a pixel is the mean of the nearest pixels with this colour, two or four; at
//! the border it is the mean of those that exist, as in LibRaw. Inside it is the convolution of the sparse
//! planes with 1/4 [[1, 2, 1], [2, 4, 2], [1, 2, 1]] for red and blue, and 1/4 [[0, 1, 0], [1, 4, 1], [0, 1,
//! 0]] for green.
//!
//! Malvar, He, Cutler. *High-Quality Linear Interpolation for Demosaicing of Bayer-Patterned Color Images*.
//! ICASSP 2004, by the crate `demosaic`. The crate repeats the last pixel beyond the border, which has
//! another colour; therefore the mosaic is first extended by two pixels of its mirror image on each side
//! ("reflect 101"), and they are cut off again.
//!
//! The crate's bilinear interpolation is not used: it changes the measured colour of a pixel.

use demosaic::{Algorithm, CfaPattern, demosaic};

use crate::{Cfa, Colour};

/// The interpolation of missing colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Means of neighbours.
    Bilinear,
    /// Malvar, He, Cutler 2004; it may be below 0 or above 1 at edges.
    Malvar,
}

/// Interpolates a mosaic of this many rows and columns to red, green and blue of each pixel.
///
/// # Panics
///
/// If there are not `height * width` numbers, or fewer than three rows or columns.
pub fn interpolate(
    mosaic: &[f32],
    [height, width]: [usize; 2],
    cfa: Cfa,
    method: Method,
) -> Vec<[f32; 3]> {
    assert_eq!(mosaic.len(), height * width, "numbers of the mosaic");
    assert!(height > 2 && width > 2, "{height} x {width} pixels");
    match method {
        Method::Bilinear => {
            let mut pixels = vec![[0.0; 3]; mosaic.len()];
            for (row, line) in pixels.chunks_exact_mut(width).enumerate() {
                bilinear_row(mosaic, [height, width], cfa, row, line);
            }
            pixels
        }
        Method::Malvar => malvar(mosaic, [height, width], cfa),
    }
}

/// Interpolates one row of a mosaic with at least three rows and columns.
pub(crate) fn bilinear_row(
    mosaic: &[f32],
    [height, width]: [usize; 2],
    cfa: Cfa,
    row: usize,
    line: &mut [[f32; 3]],
) {
    let border = |column: usize| at_border(mosaic, [height, width], cfa, [row, column]);
    if row == 0 || row + 1 == height {
        line.iter_mut().enumerate().for_each(|(column, pixel)| *pixel = border(column));
        return;
    }
    let [above, here, below] =
        [row - 1, row, row + 1].map(|row| &mosaic[row * width..(row + 1) * width]);
    // Of the rows with red, red is the colour that is not green there; likewise blue.
    let own = [cfa.at(row, 0), cfa.at(row, 1)].into_iter().find(|colour| *colour != Colour::Green);
    let own = own.unwrap_or(Colour::Red) as usize;
    let other = 2 - own;
    let green_first = cfa.at(row, 0) == Colour::Green;
    for column in 1..width - 1 {
        let (sides, ends) = (here[column - 1] + here[column + 1], above[column] + below[column]);
        let pixel = &mut line[column];
        if (column % 2 == 0) == green_first {
            pixel[1] = here[column];
            pixel[own] = sides / 2.0;
            pixel[other] = ends / 2.0;
        } else {
            let corners =
                above[column - 1] + above[column + 1] + below[column - 1] + below[column + 1];
            pixel[own] = here[column];
            pixel[1] = (sides + ends) / 4.0;
            pixel[other] = corners / 4.0;
        }
    }
    (line[0], line[width - 1]) = (border(0), border(width - 1));
}

/// The pixel's own colour, and for the other colours the mean of the existing neighbours.
fn at_border(
    mosaic: &[f32],
    [height, width]: [usize; 2],
    cfa: Cfa,
    [row, column]: [usize; 2],
) -> [f32; 3] {
    let (mut sums, mut counts) = ([0.0; 3], [0.0; 3]);
    for r in row.saturating_sub(1)..=(row + 1).min(height - 1) {
        for c in column.saturating_sub(1)..=(column + 1).min(width - 1) {
            let colour = cfa.at(r, c) as usize;
            sums[colour] += mosaic[r * width + c];
            counts[colour] += 1.0;
        }
    }
    let mut pixel = [0, 1, 2].map(|colour| sums[colour] / counts[colour]);
    pixel[cfa.at(row, column) as usize] = mosaic[row * width + column];
    pixel
}

fn malvar(mosaic: &[f32], [height, width]: [usize; 2], cfa: Cfa) -> Vec<[f32; 3]> {
    let mirror = |at: usize, n: usize| match at {
        0 | 1 => 2 - at,
        at if at < n + 2 => at - 2,
        at => 2 * n - at,
    };
    let (rows, columns) = (height + 4, width + 4);
    let mut padded = Vec::with_capacity(rows * columns);
    for row in 0..rows {
        let line = &mosaic[mirror(row, height) * width..][..width];
        padded.extend((0..columns).map(|column| line[mirror(column, width)]));
    }
    let pattern = match cfa {
        Cfa::RGGB => CfaPattern::bayer_rggb(),
        Cfa::GRBG => CfaPattern::bayer_grbg(),
        Cfa::GBRG => CfaPattern::bayer_gbrg(),
        _ => CfaPattern::bayer_bggr(),
    };
    let mut planes = vec![0.0; 3 * padded.len()];
    demosaic(&padded, columns, rows, &pattern, Algorithm::Mhc, &mut planes)
        .expect("the buffers have the sizes of the mosaic");
    let size = padded.len();
    let inside = (0..height).flat_map(|row| (0..width).map(move |column| [row + 2, column + 2]));
    let pixel =
        |[row, column]: [usize; 2]| [0, 1, 2].map(|c| planes[c * size + row * columns + column]);
    inside.map(pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mosaic of the worked example, whose values come from colour-demosaicing 0.2.7.
    fn example(side: usize) -> Vec<f32> {
        let number = |r: usize, c: usize| (7 * c * c + 13 * r * c + 29 * r * r + 5 * c) % 97;
        (0..side * side).map(|at| number(at / side, at % side) as f32 / 97.0).collect()
    }

    #[test]
    fn the_worked_example() {
        let expected = [
            (
                Method::Bilinear,
                [
                    [0.288660, 0.474227, 0.659794],
                    [0.597938, 0.525773, 0.824742],
                    [0.314433, 0.515464, 0.587629],
                    [0.507732, 0.572165, 0.886598],
                ],
            ),
            (
                Method::Malvar,
                [
                    [0.288660, 0.353093, 0.478093],
                    [0.739691, 0.525773, 0.813789],
                    [0.178479, 0.515464, 0.604381],
                    [0.888531, 0.826031, 0.886598],
                ],
            ),
        ];
        for (method, expected) in expected {
            let pixels = interpolate(&example(12), [12, 12], Cfa::RGGB, method);
            for (at, expected) in [(4, 4), (4, 5), (5, 4), (5, 5)].into_iter().zip(expected) {
                let found = pixels[at.0 * 12 + at.1];
                for (found, expected) in found.iter().zip(expected) {
                    assert!(
                        (found - expected).abs() < 2e-6,
                        "{method:?} {at:?}: {found} {expected}"
                    );
                }
            }
        }
    }

    /// 128 x 128 rings, 4 pixels of the border left out: 19.16 dB by colour-demosaicing's bilinear.
    #[test]
    fn rings() {
        let side = 128;
        let mut image: Vec<[f64; 3]> = (0..side * side)
            .map(|at| {
                let (x, y) = ((at % side) as f64 / 128.0, (at / side) as f64 / 128.0);
                let z = 0.5 + 0.5 * (200.0 * ((x - 0.5).powi(2) + (y - 0.5).powi(2))).cos();
                [z, 0.8 * z + 0.1 * x, 0.6 * z + 0.3 * y]
            })
            .collect();
        let most = image.iter().flatten().fold(0.0_f64, |a, b| a.max(*b));
        image.iter_mut().flatten().for_each(|value| *value /= most);
        let psnr = |method| {
            let colour = |at: usize| Cfa::RGGB.at(at / side, at % side) as usize;
            let mosaic: Vec<f32> =
                image.iter().enumerate().map(|(at, pixel)| pixel[colour(at)] as f32).collect();
            let pixels = interpolate(&mosaic, [side, side], Cfa::RGGB, method);
            let inside = |at: &usize| {
                (4..side - 4).contains(&(at / side)) && (4..side - 4).contains(&(at % side))
            };
            let places: Vec<usize> = (0..side * side).filter(inside).collect();
            let errors = places.iter().flat_map(|at| {
                let pairs = pixels[*at].iter().zip(image[*at]);
                pairs.map(|(a, b)| (f64::from(a.clamp(0.0, 1.0)) - b).powi(2)).collect::<Vec<_>>()
            });
            -10.0 * (errors.sum::<f64>() / (3 * places.len()) as f64).log10()
        };
        let found = psnr(Method::Bilinear);
        assert!((found - 19.16).abs() < 0.005, "{found}");
        assert!(psnr(Method::Malvar) > found + 3.0, "{}", psnr(Method::Malvar));
    }

    #[test]
    fn a_flat_image_stays_flat_up_to_its_border() {
        for cfa in Cfa::ALL {
            let light = [0.8, 0.5, 0.3];
            let mosaic: Vec<f32> =
                (0..7 * 6).map(|at| light[cfa.at(at / 6, at % 6) as usize]).collect();
            for method in [Method::Bilinear, Method::Malvar] {
                for pixel in interpolate(&mosaic, [7, 6], cfa, method) {
                    let near = pixel.iter().zip(light).all(|(a, b)| (a - b).abs() < 1e-6);
                    assert!(near, "{cfa} {method:?}: {pixel:?}");
                }
            }
        }
    }
}
