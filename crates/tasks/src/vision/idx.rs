//! IDX files, plain or compressed by gzip: the format of MNIST.
//!
//! <http://yann.lecun.com/exdb/mnist>: a magic number, the size of each dimension as a big-endian
//! u32, then bytes.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::data::most_unpacked;

/// The bytes of an IDX file with this magic number and number of dimensions, and the size of each dimension.
/// No more is unpacked than the header announces.
pub(crate) fn read<const D: usize>(
    file: &[u8],
    magic: u32,
) -> Result<([usize; D], Vec<u8>), String> {
    match file.starts_with(&[0x1f, 0x8b]) {
        true => parse(GzDecoder::new(file), most_unpacked(file.len() as u64), magic),
        false => parse(file, file.len() as u64, magic),
    }
}

/// Reads a stream that has `most` bytes at most.
fn parse<const D: usize>(
    mut stream: impl Read,
    most: u64,
    magic: u32,
) -> Result<([usize; D], Vec<u8>), String> {
    let header = 4 + 4 * D;
    let start = up_to(&mut stream, header as u64)?;
    if start.len() < header {
        return Err(format!("{} bytes; the header of an IDX file has {header}", start.len()));
    }
    let word = |i: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| start[4 * i + byte]));
    if word(0) != magic {
        return Err(format!("its magic number is {:#010x}; expected {magic:#010x}", word(0)));
    }
    let sizes: [usize; D] = std::array::from_fn(|i| word(i + 1) as usize);
    let promised = || sizes.map(|size| size.to_string()).join(" x ");
    let wanted = sizes.iter().try_fold(1_u64, |product, size| product.checked_mul(*size as u64));
    let Some(wanted) = wanted.filter(|wanted| *wanted <= most) else {
        let promised = promised();
        return Err(format!("the header promises {promised}; the file has at most {most} bytes"));
    };
    // One byte more, to see whether the file ends there.
    let bytes = up_to(&mut stream, wanted + 1)?;
    match bytes.len() as u64 {
        there if there == wanted => Ok((sizes, bytes)),
        there => {
            let there =
                if there > wanted { format!("more than {wanted}") } else { there.to_string() };
            Err(format!("{there} bytes after the header; the header promises {}", promised()))
        }
    }
}

/// The next bytes of a stream, `most` at most.
fn up_to(stream: &mut impl Read, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    match stream.take(most).read_to_end(&mut bytes) {
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
        let longer = [&file[..], &[7; 9]].concat();
        let expected = "more than 6 bytes after the header; the header promises 2 x 1 x 3";
        assert_eq!(error(&longer), expected);
        assert_eq!(error(&gzip(&longer)), expected);
        let packed = gzip(&file);
        assert!(error(&packed[..packed.len() - 9]).contains("gzip stream is broken or cut off"));
        let mut changed = packed;
        let checksum = changed.len() - 8;
        changed[checksum] ^= 1;
        assert!(error(&changed).contains("gzip stream is broken or cut off"));
    }

    /// Counts the bytes that are taken.
    struct Counted<'a>(std::io::Repeat, &'a std::cell::Cell<usize>);

    impl Read for Counted<'_> {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            let n = self.0.read(to)?;
            self.1.set(self.1.get() + n);
            Ok(n)
        }
    }

    #[test]
    fn no_more_is_taken_than_the_header_announces() {
        let (header, taken) = (idx(0x803, &[2, 1, 3], &[]), std::cell::Cell::new(0));
        let endless = (&header[..]).chain(Counted(std::io::repeat(7), &taken));
        assert!(parse::<3>(endless, 1 << 40, 0x803).unwrap_err().contains("more than 6 bytes"));
        assert_eq!(taken.get(), 7);
        // A header that promises more than the packed bytes can hold.
        let large = gzip(&idx(0x803, &[1 << 20, 1 << 10, 1 << 10], &[0; 6]));
        let err = read::<3>(&large, 0x803).unwrap_err();
        assert!(
            err.starts_with("the header promises 1048576 x 1024 x 1024; the file has "),
            "{err}"
        );
    }
}
