//! Attention as an extension of Burn's back ends.

use burn::backend::{
    Autodiff, Backend, Flex, TensorMetadata, autodiff::checkpoint::strategy::CheckpointStrategy,
    backend_extension, flex::FlexTensor, tensor::FloatTensor,
};

use super::{
    AttentionForm,
    kernel::{Heads, backward, forward},
};
use crate::{
    differentiable::{SavedForBackward, differentiable},
    flex::{slice, zeros},
};

#[backend_extension(Flex, Autodiff)]
pub(crate) trait FusedAttention: Backend {
    /// See [`super::attention`].
    fn fused_attention(qkv: FloatTensor<Self>, form: AttentionForm) -> FloatTensor<Self>;
}

/// Its backward pass.
pub(crate) trait AttentionBackward: FusedAttention {
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
}

impl AttentionBackward for Flex {
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

impl<B: AttentionBackward, C: CheckpointStrategy> FusedAttention for Autodiff<B, C> {
    fn fused_attention(qkv: FloatTensor<Self>, form: AttentionForm) -> FloatTensor<Self> {
        let tracked =
            |qkv: FloatTensor<B>| (B::fused_attention(qkv.clone(), form), Input { qkv, form });
        differentiable::<B, C, _>(qkv, tracked, |qkv| B::fused_attention(qkv, form))
    }
}

#[derive(Clone, Debug)]
struct Input<T> {
    qkv: T,
    form: AttentionForm,
}

impl<B: AttentionBackward> SavedForBackward<B> for Input<FloatTensor<B>> {
    fn gradient(self, dy: FloatTensor<B>) -> FloatTensor<B> {
        B::fused_attention_backward(self.qkv, dy, self.form)
    }
}
