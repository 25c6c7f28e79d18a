//! Shared parts of the tests against published code.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{fs, path::Path};

use burn::prelude::*;
use moe::Library;
use serde::{Deserialize, de::DeserializeOwned};

/// The fixture of this name.
pub(crate) fn fixture<T: DeserializeOwned>(name: &str) -> T {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The rule by which a parameter is filled: `plus` + numbers of the salt.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filled {
    pub(crate) path: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) salt: u64,
    pub(crate) scale: f64,
    pub(crate) plus: f32,
}

impl Filled {
    pub(crate) fn data(&self) -> TensorData {
        let filled = fill(self.salt, &self.shape, self.scale);
        let values: Vec<f32> = filled.iter::<f32>().map(|x| x + self.plus).collect();
        TensorData::new(values, self.shape.clone())
    }
}

/// Reproducible numbers, the same as in the published code's run.
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

/// All plug-ins from which networks are built.
pub(crate) fn library() -> Library {
    Library { routers: routers::all(), experts: experts::all(), residuals: residuals::all() }
}

/// Checks numbers, with this tolerance relative to their size or to 1.
#[track_caller]
pub(crate) fn close_to(found: &[f32], expected: &[f32], tolerance: f32) {
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= tolerance * b.abs().max(1.0);
    let same = found.len() == expected.len() && found.iter().zip(expected).all(near);
    assert!(same, "found {found:?}, expected {expected:?}");
}

/// Checks numbers to 1e-5.
#[track_caller]
pub(crate) fn close(found: &[f32], expected: &[f32]) {
    close_to(found, expected, 1e-5);
}
