//! One image, and the few operations on it that the rest of the folder uses.

use image::{GrayImage, imageops};

/// One image: values from 0 to 1, channel by channel, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Colours.
    pub channels: usize,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[channels, height, width]`.
    pub values: Vec<f32>,
}

impl Image {
    /// An image made value by value, from channel, row and column.
    pub fn from_fn(
        [channels, height, width]: [usize; 3],
        mut value: impl FnMut(usize, usize, usize) -> f32,
    ) -> Self {
        let mut values = Vec::with_capacity(channels * height * width);
        for c in 0..channels {
            for y in 0..height {
                for x in 0..width {
                    values.push(value(c, y, x));
                }
            }
        }
        Self { channels, height, width, values }
    }

    /// `[channels, height, width]`.
    pub fn shape(&self) -> [usize; 3] {
        [self.channels, self.height, self.width]
    }

    /// The value at a place.
    pub fn at(&self, c: usize, y: usize, x: usize) -> f32 {
        self.values[(c * self.height + y) * self.width + x]
    }

    /// The value at a place that may lie outside; there it is 0.
    pub fn at_or_black(&self, c: usize, y: isize, x: isize) -> f32 {
        let inside =
            (0..self.height as isize).contains(&y) && (0..self.width as isize).contains(&x);
        if inside { self.at(c, y as usize, x as usize) } else { 0.0 }
    }

    /// The value at a place that may lie outside; there it is that of the nearest place inside.
    pub fn at_or_edge(&self, c: usize, y: isize, x: isize) -> f32 {
        let y = y.clamp(0, self.height as isize - 1) as usize;
        self.at(c, y, x.clamp(0, self.width as isize - 1) as usize)
    }

    /// The value between four places, mixed by distance; outside it is that of the nearest place inside.
    pub fn between(&self, c: usize, y: f32, x: f32) -> f32 {
        let (top, left) = (y.floor(), x.floor());
        let (down, right) = (y - top, x - left);
        let (top, left) = (top as isize, left as isize);
        let at = |y, x| self.at_or_edge(c, y, x);
        let row = |y| at(y, left) * (1.0 - right) + at(y, left + 1) * right;
        row(top) * (1.0 - down) + row(top + 1) * down
    }

    /// The same with every value changed.
    pub fn map(mut self, change: impl FnMut(f32) -> f32) -> Self {
        let mut change = change;
        self.values.iter_mut().for_each(|value| *value = change(*value));
        self
    }
}

/// Resizes bytes `[channels, height, width]`: bilinear, averaging where the size decreases.
pub(crate) fn resize(bytes: &[u8], [c, h, w]: [usize; 3], [height, width]: [usize; 2]) -> Vec<u8> {
    let plane = |plane: &[u8]| {
        let plane = GrayImage::from_raw(w as u32, h as u32, plane.to_vec());
        let plane = plane.expect("a plane has height times width bytes");
        let kind = imageops::FilterType::Triangle;
        imageops::resize(&plane, width as u32, height as u32, kind).into_raw()
    };
    debug_assert_eq!(bytes.len(), c * h * w);
    bytes.chunks(h * w).flat_map(plane).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> Image {
        Image::from_fn([1, 2, 2], |_, y, x| (2 * y + x) as f32)
    }

    #[test]
    fn between_four_places() {
        let image = ramp();
        assert_eq!(image.between(0, 0.5, 0.5), 1.5);
        assert_eq!(image.between(0, -1.0, 0.25), 0.25);
    }

    #[test]
    fn smaller_is_the_average() {
        // Each quarter of 4 x 4 is one value.
        let bytes: Vec<u8> = (0..16).map(|i| if i % 4 < 2 { 100 } else { 20 }).collect();
        let small = resize(&bytes, [1, 4, 4], [2, 2]);
        assert!(small[0] > small[1] && small[0] < 100 && small[1] > 20, "{small:?}");
        assert_eq!(small[0], small[2]);
        assert_eq!(resize(&[9; 12], [3, 2, 2], [3, 5]), [9; 45]);
    }
}
