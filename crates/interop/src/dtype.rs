//! Number formats of stored tensors.

use burn::tensor::{bf16, f16};

/// The format of a stored number, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// The upper half of single precision.
    Bf16,
    /// IEEE half precision.
    F16,
}

impl Dtype {
    /// The name in files.
    pub const ALL: [(&str, Dtype); 3] =
        [("F32", Dtype::F32), ("BF16", Dtype::Bf16), ("F16", Dtype::F16)];

    /// The format of this name.
    ///
    /// # Errors
    /// Names the known ones.
    pub fn of(name: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        let known = Self::ALL.map(|(known, _)| known).join(", ");
        found.map(|(_, dtype)| *dtype).ok_or(format!("its numbers are {name}; known: {known}"))
    }

    /// The name in files.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, dtype)| *dtype == self).map_or("", |(name, _)| name)
    }

    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Dtype::F32 => 4,
            Dtype::Bf16 | Dtype::F16 => 2,
        }
    }

    /// The numbers of these bytes, without loss.
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
        }
    }

    /// The bytes of these numbers, each rounded to the nearest one of the format.
    pub fn encode(self, numbers: &[f32]) -> Vec<u8> {
        match self {
            Dtype::F32 => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Dtype::Bf16 => numbers.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
            Dtype::F16 => numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_come_back_to_the_bit() {
        for dtype in [Dtype::Bf16, Dtype::F16] {
            // All but the NaNs, whose bits need not stay.
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
        assert_eq!(Dtype::of("BF16").map(Dtype::size), Ok(2));
        assert_eq!(Dtype::of("I64").unwrap_err(), "its numbers are I64; known: F32, BF16, F16");
    }
}
