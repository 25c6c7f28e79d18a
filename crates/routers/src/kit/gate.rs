//! The linear gate that computes the scores of most routers, with one vector for each expert.

use burn::{
    module::{Module, Param},
    prelude::*,
};
use moe::{Dims, Init, Pass, matmul, read_back};

use crate::kit::scores;

/// Scores units by a linear map, s = x W, or s = x W + b.
#[derive(Module, Debug)]
pub struct Gate {
    /// `[D, E]`.
    pub(crate) weight: Param<Tensor<2>>,
    /// `[E]`.
    pub(crate) bias: Option<Param<Tensor<1>>>,
}

impl Gate {
    /// A fresh gate.
    pub fn new(dims: Dims, init: &Init) -> Self {
        Self::with_weight(init.at("gate").matrix("weight", [dims.width, dims.n_experts]))
    }

    /// A gate of given weights, `[D, E]`.
    pub fn with_weight(weight: Param<Tensor<2>>) -> Self {
        Self { weight, bias: None }
    }

    /// The gate with a bias of zeros, if `wanted`.
    pub fn with_bias(self, wanted: bool, dims: Dims, init: &Init) -> Self {
        let zeros = || init.at("gate").constant("bias", [dims.n_experts], 0.0);
        Self { bias: wanted.then(zeros), ..self }
    }

    /// A fresh gate whose weights are multiplied by `factor`.
    pub(crate) fn scaled(dims: Dims, init: &Init, factor: f64) -> Self {
        let (gate, shape) = (init.at("gate"), [dims.width, dims.n_experts]);
        let unscaled = gate.clone();
        let values = move || read_back(unscaled.matrix("weight", shape).val() * factor);
        Self::with_weight(gate.drawn("weight", shape, move |_| values().iter::<f32>().collect()))
    }

    /// `[G, U, D] -> [G, U, E]`: the scores, after [`scores::settle`].
    pub fn forward(&self, pass: &mut Pass, units: Tensor<3>) -> Tensor<3> {
        scores::settle(pass, self.products(units))
    }

    /// `[G, U, D] -> [G, U, E]`: the linear map, for a router that computes its scores from the result.
    pub fn products(&self, units: Tensor<3>) -> Tensor<3> {
        let [g, u, d] = units.dims();
        let [_, e] = self.weight.lazy_shape().dims();
        let products = matmul(units.reshape([g * u, d]), self.weight.val()).reshape([g, u, e]);
        match &self.bias {
            Some(bias) => products + bias.val().unsqueeze::<3>(),
            None => products,
        }
    }

    /// Floating-point operations for one unit, 2 D E.
    pub fn flops(&self) -> f64 {
        2.0 * self.weight.lazy_shape().num_elements() as f64
    }
}

#[cfg(test)]
impl Gate {
    /// A gate of the given weights, `[D, E]`.
    pub(crate) fn of(weight: Tensor<2>) -> Self {
        Self::with_weight(Param::from_tensor(weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::values;

    #[test]
    fn each_expert_has_a_vector() {
        let device = Device::flex();
        let gate = Gate::of(Tensor::from_floats([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]], &device));
        let units = Tensor::<3>::from_floats([[[1.0, 2.0]], [[-1.0, 0.0]]], &device);
        let s = gate.forward(&mut Pass::eval(), units);
        assert_eq!(s.dims(), [2, 1, 3]);
        assert_eq!(s.into_data().try_to_vec::<f32>().unwrap(), [1.0, 6.0, 4.0, -1.0, 0.0, -2.0]);
        assert_eq!(gate.flops(), 12.0);
    }

    #[test]
    fn a_bias_starts_at_zero_and_is_added() {
        let (device, dims) = (Device::flex(), Dims { width: 2, n_experts: 3, units: 1 });
        let init = Init::new(0, &device);
        let (plain, biased) =
            (Gate::new(dims, &init), Gate::new(dims, &init).with_bias(true, dims, &init));
        let units = Tensor::<3>::from_floats([[[1.0, 2.0]]], &device);
        let numbers = |gate: &Gate| values(gate.products(units.clone()));
        assert_eq!(numbers(&plain), numbers(&biased));
        let bias = Param::from_tensor(Tensor::from_floats([1.0, 0.0, -2.0], &device));
        let moved = Gate { bias: Some(bias), ..plain.clone() };
        let expected: Vec<f32> =
            numbers(&plain).iter().zip([1.0, 0.0, -2.0]).map(|(s, b)| s + b).collect();
        assert_eq!(numbers(&moved), expected);
    }
}
