//! NumPy's `.npy` files of numbers.
//!
//! *NEP 1: A Simple File Format for NumPy Arrays*. <https://numpy.org/neps/nep-0001-npy-format.html>

use crate::{Error, Result};

/// An array of numbers in C order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sizes, the slowest first.
    pub shape: Vec<usize>,
    /// The numbers, the last dimension fastest.
    pub data: Vec<f64>,
}

/// The type of a number in the file, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberKind {
    /// `<f2`, half precision.
    F2,
    /// `<f4`, single precision.
    F4,
    /// `<f8`, double precision.
    F8,
    /// `<i1` to `<i8`: a whole number of 1 to 8 bytes.
    Int(usize),
    /// `<u1` to `<u8`, and `|b1`: the same without a sign.
    Unsigned(usize),
}

impl NumberKind {
    /// The type with this name.
    fn parse(name: &str) -> Option<Self> {
        let (kind, bytes) = name.strip_prefix(['<', '|'])?.split_at_checked(1)?;
        match (kind, bytes) {
            ("f", "2") => Some(Self::F2),
            ("f", "4") => Some(Self::F4),
            ("f", "8") => Some(Self::F8),
            ("i", "1" | "2" | "4" | "8") => bytes.parse().ok().map(Self::Int),
            ("u", "1" | "2" | "4" | "8") | ("b", "1") => bytes.parse().ok().map(Self::Unsigned),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::F2 => 2,
            Self::F4 => 4,
            Self::F8 => 8,
            Self::Int(bytes) | Self::Unsigned(bytes) => bytes,
        }
    }

    fn read(self, bytes: &[u8]) -> f64 {
        let whole = |fill: u8| {
            let mut all = [fill; 8];
            all[..bytes.len()].copy_from_slice(bytes);
            all
        };
        match (self, bytes) {
            (Self::F2, &[a, b]) => from_half(u16::from_le_bytes([a, b])),
            (Self::F4, &[a, b, c, d]) => f64::from(f32::from_le_bytes([a, b, c, d])),
            (Self::Int(_), bytes) => {
                let negative = bytes.last().is_some_and(|last| last >> 7 == 1);
                i64::from_le_bytes(whole(if negative { 0xff } else { 0 })) as f64
            }
            (Self::Unsigned(_), _) => u64::from_le_bytes(whole(0)) as f64,
            (_, bytes) => f64::from_le_bytes(bytes.try_into().unwrap_or_default()),
        }
    }
}

/// A number of half precision: sign, five bits of exponent, ten of fraction.
fn from_half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let exponent = i32::from(bits >> 10 & 0x1f);
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction > 0.0 => f64::NAN,
        31 => f64::INFINITY,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// Reads an array of `<f2`, `<f4` or `<f8`, or of whole numbers.
///
/// # Errors
///
/// If the file is no such file, has another type, is in Fortran order, or its length is not that of its
/// header.
pub fn read(bytes: &[u8], file: &str) -> Result<Array> {
    parse(bytes).map_err(|problem| Error::file(file, problem))
}

fn parse(bytes: &[u8]) -> std::result::Result<Array, String> {
    let raw = npy::open(bytes)?;
    let expected =
        || format!("its numbers are {}; expected <f2, <f4, <f8 or whole numbers (<i8)", raw.kind);
    let kind = NumberKind::parse(&raw.kind).ok_or_else(expected)?;
    raw.check(kind.bytes())?;
    let data = raw.numbers.chunks_exact(kind.bytes()).map(|bytes| kind.read(bytes)).collect();
    Ok(Array { shape: raw.shape, data })
}

/// An array as a file of version 1, in single or double precision.
pub fn write(array: &Array, double: bool) -> Vec<u8> {
    let kind = if double { "<f8" } else { "<f4" };
    let mut bytes = npy::start(kind, &array.shape);
    for number in &array.data {
        match double {
            true => bytes.extend(number.to_le_bytes()),
            false => bytes.extend((*number as f32).to_le_bytes()),
        }
    }
    bytes
}

/// Features of one half: frames and the width of each. A middle dimension of one, which some
/// files of version 1 have, is dropped.
///
/// # Errors
///
/// As `read`, and if the array is not a list of frames.
pub fn features(bytes: &[u8], file: &str) -> Result<(usize, usize, Vec<f32>)> {
    let array = read(bytes, file)?;
    let (frames, width) = match array.shape[..] {
        [frames, width] | [frames, 1, width] if width > 0 => (frames, width),
        _ => {
            let problem = format!("shape {:?}; expected (frames, width)", array.shape);
            return Err(Error::file(file, problem));
        }
    };
    Ok((frames, width, array.data.iter().map(|number| *number as f32).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that `numpy.save` writes for `numpy.array([[1.5, -2.0]], "<f2")`.
    fn half() -> Vec<u8> {
        let header = "{'descr': '<f2', 'fortran_order': False, 'shape': (1, 2), }";
        let start = [b"\x93NUMPY", &[1, 0, 0x76, 0][..]].concat();
        let text = format!("{header:117}\n");
        [&start, text.as_bytes(), &[0, 0x3e, 0, 0xc0]].concat()
    }

    fn array() -> Array {
        Array { shape: vec![2, 1, 3], data: vec![0.0, 0.1, -2.0, 3.5, 1e30, 5.0] }
    }

    #[test]
    fn three_precisions_are_read() {
        let read = read(&half(), "1.npy").unwrap();
        assert_eq!(read, Array { shape: vec![1, 2], data: vec![1.5, -2.0] });
        assert_eq!(super::read(&write(&array(), true), "1.npy"), Ok(array()));
        let (frames, width, data) = features(&write(&array(), false), "1.npy").unwrap();
        assert_eq!((frames, width, data[1]), (2, 3, 0.1f32));
        let halves = [0x0001, 0x7bff, 0x7c00, 0x8000, 0x3555].map(from_half);
        let exact = [2f64.powi(-24), 65504.0, f64::INFINITY, -0.0, 0.333251953125];
        assert_eq!(halves, exact);
    }

    #[test]
    fn whole_numbers_are_read() {
        let of = |kind: &str, bytes: &[u8]| {
            let file = [npy::start(kind, &[2]), bytes.to_vec()].concat();
            read(&file, "1.npy").unwrap().data
        };
        let eight = [(-3i64).to_le_bytes(), 12i64.to_le_bytes()].concat();
        assert_eq!(of("<i8", &eight), [-3.0, 12.0]);
        assert_eq!(of("<i4", &[0xfe, 0xff, 0xff, 0xff, 0, 1, 0, 0]), [-2.0, 256.0]);
        assert_eq!(of("|i1", &[0x80, 5]), [-128.0, 5.0]);
        assert_eq!(of("|u1", &[0x80, 5]), [128.0, 5.0]);
        assert_eq!(of("<u2", &[1, 1, 0xff, 0xff]), [257.0, 65535.0]);
        assert_eq!(of("|b1", &[1, 0]), [1.0, 0.0]);
    }

    #[test]
    fn one_dimension_and_alignment() {
        let bytes = write(&Array { shape: vec![3], data: vec![1.0, 2.0, 3.0] }, false);
        assert_eq!(bytes.len() % 64, 12);
        assert_eq!(read(&bytes, "x").unwrap().shape, [3]);
        assert!(features(&bytes, "x").unwrap_err().to_string().contains("(frames, width)"));
    }

    #[test]
    fn every_cut_is_refused() {
        let bytes = half();
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end], "1.npy").is_err(), "cut at {end}");
        }
        let error = read(&bytes[..bytes.len() - 1], "1.npy").unwrap_err().to_string();
        assert_eq!(error, "1.npy: 3 bytes of numbers; shape [1, 2] needs 4");
    }

    #[test]
    fn other_types_and_orders_are_named() {
        let with = |from: &str, to: &str| {
            let text: String = half().iter().map(|byte| char::from(*byte)).collect();
            let bytes: Vec<u8> = text.replace(from, to).chars().map(|c| c as u8).collect();
            read(&bytes, "1.npy").unwrap_err().problem
        };
        let expected = "its numbers are >f2; expected <f2, <f4, <f8 or whole numbers (<i8)";
        assert_eq!(with("<f2", ">f2"), expected);
        assert!(with("<f2", "<c8").starts_with("its numbers are <c8"));
        assert!(with("False, ", "True,  ").contains("Fortran order"));
        assert!(with("(1, 2)", "(1, x)").contains("does not describe an array"));
    }
}
