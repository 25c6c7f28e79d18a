//! NumPy's `.npy` files: their header, and arrays of `u16`.
//!
//! *NEP 1: A Simple File Format for NumPy Arrays*. <https://numpy.org/neps/nep-0001-npy-format.html>
//!
//! Errors are texts without the file's name, which the caller has to add.

const MAGIC: &[u8] = b"\x93NUMPY";

/// An array as stored in a file, in C order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw<'a> {
    /// The type of a number in the file, `<u2` for example.
    pub kind: String,
    /// Sizes, the slowest first.
    pub shape: Vec<usize>,
    /// The bytes of the numbers.
    pub numbers: &'a [u8],
}

/// Reads the header.
///
/// # Errors
///
/// If the file is no `.npy` file, is in Fortran order, or is cut off in its header.
pub fn open(bytes: &[u8]) -> Result<Raw<'_>, String> {
    let (header, start) = header(bytes)?;
    let damaged = || format!("its header {:?} does not describe an array", header.trim());
    let after =
        |key: &str| header.split_once(key).map(|(_, rest)| rest.trim_start_matches([':', ' ']));
    let order = after("'fortran_order'").ok_or_else(damaged)?;
    if !order.starts_with("False") {
        return Err("it is in Fortran order; expected C order".into());
    }
    let kind = after("'descr'").and_then(|rest| rest.split('\'').nth(1)).ok_or_else(damaged)?;
    let shape = after("'shape'").and_then(|rest| rest.strip_prefix('(')?.split(')').next());
    let sizes =
        shape.ok_or_else(damaged)?.split(',').map(str::trim).filter(|size| !size.is_empty());
    let shape: Option<Vec<usize>> = sizes.map(|size| size.parse().ok()).collect();
    let shape = shape.ok_or_else(damaged)?;
    Ok(Raw { kind: kind.to_string(), shape, numbers: &bytes[start..] })
}

/// The header's text, and the offset of the numbers.
fn header(bytes: &[u8]) -> Result<(String, usize), String> {
    if !bytes.starts_with(MAGIC) {
        return Err("not a .npy file: it does not begin with \\x93NUMPY".into());
    }
    let cut = || "cut off within its header".to_string();
    let byte = |at: usize| bytes.get(at).copied().map(usize::from).ok_or_else(cut);
    let (start, length) = match byte(6)? {
        1 => (10, byte(8)? | byte(9)? << 8),
        2 | 3 => (12, byte(8)? | byte(9)? << 8 | byte(10)? << 16 | byte(11)? << 24),
        other => return Err(format!("format version {other}; known: 1, 2, 3")),
    };
    let header = bytes.get(start..start + length).ok_or_else(cut)?;
    Ok((String::from_utf8_lossy(header).to_string(), start + length))
}

impl Raw<'_> {
    /// Checks that the number of bytes is that of the shape, with `bytes` for each number.
    ///
    /// # Errors
    ///
    /// Names the number of bytes that there are, and the number required.
    pub fn check(&self, bytes: usize) -> Result<(), String> {
        let (shape, there) = (&self.shape, self.numbers.len());
        let size = shape.iter().try_fold(bytes, |size, n| size.checked_mul(*n));
        if size == Some(there) {
            return Ok(());
        }
        let expected = size.map_or("more than memory holds".into(), |size| size.to_string());
        Err(format!("{there} bytes of numbers; shape {shape:?} needs {expected}"))
    }
}

/// Reads an array of `<u2`: its shape and its numbers, the last dimension fastest.
///
/// # Errors
///
/// As [`open`], and if the numbers have another type, or are fewer or more than the shape says.
pub fn read_u16(bytes: &[u8]) -> Result<(Vec<usize>, Vec<u16>), String> {
    let raw = open(bytes)?;
    if raw.kind != "<u2" {
        return Err(format!("its numbers are {}; expected <u2", raw.kind));
    }
    raw.check(2)?;
    let numbers = raw.numbers.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair));
    Ok((raw.shape, numbers.collect()))
}

/// The bytes of a file of `<u2`.
pub fn write_u16(shape: &[usize], numbers: &[u16]) -> Vec<u8> {
    let mut bytes = start("<u2", shape);
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes
}

/// The beginning of a file of format 1; the numbers follow.
pub fn start(kind: &str, shape: &[usize]) -> Vec<u8> {
    let sizes: String = shape.iter().map(|size| format!("{size}, ")).collect();
    let sizes = if shape.len() == 1 { sizes.trim_end() } else { sizes.trim_end_matches(", ") };
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({sizes}), }}");
    // Numbers begin at a multiple of 64, after ten bytes, the header, spaces and a line feed.
    let length = (10 + header.len() + 1).next_multiple_of(64) - 11;
    let mut bytes = MAGIC.to_vec();
    bytes.extend([1, 0]);
    bytes.extend((length as u16 + 1).to_le_bytes());
    bytes.extend(format!("{header:length$}\n").bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that `numpy.save` writes for `numpy.array([[1, 65535]], "<u2")`.
    fn pair() -> Vec<u8> {
        let header = "{'descr': '<u2', 'fortran_order': False, 'shape': (1, 2), }";
        let start = [MAGIC, &[1, 0, 0x76, 0]].concat();
        let text = format!("{header:117}\n");
        [&start, text.as_bytes(), &[1, 0, 0xff, 0xff]].concat()
    }

    #[test]
    fn numpys_file_is_read_and_written() {
        assert_eq!(read_u16(&pair()), Ok((vec![1, 2], vec![1, 65535])));
        assert_eq!(write_u16(&[1, 2], &[1, 65535]), pair());
        assert_eq!(read_u16(&write_u16(&[3], &[1, 2, 3])), Ok((vec![3], vec![1, 2, 3])));
    }

    #[test]
    fn every_cut_is_refused() {
        let bytes = pair();
        for end in 0..bytes.len() {
            assert!(read_u16(&bytes[..end]).is_err(), "cut at {end}");
        }
        let error = read_u16(&bytes[..bytes.len() - 1]).unwrap_err();
        assert_eq!(error, "3 bytes of numbers; shape [1, 2] needs 4");
    }

    #[test]
    fn other_types_and_sizes_are_named() {
        let other = [start("<f4", &[1]), vec![0; 4]].concat();
        assert_eq!(read_u16(&other), Err("its numbers are <f4; expected <u2".into()));
        let huge = start("<u2", &[usize::MAX, 9]);
        assert!(read_u16(&huge).unwrap_err().contains("more than memory holds"));
    }
}
