//! NumPy's `.npy` files of numbers.
//!
//! *NEP 1: A Simple File Format for NumPy Arrays*. <https://numpy.org/neps/nep-0001-npy-format.html>

use crate::{Error, Result};

const MAGIC: &[u8] = b"\x93NUMPY";

/// An array of numbers in C order.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Sizes, the slowest first.
    pub shape: Vec<usize>,
    /// The numbers, the last dimension fastest.
    pub data: Vec<f64>,
}

/// How a number stands in the file, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `<f2`, half precision.
    F2,
    /// `<f4`, single precision.
    F4,
    /// `<f8`, double precision.
    F8,
}

impl Kind {
    const ALL: [(&str, Self); 3] = [("<f2", Self::F2), ("<f4", Self::F4), ("<f8", Self::F8)];

    fn bytes(self) -> usize {
        2 << self as usize
    }

    fn read(self, bytes: &[u8]) -> f64 {
        match (self, bytes) {
            (Self::F2, &[a, b]) => from_half(u16::from_le_bytes([a, b])),
            (Self::F4, &[a, b, c, d]) => f64::from(f32::from_le_bytes([a, b, c, d])),
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

/// Reads an array of `<f2`, `<f4` or `<f8`.
///
/// # Errors
///
/// If it is no such file, of another type, in Fortran order, or shorter or longer than it says.
pub fn read(bytes: &[u8], file: &str) -> Result<Array> {
    let (header, start) = header(bytes).map_err(|problem| Error::file(file, problem))?;
    parse(&header, &bytes[start..]).map_err(|problem| Error::file(file, problem))
}

/// The header's text, and where the numbers begin.
fn header(bytes: &[u8]) -> std::result::Result<(String, usize), String> {
    if !bytes.starts_with(MAGIC) {
        return Err("it is no .npy file: it does not begin with \\x93NUMPY".into());
    }
    let cut = || "it is cut off in its header".to_string();
    let byte = |at: usize| bytes.get(at).copied().map(usize::from).ok_or_else(cut);
    let (start, length) = match byte(6)? {
        1 => (10, byte(8)? | byte(9)? << 8),
        2 | 3 => (12, byte(8)? | byte(9)? << 8 | byte(10)? << 16 | byte(11)? << 24),
        other => return Err(format!("format version {other}; known are 1, 2 and 3")),
    };
    let header = bytes.get(start..start + length).ok_or_else(cut)?;
    Ok((String::from_utf8_lossy(header).to_string(), start + length))
}

fn parse(header: &str, numbers: &[u8]) -> std::result::Result<Array, String> {
    let damaged = || format!("its header {:?} is no description of an array", header.trim());
    let after =
        |key: &str| header.split_once(key).map(|(_, rest)| rest.trim_start_matches([':', ' ']));
    let order = after("'fortran_order'").ok_or_else(damaged)?;
    if !order.starts_with("False") {
        return Err("it is in Fortran order; C order was expected".into());
    }
    let kind = after("'descr'").and_then(|rest| rest.split('\'').nth(1)).ok_or_else(damaged)?;
    let known = Kind::ALL.iter().find(|(name, _)| *name == kind);
    let expected = || format!("its numbers are {kind}; <f2, <f4 or <f8 was expected");
    let (_, kind) = known.ok_or_else(expected)?;
    let shape = after("'shape'").and_then(|rest| rest.strip_prefix('(')?.split(')').next());
    let sizes =
        shape.ok_or_else(damaged)?.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape: Option<Vec<usize>> = sizes.map(|size| size.parse().ok()).collect();
    let shape = shape.ok_or_else(damaged)?;
    let size = shape.iter().try_fold(kind.bytes(), |size, n| size.checked_mul(*n));
    if size != Some(numbers.len()) {
        let expected = size.map_or("more than memory holds".into(), |size| size.to_string());
        let there = numbers.len();
        return Err(format!("{there} bytes of numbers; shape {shape:?} needs {expected}"));
    }
    let data = numbers.chunks_exact(kind.bytes()).map(|bytes| kind.read(bytes)).collect();
    Ok(Array { shape, data })
}

/// An array as a file of version 1, in single or double precision.
pub fn write(array: &Array, double: bool) -> Vec<u8> {
    let sizes: Vec<String> = array.shape.iter().map(|size| format!("{size},")).collect();
    let shape = match &sizes[..] {
        [one] => one.clone(),
        all => all.join(" ").trim_end_matches(',').to_string(),
    };
    let kind = if double { "<f8" } else { "<f4" };
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    // The numbers begin at a multiple of 64 bytes; the header ends in a line feed.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 11;
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((length as u16 + 1).to_le_bytes());
    bytes.extend(format!("{header:length$}\n").bytes());
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
/// As `read`, and if it is no list of frames.
pub fn features(bytes: &[u8], file: &str) -> Result<(usize, usize, Vec<f32>)> {
    let array = read(bytes, file)?;
    let (frames, width) = match array.shape[..] {
        [frames, width] | [frames, 1, width] if width > 0 => (frames, width),
        _ => {
            let problem = format!("shape {:?}; (frames, width) was expected", array.shape);
            return Err(Error::file(file, problem));
        }
    };
    Ok((frames, width, array.data.iter().map(|number| *number as f32).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `numpy.save` writes for `numpy.array([[1.5, -2.0]], "<f2")`.
    fn half() -> Vec<u8> {
        let header = "{'descr': '<f2', 'fortran_order': False, 'shape': (1, 2), }";
        let start = [MAGIC, &[1, 0, 0x76, 0]].concat();
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
        assert_eq!(with("<f2", "<i8"), "its numbers are <i8; <f2, <f4 or <f8 was expected");
        assert!(with("False, ", "True,  ").contains("Fortran order"));
        assert!(with("(1, 2)", "(1, x)").contains("no description"));
    }
}
