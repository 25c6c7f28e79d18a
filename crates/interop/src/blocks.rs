//! Blocks of 32 numbers that share a scale: those of GGUF files, and MXFP4.
//!
//! The format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>; the blocks are those of ggml's
//! reference dequantisation. d and m are half precision, little-endian, at the front of a block.
//!
//! ```text
//! Q8_0  d, 32 signed bytes q              y_i = d q_i                                (1)
//! Q4_0  d, 16 bytes of two halves q       y_i = d (q_i - 8)                          (2)
//! Q4_1  d, m, 16 bytes of two halves q    y_i = d q_i + m                            (3)
//! ```
//!
//! The low halves of the 16 bytes are the first 16 numbers of a block, the high halves the others. Products
//! and sums are computed in single precision, as in the reference.
//!
//! MXFP4: *OCP Microscaling Formats (MX) Specification*. Version 1.0. 2023; sections 5.2, 5.3.1 and 5.4:
//!
//! ```text
//! 16 bytes of two halves p; a byte s apart    y_i = 2^(s - 127) FP4(p_i); NaN if s is 255   (4)
//! ```
//!
//! In MXFP4 the halves of a byte are adjacent numbers, the low one first.

use burn::tensor::f16;

/// The number of elements of a block.
pub(crate) const BLOCK: usize = 32;

/// (1): 34 bytes a block.
pub(crate) fn q8_0(bytes: &[u8]) -> Vec<f32> {
    let block = |block: &[u8; 34]| {
        let d = half(block, 0);
        let q: [u8; BLOCK] = std::array::from_fn(|i| block[2 + i]);
        q.map(|q| f32::from(q.cast_signed()) * d)
    };
    bytes.as_chunks::<34>().0.iter().flat_map(block).collect()
}

/// (2): 18 bytes a block.
pub(crate) fn q4_0(bytes: &[u8]) -> Vec<f32> {
    let block = |block: &[u8; 18]| {
        let d = half(block, 0);
        halves(&block[2..]).map(|q| (f32::from(q) - 8.0) * d)
    };
    bytes.as_chunks::<18>().0.iter().flat_map(block).collect()
}

/// (3): 20 bytes a block.
pub(crate) fn q4_1(bytes: &[u8]) -> Vec<f32> {
    let block = |block: &[u8; 20]| {
        let (d, m) = (half(block, 0), half(block, 2));
        halves(&block[4..]).map(|q| f32::from(q) * d + m)
    };
    bytes.as_chunks::<20>().0.iter().flat_map(block).collect()
}

/// (4): `scales` has one byte for every 16 bytes of `blocks`.
pub(crate) fn mxfp4(blocks: &[u8], scales: &[u8]) -> Vec<f32> {
    let block = |(block, scale): (&[u8; 16], &u8)| {
        let scale = if *scale == 255 { f32::NAN } else { (f32::from(*scale) - 127.0).exp2() };
        let numbers: [f32; BLOCK] =
            std::array::from_fn(|i| FP4[usize::from(block[i / 2] >> (4 * (i % 2)) & 15)] * scale);
        numbers
    };
    blocks.as_chunks::<16>().0.iter().zip(scales).flat_map(block).collect()
}

/// The values of four bits: a sign, two bits of exponent, one of fraction.
const FP4: [f32; 16] =
    [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];

fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// The low halves of 16 bytes, then the high ones.
fn halves(bytes: &[u8]) -> [u8; BLOCK] {
    std::array::from_fn(|i| if i < 16 { bytes[i] & 15 } else { bytes[i - 16] >> 4 })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes without a simple pattern.
    fn quants<const N: usize>() -> [u8; N] {
        std::array::from_fn(|i| (i * 37 + 11) as u8)
    }

    fn with_front(front: &[f32], quants: &[u8]) -> Vec<u8> {
        let mut block: Vec<u8> =
            front.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
        block.extend(quants);
        block
    }

    /// The values are those of `gguf.quants.dequantize` of the package gguf 0.19.0, for the same bytes.
    #[test]
    fn the_published_numbers() {
        let found = q8_0(&with_front(&[0.013], &quants::<32>()));
        let ends = [0.143_005_37, 0.624_023_44, 1.105_041_5, 1.586_059_6];
        published(&found, ends, [0.780_029_3, 1.261_047_4, -1.586_059_6], 0.208_007_81);
        let found = q4_0(&with_front(&[-0.25], &quants::<16>()));
        published(&found, [-0.75, 2.0, 0.75, -0.5], [-1.5, 1.75, 1.25], 7.75);
        let found = q4_1(&with_front(&[0.5, -1.75], &quants::<16>()));
        published(&found, [3.75, -1.75, 0.75, 3.25], [5.25, -1.25, -0.25], 56.5);
    }

    fn published(found: &[f32], first: [f32; 4], last: [f32; 3], sum: f32) {
        assert_eq!(found.len(), BLOCK);
        assert_eq!(found[..4], first);
        assert_eq!(found[29..], last);
        assert_eq!(found.iter().sum::<f32>(), sum);
    }

    #[test]
    fn numbers_of_four_bits_by_hand() {
        let mut block = [0; 16];
        (block[0], block[1], block[15]) = (0x21, 0x9f, 0xe0);
        let found = mxfp4(&block, &[128]);
        assert_eq!(found[..4], [1.0, 2.0, -12.0, -1.0]);
        assert_eq!(found[29..], [0.0, 0.0, -8.0]);
        let smallest = mxfp4(&block, &[0])[0];
        assert_eq!(smallest, 2_f32.powi(-126) / 4.0);
        assert!(mxfp4(&block, &[255]).iter().all(|x| x.is_nan()));
    }
}
