//! The exact GELU by itself.

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex,
        autodiff::{
            checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
            grads::Gradients,
            ops::{Backward, Ops, OpsKind, unary},
        },
        backend_extension,
        flex::FlexTensor,
        tensor::FloatTensor,
    },
    tensor::Tensor,
};

use crate::{
    activation::{Act, Gelu},
    flex::{slice, takes},
    simd::vectorized,
};

/// The exact Gaussian error linear unit, as Burn's, a few times faster.
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if !takes(&x) {
        return portable(x);
    }
    Tensor::from_dispatch(<Dispatch as FastGelu>::fast_gelu(x.into_dispatch()))
}

/// The composition. Burn's own is exact forward, but backward on graphics cards it takes the slope of
/// the approximation by tanh, which is off by up to 5e-4.
pub(crate) fn portable<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let below = ((x.clone() / std::f64::consts::SQRT_2).erf() + 1.0) / 2.0;
    x * below
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait FastGelu: Backend {
    /// Value by value.
    fn fast_gelu(x: FloatTensor<Self>) -> FloatTensor<Self>;
    /// The gradient of the input, from the input and the output's gradient.
    fn fast_gelu_backward(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;
}

vectorized! {
    /// In place.
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

    fn fast_gelu_backward(x: FlexTensor, dy: FlexTensor) -> FlexTensor {
        let (x, mut dx) = (x.to_contiguous(), dy.to_contiguous());
        drop(dy);
        slopes(dx.storage_mut(), slice(&x));
        dx
    }
}

impl<B: FastGelu, C: CheckpointStrategy> FastGelu for Autodiff<B, C> {
    fn fast_gelu(x: FloatTensor<Self>) -> FloatTensor<Self> {
        match Step.prepare::<C>([x.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let x = x.into_primitive();
                prep.finish(x.clone(), B::fast_gelu(x))
            }
            OpsKind::UnTracked(prep) => prep.finish(B::fast_gelu(x.into_primitive())),
        }
    }

    fn fast_gelu_backward(_x: FloatTensor<Self>, _dy: FloatTensor<Self>) -> FloatTensor<Self> {
        panic!("gradients of gradients are not supported")
    }
}

#[derive(Debug)]
struct Step;

impl<B: FastGelu> Backward<B, 1> for Step {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<FloatTensor<B>, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let x = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |dy| B::fast_gelu_backward(x, dy));
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
        for slow in [run(activation::gelu), run(portable)] {
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
