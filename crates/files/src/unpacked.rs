//! Limits on the size of compressed files.

/// The most bytes that are read from any of them: 4 GiB.
const MOST: u64 = 4 << 30;
/// The most bytes that deflate makes of one byte. Files that promise more overlap or are wrong.
const RATIO: u64 = 1032;

/// The most bytes that are read from a compressed file of `packed` bytes: 1032 times as many, as far as that is
/// no more than `large`, beyond it `times` as many, and 4 GiB in all.
pub fn most_unpacked(packed: u64, [large, times]: [u64; 2]) -> u64 {
    let most = packed.saturating_mul(RATIO).min(large.max(packed.saturating_mul(times)));
    most.min(MOST)
}
