//! The sum and the mean of all numbers of a tensor.
//!
//! Burn adds one number after the other, so that the rounding error grows with their number. Here each of
//! the 16 lanes of a piece is a chain of 32 numbers, and the sums of the pieces are then added in the same
//! way.

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex, TensorMetadata,
        autodiff::checkpoint::strategy::CheckpointStrategy, backend_extension, flex::FlexTensor,
        tensor::FloatTensor,
    },
    tensor::{Shape, Tensor},
};
use rayon::prelude::*;

use crate::{
    differentiable::{SavedForBackward, differentiable},
    flex::{slice, takes, zeros},
    simd::{self, vectorized},
};

/// The sum of all numbers, as [`Tensor::sum`].
pub fn sum<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    if !takes(&x) {
        return x.sum();
    }
    Tensor::from_dispatch(<Dispatch as Total>::total(x.into_dispatch()))
}

/// The mean of all numbers, as [`Tensor::mean`].
pub fn mean<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let n = x.shape().num_elements();
    sum(x) / n as f64
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Total: Backend {
    /// See [`sum`].
    fn total(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The number of elements of a piece.
const PIECE: usize = 32 * simd::LANES;

impl Total for Flex {
    fn total(x: FlexTensor) -> FlexTensor {
        let x = x.to_contiguous();
        let mut y = zeros([1]);
        y.storage_mut()[0] = of_pieces(slice(&x));
        y
    }
}

fn of_pieces(x: &[f32]) -> f32 {
    if x.len() <= PIECE {
        return piece(x);
    }
    let sums: Vec<f32> = x.par_chunks(PIECE).with_min_len(128).map(piece).collect();
    of_pieces(&sums)
}

vectorized! {
    /// The sum of a piece.
    fn piece(x: &[f32]) -> f32 {
        simd::sum(x)
    }
}

impl<B: Total, C: CheckpointStrategy> Total for Autodiff<B, C> {
    fn total(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let tracked = |x: FloatTensor<B>| {
            let shape = x.shape();
            (B::total(x), Summed(shape))
        };
        differentiable::<B, C, _>(x, tracked, B::total)
    }
}

/// The shape of the summed tensor.
#[derive(Clone, Debug)]
struct Summed(Shape);

impl<B: Backend> SavedForBackward<B> for Summed {
    fn gradient(self, dy: FloatTensor<B>) -> FloatTensor<B> {
        let ones = vec![1; self.0.num_dims()];
        B::float_expand(B::float_reshape(dy, Shape::from(ones)), self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn tensor(values: Vec<f32>) -> Tensor<2> {
        let shape = [1, values.len()];
        Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff())
    }

    #[test]
    fn a_long_sum_keeps_its_digits() {
        let n = 1_000_003;
        let total = sum(tensor(vec![0.1; n])).into_scalar::<f32>();
        let exact = n as f32 * 0.1;
        assert!((total - exact).abs() < 1e-6 * exact, "{total} {exact}");
        assert_eq!(mean(tensor(vec![1.0, 2.0, 6.0])).into_scalar::<f32>(), 3.0);
    }

    #[test]
    fn the_gradient_is_one_for_each_number() {
        let x = tensor(vec![1.0, 2.0, 3.0]).require_grad();
        let grads = (sum(x.clone().transpose()) * 5.0).backward();
        let gradient = x.grad(&grads).unwrap().into_data().try_to_vec::<f32>();
        assert_eq!(gradient.unwrap(), [5.0; 3]);
    }
}
