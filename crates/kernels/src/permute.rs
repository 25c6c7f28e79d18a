//! Copies tokens to the rows of experts, and adds up the rows of each token, without a scatter.
//!
//! Each of the two operations is the backward pass of the other.

use std::sync::Arc;

use burn::{
    backend::{
        Autodiff, Backend, Dispatch, Flex, TensorMetadata,
        autodiff::checkpoint::strategy::CheckpointStrategy, backend_extension, flex::FlexTensor,
        tensor::FloatTensor,
    },
    tensor::{IndexingUpdateOp, Int, Tensor, TensorData},
};
use rayon::prelude::*;

use crate::{
    Rows,
    differentiable::{SavedForBackward, differentiable},
    flex::{slice, takes, zeros},
};

/// `[N, D] -> [rows, D]`: each row's token, in the order of the experts.
pub fn permute(x: Tensor<2>, rows: &Arc<Rows>) -> Tensor<2> {
    assert_eq!(x.dims()[0], rows.n_tokens, "tokens");
    if takes(&x) {
        let rows = rows.clone();
        return Tensor::from_dispatch(<Dispatch as MoveRows>::copy(x.into_dispatch(), rows));
    }
    let tokens = tokens(&x, rows);
    x.select(0, tokens)
}

/// `[rows, D] -> [N, D]`: the sum of each token's rows, zeros for a token that has none.
pub fn unpermute(y: Tensor<2>, rows: &Arc<Rows>) -> Tensor<2> {
    let [n, d] = y.dims();
    assert_eq!(n, rows.len(), "rows");
    if takes(&y) {
        let rows = rows.clone();
        return Tensor::from_dispatch(<Dispatch as MoveRows>::add_up(y.into_dispatch(), rows));
    }
    let (tokens, zeros) = (tokens(&y, rows), Tensor::<2>::zeros([rows.n_tokens, d], &y.device()));
    zeros.select_assign(0, tokens, y, IndexingUpdateOp::Add)
}

fn tokens(x: &Tensor<2>, rows: &Rows) -> Tensor<1, Int> {
    let tokens: Vec<i32> = rows.token.iter().map(|token| *token as i32).collect();
    Tensor::from_data(TensorData::new(tokens, [rows.len()]), &x.device().inner())
}

#[backend_extension(Flex, Autodiff)]
pub(crate) trait MoveRows: Backend {
    /// See [`permute`].
    fn copy(x: FloatTensor<Self>, rows: Arc<Rows>) -> FloatTensor<Self>;
    /// See [`unpermute`].
    fn add_up(y: FloatTensor<Self>, rows: Arc<Rows>) -> FloatTensor<Self>;
}

impl MoveRows for Flex {
    fn copy(x: FlexTensor, rows: Arc<Rows>) -> FlexTensor {
        let x = x.to_contiguous();
        let [_, d] = x.shape().dims();
        let mut out = zeros([rows.len(), d]);
        let lines = out.storage_mut::<f32>().par_chunks_exact_mut(d.max(1)).zip(&rows.token);
        lines.with_min_len(64).for_each(|(line, token)| {
            let start = *token as usize * d;
            line.copy_from_slice(&slice(&x)[start..start + d]);
        });
        out
    }

    fn add_up(y: FlexTensor, rows: Arc<Rows>) -> FlexTensor {
        let y = y.to_contiguous();
        let [_, d] = y.shape().dims();
        let mut out = zeros([rows.n_tokens, d]);
        let chunks = out.storage_mut::<f32>().par_chunks_mut((rows.chunk * d).max(1)).enumerate();
        chunks.for_each(|(chunk, out)| {
            let segments = (0..rows.n_experts).flat_map(|expert| rows.segment(expert, chunk));
            for row in segments {
                let at = (rows.token[row] as usize - chunk * rows.chunk) * d;
                let lines = out[at..at + d].iter_mut().zip(&slice(&y)[row * d..(row + 1) * d]);
                lines.for_each(|(out, y)| *out += *y);
            }
        });
        out
    }
}

impl<B: MoveRows, C: CheckpointStrategy> MoveRows for Autodiff<B, C> {
    fn copy(x: FloatTensor<Self>, rows: Arc<Rows>) -> FloatTensor<Self> {
        let tracked = |x| (B::copy(x, rows.clone()), Copied(rows.clone()));
        differentiable::<B, C, _>(x, tracked, |x| B::copy(x, rows.clone()))
    }

    fn add_up(y: FloatTensor<Self>, rows: Arc<Rows>) -> FloatTensor<Self> {
        let tracked = |y| (B::add_up(y, rows.clone()), AddedUp(rows.clone()));
        differentiable::<B, C, _>(y, tracked, |y| B::add_up(y, rows.clone()))
    }
}

#[derive(Clone, Debug)]
struct Copied(Arc<Rows>);

impl<B: MoveRows> SavedForBackward<B> for Copied {
    fn gradient(self, dy: FloatTensor<B>) -> FloatTensor<B> {
        B::add_up(dy, self.0)
    }
}

#[derive(Clone, Debug)]
struct AddedUp(Arc<Rows>);

impl<B: MoveRows> SavedForBackward<B> for AddedUp {
    fn gradient(self, dx: FloatTensor<B>) -> FloatTensor<B> {
        B::copy(dx, self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ExpertRow;
    use burn::tensor::Device;

    fn rows() -> Arc<Rows> {
        // Token 0 is at experts 1 and 0, token 1 at no expert, token 2 at expert 1.
        let entries =
            [(1, 0), (0, 0), (1, 2)].map(|(expert, token)| ExpertRow { expert, token, choice: 0 });
        Arc::new(Rows::new(3, 2, 1, entries.into_iter()))
    }

    fn tensor(values: &[f32]) -> Tensor<2> {
        let device = Device::flex().autodiff();
        Tensor::<1>::from_floats(values, &device).reshape([values.len(), 1]).require_grad()
    }

    fn values(x: Tensor<2>) -> Vec<f32> {
        x.into_data().try_into_vec().unwrap()
    }

    #[test]
    fn rows_stand_in_the_order_of_experts_and_their_gradients_add_up() {
        let x = tensor(&[5.0, 6.0, 7.0]);
        let y = permute(x.clone(), &rows());
        assert_eq!(values(y.clone()), [5.0, 5.0, 7.0]);
        let grads = (y * tensor(&[1.0, 10.0, 100.0]).detach()).sum().backward();
        assert_eq!(values(Tensor::from_inner(x.grad(&grads).unwrap())), [11.0, 0.0, 100.0]);
    }

    #[test]
    fn back_at_the_tokens_rows_add_up_and_each_gets_its_tokens_gradient() {
        let y = tensor(&[1.0, 10.0, 100.0]);
        let x = unpermute(y.clone(), &rows());
        assert_eq!(values(x.clone()), [11.0, 0.0, 100.0]);
        let grads = (x * tensor(&[5.0, 6.0, 7.0]).detach()).sum().backward();
        assert_eq!(values(Tensor::from_inner(y.grad(&grads).unwrap())), [5.0, 5.0, 7.0]);
    }
}
