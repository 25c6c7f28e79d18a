//! JPEG compression of an image, and decompression.

use image::{ExtendedColorType, ImageFormat, codecs::jpeg::JpegEncoder};

use super::image::Image;

/// The image after compression as JPEG with this quality, 1 to 100. Three channels are compressed as colours,
/// any other number of channels as separate grey images.
pub(crate) fn through(image: &Image, quality: u8) -> Image {
    let [channels, height, width] = image.shape();
    let together = if channels == 3 { 3 } else { 1 };
    let mut values = Vec::with_capacity(image.values.len());
    for plane in image.values.chunks(together * height * width) {
        let area = height * width;
        let byte = |i: usize| (plane[i % together * area + i / together] * 255.0).round() as u8;
        let bytes: Vec<u8> = (0..together * area).map(byte).collect();
        let bytes = round_trip(&bytes, [height, width], together, quality);
        let value = |i: usize| f32::from(bytes[i % area * together + i / area]) / 255.0;
        values.extend((0..together * area).map(value));
    }
    Image { values, ..*image }
}

/// Pixel by pixel, `channels` bytes each.
fn round_trip(bytes: &[u8], [height, width]: [usize; 2], channels: usize, quality: u8) -> Vec<u8> {
    let colour = if channels == 3 { ExtendedColorType::Rgb8 } else { ExtendedColorType::L8 };
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, quality)
        .encode(bytes, width as u32, height as u32, colour)
        .expect("a vector takes every byte, and images are small");
    let read = image::load_from_memory_with_format(&file, ImageFormat::Jpeg);
    let read = read.expect("what was just written can be read");
    if channels == 3 { read.into_rgb8().into_raw() } else { read.into_luma8().into_raw() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_image_stays_and_shape_is_kept() {
        for channels in [1, 2, 3] {
            let flat = Image::from_fn([channels, 9, 7], |c, _, _| 0.2 + 0.1 * c as f32);
            let read = through(&flat, 90);
            assert_eq!(read.shape(), flat.shape());
            let far = read.values.iter().zip(&flat.values).any(|(a, b)| (a - b).abs() > 0.02);
            assert!(!far, "{channels}: {read:?}");
        }
    }
}
