//! IDX files, plain or compressed by gzip: the format of MNIST.
//!
//! <http://yann.lecun.com/exdb/mnist>: a magic number, the size of each dimension as a big-endian
//! u32, then bytes.

use std::io::Read;

use flate2::read::GzDecoder;

/// The bytes of an IDX file with these magic number and dimensions, and the size of each.
pub(crate) fn read<const D: usize>(
    file: &[u8],
    magic: u32,
) -> Result<([usize; D], Vec<u8>), String> {
    let bytes = unpacked(file)?;
    let header = 4 + 4 * D;
    if bytes.len() < header {
        return Err(format!("{} bytes; the header of an IDX file has {header}", bytes.len()));
    }
    let word = |i: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| bytes[4 * i + byte]));
    if word(0) != magic {
        return Err(format!("its magic number is {:#010x}; expected {magic:#010x}", word(0)));
    }
    let sizes: [usize; D] = std::array::from_fn(|i| word(i + 1) as usize);
    let wanted = sizes.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    let there = bytes.len() - header;
    if wanted != Some(there) {
        let sizes = sizes.map(|size| size.to_string()).join(" x ");
        return Err(format!("{there} bytes after the header; the header promises {sizes}"));
    }
    Ok((sizes, bytes[header..].to_vec()))
}

fn unpacked(file: &[u8]) -> Result<Vec<u8>, String> {
    if !file.starts_with(&[0x1f, 0x8b]) {
        return Ok(file.to_vec());
    }
    let mut bytes = Vec::new();
    match GzDecoder::new(file).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(err) => Err(format!("its gzip stream is broken or cut off ({err})")),
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    /// An IDX file.
    pub(crate) fn idx(magic: u32, sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
        let words = std::iter::once(&magic).chain(sizes).flat_map(|word| word.to_be_bytes());
        words.chain(bytes.iter().copied()).collect()
    }

    /// The same, compressed.
    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        testing::{gzip, idx},
        *,
    };

    #[test]
    fn plain_and_compressed_files_are_read() {
        let file = idx(0x803, &[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(read::<3>(&file, 0x803), Ok(([2, 1, 3], vec![1, 2, 3, 4, 5, 6])));
        assert_eq!(read::<3>(&gzip(&file), 0x803), read::<3>(&file, 0x803));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |file: &[u8]| read::<3>(file, 0x803).unwrap_err();
        let file = idx(0x803, &[2, 1, 3], &[1, 2, 3, 4, 5, 6]);
        assert!(
            error(&file[..21]).contains("5 bytes after the header; the header promises 2 x 1 x 3")
        );
        assert!(error(&file[..9]).contains("9 bytes; the header of an IDX file has 16"));
        let labels = idx(0x801, &[20], &[0; 20]);
        assert!(error(&labels).contains("0x00000801; expected 0x00000803"));
        let huge = idx(0x803, &[u32::MAX, u32::MAX, u32::MAX], &[0; 6]);
        assert!(error(&huge).contains("promises 4294967295 x 4294967295"));
        let packed = gzip(&file);
        assert!(error(&packed[..packed.len() - 9]).contains("gzip stream is broken or cut off"));
    }
}
