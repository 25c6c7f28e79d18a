//! Limits on the size of compressed files.

/// Unpacked data are refused if they have more bytes than the first number, and more than the second number
/// times the packed size.
const LARGE: [u64; 2] = [64 << 20, 100];

/// The maximum number of bytes that are read from a compressed file of `packed` bytes.
pub(crate) fn most_unpacked(packed: u64) -> u64 {
    files::most_unpacked(packed, LARGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_may_be_dense_and_large_ones_may_not() {
        assert_eq!(most_unpacked(1000), 1_032_000);
        assert_eq!(most_unpacked(500_000), 64 << 20);
        assert_eq!(most_unpacked(1_000_000), 100_000_000);
        assert_eq!(most_unpacked(u64::MAX), 4 << 30);
    }
}
