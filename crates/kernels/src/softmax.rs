//! Softmax over the last axis, with one pass over the lines forward and one backward.
//!
//! ```text
//! p = e^(x - max x) / sum e^(x - max x)        dx = p (dp - sum(p dp))
//! ```

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex, TensorMetadata,
        autodiff::checkpoint::strategy::CheckpointStrategy, backend_extension, flex::FlexTensor,
        tensor::FloatTensor,
    },
    tensor::{Tensor, activation},
};
use rayon::prelude::*;

use crate::{
    differentiable::{SavedForBackward, differentiable},
    flex::{slice, takes},
    math::exp_negative,
    simd::{dot, largest, sum, vectorized},
};

/// Divides `e^x` by its sum along axis `dim`. The last axis has a kernel.
pub fn softmax<const D: usize>(x: Tensor<D>, dim: usize) -> Tensor<D> {
    if dim + 1 != D || !takes(&x) {
        return activation::softmax(x, dim);
    }
    Tensor::from_dispatch(<Dispatch as Softmax>::last_softmax(x.into_dispatch()))
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait Softmax: Backend {
    /// See [`softmax`].
    fn last_softmax(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Its backward pass.
pub(crate) trait SoftmaxBackward: Softmax {
    /// The gradient of the input, from the output and its gradient.
    fn last_softmax_backward(p: FloatTensor<Self>, dp: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The least number of elements of a piece of work.
const PIECE: usize = 1 << 14;

/// The length of a line, and that of a piece, which consists of whole lines.
fn sizes(x: &FlexTensor) -> (usize, usize) {
    let shape = x.shape();
    let width = shape[shape.num_dims() - 1].max(1);
    (width, PIECE.next_multiple_of(width))
}

impl Softmax for Flex {
    fn last_softmax(x: FlexTensor) -> FlexTensor {
        let mut p = x.to_contiguous();
        drop(x);
        let (width, piece) = sizes(&p);
        let out: &mut [f32] = p.storage_mut();
        out.par_chunks_mut(piece).for_each(|p| lines(p, width));
        p
    }
}

impl SoftmaxBackward for Flex {
    fn last_softmax_backward(p: FlexTensor, dp: FlexTensor) -> FlexTensor {
        let (p, mut dx) = (p.to_contiguous(), dp.to_contiguous());
        drop(dp);
        let (width, piece) = sizes(&p);
        let out: &mut [f32] = dx.storage_mut();
        let pieces = out.par_chunks_mut(piece).zip(slice(&p).par_chunks(piece));
        pieces.for_each(|(dx, p)| lines_back(dx, p, width));
        dx
    }
}

vectorized! {
    /// Replaces each line by its softmax.
    fn lines(p: &mut [f32], width: usize) {
        for line in p.chunks_exact_mut(width) {
            let most = largest(line);
            for x in &mut *line {
                *x = exp_negative(*x - most);
            }
            let factor = 1.0 / sum(line);
            for x in line {
                *x *= factor;
            }
        }
    }
}

vectorized! {
    /// Replaces `dp` by `dx`, line by line.
    fn lines_back(dx: &mut [f32], p: &[f32], width: usize) {
        for (dx, p) in dx.chunks_exact_mut(width).zip(p.chunks_exact(width)) {
            let mean = dot(dx, p);
            for (dx, p) in dx.iter_mut().zip(p) {
                *dx = *p * (*dx - mean);
            }
        }
    }
}

impl<B: SoftmaxBackward, C: CheckpointStrategy> Softmax for Autodiff<B, C> {
    fn last_softmax(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let tracked = |x: FloatTensor<B>| {
            let p = B::last_softmax(x);
            (p.clone(), Output(p))
        };
        differentiable::<B, C, _>(x, tracked, B::last_softmax)
    }
}

#[derive(Clone, Debug)]
struct Output<T>(T);

impl<B: SoftmaxBackward> SavedForBackward<B> for Output<FloatTensor<B>> {
    fn gradient(self, dp: FloatTensor<B>) -> FloatTensor<B> {
        B::last_softmax_backward(self.0, dp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;

    fn weight(i: usize) -> f32 {
        (i * 7919 % 1013) as f32 / 500.0
    }

    /// Output, and the gradient of a weighted sum of it.
    fn run(x: &[f32], width: usize) -> [Vec<f32>; 2] {
        let shape = [1, x.len() / width, width];
        let tensor = |values: Vec<f32>| {
            Tensor::<3>::from_data(TensorData::new(values, shape), &Device::flex().autodiff())
        };
        let weights = (0..x.len()).map(weight).collect();
        let x = tensor(x.to_vec()).require_grad();
        let p = softmax(x.clone(), 2);
        let grads = (p.clone() * tensor(weights)).sum().backward();
        [p, x.grad(&grads).unwrap()].map(|t| t.into_data().iter::<f32>().collect())
    }

    /// The results for one line, from place `first` on, in double precision.
    fn exact(x: &[f32], first: usize) -> Vec<[f64; 2]> {
        let powers: Vec<f64> = x.iter().map(|x| f64::from(*x).exp()).collect();
        let sum: f64 = powers.iter().sum();
        let weight = |i: usize| f64::from(weight(first + i));
        let mean: f64 = powers.iter().enumerate().map(|(i, p)| p / sum * weight(i)).sum();
        let both = |(i, p): (usize, &f64)| [p / sum, p / sum * (weight(i) - mean)];
        powers.iter().enumerate().map(both).collect()
    }

    proptest! {
        #[test]
        fn it_is_right_to_the_last_digits_forward_and_backward(
            x in prop::collection::vec(-9.0_f32..9.0, 2 * 3 * 35),
            width in prop::sample::select(vec![1_usize, 5, 7, 35]),
        ) {
            let [p, dx] = run(&x, width);
            for (line, x) in x.chunks(width).enumerate() {
                for (i, [exact_p, exact_dx]) in exact(x, line * width).into_iter().enumerate() {
                    let i = line * width + i;
                    prop_assert!((f64::from(p[i]) - exact_p).abs() <= 5e-7);
                    prop_assert!((f64::from(dx[i]) - exact_dx).abs() <= 1e-6);
                }
            }
        }
    }

    #[test]
    fn other_axes_are_burns() {
        let x = Tensor::<2>::from_floats([[0.0, 1.0, 2.0], [2.0, -1.0, 0.5]], &Device::flex());
        let (ours, burns) = (softmax(x.clone(), 0), activation::softmax(x, 0));
        assert_eq!(ours.into_data(), burns.into_data());
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let x = [0.5_f32, -1.0, 2.0, 0.25];
        let loss = |x: [f64; 4]| {
            let sum: f64 = x.iter().map(|x| x.exp()).sum();
            (0..4).map(|i| x[i].exp() / sum * f64::from(weight(i))).sum::<f64>()
        };
        let [_, found] = run(&x, 4);
        for (i, found) in found.iter().enumerate() {
            let at = |h: f64| {
                let mut x = x.map(f64::from);
                x[i] += h;
                loss(x)
            };
            let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn minus_infinity_has_no_share_and_no_number_stays_none() {
        let device = Device::flex();
        let p = softmax(Tensor::<2>::from_floats([[0.0, f32::NEG_INFINITY, 0.0]], &device), 1);
        assert_eq!(p.into_data().try_to_vec::<f32>().unwrap(), [0.5, 0.0, 0.5]);
        let p = softmax(Tensor::<2>::from_floats([[0.0, f32::NAN]], &device), 1);
        assert!(p.into_data().iter::<f32>().any(f32::is_nan));
    }
}
