//! Operations of one tensor in Burn's automatic differentiation: what they keep of the forward pass, and the
//! gradient that is made from it.

use std::{fmt::Debug, marker::PhantomData};

use burn::backend::{
    Autodiff, Backend,
    autodiff::{
        checkpoint::{base::Checkpointer, strategy::CheckpointStrategy},
        grads::Gradients,
        ops::{Backward, Ops, OpsKind, unary},
    },
    tensor::FloatTensor,
};

/// The values that an operation keeps of its forward pass.
pub(crate) trait SavedForBackward<B: Backend>: Clone + Debug + Send + 'static {
    /// The gradient of the input, from that of the output.
    fn gradient(self, dy: FloatTensor<B>) -> FloatTensor<B>;
}

/// An operation of `x`: `tracked` gives the output and what is kept for the gradient; `untracked`, where
/// no gradient is requested, the output alone.
pub(crate) fn differentiable<B: Backend, C: CheckpointStrategy, K: SavedForBackward<B>>(
    x: FloatTensor<Autodiff<B, C>>,
    tracked: impl FnOnce(FloatTensor<B>) -> (FloatTensor<B>, K),
    untracked: impl FnOnce(FloatTensor<B>) -> FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>> {
    match Step(PhantomData::<K>).prepare::<C>([x.node()]).compute_bound().stateful() {
        OpsKind::Tracked(prep) => {
            let (y, kept) = tracked(x.into_primitive());
            prep.finish(kept, y)
        }
        OpsKind::UnTracked(prep) => prep.finish(untracked(x.into_primitive())),
    }
}

#[derive(Debug)]
struct Step<K>(PhantomData<K>);

impl<B: Backend, K: SavedForBackward<B>> Backward<B, 1> for Step<K> {
    type State = K;

    fn backward(self, ops: Ops<K, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let kept = ops.state;
        unary::<B, _>(ops.parents, ops.node, grads, |dy| kept.gradient(dy));
    }
}
