//! Test scaffold: parts of the network with the values of the reference fixtures.

use burn::{module::Module, prelude::*};
use moe::{parameters, with_parameters};

use crate::worked::{agrees, fill};

/// F(salt; shape), the numbers that were the inputs of the references.
pub(super) fn values<const D: usize>(salt: u64, shape: [usize; D]) -> Tensor<D> {
    let data = TensorData::new(fill(salt, shape.iter().product(), 1.0), shape);
    Tensor::from_data(data, &Device::flex())
}

/// The module with F(salt) in these parameters. Matrices are given as in the references, `[out, in]`.
pub(super) fn given<M: Module>(module: M, salts: &[(&str, u64)]) -> M {
    let known = parameters(&module);
    let numbers = salts.iter().map(|(path, salt)| {
        let shape = &known.iter().find(|known| known.path == *path).expect(path).shape;
        let data = match shape[..] {
            [before, after] => values::<2>(*salt, [after, before]).transpose().into_data(),
            _ => TensorData::new(fill(*salt, shape.iter().product(), 1.0), shape.clone()),
        };
        (path.to_string(), data)
    });
    with_parameters(module, numbers.collect()).expect("the paths are known")
}

/// Checks a tensor to 2e-5, and records it for `docs/worked-numbers.md`.
pub(super) fn near<const D: usize>(name: &str, found: Tensor<D>, expected: &[f32]) {
    agrees(name, &found.into_data().iter().collect::<Vec<f32>>(), expected);
}
