//! The operation as Burn's back ends see it.

use burn::backend::{
    Autodiff, Backend, Flex, TensorMetadata,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind, unary},
    },
    backend_extension,
    flex::FlexTensor,
    tensor::FloatTensor,
};

use super::{
    Positions,
    kernel::{Heads, backward, forward},
};
use crate::flex::{slice, zeros};

#[backend_extension(Flex, Autodiff)]
pub(crate) trait FusedAttention: Backend {
    /// See [`super::attention`].
    fn fused_attention(
        qkv: FloatTensor<Self>,
        heads: usize,
        positions: Positions,
    ) -> FloatTensor<Self>;
    /// The gradient of the input, from the input and the output's gradient.
    fn fused_attention_backward(
        qkv: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        heads: usize,
        positions: Positions,
    ) -> FloatTensor<Self>;
}

impl FusedAttention for Flex {
    fn fused_attention(qkv: FlexTensor, heads: usize, positions: Positions) -> FlexTensor {
        let qkv = qkv.to_contiguous();
        let [b, t, width] = qkv.shape().dims();
        let mut y = zeros([b, t, width / 3]);
        forward(&Heads::new(t, width / 3, heads, positions), slice(&qkv), y.storage_mut());
        y
    }

    fn fused_attention_backward(
        qkv: FlexTensor,
        dy: FlexTensor,
        heads: usize,
        positions: Positions,
    ) -> FlexTensor {
        let (qkv, dy) = (qkv.to_contiguous(), dy.to_contiguous());
        let [b, t, width] = qkv.shape().dims();
        let mut dqkv = zeros([b, t, width]);
        let heads = Heads::new(t, width / 3, heads, positions);
        backward(&heads, slice(&qkv), slice(&dy), dqkv.storage_mut());
        dqkv
    }
}

impl<B: FusedAttention, C: CheckpointStrategy> FusedAttention for Autodiff<B, C> {
    fn fused_attention(
        qkv: FloatTensor<Self>,
        heads: usize,
        positions: Positions,
    ) -> FloatTensor<Self> {
        match Step.prepare::<C>([qkv.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let qkv = qkv.into_primitive();
                let y = B::fused_attention(qkv.clone(), heads, positions);
                prep.finish((qkv, heads, positions), y)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(B::fused_attention(qkv.into_primitive(), heads, positions))
            }
        }
    }

    fn fused_attention_backward(
        _qkv: FloatTensor<Self>,
        _dy: FloatTensor<Self>,
        _heads: usize,
        _positions: Positions,
    ) -> FloatTensor<Self> {
        panic!("gradients of gradients are not supported")
    }
}

#[derive(Debug)]
struct Step;

impl<B: FusedAttention> Backward<B, 1> for Step {
    type State = (FloatTensor<B>, usize, Positions);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (qkv, heads, positions) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |dy| {
            B::fused_attention_backward(qkv, dy, heads, positions)
        });
    }
}
