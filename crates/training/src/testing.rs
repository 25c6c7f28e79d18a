//! Test scaffold of this crate.

/// Numbers that follow from the salt and their places alone, between `-scale / 2` and `scale / 2`, as
/// references were given.
pub(crate) fn fill(salt: u64, n: usize, scale: f64) -> Vec<f32> {
    let mix = |x: u64| {
        let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let value = |i: u64| {
        let unit = (mix((salt << 32) + i) >> 11) as f64 * 2_f64.powi(-53) - 0.5;
        (unit * scale) as f32
    };
    (0..n as u64).map(value).collect()
}
