//! Decoding of image files, with a limit on memory.

use image::{DynamicImage, ImageFormat, ImageReader, ImageResult, Limits};
use std::io::Cursor;

/// The memory limit of an image: the larger of this many bytes, and this many for each byte of its file.
const MOST: [u64; 2] = [64 << 20, 100];

/// Decodes the image of a file, in the given format or in the one that its first bytes indicate.
///
/// # Errors
/// If the file is damaged or of an unknown format, or if the image takes far more memory than the file has
/// bytes.
pub(crate) fn decode_image(bytes: &[u8], format: Option<ImageFormat>) -> ImageResult<DynamicImage> {
    let mut reader = match format {
        Some(format) => ImageReader::with_format(Cursor::new(bytes), format),
        None => ImageReader::new(Cursor::new(bytes)).with_guessed_format()?,
    };
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST[0].max(MOST[1] * bytes.len() as u64));
    reader.limits(limits);
    reader.decode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_of_a_huge_image_is_refused() {
        let file = |side: u32| {
            let mut file = Cursor::new(Vec::new());
            DynamicImage::new_luma8(side, side).write_to(&mut file, ImageFormat::Png).unwrap();
            file.into_inner()
        };
        let whole = file(2000);
        assert_eq!(decode_image(&whole, None).unwrap().width(), 2000);
        assert_eq!(decode_image(&whole, Some(ImageFormat::Png)).unwrap().height(), 2000);
        assert!(decode_image(&whole, Some(ImageFormat::Jpeg)).is_err());
        // Width and height in the header, with its checksum.
        let mut huge = whole;
        huge[16..24].copy_from_slice(&[0, 0, 0x80, 0, 0, 0, 0x80, 0]);
        let mut crc = flate2::Crc::new();
        crc.update(&huge[12..29]);
        huge[29..33].copy_from_slice(&crc.sum().to_be_bytes());
        let err = decode_image(&huge, None).unwrap_err().to_string();
        assert!(err.to_lowercase().contains("limit"), "{err}");
    }
}
