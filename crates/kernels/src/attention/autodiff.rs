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
    AttentionForm,
    kernel::{Heads, backward, forward},
};
use crate::flex::{slice, zeros};

#[backend_extension(Flex, Autodiff)]
pub(crate) trait FusedAttention: Backend {
    /// See [`super::attention`].
    fn fused_attention(qkv: FloatTensor<Self>, form: AttentionForm) -> FloatTensor<Self>;
    /// The gradient of the input, from the input and the output's gradient.
    fn fused_attention_backward(
        qkv: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        form: AttentionForm,
    ) -> FloatTensor<Self>;
}

impl FusedAttention for Flex {
    fn fused_attention(qkv: FlexTensor, form: AttentionForm) -> FlexTensor {
        let qkv = qkv.to_contiguous();
        let [b, t, line] = qkv.shape().dims();
        let mut y = zeros([b, t, form.heads * form.head(line)]);
        forward(&Heads::new(t, line, form), slice(&qkv), y.storage_mut());
        y
    }

    fn fused_attention_backward(
        qkv: FlexTensor,
        dy: FlexTensor,
        form: AttentionForm,
    ) -> FlexTensor {
        let (qkv, dy) = (qkv.to_contiguous(), dy.to_contiguous());
        let [b, t, line] = qkv.shape().dims();
        let mut dqkv = zeros([b, t, line]);
        backward(&Heads::new(t, line, form), slice(&qkv), slice(&dy), dqkv.storage_mut());
        dqkv
    }
}

impl<B: FusedAttention, C: CheckpointStrategy> FusedAttention for Autodiff<B, C> {
    fn fused_attention(qkv: FloatTensor<Self>, form: AttentionForm) -> FloatTensor<Self> {
        match Step.prepare::<C>([qkv.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let qkv = qkv.into_primitive();
                let y = B::fused_attention(qkv.clone(), form);
                prep.finish((qkv, form), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::fused_attention(qkv.into_primitive(), form)),
        }
    }

    fn fused_attention_backward(
        _qkv: FloatTensor<Self>,
        _dy: FloatTensor<Self>,
        _form: AttentionForm,
    ) -> FloatTensor<Self> {
        panic!("gradients of gradients are not supported")
    }
}

#[derive(Debug)]
struct Step;

impl<B: FusedAttention> Backward<B, 1> for Step {
    type State = (FloatTensor<B>, AttentionForm);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (qkv, form) = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |dy| {
            B::fused_attention_backward(qkv, dy, form)
        });
    }
}
