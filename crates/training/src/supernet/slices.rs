//! Leading slices of tensors.

use burn::{
    module::{Module, Param},
    nn::Linear,
    prelude::*,
};
use kernels::{layer_norm, linear};
use moe::Init;

/// The first `n` entries along an axis.
pub(super) fn front<const D: usize>(x: Tensor<D>, axis: usize, n: usize) -> Tensor<D> {
    match x.dims()[axis] == n {
        true => x,
        false => x.narrow(axis, 0, n),
    }
}

/// The first `d_in` rows and `d_out` columns of the matrix of a map, `[d_in, d_out]`.
pub(super) fn front_matrix(map: &Linear, [d_in, d_out]: [usize; 2]) -> Tensor<2> {
    front(front(map.weight.val(), 0, d_in), 1, d_out)
}

/// The first `d_out` numbers of the bias of a map, if it has one.
pub(super) fn front_bias(map: &Linear, d_out: usize) -> Option<Tensor<1>> {
    map.bias.as_ref().map(|bias| front(bias.val(), 0, d_out))
}

/// The leading slice of a linear map: `[.., d_in] -> [.., d_out]`, by the first rows and columns.
pub(super) fn front_linear<const D: usize>(map: &Linear, x: Tensor<D>, d_out: usize) -> Tensor<D> {
    let d_in = x.dims()[D - 1];
    linear(x, front_matrix(map, [d_in, d_out]), front_bias(map, d_out))
}

/// The same map with only the first rows and columns, as parameters with the same names.
pub(super) fn cut_linear(map: &Linear, size: [usize; 2]) -> Linear {
    let bias = map.bias.as_ref();
    Linear {
        weight: cut(&map.weight, front_matrix(map, size)),
        bias: bias.zip(front_bias(map, size[1])).map(|(bias, value)| cut(bias, value)),
    }
}

/// A parameter with the same name and another value.
pub(super) fn cut<const D: usize>(param: &Param<Tensor<D>>, value: Tensor<D>) -> Param<Tensor<D>> {
    let value = value.detach();
    let value = if value.is_autodiff() { value.require_grad() } else { value };
    Param::initialized(param.id, value)
}

/// A layer norm of which a leading slice is used.
#[derive(Module, Debug)]
pub(super) struct FrontNorm {
    gamma: Param<Tensor<1>>,
    beta: Param<Tensor<1>>,
    epsilon: f64,
}

impl FrontNorm {
    /// Makes a norm for streams of at most this width.
    pub(super) fn new(init: &Init, name: &str, width: usize, epsilon: f64) -> Self {
        let init = init.at(name);
        let gamma = init.constant("gamma", [width], 1.0);
        Self { gamma, beta: init.constant("beta", [width], 0.0), epsilon }
    }

    /// Normalises a stream `[B, T, d]`.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [.., d] = x.dims();
        let (gamma, beta) = (front(self.gamma.val(), 0, d), front(self.beta.val(), 0, d));
        layer_norm(x, gamma, Some(beta), self.epsilon)
    }

    /// The same with only this width.
    pub(super) fn cut(&self, width: usize) -> Self {
        Self {
            gamma: cut(&self.gamma, front(self.gamma.val(), 0, width)),
            beta: cut(&self.beta, front(self.beta.val(), 0, width)),
            epsilon: self.epsilon,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_of_a_map_is_its_first_rows_and_columns() {
        let init = Init::new(0, &Device::flex());
        let mut map = init.linear("map", 3, 2, true);
        map.weight = init.given("w", [3, 2], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        map.bias = Some(init.given("b", [2], vec![10.0, 20.0]));
        let x = Tensor::<2>::from_floats([[1.0, 2.0]], &Device::flex());
        let y = front_linear(&map, x.clone(), 1).into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(y, [17.0], "1 * 1 + 2 * 3 + 10");
        let cut = cut_linear(&map, [2, 1]);
        assert_eq!(cut.weight.val().dims(), [2, 1]);
        assert_eq!(front_linear(&cut, x, 1).into_data().try_to_vec::<f32>().unwrap(), [17.0]);
    }
}
