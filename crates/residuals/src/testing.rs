//! Helpers that the tests of the rules share.

use burn::prelude::*;
use moe::{AnyResidual, Choice, Init, Pass};

/// A rule by its name, with some hyperparameters set.
pub(crate) fn rule(name: &str, set: &[(&str, f64)]) -> AnyResidual {
    let with = |choice: Choice, (key, value): &(&str, f64)| choice.with(key, *value);
    let choice = set.iter().fold(Choice::of(name), with);
    let build = crate::all().get(name).unwrap().build;
    (build.init)(&choice, 1, &Init::new(0, &Device::flex())).unwrap()
}

fn full(value: f32) -> Tensor<3> {
    Tensor::full([1, 1, 1], value, &Device::flex())
}

/// The values of the stream after each of the layers with these outputs, starting at `x`.
pub(crate) fn along(name: &str, set: &[(&str, f64)], x: f32, outputs: &[f32]) -> Vec<f32> {
    let (rule, mut pass, mut x) = (rule(name, set), Pass::eval(), full(x));
    let step = |output: &f32| {
        x = rule.step(&mut pass, x.clone(), x.clone(), &|_, _| full(*output));
        x.clone().into_scalar::<f32>()
    };
    outputs.iter().map(step).collect()
}

/// The values of the stream after each of `depth` layers f(z) = curvature z, starting at 1.
pub(crate) fn descend(name: &str, set: &[(&str, f64)], curvature: f64, depth: usize) -> Vec<f32> {
    let (rule, mut pass, mut x) = (rule(name, set), Pass::eval(), full(1.0));
    let step = |_| {
        x = rule.step(&mut pass, x.clone(), x.clone(), &|_, z| z * curvature);
        x.clone().into_scalar::<f32>()
    };
    (0..depth).map(step).collect()
}

/// Asserts that numbers agree to 1e-5.
pub(crate) fn close(found: &[f32], expected: &[f32]) {
    let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 + 1e-5 * b.abs();
    let same = found.len() == expected.len() && found.iter().zip(expected).all(near);
    assert!(same, "{found:?}, and not {expected:?}");
}
