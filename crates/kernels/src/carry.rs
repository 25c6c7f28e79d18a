//! A differentiable exchange of rows with other processes. The caller implements the exchange itself, on
//! the host.

use std::{fmt::Debug, sync::Arc};

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex, TensorMetadata,
        autodiff::checkpoint::strategy::CheckpointStrategy, backend_extension, flex::FlexTensor,
        tensor::FloatTensor,
    },
    tensor::{Tensor, TensorData},
};

use crate::{
    differentiable::{SavedForBackward, differentiable},
    flex::{slice, takes},
};

/// A map that moves rows without changing them; its gradient moves rows in the opposite direction.
pub trait Carry: Debug + Send + Sync {
    /// The received rows for the sent rows `[n, width]`, one after the other.
    fn there(&self, rows: &[f32], width: usize) -> Vec<f32>;
    /// The transposed map: from rows in the place of the received ones to rows in the place of the sent
    /// ones.
    fn back(&self, rows: &[f32], width: usize) -> Vec<f32>;
}

/// `[n, D] -> [m, D]`: the rows that [`Carry::there`] gives.
///
/// # Panics
/// If the tensor is not `f32` on the processor.
pub fn carry(x: Tensor<2>, by: &Arc<dyn Carry>) -> Tensor<2> {
    assert!(takes(&x), "rows go to other processes from the processor's memory, in f32");
    Tensor::from_dispatch(<Dispatch as CarryRows>::carried(x.into_dispatch(), By(by.clone(), true)))
}

/// The opposite direction: `[m, D] -> [n, D]`, by [`Carry::back`].
///
/// # Panics
/// As [`carry`].
pub fn carry_back(y: Tensor<2>, by: &Arc<dyn Carry>) -> Tensor<2> {
    assert!(takes(&y), "rows go to other processes from the processor's memory, in f32");
    Tensor::from_dispatch(<Dispatch as CarryRows>::carried(
        y.into_dispatch(),
        By(by.clone(), false),
    ))
}

/// A map, and whether it is applied forwards.
#[derive(Clone, Debug)]
pub(crate) struct By(Arc<dyn Carry>, bool);

#[backend_extension(Flex, Autodiff)]
pub(crate) trait CarryRows: Backend {
    /// See [`carry`].
    fn carried(x: FloatTensor<Self>, by: By) -> FloatTensor<Self>;
}

impl CarryRows for Flex {
    fn carried(x: FlexTensor, By(map, forwards): By) -> FlexTensor {
        let x = x.to_contiguous();
        let [_, d] = x.shape().dims();
        let rows = slice(&x);
        let moved = if forwards { map.there(rows, d) } else { map.back(rows, d) };
        let n = moved.len() / d.max(1);
        FlexTensor::from_data(TensorData::new(moved, [n, d]))
    }
}

impl<B: CarryRows, C: CheckpointStrategy> CarryRows for Autodiff<B, C> {
    fn carried(x: FloatTensor<Self>, by: By) -> FloatTensor<Self> {
        let tracked = |x| (B::carried(x, by.clone()), Carried(By(by.0.clone(), !by.1)));
        differentiable::<B, C, _>(x, tracked, |x| B::carried(x, by.clone()))
    }
}

/// The map of the backward pass.
#[derive(Clone, Debug)]
struct Carried(By);

impl<B: CarryRows> SavedForBackward<B> for Carried {
    fn gradient(self, dy: FloatTensor<B>) -> FloatTensor<B> {
        B::carried(dy, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    /// A map that takes rows 2 and 0.
    #[derive(Debug)]
    struct Two;

    impl Carry for Two {
        fn there(&self, rows: &[f32], width: usize) -> Vec<f32> {
            [&rows[2 * width..3 * width], &rows[..width]].concat()
        }
        fn back(&self, rows: &[f32], width: usize) -> Vec<f32> {
            [&rows[width..], &vec![0.0; width], &rows[..width]].concat()
        }
    }

    #[test]
    fn a_gradient_goes_the_other_way() {
        let device = Device::flex().autodiff();
        let by: Arc<dyn Carry> = Arc::new(Two);
        let x = Tensor::<2>::from_floats([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], &device);
        let x = x.require_grad();
        let values = |x: Tensor<2>| x.into_data().try_into_vec::<f32>().unwrap();
        let y = carry(x.clone(), &by);
        assert_eq!(values(y.clone()), [5.0, 6.0, 1.0, 2.0]);
        assert_eq!(values(carry_back(y.clone(), &by)), [1.0, 2.0, 0.0, 0.0, 5.0, 6.0]);
        let goal = Tensor::<2>::from_floats([[1.0, 10.0], [100.0, 1000.0]], &device);
        let grads = (y * goal).sum().backward();
        assert_eq!(values(x.grad(&grads).unwrap()), [100.0, 1000.0, 0.0, 0.0, 1.0, 10.0]);
    }
}
