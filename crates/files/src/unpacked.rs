//! Limits on the size of compressed files.

/// The maximum number of bytes that are read from any compressed file: 4 GiB.
const MOST: u64 = 4 << 30;
/// The maximum number of bytes that deflate makes of one byte. Files that promise more overlap or are wrong.
const RATIO: u64 = 1032;

/// The maximum number of bytes that are read from a compressed file of `packed` bytes: 1032 times as many,
/// but no more than the larger of `large` and `times` as many, and no more than 4 GiB.
pub fn most_unpacked(packed: u64, [large, times]: [u64; 2]) -> u64 {
    let most = packed.saturating_mul(RATIO).min(large.max(packed.saturating_mul(times)));
    most.min(MOST)
}
