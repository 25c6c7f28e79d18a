//! Blurs: each value becomes a weighted mean of those around it. The edge is repeated beyond the image.

use super::image::Image;

/// Weights that sum to 1, at whole distances `-radius..=radius`.
fn bell(radius: usize, sigma: f32) -> Vec<f32> {
    let at = |i: usize| (-(i as f32 - radius as f32).powi(2) / (2.0 * sigma * sigma)).exp();
    let weights: Vec<f32> = (0..=2 * radius).map(at).collect();
    let sum: f32 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

/// A Gaussian of standard deviation `sigma` pixels, cut off at four of them.
pub(crate) fn gaussian(image: &Image, sigma: f32) -> Image {
    let radius = (4.0 * sigma + 0.5) as usize;
    let weights = bell(radius, sigma);
    let line = |image: &Image, [down, right]: [isize; 2]| {
        Image::from_fn(image.shape(), |c, y, x| {
            let value = |(i, weight): (usize, &f32)| {
                let by = i as isize - radius as isize;
                weight * image.at_or_edge(c, y as isize + by * down, x as isize + by * right)
            };
            weights.iter().enumerate().map(value).sum()
        })
    };
    line(&line(image, [1, 0]), [0, 1])
}

/// Blurs with a disc of this radius, itself softened by a Gaussian over three by three pixels.
pub(crate) fn defocus(image: &Image, radius: f32, soften: f32) -> Image {
    let reach = radius.ceil() as isize + 1;
    let side = (2 * reach + 1) as usize;
    let disc = Image::from_fn([1, side, side], |_, y, x| {
        let (y, x) = (y as f32 - reach as f32, x as f32 - reach as f32);
        f32::from(u8::from(y * y + x * x <= radius * radius))
    });
    let weights = bell(1, soften);
    let kernel = Image::from_fn(disc.shape(), |_, y, x| {
        let near = |i: usize| {
            let (y, x) = (y as isize + i as isize / 3 - 1, x as isize + i as isize % 3 - 1);
            weights[i / 3] * weights[i % 3] * disc.at_or_black(0, y, x)
        };
        (0..9).map(near).sum()
    });
    let total: f32 = kernel.values.iter().sum();
    Image::from_fn(image.shape(), |c, y, x| {
        let value = |(i, weight): (usize, &f32)| {
            let (down, right) = ((i / side) as isize - reach, (i % side) as isize - reach);
            weight * image.at_or_edge(c, y as isize + down, x as isize + right)
        };
        kernel.values.iter().enumerate().map(value).sum::<f32>() / total
    })
}

/// Blurs along a line of `2 radius + 1` pixels in one direction, with the weights of half a Gaussian.
pub(crate) fn motion(image: &Image, radius: usize, sigma: f32, angle: f32) -> Image {
    let weights: Vec<f32> =
        (0..=2 * radius).map(|i| (-(i as f32 / sigma).powi(2) / 2.0).exp()).collect();
    let total: f32 = weights.iter().sum();
    let (sin, cos) = angle.sin_cos();
    Image::from_fn(image.shape(), |c, y, x| {
        let value = |(i, weight): (usize, &f32)| {
            let (y, x) = (y as f32 + i as f32 * sin, x as f32 + i as f32 * cos);
            weight * image.between(c, y, x)
        };
        weights.iter().enumerate().map(value).sum::<f32>() / total
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot() -> Image {
        Image::from_fn([1, 9, 9], |_, y, x| f32::from(u8::from(y == 4 && x == 4)))
    }

    #[test]
    fn a_dot_becomes_the_kernel() {
        let blurred = gaussian(&dot(), 1.0);
        // exp(0) and exp(-1/2) over the sum of the nine weights, 2.50663.
        assert!((blurred.at(0, 4, 4) - 0.15915).abs() < 1e-4);
        assert!((blurred.at(0, 4, 5) / blurred.at(0, 4, 4) - 0.60653).abs() < 1e-4);
        // A disc of radius 1 is a cross of five; hardly softened.
        let cross = defocus(&dot(), 1.0, 0.1);
        assert!((cross.at(0, 4, 4) - 0.2).abs() < 1e-6 && (cross.at(0, 3, 4) - 0.2).abs() < 1e-6);
        assert!(cross.at(0, 3, 3) < 1e-6);
        // Straight to the right: what is at x comes from x, x + 1, ...
        let line = motion(&dot(), 2, 1.0, 0.0);
        assert!(line.at(0, 4, 4) > line.at(0, 4, 3) && line.at(0, 4, 3) > 0.0);
        assert!(line.at(0, 4, 5) == 0.0 && line.at(0, 3, 4) == 0.0);
    }

    #[test]
    fn blurs_keep_the_mean_of_a_flat_image() {
        let flat = Image::from_fn([2, 5, 5], |_, _, _| 0.3);
        for blurred in [gaussian(&flat, 0.7), defocus(&flat, 1.5, 0.1), motion(&flat, 6, 2.0, 0.5)]
        {
            assert!(blurred.values.iter().all(|value| (value - 0.3).abs() < 1e-6), "{blurred:?}");
        }
    }
}
