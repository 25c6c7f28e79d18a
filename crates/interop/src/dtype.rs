//! Number formats of stored tensors.

use burn::tensor::{bf16, f16};

use crate::blocks::{self, BLOCK};

/// The format of stored numbers, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// The upper half of single precision.
    Bf16,
    /// IEEE half precision.
    F16,
    /// Blocks of 32 signed bytes with a scale, of GGUF files.
    Q8_0,
    /// Blocks of 32 half bytes with a scale, of GGUF files.
    Q4_0,
    /// Blocks of 32 half bytes with a scale and a smallest number, of GGUF files.
    Q4_1,
    /// Bytes that do not represent numbers of a network by themselves.
    U8,
    /// Blocks of 32 four-bit numbers, followed by the scales of all blocks; used by GPT-OSS.
    Mxfp4,
}

impl Dtype {
    /// The formats of safetensors files that are read.
    const OF_FILES: [Dtype; 4] = [Dtype::F32, Dtype::Bf16, Dtype::F16, Dtype::U8];

    /// The format of this name in safetensors files.
    ///
    /// # Errors
    /// If the name is unknown; lists the known ones.
    pub fn of(name: &str) -> Result<Self, String> {
        let found = Self::OF_FILES.into_iter().find(|known| known.name() == name);
        let known = Self::OF_FILES.map(Self::name).join(", ");
        found.ok_or_else(|| format!("its numbers are {name}; known: {known}"))
    }

    /// The format of safetensors files in which tensors of this format are written.
    pub(crate) fn in_file(self) -> safetensors::Dtype {
        match self.written() {
            Dtype::Bf16 => safetensors::Dtype::BF16,
            Dtype::F16 => safetensors::Dtype::F16,
            Dtype::U8 => safetensors::Dtype::U8,
            _ => safetensors::Dtype::F32,
        }
    }

    /// The name in files.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "F32",
            Dtype::Bf16 => "BF16",
            Dtype::F16 => "F16",
            Dtype::Q8_0 => "Q8_0",
            Dtype::Q4_0 => "Q4_0",
            Dtype::Q4_1 => "Q4_1",
            Dtype::U8 => "U8",
            Dtype::Mxfp4 => "MXFP4",
        }
    }

    /// The number of elements and of bytes of a block.
    pub fn block(self) -> (usize, usize) {
        match self {
            Dtype::F32 => (1, 4),
            Dtype::Bf16 | Dtype::F16 => (1, 2),
            Dtype::Q8_0 => (BLOCK, 34),
            Dtype::Q4_0 => (BLOCK, 18),
            Dtype::Q4_1 => (BLOCK, 20),
            Dtype::U8 => (1, 1),
            Dtype::Mxfp4 => (BLOCK, 17),
        }
    }

    /// The format in which tensors of this format are written; for blocks, the shortest one that represents
    /// all of their numbers.
    pub fn written(self) -> Self {
        match self {
            Dtype::Q8_0 | Dtype::Q4_0 | Dtype::Q4_1 => Dtype::F32,
            Dtype::Mxfp4 => Dtype::Bf16,
            plain => plain,
        }
    }

    /// Decodes bytes to numbers, without loss.
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        let half = |bytes: &[u8], one: fn([u8; 2]) -> f32| {
            bytes.as_chunks::<2>().0.iter().map(|pair| one(*pair)).collect()
        };
        match self {
            Dtype::F32 => {
                bytes.as_chunks::<4>().0.iter().map(|four| f32::from_le_bytes(*four)).collect()
            }
            Dtype::Bf16 => half(bytes, |pair| bf16::from_le_bytes(pair).to_f32()),
            Dtype::F16 => half(bytes, |pair| f16::from_le_bytes(pair).to_f32()),
            Dtype::Q8_0 => blocks::q8_0(bytes),
            Dtype::Q4_0 => blocks::q4_0(bytes),
            Dtype::Q4_1 => blocks::q4_1(bytes),
            Dtype::U8 => bytes.iter().map(|byte| f32::from(*byte)).collect(),
            Dtype::Mxfp4 => {
                let (blocks, scales) = bytes.split_at(bytes.len() / 17 * 16);
                blocks::mxfp4(blocks, scales)
            }
        }
    }

    /// Encodes numbers in the format [`Dtype::written`], each rounded to the nearest value.
    pub fn encode(self, numbers: &[f32]) -> Vec<u8> {
        match self.written() {
            Dtype::Bf16 => numbers.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
            Dtype::F16 => numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
            Dtype::U8 => numbers.iter().map(|x| *x as u8).collect(),
            _ => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_come_back_to_the_bit() {
        for dtype in [Dtype::Bf16, Dtype::F16] {
            // All values but the NaNs, whose bits need not be preserved.
            let all: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
            let numbers = dtype.decode(&all);
            let again = dtype.encode(&numbers);
            for (i, number) in numbers.iter().enumerate() {
                assert!(number.is_nan() || all[2 * i..2 * i + 2] == again[2 * i..2 * i + 2]);
            }
        }
        let single = [1.5_f32, -0.0, f32::MIN_POSITIVE / 8.0, f32::INFINITY];
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&Dtype::F32.decode(&Dtype::F32.encode(&single))), bits(&single));
    }

    #[test]
    fn known_values_and_names() {
        assert_eq!(Dtype::Bf16.decode(&[0xc0, 0x3f]), [1.5]);
        assert_eq!(Dtype::F16.decode(&[0x00, 0x3e]), [1.5]);
        assert_eq!(Dtype::of("BF16").map(Dtype::block), Ok((1, 2)));
        assert_eq!(Dtype::of("I64").unwrap_err(), "its numbers are I64; known: F32, BF16, F16, U8");
        for dtype in Dtype::OF_FILES {
            assert_eq!(dtype.in_file().to_string(), dtype.name());
        }
    }
}
