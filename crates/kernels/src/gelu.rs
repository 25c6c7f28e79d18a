//! The exact GELU as a separate operation.

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex, autodiff::checkpoint::strategy::CheckpointStrategy,
        backend_extension, flex::FlexTensor, tensor::FloatTensor,
    },
    tensor::Tensor,
};

use crate::{
    activation::{Act, Activation, Gelu},
    differentiable::{SavedForBackward, differentiable},
    flex::{slice, takes},
    simd::vectorized,
};

/// The exact Gaussian error linear unit, like Burn's, but a few times faster.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !takes(&x) {
        return Activation::Gelu.portable(x);
    }
    Tensor::from_dispatch(<Dispatch as FastGelu>::fast_gelu(x.into_dispatch()))
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait FastGelu: Backend {
    /// See [`gelu`].
    fn fast_gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Its backward pass.
pub(crate) trait GeluBackward: FastGelu {
    /// The gradient of the input, from the input and the output's gradient.
    fn fast_gelu_backward(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;
}

vectorized! {
    /// Applies the function in place.
    fn values(y: &mut [f32]) {
        for y in y {
            *y = Gelu::value(*y);
        }
    }
}

vectorized! {
    /// `dx *= gelu'(x)`.
    fn slopes(dx: &mut [f32], x: &[f32]) {
        for (dx, x) in dx.iter_mut().zip(x) {
            *dx *= Gelu::both(*x).1;
        }
    }
}

impl FastGelu for Flex {
    fn fast_gelu(x: FlexTensor) -> FlexTensor {
        let mut y = x.to_contiguous();
        drop(x);
        values(y.storage_mut());
        y
    }
}

impl GeluBackward for Flex {
    fn fast_gelu_backward(x: FlexTensor, dy: FlexTensor) -> FlexTensor {
        let (x, mut dx) = (x.to_contiguous(), dy.to_contiguous());
        drop(dy);
        slopes(dx.storage_mut(), slice(&x));
        dx
    }
}

impl<B: GeluBackward, C: CheckpointStrategy> FastGelu for Autodiff<B, C> {
    fn fast_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let tracked = |x: FloatTensor<B>| (B::fast_gelu(x.clone()), Input(x));
        differentiable::<B, C, _>(x, tracked, B::fast_gelu)
    }
}

#[derive(Clone, Debug)]
struct Input<T>(T);

impl<B: GeluBackward> SavedForBackward<B> for Input<FloatTensor<B>> {
    fn gradient(self, dy: FloatTensor<B>) -> FloatTensor<B> {
        B::fast_gelu_backward(self.0, dy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Distribution, TensorData, activation};

    #[test]
    fn it_is_burns_gelu_forward_and_backward() {
        let device = Device::flex().autodiff();
        let x = Tensor::<2>::random([64, 37], Distribution::Normal(0.0, 2.0), &device);
        let run = |f: fn(Tensor<2>) -> Tensor<2>| {
            let x = x.clone().detach().require_grad();
            // Through a transpose, so that the input is not contiguous.
            let y = f(x.clone().transpose());
            let weights =
                Tensor::<1>::from_floats([1.0], &device).reshape([1, 1]) + y.clone().detach();
            let grads = (y.clone() * weights).sum().backward();
            (y.into_data(), x.grad(&grads).unwrap().into_data())
        };
        let fast = run(gelu);
        for slow in [run(activation::gelu), run(|x| Activation::Gelu.portable(x))] {
            near(fast.0.clone(), slow.0);
            near(fast.1.clone(), slow.1);
        }
    }

    fn near(a: TensorData, b: TensorData) {
        for (a, b) in a.iter::<f32>().zip(b.iter::<f32>()) {
            assert!((a - b).abs() <= 2e-6 * b.abs().max(1.0), "{a} {b}");
        }
    }
}
