//! What the tests against published code share.

use burn::prelude::*;
use moe::Library;

/// Reproducible numbers, as the published code was given.
#[allow(dead_code, reason = "not every test fills parameters")]
pub(crate) fn fill(salt: u64, shape: &[usize], scale: f64) -> TensorData {
    let mix = |x: u64| {
        let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    let value = |i| {
        let unit = (mix((salt << 32) + i) >> 11) as f64 * 2_f64.powi(-53) - 0.5;
        (unit * scale) as f32
    };
    let values: Vec<f32> = (0..shape.iter().product::<usize>() as u64).map(value).collect();
    TensorData::new(values, shape.to_vec())
}

/// Everything that networks are built from.
pub(crate) fn library() -> Library {
    Library { routers: routers::all(), experts: experts::all(), residuals: residuals::all() }
}

/// Are these the numbers, to this share of theirs, or of 1?
#[track_caller]
pub(crate) fn close_to(found: &[f32], expected: &[f32], tolerance: f32) {
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= tolerance * b.abs().max(1.0);
    let same = found.len() == expected.len() && found.iter().zip(expected).all(near);
    assert!(same, "found {found:?}, expected {expected:?}");
}

/// To 1e-5.
#[track_caller]
#[allow(dead_code, reason = "not every test is so exact")]
pub(crate) fn close(found: &[f32], expected: &[f32]) {
    close_to(found, expected, 1e-5);
}
